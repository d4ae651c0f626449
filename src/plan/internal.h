/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "plan/name.h"
#include "plan/plan.h"

enum disk_state {
	DISK_MISSING, /* not in the machine, or not to be touched: goes on without it */
	DISK_BLANK,   /* gets a table of this set; what is on it, `found`, goes with consent */
	DISK_OURS,    /* a partition table of this set, or a partition that is its member */
};

/* A disk of the layout, beside what is there. */
struct planned_disk {
	const struct layout_disk *want;
	const struct observed_disk *have; /* NULL when it is not in the machine */
	enum disk_state state;
	char *found; /* what a blank disk carries all the same, for people; or NULL */
	bool torn;   /* and that is of a pool of this set that was not made whole: it goes without consent */
	const struct layout_pool *pool;		 /* that its partition belongs to */
	const struct layout_vdev *vdev;
	const struct observed_partition *member; /* that partition; NULL until the table is there */
};

/*
 * After plan_disks(), when nothing was refused: what is DISK_OURS has its `member`, and of the root's pool
 * at least one disk is not DISK_MISSING.
 */

struct planner {
	const struct layout *layout;
	const struct observed *have;
	const struct plan_options *options;
	struct plan *plan;
	struct diag *diag;
	struct planned_disk *disks; /* as many as the layout has, in its order */
	bool refused;
};

#define FOR_EACH_PLANNED(d, p)                                                                 \
	for (struct planned_disk *d = (p)->disks; d < (p)->disks + (p)->layout->disks.n_items; d++)

/* Those of one pool, and of the root's. */
#define FOR_EACH_PLANNED_OF(d, p, which)                                                       \
	FOR_EACH_PLANNED(d, p)                                                                 \
		if (d->pool != (which))                                                        \
			continue;                                                              \
		else
#define FOR_EACH_PLANNED_MEMBER(d, p) FOR_EACH_PLANNED_OF(d, p, &(p)->layout->pool)

struct step *planner_add(struct planner *p, enum step_kind kind, const char *disk,
			 const char *object, const char *format, ...) _printf_(5, 6);
struct step *planner_add_in(struct planner *p, const struct layout_pool *pool,
			    enum step_kind kind, const char *object, const char *format, ...)
	_printf_(5, 6);
bool planner_has(const struct planner *p, enum step_kind kind, const char *object); /* planned */
void planner_refuse(struct planner *p, const char *format, ...) _printf_(2, 3);

/* The pool of the layout, as it is imported, when it is of this set; or NULL. */
const struct observed_pool *pool_of_set(const struct layout *layout, const struct observed *have,
					const char *name);
const struct observed_pool *planner_pool(const struct planner *p, const struct layout_pool *pool);

/* arrays.c */
const struct observed_array *planner_array(const struct planner *p, enum role role); /* or NULL */
bool planner_will_run(const struct planner *p, enum role role);
void planner_start_array(struct planner *p, enum role role);
void plan_arrays(struct planner *p);
void plan_array_sync(struct planner *p);

/* files.c */
void plan_files(struct planner *p);
bool plan_outdates_images(const struct planner *p); /* what it writes is in the initramfs, too */
/* For a move from unlock: `is`: false, and refused, when a person changed what has to be written. */
bool plan_may_write_files(struct planner *p, const char *is);

/* Stages. A bool says whether the next stage can be planned already. */
void plan_disks(struct planner *p);
bool plan_members(struct planner *p);
bool plan_pools(struct planner *p);
/* rawpool.c: up to the pool being there. False when what is in it must be looked at first. */
bool plan_raw_pool(struct planner *p, const struct layout_pool *pool);

/* It is imported, or this plan makes it. */
bool planner_has_pool(const struct planner *p, const struct layout_pool *pool);
void plan_system(struct planner *p);

/* disks.c: bytes that a disk of that name must have for this layout. */
uint64_t disk_size_min(const struct layout *layout, const char *disk);

/* pool.c: the steps of every pool. */
void planner_add_pool(struct planner *p, const struct layout_pool *pool);
void planner_add_import(struct planner *p, const struct layout_pool *pool,
			const char *guid); /* NULL: its devices say nothing yet */

/* One of that name is imported and is not ours: refused. */
bool planner_pool_is_taken(struct planner *p, const struct layout_pool *pool);

/* A blank disk that comes late, to a pool that is there: it is left alone, and named. */
void planner_leave(struct planner *p, struct planned_disk *d);

/* disks.c: the steps that a disk gets whatever its pool is. */
void planner_add_table(struct planner *p, const struct planned_disk *d);
void planner_settle(struct planner *p, const struct planned_disk *d, enum role role);
void planner_add_esp(struct planner *p, const struct planned_disk *d);
void planner_check_esps(struct planner *p);
const char *planner_why_missing(const struct planned_disk *d); /* what a disk does that is missing */

/* A partition that is new, or will be when its table is written. */
bool planner_is_new(const struct planner *p, const struct planned_disk *d, enum role role);
