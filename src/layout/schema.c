/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The schema of the layout: every key, its type, its default and one sentence on why.
 * The reader, the writer and the list of keys in eyrie.yaml(5) all come from here.
 */

#include "layout/gate.h"
#include "layout/layout.h"

static const char *const firmware_choices[] = { "uefi", "bios", "both", NULL };
static const char *const unlock_choices[] = { "shared", "peer", "keystore", "native", NULL };
static const char *const kdf_choices[] = { "argon2id", "pbkdf2", NULL };
static const char *const swap_choices[] = { "none", "volume", "partition", NULL };
static const char *const init_choices[] = { "systemd", "openrc", NULL };
static const char *const network_choices[] = { "dhcp", "none", NULL };
static const char *const filesystem_choices[] = { "ext4", "ext2", NULL };
static const char *const initramfs_choices[] = { "dracut", "initramfs-tools", NULL };

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field disk_fields[] = {
	{ "name", FIELD_STRING, AT(layout_disk, name), FIELD_KEY, .help =
	  "The name that you give to the disk: 1 to 16 of a-z, 0-9 and '-'. It is in partition "
	  "names, in messages and in options such as --wipe." },
	{ "path", FIELD_STRING, AT(layout_disk, path), FIELD_REQUIRED, .help =
	  "A stable path, best one of /dev/disk/by-id: /dev/sda may be another disk tomorrow. Below "
	  "/dev/disk/by-partlabel or by-partuuid it is a partition of a GPT, which may be in a log, "
	  "cache, special or spare: eyrie writes to that partition, and to nothing else of its disk, "
	  "whose table is not eyrie's. What holds data is a whole disk, since each of those of the root's "
	  "pool starts the machine. The disk that a partition is on is none of this layout." },
	{ "size", FIELD_SIZE, AT(layout_disk, size), .help =
	  "The size that you expect. Less is an error, more is a note; the rehearsal makes its "
	  "virtual disk, or the partition on one, this large." },
	{ "sector-size", FIELD_NUMBER, AT(layout_disk, sector_size), .help =
	  "The logical sectors that you expect, 512 or 4096 bytes (4Kn). A BIOS starts nothing from "
	  "the latter, so it is refused with firmware: bios or both; else either is good, and another "
	  "than expected is a note. The rehearsal's virtual disk has such ones." },
};
const struct record record_layout_disk = RECORD(layout_disk, disk_fields);

static const struct field kdf_fields[] = {
	{ "type", FIELD_CHOICE, AT(layout_kdf, type), .choices = kdf_choices,
	  .fallback = "argon2id", .help =
	  "Argon2id costs memory as well as time, and so graphics cards gain little." },
	{ "memory", FIELD_SIZE, AT(layout_kdf, memory), .fallback = "1GiB", .help =
	  "What one try may cost in memory, as cryptsetup has it; less is used where the machine "
	  "has less than twice as much." },
	{ "time", FIELD_NUMBER, AT(layout_kdf, time), .fallback = "2000", .help =
	  "Milliseconds that one try shall cost on this machine, as cryptsetup has it." },
	{ "iterations", FIELD_NUMBER, AT(layout_kdf, iterations), .help =
	  "A fixed cost instead of one measured from time: 4 or more, 1000 or more for pbkdf2." },
	{ "threads", FIELD_NUMBER, AT(layout_kdf, threads), .fallback = "4", .help =
	  "Threads of Argon2id, 1 to 4; never more than the machine has processors." },
};
static const struct record record_kdf = RECORD(layout_kdf, kdf_fields);

