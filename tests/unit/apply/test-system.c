/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What has reached the disks when the state of the root says that it is done. */

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "apply/internal.h"
#include "base/file.h"
#include "order.h"
#include "test.h"

static struct layout *layout;
static const char *fails; /* the first word of a program that fails, or NULL */
static const char *away;  /* a pool that is not imported, or NULL */

/* Programs run in the target: what dracut is told to make lies below it. */
static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strbuf_ struct strbuf line = STRBUF_NULL;
	const char *last = NULL;

	(void)runner;
	*ret_output = *ret_errors = NULL;
	for (const char *const *word = command->argv; *word; word++) {
		strbuf_printf(&line, " %s", *word);
		last = *word;
	}
	order_note("run%s", line.data);
	if (streq(command->argv[0], "dracut")) {
		_cleanup_free_ char *image = str_printf("%s%s", command->root, last);

		test_write(image, "image", 5);
	}
	if (starts_with(line.data, " zfs get"))
		*ret_output = str_dup("configured:hash\n");
	if (streq(command->argv[0], "lsinitramfs"))
		*ret_output = str_dup("usr/lib/modules/6.1/zfs.ko\n");
	return streq(command->argv[0], fails) || (streq(command->argv[0], "zpool") && streq(last, away));
}

static struct runner runner = { .start = start };
static const struct step initrd = { .kind = STEP_INITRD, .object = (char *)"ROOT/debian" };
static struct diag diag = DIAG_NULL;
static struct apply_context cxt;

static int setup(void **state)
{
	(void)state;
	layout = test_layout(TEST_LAYOUT);
	cxt = (struct apply_context){ .layout = layout, .run = &runner, .target = test_folder(),
				      .diag = &diag };
	fails = away = NULL;
	if (file_make_folder(test_path("boot"), NULL) ||
	    file_make_folder(test_path("usr/lib/modules/6.1"), NULL))
		return -1;
	test_write(test_path("boot/vmlinuz-6.1"), "kernel", 6);
	test_write(test_path("usr/lib/modules/6.1/zfs.ko"), "module", 6);
	(void)unlink(test_path("boot/vmlinuz-6.2"));
	order_begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	layout = layout_free(layout);
	diag_deinit(&diag);
	order_begin();
	return 0;
}

/* The image and its name, whatever else lies on /boot, the pool; and only then the state. */
static void test_images(void **state)
{
	(void)state;
	assert_int_equal(apply_INITRD(&cxt, &initrd), 0);
	order_expect("run dracut", "fsync boot/initrd.img-6.1.new",
		     "rename boot/initrd.img-6.1.new boot/initrd.img-6.1",
		     "fsync boot/initrd.img-6.1$", "fsync boot$", "syncfs boot", "run zpool sync rpool", "run zfs set eyrie:state=done:hash",
		     NULL);
}

/* What is there is the old one, and the state is not set. */
static void test_image_fails(void **state)
{
	(void)state;
	test_write(test_path("boot/initrd.img-6.1"), "old", 3);
	fails = "dracut";
	assert_int_equal(apply_INITRD(&cxt, &initrd), -EIO);
	assert_false(order_has("rename"));
	assert_false(order_has("run zfs set"));
	assert_int_equal(access(test_path("boot/initrd.img-6.1.new"), F_OK), -1);
	assert_int_equal(file_size(test_path("boot/initrd.img-6.1")), 3);
}

/* One that has no module yet is named and left alone, in whatever order they are found. */
static void test_kernel_without_zfs(void **state)
{
	(void)state;
	test_write(test_path("boot/vmlinuz-6.2"), "kernel", 6);
	assert_int_equal(apply_INITRD(&cxt, &initrd), 0);
	order_expect("run dracut --force --quiet --kver 6.1", "run zfs set eyrie:state=done:hash", NULL);
	assert_false(order_has("run dracut --force --quiet --kver 6.2"));
	assert_int_equal(diag.n_items, 1);
	assert_int_equal(unlink(test_path("usr/lib/modules/6.1/zfs.ko")), 0);
	order_begin();
	assert_int_equal(apply_INITRD(&cxt, &initrd), -ENOENT);
	assert_false(order_has("run"));
}

/* A system without a /boot has nothing there. */
static void test_no_boot(void **state)
{
	_cleanup_free_ char *target = str_printf("%s/none", test_folder());

	(void)state;
	cxt.target = target;
	assert_int_equal(boot_sync_folder(&cxt), 0);
	assert_int_equal(diag.n_items, 0);
}

