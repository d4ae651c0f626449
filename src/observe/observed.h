/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The observed machine: what is there, as a plain value.
 *
 * It says what was seen and judges nothing. It has a JSON form, so that a user can send it and
 * it becomes a fixture. Observing never writes: not to repair a header, not to replay a journal.
 */

#include "base/record.h"

/* The state of a LUKS2 header, of which every device has two copies. */
enum luks_state {
	LUKS_NONE,
	LUKS_WHOLE,
	LUKS_PRIMARY_DAMAGED,
	LUKS_SECONDARY_DAMAGED,
	LUKS_UNREADABLE,
};

struct observed_luks {
	unsigned state; /* enum luks_state */
	char *uuid;
	char *label;
	char *subsystem;    /* "eyrie:<set id>" on ours */
	uint64_t n_keyslots; /* in use */
	uint64_t generation; /* of its eyrie-peer token, a hint; 0 without one */
	uint64_t key_slot;   /* that the key device opens, by its token; 0 without one */
	char *mapped;	    /* name under /dev/mapper when it is open, or NULL */
	char *inside;	    /* blkid type inside of the open device, or NULL */
	char *inside_label; /* a pool's name, when inside is zfs_member */
	char *inside_uuid;  /* a pool's GUID, when inside is zfs_member */
};

/* An entry of the boot menu that eyrie wrote, and whose files are all there. */
struct observed_entry {
	char *file;    /* its name in loader/entries */
	char *version; /* of the kernel */
	char *hash;    /* over kernel and initramfs as they are on the ESP */
	char *options; /* kernel parameters */
	char *sort_key;
	bool counting; /* its boots are counted: it has not come up yet */
};

struct observed_esp {
	bool readable;
	char *loader; /* SHA-256 of the boot loader, or NULL */
	char *config; /* loader.conf, or NULL */
	struct list entries; /* of struct observed_entry */
};

struct observed_partition {
	uint64_t number;
	char *path; /* NULL when the kernel has no node for it */
	char *name; /* of the GPT entry */
	char *uuid; /* of the GPT entry */
	char *type; /* GUID */
	uint64_t start, size; /* bytes */
	bool bare;	/* it is the disk, as `on` says; its mark is what is in it */
	bool unreadable; /* nothing is known about its content */
	char *content; /* blkid type: vfat, crypto_LUKS, swap ...; NULL when blank */
	char *label;
	char *pool;    /* GUID of the pool that it is of, when it is a zfs_member and says so */
	char *table;   /* a partition table inside, gpt, dos ..., or NULL */
	char *mounted; /* where, or NULL */
	char *held;    /* by whom: "dm-0", "md0", or NULL */
	char *array;   /* UUID of the md array that it is a part of, or NULL */
	char *grub;    /* SHA-256 of the GRUB in a BIOS boot partition that the MBR starts, or NULL */
	struct observed_luks luks;
	struct observed_esp esp;
};

/* An md array, from its first part on that the kernel was told of. */
struct observed_array {
	char *path; /* /dev/md127 */
	char *uuid;
	bool active; /* it runs, perhaps degraded */
	uint64_t n_disks;   /* that it shall have */
	uint64_t n_missing; /* of these */
	bool syncing;	    /* parts of it are not yet in step */
	char *content;
	char *mounted;
	struct observed_luks luks; /* of the key device */
};

struct observed_disk {
	char *path;	  /* the node: /dev/vda */
	char *on; /* the node of the disk that this one is a partition of: it has that as its only one */
	struct strv names; /* its stable names, links in /dev/disk/by-id and by-path */
	char *model;
	char *serial;
	uint64_t size; /* bytes */
	uint64_t sector_size;
	uint64_t physical_sector_size;
	bool read_only;
	bool removable;
	bool unreadable; /* nothing is known about its content */
	bool ambiguous; /* blkid sees more than one kind of content */
	char *content;	/* blkid type of the whole disk, or NULL */
	char *label;
	char *table;	  /* gpt, dos ..., or NULL */
	char *table_uuid; /* of the GPT */
	char *table_fault; /* what libfdisk says of a damaged copy of it, or NULL */
	char *mounted;
	char *held;
	struct list partitions; /* of struct observed_partition */
};

