/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Every rule of check.c and every finding of the reader: each case is a layout that breaks that
 * one, and what is said about it, with line and column.
 */

#include <stdio.h>

#include "test.h"

#define POOL_NAME                                                                              \
	"a letter, then letters, digits and '-_.:', and not what zpool(8) calls vdevs: mirror, " \
	"raidz, draid, spare, log"
#define DATASET_NAME "letters, digits and '-_.:', parts between slashes, up to 200"

/* A whole file; the finding as "line:column: text". */
struct wrong {
	const char *yaml;
	const char *finding; /* NULL: any */
	size_t n_further;    /* what follows from it */
};

#define REST TEST_DATASETS
#define TWO TEST_HEAD TEST_DISKS
#define ALL TEST_LAYOUT

static const struct wrong wrong_id[] = {
	{ "id: falcon\nhost: falcon\n" TEST_DISKS TEST_POOL REST, "1:5: 'id' is not a UUID" },
	{ "id: 00000000-0000-0000-0000-000000000000\nhost: falcon\n" TEST_DISKS TEST_POOL REST,
	  "1:5: 'id' is not a UUID" },
	{ "id: 0F0e0d0c-0b0a-4908-8706-050403020100\nhost: falcon\n" TEST_DISKS TEST_POOL REST,
	  "1:5: 'id' has upper-case letters" },
	{ "id: \"\"\nhost: falcon\n" TEST_DISKS TEST_POOL REST, "1:6: 'id' is not a UUID" },
	{ "host: falcon\n" TEST_DISKS TEST_POOL REST, "1:1: the key 'id' is missing" },
};

static const struct wrong wrong_host[] = {
	{ "id: " TEST_ID "\nhost: Falcon\n" TEST_DISKS TEST_POOL REST,
	  "2:7: 'Falcon' is no host name: 1 to 63 of a-z, 0-9 and '-'" },
	{ "id: " TEST_ID "\nhost: -falcon\n" TEST_DISKS TEST_POOL REST,
	  "2:7: '-falcon' is no host name: 1 to 63 of a-z, 0-9 and '-'" },
	{ "id: " TEST_ID "\nhost: \"\"\n" TEST_DISKS TEST_POOL REST,
	  "2:8: '' is no host name: 1 to 63 of a-z, 0-9 and '-'" },
	{ "id: " TEST_ID "\nhost: eyrie-new\n" TEST_DISKS TEST_POOL REST,
	  "2:7: a host that is called 'eyrie-new' would mark its members as new for ever" },
	{ "id: " TEST_ID "\nhost: nest.example\n" TEST_DISKS TEST_POOL REST,
	  "2:7: 'nest.example' is no host name: 1 to 63 of a-z, 0-9 and '-'" },
	{ "id: " TEST_ID "\nhost: "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n"
	  TEST_DISKS TEST_POOL REST,
	  "2:7: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' is no host "
	  "name: 1 to 63 of a-z, 0-9 and '-'" },
	{ "id: " TEST_ID "\n" TEST_DISKS TEST_POOL REST, "1:1: the key 'host' is missing" },
};

#define DISKS(left, right) TEST_HEAD "disks:\n  " left "\n  " right "\n"

static const struct wrong wrong_disks[] = {
	{ DISKS("Left: { path: /dev/one }", "right: { path: /dev/two }")
	  "pool: { vdevs: [ { mirror: [Left, right] } ] }\n" REST,
	  "4:11: 'Left' is no name for a disk: 1 to 16 of a-z, 0-9 and '-'" },
	{ DISKS("a-name-of-seventeen: { path: /dev/one }", "right: { path: /dev/two }")
	  "pool: { vdevs: [ { mirror: [a-name-of-seventeen, right] } ] }\n" REST,
	  "4:26: 'a-name-of-seventeen' is no name for a disk: 1 to 16 of a-z, 0-9 and '-'" },
	{ DISKS("left: { path: sda }", "right: { path: /dev/two }") TEST_POOL REST,
	  "4:17: the path of disk 'left' does not begin with '/'" },
	{ DISKS("left: { path: /dev/one }", "right: { path: /dev/one }") TEST_POOL REST,
	  "5:18: the disks 'left' and 'right' have the same path" },
	{ TWO "  third: { path: /dev/three }\n" TEST_POOL REST,
	  "6:12: disk 'third' is in no vdev" },
	{ DISKS("left: { size: 5GiB }", "right: { path: /dev/two }") TEST_POOL REST,
	  "4:11: the key 'path' is missing" },
	{ DISKS("left: { path: /dev/one, size: big }", "right: { path: /dev/two }") TEST_POOL REST,
	  "4:33: 'size' wants a size such as 512MiB" },
	{ DISKS("left: { path: /dev/one, size: 5GB }", "right: { path: /dev/two }") TEST_POOL REST,
	  "4:33: 'size' wants a size such as 512MiB" },
	{ DISKS("left: { path: /dev/one, size: 99999999TiB }", "right: { path: /dev/two }")
	  TEST_POOL REST, "4:33: 'size: 99999999TiB' is too large" },
	{ TEST_HEAD "disks: [/dev/one, /dev/two]\n" TEST_POOL REST, NULL },
	{ TEST_HEAD TEST_POOL REST, NULL },
};

