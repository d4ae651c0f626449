/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What /boot has after a sync and after an exchange, and that each menu has its files wherever these are
 * cut. What an initramfs says is whose it is; a kernel says its version.
 */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "apply/internal.h"
#include "apply/kernels.h"
#include "base/file.h"
#include "order.h"
#include "test.h"

#define FOLDER "boot/eyrie"
#define MENU   FOLDER "/grub/grub.cfg"
#define NEVER  INT64_MAX /* nothing is of the system that runs */

static struct layout *layout;
static struct diag diag = DIAG_NULL;
static struct apply_context cxt;
static const char *without;  /* the version that the modules of a clone lack, or NULL */
static const char *current;  /* the environment that runs */
static bool is_made, is_gone; /* the other one is there; it is half-made again */
static uint64_t bytes_free;

/* Every initramfs holds the module of its version. */
static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	const char *version = starts_with(command->argv[1], "/boot/initrd.img-");

	(void)runner;
	*ret_errors = NULL;
	*ret_output = str_printf("usr/lib/modules/%s/zfs.ko\n", version ? version : "");
	return 0;
}

static struct runner runner = { .start = start };

/* In the place of the C library's. */
int statvfs(const char *path, struct statvfs *ret)
{
	(void)path;
	*ret = (struct statvfs){ .f_bavail = bytes_free / 512, .f_bsize = 512 };
	return 0;
}

static void write_text(const char *path, const char *text)
{
	test_write(test_path(path), text, strlen(text));
}

/* Each environment has modules in a root of its own: usr leads to that of the one that runs. */
static const char *root_of(const char *environment)
{
	return streq(environment, "before") ? "clone" : "debian";
}

static void enter_root(void)
{
	_cleanup_free_ char *usr = str_printf("%s/usr", root_of(current));

	(void)unlinkat(AT_FDCWD, test_path("usr"), 0); /* is never cut */
	assert_int_equal(symlink(usr, test_path("usr")), 0);
}

static void add_module(const char *root, const char *version)
{
	_cleanup_free_ char *folder = str_printf("%s/usr/lib/modules/%s", root, version);
	_cleanup_free_ char *module = str_printf("%s/zfs.ko", folder);

	assert_int_equal(file_make_folder(test_path(folder), NULL), 0);
	write_text(module, "m");
}

static void add_kernel(const char *version, const char *initrd)
{
	_cleanup_free_ char *image = str_printf("boot/vmlinuz-%s", version);
	_cleanup_free_ char *image_initrd = str_printf("boot/initrd.img-%s", version);
	_cleanup_free_ char *config = str_printf("boot/config-%s", version);

	write_text(image, version);
	write_text(image_initrd, initrd);
	write_text(config, version);
	add_module(root_of(current), version);
	if (!is_made && !streq(version, without))
		add_module("clone", version);
}