struct observed_dataset {
	char *name; /* with the pool */
	char *type; /* filesystem or volume */
	char *mounted; /* where, or NULL */
	char *encryption_root; /* NULL when it is not encrypted */
	bool locked;	       /* its key is not loaded */
	char *origin;	       /* the snapshot that it is a clone of, or NULL */
	uint64_t created;      /* seconds since 1970 */
	uint64_t used;	       /* bytes */
	struct list properties; /* local ones, of struct pair */
};

struct observed_pool {
	char *name;
	char *guid;
	char *health;
	char *altroot; /* NULL without one */
	struct strv devices; /* nodes */
	struct list properties; /* of struct pair */
	struct list datasets;	/* of struct observed_dataset */
};

/* A kernel of the system on the root dataset, where that is mounted. */
struct observed_kernel {
	char *version;
	char *hash;	 /* over kernel and initramfs; NULL without an initramfs */
	bool has_zfs;	 /* the initramfs holds this kernel's zfs.ko */
	uint64_t size;	 /* bytes of both together; 0: not known */
};

/* Kernels that /boot keeps for one boot environment, where GRUB starts it. */
struct observed_stored {
	char *name;    /* of the environment */
	char *options; /* kernel parameters, but for root= */
	struct list kernels; /* of struct observed_kernel, whose files are there, whole */
};

/* One that eyrie generates, or somebody else in its place. */
struct observed_file {
	char *path; /* below the root of the system */
	char *text;
};

/* A GRUB in /boot that is not of the system's files as they are now. */
struct observed_grub {
	char *folder;
	char *core; /* SHA-256 of its image, or NULL */
};

struct observed_system {
	char *root;   /* where its root is mounted: "/" or the target folder; NULL if nowhere */
	char *running; /* version of the running kernel, when root is "/" */
	char *started_by; /* then: the boot menu's entry, in any case and without a counter; NULL when
			     the boot loader does not say */
	char *boot_id; /* of this start, when root is "/" */
	char *loader; /* SHA-256 of the boot loader that it would install */
	char *grub;	     /* the same for BIOS */
	char *grub_core;     /* SHA-256 of its image in /boot, which each disk has to start; or NULL */
	struct list grub_others; /* of struct observed_grub */
	char *grub_config;   /* its boot menu */
	struct list kernels; /* of struct observed_kernel */
	char *boot_owner;    /* the environment that they belong to; NULL: there is one alone */
	struct list stored;  /* of struct observed_stored */
	struct strv occupied; /* mount points of the layout that have something in them */
	bool files_known;    /* those that are not in `files` are not there */
	struct list files;   /* of struct observed_file */
};

struct observed {
	struct list disks; /* of struct observed_disk */
	struct list arrays; /* of struct observed_array */
	struct list pools; /* imported ones, of struct observed_pool */
	struct observed_system system;
};

extern const struct record record_observed, record_observed_disk, record_observed_partition,
	record_observed_esp, record_observed_pool, record_observed_dataset,
	record_observed_entry, record_observed_kernel, record_observed_file, record_observed_array,
	record_observed_stored, record_observed_system, record_observed_grub;

struct observed *observed_free(struct observed *observed);
DEFINE_CLEANUP(struct observed *, observed_free)
struct observed *observed_copy(const struct observed *observed);

struct json_object *observed_to_json(const struct observed *observed);
int observed_from_json(struct json_object *json, struct observed **ret, struct diag *diag);

/* The text of a generated file that is there, or NULL. */
const char *observed_file(const struct observed *observed, const char *path);

/*
 * The disk at `path` has that name as well. A partition there, by its node or by a name of udev's that is
 * its name or UUID in the table, becomes a disk; it stays in the table of the one that it is on.
 */
void observed_name(struct observed *observed, const char *path, const char *name);

/* A partition as a disk: what is known of it, and of the disk that it is on. */
void observed_as_disk(const struct observed_disk *on, const struct observed_partition *partition,
		      struct observed_disk *ret);

/* The disk that a path of the layout means: its node or one of its names. NULL when absent. */
struct observed_disk *observed_disk(const struct observed *observed, const char *path);
struct observed_partition *observed_partition(const struct observed_disk *disk,
					      const char *name);
struct observed_array *observed_array(const struct observed *observed, const char *uuid);
struct observed_pool *observed_pool(const struct observed *observed, const char *name);
struct observed_dataset *observed_dataset(const struct observed_pool *pool, const char *name);
