/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Datasets, volumes and their properties; where they are mounted. */

#include <ctype.h>

#include "plan/internal.h"

static const struct observed_dataset *find_dataset(const struct planner *p, const char *name)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *full = name_dataset(p->layout, name);

	return pool ? observed_dataset(pool, full) : NULL;
}

static void add_property(struct planner *p, const char *dataset, const char *name,
			 const char *value)
{
	_cleanup_free_ char *object = str_printf("%s %s", name, dataset);
	struct step *step = planner_add(p, STEP_PROPERTY_SET, NULL, object, "set %s=%s on %s",
					name, value, dataset);

	step->value = str_dup(value);
}

/* A number as people write it for zfs(8), "64M" or "1.5g", in the bytes that it shows. */
static bool is_number(const char *text, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	char *end;
	double number = strtod(text, &end);
	const char *unit = *end ? strchr(units, toupper((unsigned char)*end)) : units;

	return end != text && isdigit((unsigned char)*text) && unit &&
	       (uint64_t)(number * (double)(UINT64_C(1) << 10 * (unit - units))) == bytes;
}

static bool is_same_value(const char *have, const char *want)
{
	uint64_t bytes;

	if (streq(have, want))
		return true;
	return have && str_to_u64(have, &bytes) == 0 &&
	       (is_number(want, bytes) || (streq(want, "none") && !bytes));
}

static void plan_properties(struct planner *p, const struct observed_dataset *have,
			    const struct list *wanted)
{
	FOR_EACH_ITEM(struct pair, property, wanted)
	{
		const char *value = pair_get(&have->properties, property->name);

		if (!is_same_value(value, property->value))
			add_property(p, have->name, property->name, property->value);
	}
}

static void plan_dataset(struct planner *p, const struct layout_dataset *want)
{
	const struct observed_dataset *have = find_dataset(p, want->name);
	_cleanup_free_ char *name = name_dataset(p->layout, want->name);
	bool is_path = want->mountpoint && *want->mountpoint == '/';

	if (!have) {
		(void)planner_add(p, STEP_DATASET_CREATE, NULL, want->name,
				  "create the dataset %s%s%s", name,
				  is_path ? ", mounted on " : "",
				  is_path ? want->mountpoint : "");
		return;
	}
	plan_properties(p, have, &want->properties);
	if (want->mountpoint &&
	    !streq(pair_get(&have->properties, "mountpoint"), want->mountpoint))
		add_property(p, have->name, "mountpoint", want->mountpoint);
}

static void plan_volume(struct planner *p, const struct layout_volume *want)
{
	const struct observed_dataset *have = find_dataset(p, want->name);
	_cleanup_free_ char *name = name_dataset(p->layout, want->name);
	_cleanup_free_ char *size = str_size_for_people(want->size);
	bool swap = p->layout->swap.on == SWAP_VOLUME && streq(want->name, LAYOUT_SWAP_VOLUME);

	if (!have)
		(void)planner_add(p, STEP_VOLUME_CREATE, NULL, want->name,
				  "create the volume %s, %s", name, size);
	if (swap && (!have || streq(pair_get(&have->properties, NAME_STATE_PROPERTY), STATE_NEW)))
		(void)planner_add(p, STEP_SWAP_FORMAT, NULL, want->name, "make swap on %s", name);
}

static void plan_bootfs(struct planner *p)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(p->layout, layout_root(p->layout)->name);
	struct step *step;

	if (pool && streq(pair_get(&pool->properties, "bootfs"), root))
		return;
	step = planner_add(p, STEP_POOL_SET, NULL, "bootfs", "boot from %s", root);
	step->value = str_dup(root);
}

static const char *mountpoint_of(const struct layout *layout, const char *name)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &layout->datasets)
		if (streq(dataset->name, name))
			return dataset->mountpoint;
	return NULL;
}

/* The mountpoint of a dataset, its own or what it inherits; NULL when it has none. */
static char *effective_mountpoint(const struct layout *layout, const char *name)
{
	_cleanup_free_ char *at = str_dup(name);
	char *slash;

	for (;;) {
		const char *mountpoint = mountpoint_of(layout, at);

		if (mountpoint && *mountpoint != '/')
			return NULL;
		if (mountpoint)
			return str_printf("%s%s", streq(mountpoint, "/") ? "" : mountpoint,
					  name + strlen(at));
		slash = strrchr(at, '/');
		if (!slash)
			return NULL;
		*slash = '\0';
	}
}

static bool mounts_by_itself(const struct layout_dataset *dataset)
{
	const char *canmount = pair_get(&dataset->properties, "canmount");

	return !canmount || streq(canmount, "on");
}

static void plan_mount(struct planner *p, const struct layout_dataset *dataset)
{
	const struct observed_dataset *have = find_dataset(p, dataset->name);
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *mountpoint = effective_mountpoint(p->layout, dataset->name);
	const char *under = pool && !pool->altroot ? "" : p->options->target;

	if (!mountpoint || (have && have->mounted))
		return;
	if (!mounts_by_itself(dataset) && dataset != layout_root(p->layout))
		return;
	(void)planner_add(p, STEP_MOUNT, NULL, dataset->name, "mount %s on %s%s", dataset->name,
			  under, mountpoint);
}

/* In the running system fstab does it; it may have come too late for that. */
static void plan_boot_mount(struct planner *p)
{
	const struct observed_array *array = planner_array(p, ROLE_BOOT);
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	const char *under = pool && !pool->altroot ? "" : p->options->target;

	bool made = planner_has(p, STEP_BOOT_FORMAT, NULL) || !array || !array->active ||
		    array->content;

	if (!role_wants_array(p->layout, ROLE_BOOT) || !planner_will_run(p, ROLE_BOOT) || !made ||
	    (array && array->mounted && !planner_has(p, STEP_ARRAY_CREATE, roles[ROLE_BOOT].name)))
		return;
	(void)planner_add(p, STEP_BOOT_MOUNT, NULL, roles[ROLE_BOOT].name,
			  "mount the /boot partition on %s/boot", under);
}

bool plan_pool(struct planner *p)
{
	const struct layout_dataset *root = layout_root(p->layout);

	FOR_EACH_ITEM(struct layout_dataset, dataset, &p->layout->datasets)
		plan_dataset(p, dataset);
	FOR_EACH_ITEM(struct layout_volume, volume, &p->layout->volumes)
		plan_volume(p, volume);
	plan_bootfs(p);
	/* The root first: the others are mounted inside it; then parents before children. */
	plan_mount(p, root);
	FOR_EACH_ITEM(struct layout_dataset, dataset, &p->layout->datasets)
		if (dataset != root)
			plan_mount(p, dataset);
	plan_boot_mount(p);
	return true;
}
