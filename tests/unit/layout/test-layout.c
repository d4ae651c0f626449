/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/file.h"
#include "test.h"

static const char everything[] =
	TEST_HEAD
	"firmware: uefi\n"
	"disks:\n"
	"  a: { path: \"/dev/disk/by-id/a: #1\", size: 8GiB }\n"
	"  b: { path: /dev/b, sector-size: 4096 }\n"
	"  c: { path: /dev/c, size: 12884901889 }\n"
	"  d: { path: /dev/d }\n"
	"encryption:\n"
	"  cipher: serpent-xts-plain64\n"
	"  key-size: 256\n"
	"  sector-size: 512\n"
	"  discards: no\n"
	"  kdf: { type: pbkdf2, iterations: 1000, time: 500, memory: 64MiB, threads: 2 }\n"
	"pool:\n"
	"  name: tank\n"
	"  properties: { ashift: 13, comment: \"yes: 'no'\" }\n"
	"  filesystem-properties: { compression: zstd }\n"
	"  vdevs:\n"
	"    - mirror: [a, b]\n"
	"    - mirror: [c, d]\n"
	"datasets:\n"
	"  ROOT/debian: { mountpoint: /, properties: { \"a:b\": \"\", canmount: noauto } }\n"
	"  home: { mountpoint: /home }\n"
	"  home/ann: { properties: { quota: 1G } }\n"
	"  old: { mountpoint: legacy }\n"
	"volumes:\n"
	"  vm/disk: { size: 4GiB, properties: { volblocksize: 16K } }\n"
	"swap: { on: volume, size: 1GiB }\n"
	"system:\n"
	"  tarball: /srv/root.tar\n"
	"  packages: [vim, \"true\", \"12\"]\n"
	"  network: none\n"
	"  root-password: \"$6$x$y\"\n"
	"  root-keys: [\"ssh-ed25519 AAAA ann@nest\"]\n"
	"  timezone: Europe/Berlin\n"
	"  keyboard: de(nodeadkeys)\n"
	"boot: { esp-size: 512MiB, timeout: 0, device-timeout: 5, cmdline: \"quiet x=\\\"a b\\\"\" }\n";

static void assert_round_trip(const char *text)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(text), *back = NULL;
	_cleanup_free_ char *dump = layout_dump(layout), *again = NULL;

	back = test_layout(dump);
	if (!record_equal(&record_layout, layout, back))
		fail_msg("reads back differently:\n%s", dump);
	again = layout_dump(back);
	assert_string_equal(dump, again);
}

static void test_round_trip_of_the_smallest(void **state)
{
	(void)state;
	assert_round_trip(TEST_LAYOUT);
}

static void test_round_trip_of_everything(void **state)
{
	(void)state;
	assert_round_trip(everything);
}

/* Texts that YAML would take for something else. */
static void test_round_trip_of_odd_texts(void **state)
{
	static const char *const odd[] = { "''", "'~'", "'null'", "'- a'", "'# no comment'", "'a: b'",
					   "'  blank  '", "\"tab\\there\"", "'{x}'", "'*a'", "'!t'",
					   "\"line\\nline\"", "'%'", "\"\\u00e9\"" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		_cleanup_free_ char *text =
			str_printf(TEST_LAYOUT "system: { root-keys: [%s, %s] }\n", odd[i], odd[i]);

		assert_round_trip(text);
	}
}

static void test_example_is_good(void **state)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	const char *source = getenv("EYRIE_SOURCE");
	_cleanup_free_ char *path = NULL;

	(void)state;
	assert_non_null(source);
	path = str_printf("%s/examples/mirror.yaml", source);
	assert_int_equal(file_read(path, &text), 0);
	assert_round_trip(text.data);
}

static void test_completed(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(everything);
	const struct layout_dataset *datasets = layout->pool.datasets.items;
	const struct layout_volume *volumes = layout->pool.volumes.items;

	(void)state;
	/* parents that nobody wrote, and everything in order */
	assert_int_equal(layout->pool.datasets.n_items, 6);
	assert_string_equal(datasets[0].name, "ROOT");
	assert_string_equal(datasets[0].mountpoint, "none");
	assert_string_equal(datasets[1].name, "ROOT/debian");
	assert_string_equal(datasets[5].name, "vm");
	assert_null(datasets[3].mountpoint); /* inherited */
	/* what was given stays, what was not gets a default */
	assert_string_equal(pair_get(&layout->pool.properties, "ashift"), "13");
	assert_string_equal(pair_get(&layout->pool.properties, "autotrim"), "on");
	assert_string_equal(pair_get(&layout->pool.filesystem_properties, "compression"), "zstd");
	assert_string_equal(pair_get(&layout->pool.filesystem_properties, "acltype"), "posixacl");
	/* swap */
	assert_int_equal(layout->pool.volumes.n_items, 2);
	assert_string_equal(volumes[1].name, LAYOUT_SWAP_VOLUME);
	assert_true(volumes[1].size == GIB);
}

