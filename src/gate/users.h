/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Which processes use what is mounted at a path, and of which unit they are. */

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

/* The unit in the text of a process' cgroup file, or NULL. */
char *users_unit(const char *cgroup);
