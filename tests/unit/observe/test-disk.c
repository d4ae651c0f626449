/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whole disks, as loop devices; and that observing one writes nothing. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/run.h"
#include "loop.h"
#include "luks-image.h"
#include "observe/observe.h"

#define SIZE (64 * MIB)

static struct runner runner;

static void disk_deinit(struct observed_disk *disk)
{
	record_deinit(&record_observed_disk, disk);
}

#define _cleanup_disk_ _cleanup_(disk_deinit)

static void must(const char *const *argv, const char *input)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	if (run(&runner, &(struct command){ .argv = argv, .input = input }, &diag))
		fail_msg("%s", diag.items[0].text);
}

#define MUST(...) must((const char *const[]){ __VA_ARGS__, NULL }, NULL)

static void observe(const char *node, struct observed_disk *disk)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ char *before = test_hash(node), *after = NULL;

	assert_int_equal(observe_disk(node, disk, &diag), 0);
	assert_int_equal(diag.n_items, 0);
	after = test_hash(node);
	assert_string_equal(before, after);
}

static void make_table(const char *node)
{
	must((const char *const[]){ "sfdisk", "--no-reread", "--no-tell-kernel", node, NULL },
	     "label: gpt\nlabel-id: 11111111-2222-4333-8444-555555555555\n"
	     "start=2048, size=20480, name=\"eyrie-esp-left\", "
	     "type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n"
	     "start=22528, size=40960, name=\"eyrie-new-member-left\"\n");
}

static void test_blank(void **state)
{
	const char *node = loop_new("blank.img", SIZE);
	_cleanup_disk_ struct observed_disk disk = {};

	(void)state;
	observe(node, &disk);
	assert_string_equal(disk.path, node);
	assert_true(disk.size == SIZE);
	assert_int_equal(disk.sector_size, 512);
	assert_false(disk.read_only || disk.unreadable || disk.ambiguous);
	assert_null(disk.content);
	assert_null(disk.table);
	assert_null(disk.mounted);
	assert_null(disk.held);
	assert_int_equal(disk.partitions.n_items, 0);
}

static void test_read_only(void **state)
{
	const char *path = test_path("ro.img");
	_cleanup_disk_ struct observed_disk disk = {};

	(void)state;
	test_write(path, "", 0);
	assert_int_equal(truncate(path, MIB), 0);
	observe(loop_over(path, true), &disk);
	assert_true(disk.read_only);
}

