/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which drills a layout has, the adapted layout, and how reports are judged. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "rehearse/machine.h"
#include "rehearse/rehearse.h"

#define LAYOUT(unlock) \
	"id: 6f1c1c2e-6d0c-4a43-8a4e-0d6f0f6b7a11\n" \
	"host: nest\n" \
	"disks:\n" \
	"  left:\n    path: /dev/disk/by-id/ata-one\n    size: 5GiB\n" \
	"  right:\n    path: /dev/disk/by-id/ata-two\n" \
	"pool:\n" \
	"  name: tank\n" \
	"  vdevs:\n    - mirror: [left, right]\n" \
	"datasets:\n" \
	"  ROOT/debian:\n    mountpoint: /\n" \
	"system:\n" \
	"  suite: trixie\n" \
	"encryption:\n  unlock: " unlock "\n"

static struct layout *layout;
static struct drills drills;

static int setup(void **state)
{
	(void)state;
	if (layout_parse("test", LAYOUT("shared"), &layout, NULL))
		return -1;
	drills_make(layout, &drills);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	drills_deinit(&drills);
	layout = layout_free(layout);
	return 0;
}

/* A layout of its own, for one drill of it. */
static void with_layout(const char *text, void (*check)(const struct drills *own))
{
	struct layout *other = NULL;
	struct drills own = {};

	assert_int_equal(layout_parse("test", text, &other, NULL), 0);
	drills_make(other, &own);
	check(&own);
	drills_deinit(&own);
	(void)layout_free(other);
}

static void test_drills_of_a_mirror(void **state)
{
	(void)state;
	assert_int_equal(drills.n_items, 5);
	assert_string_equal(drills.items[0].name, "install");
	assert_int_equal(drills.items[0].kind, DRILL_INSTALL);
	assert_string_equal(drills.items[1].name, "all disks");
	assert_string_equal(drills.items[2].name, "left pulled");
	assert_true(strv_has(&drills.items[2].starts[0].without, "left"));
	assert_true(drills.items[2].starts[0].expect.degraded);
	assert_int_equal(drills.items[2].starts[0].expect.n_healthy, 1);
	assert_int_equal(drills.items[1].starts[0].expect.n_healthy, 2);
	assert_string_equal(drills.items[1].starts[0].expect.root, "tank/ROOT/debian");
}

/* What was made of the system before it broke comes up in its place. */
static void test_drill_of_an_environment(void **state)
{
	_cleanup_(layout_freep) struct layout *both = NULL;
	const struct drill *drill = &drills.items[4];
	struct drills of_both;

	(void)state;
	assert_string_equal(drill->name, "boot environment");
	assert_true(drill->on_request);
	assert_int_equal(drill->n_starts, 2);
	assert_string_equal(drill->starts[0].task, "environment before");
	assert_string_equal(drill->starts[0].expect.root, "tank/ROOT/debian");
	assert_false(drill->starts[0].second_entry);
	assert_true(drill->starts[1].second_entry);
	assert_string_equal(drill->starts[1].expect.root, "tank/ROOT/before");
	assert_string_equal(drill->starts[1].expect.seen, "1 2");

	/* Each of two menus has it. */
	assert_int_equal(layout_parse("test", LAYOUT("shared") "firmware: both\n", &both, NULL), 0);
	drills_make(both, &of_both);
	assert_true(of_both.n_items > 2);
	for (size_t i = 0; i < 2; i++) {
		drill = &of_both.items[of_both.n_items - 2 + i];
		assert_string_equal(drill->name, i ? "BIOS: boot environment" : "boot environment");
		assert_int_equal(drill->starts[0].bios, i);
		assert_int_equal(drill->starts[1].bios, i);
		assert_true(drill->starts[1].second_entry);
	}
	drills_deinit(&of_both);
}