static const struct field encryption_fields[] = {
	{ "unlock", FIELD_CHOICE, AT(layout_encryption, unlock), .choices = unlock_choices,
	  .fallback = "peer", .help =
	  "One passphrase, asked for once, and stock tools open everything with it. peer: LUKS2 "
	  "members that open each other as well: one slow key derivation for any number of them, "
	  "a typing error costs one more question, a late member is waited for and a dead one is "
	  "not, and two halves that each ran alone are never merged. shared: LUKS2 members that "
	  "stock systemd-cryptsetup opens; no code of eyrie runs at boot. keystore: the article's "
	  "first way; the passphrase opens a small key device, mirrored by md, whose random "
	  "contents open the members at almost no cost; it is closed before the root is switched "
	  "to. Edited later and applied, the machine moves between these three and writes no data "
	  "again; the keys of the way before stay until it was started in the new one, and the next "
	  "eyrie apply takes them away. native: no LUKS; ZFS encrypts, once however many disks hold "
	  "a block, and names, sizes and properties of datasets stay readable. 'encryption: native' says the same." },
	{ "cipher", FIELD_STRING, AT(layout_encryption, cipher), .fallback = "aes-xts-plain64",
	  .help = "The article's cipher, and still the default of cryptsetup: processors do it "
	  "in hardware. serpent-xts-plain64 and twofish-xts-plain64 are known, too." },
	{ "key-size", FIELD_NUMBER, AT(layout_encryption, key_size), .fallback = "512", .help =
	  "Bits; XTS uses half for each of its two keys, so 512 is AES-256." },
	{ "sector-size", FIELD_NUMBER, AT(layout_encryption, sector_size), .help =
	  "Bytes that are encrypted as one: 4096 costs least, but OpenZFS before 2.2.7 has lost data "
	  "with it. Without this key it is 4096 with suite: trixie, and else 512: nothing says what is "
	  "in a tarball, or what you install by hand. bookworm gets 512 in any case, with a note." },
	{ "key-device-size", FIELD_SIZE, AT(layout_encryption, key_device_size), .help =
	  "The partition of the key device on each disk: 32MiB with unlock: keystore, else none. "
	  "Written down, the room is kept with any unlock:, so that the machine can move to "
	  "keystore later; there is no room to be had once the disks are partitioned." },
	{ "kdf", FIELD_RECORD, AT(layout_encryption, kdf), .record = &record_kdf, .help =
	  "What one try of a passphrase costs." },
	{ "discards", FIELD_BOOL, AT(layout_encryption, discards), .fallback = "true", .help =
	  "Pass TRIM through, so that autotrim reaches an SSD; it shows which sectors are free." },
};
static const struct record record_encryption = {
	.name = "layout_encryption", .size = sizeof(struct layout_encryption),
	.fields = encryption_fields, .n_fields = ARRAY_SIZE(encryption_fields),
	.shorthand = "unlock",
};

#define AT_VDEV(kind) .offset = offsetof(struct layout_vdev, disks[kind])

static const struct field vdev_fields[] = {
	{ "mirror", FIELD_STRINGS, AT_VDEV(VDEV_MIRROR), .help =
	  "The disks that hold the same data, two or more: any of them alone is enough." },
	{ "raidz1", FIELD_STRINGS, AT_VDEV(VDEV_RAIDZ1), .help =
	  "Disks of which any one may be lost: more room than a mirror, and slower to heal." },
	{ "raidz2", FIELD_STRINGS, AT_VDEV(VDEV_RAIDZ2), .help =
	  "Disks of which any two may be lost." },
	{ "raidz3", FIELD_STRINGS, AT_VDEV(VDEV_RAIDZ3), .help =
	  "Disks of which any three may be lost." },
	{ "special", FIELD_STRINGS, AT_VDEV(VDEV_SPECIAL), .help =
	  "A mirror for metadata and small blocks. The pool is lost with it, so it wants two "
	  "disks or more: whole ones, or partitions." },
	{ "log", FIELD_STRINGS, AT_VDEV(VDEV_LOG), .help =
	  "A mirror for synchronous writes. Two disks or more: ZFS does not import a pool whose "
	  "log is gone. They may be partitions." },
	{ "cache", FIELD_STRINGS, AT_VDEV(VDEV_CACHE), .help =
	  "Disks, or partitions, for a second level of the read cache; the pool does without them." },
	{ "spare", FIELD_STRINGS, AT_VDEV(VDEV_SPARE), .help =
	  "Disks, or partitions, that wait to take the place of one that fails. The machine does not "
	  "start from a partition." },
};
const struct record record_layout_vdev = RECORD(layout_vdev, vdev_fields);