static void test_table(void **state)
{
	const char *node = loop_new("table.img", SIZE);
	_cleanup_disk_ struct observed_disk disk = {};
	const struct observed_partition *partitions;

	(void)state;
	make_table(node);
	observe(node, &disk);
	assert_string_equal(disk.table, "gpt");
	assert_string_equal(disk.table_uuid, "11111111-2222-4333-8444-555555555555");
	assert_int_equal(disk.partitions.n_items, 2);
	partitions = disk.partitions.items;
	assert_int_equal(partitions[0].number, 1);
	assert_string_equal(partitions[0].name, "eyrie-esp-left");
	assert_string_equal(partitions[0].type, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
	assert_true(partitions[0].start == MIB);
	assert_true(partitions[0].size == 10 * MIB);
	assert_string_equal(partitions[1].name, "eyrie-new-member-left");
	assert_true(partitions[1].size == 20 * MIB);
}

static void test_other_tables(void **state)
{
	const char *node = loop_new("dos.img", SIZE);
	_cleanup_disk_ struct observed_disk disk = {};

	(void)state;
	must((const char *const[]){ "sfdisk", "--no-reread", "--no-tell-kernel", node, NULL },
	     "label: dos\n2048,20480\n");
	observe(node, &disk);
	assert_string_equal(disk.table, "dos");
	assert_null(disk.table_uuid);
}

/* A partition as a disk, with a table of its own in it: others may not take that for blank. */
static void test_partition_as_disk(void **state)
{
	const char *node = loop_new("parent.img", SIZE);
	_cleanup_free_ char *inner = str_printf("%sp2", node);
	_cleanup_disk_ struct observed_disk blank = {}, full = {}, whole = {};
	const struct observed_partition *bare;

	(void)state;
	make_table(node);
	assert_true(loop_scan(node));
	assert_int_equal(observe_as_disk(inner, &blank, NULL), 0);
	assert_string_equal(blank.path, inner);
	assert_string_equal(blank.on, node);
	assert_true(blank.size == 20 * MIB);
	assert_null(blank.table);
	bare = blank.partitions.items;
	assert_int_equal(blank.partitions.n_items, 1);
	assert_true(bare->bare && !bare->content && !bare->table && !bare->unreadable);

	must((const char *const[]){ "sfdisk", "--no-reread", "--no-tell-kernel", inner, NULL },
	     "label: dos\n2048,20480\n");
	assert_int_equal(observe_as_disk(inner, &full, NULL), 0);
	assert_string_equal(full.table, "dos");

	assert_int_equal(observe_as_disk(node, &whole, NULL), 0);
	assert_null(whole.on);
	assert_int_equal(whole.partitions.n_items, 2);
}

/* The main table is torn: the backup behind speaks, and nobody mends it. */
static void test_table_with_one_copy(void **state)
{
	const char *node = loop_new("torn.img", SIZE);
	_cleanup_disk_ struct observed_disk disk = {};
	static const char zeros[512];

	(void)state;
	make_table(node);
	luks_image_damage(node, 512, zeros, sizeof(zeros));
	observe(node, &disk);
	assert_string_equal(disk.table, "gpt");
	assert_int_equal(disk.partitions.n_items, 2);
}

static void test_file_system_and_mount(void **state)
{
	const char *node = loop_new("ext4.img", SIZE), *where = test_path("mounted");
	_cleanup_disk_ struct observed_disk closed = {}, open = {};
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	MUST("mkfs.ext4", "-q", "-L", "photos", node);
	observe(node, &closed);
	assert_string_equal(closed.content, "ext4");
	assert_string_equal(closed.label, "photos");
	assert_null(closed.held);

	assert_int_equal(mkdir(where, 0755), 0);
	assert_int_equal(mount(node, where, "ext4", MS_RDONLY, "noload"), 0);
	assert_int_equal(observe_disk(node, &open, &diag), 0);
	assert_int_equal(umount(where), 0);
	assert_string_equal(open.mounted, where);
	assert_non_null(open.held);
}

/* Somebody has it exclusively, as md, dm, swap and pools do. */
static void test_claimed(void **state)
{
	const char *node = loop_new("claimed.img", SIZE);
	_cleanup_disk_ struct observed_disk disk = {};
	_cleanup_close_ int fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	observe(node, &disk);
	assert_string_equal(disk.held, "the kernel");
}

/* Damaged headers on a whole disk and in a partition, byte for byte as before. */
static void test_damaged_luks_stays_damaged(void **state)
{
	static const char zeros[4096];
	const char *node = loop_new("damaged.img", SIZE);
	_cleanup_disk_ struct observed_disk disk = {};
	_cleanup_free_ char *from = str_printf("if=%s", test_path("inner"));
	_cleanup_free_ char *to = str_printf("of=%s", node);
	struct observed_partition *partition;

	(void)state;
	make_table(node);
	luks_image(test_path("inner"), 1);
	luks_image_damage(test_path("inner"), LUKS_IMAGE_HEADER, zeros, sizeof(zeros));
	MUST("dd", from, to, "bs=1M", "seek=11",
	     "conv=notrunc,fsync", "status=none");
	assert_true(loop_scan(node));
	observe(node, &disk);
	partition = observed_partition(&disk, "eyrie-new-member-left");
	assert_non_null(partition);
	assert_non_null(partition->path);
	assert_string_equal(partition->content, "crypto_LUKS");
	assert_int_equal(partition->luks.state, LUKS_SECONDARY_DAMAGED);
	assert_string_equal(partition->luks.label, LUKS_IMAGE_LABEL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_read_only),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_other_tables),
		cmocka_unit_test(test_partition_as_disk),
		cmocka_unit_test(test_table_with_one_copy),
		cmocka_unit_test(test_file_system_and_mount),
		cmocka_unit_test(test_claimed),
		cmocka_unit_test(test_damaged_luks_stays_damaged),
	};

	runner_init(&runner);
	if (!loops_work())
		return 0;
	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}
