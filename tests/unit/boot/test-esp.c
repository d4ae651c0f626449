/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is on an EFI system partition after a sync: folders stand in for the partition and for the
 * roots of boot environments.
 */

#include <dirent.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/file.h"
#include "boot/esp.h"
#include "observe/observe.h"
#include "order.h"
#include "test.h"

static struct layout *layout;
static struct environment debian, before, work;

/* Whatever image it is, it holds the module; but for that of this version. */
static const char *without;
static unsigned n_listed;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	const char *version = starts_with(command->argv[1], "/boot/initrd.img-");

	(void)runner;
	*ret_output = *ret_errors = NULL;
	assert_string_equal(command->argv[0], "lsinitramfs");
	assert_non_null(version);
	n_listed++;
	*ret_output = streq(version, without) ?
			      str_dup("usr/sbin/zfs\n") :
			      str_printf("usr/lib/modules/%s/zfs.ko\n", version);
	return 0;
}

static struct runner runner = { .start = start };

static void write_text(const char *path, const char *text)
{
	test_write(test_path(path), text, strlen(text));
}

static void make_folder(const char *format, const char *a, const char *b)
{
	_cleanup_free_ char *name = str_printf(format, a, b);

	assert_int_equal(file_make_folder(test_path(name), NULL), 0);
}

/* A kernel in the /boot of a root; `content` makes its hash. */
static void add_kernel(const char *root, const char *version, const char *content)
{
	_cleanup_free_ char *image = str_printf("%s/boot/vmlinuz-%s", root, version);
	_cleanup_free_ char *initrd = str_printf("%s/boot/initrd.img-%s", root, version);
	_cleanup_free_ char *module =
		str_printf("%s/usr/lib/modules/%s/zfs.ko", root, version);

	make_folder("%s/boot%s", root, "");
	make_folder("%s/usr/lib/modules/%s", root, version);
	write_text(image, version);
	write_text(initrd, content);
	write_text(module, "m");
}

