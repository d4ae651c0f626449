/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What zfs(8) and zpool(8) are told when boot environments come and go. */

#include "apply/environment.h"
#include "plan/name.h"
#include "test.h"

static struct layout *layout;
static struct observed_dataset dataset;
static struct environment source;
static struct strbuf told;	 /* a line for each program */
static const char *snapshot;	 /* that is there, or NULL */
static const char *fails;	 /* the beginning of a line whose program fails, or NULL */
static const char *inside;	 /* what `zfs list -r` prints */

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strbuf_ struct strbuf line = STRBUF_NULL;

	(void)runner;
	*ret_output = *ret_errors = NULL;
	for (size_t i = 0; command->argv[i]; i++)
		strbuf_printf(&line, "%s%s", i ? " " : "", command->argv[i]);
	if (starts_with(line.data, "zfs list -H -t snapshot"))
		return !streq(strrchr(line.data, ' ') + 1, snapshot);
	if (starts_with(line.data, "zfs list -H -r")) {
		*ret_output = str_dup(inside);
		return 0;
	}
	strbuf_printf(&told, "%s\n", line.data);
	return fails && starts_with(line.data, fails);
}

static struct runner runner = { .start = start };
static struct apply_context cxt;

static int setup(void **state)
{
	(void)state;
	layout = test_layout(TEST_LAYOUT);
	cxt = (struct apply_context){ .layout = layout, .run = &runner, .target = "" };
	dataset = (struct observed_dataset){ .name = str_dup("rpool/ROOT/debian") };
	source = (struct environment){ .name = (char *)"debian", .dataset = dataset.name,
				       .have = &dataset };
	pair_set(&dataset.properties, "mountpoint", "/");
	pair_set(&dataset.properties, "canmount", "noauto");
	pair_set(&dataset.properties, NAME_STATE_PROPERTY, "done:1");
	pair_set(&dataset.properties, NAME_UNLOCK_PROPERTY, "peer");
	pair_set(&dataset.properties, "compression", "zstd");
	pair_set(&dataset.properties, "keylocation", "prompt");
	snapshot = fails = inside = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	layout = layout_free(layout);
	record_deinit(&record_observed_dataset, &dataset);
	strbuf_deinit(&told);
	return 0;
}

#define CLONE                                                                                  \
	"zfs clone -o canmount=noauto -o mountpoint=/ -o eyrie:state=cloning "                 \
	"-o eyrie:unlock=peer -o compression=zstd "

static void test_clone(void **state)
{
	(void)state;
	assert_int_equal(environment_clone(&cxt, &source, NULL, "rpool/ROOT/before"), 0);
	assert_string_equal(told.data, "zfs snapshot rpool/ROOT/debian@eyrie-before\n" CLONE
				       "rpool/ROOT/debian@eyrie-before rpool/ROOT/before\n");
}

/* Left by an environment that is gone, or by a run that was interrupted. */
static void test_clone_again(void **state)
{
	(void)state;
	snapshot = "rpool/ROOT/debian@eyrie-before";
	assert_int_equal(environment_clone(&cxt, &source, NULL, "rpool/ROOT/before"), 0);
	assert_string_equal(told.data, "zfs destroy rpool/ROOT/debian@eyrie-before\n"
				       "zfs snapshot rpool/ROOT/debian@eyrie-before\n" CLONE
				       "rpool/ROOT/debian@eyrie-before rpool/ROOT/before\n");
}

static void test_clone_of_a_snapshot(void **state)
{
	(void)state;
	assert_int_equal(environment_clone(&cxt, &source, "rpool/ROOT/debian@monday",
					   "rpool/ROOT/before"), 0);
	assert_string_equal(told.data, CLONE "rpool/ROOT/debian@monday rpool/ROOT/before\n");
}

/* A snapshot of somebody else's is never destroyed. */
static void test_clone_fails(void **state)
{
	(void)state;
	fails = "zfs clone";
	assert_int_equal(environment_clone(&cxt, &source, NULL, "rpool/ROOT/before"), -EIO);
	assert_non_null(strstr(told.data, "zfs destroy rpool/ROOT/debian@eyrie-before\n"));
	strbuf_deinit(&told);
	assert_int_equal(environment_clone(&cxt, &source, "rpool/ROOT/debian@monday",
					   "rpool/ROOT/before"), -EIO);
	assert_null(strstr(told.data, "destroy"));
}