/* A further pool whose disks are away does not keep the root's pool open. */
static void test_close(void **state)
{
	_cleanup_(layout_freep) struct layout *two = test_layout(
		TEST_HEAD "disks:\n"
		"  a: { path: /dev/sda }\n  b: { path: /dev/sdb }\n  c: { path: /dev/sdc }\n"
		"  d: { path: /dev/sdd }\n"
		"pool: { name: rpool, vdevs: [mirror: [a, b]] }\n"
		"pools: { tank: { vdevs: [mirror: [c, d]] } }\n" TEST_DATASETS);

	(void)state;
	cxt.layout = two;
	away = "tank";
	assert_int_equal(apply_close(&cxt), 0);
	assert_int_equal(diag.n_items, 0);
	order_expect("run zpool list -H -o name rpool$", "run zpool export rpool$", NULL);
	assert_false(order_has("run zpool export tank"));
}

/* The menu of GRUB names kernels that are on the disks. */
static void test_menu(void **state)
{
	const struct step sync = { .kind = STEP_BOOT_SYNC };

	(void)state;
	test_write(test_path("boot/initrd.img-6.1"), "image", 5);
	assert_int_equal(apply_BOOT_SYNC(&cxt, &sync), 0);
	order_expect("syncfs boot", "rename boot/eyrie/grub/grub.cfg.eyrie-new boot/eyrie/grub/grub.cfg",
		     NULL);
}

/* No file is written that would forget a disk, and no state says that images are to be made of it. */
static void test_disk_dropped(void **state)
{
	const struct step write = { .kind = STEP_FILE_WRITE, .object = (char *)"/etc/crypttab" };
	bool named = false;

	(void)state;
	assert_int_equal(apply_FILE_WRITE(&cxt, &write), -ENODEV);
	assert_int_equal(diag.n_errors, 2);
	for (size_t i = 0; i < diag.n_items; i++)
		named |= strstr(diag.items[i].text, "disk 'left' has no member any more") != NULL;
	assert_true(named);
	assert_false(order_has("run zfs set"));
	assert_int_equal(access(test_path("etc/crypttab"), F_OK), -1);
}

/* GRUB sees what is in its place, and nothing that is in a journal only. */
static void test_journal(void **state)
{
	(void)state;
	assert_int_equal(boot_sync_folder(&cxt), 0);
	assert_false(order_has("freeze"));
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", test_path("boot"), "tmpfs", 0, NULL))
		skip();
	test_write(test_path("boot/vmlinuz-6.1"), "kernel", 6);
	test_write(test_path("boot/initrd.img-6.1"), "image", 5);
	test_menu(state);
	order_expect("rename boot/eyrie/grub/grub.cfg.eyrie-new", "syncfs boot$", "freeze boot$",
		     "thaw boot$", NULL);

	order_begin();
	order_fails = "freeze boot$";
	assert_int_equal(boot_sync_folder(&cxt), 0);
	assert_false(order_has("thaw"));
	order_begin();
	assert_int_equal(mount(NULL, test_path("boot"), NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	assert_int_equal(boot_sync_folder(&cxt), 0);
	assert_false(order_has("freeze"));
	assert_int_equal(umount(test_path("boot")), 0);
}

/* A leg that cannot be had back, or a disk that takes no GRUB, keeps no other one from its own. */
static void test_sick_disk(void **state)
{
	_cleanup_(plan_freep) struct plan *plan = mem_alloc(sizeof(*plan));
	static const enum step_kind kinds[] = { STEP_ARRAY_ADD, STEP_GRUB_INSTALL, STEP_POOL_SET };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct step *step = list_add(&plan->steps, &record_step);

		step->kind = kinds[i];
		step->disk = str_dup("left");
		step->object = str_dup("boot");
		step->value = str_dup("on");
	}
	assert_int_equal(apply_run(plan, &cxt), -ENODEV);
	assert_int_equal(diag.n_errors, 2);
	order_expect("run zpool set boot=on rpool", NULL);
	((struct step *)plan->steps.items)[2].kind = STEP_PEER_REMOVE;
	order_begin();
	assert_int_equal(apply_run(plan, &cxt), -ENODEV);
	assert_int_equal(diag.n_errors, 4);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_images),
		TEST(test_image_fails),
		TEST(test_kernel_without_zfs),
		TEST(test_no_boot),
		TEST(test_menu),
		TEST(test_close),
		TEST(test_disk_dropped),
		TEST(test_journal),
		TEST(test_sick_disk),
	};

	return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
