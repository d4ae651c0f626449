/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* GRUB as grub-install leaves it: an MBR, a core image, and the same image in /boot. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "observe/observe.h"
#include "test.h"

#define SECTOR	512u
#define START	(34 * MIB)
#define SIZE	(3 * SECTOR + 100) /* of core.img: a block that names the rest, and the rest */

static uint8_t core[4 * SECTOR];

static void put(const char *path, off_t at, const void *data, size_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, size, at), size);
}

/* MBR and image as they are on a disk; numbers are little-endian, as this processor's. */
static void install(const char *disk)
{
	uint8_t mbr[SECTOR] = {}, first[SECTOR] = {};
	uint64_t sector = START / SECTOR, next = sector + 1;
	uint16_t count = 3;

	for (size_t i = 0; i < SIZE; i++)
		core[i] = (uint8_t)(i * 7);
	memcpy(mbr + 0x5c, &sector, 8);
	memcpy(mbr + 0x1fe, "\x55\xaa", 2);
	memcpy(first, core, SECTOR);
	memcpy(first + 0x1f4, &next, 8);
	memcpy(first + 0x1fc, &count, 2);
	put(disk, 0, mbr, sizeof(mbr));
	put(disk, START, first, sizeof(first));
	put(disk, START + SECTOR, core + SECTOR, 3 * SECTOR);
}

/* A system whose GRUB is whole in /boot, and the folder of another one. */
static void make_boot(const char *root)
{
	_cleanup_free_ char *usr = str_printf("%s/usr/lib/grub/i386-pc", root);
	_cleanup_free_ char *mod = str_printf("%s/normal.mod", usr);
	_cleanup_free_ char *other = str_printf("%s/boot/eyrie/grub/i386-pc", root);
	char hash[HASH_HEX_SIZE];

	assert_int_equal(file_make_folder(usr, NULL), 0);
	assert_int_equal(file_make_folder(other, NULL), 0);
	put(mod, 0, "module", 6);
	assert_int_equal(data_hash("module", 6, hash), 0);

	_cleanup_free_ char *folder = observe_grub_folder(hash);
	_cleanup_free_ char *files = str_printf("%s/boot/%s/grub/i386-pc", root, folder);
	_cleanup_free_ char *image = str_printf("%s/core.img", files);
	_cleanup_free_ char *config = str_printf("%s/boot/%s/grub/grub.cfg", root, folder);

	assert_int_equal(file_make_folder(files, NULL), 0);
	put(image, 0, core, SIZE);
	put(config, 0, "#", 1);
}

static void test_what_was_installed_is_what_is_in_boot(void **state)
{
	const char *disk = test_path("grub.img");
	struct observed_system system = {};
	const struct observed_grub *other;
	_cleanup_free_ char *grub = NULL;

	(void)state;
	install(disk);
	make_boot(test_path("grub-root"));
	observe_grub_system(test_path("grub-root"), &system);
	grub = observe_grub(disk, START);
	assert_non_null(grub);
	assert_string_equal(grub, system.grub_core);
	assert_int_equal(system.grub_others.n_items, 1);
	other = system.grub_others.items;
	assert_string_equal(other->folder, "eyrie/grub/i386-pc");
	assert_null(other->core);
	assert_null(system.grub_config);
	record_deinit(&record_observed_system, &system);
}

/* What grub-install did not end is nothing that a disk could start. */
static void test_half_made(void **state)
{
	const char *root = test_path("half-root");
	struct observed_system system = {};
	char hash[HASH_HEX_SIZE];

	(void)state;
	make_boot(root);
	assert_int_equal(data_hash("module", 6, hash), 0);

	_cleanup_free_ char *folder = observe_grub_folder(hash);
	_cleanup_free_ char *config = str_printf("%s/boot/%s/grub/grub.cfg", root, folder);

	assert_int_equal(unlink(config), 0);
	observe_grub_system(root, &system);
	assert_non_null(system.grub);
	assert_null(system.grub_core);
	record_deinit(&record_observed_system, &system);
}

static void expect_none(const char *disk)
{
	_cleanup_free_ char *grub = observe_grub(disk, START);

	assert_null(grub);
}

static void test_one_bit_is_another_one(void **state)
{
	const char *disk = test_path("torn.img");
	_cleanup_free_ char *before = NULL, *after = NULL;

	(void)state;
	install(disk);
	before = observe_grub(disk, START);
	put(disk, START + 2 * SECTOR + 5, "!", 1);
	after = observe_grub(disk, START);
	assert_non_null(after);
	assert_string_not_equal(before, after);
}

static void test_broken_off(void **state)
{
	const char *disk = test_path("broken.img");
	static const uint8_t zero[SECTOR];
	const uint16_t many = 0xffff;

	(void)state;
	expect_none(test_path("nowhere.img"));
	put(disk, 0, zero, sizeof(zero));
	expect_none(disk); /* no MBR, and no partition where it should be */
	install(disk);
	put(disk, 0x1fe, "\0", 1);
	expect_none(disk);
	install(disk);
	put(disk, 0x5c, "\1", 1); /* the MBR starts something else */
	expect_none(disk);
	install(disk);
	put(disk, START, zero, sizeof(zero)); /* the first block names nothing */
	expect_none(disk);
	install(disk);
	put(disk, START + 0x1fc, &many, 2);
	expect_none(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_was_installed_is_what_is_in_boot),
		cmocka_unit_test(test_half_made),
		cmocka_unit_test(test_one_bit_is_another_one),
		cmocka_unit_test(test_broken_off),
	};

	return cmocka_run_group_tests_name("grub", tests, NULL, NULL);
}
