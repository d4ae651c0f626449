/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which boot environments a machine has, and which one its layout means. */

#include "boot/environment.h"
#include "plan/name.h"
#include "test.h"

static struct layout *layout;
static struct observed *have;
static struct environments list;

static struct observed_dataset *add_dataset(const char *name, const char *mountpoint,
					    const char *state)
{
	struct observed_pool *pool = have->pools.items;
	struct observed_dataset *dataset = list_add(&pool->datasets, &record_observed_dataset);

	dataset->name = str_dup(name);
	dataset->type = str_dup("filesystem");
	if (mountpoint)
		pair_set(&dataset->properties, "mountpoint", mountpoint);
	if (state)
		pair_set(&dataset->properties, NAME_STATE_PROPERTY, state);
	return dataset;
}

static void set_bootfs(const char *dataset)
{
	pair_set(&((struct observed_pool *)have->pools.items)->properties, "bootfs", dataset);
}

static int setup(void **state)
{
	struct observed_pool *pool;

	(void)state;
	layout = test_layout(TEST_LAYOUT);
	have = mem_alloc(sizeof(*have));
	pool = list_add(&have->pools, &record_observed_pool);
	pool->name = str_dup("rpool");
	(void)add_dataset("rpool/ROOT", "none", NULL);
	(void)add_dataset("rpool/ROOT/debian", "/", "done:1");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	environments_deinit(&list);
	have = observed_free(have);
	layout = layout_free(layout);
	return 0;
}

static void find(void)
{
	environments_deinit(&list);
	environments_make(layout, have, NULL, &list);
}

static void test_alone(void **state)
{
	(void)state;
	find();
	assert_int_equal(list.n_items, 1);
	assert_string_equal(list.items[0].name, "debian");
	assert_true(list.items[0].current);
	assert_true(list.items[0].active); /* without a bootfs, too */
	assert_null(environment_in_menu(&list, &list.items[0]));
}

static void test_nothing_there(void **state)
{
	struct observed empty = {};

	(void)state;
	environments_make(layout, &empty, NULL, &list);
	assert_int_equal(list.n_items, 1);
	assert_null(list.items[0].have);
}

static void test_who_is_one(void **state)
{
	(void)state;
	(void)add_dataset("rpool/ROOT/before", "/", "done:1");
	(void)add_dataset("rpool/ROOT/images-due", "/", "configured:1");
	(void)add_dataset("rpool/ROOT/elsewhere", "/srv", "done:1");
	(void)add_dataset("rpool/ROOT/somebodys", "/", NULL);
	(void)add_dataset("rpool/ROOT/half", "/", "unpacked:1");
	(void)add_dataset("rpool/ROOT/before/inside", "/", "done:1");
	(void)add_dataset("rpool/other", "/", "done:1");
	add_dataset("rpool/ROOT/volume", "/", "done:1")->type[0] = 'v';
	add_dataset("rpool/ROOT/locked", "/", "done:1")->locked = true;
	find();
	assert_int_equal(list.n_items, 3);
	assert_string_equal(list.items[1].dataset, "rpool/ROOT/before");
	assert_string_equal(list.items[2].name, "images-due");
	assert_ptr_equal(environment_in_menu(&list, &list.items[1]), &list.items[1]);
}

/* It counts for whoever is filling it, and for nobody else. */
static void test_half_made(void **state)
{
	(void)state;
	(void)add_dataset("rpool/ROOT/before", "/", STATE_CLONING);
	set_bootfs("rpool/ROOT/before");
	find();
	assert_int_equal(list.n_items, 2);
	assert_true(list.items[1].half_made);
	assert_false(list.items[1].active);
	assert_int_equal(environments_count(&list), 1);
	environments_deinit(&list);
	environments_make(layout, have, "before", &list);
	assert_false(list.items[1].half_made);
	assert_int_equal(environments_count(&list), 2);
}

static void expect_root(const char *name)
{
	environment_follow(layout, have);
	assert_string_equal(layout_root(layout)->name, name);
}

static void test_follow(void **state)
{
	struct observed_pool *pool = have->pools.items;

	(void)state;
	expect_root("ROOT/debian");
	(void)add_dataset("rpool/ROOT/before", "/", "done:1");
	expect_root("ROOT/debian");
	set_bootfs("rpool/ROOT/before");
	str_set(&observed_dataset(pool, "rpool/ROOT/debian")->mounted, "/");
	expect_root("ROOT/debian"); /* it runs */
	str_set(&observed_dataset(pool, "rpool/ROOT/debian")->mounted, NULL);
	expect_root("ROOT/before"); /* nothing runs: what would be started */
	str_set(&have->system.root, "/mnt/eyrie");
	str_set(&observed_dataset(pool, "rpool/ROOT/debian")->mounted, "/mnt/eyrie");
	expect_root("ROOT/debian");
}

static void test_names(void **state)
{
	_cleanup_free_ char *folder = environment_folder(layout);

	(void)state;
	assert_string_equal(folder, "rpool/ROOT");
	assert_true(environment_name_is_good("before-2026_1"));
	assert_false(environment_name_is_good(""));
	assert_false(environment_name_is_good("-x"));
	assert_false(environment_name_is_good("Before"));
	assert_false(environment_name_is_good("a/b"));
	assert_false(environment_name_is_good("a+3"));
	assert_false(environment_name_is_good("a.conf"));
	assert_false(environment_name_is_good("a@b"));
	assert_false(environment_name_is_good("a23456789-123456789-123456789-123456789-123456789"));
}

static void test_started_by(void **state)
{
	(void)state;
	assert_true(environment_is_started_by("root=zfs:rpool/ROOT/a quiet", "rpool/ROOT/a", false));
	assert_false(environment_is_started_by("root=zfs:rpool/ROOT/ab", "rpool/ROOT/a", true));
	assert_false(environment_is_started_by("root=zfs:rpool/ROOT/a", "rpool/ROOT/ab", true));
	assert_true(environment_is_started_by("quiet root=zfs:AUTO", "rpool/ROOT/a", true));
	assert_false(environment_is_started_by("root=zfs:AUTO", "rpool/ROOT/a", false));
	assert_false(environment_is_started_by("quiet", "rpool/ROOT/a", true));
	assert_false(environment_is_started_by(NULL, "rpool/ROOT/a", true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_who_is_one, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_made, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_started_by, setup, teardown),
	};

	return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
