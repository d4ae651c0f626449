/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Starts of a machine with some of its members, and what is allowed to come together after. */

#include "keys/journal.h"

#include "base/file.h"
#include "set-world.h"

#define A 1u
#define B 2u
#define C 4u

/* The members of `mask` opened and compared, as at a start. */
static void come_together(const struct world *world, struct set *set, unsigned mask)
{
	for (size_t i = 0; i < WORLD_N; i++)
		if (mask & 1u << i)
			set_add(set, world->paths[i]);
	assert_int_equal(world_unlock(world, set, 0, WORLD_RIGHT), 0);
	journal_compare(set);
}

/* A whole start; those that came together are returned. */
static unsigned start(const struct world *world, unsigned mask, uint64_t now)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set set = {};
	unsigned open = 0;
	size_t n = 0;

	come_together(world, &set, mask);
	assert_int_equal(journal_begin(&set, now, &diag), 0);
	assert_int_equal(journal_joined(&set, &diag), 0);
	for (size_t i = 0; i < WORLD_N; i++)
		if (mask & 1u << i && set.members[n++].state == MEMBER_OPEN)
			open |= 1u << i;
	assert_true(open);
	return open;
}

static void test_whole_starts_write_nothing(void **state)
{
	const struct world *world = *state;
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];

	world_enroll(world, 0, 2);
	assert_int_equal(file_hash(world->paths[0], before), 0);
	assert_int_equal(start(world, A | B, 1), A | B);
	assert_int_equal(file_hash(world->paths[0], after), 0);
	assert_string_equal(before, after);
}

static void test_one_that_was_away_comes_back(void **state)
{
	world_enroll(*state, 0, 2);
	assert_int_equal(start(*state, A, 1), A);
	assert_int_equal(start(*state, A, 2), A);
	assert_int_equal(start(*state, A | B, 3), A | B);
	assert_int_equal(start(*state, B, 4), B);
	assert_int_equal(start(*state, A | B, 5), A | B);
}

static void test_each_alone_is_never_merged(void **state)
{
	world_enroll(*state, 0, 2);
	assert_int_equal(start(*state, A, 1), A);
	assert_int_equal(start(*state, B, 2), B);
	assert_int_equal(start(*state, A | B, 3), B);
	/* Nor at the next start, nor after A ran once more. */
	assert_int_equal(start(*state, A | B, 4), B);
	assert_int_equal(start(*state, A, 5), A);
	assert_int_equal(start(*state, A | B, 6), A);
}

static void test_both_sides_are_named_with_their_last_use(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 2);
	(void)start(*state, A, 1795000000);
	(void)start(*state, B, 1795100000);
	come_together(*state, &set, A | B);
	assert_int_equal(set.members[0].state, MEMBER_DIVERGED);
	assert_non_null(strstr(set.members[0].why, "2026-11-18"));
	assert_non_null(strstr(set.members[0].why, "2026-11-19"));
}

static void test_a_third_decides_nothing(void **state)
{
	world_enroll(*state, 0, 3);
	assert_int_equal(start(*state, A | B, 1), A | B);
	assert_int_equal(start(*state, C, 2), C);
	/* C was used last; the two others belong together, but not to it. */
	assert_int_equal(start(*state, A | B | C, 3), C);
	assert_int_equal(start(*state, A | B, 4), A | B);
	assert_int_equal(start(*state, A | B | C, 5), A | B);
}

static void test_an_ancestor_by_way_of_a_third(void **state)
{
	world_enroll(*state, 0, 3);
	assert_int_equal(start(*state, A | C, 1), A | C);
	assert_int_equal(start(*state, B | C, 2), B | C);
	/* B caught up from C, and A is an ancestor of both. */
	assert_int_equal(start(*state, A | B, 3), A | B);
	assert_int_equal(start(*state, A | B | C, 4), A | B | C);
}

