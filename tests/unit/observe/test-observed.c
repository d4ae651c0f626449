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
		cmocka_unit_test(test_lookups),
	};

	return cmocka_run_group_tests_name("observed", tests, NULL, NULL);
}
