/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The layout: what the owner wants, as a value.
 *
 * It comes from one YAML file. layout_read() returns a layout only when the file is free of
 * errors; what a reader of the value may rely on is written at layout_check().
 */

#include "base/record.h"

enum firmware {
	FIRMWARE_UEFI,
	FIRMWARE_BIOS,
	FIRMWARE_BOTH,
};

enum unlock_mode {
	UNLOCK_SHARED,
	UNLOCK_PEER,
	UNLOCK_KEYSTORE,
	UNLOCK_NATIVE,
};

enum kdf_type {
	KDF_ARGON2ID,
	KDF_PBKDF2,
};

enum swap_place {
	SWAP_NONE,
	SWAP_VOLUME,
	SWAP_PARTITION,
};

enum init_system {
	INIT_SYSTEMD,
	INIT_OPENRC,
};

enum network {
	NETWORK_DHCP,
	NETWORK_NONE,
};

enum boot_filesystem {
	BOOT_EXT4,
	BOOT_EXT2,
};

enum initramfs {
	INITRAMFS_DRACUT,
	INITRAMFS_TOOLS,
};

struct layout_disk {
	char *name; /* [a-z0-9-], 1 to 16 characters */
	char *path;
	uint64_t size;	      /* bytes; 0: whatever the disk has */
	uint64_t sector_size; /* the same, of its logical sectors */
};

struct layout_kdf {
	unsigned type;	     /* enum kdf_type */
	uint64_t memory;     /* bytes, Argon2id */
	uint64_t time;	     /* milliseconds that one try shall cost on this machine */
	uint64_t iterations; /* 0: found out from `time` */
	uint64_t threads;
};

struct layout_encryption {
	unsigned unlock; /* enum unlock_mode */
	char *cipher;	 /* as cryptsetup names it: aes-xts-plain64 */
	uint64_t key_size;
	uint64_t sector_size;	  /* 0: what is safe; layout_sector_size() */
	uint64_t key_device_size; /* 0: none, unless unlock wants one; layout_key_size() */
	struct layout_kdf kdf;
	bool discards;
};

enum vdev_kind {
	VDEV_MIRROR,
	VDEV_RAIDZ1,
	VDEV_RAIDZ2,
	VDEV_RAIDZ3,
	VDEV_SPECIAL,
	VDEV_LOG,
	VDEV_CACHE,
	VDEV_SPARE,
	VDEV_KIND_MAX,
};

/* zpoolconcepts(7), "Virtual Devices". */
struct vdev_kind_info {
	const char *name;
	const char *class; /* the word of zpool-create(8) before it, or NULL: it holds the data */
	const char *group; /* the word for its devices together, or NULL: each by itself */
	size_t n_min;	   /* disks */
	size_t parity;	   /* disks that it can do without; SIZE_MAX: all but one */
};
extern const struct vdev_kind_info vdev_kinds[VDEV_KIND_MAX];

/* One kind has disks, the others none. */
struct layout_vdev {
	struct strv disks[VDEV_KIND_MAX]; /* names */
};

struct layout_pool {
	char *name;
	struct list properties;		   /* of struct pair, zpool(8) */
	struct list filesystem_properties; /* of struct pair, of the root dataset */
	struct list vdevs;		   /* of struct layout_vdev */
	struct list datasets;		   /* of struct layout_dataset, parents before children */
	struct list volumes;		   /* of struct layout_volume */
};

struct layout_dataset {
	char *name;	  /* below the pool: ROOT/debian */
	char *mountpoint; /* a path, "none" or "legacy"; NULL: inherited */
	struct list properties;
};

struct layout_volume {
	char *name;
	uint64_t size;
	struct list properties;
};

struct layout_swap {
	unsigned on; /* enum swap_place */
	uint64_t size;
};

struct layout_system {
	char *suite;		/* Debian suite, or NULL */
	char *tarball;		/* root tarball, or NULL */
	struct strv packages;	/* further ones */
	unsigned init;		/* enum init_system */
	unsigned network;	/* enum network */
	char *root_password;	/* crypt(5) hash, or NULL */
	struct strv root_keys;	/* lines for authorized_keys */
	char *timezone;
	char *keyboard; /* XKB layout, "de" or "de(nodeadkeys)", or NULL */
};

struct layout_boot {
	uint64_t esp_size;
	uint64_t bios_size;    /* BIOS: of the partition that holds GRUB itself */
	uint64_t size;	       /* BIOS: of /boot */
	unsigned filesystem;   /* enum boot_filesystem */
	unsigned initramfs; /* enum initramfs: who makes it */
	uint64_t timeout; /* seconds that the boot menu waits */
	uint64_t device_timeout; /* shared: seconds that boot waits for a member that is not there */
	char *rejoin;	 /* peer: seconds, or always; layout_rejoin() */
	uint64_t window; /* peer: seconds for late members, from the first that opened */
	char *cmdline;
};

struct layout {
	char *id; /* the set id: a UUID, lower case */
	char *host;
	unsigned firmware;
	struct list disks; /* of struct layout_disk */
	struct layout_encryption encryption;
	struct layout_pool pool; /* the root's */
	struct list pools; /* further ones, of struct layout_pool */
	struct layout_swap swap;
	struct layout_system system;
	struct layout_boot boot;
	struct list gates; /* of struct gate, layout/gate.h */
};

