/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random starts with random members, some cut short. What each member has seen is known here as
 * a set of starts; whoever is opened together must have nested sets, or something is lost.
 * EYRIE_SEED=N begins with another seed.
 */

#include "keys/journal.h"

#include "random.h"
#include "set-world.h"

#define N_MEMBERS   3u
#define N_STARTS    16u
#define N_SEQUENCES 5u

enum cut {
	CUT_NEVER,
	CUT_WHILE_NOTING,
	CUT_BEFORE_IMPORT,
	CUT_AFTER_IMPORT,
	CUT_WHILE_TAKING_BACK, /* the import failed */
	IMPORT_FAILED,
	CUT_MAX,
};

static void come_together(const struct world *world, struct set *set, unsigned mask)
{
	for (size_t i = 0; i < N_MEMBERS; i++)
		if (mask & 1u << i)
			set_add(set, world->paths[i]);
	assert_int_equal(world_unlock(world, set, 0, WORLD_RIGHT), 0);
	journal_compare(set);
}

static unsigned opened(const struct world *world, const struct set *set)
{
	unsigned mask = 0;

	for (size_t i = 0; i < set->n_members; i++)
		for (size_t k = 0; k < N_MEMBERS; k++)
			if (set->members[i].state == MEMBER_OPEN &&
			    streq(set->members[i].path, world->paths[k]))
				mask |= 1u << k;
	return mask;
}

static bool are_nested(const uint32_t *seen, unsigned mask)
{
	for (size_t i = 0; i < N_MEMBERS; i++)
		for (size_t k = 0; k < N_MEMBERS; k++)
			if (mask & 1u << i && mask & 1u << k && seen[i] & ~seen[k] &&
			    seen[k] & ~seen[i])
				return false;
	return true;
}

/*
 * Power fails after some members were written, those that are behind last or, when it is taken back, first:
 * the others are as they were.
 */
static void write_and_cut(const struct world *world, struct set *set, unsigned number, bool back,
			  struct random *random)
{
	unsigned n = random_below(random, (unsigned)set->n_members + 1);
	const char *order[N_MEMBERS];
	size_t n_order = 0;

	for (int turn = 0; turn <= 1; turn++)
		for (size_t i = 0; i < set->n_members; i++)
			if (set->members[i].behind == (turn != back))
				order[n_order++] = set->members[i].path;
	for (size_t i = n; i < n_order; i++) {
		_cleanup_free_ char *aside = str_printf("%s/aside%zu", world->folder, i);

		world_copy(order[i], aside);
	}
	assert_int_equal(back ? journal_take_back(set, NULL) : journal_begin(set, number, NULL), 0);
	for (size_t i = n; i < n_order; i++) {
		_cleanup_free_ char *aside = str_printf("%s/aside%zu", world->folder, i);

		world_copy(aside, order[i]);
		assert_int_equal(unlink(aside), 0);
	}
}

static unsigned who_would_open(const struct world *world, unsigned mask)
{
	_cleanup_set_ struct set set = {};

	come_together(world, &set, mask);
	return opened(world, &set);
}

/* It leaves no trace in what opens afterwards. */
static void fail_import(const struct world *world, struct set *set, unsigned number, bool cut,
			struct random *random)
{
	unsigned mask = 1 + random_below(random, (1u << N_MEMBERS) - 1);
	unsigned before = who_would_open(world, mask);

	assert_int_equal(journal_begin(set, number, NULL), 0);
	if (cut) {
		write_and_cut(world, set, number, true, random);
		return;
	}
	assert_int_equal(journal_take_back(set, NULL), 0);
	assert_int_equal(who_would_open(world, mask), before);
}

static void one_start(const struct world *world, uint32_t *seen, unsigned number, unsigned mask,
		      struct random *random)
{
	enum cut cut = (enum cut)random_below(random, CUT_MAX);
	_cleanup_set_ struct set set = {};
	uint32_t all = 0;
	unsigned open;

	come_together(world, &set, mask);
	open = opened(world, &set);
	assert_true(open);
	assert_true(are_nested(seen, open));
	if (cut == CUT_WHILE_TAKING_BACK || cut == IMPORT_FAILED) {
		fail_import(world, &set, number, cut != IMPORT_FAILED, random);
		return;
	}
	if (cut == CUT_WHILE_NOTING)
		write_and_cut(world, &set, number, false, random);
	else
		assert_int_equal(journal_begin(&set, number, NULL), 0);
	if (cut == CUT_BEFORE_IMPORT || cut == CUT_WHILE_NOTING)
		return;
	for (size_t i = 0; i < N_MEMBERS; i++)
		all |= open & 1u << i ? seen[i] : 0;
	for (size_t i = 0; i < N_MEMBERS; i++)
		if (open & 1u << i)
			seen[i] = all | UINT32_C(1) << number;
	if (cut == CUT_NEVER)
		assert_int_equal(journal_joined(&set, NULL), 0);
}

static void test_nothing_that_was_written_is_merged_away(void **state)
{
	const char *given = getenv("EYRIE_SEED");
	struct random random = { given ? strtoull(given, NULL, 10) : 1 };

	for (unsigned sequence = 0; sequence < N_SEQUENCES; sequence++) {
		uint32_t seen[N_MEMBERS] = {};

		world_enroll(*state, 0, N_MEMBERS);
		for (unsigned number = 1; number <= N_STARTS; number++)
			one_start(*state, seen, number,
				  1 + random_below(&random, (1u << N_MEMBERS) - 1), &random);
		assert_int_equal(world_teardown(state), 0);
		assert_int_equal(world_setup(state), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_that_was_written_is_merged_away,
						world_setup, world_teardown),
	};

	return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