static const struct wrong wrong_encryption[] = {
	{ ALL "encryption: { key-size: 128 }\n", "11:25: 'key-size' is in bits: 256 or 512" },
	{ ALL "encryption: { sector-size: 2048 }\n",
	  "11:28: 'sector-size' is in bytes: 512 or 4096" },
	{ ALL "encryption: { cipher: cipher_null-ecb }\n",
	  "11:23: 'cipher_null-ecb' is not a cipher for disks that eyrie knows: aes-xts-plain64, "
	  "serpent-xts-plain64, twofish-xts-plain64" },
	{ ALL "encryption: { cipher: aes-cbc-essiv }\n",
	  "11:23: 'aes-cbc-essiv' is not a cipher for disks that eyrie knows: aes-xts-plain64, "
	  "serpent-xts-plain64, twofish-xts-plain64" },
	{ ALL "encryption: { cipher: aes-xts-plain }\n",
	  "11:23: 'aes-xts-plain' is not a cipher for disks that eyrie knows: aes-xts-plain64, "
	  "serpent-xts-plain64, twofish-xts-plain64" },
	{ ALL "encryption: { cipher: 'aes-xts-essiv:sha256' }\n", NULL },
	{ ALL "encryption: { kdf: { iterations: 4294967297 } }\n",
	  "11:34: 'iterations' is 4294967295 at most" },
	{ ALL "encryption: { kdf: { iterations: 3 } }\n", "11:34: 'iterations' is 4 at least" },
	{ ALL "encryption: { kdf: { type: pbkdf2, iterations: 999 } }\n",
	  "11:48: 'iterations' is 1000 at least" },
	{ ALL "encryption: { kdf: { time: 99 } }\n",
	  "11:28: 'time' is in milliseconds, 100 to 60000" },
	{ ALL "encryption: { kdf: { time: 60001 } }\n",
	  "11:28: 'time' is in milliseconds, 100 to 60000" },
	{ ALL "encryption: { kdf: { memory: 31MiB } }\n", "11:30: 'memory' is 32MiB to 4GiB" },
	{ ALL "encryption: { kdf: { memory: 5GiB } }\n", "11:30: 'memory' is 32MiB to 4GiB" },
	{ ALL "encryption: { kdf: { threads: 0 } }\n", "11:31: 'threads' is 1 to 4" },
	{ ALL "encryption: { kdf: { threads: 5 } }\n", "11:31: 'threads' is 1 to 4" },
	{ ALL "encryption: { kdf: { type: scrypt } }\n",
	  "11:28: 'type' wants one of: argon2id, pbkdf2" },
	{ ALL "encryption: { discards: maybe }\n", "11:25: 'discards' wants true or false" },
	{ ALL "encryption: none\n", "11:13: 'encryption' wants one of: shared, peer, keystore, native" },
};

#define POOL(text) TWO "pool:\n" text REST

