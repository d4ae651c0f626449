/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Datasets, volumes and their properties; where they are mounted. */

#include <ctype.h>

#include "boot/environment.h"
#include "plan/internal.h"

const struct observed_pool *pool_of_set(const struct layout *layout, const struct observed *have,
					const char *name)
{
	const struct observed_pool *pool = observed_pool(have, name);
	const struct observed_dataset *top = pool ? observed_dataset(pool, pool->name) : NULL;

	return top && streq(pair_get(&top->properties, NAME_SET_PROPERTY), layout->id) ? pool : NULL;
}

const struct observed_pool *planner_pool(const struct planner *p, const struct layout_pool *want)
{
	return pool_of_set(p->layout, p->have, want->name);
}

const char *pool_device_beyond(const struct layout *layout, const struct observed *have)
{
	const struct observed_pool *pool = pool_of_set(layout, have, layout->pool.name);
	enum role role = role_of_pool(layout, &layout->pool);
	_cleanup_strv_ struct strv nodes = STRV_NULL;

	FOR_EACH_MEMBER_DISK(want, layout)
	{
		const struct observed_disk *disk = observed_disk(have, want->path);
		const struct observed_partition *member =
			disk ? find_partition(layout, disk, role, want->name) : NULL;

		if (member && role == ROLE_MEMBER && member->held)
			strv_addf(&nodes, "/dev/%s", member->held);
		else if (member && role == ROLE_DATA && member->path)
			strv_add(&nodes, member->path);
	}
	for (size_t i = 0; pool && i < pool->devices.n_items; i++)
		if (!strv_has(&nodes, pool->devices.items[i]))
			return pool->devices.items[i];
	return NULL;
}

bool planner_pool_is_taken(struct planner *p, const struct layout_pool *pool)
{
	if (!observed_pool(p->have, pool->name) || planner_pool(p, pool))
		return false;
	planner_refuse(p, "a pool named '%s' is imported, and it is not of this set", pool->name);
	diag_hint(p->diag, "choose another name for the pool, or export that one");
	return true;
}

/* Without LUKS no other step says which partition of somebody's disk is taken. */
static char *names_of(const struct planner *p, const struct layout_pool *pool,
		      const struct layout_vdev *vdev)
{
	const struct strv *disks = layout_vdev_disks(vdev);
	_cleanup_strv_ struct strv names = STRV_NULL;

	for (size_t i = 0; i < disks->n_items; i++) {
		const struct layout_disk *want = layout_disk(p->layout, disks->items[i]);
		const struct observed_disk *have = observed_disk(p->have, want->path);

		if (have && layout_is_partition(want) && !layout_has_luks(p->layout, pool))
			strv_addf(&names, "%s (%s)", want->name, have->path);
		else
			strv_add(&names, want->name);
	}
	return strv_join(&names, " ");
}

/* Bytes that the data of a vdev can have at most; 0 when the size of a disk is not known. */
static uint64_t vdev_capacity(const struct planner *p, const struct layout_vdev *vdev)
{
	static const uint64_t n_parity[VDEV_KIND_MAX] = { [VDEV_RAIDZ1] = 1, [VDEV_RAIDZ2] = 2,
							  [VDEV_RAIDZ3] = 3 };
	const struct strv *disks = layout_vdev_disks(vdev);
	enum vdev_kind kind = layout_vdev_kind(vdev);
	uint64_t smallest = UINT64_MAX;

	for (size_t i = 0; i < disks->n_items; i++) {
		const struct layout_disk *want = layout_disk(p->layout, disks->items[i]);
		const struct observed_disk *have = observed_disk(p->have, want->path);

		smallest = MIN_OF(smallest, have ? have->size : 0);
	}
	return n_parity[kind] ? smallest * (disks->n_items - n_parity[kind]) : smallest;
}