/* Power fails after the import, before those that were behind are written. */
static void test_cut_before_the_join_is_noted(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct set set = {};

	world_enroll(*state, 0, 3);
	assert_int_equal(start(*state, A, 1), A);
	come_together(*state, &set, A | B);
	assert_int_equal(journal_begin(&set, 2, &diag), 0);
	set_deinit(&set);
	assert_int_equal(start(*state, A | B, 3), A | B);
	assert_int_equal(start(*state, A | B | C, 4), A | B | C);
}

/* The start of a raidz1 of which too few came: `mask` notes who is absent, and then the import fails. */
static void start_in_vain(const struct world *world, unsigned mask, uint64_t now)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set set = {};

	come_together(world, &set, mask);
	assert_int_equal(journal_begin(&set, now, &diag), 0);
	assert_int_equal(journal_take_back(&set, &diag), 0);
}

static void test_nothing_ran_when_the_import_failed(void **state)
{
	world_enroll(*state, 0, 3);
	assert_int_equal(start(*state, B | C, 1), B | C);
	start_in_vain(*state, A, 2);
	assert_int_equal(start(*state, A | B | C, 3), A | B | C);
	assert_int_equal(start(*state, B | C, 4), B | C);
	start_in_vain(*state, A | B, 5);
	assert_int_equal(start(*state, A | C, 6), A | C);
	assert_int_equal(start(*state, A | B | C, 7), A | B | C);
}

/* Those that were there before the failed import, and who came after it. */
static void test_who_comes_after_a_failed_import(void **state)
{
	const struct world *world = *state;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	come_together(world, &set, A);
	assert_int_equal(journal_begin(&set, 1, &diag), 0);
	assert_int_equal(journal_take_back(&set, &diag), 0);
	set_add(&set, world->paths[1]);
	assert_int_equal(set_unlock(&set, NULL), 0);
	journal_compare(&set);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(journal_begin(&set, 2, &diag), 0);
	assert_int_equal(journal_joined(&set, &diag), 0);
	/* It is noted on B, too. */
	assert_int_equal(start(world, B, 3), B);
	assert_int_equal(start(world, A, 4), A);
	assert_int_equal(start(world, A | B, 5), A);
}

static void test_the_time_of_before_is_back(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 2);
	assert_int_equal(start(*state, A, 1), A);
	assert_int_equal(start(*state, B, 2), B);
	start_in_vain(*state, A, 3);
	assert_int_equal(start(*state, A | B, 4), B);
}

static void test_what_is_in_use_goes_on(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 2);
	(void)start(*state, A, 1);
	(void)start(*state, B, 2);
	set_add(&set, ((struct world *)*state)->paths[0]);
	set_add(&set, ((struct world *)*state)->paths[1]);
	assert_int_equal(world_unlock(*state, &set, 0, WORLD_RIGHT), 0);
	set.members[0].in_use = true;
	journal_compare(&set);
	assert_int_equal(set.members[0].state, MEMBER_OPEN);
	assert_int_equal(set.members[1].state, MEMBER_DIVERGED);
}

/* In a machine that runs on A: B has shown up. */
static void show_up(const struct world *world, struct set *set)
{
	set_add(set, world->paths[0]);
	set_add(set, world->paths[1]);
	assert_int_equal(world_unlock(world, set, 0, WORLD_RIGHT), 0);
	set->members[0].in_use = true;
	journal_compare(set);
	assert_int_equal(set->members[0].state, MEMBER_OPEN);
}

static void test_who_is_ahead_of_what_runs_went_apart(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 2);
	(void)start(*state, B, 1);
	show_up(*state, &set);
	assert_int_equal(set.members[1].state, MEMBER_DIVERGED);
}

static void test_what_runs_lost_its_box(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set late = {}, apart = {};

	world_enroll(world, 0, 2);
	world_take_slots(world->paths[0], 1, 2);
	show_up(world, &late);
	assert_int_equal(late.members[1].state, MEMBER_OPEN);
	(void)start(world, B, 1);
	show_up(world, &apart);
	assert_int_equal(apart.members[1].state, MEMBER_DIVERGED);
}

/*
 * A ran alone, and its box went in a reencryption; B knows nothing of that. Both are imported, and ZFS takes
 * the newer side; once B ran without A, they are apart.
 */