static const struct wrong wrong_pool[] = {
	{ POOL("  name: mirror1\n  vdevs: [ { mirror: [left, right] } ]\n"),
	  "7:9: 'mirror1' is no name for a pool: " POOL_NAME },
	{ POOL("  name: 1pool\n  vdevs: [ { mirror: [left, right] } ]\n"),
	  "7:9: '1pool' is no name for a pool: " POOL_NAME },
	{ POOL("  name: a/b\n  vdevs: [ { mirror: [left, right] } ]\n"),
	  "7:9: 'a/b' is no name for a pool: " POOL_NAME },
	{ POOL("  name: 'a b'\n  vdevs: [ { mirror: [left, right] } ]\n"), NULL },
	{ POOL("  name: ''\n  vdevs: [ { mirror: [left, right] } ]\n"), NULL },
	{ POOL("  vdevs: [ { mirror: [left, right, none] } ]\n"),
	  "7:36: there is no disk 'none' under disks:" },
	{ POOL("  vdevs: [ { mirror: [left, right, left] } ]\n"),
	  "7:36: disk 'left' is named twice" },
	{ POOL("  vdevs: [ { mirror: [left, right] }, { mirror: [left, right] } ]\n"), NULL },
	{ TEST_HEAD "disks:\n  left: { path: /dev/one }\npool:\n  vdevs: [ { mirror: [left] } ]\n"
	  REST, "6:23: a mirror of one disk mirrors nothing" },
	{ POOL("  vdevs: [ { mirror: [left, right] }, { mirror: [] } ]\n"), NULL },
	{ POOL("  vdevs: []\n"), NULL },
	{ POOL("  name: rpool\n"), NULL },
	{ POOL("  vdevs: { mirror: [left, right] }\n"), NULL },
	{ POOL("  vdevs: [ { mirror: left } ]\n"), NULL },
	{ POOL("  vdevs: [ { raidz: [left, right] } ]\n"), NULL },
	{ POOL("  vdevs: [ { mirror: [left, right] } ]\n  properties: [ashift=12]\n"),
	  "8:16: 'properties' wants a map" },
	{ POOL("  vdevs: [ { mirror: [left, right] } ]\n  properties: { ashift: [12] }\n"),
	  "8:17: 'properties' wants name: value" },
};

#define FOUR                                                                                   \
	TEST_HEAD "disks:\n  a: { path: /dev/a }\n  b: { path: /dev/b }\n  c: { path: /dev/c }\n" \
		  "  d: { path: /dev/d }\n"
#define VDEVS(text) FOUR "pool:\n  vdevs:\n" text REST

/* c and d are partitions. */
#define LENT(text)                                                                             \
	TEST_HEAD "disks:\n  a: { path: /dev/a }\n  b: { path: /dev/b }\n  c: { path: "          \
		  "/dev/disk/by-partlabel/c }\n  d: { path: /dev/disk/by-partuuid/d }\n"        \
		  "  e: { path: /dev/e }\n"                                                     \
		  "pool:\n  vdevs:\n" text REST

static const struct wrong wrong_vdevs[] = {
	{ VDEVS("  - raidz3: [a, b, c]\n  - spare: [d]\n"), "10:14: 'raidz3' wants 4 disks or more" },
	{ VDEVS("  - mirror: [a, b]\n  - special: [c]\n  - cache: [d]\n"),
	  "11:15: 'special' wants 2 disks or more" },
	{ VDEVS("  - mirror: [a, b, c]\n  - log: [d]\n"), "11:11: 'log' wants 2 disks or more" },
	{ VDEVS("  - mirror: [a, b]\n  - raidz1: [c, d]\n"),
	  "10:5: the pool has a mirror and a raidz1: it would be as safe as the lesser" },
	{ VDEVS("  - cache: [a, b]\n  - spare: [c, d]\n"),
	  "10:5: the pool has no vdevs that hold data" },
	{ VDEVS("  - { mirror: [a, b], cache: [c, d] }\n"), "10:7: a vdev is of one kind" },
	{ LENT("  - mirror: [a, c]\n  - cache: [b, e]\n  - spare: [d]\n"),
	  "11:14: 'c' is a partition, and a disk that holds the data of a pool is a whole one" },
	{ LENT("  - mirror: [a, b]\n  - log: [c, d, e]\n"), "12:11: 'd' is a partition, and 'e' a whole disk" },
};

#define POOLS(text) FOUR "pool: { vdevs: [ { mirror: [a, b] } ] }\n" REST "pools:\n" text
#define NEST(text) POOLS("  nest:\n    vdevs: [ { mirror: [c, d] } ]\n" text)