/* "a-b" sorts between "a" and "a/c": parents stay in front of their children. */
/* A scalar in the place of encryption: is its unlock:. */
static void test_shorthand(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "encryption: native\n");
	_cleanup_free_ char *text = layout_dump(layout);
	_cleanup_(layout_freep) struct layout *again = test_layout(text);

	(void)state;
	assert_int_equal(layout->encryption.unlock, UNLOCK_NATIVE);
	assert_int_equal(layout->encryption.key_size, 512);
	assert_string_equal(pair_get(&layout->pool.filesystem_properties, "encryption"), "on");
	assert_true(record_equal(&record_layout, layout, again));
}

static void test_parents_before_children(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(
		TEST_HEAD TEST_DISKS TEST_POOL "datasets:\n"
		"  a/c/d: { mountpoint: / }\n  a-b: { mountpoint: none }\n  a.x/y: {}\n");
	const struct layout_dataset *datasets = layout->pool.datasets.items;

	(void)state;
	for (size_t i = 0; i < layout->pool.datasets.n_items; i++) {
		const char *slash = strrchr(datasets[i].name, '/');
		bool found = !slash;

		for (size_t k = 0; k < i && slash; k++)
			found |= strlen(datasets[k].name) == (size_t)(slash - datasets[i].name) &&
				 starts_with(datasets[i].name, datasets[k].name);
		assert_true(found);
	}
}

static void assert_mountpoint(const struct layout *layout, const char *name, const char *wanted)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &layout->pool.datasets)
	{
		_cleanup_free_ char *is = streq(dataset->name, name) ?
						  layout_mountpoint(&layout->pool, dataset) :
						  NULL;

		if (streq(dataset->name, name))
			assert_true(streq(is, wanted));
	}
}

/* With firmware: bios nothing on /boot is refused where it would not be mounted. */
static void test_mountpoints(void **state)
{
	static const struct {
		const char *name, *mountpoint;
	} cases[] = {
		{ "ROOT", NULL },	   { "ROOT/debian", "/" },
		{ "ROOT/debian/a", "/a" }, { "ROOT/debian/a/b", "/a/b" },
		{ "ROOT/debian/x", NULL }, { "ROOT/debian/x/boot", NULL },
		{ "srv", "/srv/x" },	   { "srv/boot", "/srv/x/boot" },
		{ "old", NULL },	   { "old/boot", NULL },
	};
	_cleanup_(layout_freep) struct layout *layout = test_layout(
		TEST_HEAD TEST_DISKS TEST_POOL "firmware: bios\ndatasets:\n"
		"  ROOT/debian: { mountpoint: / }\n  ROOT/debian/a: {}\n  ROOT/debian/a/b: {}\n"
		"  ROOT/debian/x/boot: {}\n  srv: { mountpoint: /srv/x }\n  srv/boot: {}\n"
		"  old: { mountpoint: legacy }\n  old/boot: {}\n");

	(void)state;
	assert_int_equal(layout->pool.datasets.n_items, ARRAY_SIZE(cases));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_mountpoint(layout, cases[i].name, cases[i].mountpoint);
}

static void test_lookups(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(everything);

	(void)state;
	assert_string_equal(layout_root(layout)->name, "ROOT/debian");
	assert_string_equal(layout_disk(layout, "b")->path, "/dev/b");
	assert_null(layout_disk(layout, "e"));
	assert_true(layout_is_member(layout, "d"));
	assert_true(layout_has_system(layout));
	assert_null(layout_free(NULL));
}

static void test_missing_file(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct layout *layout = NULL;

	(void)state;
	assert_int_equal(layout_read("/nonexistent/eyrie.yaml", &layout, &diag), -ENOENT);
	assert_non_null(strstr(test_only_finding(&diag), "/nonexistent/eyrie.yaml"));
	assert_non_null(diag.items[0].hint);
	assert_null(layout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip_of_the_smallest),
		cmocka_unit_test(test_round_trip_of_everything),
		cmocka_unit_test(test_round_trip_of_odd_texts),
		cmocka_unit_test(test_example_is_good),
		cmocka_unit_test(test_completed),
		cmocka_unit_test(test_shorthand),
		cmocka_unit_test(test_parents_before_children),
		cmocka_unit_test(test_mountpoints),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_missing_file),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
