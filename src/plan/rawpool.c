/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Pools that lie on partitions, without LUKS: further ones, and the root's when ZFS encrypts it.
 *
 * Their partitions are new until the pool was made, and so a pool that is torn is made again
 * while all of them are; as soon as one is not, the pool is there and is imported. What is in
 * such a pool is for its owner: a disk that it lacks is named and left to be replaced.
 */

#include "plan/internal.h"

/* Whole ones: partitions hold no data, and do not say whether the pool was made. */
struct count {
	size_t n_there; /* disks */
	size_t n_settled;	/* those whose partition is not new */
};

static bool is_settled(const struct planned_disk *d)
{
	return d->state == DISK_OURS && d->member && !partition_is_new(d->member);
}

static struct count count_disks(const struct planner *p, const struct layout_pool *pool)
{
	struct count count = {};

	FOR_EACH_PLANNED_OF(d, p, pool)
	{
		if (d->state == DISK_MISSING || layout_is_partition(d->want))
			continue;
		count.n_there++;
		count.n_settled += is_settled(d);
	}
	return count;
}

bool planner_has_pool(const struct planner *p, const struct layout_pool *pool)
{
	const struct count count = count_disks(p, pool);

	return planner_pool(p, pool) || (count.n_there && !count.n_settled);
}

static void add_settles(struct planner *p, const struct layout_pool *pool)
{
	FOR_EACH_PLANNED_OF(d, p, pool)
		if (d->state == DISK_BLANK || (d->state == DISK_OURS && !is_settled(d)))
			planner_settle(p, d, ROLE_DATA);
}

static void plan_creation(struct planner *p, const struct layout_pool *pool)
{
	FOR_EACH_PLANNED_OF(d, p, pool)
		if (d->state == DISK_MISSING)
			planner_refuse(p, "disk '%s' %s, and the pool '%s' is not made yet",
				       d->want->name, planner_why_missing(d), pool->name);
	FOR_EACH_PLANNED_OF(d, p, pool)
	{
		if (d->state == DISK_BLANK)
			planner_add_table(p, d);
		if (planner_is_new(p, d, ROLE_ESP))
			planner_add_esp(p, d);
	}
	if (pool == &p->layout->pool)
		plan_arrays(p);
	planner_add_pool(p, pool);
	add_settles(p, pool);
}

/* The pool is imported. A partition that is new beside it was in its making; a blank disk was not. */
static void plan_imported(struct planner *p, const struct layout_pool *pool)
{
	FOR_EACH_PLANNED_OF(d, p, pool)
	{
		if (d->state == DISK_OURS && planner_is_new(p, d, ROLE_ESP))
			planner_add_esp(p, d);
		if (d->state == DISK_OURS && !is_settled(d) && d->member && d->member->held)
			planner_settle(p, d, ROLE_DATA);
		else if (d->state != DISK_MISSING && !is_settled(d))
			diag_warning(p->diag, "disk '%s' is there, but not in the pool '%s'",
				     d->want->name, pool->name);
	}
	if (pool == &p->layout->pool)
		plan_arrays(p);
}

static void leave_late_disks(struct planner *p, const struct layout_pool *pool)
{
	FOR_EACH_PLANNED_OF(d, p, pool)
		if (d->state == DISK_BLANK)
			planner_leave(p, d);
}

/* What its disks say. A partition that is a disk itself may have a foreign pool of the same name. */
static const char *pool_guid(const struct planner *p, const struct layout_pool *pool)
{
	FOR_EACH_PLANNED_OF(d, p, pool)
		if (!layout_is_partition(d->want) && is_settled(d) && d->member->pool)
			return d->member->pool;
	return NULL;
}

bool plan_raw_pool(struct planner *p, const struct layout_pool *pool)
{
	const struct count count = count_disks(p, pool);

	if (planner_pool_is_taken(p, pool))
		return false;
	if (planner_pool(p, pool) || count.n_settled)
		leave_late_disks(p, pool);
	if (planner_pool(p, pool)) {
		plan_imported(p, pool);
		return true;
	}
	if (!count.n_there) {
		diag_warning(p->diag, "the pool '%s' is not there: none of its disks is", pool->name);
		return true;
	}
	if (!count.n_settled) {
		plan_creation(p, pool);
		return true;
	}
	if (pool == &p->layout->pool)
		plan_arrays(p);
	planner_add_import(p, pool, pool_guid(p, pool));
	return false;
}