static const struct wrong wrong_pools[] = {
	{ POOLS("  rpool: { vdevs: [ { mirror: [c, d] } ] }\n"),
	  "12:12: there are two pools named 'rpool'" },
	{ POOLS("  nest: { vdevs: [ { mirror: [b, d] } ] }\n"), NULL, 1 },
	{ NEST("    datasets: { x: { mountpoint: / } }\n"), NULL, 1 },
	{ NEST("    filesystem-properties: { keyformat: passphrase }\n"),
	  "14:30: keyformat, keylocation and pbkdf2iters want 'encryption' beside them" },
	{ NEST("    filesystem-properties: { encryption: on }\n"),
	  "14:30: 'keyformat' is passphrase, raw or hex" },
	{ NEST("    filesystem-properties: { encryption: on, keyformat: raw }\n"),
	  "14:30: a raw key wants 'keylocation', file:///PATH for example" },
	{ NEST("    datasets: { x: { properties: { encryption: on, keyformat: passphrase, "
	       "keylocation: /key } } }\n"),
	  "14:36: 'keylocation' is prompt, or a URL such as file:///PATH" },
	{ NEST("    datasets: { x: { properties: { encryption: on, keyformat: passphrase, "
	       "pbkdf2iters: 99999 } } }\n"),
	  "14:36: 'pbkdf2iters' is 100000 at least" },
};

#define NORMAL                                                                                 \
	"is written in another way than the kernel has it: no '//', '.', '..' or '/' at its end"
#define DATASETS(text) TWO TEST_POOL "datasets:\n" text

static const struct wrong wrong_datasets[] = {
	{ DATASETS("  ROOT: { mountpoint: /x }\n"), "10:3: no dataset has the mountpoint /" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  other: { mountpoint: / }\n"),
	  "11:24: 'ROOT' and 'other' are both mounted on /" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a: { mountpoint: /x }\n  b: { mountpoint: /x }\n"),
	  "12:20: 'a' and 'b' are both mounted on /x" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a: { mountpoint: x }\n"),
	  "11:20: 'mountpoint' is a path, none or legacy" },
	{ TWO TEST_POOL "  filesystem-properties: { encryption: on, keyformat: raw, "
	  "keylocation: 'file:///key' }\nencryption: native\n" REST,
	  "9:28: the key of the root is a passphrase that is typed: 'keyformat' passphrase, "
	  "'keylocation' prompt" },
	{ DATASETS("  a: { properties: { encryption: on, keyformat: hex, keylocation: 'file:///k' } }\n"
		   "  a/root: { mountpoint: / }\n"),
	  "10:22: the key of the root is a passphrase that is typed: 'keyformat' passphrase, "
	  "'keylocation' prompt" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  usr: { mountpoint: /usr }\n"),
	  "11:22: /usr would come too late: the start needs it, and the initramfs does not mount "
	  "'usr'" },
	{ DATASETS("  a/root: { mountpoint: / }\n  a/root2/etc: { mountpoint: /etc }\n"),
	  "11:30: /etc would come too late: the start needs it, and the initramfs does not mount "
	  "'a/root2/etc'" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  ROOT/bin: { mountpoint: /usr/bin }\n"),
	  "11:27: /usr/bin would come too late: the start needs it, and the initramfs does not mount "
	  "'ROOT/bin'" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  ROOT/usr: {}\n  ROOT/usr/lib: {}\n"),
	  "12:3: /usr/lib would come too late: the start needs it, and the initramfs does not mount "
	  "'ROOT/usr/lib'" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  usr: { mountpoint: /usr, properties: { canmount: off } }\n"
		   "  usr/bin: {}\n"),
	  "12:3: /usr/bin would come too late: the start needs it, and the initramfs does not mount "
	  "'usr/bin'" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  boot: { mountpoint: /boot }\nfirmware: bios\n"),
	  "11:23: /boot would be on a dataset, which GRUB cannot read" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  ROOT/boot: {}\nfirmware: both\n"),
	  "11:3: /boot would be on a dataset, which GRUB cannot read" },
	{ DATASETS("  a: { mountpoint: /boot, properties: { canmount: off } }\n  a/eyrie: {}\n"
		   "  ROOT: { mountpoint: / }\nfirmware: bios\n"),
	  "11:3: /boot/eyrie would be on a dataset, which GRUB cannot read" },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a//b: { mountpoint: /x }\n"),
	  "11:11: 'a//b' is no name for a dataset: " DATASET_NAME },
	{ DATASETS("  ROOT: { mountpoint: / }\n  /a: { mountpoint: /x }\n"),
	  "11:9: '/a' is no name for a dataset: " DATASET_NAME },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a/: { mountpoint: /x }\n"),
	  "11:9: 'a/' is no name for a dataset: " DATASET_NAME },
	{ DATASETS("  ROOT: { mountpoint: / }\n  'a b': { mountpoint: /x }\n"),
	  "11:12: 'a b' is no name for a dataset: " DATASET_NAME },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a@b: { mountpoint: /x }\n"),
	  "11:10: 'a@b' is no name for a dataset: " DATASET_NAME },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a/../b: { mountpoint: /x }\n"),
	  "11:13: 'a/../b' is no name for a dataset: " DATASET_NAME },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a: { mountpoint: //usr }\n"), "11:20: '//usr' " NORMAL },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a: { mountpoint: /usr/ }\n"), "11:20: '/usr/' " NORMAL },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a: { mountpoint: /x/../usr }\n"),
	  "11:20: '/x/../usr' " NORMAL },
	{ DATASETS("  ROOT: { mountpoint: / }\n  a: { mountpoint: /run/a }\n"),
	  "11:20: /run is the kernel's, and nothing of a pool is mounted there" },
	{ TWO TEST_POOL, NULL },
};

