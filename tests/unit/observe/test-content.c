/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What libblkid sees on images, and that looking writes nothing. */

#include <fcntl.h>

#include "base/file.h"
#include "base/run.h"
#include "luks-image.h"
#include "observe/observe.h"

static void probe(const char *path, struct content *content)
{
	_cleanup_free_ char *before = test_hash(path), *after = NULL;

	assert_int_equal(content_probe(path, content), 0);
	after = test_hash(path);
	assert_string_equal(before, after);
}

static void image(const char *path, uint64_t size)
{
	test_write(path, "", 0);
	assert_int_equal(truncate(path, (off_t)size), 0);
}

/* mkfs and the like; they are there wherever eyrie is built. */
static void make(const char *program, const char *option, const char *value, const char *path)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct runner runner;

	runner_init(&runner);
	if (run_words(&runner, &diag, program, option, value, path, NULL))
		fail_msg("%s", diag.items[0].text);
}

static void test_blank(void **state)
{
	_cleanup_(content_deinit) struct content content = {};

	(void)state;
	image(test_path("blank"), MIB);
	probe(test_path("blank"), &content);
	assert_null(content.type);
	assert_null(content.table);
	assert_false(content.ambiguous);
}

static void test_file_systems(void **state)
{
	_cleanup_(content_deinit) struct content vfat = {}, ext4 = {}, swap = {};

	(void)state;
	image(test_path("fs"), 64 * MIB);
	make("mkfs.vfat", "-n", "EYRIE", test_path("fs"));
	probe(test_path("fs"), &vfat);
	assert_string_equal(vfat.type, "vfat");
	assert_string_equal(vfat.label, "EYRIE");

	image(test_path("fs"), 64 * MIB);
	make("mkfs.ext4", "-L", "photos", test_path("fs"));
	probe(test_path("fs"), &ext4);
	assert_string_equal(ext4.type, "ext4");
	assert_string_equal(ext4.label, "photos");
	assert_non_null(ext4.uuid);

	image(test_path("fs"), 64 * MIB);
	make("mkswap", "-L", "swap", test_path("fs"));
	probe(test_path("fs"), &swap);
	assert_string_equal(swap.type, "swap");
}

/* Damaged in one copy: libblkid still sees LUKS, and neither it nor we mend it. */
static void test_damaged_luks(void **state)
{
	static const char zeros[4096];

	(void)state;
	for (int copy = 0; copy < 3; copy++) {
		_cleanup_(content_deinit) struct content content = {};

		luks_image(test_path("luks"), 1);
		if (copy < 2)
			luks_image_damage(test_path("luks"), copy * LUKS_IMAGE_HEADER, zeros,
					  sizeof(zeros));
		probe(test_path("luks"), &content);
		assert_string_equal(content.type, "crypto_LUKS");
	}
}

/* ext4's lies at 1024, in FAT's reserved sectors. */
static void copy_superblock(const char *from, const char *to)
{
	_cleanup_close_ int fd = open(from, O_RDONLY | O_CLOEXEC);
	char superblock[1024];

	assert_int_equal(pread(fd, superblock, sizeof(superblock), 1024), sizeof(superblock));
	luks_image_damage(to, 1024, superblock, sizeof(superblock));
}

/* Two at once: a whole file system, and the superblock of another one where that has none. */
static void test_ambiguous(void **state)
{
	_cleanup_(content_deinit) struct content content = {};

	(void)state;
	image(test_path("two"), 64 * MIB);
	make("mkfs.vfat", "-n", "EYRIE", test_path("two"));
	image(test_path("other"), 64 * MIB);
	make("mkfs.ext4", "-L", "photos", test_path("other"));
	copy_superblock(test_path("other"), test_path("two"));
	probe(test_path("two"), &content);
	assert_true(content.ambiguous);
}

static void test_not_there(void **state)
{
	_cleanup_(content_deinit) struct content content = {};

	(void)state;
	assert_true(content_probe("/nonexistent/device", &content) < 0);
	assert_null(content.type);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_file_systems),
		cmocka_unit_test(test_damaged_luks),
		cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_not_there),
	};

	return cmocka_run_group_tests_name("content", tests, NULL, NULL);
}