static void test_remove(void **state)
{
	(void)state;
	assert_int_equal(environment_remove(&cxt, "rpool/ROOT/before",
					    "rpool/ROOT/debian@eyrie-before"), 0);
	assert_int_equal(environment_remove(&cxt, "rpool/ROOT/before",
					    "rpool/ROOT/debian@monday"), 0);
	assert_int_equal(environment_remove(&cxt, "rpool/ROOT/before",
					    "rpool/ROOT/debian@eyrie-other"), 0);
	assert_int_equal(environment_remove(&cxt, "rpool/ROOT/before", NULL), 0);
	assert_string_equal(told.data, "zfs destroy rpool/ROOT/before\n"
				       "zfs destroy rpool/ROOT/debian@eyrie-before\n"
				       "zfs destroy rpool/ROOT/before\n"
				       "zfs destroy rpool/ROOT/before\n"
				       "zfs destroy rpool/ROOT/before\n");
}

static void test_not_empty(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	cxt.diag = &diag;
	inside = "rpool/ROOT/debian\n";
	assert_int_equal(environment_check_removal(&cxt, &source), 0);
	inside = "rpool/ROOT/debian\nrpool/ROOT/debian@eyrie-before\n";
	assert_int_equal(environment_check_removal(&cxt, &source), -EBUSY);
	assert_string_equal(test_only_finding(&diag),
			    "rpool/ROOT/debian has rpool/ROOT/debian@eyrie-before, which would be "
			    "lost, too");
}

/* What a state says has reached the disks. */
static void test_marks(void **state)
{
	(void)state;
	assert_int_equal(environment_set_state(&cxt, "rpool/ROOT/before", "done:1"), 0);
	assert_int_equal(environment_activate(&cxt, "rpool/ROOT/before"), 0);
	assert_string_equal(told.data, "zpool sync rpool\n"
				       "zfs set eyrie:state=done:1 rpool/ROOT/before\n"
				       "zpool set bootfs=rpool/ROOT/before rpool\n");
}

static struct observed *machine_of(const char *name, const char *state, const char *mounted)
{
	struct observed *have = mem_alloc(sizeof(*have));
	struct observed_pool *pool = list_add(&have->pools, &record_observed_pool);
	struct observed_dataset *one = list_add(&pool->datasets, &record_observed_dataset), *clone;

	pool->name = str_dup("rpool");
	one->name = str_dup("rpool/ROOT/old");
	pair_set(&one->properties, NAME_STATE_PROPERTY, "done:7");
	clone = list_add(&pool->datasets, &record_observed_dataset);
	clone->name = str_dup("rpool/ROOT/debian");
	clone->origin = str_printf("rpool/ROOT/%s@eyrie-debian", name);
	clone->mounted = str_dup(mounted);
	pair_set(&clone->properties, NAME_STATE_PROPERTY, state);
	return have;
}

static void expect_finish(const char *origin, const char *state, const char *mounted, const char *wanted)
{
	_cleanup_(observed_freep) struct observed *have = machine_of(origin, state, mounted);
	const struct observed_dataset *all = ((struct observed_pool *)have->pools.items)->datasets.items;

	strbuf_deinit(&told);
	assert_int_equal(environment_finish(&cxt, have), 0);
	assert_true(streq(pair_get(&all[1].properties, NAME_STATE_PROPERTY), wanted ? wanted : state));
	if (!wanted) {
		assert_null(told.data);
		return;
	}
	assert_non_null(strstr(told.data, wanted));
	assert_non_null(strstr(told.data, " rpool/ROOT/debian\n"));
}

/* What came up is no half-made environment, whatever its state still says. */
static void test_finish(void **state)
{
	(void)state;
	expect_finish("old", STATE_CLONING, "/", "done:7");
	expect_finish("gone", STATE_CLONING, "/", STATE_DONE);
	expect_finish("old", STATE_CLONING, "/mnt", NULL);
	expect_finish("old", "populating:1", "/", NULL);
	expect_finish("old", "done:8", "/", NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_clone),	 TEST(test_clone_again), TEST(test_clone_of_a_snapshot),
		TEST(test_clone_fails), TEST(test_remove),	 TEST(test_not_empty),
		TEST(test_marks),	 TEST(test_finish),
	};

	return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
