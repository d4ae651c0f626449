/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Boot environments: the roots that a pool has. Pure.
 *
 * One is a file system beside the root dataset of the layout ("rpool/ROOT/debian") whose mount
 * point is /, and which eyrie installed or cloned from such a one: its eyrie:state says so. The
 * pool's bootfs says which one is started by default; menus follow it, never the other way round.
 * A clone that no menu has yet is half-made, and is none until its state says that it is done.
 */

#include "layout/layout.h"
#include "observe/observed.h"

struct environment {
	char *name;    /* the last part of the dataset's */
	char *dataset; /* with the pool */
	const struct observed_dataset *have; /* NULL: the layout's root, which is not there yet */
	bool active;	/* started by default */
	bool current;	/* the layout's root: the system that is worked on */
	bool half_made; /* and so counts for nothing */
};

struct environments {
	struct environment *items; /* the current one first */
	size_t n_items;
};

#define ENVIRONMENTS_NULL                                                                      \
	{                                                                                      \
	}

#define FOR_EACH_ENVIRONMENT(item, list)                                                       \
	for (struct environment *item = (list)->items;                                         \
	     item && item < (list)->items + (list)->n_items; item++)

/* `filling`: the name of one that counts although it is half-made, or NULL. */
void environments_make(const struct layout *layout, const struct observed *have,
		       const char *filling, struct environments *ret);
void environments_deinit(struct environments *environments);
#define _cleanup_environments_ _cleanup_(environments_deinit)

const struct environment *environment_named(const struct environments *list, const char *name);
size_t environments_count(const struct environments *list); /* without those half-made */

/*
 * How menus name it: with one environment alone, entries say nothing of it (NULL), and the pool's
 * bootfs decides at boot.
 */
const struct environment *environment_in_menu(const struct environments *list,
					      const struct environment *environment);

/*
 * The layout names one root; a machine may run another one by now. Let the layout mean the one
 * that is mounted as the system's root, else the one that is started by default.
 */
void environment_follow(struct layout *layout, const struct observed *have);

/* The dataset that holds all of them: "rpool/ROOT"; the name of the layout's root. */
char *environment_folder(const struct layout *layout);
char *environment_current(const struct layout *layout);

/* Lower-case letters, digits, - and _: it is a name on FAT, too. */
bool environment_name_is_good(const char *name);

/*
 * The entries of one on any disk, each kernel once: of struct observed_entry. What an environment
 * that is not mounted starts by is known from there only. What stays as the one before
 * (boot/text.h) is not among them: it is kept where it is.
 */
void environment_entries(const struct layout *layout, const struct observed *have,
			 const struct environment *environment, struct list *ret);

/* Whether kernel parameters name the dataset, or leave it to bootfs and `else_it` is true. */
bool environment_is_started_by(const char *options, const char *dataset, bool else_it);
