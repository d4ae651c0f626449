/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The JSON form: every fixture of the golden tests reads, and reads back the same. */

#include <dirent.h>
#include <fnmatch.h>

#include "base/file.h"
#include "observe/observed.h"
#include "test.h"

static struct observed *read_fixture(const char *path)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct observed *observed = NULL;
	struct json_object *json;

	assert_int_equal(file_read(path, &text), 0);
	json = json_tokener_parse(text.data);
	assert_non_null(json);
	if (observed_from_json(json, &observed, &diag))
		fail_msg("%s: %s", path, diag.items[0].text);
	json_object_put(json);
	return observed;
}

static void expect_round_trip(const char *path)
{
	_cleanup_(observed_freep) struct observed *observed = read_fixture(path), *back = NULL;
	_cleanup_(observed_freep) struct observed *copy = observed_copy(observed);
	struct json_object *json = observed_to_json(observed);

	assert_int_equal(observed_from_json(json, &back, NULL), 0);
	json_object_put(json);
	assert_true(record_equal(&record_observed, observed, back));
	assert_true(record_equal(&record_observed, observed, copy));
}

static void test_fixtures(void **state)
{
	_cleanup_free_ char *folder =
		str_printf("%s/tests/golden/observed", getenv("EYRIE_SOURCE"));
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t n = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *path = str_printf("%s/%s", folder, entry->d_name);

		if (fnmatch("*.json", entry->d_name, 0) || streq(entry->d_name, "wrong.json"))
			continue;
		expect_round_trip(path);
		n++;
	}
	(void)closedir(dir);
	assert_true(n > 15);
}

/* A partition becomes a disk by its node, and by the names that udev makes of its table's. */
static void test_partition_as_disk(void **state)
{
	static const char *const paths[] = {
		"/dev/nvme0n1p2", "/dev/disk/by-partlabel/fast-log-a",
		"/dev/disk/by-partuuid/0a1b2c3d-0000-4000-8000-000000000012",
	};
	_cleanup_free_ char *path =
		str_printf("%s/tests/golden/observed/partitions-blank.json", getenv("EYRIE_SOURCE"));

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_(observed_freep) struct observed *observed = read_fixture(path);
		size_t n = observed->disks.n_items;
		const struct observed_partition *bare;
		struct observed_disk *disk;

		observed_name(observed, paths[i], "the log");
		disk = observed_disk(observed, "the log");
		assert_int_equal(observed->disks.n_items, n + 1);
		assert_string_equal(disk->path, "/dev/nvme0n1p2");
		assert_string_equal(disk->on, "/dev/nvme0n1");
		assert_string_equal(disk->serial, "N0000");
		assert_true(disk->size == GIB);
		assert_null(disk->table);
		assert_int_equal(disk->partitions.n_items, 1);
		bare = disk->partitions.items;
		assert_true(bare->bare);

		/* One more name of it, of a whole disk, and of nothing. */
		observed_name(observed, "/dev/nvme0n1p2", "again");
		assert_ptr_equal(observed_disk(observed, "again"), observed_disk(observed, "the log"));
		observed_name(observed, "/dev/sda", "left");
		assert_string_equal(observed_disk(observed, "left")->path, "/dev/sda");
		observed_name(observed, "/dev/disk/by-partlabel/none", "none");
		assert_null(observed_disk(observed, "none"));
		assert_int_equal(observed->disks.n_items, n + 1);
	}
}

static void test_lookups(void **state)
{
	_cleanup_free_ char *path =
		str_printf("%s/tests/golden/observed/finished.json", getenv("EYRIE_SOURCE"));
	_cleanup_(observed_freep) struct observed *observed = read_fixture(path);
	struct observed_disk *disk = observed_disk(observed, "/dev/disk/by-id/ata-FALCON_2");
	struct observed_pool *pool = observed_pool(observed, "rpool");

	(void)state;
	assert_string_equal(disk->path, "/dev/sdb");
	assert_ptr_equal(disk, observed_disk(observed, "/dev/sdb"));
	assert_null(observed_disk(observed, "/dev/sdc"));
	assert_non_null(observed_partition(disk, "eyrie-member-right"));
	assert_null(observed_partition(disk, "eyrie-member-left"));
	assert_non_null(pool);
	assert_non_null(observed_dataset(pool, "rpool/ROOT/debian"));
	assert_null(observed_dataset(pool, "ROOT/debian"));
	assert_null(observed_pool(observed, "tank"));
	assert_null(observed_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fixtures),
		cmocka_unit_test(test_partition_as_disk),
		cmocka_unit_test(test_lookups),
	};

	return cmocka_run_group_tests_name("observed", tests, NULL, NULL);
}
