/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/mounts.h"

static int by_mountpoint(const void *a, const void *b)
{
	const struct zfs_dataset *const *x = a, *const *y = b;

	return strcmp((*x)->mountpoint, (*y)->mountpoint);
}

/* Somebody else mounted it meanwhile, as zfs mount -a does: that is no failure. */
static bool is_mounted_now(struct gate_context *cxt, const char *name)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	const struct zfs_dataset *now =
		zfs_read(cxt->run, name, &state, NULL) ? NULL : zfs_dataset(state, name);

	return now && now->mounted;
}

static int mount_one(struct gate_context *cxt, const char *name)
{
	_cleanup_diag_ struct diag why = DIAG_NULL;
	int r = zfs_mount(cxt->run, name, &why);

	if (r == 0 || is_mounted_now(cxt, name))
		return 0;
	return diag_error(cxt->diag, r, "%s", why.items[0].text);
}

/* In the order of paths. */
static void order_by_path(const struct zfs_dataset **datasets, size_t n)
{
	qsort(datasets, n, sizeof(struct zfs_dataset *), by_mountpoint);
}

static bool would_be_hidden(const struct zfs_dataset *dataset, const struct zfs_dataset **order,
			    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_below(dataset->mountpoint, order[i]->mountpoint))
			return true;
	return false;
}

/* Deepest first; they join `order`, which has `n`. One that is in use leaves all where they were. */
static int unmount_hidden(struct gate_context *cxt, const struct zfs_state *state,
			  const struct zfs_dataset **order, size_t *n)
{
	size_t n_before = *n, i;
	int r = 0;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounts && dataset->mounted && would_be_hidden(dataset, order, n_before))
			order[(*n)++] = dataset;
	order_by_path(order + n_before, *n - n_before);
	for (i = *n; r == 0 && i > n_before; i--)
		r = zfs_unmount(cxt->run, order[i - 1]->name, cxt->diag);
	if (r == 0)
		return 0;
	diag_hint(cxt->diag, "what is mounted at %s now would be hidden: end what uses it",
		  order[i]->mountpoint);
	for (i++; i < *n; i++)
		(void)mount_one(cxt, order[i]->name);
	return r;
}

int gate_mount(struct gate_context *cxt, const struct zfs_state *state)
{
	_cleanup_free_ const struct zfs_dataset **order =
		mem_alloc((state->datasets.n_items + 1) * sizeof(struct zfs_dataset *));
	size_t n = 0, i;
	int r;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounts && !dataset->mounted && dataset->key != KEY_MISSING)
			order[n++] = dataset;
	r = unmount_hidden(cxt, state, order, &n);
	if (r)
		return r;
	order_by_path(order, n);
	for (i = 0; i < n && r == 0; i++)
		r = mount_one(cxt, order[i]->name);
	for (; i < n; i++) /* one failed: what was mounted before is, all the same */
		if (order[i]->mounted)
			(void)mount_one(cxt, order[i]->name);
	return r;
}

int gate_unmount(struct gate_context *cxt, const struct held_gate *gate,
		 const struct zfs_state *state)
{
	_cleanup_free_ const struct zfs_dataset **order =
		mem_alloc((state->datasets.n_items + 1) * sizeof(struct zfs_dataset *));
	size_t n = 0;
	int r = 0;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounted && gate_owns(gate, dataset))
			order[n++] = dataset;
	order_by_path(order, n);
	while (r == 0 && n-- > 0)
		r = zfs_unmount(cxt->run, order[n]->name, cxt->diag);
	return r;
}

bool gate_lies_in(const struct held_gate *gate, const struct zfs_state *state,
		  const struct held_gate *outer)
{
	FOR_EACH_DATASET(dataset, state)
		FOR_EACH_MOUNT(mount, outer)
			if (dataset->mounts && gate_owns(gate, dataset) &&
			    is_below(dataset->mountpoint, mount->path))
				return true;
	return false;
}