static void remove_kernel(const char *version)
{
	static const char *const files[] = { "vmlinuz", "initrd.img", "config" };
	_cleanup_free_ char *module = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = str_printf("boot/%s-%s", files[i], version);

		(void)unlink(test_path(path));
	}
	module = str_printf("%s/usr/lib/modules/%s/zfs.ko", root_of(current), version);
	assert_int_equal(unlink(test_path(module)), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

static void begin(void)
{
	order_begin();
	(void)nftw(test_folder(), remove_one, 8, FTW_DEPTH | FTW_PHYS);
	diag_deinit(&diag);
	diag = (struct diag)DIAG_NULL;
	without = NULL;
	current = "debian";
	is_made = is_gone = false;
	bytes_free = GIB;
	cxt.filling = NULL;
	assert_int_equal(file_make_folder(test_path("boot"), NULL), 0);
	add_kernel("6.1", "one");
}

static int setup(void **state)
{
	(void)state;
	layout = test_layout(TEST_LAYOUT "firmware: bios\n");
	cxt = (struct apply_context){ .layout = layout, .run = &runner, .target = test_folder(),
				      .diag = &diag };
	begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	order_begin();
	layout = layout_free(layout);
	diag_deinit(&diag);
	return 0;
}

static struct observed_dataset *add_dataset(struct observed_pool *pool, const char *name,
					    const char *state)
{
	struct observed_dataset *dataset = list_add(&pool->datasets, &record_observed_dataset);

	dataset->name = str_dup(name);
	dataset->type = str_dup("filesystem");
	pair_set(&dataset->properties, "mountpoint", "/");
	pair_set(&dataset->properties, NAME_STATE_PROPERTY, state);
	return dataset;
}

/* As the steps look at it. */
static struct observed *look(void)
{
	struct observed *have = mem_alloc(sizeof(*have));
	struct observed_pool *pool = list_add(&have->pools, &record_observed_pool);
	bool cloning = is_gone || cxt.filling;

	enter_root();
	free(layout_root(layout)->name);
	((struct layout_dataset *)layout_root(layout))->name = str_printf("ROOT/%s", current);
	pool->name = str_dup("rpool");
	pair_set(&pool->properties, "bootfs", "rpool/ROOT/debian");
	(void)add_dataset(pool, "rpool/ROOT/debian", "done:1");
	if (is_made) {
		struct observed_dataset *clone = add_dataset(pool, "rpool/ROOT/before",
							     cloning ? STATE_CLONING : "done:1");

		clone->origin = str_dup("rpool/ROOT/debian@eyrie-before");
		clone->mounted = str_dup(test_path("clone"));
	}
	observe_kernels(&runner, test_folder(), NULL, &have->system.kernels);
	observe_store(test_folder(), &have->system);
	return have;
}

/* What eyrie boot sync does, up to the step that fails. */
static int sync_boot(void)
{
	_cleanup_(observed_freep) struct observed *have = look();
	int r = 0;

	if (store_is_of_another(layout, have)) {
		r = kernels_take(&cxt, have, NEVER);
		(void)observed_free(have);
		have = look();
	}
	cxt.later = 0;
	r = r ? r : kernels_sync(&cxt, have);
	return r ? r : cxt.later;
}

static void expect_in_step(void)
{
	_cleanup_(observed_freep) struct observed *have = look();
	_cleanup_free_ char *menu = store_menu(layout, have, NULL);
	_cleanup_strbuf_ struct strbuf is = STRBUF_NULL;

	assert_int_equal(file_read(test_path(MENU), &is), 0);
	assert_string_equal(is.data, menu);
	assert_true(store_in_step(layout, have, NULL));
}

/* The clone is there, half-made, and then it is done. */
static int create(void)
{
	int r;

	is_made = true;
	cxt.filling = "before";
	r = sync_boot();
	cxt.filling = NULL;
	return r;
}

/* The first one has another kernel by now, and the other one what it was made with. */
static void make_two(void)
{
	begin();
	assert_int_equal(sync_boot(), 0);
	assert_int_equal(create(), 0);
	remove_kernel("6.1");
	add_kernel("6.2", "two");
	assert_int_equal(sync_boot(), 0);
	expect_in_step();
}

/* the menu, read */

static char *word_after(const char *text, const char *begin)
{
	const char *at = text ? strstr(text, begin) : NULL;

	at = at ? at + strlen(begin) : NULL;
	return at ? str_printf("%.*s", (int)strcspn(at, " \n"), at) : NULL;
}

static char *read_boot(const char *name)
{
	_cleanup_free_ char *path = str_printf("boot%s", name);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;

	return file_read(test_path(path), &text) || !text.size ? NULL : strbuf_take(&text);
}

/* "DATASET INITRD" of each entry whose files are there, a line each, in their order. */
static char *read_menu(void)
{
	_cleanup_strbuf_ struct strbuf menu = STRBUF_NULL, all = STRBUF_NULL;

	strbuf_add(&all, "");
	if (file_read(test_path(MENU), &menu))
		return strbuf_take(&all);
	for (const char *at = strstr(menu.data, "\nmenuentry "); at;
	     at = strstr(at + 1, "\nmenuentry ")) {
		_cleanup_free_ char *image = word_after(at, "\tlinux ");
		_cleanup_free_ char *initrd = word_after(at, "\tinitrd ");
		_cleanup_free_ char *root = word_after(at, " root=zfs:");
		_cleanup_free_ char *version = word_after(at, "kernel ");
		_cleanup_free_ char *kernel = read_boot(image), *whose = read_boot(initrd);

		if (!kernel || !whose || strncmp(kernel, version, strlen(kernel)) != 0)
			fail_msg("%s or %s is not there, or not what it was", image, initrd);
		strbuf_printf(&all, "%s %s\n", root, whose);
	}
	return strbuf_take(&all);
}

static void expect_menu(const char *entries)
{
	_cleanup_free_ char *is = read_menu();

	assert_string_equal(is, entries);
}

static void expect_boot(const char *name, const char *text)
{
	_cleanup_free_ char *is = read_boot(name);

	if (!streq(is, text))
		fail_msg("%s is %s instead of %s", name, is ? is : "not there", text ? text : "away");
}

/* what a sync does */

static void test_alone(void **state)
{
	(void)state;
	assert_int_equal(sync_boot(), 0);
	expect_menu("AUTO one\n");
	assert_int_equal(test_count(FOLDER), 1); /* the menu's */
	expect_in_step();
}

static void test_create(void **state)
{
	(void)state;
	assert_int_equal(create(), 0);
	expect_menu("rpool/ROOT/debian one\nrpool/ROOT/before one\n");
	assert_int_equal(test_count(FOLDER "/kernels"), 1); /* both have it */
	expect_boot("/eyrie/owner", "debian\n");
	expect_in_step();
}

/* An update takes nothing from the other one, whatever it writes over. */
static void test_update(void **state)
{
	(void)state;
	assert_int_equal(create(), 0);
	write_text("boot/initrd.img-6.1", "changed");
	expect_menu("rpool/ROOT/debian one\nrpool/ROOT/before one\n");
	assert_int_equal(sync_boot(), 0);
	expect_menu("rpool/ROOT/debian changed\nrpool/ROOT/before one\n");
	add_kernel("6.2", "two");
	remove_kernel("6.1");
	assert_int_equal(sync_boot(), 0);
	expect_menu("rpool/ROOT/debian two\nrpool/ROOT/before one\n");
	assert_int_equal(test_count(FOLDER "/kernels"), 2);
}

/* A snapshot of before a kernel came has no modules for it. */
static void test_older_snapshot(void **state)
{
	(void)state;
	without = "6.2";
	add_kernel("6.2", "two");
	assert_int_equal(create(), 0);
	expect_menu("rpool/ROOT/debian two\nrpool/ROOT/debian one\nrpool/ROOT/before one\n");
	begin();
	without = "6.2";
	add_kernel("6.2", "two");
	remove_kernel("6.1");
	assert_int_equal(create(), -ENOENT);
	assert_string_equal(test_only_finding(&diag), "the boot environment before would have no kernel "
			    "whose initramfs holds its zfs.ko");
}

static void test_destroy(void **state)
{
	(void)state;
	make_two();
	is_gone = true;
	assert_int_equal(sync_boot(), 0);
	expect_menu("AUTO two\n");
	assert_int_equal(test_count(FOLDER "/kernels"), 0);
	assert_int_equal(test_count(FOLDER "/environments"), 0);
	expect_boot("/eyrie/owner", NULL);
	expect_in_step();
}

static void test_exchange(void **state)
{
	(void)state;
	make_two();
	current = "before";
	assert_int_equal(sync_boot(), 0);
	expect_boot("/vmlinuz-6.1", "6.1");
	expect_boot("/initrd.img-6.1", "one");
	expect_boot("/config-6.1", "6.1");
	expect_boot("/vmlinuz-6.2", NULL);
	expect_boot("/initrd.img-6.2", NULL);
	expect_boot("/config-6.2", NULL);
	expect_boot("/eyrie/owner", "before\n");
	expect_menu("rpool/ROOT/debian two\nrpool/ROOT/before one\n");
	expect_in_step();
	assert_int_equal(diag.n_items, 0);
	write_text("boot/initrd.img-6.1", "its own");
	assert_int_equal(sync_boot(), 0);
	expect_menu("rpool/ROOT/debian two\nrpool/ROOT/before its own\n");
}

/* A kernel that nobody has a copy of is not thrown away. */
static void test_unsaved(void **state)
{
	(void)state;
	make_two();
	write_text("boot/vmlinuz-6.3", "6.3"); /* its initramfs was never made */
	current = "before";
	assert_int_equal(sync_boot(), 0);
	expect_boot("/vmlinuz-6.3", "6.3");
	expect_boot("/vmlinuz-6.2", NULL);
}

/* What the running one made before the first sync is its own; what was left there is not. */
static void test_fresh(void **state)
{
	_cleanup_(observed_freep) struct observed *have = NULL;

	(void)state;
	make_two();
	current = "before";
	add_kernel("6.1", "made since");
	have = look();
	assert_int_equal(kernels_take(&cxt, have, 0), 0);
	expect_boot("/initrd.img-6.1", "made since");
	make_two();
	current = "before";
	add_kernel("6.1", "left there");
	(void)observed_free(have);
	have = look();
	assert_int_equal(kernels_take(&cxt, have, NEVER), 0);
	expect_boot("/initrd.img-6.1", "one");
	assert_int_equal(diag.n_items, 1);
}

/* room */

static void test_no_room(void **state)
{
	(void)state;
	assert_int_equal(sync_boot(), 0);
	bytes_free = MIB;
	assert_int_equal(create(), -ENOSPC);
	assert_non_null(strstr(test_only_finding(&diag), "/boot has no room for a copy of kernel 6.1: "));
	expect_menu("AUTO one\n");
	assert_int_equal(test_count(FOLDER), 1);
	is_made = false;
	expect_in_step();
}

/* Nothing was copied yet of either: what lies in /boot itself is what starts the one that runs. */
static void test_no_room_for_any(void **state)
{
	(void)state;
	is_made = true;
	bytes_free = MIB;
	assert_int_equal(sync_boot(), -ENOSPC);
	expect_menu("rpool/ROOT/debian one\n");
	bytes_free = GIB;
	assert_int_equal(sync_boot(), 0);
	expect_menu("rpool/ROOT/debian one\n");
	assert_int_equal(test_count(FOLDER "/kernels"), 1);
	expect_in_step();
}

/* The image of before stays in the menu, and what is old goes all the same. */
static void test_no_room_for_update(void **state)
{
	(void)state;
	make_two();
	write_text("boot/initrd.img-6.2", "larger");
	bytes_free = MIB;
	assert_int_equal(sync_boot(), -ENOSPC);
	expect_menu("rpool/ROOT/debian two\nrpool/ROOT/before one\n");
	is_gone = true;
	assert_int_equal(sync_boot(), 0);
	expect_menu("AUTO larger\n");
}

static void test_no_room_to_exchange(void **state)
{
	(void)state;
	make_two();
	current = "before";
	bytes_free = MIB;
	assert_int_equal(sync_boot(), -ENOSPC);
	expect_boot("/initrd.img-6.2", "two");
	expect_boot("/eyrie/owner", "debian\n");
}

/* cuts */

/*
 * Cut `work` after each of the calls that make it durable. Whatever is left, the menu has its files and
 * begins with one of `menus` (NULL: the end); then either environment is started, and its sync ends with
 * what /boot has to have.
 */
static void cut(void (*prepare)(void), int (*work)(void), const char *const *menus,
		void (*check)(void))
{
	bool done = false;

	for (size_t n = 0; !done; n++)
		for (int next = 0; next < 2; next++) {
			_cleanup_free_ char *menu = NULL;
			bool known = false;

			prepare();
			order_begin();
			order_left = n;
			done = work() == 0;
			order_begin();
			menu = read_menu();
			for (const char *const *one = menus; *one; one++)
				known |= streq(menu, *one);
			if (!known)
				fail_msg("cut after %zu calls: the menu has %s", n, menu);
			if (next && is_made && !is_gone)
				current = streq(current, "before") ? "debian" : "before";
			assert_int_equal(sync_boot(), 0);
			expect_in_step();
			check();
			assert_true(n < 1000);
		}
}

static const char *const both[] = { "rpool/ROOT/debian two\nrpool/ROOT/before one\n", NULL };

static void start_the_other(void)
{
	make_two();
	current = "before";
}

static void check_two(void)
{
	bool first = streq(current, "debian");

	expect_menu(both[0]);
	expect_boot("/vmlinuz-6.1", first ? NULL : "6.1");
	expect_boot("/initrd.img-6.1", first ? NULL : "one");
	expect_boot("/config-6.1", first ? NULL : "6.1");
	expect_boot("/vmlinuz-6.2", first ? "6.2" : NULL);
	expect_boot("/initrd.img-6.2", first ? "two" : NULL);
	assert_int_equal(test_count(FOLDER "/kernels"), 2);
}

static void test_cut_exchange(void **state)
{
	(void)state;
	cut(start_the_other, sync_boot, both, check_two);
}

/* Both have the version, and each its own image of it. */
static void start_the_other_of_one_version(void)
{
	begin();
	assert_int_equal(create(), 0);
	write_text("boot/initrd.img-6.1", "two");
	assert_int_equal(sync_boot(), 0);
	current = "before";
}

static void check_one_version(void)
{
	expect_menu(both[0]);
	expect_boot("/vmlinuz-6.1", "6.1");
	expect_boot("/initrd.img-6.1", streq(current, "debian") ? "two" : "one");
}

static void test_cut_exchange_of_one_version(void **state)
{
	(void)state;
	cut(start_the_other_of_one_version, sync_boot, both, check_one_version);
}

static void prepare_update(void)
{
	make_two();
	add_kernel("6.3", "three");
	remove_kernel("6.2");
}

/* Started before its sync had ended, the other one leaves the new kernel alone, and it is not lost. */
static void check_update(void)
{
	current = "debian";
	assert_int_equal(sync_boot(), 0);
	expect_in_step();
	expect_menu("rpool/ROOT/debian three\nrpool/ROOT/before one\n");
	expect_boot("/initrd.img-6.1", NULL);
	expect_boot("/initrd.img-6.3", "three");
}

static void test_cut_update(void **state)
{
	static const char *const menus[] = { "rpool/ROOT/debian two\nrpool/ROOT/before one\n",
					     "rpool/ROOT/debian three\nrpool/ROOT/before one\n", NULL };

	(void)state;
	cut(prepare_update, sync_boot, menus, check_update);
}

static void prepare_creation(void)
{
	begin();
	assert_int_equal(sync_boot(), 0);
}

/* It is marked half-made until it is done. */
static int create_until_cut(void)
{
	int r = create();

	is_gone = r != 0;
	return r;
}

static void check_creation(void)
{
	expect_menu(is_gone ? "AUTO one\n" : "rpool/ROOT/debian one\nrpool/ROOT/before one\n");
	assert_int_equal(test_count(FOLDER "/kernels"), !is_gone);
}

static void test_cut_creation(void **state)
{
	static const char *const menus[] = { "AUTO one\n",
					     "rpool/ROOT/debian one\nrpool/ROOT/before one\n", NULL };

	(void)state;
	cut(prepare_creation, create_until_cut, menus, check_creation);
}

static void prepare_destruction(void)
{
	make_two();
	is_gone = true;
}

static void check_alone(void)
{
	expect_menu("AUTO two\n");
	expect_boot("/eyrie/owner", NULL);
	assert_int_equal(test_count(FOLDER "/kernels"), 0);
}

static void test_cut_destruction(void **state)
{
	static const char *const menus[] = { "rpool/ROOT/debian two\nrpool/ROOT/before one\n",
					     "AUTO two\n", NULL };

	(void)state;
	cut(prepare_destruction, sync_boot, menus, check_alone);
}

/* A leg of md that reads something else once: what a list names is not thrown away for it. */
static void test_bad_read(void **state)
{
	_cleanup_strbuf_ struct strbuf list = STRBUF_NULL;
	_cleanup_free_ char *hash = NULL, *path = NULL;

	(void)state;
	make_two();
	assert_int_equal(file_read(test_path(FOLDER "/environments/before"), &list), 0);
	hash = word_after(list.data, "kernel 6.1 ");
	path = str_printf(FOLDER "/kernels/6.1-%s/initrd.img", hash);
	write_text(path, "something else");
	assert_int_equal(sync_boot(), 0);
	assert_int_equal(test_count(FOLDER "/kernels"), 2);
	write_text(path, "one");
	assert_int_equal(sync_boot(), 0);
	expect_menu(both[0]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_alone),
		TEST(test_create),
		TEST(test_update),
		TEST(test_older_snapshot),
		TEST(test_destroy),
		TEST(test_exchange),
		TEST(test_unsaved),
		TEST(test_fresh),
		TEST(test_no_room),
		TEST(test_no_room_for_any),
		TEST(test_no_room_for_update),
		TEST(test_no_room_to_exchange),
		TEST(test_cut_exchange),
		TEST(test_cut_exchange_of_one_version),
		TEST(test_cut_update),
		TEST(test_cut_creation),
		TEST(test_cut_destruction),
		TEST(test_bad_read),
	};

	return cmocka_run_group_tests_name("kernels", tests, NULL, NULL);
}
