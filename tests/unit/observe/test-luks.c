/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Headers made by libcryptsetup, damaged in every way; what is said, and that nothing is written. */

#include <fcntl.h>

#include "base/file.h"
#include "luks-image.h"
#include "observe/observe.h"

#define PRIMARY	  UINT64_C(0)
#define SECONDARY LUKS_IMAGE_HEADER

static const char zeros[LUKS_IMAGE_HEADER];

static void luks_deinit(struct observed_luks *luks)
{
	free(luks->uuid);
	free(luks->label);
	free(luks->subsystem);
}

#define _cleanup_luks_ _cleanup_(luks_deinit)

/* Observe, and compare the image before and after. */
static void observe(const char *path, struct observed_luks *luks)
{
	_cleanup_free_ char *before = test_hash(path), *after = NULL;

	observe_luks(path, luks);
	after = test_hash(path);
	assert_string_equal(before, after);
}

static void expect_ours(const struct observed_luks *luks, enum luks_state state, uint64_t n_slots)
{
	assert_int_equal(luks->state, state);
	assert_string_equal(luks->uuid, LUKS_IMAGE_UUID);
	assert_string_equal(luks->label, LUKS_IMAGE_LABEL);
	assert_string_equal(luks->subsystem, LUKS_IMAGE_SUBSYSTEM);
	assert_int_equal(luks->n_keyslots, n_slots);
	assert_null(luks->mapped);
}

static void test_whole(void **state)
{
	(void)state;
	for (unsigned n = 0; n < 3; n++) {
		_cleanup_luks_ struct observed_luks luks = {};

		luks_image(test_path("whole"), n);
		observe(test_path("whole"), &luks);
		expect_ours(&luks, LUKS_WHOLE, n);
	}
}

/* Every size of metadata that LUKS2 knows: the second copy lies behind the first. */
static void test_every_metadata_size(void **state)
{
	(void)state;
	for (uint64_t size = 16 * KIB; size <= 4 * MIB; size *= 2) {
		const char *path = test_path("size");
		struct crypt_device *cd = NULL;

		test_write(path, "", 0);
		assert_int_equal(truncate(path, 16 * MIB), 0);
		assert_int_equal(crypt_init(&cd, path), 0);
		assert_int_equal(crypt_set_metadata_size(cd, size, MIB), 0);
		assert_int_equal(crypt_set_pbkdf_type(cd, &luks_image_kdf), 0);
		assert_int_equal(crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, NULL, 32,
					      NULL), 0);
		crypt_free(cd);
		for (int damaged = 0; damaged < 2; damaged++) {
			_cleanup_luks_ struct observed_luks luks = {};

			observe(path, &luks);
			assert_int_equal(luks.state,
					 damaged ? LUKS_PRIMARY_DAMAGED : LUKS_WHOLE);
			assert_null(luks.label);
			assert_null(luks.subsystem);
			luks_image_damage(path, PRIMARY, zeros, 4096);
		}
	}
}

/* One bit anywhere in a copy, or all of it. */
static void test_one_copy_damaged(void **state)
{
	static const uint64_t offsets[] = { 0, 6, 8, 16, 24, 72, 104, 168, 208, 448, 4095,
					    4096, 4200, LUKS_IMAGE_HEADER - 1 };

	(void)state;
	for (int copy = 0; copy < 2; copy++)
		for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
			_cleanup_luks_ struct observed_luks luks = {};
			const char *path = test_path("one");
			uint64_t at = copy * SECONDARY + offsets[i];
			_cleanup_close_ int fd = -1;
			unsigned char byte;

			luks_image(path, 1);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
			byte ^= 1;
			luks_image_damage(path, at, &byte, 1);
			observe(path, &luks);
			expect_ours(&luks, copy ? LUKS_SECONDARY_DAMAGED : LUKS_PRIMARY_DAMAGED, 1);
		}
}

static void test_one_copy_gone(void **state)
{
	(void)state;
	for (int copy = 0; copy < 2; copy++) {
		_cleanup_luks_ struct observed_luks luks = {};

		luks_image(test_path("gone"), 1);
		luks_image_damage(test_path("gone"), copy * SECONDARY, zeros, sizeof(zeros));
		observe(test_path("gone"), &luks);
		expect_ours(&luks, copy ? LUKS_SECONDARY_DAMAGED : LUKS_PRIMARY_DAMAGED, 1);
	}
}

