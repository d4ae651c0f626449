/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading the machine. Everything is opened read-only; see observed.h. */

#include "base/run.h"
#include "layout/layout.h"
#include "observe/observed.h"

/*
 * Every disk of the machine, every imported pool, and the system whose root is mounted on
 * `target` (or on "/"). `layout` may be NULL; with one, its paths are resolved, so that a disk
 * is found by whatever name it is called.
 */
int observe_machine(struct runner *run, const struct layout *layout, const char *target,
		    struct observed **ret, struct diag *diag);

/* parts, each one file */

int observe_disks(struct observed *observed, struct diag *diag);
int observe_disk(const char *node, struct observed_disk *disk, struct diag *diag);
/* The same, or a partition as a disk: without a path when the disk that it is on does not list it. */
int observe_as_disk(const char *node, struct observed_disk *disk, struct diag *diag);
char *device_on(const char *node); /* the node of the disk that a partition is on, or NULL */
void observe_luks(const char *node, struct observed_luks *luks);
void observe_esp(const char *node, const char *mounted, struct observed_esp *esp);
void observe_arrays(struct observed *observed); /* after the disks */
bool array_is_syncing(const char *md);
int observe_pools(struct runner *run, struct observed *observed, struct diag *diag);
/*
 * SHA-256 of the GRUB that the MBR of `disk` starts from a BIOS boot partition at byte `start`;
 * comparable with grub_core of the system. NULL when there is none, or it is broken off.
 */
#define GRUB_FOLDER "eyrie/grub" /* below /boot: /boot/grub belongs to whoever runs update-grub */
#define GRUB_MENU   GRUB_FOLDER "/grub.cfg"

/*
 * Where /boot keeps the GRUB of the system's files `hash`, as grub-install lays it down: each in a folder
 * of its own, so that a disk finds the modules of the GRUB that it starts. Whole once it has its
 * "grub/grub.cfg", which leads to the menu.
 */
char *observe_grub_folder(const char *hash);
char *observe_grub(const char *disk, uint64_t start);
void observe_grub_system(const char *root, struct observed_system *system);
/*
 * Those of /boot below `root`. What is also among `known` (NULL: nothing is) is not looked into:
 * listing an initramfs takes seconds.
 */
void observe_kernels(struct runner *run, const char *root, const struct list *known,
		     struct list *kernels);
/*
 * Kernels that /boot below `root` keeps for boot environments (boot/store.h), and whose those are that
 * lie in /boot itself.
 */
#define STORE_FOLDER "eyrie/kernels"	 /* below /boot: VERSION-HASH/vmlinuz, initrd.img ... */
#define STORE_LISTS  "eyrie/environments" /* which of them an environment has, in a file of its name */
#define STORE_OWNER  "eyrie/owner"
void observe_store(const char *root, struct observed_system *system);
/* The text of a list, "options PARAMETERS" and lines "kernel VERSION HASH", as store_list() has it. */
void stored_parse(const char *text, struct observed_stored *ret);
bool observe_has_zfs(const char *root, const char *version); /* a module for that kernel */
/* Those of the generated files that are below `root`, of struct observed_file. */
void observe_files(const char *root, struct list *files);
/* Of what runs: see struct observed_system. Each may be NULL. */
void observe_running(char **ret_version, char **ret_started_by);
char *observe_boot_id(void); /* of this start, as random(4) has it, or NULL */
void observe_folders(const struct layout *layout, struct observed_system *system); /* occupied */
int observe_system(struct runner *run, struct observed *observed, const char *target,
		   struct diag *diag);

/* What is on a device, by libblkid; all NULL when it is blank. */
struct content {
	char *type, *label, *uuid;
	char *sub_uuid; /* of this device among several; GUID of a vdev */
	char *table, *table_uuid;
	bool ambiguous;
};
int content_probe(const char *node, struct content *ret);
void content_deinit(struct content *content);

/*
 * Identity of a kernel with its initramfs: the first 16 hex digits of SHA-256 over the two
 * SHA-256 values. Names on an ESP carry it, so that nothing is ever written over.
 */
#define KERNEL_HASH_SIZE 17
int kernel_hash(const char *kernel, const char *initrd, char ret[static KERNEL_HASH_SIZE]);

/*
 * The name of a boot entry without the counter of automatic boot assessment, "+LEFT" or
 * "+LEFT-DONE" before ".conf" (Boot Loader Specification, "Boot counting").
 */
char *entry_name(const char *file);

/*
 * The entry in LoaderEntrySelected (systemd.io, "The Boot Loader Interface") as efivarfs shows it: four
 * bytes of attributes, then UTF-16. NULL for what is no name of a file in ASCII.
 */
char *entry_selected(const void *data, size_t size);

/* Who uses a device: where it is mounted or "swap", by whom it is held, an open LUKS device. */
char *device_mounted(const char *node);
char *device_holder(const char *node);
char *device_mapping(const char *holder);

/* The first line of a file under /sys, or NULL. */
char *sys_read(const char *format, ...) _printf_(1, 2);
