/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Boot loader and kernels on one EFI system partition.
 *
 * FAT has no atomic rename, so nothing that an entry names is ever written over: kernels go to
 * a folder named by their hash, are read back, and only then get an entry; what is old goes
 * last. Each of these is on the medium before the next one begins: a crash, or a power cut, leaves
 * every entry that was there with the files that it names. Environments with the same kernel share
 * its folder.
 *
 * A kernel that joins others gets three tries (Boot Loader Specification, "Boot counting"): when
 * it does not come up, systemd-boot falls back to one that did. The next sync on the running
 * system takes away the counter of the entry that started it, and of no other.
 *
 * The image that the machine was started by stays until another one came up, even when /boot has
 * a new one of the same version: as the version before (boot/text.h), on each partition that has
 * it. Where the system does not run (a rescue system), so do all its images that have no counter:
 * one of them is what it comes up by. In another environment what stays so is left alone, and so is
 * everything of one that has no kernel to publish today. An ESP may have to hold three images of one
 * version: that, one that nobody started, and the one that takes its place.
 */

#include "base/run.h"
#include "boot/environment.h"
#include "layout/layout.h"

/* One boot environment, and where its /boot is to be read. */
struct esp_system {
	const struct environment *environment;
	const char *root; /* "" for the running one; NULL: it cannot be read, and keeps what it has */
	bool is_new;	  /* it must get an entry */
	/* Of the current one, when it runs: see struct observed_system. */
	const char *running, *started_by;
	const struct list *stored; /* its kernels are these, in the store of that /boot; or NULL */
};

/*
 * Bring the mounted ESP at `path` in step with all of `systems`, the current one first. Kernels
 * without an initramfs that holds their zfs.ko are left out. -ENOSPC when not everything fits: what
 * is there is in step then, and no kernel was copied. -ENOENT when the current one, or a new one, has no
 * kernel to publish. In both cases every entry that is still wanted has its files as before.
 */
int esp_sync(struct runner *run, const struct layout *layout, const struct esp_system *systems,
	     size_t n_systems, const char *path, struct diag *diag);