/* What members that open each other must stand, each drill in its own number of starts. */
static void test_drills_of_peers(void **state)
{
	_cleanup_(layout_freep) struct layout *peers = NULL;
	static const struct {
		const char *name;
		size_t n_starts;
	} more[] = { { "right late", 1 },
		     { "right after login", 1 },
		     { "wrong passphrase twice", 1 },
		     { "each alone", 4 },
		     { "stale disk first", 2 } };
	struct drills all;

	(void)state;
	assert_int_equal(layout_parse("test", LAYOUT("peer"), &peers, NULL), 0);
	drills_make(peers, &all);
	assert_int_equal(all.n_items, drills.n_items + ARRAY_SIZE(more));
	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		assert_string_equal(all.items[drills.n_items + i].name, more[i].name);
		assert_int_equal(all.items[drills.n_items + i].n_starts, more[i].n_starts);
	}
	drills_deinit(&all);
}

/* ZFS has the key, and members do not know of each other: what is left is to ask and to wait. */
static void check_native(const struct drills *own)
{
	const struct drill *late = &own->items[drills.n_items];

	assert_int_equal(own->n_items, drills.n_items + 2);
	assert_string_equal(late->name, "right late");
	assert_true(late->on_request);
	assert_int_equal(late->starts[0].when, PLUG_AFTER_PASSPHRASE);
	assert_false(late->starts[0].expect.degraded);
	assert_string_equal(late[1].name, "wrong passphrase twice");
	assert_int_equal(late[1].starts[0].expect.n_prompts, 3);
}

static void test_drills_of_native(void **state)
{
	(void)state;
	with_layout(LAYOUT("native"), check_native);
}

/* What the rehearsal has in the place of a disk is like it. */
static void test_virtual_disks(void **state)
{
	static const struct {
		const char *disk, *path, *device, *controller;
	} cases[] = {
		{ "{ path: /dev/sdb }", VM_VIRTIO_ID "right", "right) echo virtio-blk-pci ;;",
		  "\nusb=''\n" },
		{ "{ path: /dev/disk/by-id/ata-X }", VM_VIRTIO_ID "right",
		  "right) echo virtio-blk-pci ;;", "\nusb=''\n" },
		{ "{ path: /dev/disk/by-id/nvme-X, sector-size: 4096 }", VM_NVME_ID "right",
		  "right) echo nvme,logical_block_size=4096,physical_block_size=4096 ;;",
		  "\nusb=''\n" },
		{ "{ path: /dev/disk/by-id/usb-X-0:0 }", VM_USB_ID "right" VM_USB_UNIT,
		  "right) echo usb-storage,bus=usb.0 ;;", "\nusb='-device " VM_USB_CONTROLLER "'\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = str_printf(
			"id: 6a1c7f0e-6a3b-4d0f-9a52-2f4b8d1e7c35\nhost: falcon\n"
			"disks: { left: { path: /dev/sda }, right: %s }\n"
			"pool: { name: tank, vdevs: [ mirror: [left, right] ] }\n"
			"datasets: { ROOT/debian: { mountpoint: / } }\n", cases[i].disk);
		_cleanup_free_ char *script = NULL;
		_cleanup_(layout_freep) struct layout *plain = NULL, *adapted = NULL;

		assert_int_equal(layout_parse("test", text, &plain, NULL), 0);
		adapted = rehearse_adapt(plain, VM_TCG);
		script = rehearse_boot_script(adapted, VM_TCG);
		assert_string_equal(layout_disk(adapted, "right")->path, cases[i].path);
		assert_non_null(strstr(script, cases[i].device));
		assert_non_null(strstr(script, cases[i].controller));
	}
}

static void test_adapted_layout(void **state)
{
	_cleanup_(layout_freep) struct layout *adapted = rehearse_adapt(layout, VM_TCG),
					      *again = NULL;
	_cleanup_free_ char *text = layout_dump(adapted);
	const struct layout_disk *right = layout_disk(adapted, "right");

	(void)state;
	assert_string_equal(right->path, "/dev/disk/by-id/virtio-right");
	assert_true(right->size == REHEARSE_DISK_SIZE);
	assert_null(adapted->system.suite);
	assert_string_equal(adapted->system.tarball, "/dev/disk/by-id/virtio-tarball");
	assert_int_equal(adapted->encryption.kdf.iterations, 4);
	assert_true(adapted->boot.device_timeout == 3 * layout->boot.device_timeout);
	assert_true(adapted->boot.timeout > layout->boot.timeout);
	assert_string_equal(adapted->id, layout->id);

	/* what is written for the appliance reads back */
	assert_int_equal(layout_parse("adapted", text, &again, NULL), 0);
	assert_true(record_equal(&record_layout, adapted, again));
}

