/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The texts that a machine boots by, compared word for word. */

#include "boot/text.h"
#include "plan/name.h"
#include "test.h"

static struct observed *machine(const struct layout *layout)
{
	struct observed *have = mem_alloc(sizeof(*have));
	unsigned n = 0;

	FOR_EACH_DISK(want, layout)
	{
		struct observed_disk *disk = list_add(&have->disks, &record_observed_disk);
		struct observed_partition *partition;

		n++;
		disk->path = str_printf("/dev/vd%u", n);
		strv_add(&disk->names, want->path);
		partition = list_add(&disk->partitions, &record_observed_partition);
		partition->name = name_partition(ROLE_SWAP, want->name);
		partition->uuid = str_printf("part-uuid-%u", n);
		partition = list_add(&disk->partitions, &record_observed_partition);
		partition->name = name_partition(ROLE_MEMBER, want->name);
		partition->luks.uuid = str_printf("luks-uuid-%u", n);
	}
	return have;
}

static void expect(char *text, const char *wanted)
{
	_cleanup_free_ char *owned = text;

	assert_string_equal(owned, wanted);
}

#define SHARED TEST_LAYOUT "encryption: { unlock: shared }\n"
#define HEADER "# Written by eyrie; eyrie.yaml(5) says what from.\n"

static void test_crypttab(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	_cleanup_(observed_freep) struct observed *have = machine(layout);

	(void)state;
	expect(boot_crypttab(layout, have),
	       HEADER "# name, device, key, options: crypttab(5)\n"
	       "rpool-left UUID=luks-uuid-1 none luks,noauto,x-initrd.attach,"
	       "x-systemd.device-timeout=20s\n"
	       "rpool-right UUID=luks-uuid-2 none luks,noauto,x-initrd.attach,"
	       "x-systemd.device-timeout=20s\n");
}

static void test_crypttab_with_swap_partitions(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(
		SHARED "swap: { on: partition }\nboot: { device-timeout: 7 }\n");
	_cleanup_(observed_freep) struct observed *have = machine(layout);

	(void)state;
	expect(boot_crypttab(layout, have),
	       HEADER "# name, device, key, options: crypttab(5)\n"
	       "rpool-left UUID=luks-uuid-1 none luks,noauto,x-initrd.attach,"
	       "x-systemd.device-timeout=7s\n"
	       "rpool-right UUID=luks-uuid-2 none luks,noauto,x-initrd.attach,"
	       "x-systemd.device-timeout=7s\n"
	       "swap-left PARTUUID=part-uuid-1 /dev/urandom swap,plain,cipher=aes-xts-plain64,"
	       "size=512,nofail,x-systemd.device-timeout=7s\n"
	       "swap-right PARTUUID=part-uuid-2 /dev/urandom swap,plain,cipher=aes-xts-plain64,"
	       "size=512,nofail,x-systemd.device-timeout=7s\n");
}

/* A disk that is not there has no line: its UUID is not known. */
static void test_crypttab_without_a_disk(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	_cleanup_(observed_freep) struct observed *have = machine(layout);
	struct observed_disk *disks = have->disks.items;

	(void)state;
	strv_deinit(&disks[0].names);
	expect(boot_crypttab(layout, have),
	       HEADER "# name, device, key, options: crypttab(5)\n"
	       "rpool-right UUID=luks-uuid-2 none luks,noauto,x-initrd.attach,"
	       "x-systemd.device-timeout=20s\n");
}

static void test_fstab(void **state)
{
	_cleanup_(layout_freep) struct layout *none = test_layout(TEST_LAYOUT);
	_cleanup_(layout_freep) struct layout *volume =
		test_layout(TEST_LAYOUT "swap: { on: volume }\n");
	_cleanup_(layout_freep) struct layout *partition =
		test_layout(TEST_LAYOUT "swap: { on: partition }\n");
#define FSTAB HEADER "# The root and everything else of the pool is mounted by ZFS.\n"

	(void)state;
	expect(boot_fstab(none), FSTAB);
	expect(boot_fstab(volume),
	       FSTAB "/dev/zvol/rpool/swap none swap discard,nofail,"
		     "x-systemd.device-timeout=20s 0 0\n");
	expect(boot_fstab(partition),
	       FSTAB "/dev/mapper/swap-left none swap discard,nofail,"
		     "x-systemd.device-timeout=20s 0 0\n"
		     "/dev/mapper/swap-right none swap discard,nofail,"
		     "x-systemd.device-timeout=20s 0 0\n");
}