static const struct wrong wrong_volumes[] = {
	{ ALL "volumes: { 'a b': { size: 1GiB } }\n", "11:21: 'a b' is no name for a volume: " DATASET_NAME },
	{ ALL "volumes: { vm: { size: 512KiB } }\n", "11:18: a volume is 1MiB at least" },
	{ ALL "volumes: { vm: { } }\n", "11:12: the key 'size' is missing", 1 },
	{ ALL "swap: { on: volume }\nvolumes: { swap: { size: 1GiB } }\n",
	  "12:20: the volume 'swap' is what swap: on: volume makes" },
	{ ALL "swap: { on: partition, size: 63MiB }\n", "11:30: swap is 64MiB at least" },
	{ ALL "swap: { on: file }\n", "11:13: 'on' wants one of: none, volume, partition" },
};

#define SYSTEM(text) ALL "system:\n  root-keys: [key]\n" text

static const struct wrong wrong_gates[] = {
	{ ALL "gates: { attic: { hold: boot } }\n",
	  "11:19: the boot would wait for 'attic', and there is no such pool here" },
	{ ALL "gates: { attic/a: { hold: boot } }\n", NULL },
};

static const struct wrong wrong_system[] = {
	{ SYSTEM("  suite: trixie\n  tarball: /root.tar\n"),
	  "14:12: either 'suite' or 'tarball', not both" },
	{ SYSTEM("  suite: sid\n"), "13:10: eyrie knows the suites bookworm and trixie, not sid" },
	{ SYSTEM("  tarball: root.tar\n"), "13:12: 'tarball' does not begin with '/'" },
	{ SYSTEM("  root-password: falcon\n"),
	  "13:18: 'root-password' is no crypt(5) hash" },
	{ SYSTEM("  packages: vim\n"), "13:13: 'packages' wants a list of words, [one, two]" },
	{ SYSTEM("  packages: [vim, [emacs]]\n"), NULL },
	{ SYSTEM("  network: wifi\n"), "13:12: 'network' wants one of: dhcp, none" },
	{ ALL "boot: { esp-size: 255MiB }\n",
	  "11:19: an ESP of 255MiB has no room for two kernels" },
	{ ALL "boot: { device-timeout: 0 }\n",
	  "11:25: 'device-timeout' is in seconds, 1 to 3600" },
	{ ALL "boot: { device-timeout: 3601 }\n",
	  "11:25: 'device-timeout' is in seconds, 1 to 3600" },
	{ ALL "encryption: { unlock: shared }\nboot: { initramfs: initramfs-tools }\n",
	  "12:20: with 'unlock: shared' initramfs-tools would ask for each disk by itself" },
	{ SYSTEM("  packages: [-x]\n"), "13:14: '-x' is no name of a package" },
	{ SYSTEM("  timezone: ../passwd\n"), "13:13: 'timezone' is a name below /usr/share/zoneinfo, "
	  "Europe/Berlin for example" },
	{ ALL "boot: { timeout: 3601 }\n", "11:18: 'timeout' is in seconds, 0 to 3600" },
	{ ALL "boot: { timeout: soon }\n", "11:18: 'timeout' wants a whole number" },
	{ ALL "firmware: coreboot\n", "11:11: 'firmware' wants one of: uefi, bios, both" },
	{ ALL "boot: { bios-size: 512KiB }\n",
	  "11:20: a BIOS boot partition below 1MiB does not hold GRUB" },
	{ ALL "boot: { size: 100MiB }\n",
	  "11:15: a /boot of 100MiB has no room for two kernels" },
	{ ALL "boot: { cmdline: quiet resume=/dev/zvol/rpool/swap }\nswap: { on: volume }\n",
	  "11:18: 'resume=/dev/zvol/rpool/swap': a root on ZFS cannot hibernate: swap lies in the pool, "
	  "which would be imported before memory goes on with it, and be lost" },
	{ ALL "boot: { cmdline: resume=LABEL=x resume_offset=1 }\nswap: { on: partition }\n",
	  "11:18: 'resume=LABEL=x': a root on ZFS cannot hibernate: swap has a new key at every start, "
	  "and no image in it can be read again" },
	{ ALL "boot: { cmdline: resume_offset=1 }\n",
	  "11:18: 'resume_offset=1': a root on ZFS cannot hibernate: there is no swap to resume from" },
	{ ALL "boot: { cmdline: \"quiet\\nsplash\" }\n",
	  "11:19: 'cmdline' is one line" },
	{ ALL "boot: { cmdline: 'dyndbg=\"file a' }\n", "11:19: a \" in 'cmdline' has no other one" },
	{ ALL "firmware: bios\nboot: { cmdline: 'a=b\\c' }\n",
	  "12:19: GRUB gives no \\ and no ' to the kernel as they are" },
	{ ALL "boot: { filesystem: xfs }\n", "11:21: 'filesystem' wants one of: ext4, ext2" },
	{ ALL "encryption: { key-device-size: 16MiB }\n",
	  "11:32: 'key-device-size' is 20MiB to 1GiB" },
	{ ALL "encryption: { unlock: keystore }\nboot: { initramfs: initramfs-tools }\n",
	  "12:20: with 'unlock: keystore' initramfs-tools would leave the key device open" },
	{ ALL "system: { init: openrc }\ngates: { rpool: { services: [nginx] } }\n",
	  "12:19: with 'init: openrc' a gate holds the services that it lists: which services need a "
	  "path is asked of systemd" },
	{ ALL "system: { init: openrc }\ngates: { rpool: { hold: boot } }\n",
	  "12:19: with 'init: openrc' a gate holds the services that it lists: what the boot waits for "
	  "is a unit of systemd" },
};

