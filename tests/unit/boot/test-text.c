/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The texts that a machine boots by, compared word for word. */

#include "boot/text.h"
#include "plan/name.h"
#include "layout/paths.h"
#include "test.h"
#include "unlock/config.h"

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

/* But for the hash in its first line, which is right. */
static void expect_sealed(const char *text, const char *wanted)
{
	assert_true(boot_is_sealed(text));
	assert_non_null(starts_with(wanted, BOOT_HEADER));
	assert_string_equal(strchr(text, '\n'), strchr(wanted, '\n'));
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
	_cleanup_free_ char *cmdline = boot_cmdline(layout, NULL);
	_cleanup_free_ char *conf = boot_loader_conf(layout);
	_cleanup_free_ char *entry = boot_entry(layout, NULL, "6.12-x", "0123456789abcdef");
	_cleanup_free_ char *wanted = str_printf(
		HEADER "title falcon, kernel 6.12-x\nsort-key eyrie\nversion 6.12-x\n"
		"linux /eyrie/6.12-x-0123456789abcdef/linux\n"
		"initrd /eyrie/6.12-x-0123456789abcdef/initrd\noptions %s\n", cmdline);

	(void)state;
	assert_non_null(starts_with(cmdline, "root=zfs:AUTO"));
	assert_non_null(strstr(cmdline, " quiet console=ttyS0"));
	expect_sealed(entry, wanted);
	expect(boot_entry_name(NULL, "6.12-x", "0123456789abcdef"), "eyrie-6.12-x-0123456789abcdef.conf");
	expect(boot_kernel_folder("6.12-x", "0123456789abcdef"), "eyrie/6.12-x-0123456789abcdef");
	expect_sealed(conf, HEADER "timeout 0\nconsole-mode keep\n");
}

/* With several environments each entry names its own, and the active one's come first. */
static void test_entry_of_an_environment(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	struct environment before = { .name = (char *)"before",
				      .dataset = (char *)"rpool/ROOT/before" };
	_cleanup_free_ char *entry = boot_entry(layout, &before, "6.12-x", "0123456789abcdef");

	(void)state;
	expect_sealed(entry, HEADER
		"title falcon, before, kernel 6.12-x\nsort-key eyrie-before\nversion 6.12-x\n"
		"linux /eyrie/6.12-x-0123456789abcdef/linux\n"
		"initrd /eyrie/6.12-x-0123456789abcdef/initrd\noptions root=zfs:rpool/ROOT/before\n");
	expect(boot_entry_name(&before, "6.12-x", "0123456789abcdef"),
	       "eyrie-before-6.12-x-0123456789abcdef.conf");
	expect(boot_entry_folder(entry), "eyrie/6.12-x-0123456789abcdef");
	before.active = true;
	expect(boot_entry_sort_key(&before), "eyrie");
	expect(boot_entry_resorted("title a\nsort-key b\nversion 1\n", "c"),
	       "title a\nsort-key c\nversion 1\n");
	expect(boot_entry_resorted("title a", "c"), "title a\n");
	assert_null(boot_entry_folder("title a\nlinux \n"));
	assert_null(boot_entry_folder("linux"));
}

/* What moves in the menu is as much eyrie's, or a person's, as before. */
static void test_seals(void **state)
{
	_cleanup_free_ char *ours = boot_seal(str_dup(HEADER "sort-key a\noptions b\n"));
	_cleanup_free_ char *again = boot_seal(str_dup(ours));
	_cleanup_free_ char *edited = str_printf("%soptions c\n", ours);
	_cleanup_free_ char *moved = boot_entry_resorted(ours, "x");
	_cleanup_free_ char *edited_moved = boot_entry_resorted(edited, "x");

	(void)state;
	assert_true(boot_is_sealed(ours));
	assert_string_equal(again, ours);
	expect_sealed(moved, HEADER "sort-key x\noptions b\n");
	assert_false(boot_is_sealed(edited));
	assert_false(boot_is_sealed(edited_moved));
	assert_non_null(strstr(edited_moved, "\nsort-key x\noptions b\noptions c\n"));
	assert_false(boot_is_sealed(HEADER "sort-key a\n"));
	expect(boot_seal(str_dup("{}\n")), "{}\n");
}