/* zfs(8) would refuse it once the disks are partitioned and encrypted. */
static void check_room(struct planner *p, const struct layout_pool *pool)
{
	_cleanup_free_ char *wanted = NULL, *has = NULL;
	uint64_t capacity = 0, bytes = 0;

	FOR_EACH_VDEV(vdev, pool)
	{
		uint64_t n = vdev_kinds[layout_vdev_kind(vdev)].class ? 0 : vdev_capacity(p, vdev);

		if (!n && !vdev_kinds[layout_vdev_kind(vdev)].class)
			return;
		capacity += n;
	}
	FOR_EACH_ITEM(struct layout_volume, volume, &pool->volumes)
		if (!pair_get(&volume->properties, "refreservation"))
			bytes = volume->size > UINT64_MAX - bytes ? UINT64_MAX : bytes + volume->size;
	if (bytes < capacity)
		return;
	wanted = str_size_for_people(bytes);
	has = str_size_for_people(capacity);
	planner_refuse(p, "the volumes of the pool '%s' want %s, and it has less than %s", pool->name,
		       wanted, has);
	diag_hint(p->diag, "make them smaller; with refreservation: none ZFS reserves nothing for one");
}

/* "mirror of left right, log mirror of fast-a fast-b" */
void planner_add_pool(struct planner *p, const struct layout_pool *pool)
{
	_cleanup_strbuf_ struct strbuf vdevs = STRBUF_NULL;

	check_room(p, pool);
	FOR_EACH_VDEV(vdev, pool)
	{
		const struct vdev_kind_info *kind = &vdev_kinds[layout_vdev_kind(vdev)];
		_cleanup_free_ char *names = names_of(p, pool, vdev);

		strbuf_printf(&vdevs, "%s%s of %s", vdevs.size ? ", " : "", kind->name, names);
	}
	(void)planner_add_in(p, pool, STEP_POOL_CREATE, pool->name, "create the pool '%s': %s",
			     pool->name, vdevs.data);
}

void planner_add_import(struct planner *p, const struct layout_pool *pool, const char *guid)
{
	struct step *step = planner_add_in(p, pool, STEP_POOL_IMPORT, pool->name,
					   "import the pool '%s'", pool->name);

	step->value = str_dup(guid);
}

static const struct observed_dataset *find_dataset(const struct planner *p,
						   const struct layout_pool *want,
						   const char *name)
{
	const struct observed_pool *pool = observed_pool(p->have, want->name);
	_cleanup_free_ char *full = name_dataset(want, name);

	return pool ? observed_dataset(pool, full) : NULL;
}

/* The encryption root whose key is missing for what is below `name`, or NULL. */
static const char *locked_above(const struct planner *p, const struct layout_pool *pool,
				const char *name)
{
	_cleanup_free_ char *at = str_dup(name);
	char *slash = at + strlen(at);

	for (;;) {
		const struct observed_dataset *have;

		*slash = '\0';
		have = find_dataset(p, pool, *at ? at : NULL);
		if (have)
			return have->locked ? have->encryption_root : NULL;
		if (!*at)
			return NULL;
		slash = strrchr(at, '/');
		slash = slash ? slash : at;
	}
}

static void add_key(struct planner *p, const struct layout_pool *pool, const char *root)
{
	if (root && !planner_has(p, STEP_KEY_LOAD, root))
		(void)planner_add_in(p, pool, STEP_KEY_LOAD, root, "load the key of %s", root);
}

/*
 * In a system that runs, whoever has the key loads it and mounts it, and it is asked for only
 * when something is to be made below it. On a target everything is opened: whatever is put there
 * shall get where it belongs.
 */
static void plan_keys(struct planner *p, const struct layout_pool *want)
{
	const struct observed_pool *pool = planner_pool(p, want);

	if (!pool || !pool->altroot)
		return;
	FOR_EACH_ITEM(struct observed_dataset, dataset, &pool->datasets)
		if (dataset->locked)
			add_key(p, want, dataset->encryption_root);
}

