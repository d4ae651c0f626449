/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/held.h"

#include "test.h"

#define DATASET(name, root, location, canmount, mountpoint)                                    \
	name "\tencryptionroot\t" root "\n" name "\tkeystatus\tunavailable\n" name             \
	     "\tkeylocation\t" location "\n" name "\tcanmount\t" canmount "\n" name            \
	     "\tmountpoint\t" mountpoint "\n"

/* nest/vault has a key of its own and nest/backup is one that was received: not mounted. */
static const char nest[] = DATASET("nest", "nest", "prompt", "on", "none")
	DATASET("nest/www", "nest", "none", "on", "/srv/www")
	DATASET("nest/www/a", "nest", "none", "on", "/a")
	DATASET("nest/vault", "nest/vault", "prompt", "on", "/srv/vault")
	DATASET("nest/backup", "nest/backup", "prompt", "off", "/b")
	DATASET("nest/disk", "nest/disk", "prompt", "-", "-")
	DATASET("nest/plain", "-", "none", "on", "/plain");

static void look(const char *yaml, const char *name, struct held_gate *held)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = mem_alloc(sizeof(*zfs));
	_cleanup_(gates_freep) struct gates *gates = NULL;

	assert_int_equal(gates_parse("g", yaml, &gates, NULL), 0);
	assert_int_equal(zfs_parse(nest, &zfs->datasets), 0);
	zfs->exists = true;
	FOR_EACH_GATE(gate, &gates->gates)
		if (streq(gate->name, name))
			held_from_zfs(&gates->gates, gate, zfs, held);
}

static void expect_roots(const struct held_gate *held, const char *wanted)
{
	_cleanup_free_ char *roots = strv_join(&held->roots, " ");

	assert_string_equal(roots, wanted);
}

static void test_from_zfs(void **state)
{
	struct held_gate held = {};
	const struct held_mount *mounts;

	(void)state;
	look("gates: { nest: }\n", "nest", &held);
	expect_roots(&held, "nest nest/vault nest/disk");
	assert_int_equal(held.mounts.n_items, 3);
	mounts = held.mounts.items;
	assert_string_equal(mounts[0].path, "/a");
	assert_string_equal(mounts[1].path, "/srv/vault");
	assert_string_equal(mounts[2].path, "/srv/www");
	record_deinit(&record_held_gate, &held);
	held = (struct held_gate){};
	look("gates: { nest: { except: [nest/vault] } }\n", "nest", &held);
	expect_roots(&held, "nest nest/disk");
	assert_int_equal(held.mounts.n_items, 2);
	record_deinit(&record_held_gate, &held);
}

/* nest/vault was received while the gate was open: what it had then, and what has a key, stays. */
static void test_keeps_open(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = mem_alloc(sizeof(*zfs));
	struct held_gate held = {}, then = {};
	struct zfs_dataset *disk;

	(void)state;
	assert_int_equal(zfs_parse(nest, &zfs->datasets), 0);
	disk = (struct zfs_dataset *)zfs_dataset(zfs, "nest/disk");
	disk->key = KEY_LOADED;
	strv_add(&then.roots, "nest");
	look("gates: { nest: }\n", "nest", &held);
	assert_int_equal(held_keep_open(&held, &then, zfs), 1);
	expect_roots(&held, "nest nest/disk");
	record_deinit(&record_held_gate, &held);
	strv_deinit(&then.roots);
}

static void test_a_gate_below_takes_out(void **state)
{
	struct held_gate held = {}, vault = {};

	(void)state;
	look("gates: { nest: , nest/vault: }\n", "nest", &held);
	expect_roots(&held, "nest nest/disk");
	look("gates: { nest: , nest/vault: }\n", "nest/vault", &vault);
	expect_roots(&vault, "nest/vault");
	assert_int_equal(vault.mounts.n_items, 1);
	record_deinit(&record_held_gate, &held);
	record_deinit(&record_held_gate, &vault);
}

/* What was received and is never mounted holds nobody, unless it is asked for by name. */
static void test_backups(void **state)
{
	struct held_gate held = {};

	(void)state;
	look("gates: { nest/backup: }\n", "nest/backup", &held);
	expect_roots(&held, "nest/backup");
	assert_int_equal(held.mounts.n_items, 0);
	record_deinit(&record_held_gate, &held);
}

static void test_file(void **state)
{
	static const char text[] =
		"{\"gates\":[{\"name\":\"nest\",\"hold\":\"all\",\"roots\":[\"nest\"],\"mounts\":["
		"{\"dataset\":\"nest/www\",\"path\":\"/srv\"}],\"units\":["
		"{\"name\":\"a.service\",\"why\":\"is listed\"}]}]}";
	_cleanup_(held_freep) struct held *held = NULL, *back = NULL;
	_cleanup_free_ char *dump = NULL;

	(void)state;
	test_write(test_path("held.json"), text, strlen(text));
	assert_int_equal(held_read(test_path("held.json"), &held, NULL), 0);
	assert_true(held_has_unit(held_gate(held, "nest"), "a.service"));
	assert_null(held_gate(held, "nes"));
	dump = held_dump(held);
	test_write(test_path("again.json"), dump, strlen(dump));
	assert_int_equal(held_read(test_path("again.json"), &back, NULL), 0);
	assert_true(record_equal(&record_held, held, back));
}