/* It stands between the image that took its place and an older kernel: systemd.io, "Sorting". */
static void test_entry_before(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	_cleanup_free_ char *entry = boot_entry_before(layout, NULL, "6.12-x", "0123456789abcdef");
	_cleanup_free_ char *now = boot_entry(layout, NULL, "6.12-x", "0123456789abcdef");

	(void)state;
	expect_sealed(entry, HEADER
		"title falcon, kernel 6.12-x as before\nsort-key eyrie\nversion 6.12-x~before\n"
		"linux /eyrie/6.12-x-0123456789abcdef/linux\n"
		"initrd /eyrie/6.12-x-0123456789abcdef/initrd\noptions root=zfs:AUTO\n");
	expect(boot_version_before("6.12-x"), "6.12-x~before");
	expect(boot_entry_version(entry), "6.12-x");
	expect(boot_entry_version(now), "6.12-x");
	assert_null(boot_entry_version("title a"));
	assert_true(boot_entry_is_before(entry));
	assert_false(boot_entry_is_before(now));
	assert_false(boot_entry_is_before("title a"));
	assert_true(boot_version_is_before("6.12-x~before"));
	assert_false(boot_version_is_before("6.12-x"));
	assert_false(boot_version_is_before("~before"));
	expect(boot_entry_counted("eyrie-6.12-x-0123.conf"), "eyrie-6.12-x-0123+3.conf");
}

/* Boot loaders write names in lower case. */
static void test_hash_of_an_entry(void **state)
{
	static const char *const none[] = {
		"eyrie-6.12-x-0123.efi", "eyrie-6.12-y-0123.conf", "eyrie-16.12-x-0123.conf",
		"6.12-x-0123.conf",	 "eyrie-6.12-x-.conf",	   "eyrie-6.12-x-0123.conf.conf",
		"eyrie-0123.conf",	 "windows.conf",	   "-.conf", "eyrie-",
	};

	(void)state;
	expect(boot_entry_hash("eyrie-6.12-x-0123.conf", "6.12-x"), "0123");
	expect(boot_entry_hash("eyrie-before-2-6.12-x-0123.conf", "6.12-x"), "0123");
	expect(boot_entry_hash("eyrie-6.12-rt-0123.conf", "6.12-RT"), "0123");
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_null(boot_entry_hash(none[i], "6.12-x"));
	assert_null(boot_entry_hash(NULL, "6.12-x"));
	assert_null(boot_entry_hash("eyrie-6.12-x-0123.conf", NULL));
	assert_null(boot_entry_hash("eyrie-6.12-x-0123.conf", ""));
}

/* By the image, where the boot loader says it; by the version where it does not. */
static void test_came_up(void **state)
{
	(void)state;
	assert_true(boot_came_up("6.1", "eyrie-6.1-aa.conf", "6.1", "aa"));
	assert_false(boot_came_up("6.1", "eyrie-6.1-aa.conf", "6.1", "bb"));
	assert_false(boot_came_up("6.1", "eyrie-6.1-aa.conf", "6.2", "aa"));
	assert_false(boot_came_up("6.2", "eyrie-6.1-aa.conf", "6.2", "aa")); /* by kexec */
	assert_false(boot_came_up("6.1", "windows.conf", "6.1", "aa"));
	assert_true(boot_came_up("6.1", NULL, "6.1", "aa"));
	assert_false(boot_came_up("6.1", NULL, "6.2", "aa"));
	assert_false(boot_came_up(NULL, NULL, "6.1", "aa"));
	assert_false(boot_came_up(NULL, "eyrie-6.1-aa.conf", "6.1", "aa"));
}

static void test_cmdline_of_openrc(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "system: { suite: trixie, init: openrc, root-keys: [k] }\n");

	(void)state;
	expect(boot_cmdline(layout, NULL), "root=zfs:AUTO init=/sbin/init");
	/* As eyrie apply goes by it. */
	layout_drop_source(layout);
	assert_false(layout_has_system(layout));
	expect(boot_cmdline(layout, NULL), "root=zfs:AUTO init=/sbin/init");
}

static void test_cmdline_without_more(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);
	_cleanup_free_ char *cmdline = boot_cmdline(layout, NULL);

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
	assert_non_null(strstr(text, "[Unit]\nWants=eyrie-import.service\n"
				     "Wants=systemd-cryptsetup@rpool\\x2dleft.service\n"
				     "Wants=systemd-cryptsetup@rpool\\x2dright.service\n"));
}

/*
 * One pool, by its GUID, whether or not zpool.cache is in the image; OpenZFS's own units import there no
 * more, and in the running system as ever.
 */