static void add_property(struct planner *p, const struct layout_pool *pool, const char *dataset,
			 const char *name, const char *value)
{
	_cleanup_free_ char *object = str_printf("%s %s", name, dataset);
	struct step *step = planner_add_in(p, pool, STEP_PROPERTY_SET, object, "set %s=%s on %s",
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

/* What zfs(8) shows for another word that it takes. */
static bool is_alias(const char *have, const char *want)
{
	static const struct {
		const char *shown, *taken;
	} words[] = {
		{ "posix", "posixacl" }, { "off", "noacl" },	 { "gzip", "gzip-6" },
		{ "zstd", "zstd-3" },	 { "zstd-fast", "zstd-fast-1" },
		{ "on", "sa" },		 { "on", "dir" }, /* xattr, since 2.3 and before */
		{ "full", "geom" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(have, words[i].shown) && streq(want, words[i].taken))
			return true;
	return false;
}

static bool is_same_value(const char *have, const char *want)
{
	uint64_t bytes;

	if (streq(have, want) || is_alias(have, want))
		return true;
	return have && str_to_u64(have, &bytes) == 0 &&
	       (is_number(want, bytes) || (streq(want, "none") && !bytes));
}

/*
 * Decided when a dataset is made, zfsprops(7); zfs-change-key(8) is how to have another key. What a volume
 * reserves is shown in bytes that ZFS reckoned, or that whoever made it larger did.
 */
static bool is_of_creation(const char *property)
{
	static const char *const names[] = { "encryption",	"keyformat",	 "keylocation",
					     "pbkdf2iters",	"casesensitivity", "normalization",
					     "utf8only",	"volblocksize",	 "refreservation" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (streq(property, names[i]))
			return true;
	return false;
}

static void plan_properties(struct planner *p, const struct layout_pool *pool,
			    const struct observed_dataset *have, const struct list *wanted)
{
	const char *encryption = pair_get(wanted, "encryption");

	if (encryption && streq(encryption, "off") != !have->encryption_root) {
		diag_warning(p->diag, "%s is %sencrypted, and stays so", have->name,
			     have->encryption_root ? "" : "not ");
		diag_hint(p->diag, "encryption is decided when a dataset is made: zfs send it into "
			  "a new one");
	}
	FOR_EACH_ITEM(struct pair, property, wanted)
	{
		const char *value = pair_get(&have->properties, property->name);

		if (!is_of_creation(property->name) && !is_same_value(value, property->value))
			add_property(p, pool, have->name, property->name, property->value);
	}
}

static const struct observed_dataset *find_root(const struct planner *p)
{
	return find_dataset(p, &p->layout->pool, layout_root(p->layout)->name);
}

/*
 * What is in the folders of a system that is there is seen once its root is mounted, in the next round:
 * plan_system() adds it. While a system is put on, datasets come first.
 */
static bool waits_for_root(const struct planner *p)
{
	const struct observed_dataset *root = find_root(p);
	const char *state = root ? pair_get(&root->properties, NAME_STATE_PROPERTY) : NULL;

	return root && !root->mounted &&
	       (!layout_has_system(p->layout) || (state && starts_with(state, STATE_DONE)));
}

/* ZFS mounts over what is in a folder, and would hide it: at once, and at every start. */
static bool would_hide(const struct planner *p, const struct layout_pool *pool,
		       const struct layout_dataset *want)
{
	_cleanup_free_ char *mountpoint = layout_mounts(want) ? layout_mountpoint(pool, want) : NULL;

	return mountpoint && find_root(p) && find_root(p)->mounted && strv_has(&p->have->system.occupied, mountpoint);
}

/* The dataset that is not made, and so nothing below it either; or NULL. */
static const struct layout_dataset *left_out(const struct planner *p, const struct layout_pool *pool,
					     const char *name)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		if (is_or_is_below(name, dataset->name) && !find_dataset(p, pool, dataset->name) &&
		    would_hide(p, pool, dataset))
			return dataset;
	return NULL;
}

static void tell_left_out(struct planner *p, const struct layout_pool *pool,
			  const struct layout_dataset *want)
{
	_cleanup_free_ char *name = name_dataset(pool, want->name);
	_cleanup_free_ char *mountpoint = layout_mountpoint(pool, want);

	diag_warning(p->diag, "%s has something in it, which the dataset %s would hide: it is not made",
		     mountpoint, name);
	diag_hint(p->diag, "give %s another mount point and copy what is there into it, or move that "
		  "away first", name);
}

static void plan_dataset(struct planner *p, const struct layout_pool *pool,
			 const struct layout_dataset *want)
{
	const struct observed_dataset *have = find_dataset(p, pool, want->name);
	_cleanup_free_ char *name = name_dataset(pool, want->name);
	bool is_path = want->mountpoint && *want->mountpoint == '/';
	const struct layout_dataset *without = left_out(p, pool, want->name);

	if (without == want)
		tell_left_out(p, pool, want);
	if (without || (!have && waits_for_root(p)))
		return;
	if (!have) {
		add_key(p, pool, locked_above(p, pool, want->name));
		(void)planner_add_in(p, pool, STEP_DATASET_CREATE, want->name,
				     "create the dataset %s%s%s", name,
				     is_path ? ", mounted on " : "",
				     is_path ? want->mountpoint : "");
		return;
	}
	plan_properties(p, pool, have, &want->properties);
	if (!want->mountpoint || streq(pair_get(&have->properties, "mountpoint"), want->mountpoint))
		return;
	if (would_hide(p, pool, want)) {
		diag_warning(p->diag, "%s has something in it, which %s would hide there: it stays where it is",
			     want->mountpoint, name);
		diag_hint(p->diag, "move what is there away first");
		return;
	}
	add_property(p, pool, have->name, "mountpoint", want->mountpoint);
}

/* Smaller, it would lose what is in it; larger, whoever uses it must be told. */
static void tell_size(struct planner *p, const struct observed_dataset *have,
		      const struct layout_volume *want)
{
	_cleanup_free_ char *wanted = str_size_for_people(want->size), *is = NULL;
	const char *volsize = pair_get(&have->properties, "volsize");
	uint64_t bytes;

	if (str_to_u64(volsize ? volsize : "", &bytes) || bytes == want->size)
		return;
	is = str_size_for_people(bytes);
	diag_warning(p->diag, "the volume %s has %s, and in the layout %s: it stays as it is", have->name,
		     is, wanted);
	diag_hint(p->diag, "zfs set volsize=%llu %s, when nothing uses it", (unsigned long long)want->size,
		  have->name);
}

static void plan_volume(struct planner *p, const struct layout_pool *pool,
			const struct layout_volume *want)
{
	const struct observed_dataset *have = find_dataset(p, pool, want->name);
	_cleanup_free_ char *name = name_dataset(pool, want->name);
	_cleanup_free_ char *size = str_size_for_people(want->size);
	bool swap = layout_is_swap(p->layout, pool, want);

	if (left_out(p, pool, want->name) || (!have && waits_for_root(p)))
		return;
	if (have) {
		plan_properties(p, pool, have, &want->properties);
		tell_size(p, have, want);
	} else {
		add_key(p, pool, locked_above(p, pool, want->name));
		(void)planner_add_in(p, pool, STEP_VOLUME_CREATE, want->name,
				     "create the volume %s, %s", name, size);
	}
	if (swap && (!have || streq(pair_get(&have->properties, NAME_STATE_PROPERTY), STATE_NEW)))
		(void)planner_add_in(p, pool, STEP_SWAP_FORMAT, want->name, "make swap on %s", name);
}

/* Another boot environment that somebody made the default stays it: activating is a person's. */
static bool is_default_elsewhere(const struct planner *p)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	bool elsewhere;

	environments_make(p->layout, p->have, NULL, &list);
	elsewhere = !list.items[0].active;
	FOR_EACH_ENVIRONMENT(environment, &list)
		if (elsewhere && environment->active) {
			diag_note(p->diag, "the next start is of the boot environment %s, and this "
				  "is %s", environment->name, list.items[0].name);
			diag_hint(p->diag, "eyrie boot activate %s would go on with this one",
				  list.items[0].name);
		}
	return elsewhere;
}

static void plan_bootfs(struct planner *p)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&p->layout->pool, layout_root(p->layout)->name);
	struct step *step;

	if ((pool && streq(pair_get(&pool->properties, "bootfs"), root)) || is_default_elsewhere(p))
		return;
	step = planner_add_in(p, &p->layout->pool, STEP_POOL_SET, "bootfs", "boot from %s", root);
	step->value = str_dup(root);
}