static void test_who_lost_its_box_is_not_left_behind(void **state)
{
	const struct world *world = *state;

	world_enroll(world, 0, 2);
	assert_int_equal(start(world, A, 1), A);
	world_take_slots(world->paths[0], 1, 1);
	world_take_slots(world->paths[0], 3, 3); /* the box that the start wrote */
	assert_int_equal(start(world, A | B, 2), A | B);
	assert_int_equal(start(world, B, 3), B);
	assert_int_equal(start(world, A | B, 4), B);
}

/* What runs was made a set again, and knows no more than who is late: that one is behind all the same. */
static void test_who_is_late_is_behind(void **state)
{
	const struct world *world = *state;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	show_up(world, &set);
	assert_true(set.members[1].behind);
	assert_false(set.members[0].behind);
	assert_int_equal(journal_begin(&set, 1, &diag), 0);
	set_deinit(&set);
	/* Power fails while B is brought up to date, and B starts alone. */
	assert_int_equal(start(world, B, 2), B);
	assert_int_equal(start(world, A | B, 3), B);
}

/* A went on with C, B was away; now B opens by the passphrase only, and cannot note that it joins. */
static void test_who_cannot_join_is_absent(void **state)
{
	const struct world *world = *state;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set set = {};
	const struct epoch *newest;

	world_enroll(world, 0, 3);
	assert_int_equal(start(world, A | C, 1), A | C);
	world_take_slots(world->paths[1], 1, 1);
	come_together(world, &set, A | B | C);
	assert_true(set.members[1].behind);
	assert_int_equal(journal_begin(&set, 2, &diag), 0);
	assert_int_equal(set.members[1].state, MEMBER_CLOSED);
	newest = history_newest(&set.members[0].history);
	assert_true(strv_has(&newest->absent, set.members[1].luks->uuid));
}

static void test_a_damaged_slot_is_not_vouched_for(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	/* A opens by B; what A notes must not say that its passphrase slot is whole. */
	world_write_at(world->paths[0], 32768, WORLD_AREA, 0xa5);
	assert_int_equal(start(world, A | B, 1), A | B);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

static void test_the_set_key_alone_opens(void **state)
{
	_cleanup_(secret_freep) struct secret *key = secret_new();
	_cleanup_set_ struct set set = {}, again = {};

	world_enroll(*state, 0, 3);
	assert_int_equal(world_unlock(*state, &set, 3, WORLD_RIGHT), 0);
	for (size_t i = 0; i < 3; i++)
		set_add(&again, set.members[i].path);
	memcpy(key->data, set.box->set_key->data, BOX_KEY_SIZE);
	key->size = BOX_KEY_SIZE;
	assert_int_equal(set_unlock_by_key(&again, key), 0);
	assert_int_equal(set_count(&again, MEMBER_OPEN), 3);
	set_deinit(&again);
	set_add(&again, set.members[0].path);
	key->data[0] ^= 1;
	assert_int_equal(set_unlock_by_key(&again, key), SET_WRONG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_whole_starts_write_nothing),
		TEST(test_one_that_was_away_comes_back),
		TEST(test_each_alone_is_never_merged),
		TEST(test_both_sides_are_named_with_their_last_use),
		TEST(test_a_third_decides_nothing),
		TEST(test_an_ancestor_by_way_of_a_third),
		TEST(test_cut_before_the_join_is_noted),
		TEST(test_nothing_ran_when_the_import_failed),
		TEST(test_who_comes_after_a_failed_import),
		TEST(test_the_time_of_before_is_back),
		TEST(test_what_is_in_use_goes_on),
		TEST(test_who_is_ahead_of_what_runs_went_apart),
		TEST(test_what_runs_lost_its_box),
		TEST(test_who_lost_its_box_is_not_left_behind),
		TEST(test_who_is_late_is_behind),
		TEST(test_who_cannot_join_is_absent),
		TEST(test_a_damaged_slot_is_not_vouched_for),
		TEST(test_the_set_key_alone_opens),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