static void test_import(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	_cleanup_(observed_freep) struct observed *have = machine(layout);
	_cleanup_free_ char *by_name = boot_import_unit(layout, have), *by_guid = NULL;
	struct observed_pool *pool = list_add(&have->pools, &record_observed_pool);

	(void)state;
	pool->name = str_dup("rpool");
	pool->guid = str_dup("1234567890");
	by_guid = boot_import_unit(layout, have);
	assert_non_null(strstr(by_name, " $ZPOOL_IMPORT_OPTS rpool\n"));
	assert_non_null(strstr(by_guid, "\nExecStart=/sbin/zpool import -N -f -o cachefile=none "
					"$ZPOOL_IMPORT_OPTS 1234567890\n"));
	assert_non_null(strstr(by_guid, "cryptsetup.target\nBefore=zfs-env-bootfs.service zfs-import.target\n"));
	assert_null(strstr(by_guid, "ConditionFileNotEmpty"));
	expect(boot_import_dropin(),
	       HEADER "# In the initramfs eyrie-import.service imports the root's pool, and nothing "
	       "else is.\n[Unit]\nConditionPathExists=!/etc/initrd-release\n");
}

/* No LUKS: partitions by their GPT entry, as udev writes it, and eyrie-unlock in the image. */
static void test_native(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "encryption: native\n");
	_cleanup_(observed_freep) struct observed *have = machine(layout);
	_cleanup_free_ char *conf = NULL, *dracut = boot_dracut_conf(layout);
	struct unlock_config config = {};
	struct json_object *json;
	const struct unlock_member *member;

	(void)state;
	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		{
			if (!starts_with(partition->name, "eyrie-member-"))
				continue;
			str_set(&partition->name,
				disk == have->disks.items ? "eyrie-data-left" : "eyrie-data-right");
			str_set(&partition->uuid, "ABCDEF00-0000-4000-8000-000000000001");
		}
	conf = boot_unlock_conf(layout, have);
	json = json_tokener_parse(conf);
	assert_int_equal(record_from_json(&record_unlock_config, &config, json, NULL), 0);
	json_object_put(json);
	assert_true(config.native);
	assert_int_equal(config.members.n_items, 2);
	member = config.members.items;
	assert_string_equal(member->uuid, "abcdef00-0000-4000-8000-000000000001");
	record_deinit(&record_unlock_config, &config);
	assert_non_null(strstr(dracut, " eyrie "));
	assert_null(strstr(dracut, "systemd-cryptsetup"));
	assert_null(strstr(dracut, "crypttab"));
	expect(boot_crypttab(layout, have), HEADER "# name, device, key, options: crypttab(5)\n");
}

/* Bash that sources: quotes closed on each line that is no comment. */
static void test_dracut_conf(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(SHARED);
	_cleanup_free_ char *text = boot_dracut_conf(layout);
	_cleanup_strv_ struct strv lines = STRV_NULL;

	(void)state;
	assert_non_null(starts_with(text, HEADER));
	assert_non_null(strstr(text, "hostonly=\"no\"\n"));
	assert_non_null(strstr(text, PATH_INITRD_DROPIN));
	assert_non_null(strstr(text, PATH_IMPORT_UNIT));
	assert_non_null(strstr(text, PATH_IMPORT_DROPIN));
	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n_items; i++) {
		size_t n_quotes = 0;

		for (const char *s = lines.items[i]; *s; s++)
			n_quotes += *s == '"';
		assert_true(*lines.items[i] == '#' || n_quotes % 2 == 0);
	}
}

/* The same file for a root that has systemd and for one that has not, whatever its init is. */
static void test_dracut_conf_without_systemd(void **state)
{
	_cleanup_(layout_freep) struct layout *shared = test_layout(SHARED);
	_cleanup_(layout_freep) struct layout *peer = test_layout(TEST_LAYOUT);
	_cleanup_(layout_freep) struct layout *openrc =
		test_layout(TEST_LAYOUT "system: { init: openrc }\n");
	_cleanup_free_ char *by_systemd = boot_dracut_conf(shared);
	_cleanup_free_ char *by_hook = boot_dracut_conf(peer);
	_cleanup_free_ char *of_openrc = boot_dracut_conf(openrc);

	(void)state;
	assert_string_equal(of_openrc, by_hook);
	assert_non_null(strstr(by_hook, "/usr/lib/systemd/systemd\" ||"));
	assert_non_null(strstr(by_hook, " dm crypt zfs eyrie rootfs-block "));
	assert_null(strstr(by_hook, "exit 1"));
	assert_non_null(strstr(by_systemd, "\texit 1\n"));
	assert_null(strstr(by_systemd, " dm crypt zfs eyrie "));
}