extern const struct record record_layout, record_layout_disk, record_layout_dataset,
	record_layout_vdev, record_layout_volume, record_layout_system, record_layout_pool;

/* Read, fill in the defaults, check. -EINVAL with every finding in `diag`. */
int layout_read(const char *path, struct layout **ret, struct diag *diag);
int layout_parse(const char *name, const char *text, struct layout **ret, struct diag *diag);

/* The layout as a YAML file that reads back as the same value. */
char *layout_dump(const struct layout *layout);

struct layout *layout_free(struct layout *layout);
DEFINE_CLEANUP(struct layout *, layout_free)

/*
 * The parts of system.keyboard: "de(nodeadkeys)" is of layout "de" and variant "nodeadkeys", which
 * is "" where none is given. -EINVAL: it is neither.
 */
int layout_keyboard(const struct layout *layout, char **ret_layout, char **ret_variant);

/* The disk of that name, or NULL. */
const struct layout_disk *layout_disk(const struct layout *layout, const char *name);

/* It is a partition of a disk that is somebody else's: its path is below /dev/disk/by-part*. */
bool layout_is_partition(const struct layout_disk *disk);
#define LAYOUT_BY_PARTLABEL "/dev/disk/by-partlabel/"
#define LAYOUT_BY_PARTUUID  "/dev/disk/by-partuuid/"
const struct layout_dataset *layout_root(const struct layout *layout); /* mountpoint "/" */
bool layout_mounts(const struct layout_dataset *dataset); /* zfs mount -a would: canmount=on */
/* Its own, or what it inherits; NULL when it has none. A parent that is not listed has none. */
char *layout_mountpoint(const struct layout_pool *pool, const struct layout_dataset *dataset);
bool layout_is_member(const struct layout *layout, const char *disk); /* of the root's pool */

/* Its disks are LUKS2 members; else the pool lies on their partitions. */
bool layout_has_luks(const struct layout *layout, const struct layout_pool *pool);

/* The pool whose vdevs name the disk, and the vdev when `ret` is not NULL; NULL when none does. */
const struct layout_pool *layout_pool_of(const struct layout *layout, const char *disk,
					 const struct layout_vdev **ret);
const struct layout_pool *layout_pool_named(const struct layout *layout, const char *name);

enum vdev_kind layout_vdev_kind(const struct layout_vdev *vdev);
const struct strv *layout_vdev_disks(const struct layout_vdev *vdev);

/* A dataset that is encrypted by itself, with a passphrase that somebody types: zfsprops(7). */
bool layout_wants_passphrase(const struct list *properties);

/* What a dataset, or a whole pool, is made with, by its full name; NULL when nothing is. */
const struct list *layout_properties(const struct layout *layout, const char *dataset);
bool layout_has_system(const struct layout *layout);
/* It is the one that `swap: on: volume` makes, and no volume of its owner. */
bool layout_is_swap(const struct layout *layout, const struct layout_pool *pool,
		    const struct layout_volume *volume);

/*
 * There is nothing to install from. How the system starts, which is in every boot menu, stays, and so
 * does what follows from the suite.
 */
void layout_drop_source(struct layout *layout);
bool layout_boots_uefi(const struct layout *layout);
bool layout_boots_bios(const struct layout *layout);
uint64_t layout_sector_size(const struct layout *layout); /* of LUKS, in bytes */
uint64_t layout_key_size(const struct layout *layout); /* of the key device's partitions; 0: none */
const char *layout_unlock_name(unsigned unlock);       /* as in the layout */
const char *layout_firmware_name(unsigned firmware);

#define LAYOUT_ALWAYS UINT32_MAX /* seconds: 136 years */
int layout_rejoin(const struct layout *layout, uint64_t *ret); /* seconds; -EINVAL */

#define LAYOUT_KEY_SIZE (32 * MIB) /* LUKS2 header of 16 MiB, and room for the key */

#define LAYOUT_SWAP_VOLUME "swap" /* name of the volume that `swap: on: volume` makes */

#define FOR_EACH_DISK(disk, layout)                                                            \
	for (const struct layout_disk *disk = (layout)->disks.items;                           \
	     disk && disk < (const struct layout_disk *)(layout)->disks.items +                \
					(layout)->disks.n_items;                               \
	     disk++)

/* Those of the root's pool: each has a LUKS2 member, and but for partitions all that boots it. */
#define FOR_EACH_MEMBER_DISK(disk, layout)                                                     \
	FOR_EACH_DISK(disk, layout)                                                            \
		if (!layout_is_member(layout, disk->name))                                     \
			continue;                                                              \
		else

#define FOR_EACH_POOL(pool, layout)                                                            \
	for (const struct layout_pool *pool = &(layout)->pool; pool;                           \
	     pool = layout_next_pool(layout, pool))
#define FOR_EACH_VDEV(vdev, pool)                                                              \
	for (const struct layout_vdev *vdev = (pool)->vdevs.items;                             \
	     vdev && vdev < (const struct layout_vdev *)(pool)->vdevs.items +                  \
				    (pool)->vdevs.n_items;                                     \
	     vdev++)

const struct layout_pool *layout_next_pool(const struct layout *layout,
					   const struct layout_pool *pool);