static void remove_kernel(const char *root, const char *version)
{
	_cleanup_free_ char *image = str_printf("%s/boot/vmlinuz-%s", root, version);

	assert_int_equal(unlink(test_path(image)), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level ? remove(path) : 0;
}

static int setup(void **state)
{
	(void)state;
	(void)nftw(test_folder(), remove_one, 8, FTW_DEPTH | FTW_PHYS);
	without = NULL;
	n_listed = 0;
	order_begin();
	layout = test_layout(TEST_LAYOUT);
	debian = (struct environment){ .name = (char *)"debian",
				       .dataset = (char *)"rpool/ROOT/debian", .active = true,
				       .current = true };
	before = (struct environment){ .name = (char *)"before",
				       .dataset = (char *)"rpool/ROOT/before" };
	work = (struct environment){ .name = (char *)"work",
				     .dataset = (char *)"rpool/ROOT/work" };
	make_folder("%s/usr/lib/systemd/boot/efi%s", "debian", "");
	write_text("debian/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "loader");
	make_folder("%s%s", "esp", "");
	add_kernel("debian", "6.1", "one");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	layout = layout_free(layout);
	return 0;
}

/* It runs, by something that its /boot has not and that no boot loader told of; and it does not run. */
#define CURRENT	     { &debian, test_path("debian"), .running = "5.0" }
#define RESCUED	     { &debian, test_path("debian") }
#define RUNNING(by)  { &debian, test_path("debian"), .running = "6.1", .started_by = (by) }
#define OTHER(e, folder) { &(e), (folder) ? test_path(folder) : NULL, false }

static int sync_of(const struct esp_system *systems, size_t n, struct diag *diag)
{
	return esp_sync(&runner, layout, systems, n, test_path("esp"), diag);
}

static void sync_alone(void)
{
	const struct esp_system systems[] = { CURRENT };

	assert_int_equal(sync_of(systems, 1, NULL), 0);
}

static void sync_with(const char *folder)
{
	const struct esp_system systems[] = { CURRENT, OTHER(before, folder) };

	assert_int_equal(sync_of(systems, 2, NULL), 0);
}

struct entry {
	char *file, *text;
};

static void entry_deinit(struct entry *entry)
{
	free(entry->file);
	free(entry->text);
}

#define _cleanup_entry_ _cleanup_(entry_deinit)

/* The only entry whose file begins so and whose text has that line; all NULL when there is none. */
static struct entry find_entry(const char *begin, const char *line)
{
	DIR *dir = opendir(test_path("esp/loader/entries"));
	struct entry found = {};
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		_cleanup_free_ char *path = str_printf("esp/loader/entries/%s", d->d_name);
		_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

		if (*d->d_name == '.' || !starts_with(d->d_name, begin))
			continue;
		assert_int_equal(file_read(test_path(path), &b), 0);
		if (!strstr(b.data, line))
			continue;
		assert_null(found.file);
		found = (struct entry){ str_dup(d->d_name), strbuf_take(&b) };
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The file of the only entry whose name begins so. */
static char *file_of(const char *begin)
{
	_cleanup_entry_ struct entry entry = find_entry(begin, "");

	assert_non_null(entry.file);
	return take_ptr(entry.file);
}

/* The file of the only entry with that line. */
static char *file_with(const char *line)
{
	_cleanup_entry_ struct entry entry = find_entry("", line);

	assert_non_null(entry.file);
	return take_ptr(entry.file);
}

static void expect_entry(const char *begin, const char *line)
{
	_cleanup_entry_ struct entry entry = find_entry(begin, "");

	assert_non_null(entry.text);
	if (!strstr(entry.text, line))
		fail_msg("%s has no '%s': %s", begin, line, entry.text);
}

static void expect_none(const char *begin)
{
	_cleanup_entry_ struct entry entry = find_entry(begin, "");

	assert_null(entry.file);
}

/* One environment alone: its entry leaves the dataset to bootfs. */
static void test_alone(void **state)
{
	(void)state;
	sync_alone();
	expect_entry("eyrie-6.1-", "\noptions root=zfs:AUTO\n");
	expect_entry("eyrie-6.1-", "\nsort-key eyrie\n");
	assert_int_equal(test_count("esp/eyrie"), 1);
	assert_true(access(test_path("esp/EFI/BOOT/BOOTX64.EFI"), F_OK) == 0);
}

/* A clone has the same kernel: one folder, two entries, and the image is looked into once. */
static void test_shared_kernel(void **state)
{
	(void)state;
	sync_alone();
	add_kernel("before", "6.1", "one");
	n_listed = 0;
	sync_with("before");
	assert_int_equal(n_listed, 1);
	assert_int_equal(test_count("esp/eyrie"), 1);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	expect_entry("eyrie-debian-6.1-", "\noptions root=zfs:rpool/ROOT/debian\n");
	expect_entry("eyrie-debian-6.1-", "\nsort-key eyrie\n");
	expect_entry("eyrie-before-6.1-", "\ntitle falcon, before, kernel 6.1\n");
	expect_entry("eyrie-before-6.1-", "\nsort-key eyrie-before\n");
	expect_entry("eyrie-before-6.1-", "\noptions root=zfs:rpool/ROOT/before\n");
}

/* With a /boot that all share, what another one has comes out of the store there. */
static void test_stored_kernel(void **state)
{
	_cleanup_free_ char *folder = NULL, *path = NULL;
	struct list stored = {};
	struct observed_kernel *kernel = list_add(&stored, &record_observed_kernel);
	struct esp_system systems[] = { CURRENT, OTHER(before, "debian") };

	(void)state;
	add_kernel("elsewhere", "6.0", "zero");
	kernel->version = str_dup("6.0");
	kernel->hash = mem_alloc(KERNEL_HASH_SIZE);
	kernel->has_zfs = true;
	assert_int_equal(kernel_hash(test_path("elsewhere/boot/vmlinuz-6.0"),
				     test_path("elsewhere/boot/initrd.img-6.0"), kernel->hash), 0);
	folder = str_printf("debian/boot/" STORE_FOLDER "/6.0-%s", kernel->hash);
	make_folder("%s%s", folder, "");
	path = str_printf("%s/vmlinuz", folder);
	write_text(path, "6.0");
	str_set(&path, NULL);
	path = str_printf("%s/initrd.img", folder);
	write_text(path, "zero");
	systems[1].stored = &stored;
	assert_int_equal(sync_of(systems, 2, NULL), 0);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	expect_entry("eyrie-before-6.0-", "\noptions root=zfs:rpool/ROOT/before\n");
	assert_int_equal(test_count("esp/eyrie"), 2);
	list_deinit(&stored, &record_observed_kernel);
}

/* The newer one removes its old kernel: the older environment keeps it. */
static void test_kernel_of_another(void **state)
{
	(void)state;
	add_kernel("before", "6.1", "one");
	sync_with("before");
	add_kernel("debian", "6.2", "two");
	remove_kernel("debian", "6.1");
	sync_with("before");
	assert_int_equal(test_count("esp/eyrie"), 2);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	expect_entry("eyrie-before-6.1-", "\nlinux /eyrie/6.1-");
	expect_none("eyrie-debian-6.1-");
	expect_entry("eyrie-debian-6.2-", "\nlinux /eyrie/6.2-");
}

/* An environment that is gone takes its entries and kernels along; one alone leaves it to bootfs. */
static void test_gone(void **state)
{
	(void)state;
	add_kernel("before", "6.0", "zero");
	sync_with("before");
	assert_int_equal(test_count("esp/eyrie"), 2);
	sync_alone();
	assert_int_equal(test_count("esp/eyrie"), 1);
	assert_int_equal(test_count("esp/loader/entries"), 1);
	expect_entry("eyrie-6.1-", "\noptions root=zfs:AUTO\n");
}

/* What cannot be read now is neither removed nor left without its kernel. */
static void test_unread(void **state)
{
	(void)state;
	add_kernel("before", "6.0", "zero");
	sync_with("before");
	sync_with(NULL);
	assert_int_equal(test_count("esp/eyrie"), 2);
	expect_entry("eyrie-before-6.0-", "\nsort-key eyrie-before\n");
	before.active = true;
	debian.active = false;
	sync_with(NULL);
	expect_entry("eyrie-before-6.0-", "\nsort-key eyrie\n");
	expect_entry("eyrie-debian-6.1-", "\nsort-key eyrie-debian\n");
}

/* Of another environment only the place in the menu changes: its parameters are its own. */
static void test_activated(void **state)
{
	(void)state;
	add_kernel("before", "6.1", "one");
	sync_with("before");
	layout->boot.cmdline = str_dup("quiet");
	before.active = true;
	debian.active = false;
	sync_with("before");
	expect_entry("eyrie-before-6.1-", "\nsort-key eyrie\n");
	expect_entry("eyrie-before-6.1-", "\noptions root=zfs:rpool/ROOT/before\n");
	expect_entry("eyrie-debian-6.1-", "\nsort-key eyrie-debian\n");
	expect_entry("eyrie-debian-6.1-", "\noptions root=zfs:rpool/ROOT/debian quiet\n");
}

static void append(const char *path, const char *text)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	assert_int_equal(file_read(test_path(path), &b), 0);
	strbuf_add(&b, text);
	test_write(test_path(path), b.data, b.size);
}

/* A changed layout is the owner's word; of what somebody wrote into a menu each line is told. */
static void test_edited(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	const struct esp_system systems[] = { CURRENT };
	_cleanup_free_ char *file = NULL, *path = NULL;

	(void)state;
	sync_alone();
	layout->boot.cmdline = str_dup("quiet");
	layout->boot.timeout = 7;
	assert_int_equal(sync_of(systems, 1, &diag), 0);
	assert_int_equal(diag.n_items, 0);
	file = file_of("eyrie-6.1-");
	path = str_printf("esp/loader/entries/%s", file);
	append(path, "devicetree /board.dtb\n");
	append("esp/loader/loader.conf", "editor no\n");
	assert_int_equal(sync_of(systems, 1, &diag), 0);
	assert_int_equal(diag.n_items, 2);
	assert_non_null(strstr(diag.items[0].text, path + strlen("esp")));
	assert_non_null(strstr(diag.items[0].hint, ":\n-devicetree /board.dtb"));
	assert_non_null(starts_with(diag.items[1].text, "/loader/loader.conf was changed"));
	expect_entry("eyrie-6.1-", "\noptions root=zfs:AUTO quiet\n");
	assert_int_equal(sync_of(systems, 1, &diag), 0);
	assert_int_equal(diag.n_items, 2);

	append(path, "devicetree /board.dtb\n");
	add_kernel("debian", "6.1", "two");
	assert_int_equal(sync_of(systems, 1, &diag), 0);
	assert_int_equal(diag.n_items, 3);
	assert_non_null(strstr(diag.items[2].text, "and goes with its kernel"));
	assert_non_null(strstr(diag.items[2].hint, "\n-devicetree /board.dtb"));
}

/* A new entry among others has three tries, and keeps those that are left wherever it is sorted. */
static void test_counters(void **state)
{
	_cleanup_free_ char *new = NULL, *used = NULL, *from = NULL, *to = NULL, *now = NULL;

	(void)state;
	sync_alone();
	add_kernel("before", "6.1", "one");
	sync_with("before");
	new = file_of("eyrie-before-6.1-");
	assert_non_null(strstr(new, "+3.conf"));
	used = str_printf("%.*s+2-1.conf", (int)(strchr(new, '+') - new), new);
	from = str_printf("esp/loader/entries/%s", new);
	to = str_printf("esp/loader/entries/%s", used);
	assert_int_equal(rename(test_path(from), test_path(to)), 0);
	before.active = true;
	debian.active = false;
	sync_with("before");
	assert_int_equal(test_count("esp/loader/entries"), 2);
	now = file_of("eyrie-before-6.1-");
	assert_string_equal(now, used);
	expect_entry("eyrie-before-6.1-", "\nsort-key eyrie\n");
}

/* Two whose names begin alike are told apart. */
static void test_alike(void **state)
{
	struct environment alike = { .name = (char *)"before-2",
				     .dataset = (char *)"rpool/ROOT/before-2" };
	const struct esp_system all[] = { CURRENT, OTHER(before, "before"), OTHER(alike, "alike") };
	const struct esp_system two[] = { CURRENT, OTHER(alike, "alike") };

	(void)state;
	add_kernel("before", "6.1", "one");
	add_kernel("alike", "6.1", "one");
	assert_int_equal(sync_of(all, 3, NULL), 0);
	assert_int_equal(test_count("esp/loader/entries"), 3);
	assert_int_equal(sync_of(two, 2, NULL), 0);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	expect_entry("eyrie-before-2-6.1-", "root=zfs:rpool/ROOT/before-2\n");
}

/* An initramfs without zfs.ko was never published, and one that was stays. */
static void test_without_zfs(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct esp_system systems[] = { CURRENT, OTHER(work, "work") };

	(void)state;
	add_kernel("work", "6.3", "three");
	without = "6.3";
	assert_int_equal(sync_of(systems, 2, &diag), 0);
	assert_string_equal(test_only_finding(&diag),
			    "the boot environment work has no kernel in /boot that would find its root, "
			    "and keeps what it has in the menu");
	assert_int_equal(test_count("esp/loader/entries"), 1);

	systems[1].is_new = true;
	assert_int_equal(sync_of(systems, 2, NULL), -ENOENT);

	without = NULL;
	assert_int_equal(sync_of(systems, 2, NULL), 0);
	without = "6.3";
	assert_int_equal(sync_of(systems, 2, NULL), 0);
	expect_entry("eyrie-work-6.3-", "\nlinux /eyrie/6.3-");
}

/* What it is started by stays when its /boot has nothing today: a torn initramfs, or nothing at all. */
static void test_nothing_for_the_menu(void **state)
{
	(void)state;
	add_kernel("before", "6.2", "two");
	sync_with("before");
	add_kernel("before", "6.2", "torn");
	without = "6.2";
	sync_with("before");
	assert_int_equal(test_count("esp/eyrie"), 2);
	expect_entry("eyrie-before-6.2-", "\nlinux /eyrie/6.2-");
	remove_kernel("before", "6.2");
	sync_with("before");
	expect_entry("eyrie-before-6.2-", "\nlinux /eyrie/6.2-");
	before.active = true;
	debian.active = false;
	sync_with("before");
	expect_entry("eyrie-before-6.2-", "\nsort-key eyrie\n");
	sync_alone();
	expect_none("eyrie-before-6.2-");
}

/* An entry that was written and never got its name is none. */
static void test_entry_cut_off(void **state)
{
	_cleanup_free_ char *name = NULL, *from = NULL, *to = NULL, *again = NULL;

	(void)state;
	sync_alone();
	add_kernel("debian", "6.2", "two");
	sync_alone();
	name = file_of("eyrie-6.2-");
	assert_non_null(strstr(name, "+3.conf"));
	from = str_printf("esp/loader/entries/%s", name);
	to = str_printf("%s" FILE_ASIDE, from);
	assert_int_equal(rename(test_path(from), test_path(to)), 0);
	sync_alone();
	again = file_of("eyrie-6.2-");
	assert_string_equal(again, name);
	assert_int_equal(test_count("esp/loader/entries"), 2);
}

/* A partition of five MiB, of which four are kept free; false where that cannot be had. */
static bool make_small(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", test_path("esp"), "tmpfs", 0, "size=5M") == 0;
}

/* No kernel is written where not all of them fit, and what was there stays. */
static void test_no_room(void **state)
{
	const struct esp_system systems[] = { CURRENT, OTHER(before, "before") };
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ char *large = mem_alloc(2 * MIB);

	(void)state;
	if (!make_small())
		skip();
	sync_alone();
	add_kernel("before", "6.0", "zero");
	test_write(test_path("before/boot/initrd.img-6.0"), large, 2 * MIB);
	assert_int_equal(sync_of(systems, 2, &diag), -ENOSPC);
	assert_non_null(starts_with(test_only_finding(&diag), "the EFI system partition has no room "
				    "for kernel 6.0 of the environment before: 2.00 MiB are wanted, "));
	assert_int_equal(test_count("esp/eyrie"), 1);
	assert_int_equal(test_count("esp/loader/entries"), 1);
	expect_entry("eyrie-debian-6.1-", "\noptions root=zfs:rpool/ROOT/debian\n");

	/* An initramfs that was made anew stays what it is on the disk, too. */
	test_write(test_path("debian/boot/initrd.img-6.1"), large, 2 * MIB);
	assert_int_equal(sync_of(systems, 1, NULL), -ENOSPC);
	expect_entry("eyrie-debian-6.1-", "\nlinux /eyrie/6.1-");
	assert_int_equal(umount(test_path("esp")), 0);
}

/* What is there is put in step also where another kernel finds no room. */
static void test_no_room_for_another(void **state)
{
	_cleanup_free_ char *large = mem_alloc(2 * MIB), *first = NULL, *second = NULL, *plain = NULL;
	_cleanup_strbuf_ struct strbuf config = STRBUF_NULL;
	struct esp_system systems[] = { RUNNING(NULL) };

	(void)state;
	if (!make_small())
		skip();
	sync_alone();
	first = file_of("eyrie-6.1-");
	add_kernel("debian", "6.1", "two");
	systems[0].started_by = first;
	assert_int_equal(sync_of(systems, 1, NULL), 0);
	second = file_with("\nversion 6.1\n");
	assert_non_null(strchr(second, '+'));
	plain = entry_name(second);

	systems[0].started_by = plain;
	add_kernel("debian", "6.2", "large");
	test_write(test_path("debian/boot/initrd.img-6.2"), large, 2 * MIB);
	layout->boot.timeout = 7;
	assert_int_equal(sync_of(systems, 1, NULL), -ENOSPC);
	str_set(&second, NULL);
	second = file_with("\nversion 6.1\n");
	assert_string_equal(second, plain);
	expect_none(first);
	expect_none("eyrie-6.2-");
	assert_int_equal(file_read(test_path("esp/loader/loader.conf"), &config), 0);
	assert_non_null(strstr(config.data, "timeout 7\n"));
	assert_int_equal(umount(test_path("esp")), 0);
}

/* An interrupted run's own leftovers do not stand in the way of the next one. */
static void test_leftovers(void **state)
{
	const struct esp_system systems[] = { CURRENT };
	_cleanup_free_ char *large = mem_alloc(MIB), *copy = NULL, *torn = NULL;
	const char *image = test_path("debian/boot/vmlinuz-6.2");
	const char *initrd = test_path("debian/boot/initrd.img-6.2");
	char hash[KERNEL_HASH_SIZE];

	(void)state;
	if (!make_small())
		skip();
	sync_alone();
	add_kernel("debian", "6.2", "two");
	test_write(image, large, MIB / 4);
	test_write(initrd, large, MIB / 4);
	assert_int_equal(kernel_hash(image, initrd, hash), 0);
	make_folder("esp/eyrie/6.2-%s%s", hash, "");
	copy = str_printf("esp/eyrie/6.2-%s/linux", hash);
	torn = str_printf("esp/eyrie/6.2-%s/initrd.new", hash);
	test_write(test_path(copy), large, MIB / 4);
	test_write(test_path(torn), large, MIB / 8);
	test_write(test_path("esp/EFI/BOOT/BOOTX64.EFI.new"), large, MIB / 4);
	assert_int_equal(sync_of(systems, 1, NULL), 0);
	expect_entry("eyrie-6.2-", "\nlinux /eyrie/6.2-");
	assert_int_equal(access(test_path("esp/EFI/BOOT/BOOTX64.EFI.new"), F_OK), -1);
	assert_int_equal(umount(test_path("esp")), 0);
}

/* A torn copy, and a folder that no entry names, are put right. */
static void test_torn(void **state)
{
	DIR *dir;
	struct dirent *entry;

	(void)state;
	add_kernel("before", "6.0", "zero");
	sync_with("before");
	dir = opendir(test_path("esp/eyrie"));
	while ((entry = readdir(dir)))
		if (starts_with(entry->d_name, "6.0-")) {
			_cleanup_free_ char *image =
				str_printf("esp/eyrie/%s/linux", entry->d_name);

			write_text(image, "torn");
		}
	closedir(dir);
	make_folder("esp/eyrie/5.0-left%s%s", "", "");
	sync_with("before");
	assert_int_equal(test_count("esp/eyrie"), 2);
	expect_entry("eyrie-before-6.0-", "\nlinux /eyrie/6.0-");
}

/*
 * FAT writes what it likes first: a kernel is on the medium with all that leads to it before an entry
 * names it, that before anything old goes, and the old entry's end before its kernel's.
 */
static void test_order(void **state)
{
	(void)state;
	sync_alone();
	add_kernel("debian", "6.2", "two");
	remove_kernel("debian", "6.1");
	order_begin();
	sync_alone();
	order_expect("rename esp/eyrie/6.2-", "fsync esp/eyrie/6.2-", "rename esp/eyrie/6.2-",
		     "fsync esp/eyrie/6.2-", "fsync esp/eyrie$", "fsync esp$",
		     "rename esp/loader/entries/eyrie-6.2-", "fsync esp/loader/entries$", "syncfs esp$",
		     "unlink esp/loader/entries/eyrie-6.1-", "fsync esp/loader/entries$",
		     "remove esp/eyrie/6.1-", NULL);
}

/*
 * A name on FAT leads to the new file once that is written after the rename, and then its folder;
 * only one of the two loaders is on its way at a time.
 */
static void test_order_of_names(void **state)
{
	(void)state;
	sync_alone();
	write_text("debian/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "another loader");
	layout->boot.timeout = 7;
	order_begin();
	sync_alone();
	order_expect("fsync esp/loader/loader.conf.eyrie-new$",
		     "rename esp/loader/loader.conf.eyrie-new esp/loader/loader.conf$",
		     "fsync esp/loader/loader.conf$", "fsync esp/loader$",
		     "fsync esp/EFI/BOOT/BOOTX64.EFI.new$",
		     "rename esp/EFI/BOOT/BOOTX64.EFI.new esp/EFI/BOOT/BOOTX64.EFI$",
		     "fsync esp/EFI/BOOT/BOOTX64.EFI$", "fsync esp/EFI/BOOT$", "fsync esp/EFI$",
		     "fsync esp/EFI/systemd/systemd-bootx64.efi.new$",
		     "rename esp/EFI/systemd/systemd-bootx64.efi.new "
		     "esp/EFI/systemd/systemd-bootx64.efi$",
		     "fsync esp/EFI/systemd/systemd-bootx64.efi$", "fsync esp/EFI/systemd$", NULL);
}

/* What cannot be written does not replace anything. */
static void test_not_durable(void **state)
{
	static const char *const calls[] = { "fsync esp/eyrie$", "syncfs esp$" };
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	const struct esp_system systems[] = { CURRENT };

	(void)state;
	sync_alone();
	add_kernel("debian", "6.2", "two");
	remove_kernel("debian", "6.1");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		order_begin();
		order_fails = calls[i];
		assert_int_equal(sync_of(systems, 1, &diag), -EIO);
		assert_int_equal(diag.n_errors, i + 1);
		expect_entry("eyrie-6.1-", "\nlinux /eyrie/6.1-");
		if (i == 0)
			expect_none("eyrie-6.2-");
		assert_int_equal(test_count("esp/eyrie"), 2);
	}
	order_begin();
	sync_alone();
	expect_none("eyrie-6.1-");
	assert_int_equal(test_count("esp/eyrie"), 1);
}

/* Of debian's 6.1, as it runs. */
static void sync_running(const char *started_by)
{
	const struct esp_system systems[] = { RUNNING(started_by) };

	assert_int_equal(sync_of(systems, 1, NULL), 0);
}

#define NOW    "\nversion 6.1\n"
#define BEFORE "\nversion 6.1~before\n"

/*
 * An initramfs that is made anew gets three tries before the one that the machine was started by;
 * one that nobody started goes when there is a newer one, and all others once it came up.
 */
static void test_made_anew(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL, *kept = NULL, *last = NULL;
	_cleanup_free_ char *plain = NULL;

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	sync_running(first);
	assert_int_equal(test_count("esp/loader/entries"), 1);

	add_kernel("debian", "6.1", "two");
	sync_running(first);
	second = file_with(NOW);
	assert_non_null(strstr(second, "+3.conf"));
	kept = file_with(BEFORE);
	assert_string_equal(kept, first);
	expect_entry(kept, "\ntitle falcon, kernel 6.1 as before\n");
	assert_int_equal(test_count("esp/eyrie"), 2);

	add_kernel("debian", "6.1", "three");
	sync_running(first);
	third = file_with(NOW);
	assert_string_not_equal(third, second);
	assert_non_null(strstr(third, "+3.conf"));
	assert_int_equal(test_count("esp/eyrie"), 2);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	expect_entry(first, BEFORE);

	plain = entry_name(third);
	sync_running(plain);
	last = file_with(NOW);
	assert_string_equal(last, plain);
	assert_int_equal(test_count("esp/loader/entries"), 1);
	assert_int_equal(test_count("esp/eyrie"), 1);
}

/* What did not come up keeps what is left of its tries, and what did keeps its place. */
static void test_fallen_back(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *used = NULL, *from = NULL, *to = NULL;
	_cleanup_free_ char *now = NULL;

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	add_kernel("debian", "6.1", "two");
	sync_running(first);
	second = file_with(NOW);
	used = str_printf("%.*s+0-3.conf", (int)(strchr(second, '+') - second), second);
	from = str_printf("esp/loader/entries/%s", second);
	to = str_printf("esp/loader/entries/%s", used);
	assert_int_equal(rename(test_path(from), test_path(to)), 0);
	sync_running(first);
	now = file_with(NOW);
	assert_string_equal(now, used);
	expect_entry(first, BEFORE);
	assert_int_equal(test_count("esp/loader/entries"), 2);

	/* The old image is that of /boot again. */
	add_kernel("debian", "6.1", "one");
	sync_running(first);
	expect_entry(first, NOW);
	assert_int_equal(test_count("esp/loader/entries"), 1);
}

/* A boot loader that does not say, or that started something else. */
static void test_not_said(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL;

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	add_kernel("debian", "6.1", "two");
	sync_running(NULL);
	second = file_with(NOW);
	assert_null(strchr(second, '+'));
	assert_int_equal(test_count("esp/loader/entries"), 1);

	add_kernel("debian", "6.1", "three");
	sync_running("windows.conf");
	third = file_with(NOW);
	assert_non_null(strstr(third, "+3.conf"));
	assert_int_equal(test_count("esp/loader/entries"), 1);
}

/* The plain entry is there before the counted one goes, also when a crash left both. */
static void test_counter_goes(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *plain = NULL, *twin = NULL;
	_cleanup_free_ char *made = NULL, *gone = NULL;

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	add_kernel("debian", "6.1", "two");
	sync_running(first);
	second = file_with(NOW);
	plain = entry_name(second);
	made = str_printf("rename esp/loader/entries/%s.eyrie-new esp/loader/entries/%s$", plain,
			  plain);
	gone = str_printf("unlink esp/loader/entries/%s$", second);
	order_begin();
	sync_running(plain);
	order_expect(made, "fsync esp/loader/entries$", "syncfs esp$", gone, NULL);
	assert_int_equal(test_count("esp/loader/entries"), 1);

	twin = str_printf("esp/loader/entries/%s", second);
	write_text(twin, "version 6.1\noptions root=zfs:AUTO\n");
	sync_running(plain);
	assert_int_equal(test_count("esp/loader/entries"), 1);
	expect_entry(plain, NOW);
}

static void sync_rescued(void)
{
	const struct esp_system systems[] = { RESCUED };

	assert_int_equal(sync_of(systems, 1, NULL), 0);
}

/* The new image used up its tries, and what the machine fell back to is all that it comes up by. */
static void test_rescued(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *third = NULL, *used = NULL;
	_cleanup_free_ char *from = NULL, *to = NULL;

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	add_kernel("debian", "6.1", "two");
	sync_running(first);
	second = file_with(NOW);
	used = str_printf("%.*s+0-3.conf", (int)(strchr(second, '+') - second), second);
	from = str_printf("esp/loader/entries/%s", second);
	to = str_printf("esp/loader/entries/%s", used);
	assert_int_equal(rename(test_path(from), test_path(to)), 0);
	sync_rescued();
	expect_entry(first, BEFORE);
	expect_entry(used, NOW);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	assert_int_equal(test_count("esp/eyrie"), 2);

	/* One that did not come up goes, for the one that takes its place. */
	add_kernel("debian", "6.1", "three");
	sync_rescued();
	third = file_with(NOW);
	assert_non_null(strstr(third, "+3.conf"));
	expect_entry(first, BEFORE);
	assert_int_equal(test_count("esp/loader/entries"), 2);
	assert_int_equal(test_count("esp/eyrie"), 2);
}

/* An image that is made there comes first in the menu, and what came up next, without a counter. */
static void test_rescued_made_anew(void **state)
{
	_cleanup_free_ char *first = NULL, *second = NULL, *kept = NULL;
	const struct esp_system systems[] = { RESCUED, OTHER(before, NULL) };

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	add_kernel("debian", "6.1", "two");
	sync_rescued();
	second = file_with(NOW);
	assert_non_null(strstr(second, "+3.conf"));
	expect_entry(first, BEFORE);

	assert_int_equal(sync_of(systems, 2, NULL), 0);
	kept = file_with(BEFORE);
	assert_non_null(starts_with(kept, "eyrie-debian-6.1-"));
	assert_null(strchr(kept, '+'));
	assert_int_equal(test_count("esp/loader/entries"), 2);
	assert_int_equal(test_count("esp/eyrie"), 2);
}

/* With environments the entry has another name; another environment's own stays as it was. */
static void test_before_and_environments(void **state)
{
	_cleanup_free_ char *first = NULL, *kept = NULL;
	struct esp_system systems[] = { RUNNING(NULL), OTHER(before, "before") };
	const struct esp_system visit[] = {
		{ &before, test_path("before"), .running = "6.2",
		  .started_by = "eyrie-before-6.2-0.conf" },
		OTHER(debian, "debian"),
	};

	(void)state;
	sync_alone();
	first = file_of("eyrie-6.1-");
	systems[0].started_by = first;
	add_kernel("debian", "6.1", "two");
	sync_running(first);
	add_kernel("before", "6.2", "other");
	assert_int_equal(sync_of(systems, 2, NULL), 0);
	assert_int_equal(test_count("esp/loader/entries"), 3);
	kept = file_with(BEFORE);
	assert_non_null(starts_with(kept, "eyrie-debian-6.1-"));
	assert_null(strchr(kept, '+'));
	expect_entry(kept, "\noptions root=zfs:rpool/ROOT/debian\n");

	debian.active = false;
	before.active = true;
	make_folder("%s/usr/lib/systemd/boot/efi%s", "before", "");
	write_text("before/usr/lib/systemd/boot/efi/systemd-bootx64.efi", "loader");
	assert_int_equal(sync_of(visit, 2, NULL), 0);
	assert_int_equal(test_count("esp/loader/entries"), 3);
	assert_int_equal(test_count("esp/eyrie"), 3);
	expect_entry(kept, "\nsort-key eyrie-debian\n");
	expect_entry(kept, BEFORE);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_alone),	TEST(test_shared_kernel), TEST(test_kernel_of_another),
		TEST(test_stored_kernel),
		TEST(test_gone),	TEST(test_unread),	  TEST(test_activated),
		TEST(test_counters),	TEST(test_alike),	  TEST(test_without_zfs),
		TEST(test_no_room),	TEST(test_torn),	  TEST(test_order),
		TEST(test_not_durable), TEST(test_made_anew),	  TEST(test_fallen_back),
		TEST(test_not_said),	TEST(test_counter_goes),  TEST(test_before_and_environments),
		TEST(test_edited),	TEST(test_order_of_names), TEST(test_rescued),
		TEST(test_rescued_made_anew), TEST(test_leftovers),
		TEST(test_no_room_for_another), TEST(test_nothing_for_the_menu),
		TEST(test_entry_cut_off),
	};

	return cmocka_run_group_tests_name("esp", tests, NULL, NULL);
}
