/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which processes use what is mounted at a path, of which unit they are; and which mounts do. */

#include "base/record.h"

struct user {
	int pid;
	char *name; /* of its program */
	char *unit; /* NULL: of none */
	char *what; /* the first file of it there */
};

struct users {
	struct user *items;
	size_t n_items;
};

/* Of the file systems at `paths`; one that is not mounted has no users. `proc` is "/proc". */
int users_find(const char *proc, const struct strv *paths, struct users *ret);
void users_deinit(struct users *users);

/*
 * What else is mounted that keeps `datasets`, which are mounted at `paths`: on or below one of
 * these, or one of them at a second place. A line for each, "SOURCE on PATH". Snapshots go with
 * their dataset. `passing`: also what services make for themselves, and take away when they stop.
 * `file` is /proc/self/mountinfo; a file that cannot be read has none.
 */
void users_mounts(const char *file, const struct strv *datasets, const struct strv *paths,
		  bool passing, struct strv *lines);

/* The unit in the text of a process' cgroup file, or NULL. */
char *users_unit(const char *cgroup);
