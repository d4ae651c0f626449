/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "apply/apply.h"
#include "boot/environment.h"
#include "observe/observe.h"
#include "plan/name.h"

/* step-*.c: each function is named after its step. 0 or a negative errno, said in cxt->diag. */
#define STEP(kind, name, flags) int apply_##kind(struct apply_context *cxt, const struct step *step);
#include "plan/step.def"
#undef STEP

/* device.c */

char *device_disk(const struct apply_context *cxt, const char *disk); /* its node, or NULL */

/*
 * The node of the partition of a role on a disk of the layout, and whether it is new; `ret_new` may be NULL.
 * Of a disk that is a partition itself: that one, when it is blank or of this set. Waits for udev's and
 * the kernel's sake. -ENODEV with a diag when it is not there.
 */
int device_partition(const struct apply_context *cxt, const char *disk, enum role role,
		     char **ret_node, bool *ret_new);
/* For who goes on without it: waits a second at most, and says nothing. */
bool device_has_partition(const struct apply_context *cxt, const char *disk, enum role role,
			  char **ret_node, bool *ret_new);
/* One that is still new; -EEXIST when it is not. */
int device_new_partition(const struct apply_context *cxt, const char *disk, enum role role,
			 char **ret_node);
/* The running md array of a role: its node. -ENODEV with a diag when none runs. */
int device_array(const struct apply_context *cxt, enum role role, char **ret_node);
int device_wait(const char *node); /* until it can be opened; -ETIMEDOUT after ten seconds */

/* Until udev has dealt with all that happened: links come and go while it works. */
int device_settle(struct apply_context *cxt);

/* The same by a name that stays with it: below /dev/disk/by-partuuid. */
int device_stable(const struct apply_context *cxt, const char *disk, enum role role,
		  char **ret_node, bool *ret_new);

/* step-disk.c: another name in the GPT for what is there, new or settled. -ENODEV when it is not. */
int partition_rename(struct apply_context *cxt, const char *disk, enum role role,
		     const char *name);

/* step-esp.c */

/*
 * Whether another environment has a zfs.ko for that kernel: 1 or 0. Looked at in a process of its own,
 * whose mount nobody else sees.
 */
int environment_has_zfs(struct apply_context *cxt, const struct environment *environment,
			const char *version);

/* step-array.c */

enum role role_named(const char *name);
const char *array_not_whole(struct apply_context *cxt,
			    const struct observed_partition *partition, enum role role);
int boot_unmount(struct apply_context *cxt);

/*
 * What was written to /boot so far is on the disks. It may lie outside of the pool (ext on md), which
 * `zpool sync` knows nothing of: there an image stays in memory for half a minute, and a power cut
 * leaves an empty one under its name. Within the pool this does no harm. On ext4 it is in its place
 * then, and not in the journal.
 */
int boot_sync_folder(struct apply_context *cxt);
int arrays_stop(struct apply_context *cxt);

/* The pool that a step works on, the root's for steps of the system; its dataset, full name. */
const struct layout_pool *apply_pool(const struct apply_context *cxt, const struct step *step);
char *apply_dataset(const struct apply_context *cxt, const struct step *step);
/* The root starts by other images than before: plan's came_up_since() goes by the boot of now. */
int dataset_note_images(struct apply_context *cxt, const char *root);
int dataset_set(struct apply_context *cxt, const char *dataset, const char *property,
		const char *value);

bool pool_is_imported(struct apply_context *cxt, const char *pool);

/* Everything written to it so far is on the disks. */
int pool_sync(struct apply_context *cxt, const struct layout_pool *pool);

/* Its key is a passphrase that somebody types; else ZFS finds the key by itself. */
bool apply_wants_key(const struct layout *layout, const char *root);

int kdf_prepare(struct apply_context *cxt);
