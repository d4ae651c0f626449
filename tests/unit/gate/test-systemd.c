/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/systemd.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "test.h"

static struct unit_list *parse(const char *text)
{
	_cleanup_free_ char *copy = str_dup(text);
	struct unit_list *list = mem_alloc(sizeof(*list));

	assert_int_equal(systemd_parse(copy, list), 0);
	return list;
}

static void test_parse(void **state)
{
	_cleanup_(unit_list_freep) struct unit_list *list = parse(
		"Id=a.service\nLoadState=loaded\nActiveState=failed\nConditionResult=no\n"
		"RequiresMountsFor=/a /b\\x20c\nWantedBy=multi-user.target x.service\n"
		"RequiredBy=r.service\nBoundBy=b.service\nRequires=q.service\nBindsTo=p.service\n"
		"ExecStart={ path=/bin/x ; argv[]=/bin/x -d=/srv ; }\n"
		"ConditionTimestampMonotonic=12\n"
		"\n"
		"Id=b.service\nConditionResult=yes\nConditionTimestampMonotonic=0\nAfter=\n");
	const struct unit *unit = unit_list_find(list, "a.service");

	(void)state;
	assert_int_equal(list->units.n_items, 2);
	assert_string_equal(unit->active, "failed");
	assert_true(unit->tried && !unit->condition);
	assert_int_equal(unit->mounts_for.n_items, 2);
	assert_true(strv_has(&unit->required_by, "r.service"));
	assert_true(strv_has(&unit->required_by, "b.service"));
	assert_true(strv_has(&unit->requires, "p.service"));
	assert_string_equal(unit->exec, "{ path=/bin/x ; argv[]=/bin/x -d=/srv ; }");
	unit = unit_list_find(list, "b.service");
	assert_true(!unit->tried && unit->condition);
	assert_null(unit_list_find(list, "c.service"));
}

/* A command line has newlines, an empty one too, and a line that looks like a property. */
static void test_parse_lines_in_a_command(void **state)
{
	_cleanup_(unit_list_freep) struct unit_list *list = parse(
		"ExecStart={ argv[]=/bin/sh -c printf \"a\nPATH=/srv\n\nb\" ; }\n"
		"ExecStart={ argv[]=/bin/true ; }\nId=a.service\nActiveState=active\n"
		"\n"
		"ExecStart={ argv[]=/bin/x ; }\nId=b.service\n");
	const struct unit *unit = unit_list_find(list, "a.service");

	(void)state;
	assert_int_equal(list->units.n_items, 2);
	assert_string_equal(unit->active, "active");
	assert_string_equal(unit->exec, "{ argv[]=/bin/sh -c printf \"a PATH=/srv b\" ; } ; "
					"{ argv[]=/bin/true ; }");
	assert_string_equal(unit_list_find(list, "b.service")->exec, "{ argv[]=/bin/x ; }");
}

static void test_parse_of_what_is_no_answer(void **state)
{
	static const char *const texts[] = { "what\n", "After=x\n", "Id=a\n\nAfter=x\n" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(unit_list_freep) struct unit_list *list = mem_alloc(sizeof(*list));
		_cleanup_free_ char *copy = str_dup(texts[i]);

		assert_int_equal(systemd_parse(copy, list), -EINVAL);
	}
}

static char *ran;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strv_ struct strv words = STRV_NULL;

	(void)runner;
	(void)ret_output;
	(void)ret_errors;
	for (const char *const *w = command->argv; *w; w++)
		strv_add(&words, *w);
	str_set(&ran, NULL);
	ran = strv_join(&words, " ");
	return 0;
}

static void test_do(void **state)
{
	struct runner runner = { .start = start };
	_cleanup_strv_ struct strv units = STRV_NULL;

	(void)state;
	assert_int_equal(systemd_do(&runner, "start", false, &units, NULL), 0);
	assert_null(ran);
	strv_add_all(&units, "a.service", "-b.service", NULL);
	assert_int_equal(systemd_do(&runner, "start", false, &units, NULL), 0);
	assert_string_equal(ran, "systemctl start --no-block -- a.service -b.service");
	assert_int_equal(systemd_do(&runner, "stop", true, &units, NULL), 0);
	assert_string_equal(ran, "systemctl stop -- a.service -b.service");
	str_set(&ran, NULL);
}

static struct strv lines; /* of commands */
static int mounts_are;

static int start_show(struct runner *runner, const struct command *command, char **ret_output,
		      char **ret_errors)
{
	bool mounts = false;

	(void)runner;
	(void)ret_errors;
	for (const char *const *w = command->argv; *w; w++) {
		mounts |= streq(*w, "*.mount");
		if (strchr(*w, '*'))
			strv_add(&lines, *w);
	}
	*ret_output = str_dup(mounts ? "Id=srv.mount\n" : "Id=a.service\n\nId=b.service\n");
	return mounts ? mounts_are : 0;
}

/* No devices, and where mounts are too many the services are known all the same. */
static void test_show_all(void **state)
{
	struct runner runner = { .start = start_show };
	_cleanup_(unit_list_freep) struct unit_list *all = NULL, *without = NULL, *none = NULL;
	_cleanup_free_ char *asked = NULL;

	(void)state;
	assert_int_equal(systemd_show(&runner, NULL, &all, NULL), 0);
	asked = strv_join(&lines, " ");
	assert_string_equal(asked, "*.service *.socket *.path *.timer *.target *.mount");
	assert_non_null(unit_list_find(all, "b.service"));
	assert_non_null(unit_list_find(all, "srv.mount"));
	mounts_are = -EFBIG;
	assert_int_equal(systemd_show(&runner, NULL, &without, NULL), 0);
	assert_int_equal(without->units.n_items, 2);
	mounts_are = 1;
	assert_int_equal(systemd_show(&runner, NULL, &none, NULL), -EIO);
	strv_deinit(&lines);
}

static void test_notify(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = test_path("notify");
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char text[64] = "";

	(void)state;
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	unsetenv("NOTIFY_SOCKET");
	systemd_notify("READY=1");
	setenv("NOTIFY_SOCKET", path, 1);
	systemd_notify("STATUS=x");
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 8);
	assert_string_equal(text, "STATUS=x");
	unsetenv("NOTIFY_SOCKET");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_of_what_is_no_answer),
		cmocka_unit_test(test_parse_lines_in_a_command),
		cmocka_unit_test(test_do),
		cmocka_unit_test(test_show_all),
		cmocka_unit_test(test_notify),
	};

	return cmocka_run_group_tests_name("systemd", tests, NULL, NULL);
}