static const struct wrong wrong_yaml[] = {
	{ "", "1:1: the file is empty" },
	{ "# only a comment\n", "1:1: the file is empty" },
	{ "~\n", NULL },
	{ "[]\n", NULL },
	{ "falcon\n", "1:1: a map is wanted here", 2 },
	{ ALL "swpa: { on: none }\n", "11:1: unknown key 'swpa'" },
	{ ALL "boot: { esp_size: 1GiB }\n", "11:9: unknown key 'esp_size'" },
	{ ALL "host: other\n", NULL },
	{ "id: [\n", NULL },
	{ "id: \"x\n", NULL },
	{ "a: b: c\n", NULL },
	{ ALL "boot: *nowhere\n", NULL },
	{ "\tid: x\n", NULL },
};

/* Latin-1, a character cut short, an overlong one, half of a surrogate, beyond Unicode. */
static const struct wrong wrong_encoding[] = {
	{ "host: f\xe4lcon\n", "1:8: this is not UTF-8" },
	{ "id: x\nhost: \xc3\xa4\xc3", "2:8: this is not UTF-8" },
	{ "\xc0\xaf", "1:1: this is not UTF-8" },
	{ "a: \xed\xa0\x80\n", "1:4: this is not UTF-8" },
	{ "a: \xf4\x90\x80\x80\n", "1:4: this is not UTF-8" },
	{ "%YAML \xff\xff\n", "1:7: this is not UTF-8" },
};

static char *first_finding(const struct diag *diag)
{
	const struct diag_item *item = &diag->items[0];

	return str_printf("%u:%u: %s", item->line, item->column, item->text);
}