static const struct field dataset_fields[] = {
	{ "name", FIELD_STRING, AT(layout_dataset, name), FIELD_KEY, .help =
	  "Below the pool: ROOT/debian is rpool/ROOT/debian. Parents that are not listed are made "
	  "with mountpoint=none." },
	{ "mountpoint", FIELD_STRING, AT(layout_dataset, mountpoint), .help =
	  "A path, none or legacy; inherited when absent. The one with / is the root: it gets "
	  "canmount=noauto and becomes the pool's bootfs. /etc and /usr are in it or are children of "
	  "it, which the initramfs mounts. With firmware: bios or both none is on /boot or below, which "
	  "GRUB could not read." },
	{ "properties", FIELD_RECORDS, AT(layout_dataset, properties), FIELD_PAIRS,
	  .record = &record_pair, .help = "zfsprops(7)." },
};
const struct record record_layout_dataset = RECORD(layout_dataset, dataset_fields);

static const struct field volume_fields[] = {
	{ "name", FIELD_STRING, AT(layout_volume, name), FIELD_KEY, .help = "Below the pool." },
	{ "size", FIELD_SIZE, AT(layout_volume, size), FIELD_REQUIRED, .help = "Its size." },
	{ "properties", FIELD_RECORDS, AT(layout_volume, properties), FIELD_PAIRS,
	  .record = &record_pair, .help = "zfsprops(7)." },
};
const struct record record_layout_volume = RECORD(layout_volume, volume_fields);

/* What every pool has. */
#define POOL_COMMON                                                                            \
	{ "properties", FIELD_RECORDS, AT(layout_pool, properties), FIELD_PAIRS,               \
	  .record = &record_pair, .help =                                                      \
	  "Pool properties, zpoolprops(7). Default ashift=12, since no disk has smaller "      \
	  "physical sectors today and it cannot be changed later; autotrim=on, so that an "    \
	  "SSD stays fast." },                                                                 \
	{ "filesystem-properties", FIELD_RECORDS, AT(layout_pool, filesystem_properties),      \
	  FIELD_PAIRS, .record = &record_pair, .help =                                         \
	  "Properties of the root dataset, inherited by all, zfsprops(7). Default "            \
	  "compression=on as in the article; acltype=posixacl and xattr=sa, which journald "   \
	  "needs and which keep attributes in the inode; relatime=on, since atime writes for " \
	  "every read; normalization and dnodesize are left as ZFS has them." },               \
	{ "vdevs", FIELD_RECORDS, AT(layout_pool, vdevs), FIELD_REQUIRED,                      \
	  .record = &record_layout_vdev, .help =                                               \
	  "What the pool is made of, a list; data is spread over its entries. Each entry is "  \
	  "of one kind." }

static const struct field root_pool_fields[] = {
	{ "name", FIELD_STRING, AT(layout_pool, name), .fallback = "rpool", .help =
	  "The article's name." },
	POOL_COMMON,
};
static const struct record record_root_pool = RECORD(layout_pool, root_pool_fields);

static const struct field pool_fields[] = {
	{ "name", FIELD_STRING, AT(layout_pool, name), FIELD_KEY, .help = "Its name." },
	POOL_COMMON,
	{ "datasets", FIELD_RECORDS, AT(layout_pool, datasets),
	  .record = &record_layout_dataset, .help = "File systems, by their name below the pool." },
	{ "volumes", FIELD_RECORDS, AT(layout_pool, volumes), .record = &record_layout_volume,
	  .help = "Block devices in the pool." },
};
const struct record record_layout_pool = RECORD(layout_pool, pool_fields);

static const struct field swap_fields[] = {
	{ "on", FIELD_CHOICE, AT(layout_swap, on), .choices = swap_choices, .fallback = "none",
	  .help = "volume: a ZFS volume named swap, as in the article; mirrored, but known to "
	  "deadlock when memory is all but gone. partition: one on each disk, encrypted with a "
	  "new random key at every boot; not mirrored: losing a disk in use as swap kills what "
	  "was swapped to it. With either, hibernation is turned off: no image of memory could be "
	  "gone on with." },
	{ "size", FIELD_SIZE, AT(layout_swap, size), .fallback = "2GiB", .help =
	  "The article's 2 GiB; for each disk with on: partition." },
};
static const struct record record_swap = RECORD(layout_swap, swap_fields);

