/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What needs no mark in /run: which keys are tried, and in which order things are mounted. */

#include "gate/close.h"
#include "gate/loadkey.h"
#include "gate/mounts.h"
#include "gate/open.h"

#include "test.h"

#define DATASET(name, root, status, canmount, mountpoint, mounted)                             \
	name "\tencryptionroot\t" root "\n" name "\tkeystatus\t" status "\n" name              \
	     "\tkeylocation\tprompt\n" name "\tcanmount\t" canmount "\n" name                  \
	     "\tmountpoint\t" mountpoint "\n" name "\tmounted\t" mounted "\n"

static const char nest[] = DATASET("nest", "nest", "unavailable", "on", "none", "no")
	DATASET("nest/a", "nest", "unavailable", "on", "/z", "no")
	DATASET("nest/b", "nest/b", "unavailable", "on", "/z/y", "no")
	DATASET("nest/c", "nest/c", "available", "on", "/b", "no")
	DATASET("nest/d", "nest/c", "available", "on", "/a", "no")
	DATASET("nest/e", "nest/c", "available", "on", "/0", "yes")
	DATASET("nest/f", "nest/c", "available", "noauto", "/1", "no");

static const struct list no_gates;
static struct strv ran;
static const char *opens; /* the root that the passphrase fits */

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strv_ struct strv words = STRV_NULL;
	_cleanup_free_ char *line = NULL;

	(void)runner;
	(void)ret_output;
	(void)ret_errors;
	for (const char *const *w = command->argv; *w; w++)
		strv_add(&words, *w);
	line = strv_join(&words, " ");
	strv_add(&ran, line);
	return command->secret && !streq(words.items[words.n_items - 1], opens);
}

static struct runner runner = { .start = start };

static struct zfs_state *state_of(const char *text)
{
	struct zfs_state *zfs = mem_alloc(sizeof(*zfs));

	assert_int_equal(zfs_parse(text, &zfs->datasets), 0);
	zfs->exists = zfs->imported = true;
	return zfs;
}

static void expect_ran(const char *wanted)
{
	_cleanup_free_ char *all = strv_join(&ran, "; ");

	assert_string_equal(all, wanted);
	strv_deinit(&ran);
}

/* One passphrase is tried on every root before another is asked for. */
static void test_one_passphrase_for_all(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = state_of(nest);
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_strv_ struct strv roots = STRV_NULL;
	struct gate_context cxt = { .run = &runner, .diag = &diag };

	(void)state;
	gate_locked_roots(&no_gates, zfs, &roots);
	assert_int_equal(roots.n_items, 2);
	opens = "nest/b";
	assert_int_equal(gate_try_passphrase(&cxt, secret, &roots), 1);
	assert_int_equal(roots.n_items, 1);
	assert_string_equal(roots.items[0], "nest");
	assert_null(roots.items[1]);
	expect_ran("zfs load-key -L prompt nest; zfs load-key -L prompt nest/b");
	assert_int_equal(diag.n_items, 0);
}

/* A backup of another machine: its passphrase is asked for when somebody names it. */
static void test_excepted_keys(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = state_of(nest);
	_cleanup_(gates_freep) struct gates *gates = NULL;
	_cleanup_strv_ struct strv roots = STRV_NULL, named = STRV_NULL;

	(void)state;
	assert_int_equal(gates_parse("g", "gates: { nest: { except: [nest/b] } }", &gates, NULL), 0);
	zfs->name = str_dup("nest");
	gate_locked_roots(&gates->gates, zfs, &roots);
	assert_int_equal(roots.n_items, 1);
	assert_string_equal(roots.items[0], "nest");
	str_set(&zfs->name, "nest/b");
	gate_locked_roots(&gates->gates, zfs, &named);
	assert_int_equal(named.n_items, 2);
}

static void test_mounts_in_order(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = state_of(nest);
	struct gate_context cxt = { .run = &runner };

	(void)state;
	assert_int_equal(gate_mount(&cxt, zfs), 0);
	expect_ran("zfs mount nest/d; zfs mount nest/c");
}

/* What is mounted already below a path that comes now is mounted once more, on top of it. */
static void test_mounts_over(void **state)
{
	static const char text[] = DATASET("nest", "nest", "available", "on", "/nest", "no")
		DATASET("nest/a", "nest", "available", "on", "/nest/a", "yes")
		DATASET("nest/a/b", "nest", "available", "on", "/nest/a/b", "yes")
		DATASET("nest/c", "nest", "available", "on", "/nestling", "yes");
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = state_of(text);
	struct gate_context cxt = { .run = &runner };

	(void)state;
	assert_int_equal(gate_mount(&cxt, zfs), 0);
	expect_ran("zfs unmount nest/a/b; zfs unmount nest/a; zfs mount nest; zfs mount nest/a; "
		   "zfs mount nest/a/b");
}

/* Of a gate whose mark nobody has set. */
static void test_states(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = state_of(nest);
	struct held_gate gate = { .name = str_dup("no-such-gate") };

	(void)state;
	strv_add(&gate.roots, "nest/c");
	assert_int_equal(gate_state_of(&gate, zfs), GATE_CLOSED);
	strv_add(&gate.roots, "nest");
	assert_int_equal(gate_state_of(&gate, zfs), GATE_CLOSED);
	zfs->exists = false;
	assert_int_equal(gate_state_of(&gate, zfs), GATE_MISSING);
	record_deinit(&record_held_gate, &gate);
}

/* Who would have to bring a file is told which, and is not asked for what nobody can type. */
static void test_untyped_keys(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = state_of(nest);
	_cleanup_strv_ struct strv roots = STRV_NULL, typed = STRV_NULL, lines = STRV_NULL;
	struct held_gate gate = { .name = str_dup("no-such-gate") };
	struct zfs_dataset *b = (struct zfs_dataset *)zfs_dataset(zfs, "nest/b");
	_cleanup_free_ char *hint = NULL;

	(void)state;
	str_set(&b->keyformat, "hex");
	str_set(&b->keylocation, "file:///nowhere/key");
	gate_locked_roots(&no_gates, zfs, &roots);
	gate_sort_roots(zfs, &roots, &typed, &lines);
	assert_int_equal(typed.n_items, 1);
	assert_string_equal(typed.items[0], "nest");
	assert_int_equal(lines.n_items, 1);
	strv_add(&gate.roots, "nest/b");
	hint = gate_hint(&gate, zfs);
	assert_string_equal(hint, "no-such-gate is locked\nThe key of nest/b cannot be typed: it comes "
			    "from /nowhere/key, which is not there\nRun 'eyrie unlock no-such-gate'\n");
	str_set(&b->keylocation, "prompt");
	assert_true(zfs_is_typed(b, /* file= */ false));
	str_set(&b->keyformat, "raw");
	assert_false(zfs_is_typed(b, /* file= */ false));
	assert_true(zfs_is_typed(b, /* file= */ true));
	record_deinit(&record_held_gate, &gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_passphrase_for_all),
		cmocka_unit_test(test_excepted_keys),
		cmocka_unit_test(test_mounts_in_order),
		cmocka_unit_test(test_mounts_over),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_untyped_keys),
	};

	return cmocka_run_group_tests_name("open", tests, NULL, NULL);
}