/* The excerpt is the line of the file that line and column point into. */
static void assert_place(const struct wrong *wrong, const struct diag_item *item)
{
	const char *line = wrong->yaml;

	assert_string_equal(item->file, "case");
	assert_true(item->line >= 1 && item->column >= 1);
	for (unsigned i = 1; i < item->line; i++)
		line += strcspn(line, "\n") + 1;
	assert_int_equal(strlen(item->excerpt), strcspn(line, "\n"));
	assert_int_equal(strncmp(item->excerpt, line, strlen(item->excerpt)), 0);
	assert_true(item->column <= strlen(item->excerpt) + 1);
}

static unsigned check_all(const struct wrong *cases, size_t n)
{
	unsigned n_failed = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		struct layout *layout = NULL;
		_cleanup_free_ char *found = NULL;
		int r = layout_parse("case", cases[i].yaml, &layout, &diag);

		assert_int_equal(r, -EINVAL);
		assert_null(layout);
		assert_true(diag.n_errors > 0);
		assert_place(&cases[i], &diag.items[0]);
		found = first_finding(&diag);
		if (!cases[i].finding || (streq(found, cases[i].finding) &&
					  diag.n_items == 1 + cases[i].n_further))
			continue;
		print_message("# case %zu: wanted: %s\n# case %zu: found:  %s\n", i,
			      cases[i].finding, i, found);
		for (size_t k = 1; k < diag.n_items; k++)
			print_message("# case %zu: and also: %s\n", i, diag.items[k].text);
		n_failed++;
	}
	return n_failed;
}

#define TEST_WRONG(what)                                                                       \
	static void test_##what(void **state)                                                  \
	{                                                                                      \
		(void)state;                                                                   \
		assert_int_equal(check_all(what, ARRAY_SIZE(what)), 0);                        \
	}

TEST_WRONG(wrong_id)
TEST_WRONG(wrong_host)
TEST_WRONG(wrong_disks)
TEST_WRONG(wrong_encryption)
TEST_WRONG(wrong_pool)
TEST_WRONG(wrong_vdevs)
TEST_WRONG(wrong_pools)
TEST_WRONG(wrong_datasets)
TEST_WRONG(wrong_volumes)
TEST_WRONG(wrong_gates)
TEST_WRONG(wrong_system)
TEST_WRONG(wrong_yaml)
TEST_WRONG(wrong_encoding)

/* One wrong value does not hide the next, in the reader and in the rules alike. */
static void test_all_at_once(void **state)
{
	static const char text[] = "id: falcon\nhost: Falcon\nhots: x\n" TEST_DISKS TEST_POOL
				   TEST_DATASETS "boot: { timeout: soon, esp-size: 1MiB }\n";
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct layout *layout = NULL;

	(void)state;
	assert_int_equal(layout_parse("case", text, &layout, &diag), -EINVAL);
	assert_int_equal(diag.n_errors, 5);
	assert_string_equal(diag.items[0].text, "unknown key 'hots'");
	assert_string_equal(diag.items[0].hint, "did you mean 'host'?");
	assert_string_equal(diag.items[1].text, "'timeout' wants a whole number");
	assert_string_equal(diag.items[2].text, "'id' is not a UUID");
}

/* What the initramfs mounts may be a dataset, and other keys than that of the root of any kind. */
static void test_right_datasets(void **state)
{
	static const char *const texts[] = {
		DATASETS("  ROOT: { mountpoint: / }\n  ROOT/usr: { mountpoint: /usr }\n"),
		DATASETS("  ROOT: { mountpoint: / }\n  local: { mountpoint: /usr/local }\n"),
		DATASETS("  ROOT: { mountpoint: / }\n  a: { properties: { encryption: on, keyformat: "
			 "raw, keylocation: 'file:///k' } }\n"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(layout_freep) struct layout *layout = test_layout(texts[i]);

		assert_non_null(layout_root(layout));
	}
}

static void test_warning_when_nobody_can_log_in(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_(layout_freep) struct layout *layout = NULL;

	(void)state;
	assert_int_equal(layout_parse("case", ALL "system: { suite: trixie }\n", &layout, &diag), 0);
	assert_string_equal(test_only_finding(&diag), "nobody will be able to log in to the new system");
	assert_int_equal(diag.items[0].level, DIAG_WARNING);
	assert_int_equal(diag.items[0].line, 11);
}

/* It may be a pool that its owner makes without us. */
static void test_warning_of_a_gate_without_its_pool(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_(layout_freep) struct layout *layout = NULL;

	(void)state;
	assert_int_equal(layout_parse("case", ALL "gates: { attic: , rpool/home: }\n", &layout, &diag),
			 0);
	assert_string_equal(test_only_finding(&diag), "the gate 'attic' is of no pool of this layout");
	assert_int_equal(diag.items[0].level, DIAG_WARNING);
	assert_int_equal(diag.items[0].line, 11);
}

static uint64_t sectors_of(const char *text, size_t n_findings)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_(layout_freep) struct layout *layout = NULL;
	uint64_t size;

	assert_int_equal(layout_parse("case", text, &layout, &diag), 0);
	assert_int_equal(diag.n_items, n_findings);
	size = layout_sector_size(layout);
	layout_drop_source(layout);
	assert_int_equal(layout_sector_size(layout), size);
	return size;
}