static bool stays_locked(const struct planner *p, const struct observed_dataset *have)
{
	return have && have->locked && !planner_has(p, STEP_KEY_LOAD, have->encryption_root);
}

static void plan_mount(struct planner *p, const struct layout_pool *pool,
		       const struct layout_dataset *dataset)
{
	const struct observed_dataset *have = find_dataset(p, pool, dataset->name);
	const struct observed_pool *root_pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *mountpoint = layout_mountpoint(pool, dataset);
	_cleanup_free_ char *name = name_dataset(pool, dataset->name);
	const char *under = root_pool && !root_pool->altroot ? "" : p->options->target;

	if (!mountpoint || (have && have->mounted) || stays_locked(p, have) ||
	    left_out(p, pool, dataset->name) || (!have && waits_for_root(p)))
		return;
	if (!layout_mounts(dataset) && dataset != layout_root(p->layout))
		return;
	(void)planner_add_in(p, pool, STEP_MOUNT, dataset->name, "mount %s on %s%s", name,
			     under, *under && streq(mountpoint, "/") ? "" : mountpoint);
}

/* How large the blocks of a vdev are is decided when it is made, and so are features. */
static void plan_pool_properties(struct planner *p, const struct layout_pool *want)
{
	const struct observed_pool *have = planner_pool(p, want);
	const struct observed_dataset *top = have ? observed_dataset(have, want->name) : NULL;

	if (!top)
		return;
	FOR_EACH_ITEM(struct pair, property, &want->properties)
	{
		const char *value = pair_get(&have->properties, property->name);
		struct step *step;

		if (streq(property->name, "ashift") || starts_with(property->name, "feature@") ||
		    is_same_value(value, property->value))
			continue;
		step = planner_add_in(p, want, STEP_POOL_SET, property->name, "set %s=%s on the pool '%s'",
				      property->name, property->value, want->name);
		step->value = str_dup(property->value);
	}
	plan_properties(p, want, top, &want->filesystem_properties);
}