static const struct field system_fields[] = {
	{ "suite", FIELD_STRING, AT(layout_system, suite), .help =
	  "Debian's suite, trixie for example, put on with mmdebstrap. Without suite and tarball "
	  "eyrie stops when everything is mounted, and you install what you like." },
	{ "tarball", FIELD_STRING, AT(layout_system, tarball), .help =
	  "A root tarball instead, made by eyrie tarball on this machine or another." },
	{ "packages", FIELD_STRINGS, AT(layout_system, packages), .help =
	  "Packages beside those that the machine needs to boot." },
	{ "init", FIELD_CHOICE, AT(layout_system, init), .choices = init_choices,
	  .fallback = "systemd", .help =
	  "Who starts the services. openrc is the article's, on Debian under sysvinit; in the "
	  "initramfs systemd runs all the same. It knows no encrypted swap partition, and a gate holds "
	  "the services that it lists, hold: listed." },
	{ "network", FIELD_CHOICE, AT(layout_system, network), .choices = network_choices,
	  .fallback = "dhcp", .help =
	  "dhcp: systemd-networkd, or dhcpcd with OpenRC, asks on every wired interface, so that a "
	  "new machine can be reached; none: you see to it." },
	{ "root-password", FIELD_STRING, AT(layout_system, root_password), .help =
	  "A crypt(5) hash as openssl passwd -6 prints it; without it and root-keys nobody can "
	  "log in, and eyrie says so." },
	{ "root-keys", FIELD_STRINGS, AT(layout_system, root_keys), .help =
	  "Public ssh keys that may log in as root." },
	{ "timezone", FIELD_STRING, AT(layout_system, timezone), .fallback = "UTC", .help =
	  "As in /usr/share/zoneinfo." },
	{ "keyboard", FIELD_STRING, AT(layout_system, keyboard), .help =
	  "Where the passphrase is typed: a layout of keyboard(5), de for example, or one with its "
	  "variant, de(nodeadkeys). It holds in the initramfs, too. Without it, the kernel's own, "
	  "that of the US." },
};
const struct record record_layout_system = RECORD(layout_system, system_fields);

static const struct field boot_fields[] = {
	{ "esp-size", FIELD_SIZE, AT(layout_boot, esp_size), .fallback = "1GiB", .help =
	  "Each disk has an EFI system partition of its own with every kernel on it: room for "
	  "about eight." },
	{ "bios-size", FIELD_SIZE, AT(layout_boot, bios_size), .fallback = "32MiB", .help =
	  "With firmware: bios or both, the BIOS boot partition of each disk, which holds GRUB "
	  "itself; the article's 32 MiB, of which GRUB needs less than one." },
	{ "size", FIELD_SIZE, AT(layout_boot, size), .fallback = "1GiB", .help =
	  "With firmware: bios or both, /boot: one partition on each disk, mirrored by md RAID1, "
	  "which GRUB reads from any of them." },
	{ "filesystem", FIELD_CHOICE, AT(layout_boot, filesystem), .choices = filesystem_choices,
	  .fallback = "ext4", .help =
	  "Of /boot. ext4 survives a power cut without a check; ext2 is the article's." },
	{ "initramfs", FIELD_CHOICE, AT(layout_boot, initramfs), .choices = initramfs_choices,
	  .fallback = "dracut", .help =
	  "Who makes the initramfs. In dracut's runs systemd, and whoever answers its questions can "
	  "answer; initramfs-tools is Debian's own choice until now, plain shell, for those who "
	  "have things built on it. It wants unlock: peer or encryption: native." },
	{ "timeout", FIELD_NUMBER, AT(layout_boot, timeout), .fallback = "3", .help =
	  "Seconds that the boot menu waits." },
	{ "device-timeout", FIELD_NUMBER, AT(layout_boot, device_timeout), .fallback = "20",
	  .help = "With unlock: shared or keystore, seconds that the initramfs waits for a member that does not "
	  "come, before the machine goes on without it; systemd's own 90 is paid twice. For the key "
	  "device half a minute more; when it does not come, or does not open, the passphrase opens the "
	  "members." },
	{ "window", FIELD_NUMBER, AT(layout_boot, window), .fallback = "10", .help =
	  "With unlock: peer or encryption: native, seconds that members may still come after the "
	  "passphrase was right (native: was typed). A pool that cannot be imported without those that "
	  "are missing waits for them all the same, with peer for five minutes." },
	{ "rejoin", FIELD_STRING, AT(layout_boot, rejoin), .fallback = "900", .help =
	  "With unlock: peer, seconds after a start without a member in which it still joins by "
	  "itself when it shows up; always, or 0: never. Until then the set key waits in root's "
	  "keyring in the kernel, which root can read; later eyrie heal asks for the "
	  "passphrase." },
	{ "cmdline", FIELD_STRING, AT(layout_boot, cmdline), .help =
	  "Further kernel parameters, as the kernel shall get them, on one line; what GRUB would take "
	  "for its own language is quoted." },
};
static const struct record record_boot = RECORD(layout_boot, boot_fields);

