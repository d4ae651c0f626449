/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The texts of the files that make the machine boot. Pure: values in, text out; whoever writes
 * them uses file_replace(). Each text begins with a line that says who wrote it.
 */

#include "boot/environment.h"
#include "layout/layout.h"
#include "observe/observed.h"

#define BOOT_HEADER "# Written by eyrie; eyrie.yaml(5) says what from." /* its first line begins so */

/*
 * Into the first line goes a hash of the rest, by which it is seen whether a person changed that
 * since. Takes `text`, which stays as it is when its first line is none of ours. Texts of a boot
 * menu come sealed.
 */
char *boot_seal(char *text);
bool boot_is_sealed(const char *text);

/*
 * Kernel parameters. Here and below, `environment` is NULL when the machine has one only:
 * environment_in_menu().
 */
char *boot_cmdline(const struct layout *layout, const struct environment *environment);
char *boot_options(const struct layout *layout); /* the same without root= */
char *boot_loader_conf(const struct layout *layout); /* loader.conf of systemd-boot */

/*
 * An entry of the Boot Loader Specification, type #1. The active environment's come first by their
 * sort key, newest kernel first, and so one of them is the default; one that uses up its tries
 * goes to the end, and what comes next may be another environment.
 */
char *boot_entry(const struct layout *layout, const struct environment *environment,
		 const char *version, const char *hash);
char *boot_entry_sort_key(const struct environment *environment);
/* The rest as it is, a person's change, too. */
char *boot_entry_resorted(const char *entry, const char *sort_key);

/* Its file in loader/entries; the same with the counter of an entry that was not tried yet. */
char *boot_entry_name(const struct environment *environment, const char *version,
		      const char *hash);
char *boot_entry_counted(const char *name);
char *boot_entry_folder(const char *entry); /* that it takes its kernel from, or NULL */
char *boot_kernel_folder(const char *version, const char *hash); /* below the ESP */

/*
 * An initramfs that is made anew takes the place of the one that the machine was started by. Until
 * the new one came up, too, the old one stays in the menu as the version before: right after the new
 * one, and before every older kernel ('~' sorts below the end of a version).
 */
char *boot_entry_before(const struct layout *layout, const struct environment *environment,
			const char *version, const char *hash);
char *boot_version_before(const char *version);
bool boot_version_is_before(const char *version);
bool boot_entry_is_before(const char *entry); /* its text */
char *boot_version_plain(const char *version); /* that of the kernel, before or not */
char *boot_entry_version(const char *entry);  /* that of the kernel; NULL when it says none */

/* The hash in the name of an entry of ours for that version, in any case; or NULL. */
char *boot_entry_hash(const char *file, const char *version);

/*
 * Whether this kernel with its initramfs is what the system was started by. `running` and
 * `started_by` are those of struct observed_system; without the latter the version has to do.
 */
bool boot_came_up(const char *running, const char *started_by, const char *version,
		  const char *hash);

/*
 * GRUB's menu: an entry for each kernel whose initramfs holds its zfs.ko, newest first, each
 * falling back to those after it. One environment alone has its kernels in /boot itself, several have
 * them in the store (boot/store.h). They come in the order of `choices`.
 */
struct boot_choice {
	const struct environment *environment; /* NULL: one alone */
	bool stored;			       /* its kernels are in the store */
	const char *options;		       /* kernel parameters without root= */
	const struct list *kernels;	       /* of struct observed_kernel */
};

char *boot_grub_config(const struct layout *layout, const struct boot_choice *choices, size_t n);
char *boot_mdadm_conf(const struct layout *layout);

/* Each disk of the layout as it lies in `have`, which may lack some. */
char *boot_crypttab(const struct layout *layout, const struct observed *have);
char *boot_sleep_conf(const struct layout *layout); /* where there is swap */
char *boot_fstab(const struct layout *layout);
char *boot_unlock_conf(const struct layout *layout, const struct observed *have); /* JSON */
char *boot_gates(const struct layout *layout); /* gate.yaml, eyrie-gate(8) */
char *boot_dracut_conf(const struct layout *layout);
char *boot_initramfs_tools_conf(const struct layout *layout);

/* A drop-in for systemd in the initramfs, by which it opens the members. */
char *boot_initrd_dropin(const struct layout *layout);

/*
 * The import of the root's pool in that initramfs, and a drop-in for the units of OpenZFS there, which
 * leave it to that.
 */
char *boot_import_unit(const struct layout *layout, const struct observed *have);
char *boot_import_dropin(void);