/* A file that shells source. */
static void test_initramfs_tools_conf(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "encryption: { unlock: peer }\n"
			    "boot: { initramfs: initramfs-tools }\n");

	(void)state;
	expect(boot_initramfs_tools_conf(layout),
	       HEADER "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\nRESUME=none\n"
	       "# The keyboard of /etc/default/keyboard, for the passphrase.\n"
	       "[ ! -x /bin/setupcon ] || KEYMAP=y\n");
}

#define KEYSTORE TEST_LAYOUT "firmware: bios\nencryption: { unlock: keystore }\n"

/* The key device by the passphrase, the members by what is in it and by a slot that is named. */
static void test_crypttab_of_a_key_device(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(KEYSTORE);
	_cleanup_(observed_freep) struct observed *have = machine(layout);
	_cleanup_free_ char *uuid = name_inside_uuid(layout->id, ROLE_KEY);
	struct observed_disk *disks = have->disks.items;
	_cleanup_free_ char *wanted = str_printf(
		HEADER "# name, device, key, options: crypttab(5)\n"
		"keyfile UUID=%s none luks,noauto,x-initrd.attach,x-systemd.device-timeout=50s\n"
		"rpool-left UUID=luks-uuid-1 /dev/mapper/keyfile luks,noauto,x-initrd.attach,"
		"keyfile-size=64,key-slot=3,x-systemd.device-timeout=20s\n"
		"rpool-right UUID=luks-uuid-2 none luks,noauto,x-initrd.attach,"
		"x-systemd.device-timeout=20s\n", uuid);

	(void)state;
	find_partition(layout, &disks[0], ROLE_MEMBER, "left")->luks.key_slot = 3;
	expect(boot_crypttab(layout, have), wanted);
}

/* UUIDs as mdadm writes them; those of the set and of nobody else. */
static void test_mdadm_conf(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(KEYSTORE);
	_cleanup_(layout_freep) struct layout *peer = test_layout(TEST_LAYOUT "firmware: both\n");

	(void)state;
	expect(boot_mdadm_conf(layout), HEADER
	       "HOMEHOST <ignore>\nMAILADDR root\n"
	       "ARRAY /dev/md/eyrie-boot metadata=1.2 UUID=fdd5f4f9:55ee:8104:9b52:70dfdda28816\n"
	       "ARRAY /dev/md/eyrie-key metadata=1.2 UUID=fdd5f4f9:55ee:8104:a7cf:3960f48cd8cb\n");
	expect(boot_mdadm_conf(peer), HEADER
	       "HOMEHOST <ignore>\nMAILADDR root\n"
	       "ARRAY /dev/md/eyrie-boot metadata=1.2 UUID=fdd5f4f9:55ee:8104:9b52:70dfdda28816\n");
}

static void test_fstab_with_boot(void **state)
{
	_cleanup_(layout_freep) struct layout *ext4 = test_layout(TEST_LAYOUT "firmware: bios\n");
	_cleanup_(layout_freep) struct layout *ext2 = test_layout(
		TEST_LAYOUT "firmware: both\nboot: { filesystem: ext2, device-timeout: 100 }\n");

	(void)state;
	expect(boot_fstab(ext4), FSTAB "UUID=fdd5f4f9-55ee-8104-9262-29e59eed602e /boot ext4 "
	       "noatime,nofail,x-systemd.device-timeout=90s 0 2\n");
	expect(boot_fstab(ext2), FSTAB "UUID=fdd5f4f9-55ee-8104-9262-29e59eed602e /boot ext2 "
	       "noatime,nofail,x-systemd.device-timeout=100s 0 2\n");
}

static void add_kernel(struct list *kernels, const char *version, bool has_zfs)
{
	struct observed_kernel *kernel = list_add(kernels, &record_observed_kernel);

	kernel->version = str_dup(version);
	kernel->has_zfs = has_zfs;
}

/* Newest first by the numbers in it; one without its zfs.ko is not there. */
static char *grub_config(const struct layout *layout, const struct list *kernels)
{
	_cleanup_free_ char *options = boot_options(layout);
	const struct boot_choice alone = { NULL, false, options, kernels };

	return boot_grub_config(layout, &alone, 1);
}

