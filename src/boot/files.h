/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The generated files of a system, as a set. Pure.
 *
 * The first line of each says who wrote it and carries a hash of the rest. So one that a person
 * changed is told from one that is merely of an older layout: only the latter is written again
 * without asking. unlock.json is eyrie's own and has no such line: nobody's work is in it.
 */

#include "layout/layout.h"
#include "observe/observed.h"

struct boot_file {
	const char *path; /* below the root of the system */
	char *text;	  /* NULL: it is not to be there */
	bool in_image;	  /* an initramfs that was made before it is out of date */
};

struct boot_files {
	struct boot_file items[12];
	size_t n_items;
};

enum boot_file_state {
	BOOT_FILE_SAME,
	BOOT_FILE_ABSENT,
	BOOT_FILE_OLD,	   /* as we, or a program in our stead, wrote it */
	BOOT_FILE_EDITED,  /* ours, changed by a person since */
	BOOT_FILE_FOREIGN, /* of somebody else */
};

/* Each disk of the layout as it lies in `have`, all of which must be there. */
void boot_files(const struct layout *layout, const struct observed *have, struct boot_files *ret);
void boot_files_deinit(struct boot_files *files);
#define _cleanup_boot_files_ _cleanup_(boot_files_deinit)

/* `have` is the text that is there, or NULL. */
enum boot_file_state boot_file_state(const struct boot_file *file, const char *have);
bool boot_file_is_of_person(const struct boot_file *file, const char *have);

/* A person wrote it, and it says nothing of how disks are opened: a move leaves it. */
bool boot_file_outlives_move(const struct boot_file *file, const char *have);
const char *boot_file_state_name(enum boot_file_state state); /* "absent" */

/*
 * What starts a kernel follows the layout whatever happened to it, or a disk would be left behind:
 * a person's change that a new text takes away is told. `have` is what is there, or NULL; `want`
 * is NULL for what goes.
 */
void boot_tell_loss(const char *name, const char *have, const char *want, struct diag *diag);

/* Lines of one text that the other has not: "-old line\n+new line\n". Either may be NULL. */
char *boot_file_difference(const char *have, const char *want);