static void test_both_damaged(void **state)
{
	_cleanup_luks_ struct observed_luks luks = {}, nothing = {};
	const char *path = test_path("both");

	(void)state;
	luks_image(path, 1);
	luks_image_damage(path, PRIMARY + 5000, "x", 1);
	luks_image_damage(path, SECONDARY + 5000, "x", 1);
	observe(path, &luks);
	assert_int_equal(luks.state, LUKS_UNREADABLE);
	assert_null(luks.uuid);
	assert_int_equal(luks.n_keyslots, 0);

	luks_image_damage(path, PRIMARY, zeros, sizeof(zeros));
	observe(path, &nothing);
	assert_int_equal(nothing.state, LUKS_NONE);
}

/* A copy that is whole, but lies where no copy belongs, is of something else. */
static void test_copy_at_a_wrong_place(void **state)
{
	_cleanup_luks_ struct observed_luks luks = {};
	const char *path = test_path("moved");
	_cleanup_close_ int fd = -1;
	char copy[LUKS_IMAGE_HEADER];

	(void)state;
	luks_image(path, 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, copy, sizeof(copy), SECONDARY), sizeof(copy));
	luks_image_damage(path, PRIMARY, zeros, sizeof(zeros));
	luks_image_damage(path, SECONDARY, zeros, sizeof(zeros));
	luks_image_damage(path, 2 * SECONDARY, copy, sizeof(copy));
	observe(path, &luks);
	assert_int_equal(luks.state, LUKS_NONE);
}

static void test_version_1(void **state)
{
	_cleanup_luks_ struct observed_luks luks = {};
	const char *path = test_path("luks1");
	struct crypt_device *cd = NULL;

	(void)state;
	test_write(path, "", 0);
	assert_int_equal(truncate(path, LUKS_IMAGE_SIZE), 0);
	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &luks_image_kdf), 0);
	assert_int_equal(crypt_format(cd, CRYPT_LUKS1, "aes", "xts-plain64", NULL, NULL, 32, NULL), 0);
	crypt_free(cd);
	observe(path, &luks);
	assert_int_equal(luks.state, LUKS_UNREADABLE); /* there, and nothing that eyrie reads */
}

static void test_nothing_there(void **state)
{
	static const size_t sizes[] = { 0, 1, 6, 4095, 4096, 20000 };
	_cleanup_luks_ struct observed_luks missing = {};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_luks_ struct observed_luks luks = {};

		test_write(test_path("blank"), zeros, 0);
		assert_int_equal(truncate(test_path("blank"), (off_t)sizes[i]), 0);
		observe(test_path("blank"), &luks);
		assert_int_equal(luks.state, LUKS_NONE);
	}
	observe_luks("/nonexistent/device", &missing);
	assert_int_equal(missing.state, LUKS_NONE);
}

/* Ends in the middle of a header. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t size = 512; size < 2 * LUKS_IMAGE_HEADER; size += 1536) {
		_cleanup_luks_ struct observed_luks luks = {};
		const char *path = test_path("truncated");

		luks_image(path, 1);
		assert_int_equal(truncate(path, (off_t)size), 0);
		observe(path, &luks);
		assert_int_equal(luks.state, size < LUKS_IMAGE_HEADER ? LUKS_UNREADABLE :
									LUKS_SECONDARY_DAMAGED);
	}
}

/* crypt_load() mends the damaged copy: the reason why observing does without it. */
static void test_library_would_have_written(void **state)
{
	_cleanup_free_ char *before = NULL, *after = NULL;
	const char *path = test_path("mended");
	struct crypt_device *cd = NULL;

	(void)state;
	luks_image(path, 1);
	luks_image_damage(path, SECONDARY, zeros, 4096);
	before = test_hash(path);
	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	crypt_free(cd);
	after = test_hash(path);
	assert_string_not_equal(before, after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_every_metadata_size),
		cmocka_unit_test(test_one_copy_damaged),
		cmocka_unit_test(test_one_copy_gone),
		cmocka_unit_test(test_both_damaged),
		cmocka_unit_test(test_copy_at_a_wrong_place),
		cmocka_unit_test(test_version_1),
		cmocka_unit_test(test_nothing_there),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_library_would_have_written),
	};

	return cmocka_run_group_tests_name("luks", tests, NULL, NULL);
}