static void plan_contents(struct planner *p, const struct layout_pool *pool)
{
	plan_keys(p, pool);
	plan_pool_properties(p, pool);
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		plan_dataset(p, pool, dataset);
	FOR_EACH_ITEM(struct layout_volume, volume, &pool->volumes)
		plan_volume(p, pool, volume);
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

bool plan_pools(struct planner *p)
{
	const struct layout_dataset *root = layout_root(p->layout);
	bool more = true;

	FOR_EACH_ITEM(struct layout_pool, pool, &p->layout->pools)
		if (!p->options->root_alone)
			more &= plan_raw_pool(p, pool);
	if (p->refused)
		return false;
	plan_contents(p, &p->layout->pool);
	plan_bootfs(p);
	/* The root first: the others are mounted inside it; then parents before children. */
	plan_mount(p, &p->layout->pool, root);
	FOR_EACH_ITEM(struct layout_dataset, dataset, &p->layout->pool.datasets)
		if (dataset != root)
			plan_mount(p, &p->layout->pool, dataset);
	plan_boot_mount(p);
	if (!more) {
		(void)planner_add(p, STEP_LOOK_AGAIN, NULL, NULL,
				  "look at what is in the other pools, and plan the rest");
		return false;
	}
	FOR_EACH_ITEM(struct layout_pool, pool, &p->layout->pools)
	{
		if (p->options->root_alone || !planner_has_pool(p, pool))
			continue;
		plan_contents(p, pool);
		FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
			plan_mount(p, pool, dataset);
	}
	return true;
}