#define LENT                                                                               \
	"id: 6a1c7f0e-6a3b-4d0f-9a52-2f4b8d1e7c35\nhost: falcon\n"                          \
	"disks: { left: { path: /dev/sda }, right: { path: /dev/sdb }, log-a: { path: "     \
	"/dev/disk/by-partuuid/1, size: 1GiB }, log-b: { path: /dev/disk/by-partlabel/b } }\n" \
	"pool: { name: tank, vdevs: [ mirror: [left, right], log: [log-a, log-b] ] }\n"     \
	"datasets: { ROOT/debian: { mountpoint: / } }\n"

/* A partition is the only one of a virtual disk, and as large as it is said to be. */
static void test_partitions(void **state)
{
	_cleanup_(layout_freep) struct layout *plain = NULL, *adapted = NULL;
	_cleanup_free_ char *path = str_dup("/tmp/eyrie-test-XXXXXX");
	unsigned char sector[512], entry[128];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(layout_parse("test", LENT, &plain, NULL), 0);
	adapted = rehearse_adapt(plain, VM_KVM);
	assert_string_equal(layout_disk(adapted, "log-a")->path, "/dev/disk/by-partlabel/log-a");
	assert_string_equal(layout_disk(adapted, "log-b")->path, "/dev/disk/by-partlabel/log-b");
	assert_int_equal(machine_make_disk(layout_disk(adapted, "log-a"), path, NULL), 0);
	assert_int_equal(pread(fd, sector, sizeof(sector), 512), sizeof(sector));
	assert_memory_equal(sector, "EFI PART", 8);
	assert_int_equal(pread(fd, entry, sizeof(entry), 1024), sizeof(entry));
	assert_memory_equal(entry + 56, "l\0o\0g\0-\0a\0\0", 12);
	assert_int_equal(entry[33] << 8 | entry[32], 2048);		      /* first sector */
	assert_int_equal(entry[42] << 16 | entry[41] << 8 | entry[40], 2099199); /* last */
	assert_true(lseek(fd, 0, SEEK_END) == (off_t)(GIB + 2 * MIB));
	(void)close(fd);
	(void)unlink(path);
}

#define ROOT                                                                               \
	"{\"root\":{\"filesystems\":[{\"source\":\"tank/ROOT/"                             \
	"debian\",\"fstype\":\"zfs\"}]}}"
#define LEG(name, state)                                                                   \
	"\"" name "\":{\"name\":\"" name "\",\"vdev_type\":\"disk\",\"state\":\"" state    \
	"\"}"
#define POOL(state, legs)                                                                  \
	"{\"pool\":{\"output_version\":{\"command\":\"zpool "                              \
	"status\"},\"pools\":{\"tank\":{"                                                  \
	"\"name\":\"tank\",\"state\":\"" state                                             \
	"\",\"vdevs\":{\"tank\":{\"state\":\"" state                                       \
	"\",\"vdevs\":{\"mirror-0\":{\"state\":\"" state "\",\"vdevs\":{" legs "}}}}}}}}}"
#define FAILED(units) "{\"failed\":[" units "]}"

static void report_lines(struct report *report, const char *pool, const char *failed)
{
	assert_int_equal(report_add(report, ROOT), 0);
	assert_int_equal(report_add(report, pool), 0);
	assert_int_equal(report_add(report, failed), 0);
	assert_int_equal(report_add(report, "{\"done\":true}"), 0);
}

static void judge(size_t drill, const char *pool, const char *failed, unsigned n_prompts,
		  const char *expected)
{
	_cleanup_(report_deinit) struct report report = REPORT_NULL;
	_cleanup_free_ char *reason = NULL;

	report_lines(&report, pool, failed);
	reason = drill_judge_start(&drills.items[drill].starts[0], &report, n_prompts);
	if (expected)
		assert_string_equal(reason, expected);
	else
		assert_null(reason);
}

#define BOTH	   POOL("ONLINE", LEG("left", "ONLINE") "," LEG("right", "ONLINE"))
#define RIGHT_ONLY POOL("DEGRADED", LEG("left", "UNAVAIL") "," LEG("right", "ONLINE"))

