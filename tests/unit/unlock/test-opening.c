/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Who counts as present: not who opens, but on whom the pool runs. */

#include "unlock/opening.h"

#include <stdio.h>

#include "keys/journal.h"
#include "set-world.h"

static const char *listed; /* what zpool list says */
static int imports = 0;	   /* how zpool import ends */
static struct opening opening;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	(void)runner;
	assert_string_equal(command->argv[0], "zpool");
	if (streq(command->argv[1], "import"))
		return imports;
	*ret_output = str_dup(listed);
	*ret_errors = NULL;
	return 0;
}

static struct runner runner = { .start = start };

static void say(void *context, const char *line)
{
	(void)context;
	(void)line;
}

static void open_both(const struct world *world)
{
	static const char *const mappings[] = { "falcon-left", "falcon-right" };

	opening = (struct opening){ .run = &runner, .say = say };
	opening.config.pool = str_dup("rpool");
	opening.known = mem_alloc(2 * sizeof(*opening.known));
	for (size_t i = 0; i < 2; i++) {
		struct unlock_member *member =
			list_add(&opening.config.members, &record_unlock_member);

		member->mapping = str_dup(mappings[i]);
		member->name = str_dup(mappings[i]);
		opening.known[i] = i;
		set_add(&opening.set, world->paths[i]);
	}
	assert_int_equal(world_unlock(world, &opening.set, 0, WORLD_RIGHT), 0);
	journal_compare(&opening.set);
}

static void assert_behind(const struct world *world, bool behind)
{
	_cleanup_set_ struct set set = {};

	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	journal_compare(&set);
	assert_int_equal(set.members[1].behind, behind);
}

static void test_both_are_used(void **state)
{
	listed = "rpool\tONLINE\nmirror-0\tONLINE\n/dev/mapper/falcon-left\tONLINE\n"
		 "/dev/mapper/falcon-right\tONLINE\n";
	open_both(*state);
	opening_joined(&opening);
	assert_int_equal(set_count(&opening.set, MEMBER_OPEN), 2);
	assert_behind(*state, false);
}

static void test_one_is_offline(void **state)
{
	listed = "rpool\tDEGRADED\nmirror-0\tDEGRADED\n/dev/mapper/falcon-left\tONLINE\n"
		 "/dev/mapper/falcon-right\tOFFLINE\n";
	open_both(*state);
	opening_joined(&opening);
	assert_int_equal(opening.set.members[1].state, MEMBER_CLOSED);
	assert_non_null(strstr(opening.set.members[1].why, "does not use it"));
	assert_behind(*state, true);
}

/* Names that nobody expected say nothing about anybody. */
static void test_none_is_known(void **state)
{
	listed = "rpool\tONLINE\n/dev/dm-0\tONLINE\n";
	open_both(*state);
	opening_joined(&opening);
	assert_int_equal(set_count(&opening.set, MEMBER_OPEN), 2);
	assert_behind(*state, false);
}

/* The set key opens who comes when the pool was not imported without it; nothing is activated here. */
static void test_late_is_taken_in(void **state)
{
	const struct world *world = *state;
	_cleanup_free_ char *away = str_printf("%s/away", world->folder);

	assert_int_equal(rename(world->paths[1], away), 0);
	open_both(world);
	assert_int_equal(set_count(&opening.set, MEMBER_OPEN), 1);
	assert_false(opening_take_late(&opening, opening_clock()));
	assert_int_equal(rename(away, world->paths[1]), 0);
	assert_true(opening_take_late(&opening, opening_clock() + 5000));
	assert_non_null(strstr(opening.set.members[1].why, "cannot be activated"));
	assert_false(opening_take_late(&opening, opening_clock() + 5000));
}

static void expect_noted(const struct world *world, bool noted)
{
	_cleanup_set_ struct set set = {};

	assert_int_equal(world_unlock(world, &set, 1, WORLD_RIGHT), 0);
	assert_int_equal(set.box->history.n_items, noted ? 1 : 0);
}

/* What was noted is taken back, unless somebody else imported it. */
static void test_import_fails(void **state)
{
	const struct world *world = *state;
	_cleanup_free_ char *away = str_printf("%s/away", world->folder);

	assert_int_equal(rename(world->paths[1], away), 0);
	open_both(world);
	opening.config.pool_guid = str_dup("1234");
	imports = 1;
	opening_begin(&opening);
	expect_noted(world, true);
	listed = "1233\n1234\n";
	assert_int_not_equal(opening_import(&opening), 0);
	expect_noted(world, true);
	listed = "1233\n";
	assert_int_not_equal(opening_import(&opening), 0);
	expect_noted(world, false);
	assert_int_equal(rename(away, world->paths[1]), 0);
}

static int setup(void **state)
{
	int r = world_setup(state);

	world_enroll(*state, 0, 2);
	return r;
}

static int teardown(void **state)
{
	opening_deinit(&opening);
	return world_teardown(state);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_both_are_used),
		TEST(test_one_is_offline),
		TEST(test_none_is_known),
		TEST(test_late_is_taken_in),
		TEST(test_import_fails),
	};

	return cmocka_run_group_tests_name("opening", tests, NULL, NULL);
}
