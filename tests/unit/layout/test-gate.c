/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/gate.h"

#include "test.h"

static struct gates *parse(const char *text)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct gates *gates = NULL;

	if (gates_parse("gate.yaml", text, &gates, &diag))
		fail_msg("%s, in:\n%s", diag.items[0].text, text);
	return gates;
}

static const struct gate *first(const struct gates *gates)
{
	return gates->gates.items;
}

/* The only finding, its line, and its hint where one is expected. */
static void refuse(const char *text, const char *wanted, unsigned line, const char *hint)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct gates *gates = NULL;

	assert_int_equal(gates_parse("gate.yaml", text, &gates, &diag), -EINVAL);
	assert_null(gates);
	assert_string_equal(test_only_finding(&diag), wanted);
	assert_int_equal(diag.items[0].line, line);
	if (hint)
		assert_non_null(strstr(diag.items[0].hint, hint));
}

static void test_defaults(void **state)
{
	_cleanup_(gates_freep) struct gates *gates = parse("gates: { nest: }\n");
	const struct gate *gate = first(gates);
	uint64_t wait = 0;

	(void)state;
	assert_int_equal(gates->gates.n_items, 1);
	assert_string_equal(gate->name, "nest");
	assert_int_equal(gate->hold, GATE_BY_MOUNTS);
	assert_int_equal(gate->prompt, GATE_HINT);
	assert_int_equal(gate->then, GATE_FAIL);
	assert_false(gate->share_passphrase);
	assert_int_equal(gate_wait(gate, &wait), 0);
	assert_int_equal(wait, GATE_FOREVER);
}

/* Whom it holds is no part of it. */
static void test_policy(void **state)
{
	_cleanup_(gates_freep) struct gates *gates =
		parse("gates: { nest: { except: [x, nest/old, nest/b], wait: 90 } }\n");
	_cleanup_free_ char *policy = gate_policy(first(gates));

	(void)state;
	assert_string_equal(policy, "prompt: hint, wait: 90, then: fail, "
			    "except: [nest/old, nest/b]");
}

static void test_round_trip(void **state)
{
	_cleanup_(gates_freep) struct gates *gates =
		parse("gates:\n"
		      "  nest: { services: [nginx, a.socket], except: [x@1], wait: 90,\n"
		      "          then: continue, prompt: console, share-passphrase: yes }\n"
		      "  nest/pg: { hold: boot }\n"
		      "  tank: { hold: all }\n");
	_cleanup_free_ char *dump = gates_dump(gates);
	_cleanup_(gates_freep) struct gates *back = parse(dump);

	(void)state;
	assert_true(record_equal(&record_gates, gates, back));
	assert_true(first(gates)->share_passphrase);
}

static void test_services_get_their_kind(void **state)
{
	_cleanup_(gates_freep) struct gates *gates =
		parse("gates: { nest: { services: [nginx, a.socket, pg@17-main] } }\n");
	const struct strv *services = &first(gates)->services;

	(void)state;
	assert_string_equal(services->items[0], "nginx.service");
	assert_string_equal(services->items[1], "a.socket");
	assert_string_equal(services->items[2], "pg@17-main.service");
}

static void test_refusals(void **state)
{
	(void)state;
	refuse("gates: { \"1/a\": }\n", "'1/a' is no name of a pool or dataset", 1, NULL);
	refuse("gates: { nest/: }\n", "'nest/' is no name of a pool or dataset", 1, NULL);
	refuse("gates:\n  nest: { wait: soon }\n", "'wait' is in seconds, or forever", 2, NULL);
	refuse("gates:\n  nest:\n    hold: boot\n    wait: 30\n",
	       "'hold: boot' cannot fail: local-fs.target would, and the machine would end in "
	       "emergency mode", 3, "then: continue");
	refuse("gates:\n  nest: { hold: boot, services: [a] }\n",
	       "'hold: boot' holds everything; it takes no services", 2, NULL);
	refuse("gates:\n  nest: { hold: listed }\n",
	       "'hold: listed' without services holds nothing", 2, NULL);
	refuse("gates:\n  nest: { hold: listed, services: [a], except: [b] }\n",
	       "'except' takes away from what is found; with 'hold: listed' nothing is", 2, NULL);
	refuse("gates:\n  nest: { services: [\"a b\"] }\n", "'a b' is no name of a service", 2,
	       NULL);
	refuse("gates:\n  nest: { services: [\"\"] }\n", "'' is no name of a service", 2, NULL);
	refuse("gates:\n  nest: { services: [a], except: [a] }\n",
	       "a.service is in 'services' and in 'except'", 2, NULL);
	refuse("gates:\n  nest: { except: [cellar/old] }\n", "'cellar/old' is no dataset below 'nest'", 2,
	       NULL);
	refuse("gates:\n  nest: { except: [nest/old/] }\n", "'nest/old/' is no dataset below 'nest'",
	       2, NULL);
	refuse("gate: { nest: }\ngates: {}\n", "unknown key 'gate'", 1, "gates");
	refuse("gates:\n  nest: { hold: services }\n",
	       "'hold' wants one of: by-mounts, listed, all, boot", 2, NULL);
}

static void test_boot_may_wait_and_go_on(void **state)
{
	_cleanup_(gates_freep) struct gates *gates =
		parse("gates: { nest: { hold: boot, wait: 30, then: continue } }\n");

	(void)state;
	assert_int_equal(first(gates)->hold, GATE_BOOT);
}

static void test_all_findings_at_once(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct gates *gates = NULL;

	(void)state;
	assert_int_equal(gates_parse("g", "gates:\n  a: { wait: x }\n  b: { hold: listed }\n",
				     &gates, &diag), -EINVAL);
	assert_int_equal(diag.n_errors, 2);
}

/* The longest name wins; one that merely begins alike is another dataset. */
static void test_gate_of(void **state)
{
	_cleanup_(gates_freep) struct gates *gates =
		parse("gates: { nest: , nest/pg: , nes: }\n");

	(void)state;
	assert_string_equal(gate_of(&gates->gates, "nest/pg/data")->name, "nest/pg");
	assert_string_equal(gate_of(&gates->gates, "nest/pgx")->name, "nest");
	assert_string_equal(gate_of(&gates->gates, "nest")->name, "nest");
	assert_null(gate_of(&gates->gates, "nestor"));
}

/* What one excepts may still be another's, above it or below. */
static void test_except(void **state)
{
	_cleanup_(gates_freep) struct gates *gates =
		parse("gates:\n"
		      "  nest: { hold: listed, services: [a], except: [nest/old] }\n"
		      "  nest/old/mine: \n"
		      "  nest/pg: { except: [nest/pg/x, b] }\n");
	const struct list *list = &gates->gates;

	(void)state;
	assert_null(gate_of(list, "nest/old"));
	assert_null(gate_of(list, "nest/old/a"));
	assert_true(gate_is_excepted(list, "nest/old/a"));
	assert_false(gate_is_excepted(list, "nest/older"));
	assert_string_equal(gate_of(list, "nest/older")->name, "nest");
	assert_string_equal(gate_of(list, "nest/old/mine")->name, "nest/old/mine");
	assert_false(gate_is_excepted(list, "nest/old/mine"));
	assert_string_equal(gate_of(list, "nest/pg/x")->name, "nest");
	assert_false(gate_is_excepted(list, "nest/pg/x") || gate_is_excepted(list, "cellar"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_services_get_their_kind),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_boot_may_wait_and_go_on),
		cmocka_unit_test(test_all_findings_at_once),
		cmocka_unit_test(test_gate_of),
		cmocka_unit_test(test_except),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