static const struct field layout_fields[] = {
	{ "id", FIELD_STRING, AT(layout, id), FIELD_REQUIRED, .help =
	  "The set id, a UUID that eyrie init makes. It is on every object that eyrie makes, and "
	  "a disk that carries another one is touched only when --wipe names it." },
	{ "host", FIELD_STRING, AT(layout, host), FIELD_REQUIRED, .help = "The host name." },
	{ "firmware", FIELD_CHOICE, AT(layout, firmware), .choices = firmware_choices,
	  .fallback = "uefi", .help =
	  "uefi: systemd-boot and an EFI system partition on every disk. bios: GRUB and a BIOS boot "
	  "partition on every disk, /boot mirrored by md. both: disks that start in either kind "
	  "of machine. Decided when the disks are partitioned: a machine that is made stays what "
	  "it is." },
	{ "disks", FIELD_RECORDS, AT(layout, disks), FIELD_REQUIRED,
	  .record = &record_layout_disk, .help =
	  "The disks, by a name of yours. A disk that is not named here is never opened for "
	  "writing; of one that only a partition of is, that partition is." },
	{ "encryption", FIELD_RECORD, AT(layout, encryption), .record = &record_encryption,
	  .help = "How the root's pool is encrypted: LUKS2 on every member, but for native." },
	{ "pool", FIELD_RECORD, AT(layout, pool), FIELD_REQUIRED, .record = &record_root_pool,
	  .help = "The ZFS pool of the root; each of its whole disks boots the machine." },
	{ "datasets", FIELD_RECORDS, AT(layout, pool.datasets), FIELD_REQUIRED,
	  .record = &record_layout_dataset, .help =
	  "File systems of that pool, by their name below it." },
	{ "volumes", FIELD_RECORDS, AT(layout, pool.volumes), .record = &record_layout_volume,
	  .help = "Block devices in that pool, zfs create -V." },
	{ "pools", FIELD_RECORDS, AT(layout, pools), .record = &record_layout_pool, .help =
	  "Further pools, on disks of their own, without LUKS: encrypted by ZFS itself with "
	  "encryption=on and keyformat=passphrase among their filesystem-properties, or those of "
	  "a dataset. That passphrase is asked for once, when they are made; at boot eyrie-gate(8) "
	  "holds what needs them." },
	{ "swap", FIELD_RECORD, AT(layout, swap), .record = &record_swap, .help =
	  "Swap space." },
	{ "system", FIELD_RECORD, AT(layout, system), .record = &record_layout_system, .help =
	  "What goes on it." },
	{ "boot", FIELD_RECORD, AT(layout, boot), .record = &record_boot, .help =
	  "How it boots." },
	{ "gates", FIELD_RECORDS, AT(layout, gates), .record = &record_gate, .help =
	  "What waits for the keys of natively encrypted pools and datasets, eyrie-gate(8); written "
	  "to /etc/eyrie/gate.yaml of the new system." },
};
const struct record record_layout = RECORD(layout, layout_fields);

const char *layout_unlock_name(unsigned unlock)
{
	return unlock_choices[unlock];
}

const char *layout_firmware_name(unsigned firmware)
{
	return firmware_choices[firmware];
}