static void test_entry(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "boot: { cmdline: quiet console=ttyS0, timeout: 0 }\n");
	_cleanup_free_ char *cmdline = boot_cmdline(layout);
	_cleanup_free_ char *wanted = str_printf(
		HEADER "title falcon, kernel 6.12-x\nsort-key eyrie\nversion 6.12-x\n"
		"linux /eyrie/6.12-x-0123456789abcdef/linux\n"
		"initrd /eyrie/6.12-x-0123456789abcdef/initrd\noptions %s\n", cmdline);

	(void)state;
	assert_non_null(starts_with(cmdline, "root=zfs:AUTO"));
	assert_non_null(strstr(cmdline, " quiet console=ttyS0"));
	expect(boot_entry(layout, "6.12-x", "0123456789abcdef"), wanted);
	expect(boot_entry_name("6.12-x", "0123456789abcdef"), "eyrie-6.12-x-0123456789abcdef.conf");
	expect(boot_kernel_folder("6.12-x", "0123456789abcdef"), "eyrie/6.12-x-0123456789abcdef");
	expect(boot_loader_conf(layout), HEADER "timeout 0\nconsole-mode keep\n");
}

static void test_cmdline_without_more(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);
	_cleanup_free_ char *cmdline = boot_cmdline(layout);

	(void)state;
	assert_non_null(starts_with(cmdline, "root=zfs:AUTO"));
	assert_true(cmdline[strlen(cmdline) - 1] != ' ');
	assert_null(strchr(cmdline, '\n'));
}

/* systemd-escape(1) of "rpool-left" is "rpool\x2dleft". */
static void test_initrd_dropin(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);
	_cleanup_free_ char *text = boot_initrd_dropin(layout);

	(void)state;
	assert_non_null(starts_with(text, HEADER));
	assert_non_null(strstr(text, "[Unit]\n"
				     "Wants=systemd-cryptsetup@rpool\\x2dleft.service\n"
				     "Wants=systemd-cryptsetup@rpool\\x2dright.service\n"));
}

/* Each line is a comment or an assignment of bash, quotes closed. */
static void test_dracut_conf(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	_cleanup_free_ char *text = boot_dracut_conf(layout);
	_cleanup_strv_ struct strv lines = STRV_NULL;

	(void)state;
	assert_non_null(starts_with(text, HEADER));
	assert_non_null(strstr(text, "hostonly=\"no\"\n"));
	assert_non_null(strstr(text, BOOT_INITRD_DROPIN));
	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n_items; i++) {
		size_t n_quotes = 0;

		for (const char *s = lines.items[i]; *s; s++)
			n_quotes += *s == '"';
		assert_int_equal(n_quotes, *lines.items[i] == '#' ? n_quotes : 2);
	}
}

/* A file that shells source. */
static void test_initramfs_tools_conf(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "encryption: { unlock: peer }\n"
			    "boot: { initramfs: initramfs-tools }\n");

	(void)state;
	expect(boot_initramfs_tools_conf(layout),
	       HEADER "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\nRESUME=none\n");
}

static void test_gates(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "gates: { nest: { services: [nginx], wait: 9 } }\n");

	(void)state;
	expect(boot_gates(layout), HEADER "gates:\n"
	       "  nest:\n"
	       "    services:\n"
	       "    - nginx.service\n"
	       "    wait: 9\n");
}

/* The initramfs learns whether the passphrase is to be kept, and nothing else of gates. */
static void test_unlock_conf_of_gates(void **state)
{
	_cleanup_(layout_freep) struct layout *plain = test_layout(TEST_LAYOUT),
					      *shared = test_layout(
		TEST_LAYOUT "gates: { nest: { share-passphrase: yes } }\n");
	_cleanup_(observed_freep) struct observed *have = machine(plain);
	_cleanup_free_ char *none = boot_unlock_conf(plain, have);
	_cleanup_free_ char *some = boot_unlock_conf(shared, have);

	(void)state;
	assert_non_null(strstr(none, "\"share-passphrase\":false"));
	assert_non_null(strstr(some, "\"share-passphrase\":true"));
	assert_null(strstr(some, "nest"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crypttab),
		cmocka_unit_test(test_crypttab_with_swap_partitions),
		cmocka_unit_test(test_crypttab_without_a_disk),
		cmocka_unit_test(test_fstab),
		cmocka_unit_test(test_gates),
		cmocka_unit_test(test_unlock_conf_of_gates),
		cmocka_unit_test(test_entry),
		cmocka_unit_test(test_cmdline_without_more),
		cmocka_unit_test(test_initrd_dropin),
		cmocka_unit_test(test_dracut_conf),
		cmocka_unit_test(test_initramfs_tools_conf),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