/* OpenZFS before 2.2.7 is not safe with large sectors: they are for who is known to have a later one. */
/*
 * A container that is mounted nowhere hides nothing of the root, and a machine of either firmware may
 * stand on disks that only one of them starts from: that is for the plan to see.
 */
static void test_what_can_start(void **state)
{
	static const char *const texts[] = {
		DATASETS("  ROOT: { mountpoint: / }\n"
			 "  usr: { mountpoint: /usr, properties: { canmount: 'off' } }\n"
			 "  usr/local: { mountpoint: /usr/local }\n"),
		"firmware: both\n" DISKS("left: { path: /dev/one, sector-size: 4096 }",
					 "right: { path: /dev/two }") TEST_POOL REST,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct layout *layout = test_layout(texts[i]);

		layout_free(layout);
	}
}

static void test_sectors_are_safe(void **state)
{
	(void)state;
	assert_int_equal(sectors_of(SYSTEM("  suite: trixie\n"), 0), 4096);
	assert_int_equal(sectors_of(SYSTEM("  tarball: /root.tar\n"), 0), 512);
	assert_int_equal(sectors_of(ALL, 0), 512);
	assert_int_equal(sectors_of(ALL "encryption: { sector-size: 4096 }\n", 0), 4096);
	assert_int_equal(sectors_of(SYSTEM("  suite: trixie\n") "encryption: { sector-size: 512 }\n", 0),
			 512);
	/* With a word. */
	assert_int_equal(sectors_of(SYSTEM("  suite: bookworm\n"), 1), 512);
	assert_int_equal(sectors_of(SYSTEM("  suite: bookworm\n")
				    "encryption: { sector-size: 4096 }\n", 1), 512);
}

/* Lines that end with CR and LF, or with CR alone. */
static void test_other_line_ends(void **state)
{
	static const char *const texts[] = { "id: falcon\r\nhots: x\r\nhost: falcon\r\n",
					     "id: falcon\rhots: x\rhost: falcon\r" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		struct layout *layout = NULL;

		assert_int_equal(layout_parse("case", texts[i], &layout, &diag), -EINVAL);
		assert_string_equal(diag.items[0].text, "unknown key 'hots'");
		assert_int_equal(diag.items[0].line, 2);
		assert_int_equal(diag.items[0].column, 1);
		assert_string_equal(diag.items[0].excerpt, "hots: x");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_can_start),
		cmocka_unit_test(test_wrong_id),
		cmocka_unit_test(test_wrong_host),
		cmocka_unit_test(test_wrong_disks),
		cmocka_unit_test(test_wrong_encryption),
		cmocka_unit_test(test_wrong_pool),
		cmocka_unit_test(test_wrong_vdevs),
		cmocka_unit_test(test_wrong_pools),
		cmocka_unit_test(test_wrong_datasets),
		cmocka_unit_test(test_wrong_volumes),
		cmocka_unit_test(test_wrong_gates),
		cmocka_unit_test(test_wrong_system),
		cmocka_unit_test(test_wrong_yaml),
		cmocka_unit_test(test_wrong_encoding),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_right_datasets),
		cmocka_unit_test(test_warning_when_nobody_can_log_in),
		cmocka_unit_test(test_warning_of_a_gate_without_its_pool),
		cmocka_unit_test(test_sectors_are_safe),
		cmocka_unit_test(test_other_line_ends),
	};

	return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
