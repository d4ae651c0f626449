/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/hint.h"

#include "test.h"

static struct strv further;

static void expect(const struct held_gate *gate, enum gate_state is, const char *wanted)
{
	_cleanup_free_ char *text = hint_make(gate, is, &further);

	if (wanted)
		assert_string_equal(text, wanted);
	else
		assert_null(text);
}

static void test_hint(void **state)
{
	struct held_gate gate = { .name = str_dup("nest") };

	(void)state;
	expect(&gate, GATE_OPEN, NULL);
	expect(&gate, GATE_OPENING, NULL);
	expect(&gate, GATE_UNKNOWN, NULL);
	expect(&gate, GATE_CLOSED, "nest is locked\nRun 'eyrie unlock nest'\n");
	strv_add(&further, "The key is elsewhere");
	expect(&gate, GATE_CLOSED, "nest is locked\nThe key is elsewhere\nRun 'eyrie unlock nest'\n");
	strv_deinit(&further);
	for (int i = 0; i < 6; i++) {
		struct held_unit *unit = list_add(&gate.units, &record_held_unit);

		unit->name = str_printf("%c.service", 'a' + i);
	}
	expect(&gate, GATE_CLOSED,
	       "nest is locked; waiting for it: a.service, b.service, c.service, d.service and 2 "
	       "more\nRun 'eyrie unlock nest'\n");
	((struct held_unit *)gate.units.items)[1].asleep = true;
	expect(&gate, GATE_CLOSED,
	       "nest is locked; waiting for it: a.service, c.service, d.service, e.service and 1 "
	       "more\nRun 'eyrie unlock nest'\n");
	expect(&gate, GATE_OVERDUE,
	       "nest is locked, and the machine went on without it\nRun 'eyrie unlock nest'\n");
	gate.units.n_items = 1;
	expect(&gate, GATE_MISSING,
	       "nest is not there: no disk of it is, or its pool is not imported; waiting for it: "
	       "a.service\nRun 'eyrie unlock nest'\n");
	gate.units.n_items = 6;
	record_deinit(&record_held_gate, &gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_hint) };

	return cmocka_run_group_tests_name("hint", tests, NULL, NULL);
}