static void test_grub_config(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "firmware: bios\nboot: { cmdline: quiet, timeout: 5 }\n");
	_cleanup_free_ char *text = NULL;
	struct list kernels = {};

	(void)state;
	add_kernel(&kernels, "6.12.10-x", true);
	add_kernel(&kernels, "6.12.9-x", true);
	add_kernel(&kernels, "6.13.1-x", false);
	add_kernel(&kernels, "6.12.100-x", true);
	text = grub_config(layout, &kernels);
	expect_sealed(text, HEADER
	       "set timeout=5\nset default=0\nset fallback=\"1 2\"\n"
	       "search --no-floppy --fs-uuid --set=root fdd5f4f9-55ee-8104-9262-29e59eed602e\n"
	       "insmod smbios\ninsmod regexp\nset extra=\n"
	       "if smbios --type 11 --get-string 4 --set oem; then\n"
	       "\tregexp --set=1:extra '^io\\.systemd\\.boot\\.kernel-cmdline-extra=(.*)$' \"$oem\"\n"
	       "fi\n"
	       "menuentry 'falcon, kernel 6.12.100-x' --id '6.12.100-x' {\n"
	       "\tlinux /vmlinuz-6.12.100-x root=zfs:AUTO quiet $extra\n"
	       "\tinitrd /initrd.img-6.12.100-x\n}\n"
	       "menuentry 'falcon, kernel 6.12.10-x' --id '6.12.10-x' {\n"
	       "\tlinux /vmlinuz-6.12.10-x root=zfs:AUTO quiet $extra\n"
	       "\tinitrd /initrd.img-6.12.10-x\n}\n"
	       "menuentry 'falcon, kernel 6.12.9-x' --id '6.12.9-x' {\n"
	       "\tlinux /vmlinuz-6.12.9-x root=zfs:AUTO quiet $extra\n"
	       "\tinitrd /initrd.img-6.12.9-x\n}\n");
	list_deinit(&kernels, &record_observed_kernel);
}

/* What means something to GRUB reaches the kernel all the same. */
static void test_grub_config_quotes(void **state)
{
	_cleanup_(layout_freep) struct layout *layout =
		test_layout(TEST_LAYOUT "firmware: bios\nboot: { cmdline: 'memmap=64M$1G a;b "
			    "dyndbg=\"file $x; +p\"' }\n");
	_cleanup_free_ char *text = NULL;
	struct list kernels = {};
	struct observed_kernel *kernel = list_add(&kernels, &record_observed_kernel);

	(void)state;
	kernel->version = str_dup("6.1");
	kernel->has_zfs = true;
	text = grub_config(layout, &kernels);
	assert_non_null(strstr(text, "\tlinux /vmlinuz-6.1 root=zfs:AUTO memmap=64M\\$1G a\\;b "
				     "dyndbg=\"file \\$x; +p\" $extra\n"));
	list_deinit(&kernels, &record_observed_kernel);
}

static void test_dropin_of_a_key_device(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(KEYSTORE);
	_cleanup_free_ char *text = boot_initrd_dropin(layout);

	(void)state;
	assert_non_null(strstr(text, "Wants=eyrie-key-device.service eyrie-key-close.service "
				     "systemd-cryptsetup@keyfile.service\n"));
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

/* Each place that swap has says why nobody can go on from there. */
static void test_no_hibernation(void **state)
{
	_cleanup_(layout_freep) struct layout *volume = test_layout(SHARED "swap: { on: volume }\n");
	_cleanup_(layout_freep) struct layout *part = test_layout(SHARED "swap: { on: partition }\n");

	(void)state;
	expect(boot_sleep_conf(volume),
	       HEADER "# Swap lies in the pool, and a pool that is imported before an image of memory "
	       "goes\n# on with it is lost.\n[Sleep]\nAllowHibernation=no\nAllowHybridSleep=no\n"
	       "AllowSuspendThenHibernate=no\n");
	expect(boot_sleep_conf(part),
	       HEADER "# Swap has a new key at every start: an image in it could not be read again.\n"
	       "[Sleep]\nAllowHibernation=no\nAllowHybridSleep=no\nAllowSuspendThenHibernate=no\n");
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
		cmocka_unit_test(test_entry_of_an_environment),
		cmocka_unit_test(test_seals),
		cmocka_unit_test(test_entry_before),
		cmocka_unit_test(test_hash_of_an_entry),
		cmocka_unit_test(test_came_up),
		cmocka_unit_test(test_cmdline_of_openrc),
		cmocka_unit_test(test_cmdline_without_more),
		cmocka_unit_test(test_initrd_dropin),
		cmocka_unit_test(test_import),
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_dracut_conf),
		cmocka_unit_test(test_dracut_conf_without_systemd),
		cmocka_unit_test(test_initramfs_tools_conf),
		cmocka_unit_test(test_crypttab_of_a_key_device),
		cmocka_unit_test(test_mdadm_conf),
		cmocka_unit_test(test_fstab_with_boot),
		cmocka_unit_test(test_grub_config),
		cmocka_unit_test(test_grub_config_quotes),
		cmocka_unit_test(test_no_hibernation),
		cmocka_unit_test(test_dropin_of_a_key_device),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
