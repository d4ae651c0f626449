/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which kernels have an initramfs with their own zfs.ko, by what the listing programs print. */

#include "base/file.h"
#include "observe/observe.h"
#include "test.h"

#define VERSION "6.12.1-amd64"
#define MODULE	"usr/lib/modules/" VERSION "/updates/dkms/zfs.ko.xz"
#define LONG	"-rw-r--r--   1 root     root       990000 Nov 23 08:00 "

/* The program that is installed, and what it prints. */
static const char *lister, *listing;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	(void)runner;
	*ret_output = *ret_errors = NULL;
	if (!streq(command->argv[0], lister))
		return 127;
	assert_string_equal(command->root, test_folder());
	assert_string_equal(command->argv[1], "/boot/initrd.img-" VERSION);
	*ret_output = str_dup(listing);
	return 0;
}

static bool has_zfs(const char *program, const char *prints)
{
	struct runner runner = { .start = start };
	const struct observed_kernel *kernel;
	struct list kernels = {};
	bool has;

	lister = program;
	listing = prints;
	observe_kernels(&runner, test_folder(), NULL, &kernels);
	assert_int_equal(kernels.n_items, 1);
	kernel = kernels.items;
	assert_string_equal(kernel->version, VERSION);
	assert_non_null(kernel->hash);
	has = kernel->has_zfs;
	list_deinit(&kernels, &record_observed_kernel);
	return has;
}

static int setup(void **state)
{
	(void)state;
	if (file_make_folder(test_path("boot"), NULL) ||
	    file_make_folder(test_path("usr/lib/modules/" VERSION "/updates/dkms"), NULL))
		return -1;
	test_write(test_path("boot/vmlinuz-" VERSION), "k", 1);
	test_write(test_path("boot/initrd.img-" VERSION), "i", 1);
	test_write(test_path(MODULE), "m", 1);
	return 0;
}

static void test_lsinitramfs(void **state)
{
	(void)state;
	assert_true(has_zfs("lsinitramfs", ".\nusr/lib\n" MODULE "\nusr/sbin/zfs\n"));
	assert_true(has_zfs("lsinitramfs", MODULE "\n"));
	assert_false(has_zfs("lsinitramfs", "usr/sbin/zfs\n" MODULE ".old\n"));
	assert_false(has_zfs("lsinitramfs", "old/" MODULE "\n"));
	assert_false(has_zfs("lsinitramfs", "usr/lib/modules/6.12.2-amd64/updates/dkms/zfs.ko.xz\n"));
	assert_false(has_zfs("lsinitramfs", ""));
}

static void test_lsinitrd(void **state)
{
	(void)state;
	assert_true(has_zfs("lsinitrd", "Image: x\n" LONG MODULE "\n" LONG "usr/bin/sh\n"));
	assert_false(has_zfs("lsinitrd", "Image: x\n" LONG "usr/bin/sh\n"));
	assert_false(has_zfs("lsinitrd", LONG MODULE " -> elsewhere\n"));
}

/* Then nothing is known of the image, and it is not published. */
static void test_no_lister(void **state)
{
	(void)state;
	assert_false(has_zfs("none", ""));
}

static char *selected(const char *name)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add_bytes(&b, "\6\0\0", 4);
	for (const char *c = name; *c; c++) {
		strbuf_add_bytes(&b, c, 1);
		strbuf_add_bytes(&b, "", 1);
	}
	strbuf_add_bytes(&b, "\0", 2);
	return entry_selected(b.data, b.size);
}

static void expect_selected(const char *name, const char *wanted)
{
	_cleanup_free_ char *found = selected(name);

	assert_true(streq(found, wanted));
}

/* LoaderEntrySelected: with or without a counter, and what is no name of a file. */
static void test_selected(void **state)
{
	(void)state;
	expect_selected("eyrie-6.1-aa.conf", "eyrie-6.1-aa.conf");
	expect_selected("eyrie-6.1-aa+3.conf", "eyrie-6.1-aa.conf");
	expect_selected("eyrie-6.1-aa+2-1.conf", "eyrie-6.1-aa.conf");
	expect_selected("auto-windows", "auto-windows");
	expect_selected("", NULL);
	expect_selected("../x", NULL);
	expect_selected("a b", NULL);
	expect_selected("a\xfc", NULL);
	assert_null(entry_selected("\6\0\0\0a\1\0", 8));
	assert_null(entry_selected("\6\0\0\0a", 5));
	assert_null(entry_selected("\6\0", 2));
	assert_null(entry_selected(NULL, 0));
}

/* In a chroot of a rescue system the kernel that runs is not one of this system. */
static void test_chroot(void **state)
{
	struct observed machine = {}, rescued = {};
	struct observed *const both[] = { &machine, &rescued };
	struct runner runner = { .start = start };

	(void)state;
	lister = "none";
	for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
		struct observed_pool *pool = list_add(&both[i]->pools, &record_observed_pool);

		pool->altroot = str_dup(i ? "/mnt" : NULL);
		((struct observed_dataset *)list_add(&pool->datasets, &record_observed_dataset))->mounted =
			str_dup("/");
		assert_int_equal(observe_system(&runner, both[i], "/nowhere", NULL), 0);
		assert_string_equal(both[i]->system.root, "/");
	}
	assert_non_null(machine.system.running);
	assert_non_null(machine.system.boot_id);
	assert_null(rescued.system.running);
	assert_null(rescued.system.boot_id);
	record_deinit(&record_observed, &machine);
	record_deinit(&record_observed, &rescued);
}

/* Of this very machine, wherever the test runs. */
static void test_running(void **state)
{
	_cleanup_free_ char *version = NULL, *started_by = NULL;

	(void)state;
	observe_running(&version, &started_by);
	assert_non_null(version);
}

static void test_boot_id(void **state)
{
	_cleanup_free_ char *one = observe_boot_id(), *again = observe_boot_id();

	(void)state;
	assert_int_equal(strlen(one), strlen("0f0e0d0c-0b0a-4908-8706-050403020100"));
	assert_string_equal(one, again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_boot_id),
		cmocka_unit_test(test_lsinitramfs),
		cmocka_unit_test(test_lsinitrd),
		cmocka_unit_test(test_no_lister),
		cmocka_unit_test(test_selected),
		cmocka_unit_test(test_chroot),
		cmocka_unit_test(test_running),
	};

	return cmocka_run_group_tests_name("system", tests, setup, NULL);
}
