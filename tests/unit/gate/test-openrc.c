/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What OpenRC is told of gates, and what of them it cannot have. */

#include "config.h"
#include "gate/openrc.h"

#include "base/file.h"
#include "gate/check.h"
#include "test.h"

static struct strbuf ran = STRBUF_NULL;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	(void)runner;
	*ret_output = *ret_errors = NULL;
	for (const char *const *word = command->argv; *word; word++)
		strbuf_printf(&ran, "%s ", *word);
	strbuf_printf(&ran, "in %s\n", command->root);
	return 0;
}

static struct gates *parse(const char *text)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct gates *gates = NULL;

	assert_int_equal(gates_parse("gate.yaml", text, &gates, &diag), 0);
	return gates;
}

#define TWO                                                                                    \
	"gates:\n  nest/a: { hold: listed, services: [nginx, my-app] }\n"                         \
	"  cellar: { hold: listed, services: [nginx] }\n"

/* Of two gates each is needed, and so is what the service's own file says. */
static void test_conf(void **state)
{
	_cleanup_(gates_freep) struct gates *gates = parse(TWO);
	_cleanup_free_ char *conf = openrc_conf(&gates->gates);

	(void)state;
	assert_string_equal(strchr(conf, '\n') + 1,
			    "rc_nginx_need=\"${rc_nginx_need:-$rc_need} eyrie-gate.nest+a\"\n"
			    "rc_my_app_need=\"${rc_my_app_need:-$rc_need} eyrie-gate.nest+a\"\n"
			    "rc_nginx_need=\"${rc_nginx_need:-$rc_need} eyrie-gate.cellar\"\n");
}

/* Twice gives the same; nothing of the machine that this runs on is asked. */
static void test_put(void **state)
{
	_cleanup_(gates_freep) struct gates *gates = parse(TWO);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ char *conf = openrc_conf(&gates->gates);
	_cleanup_strbuf_ struct strbuf written = STRBUF_NULL;
	_cleanup_free_ char *wanted =
		str_printf("rc-update add eyrie-gate.nest+a default in %s\n"
			   "rc-update add eyrie-gate.cellar default in %s\n"
			   "update-alternatives --quiet --install /usr/sbin/policy-rc.d policy-rc.d "
			   EYRIE_LIBEXEC "/policy-rc.d 50 in %s\n",
			   test_folder(), test_folder(), test_folder());
	struct runner runner = { .start = start };
	char link[32] = "";

	(void)state;
	assert_int_equal(file_make_folder(test_path("etc/init.d"), &diag), 0);
	assert_int_equal(file_make_folder(test_path("usr/sbin"), &diag), 0);
	assert_int_equal(file_replace(test_path("usr/sbin/invoke-rc.d"), "", 0755, &diag), 0);
	for (int i = 0; i < 2; i++) {
		strbuf_deinit(&ran);
		ran = (struct strbuf)STRBUF_NULL;
		assert_int_equal(openrc_put(&runner, test_folder(), &gates->gates, &diag), 0);
		assert_string_equal(ran.data, wanted);
	}
	strbuf_deinit(&ran);
	assert_int_equal(readlink(test_path("etc/init.d/eyrie-gate.nest+a"), link, sizeof(link) - 1),
			 strlen("eyrie-gate"));
	assert_string_equal(link, "eyrie-gate");
	assert_int_equal(file_read(test_path("etc/rc.conf.d/eyrie-gate.conf"), &written), 0);
	assert_string_equal(written.data, conf);
}

static void test_what_it_cannot_hold(void **state)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "gates: { nest: }\n", "which services need a path" },
		{ "gates: { nest: { services: [nginx] } }\n", "which services need a path" },
		{ "gates: { nest: { hold: all } }\n", "which services start by themselves" },
		{ "gates: { nest: { hold: boot } }\n", "what the boot waits for" },
		{ "gates: { nest: { hold: listed, services: [a.socket] } }\n", "sockets, paths" },
		{ "gates: { nest: { hold: listed, services: [nginx] } }\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(gates_freep) struct gates *gates = parse(cases[i].text);
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		int r = check_without_systemd(gates->gates.items, &diag);

		assert_int_equal(r, cases[i].why ? -EINVAL : 0);
		if (cases[i].why)
			assert_non_null(strstr(test_only_finding(&diag), cases[i].why));
		else
			assert_int_equal(diag.n_items, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conf),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_what_it_cannot_hold),
	};

	return cmocka_run_group_tests_name("openrc", tests, NULL, NULL);
}