static void test_no_file_holds_nothing(void **state)
{
	_cleanup_(held_freep) struct held *held = NULL;

	(void)state;
	assert_int_equal(held_read(test_path("nowhere"), &held, NULL), 0);
	assert_int_equal(held->gates.n_items, 0);
}

/* Such names would leave the folder of the generator, or end a line of a unit. */
static void test_bad_files(void **state)
{
	static const char *const texts[] = {
		"[]", "{", "{\"gates\":[{}]}", "{\"gates\":[{\"name\":\"a\\nb\"}]}",
		"{\"gates\":[{\"name\":\"a\",\"units\":[{\"name\":\"../../x\"}]}]}",
		"{\"gates\":[{\"name\":\"a\",\"units\":[{}]}]}",
		"{\"gates\":[{\"name\":\"a\",\"mounts\":[{\"dataset\":\"a\",\"path\":\"b\"}]}]}",
		"{\"gates\":[{\"name\":\"a\",\"mounts\":[{\"dataset\":\"a\",\"path\":\"/b\\n\"}]}]}",
		"{\"gates\":[{\"name\":\"a\",\"hold\":\"tight\"}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		struct held *held = NULL;

		test_write(test_path("bad.json"), texts[i], strlen(texts[i]));
		if (held_read(test_path("bad.json"), &held, &diag) != -EINVAL || held ||
		    !diag.n_errors)
			fail_msg("taken: %s", texts[i]);
	}
}

static struct held_gate *add_gate(struct held *held, const char *name, const char *unit)
{
	struct held_gate *gate = list_add(&held->gates, &record_held_gate);

	gate->name = str_dup(name);
	((struct held_unit *)list_add(&gate->units, &record_held_unit))->name = str_dup(unit);
	return gate;
}

/* What the generator says takes the place of what was known; without it nothing changes. */
static void test_follow(void **state)
{
	const char *path = test_path("generated.json");
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	_cleanup_(held_freep) struct held *now = mem_alloc(sizeof(*now));
	struct held_gate *gate = add_gate(held, "nest", "a.service");
	_cleanup_free_ char *text = NULL;

	(void)state;
	assert_false(held_follow(gate, path));
	(void)add_gate(now, "cellar", "c.service");
	(void)add_gate(now, "nest", "b@.service");
	text = held_dump(now);
	test_write(path, text, strlen(text));
	assert_true(held_follow(gate, path));
	assert_false(held_follow(gate, path));
	assert_false(held_has_unit(gate, "a.service"));
	assert_true(held_has_unit(gate, "b@1.service"));
	assert_false(held_has_unit(gate, "b.service"));
	test_write(path, "{", 1);
	assert_false(held_follow(gate, path));
	assert_true(held_has_unit(gate, "b@.service"));
}

/* All at once, and without those that nobody wants any more. */
static void test_follow_all(void **state)
{
	const char *path = test_path("all.json");
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	_cleanup_(held_freep) struct held *now = mem_alloc(sizeof(*now));
	_cleanup_(gates_freep) struct gates *gates = NULL;
	_cleanup_free_ char *text = NULL;

	(void)state;
	(void)add_gate(held, "nest", "a.service");
	(void)add_gate(held, "cellar", "c.service");
	(void)add_gate(held, "attic", "d.service");
	(void)add_gate(now, "cellar", "c.service");
	(void)add_gate(now, "attic", "e.service");
	text = held_dump(now);
	test_write(path, text, strlen(text));
	assert_true(held_follow_all(held, path));
	assert_false(held_follow_all(held, path));
	assert_true(held_has_unit(held_gate(held, "nest"), "a.service"));
	assert_true(held_has_unit(held_gate(held, "attic"), "e.service"));
	assert_int_equal(gates_parse("g", "gates: { attic:, nest: }\n", &gates, NULL), 0);
	held_drop_others(held, &gates->gates);
	assert_int_equal(held->gates.n_items, 2);
	assert_null(held_gate(held, "cellar"));
	assert_non_null(held_gate(held, "attic"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_zfs),
		cmocka_unit_test(test_keeps_open),
		cmocka_unit_test(test_a_gate_below_takes_out),
		cmocka_unit_test(test_backups),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_no_file_holds_nothing),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_follow),
		cmocka_unit_test(test_follow_all),
	};

	return cmocka_run_group_tests_name("held", tests, NULL, NULL);
}
