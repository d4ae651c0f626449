/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What apply opens for one pool, of a set that may have run apart. */

#include "apply/together.h"

#include "keys/journal.h"
#include "plan/name.h"
#include "set-world.h"
#include "test.h"

static struct layout *layout;
static struct plan plan;
static struct diag diag;

static void start_alone(const struct world *world, size_t i, uint64_t now)
{
	_cleanup_set_ struct set set = {};

	set_add(&set, world->paths[i]);
	assert_int_equal(world_unlock(world, &set, 0, WORLD_RIGHT), 0);
	journal_compare(&set);
	assert_int_equal(journal_begin(&set, now, &diag), 0);
}

/* Disks `first` to `last` are there; what begins the import says. */
static int begin(const struct world *world, size_t first, size_t last)
{
	_cleanup_(observed_freep) struct observed *have = observed_copy(&(struct observed){});
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	const struct apply_context cxt = { .layout = layout, .passphrase = passphrase,
					   .diag = &diag };

	for (size_t i = first; i <= last; i++) {
		struct observed_disk *disk = list_add(&have->disks, &record_observed_disk);
		struct observed_partition *partition =
			list_add(&disk->partitions, &record_observed_partition);

		partition->path = str_dup(world->paths[i]);
		partition->luks.subsystem = name_subsystem(layout);
		partition->luks.generation = 1;
	}
	passphrase->size = strlen(WORLD_RIGHT);
	memcpy(passphrase->data, WORLD_RIGHT, passphrase->size);
	return together_begin(&plan, have, &cxt);
}

static void test_whole_set(void **state)
{
	world_enroll(*state, 0, 2);
	assert_int_equal(begin(*state, 0, 1), 0);
}

static void test_two_that_ran_apart(void **state)
{
	world_enroll(*state, 0, 2);
	start_alone(*state, 0, 1);
	start_alone(*state, 1, 2);
	assert_int_equal(begin(*state, 0, 1), -EXDEV);
	assert_non_null(strstr(diag.items[0].text, "ran without"));
}

/* It is noted that the other one is absent: that one alone afterwards is apart from it. */
static void test_one_is_absent(void **state)
{
	world_enroll(*state, 0, 2);
	assert_int_equal(begin(*state, 0, 0), 0);
	start_alone(*state, 1, 2);
	assert_int_equal(begin(*state, 0, 1), -EXDEV);
}

/* Its header is that of before a change: what it did since is not known. */
static void test_one_is_a_stale_copy(void **state)
{
	const struct world *world = *state;

	world_enroll(world, 0, 2);
	world_copy(world->paths[0], world->paths[2]);
	world_enroll(world, 0, 2);
	world_enroll(world, 0, 2);
	world_copy(world->paths[2], world->paths[0]);
	assert_int_equal(begin(world, 0, 1), -EXDEV);
	assert_non_null(strstr(diag.items[0].text, "stale"));
}

static void test_one_is_of_another_enrollment(void **state)
{
	world_enroll(*state, 0, 1);
	world_enroll(*state, 1, 2);
	assert_int_equal(begin(*state, 0, 2), -EXDEV);
}

/* Making the set was cut before it had a token. */
static void test_one_was_never_enrolled(void **state)
{
	world_enroll(*state, 0, 2);
	assert_int_equal(begin(*state, 0, 2), 0);
}

/* It was away, and only the passphrase opens it: that it joins cannot be noted, and nothing is. */
static void test_one_cannot_join(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	start_alone(world, 0, 1);
	world_take_slots(world->paths[1], 1, 1);
	assert_int_equal(begin(world, 0, 1), -EXDEV);
	assert_int_equal(world_unlock(world, &set, 1, WORLD_RIGHT), 0);
	assert_int_equal(set.box->history.n_items, 1);
}

/* Also when all are open already, and no step asks for it. */
static void test_passphrase_is_wanted(void **state)
{
	struct step *step = list_at(&plan.steps, &record_step, 0);

	(void)state;
	assert_true(apply_needs_passphrase(&plan, layout));
	step->kind = STEP_MOUNT;
	assert_false(apply_needs_passphrase(&plan, layout));
	step->kind = STEP_POOL_IMPORT;
	layout->encryption.unlock = UNLOCK_SHARED;
	assert_false(apply_needs_passphrase(&plan, layout));
	layout->encryption.unlock = UNLOCK_PEER;
}

static void test_nothing_is_imported(void **state)
{
	struct step *step = list_at(&plan.steps, &record_step, 0);

	world_enroll(*state, 0, 2);
	start_alone(*state, 0, 1);
	start_alone(*state, 1, 2);
	step->kind = STEP_LUKS_OPEN;
	assert_int_equal(begin(*state, 0, 1), 0);
}

static int setup(void **state)
{
	struct step *step;

	layout = test_layout(TEST_LAYOUT);
	step = list_add(&plan.steps, &record_step);
	step->kind = STEP_POOL_IMPORT;
	step->object = str_dup(layout->pool.name);
	return world_setup(state);
}

static int teardown(void **state)
{
	(void)layout_free(layout);
	list_deinit(&plan.steps, &record_step);
	diag_deinit(&diag);
	diag = (struct diag)DIAG_NULL;
	return world_teardown(state);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_whole_set),
		TEST(test_two_that_ran_apart),
		TEST(test_one_is_absent),
		TEST(test_one_is_a_stale_copy),
		TEST(test_one_is_of_another_enrollment),
		TEST(test_one_was_never_enrolled),
		TEST(test_one_cannot_join),
		TEST(test_passphrase_is_wanted),
		TEST(test_nothing_is_imported),
	};

	return cmocka_run_group_tests_name("together", tests, NULL, NULL);
}