static void test_judge_whole_mirror(void **state)
{
	(void)state;
	judge(1, BOTH, FAILED(""), 1, NULL);
	judge(1, BOTH, FAILED(""), 2, "the passphrase was asked for 2 times instead of 1");
	judge(1, RIGHT_ONLY, FAILED(""), 1,
	      "1 of 2 members of the pool are healthy instead of 2 (not healthy: left)");
	judge(1, BOTH, FAILED("{\"unit\":\"a.service\"},{\"unit\":\"b.service\"}"), 1,
	      "units failed: a.service, b.service");
}

/* As ZFS has it: without a cache or a spare the pool is ONLINE, and one member fewer is healthy. */
static void check_kinds_of_vdevs(const struct drills *own)
{
	static const struct {
		const char *name;
		bool degraded;
	} cases[] = {
		{ "fast pulled", false }, { "left pulled", true },  { "right pulled", true },
		{ "log-a pulled", true }, { "log-b pulled", true }, { "meta-a pulled", true },
		{ "meta-b pulled", true }, { "rest pulled", false }, { "other pulled", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct drill *drill = &own->items[i + 2];

		assert_string_equal(drill->name, cases[i].name);
		assert_int_equal(drill->starts[0].expect.degraded, cases[i].degraded);
		assert_int_equal(drill->starts[0].expect.n_healthy,
				 streq(cases[i].name, "other pulled") ? 8 : 7);
	}
	/* The first vdev that holds data is the one whose last disk comes late. */
	assert_string_equal(own->items[13].name, "right late");
}

static void test_kinds_of_vdevs(void **state)
{
	(void)state;
	with_layout("id: 6f1c1c2e-6d0c-4a43-8a4e-0d6f0f6b7a11\nhost: nest\n"
		    "disks:\n"
		    "  fast: { path: /dev/sda }\n  left: { path: /dev/sdb }\n"
		    "  right: { path: /dev/sdc }\n  log-a: { path: /dev/sdd }\n"
		    "  log-b: { path: /dev/sde }\n  meta-a: { path: /dev/sdf }\n"
		    "  meta-b: { path: /dev/sdg }\n  rest: { path: /dev/sdh }\n"
		    "  other: { path: /dev/sdi }\n  another: { path: /dev/sdj }\n"
		    "pool:\n  name: tank\n  vdevs:\n    - cache: [fast]\n"
		    "    - mirror: [left, right]\n    - log: [log-a, log-b]\n"
		    "    - special: [meta-a, meta-b]\n    - spare: [rest]\n"
		    "pools: { twig: { vdevs: [ mirror: [other, another] ] } }\n"
		    "datasets: { ROOT/debian: { mountpoint: / } }\nsystem: { suite: trixie }\n",
		    check_kinds_of_vdevs);
}

static void check_bios(const struct drills *own)
{
	assert_int_equal(own->n_items, 5);
	for (size_t i = 1; i < own->n_items; i++)
		assert_true(own->items[i].starts[0].bios);
}

static void check_both(const struct drills *own)
{
	assert_int_equal(own->n_items, 9);
	assert_string_equal(own->items[4].name, "BIOS: all disks");
	assert_string_equal(own->items[5].name, "BIOS: left pulled");
	for (size_t i = 1; i < own->n_items; i++)
		assert_int_equal(own->items[i].starts[0].bios, i > 3 && i != 7);
	assert_null(own->items[1].starts[0].expect.closed);
}

static void test_kinds_of_firmware(void **state)
{
	(void)state;
	with_layout("firmware: bios\n" LAYOUT("shared"), check_bios);
	with_layout("firmware: both\n" LAYOUT("shared"), check_both);
}

static char *judge_key_device(const struct drill_start *start, const char *mapped,
			      const char *jobs)
{
	_cleanup_(report_deinit) struct report report = REPORT_NULL;

	report_lines(&report, BOTH, FAILED(""));
	if (mapped)
		assert_int_equal(report_add(&report, mapped), 0);
	if (jobs)
		assert_int_equal(report_add(&report, jobs), 0);
	return drill_judge_start(start, &report, 1);
}

/* Nothing said is not closed; a disk whose name begins the same is another one. */
static void check_keystore(const struct drills *own)
{
	const struct drill_start *start = &own->items[1].starts[0];
	_cleanup_free_ char *silent = judge_key_device(start, NULL, NULL);
	_cleanup_free_ char *open = judge_key_device(
		start, "{\"mapped\":\"tank-left keyfile tank-right\"}", NULL);
	_cleanup_free_ char *awaited = judge_key_device(
		start, "{\"mapped\":\"tank-left tank-keyfile\"}",
		"{\"jobs\":\"dev-mapper-keyfile.device\"}");

	assert_string_equal(silent, "/dev/mapper/keyfile is still open");
	assert_string_equal(open, "/dev/mapper/keyfile is still open");
	assert_string_equal(awaited,
			    "somebody waits for keyfile: dev-mapper-keyfile.device");
	assert_null(judge_key_device(start, "{\"mapped\":\"tank-left tank-keyfile\"}",
				     "{\"jobs\":\"eyrie-boot.service\"}"));
}

static void test_judge_key_device(void **state)
{
	(void)state;
	with_layout(LAYOUT("keystore"), check_keystore);
}

/* A pulled disk that is healthy all the same was not pulled. */
static void test_judge_pulled_disk(void **state)
{
	(void)state;
	judge(2, RIGHT_ONLY, FAILED(""), 1, NULL);
	judge(2, BOTH, FAILED(""), 1,
	      "2 of 2 members of the pool are healthy instead of 1");
}

static void test_judge_other_root(void **state)
{
	_cleanup_(report_deinit) struct report report = REPORT_NULL;
	_cleanup_free_ char *reason = NULL;

	(void)state;
	assert_int_equal(
		report_add(&report,
			   "{\"root\":{\"filesystems\":[{\"source\":\"/dev/vda1\"}]}}"),
		0);
	assert_int_equal(report_add(&report, "{\"done\":true}"), 0);
	reason = drill_judge_start(&drills.items[1].starts[0], &report, 1);
	assert_string_equal(reason, "/ is on /dev/vda1 instead of tank/ROOT/debian");
}

static void test_judge_install(void **state)
{
	_cleanup_(report_deinit) struct report report = REPORT_NULL;
	_cleanup_free_ char *reason = NULL;

	(void)state;
	assert_int_equal(report_add(&report, "{\"up\":true}"), 0);
	assert_int_equal(report_add(&report, "{\"exit\":0}"), 0);
	assert_null(drill_judge_install(&report));
	assert_int_equal(report_add(&report, "{\"exit\":3}"), 0);
	reason = drill_judge_install(&report);
	assert_string_equal(reason, "the installation ended with exit status 3");
}

/* The guest is not trusted to speak well. */
static void test_report_of_nonsense(void **state)
{
	static const char *const lines[] = {
		"", "{", "[]", "null", "hello", "{\"other\":1}"
	};
	static const char *const odd[] = {
		"{\"pool\":null}",
		"{\"pool\":[]}",
		"{\"pool\":{\"pools\":3}}",
		"{\"pool\":{\"pools\":{\"x\":null}}}",
		"{\"root\":{\"filesystems\":[]}}",
		"{\"root\":[1]}",
		"{\"failed\":{\"a\":1}}",
		"{\"failed\":[1,null]}",
		"{\"pool\":{\"pools\":{\"x\":{\"vdevs\":[1]}}}}",
	};
	_cleanup_(report_deinit) struct report report = REPORT_NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(report_add(&report, lines[i]), -EBADMSG);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		assert_int_equal(report_add(&report, odd[i]), 0);
	assert_false(report.done);
	assert_int_equal(report.n_members, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_drills_of_a_mirror), TEST(test_drill_of_an_environment),
		TEST(test_drills_of_peers), TEST(test_drills_of_native),
		TEST(test_adapted_layout),
		TEST(test_partitions),
		TEST(test_judge_whole_mirror), TEST(test_judge_pulled_disk),
		TEST(test_judge_other_root),   TEST(test_judge_install),
		TEST(test_report_of_nonsense),	TEST(test_kinds_of_firmware),
		TEST(test_kinds_of_vdevs),
		TEST(test_virtual_disks),
		TEST(test_judge_key_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
