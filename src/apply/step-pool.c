/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pool and what is in it, through zpool(8) and zfs(8). */

#include <linux/fs.h>
#include <sys/stat.h>

#include "apply/internal.h"
#include "base/file.h"

const struct layout_pool *apply_pool(const struct apply_context *cxt, const struct step *step)
{
	return step->pool ? layout_pool_named(cxt->layout, step->pool) : &cxt->layout->pool;
}

char *apply_dataset(const struct apply_context *cxt, const struct step *step)
{
	return name_dataset(apply_pool(cxt, step), step->object);
}

int dataset_set(struct apply_context *cxt, const char *dataset, const char *property,
		const char *value)
{
	_cleanup_free_ char *assignment = str_printf("%s=%s", property, value);

	return run_words(cxt->run, cxt->diag, "zfs", "set", assignment, dataset, NULL);
}

int dataset_note_images(struct apply_context *cxt, const char *root)
{
	_cleanup_free_ char *boot_id = observe_boot_id();

	return dataset_set(cxt, root, NAME_IMAGES_PROPERTY, boot_id ? boot_id : "");
}

bool pool_is_imported(struct apply_context *cxt, const char *pool)
{
	const char *const argv[] = { "zpool", "list", "-H", "-o", "name", pool, NULL };

	return run(cxt->run, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL }, NULL) == 0;
}

int pool_sync(struct apply_context *cxt, const struct layout_pool *pool)
{
	return run_words(cxt->run, cxt->diag, "zpool", "sync", pool->name, NULL);
}

static int run_argv(struct apply_context *cxt, const struct strv *argv)
{
	return run(cxt->run, &(struct command){ .argv = (const char *const *)argv->items },
		   cxt->diag);
}

static const struct secret *find_key(const struct apply_context *cxt, const char *root)
{
	for (size_t i = 0; i < cxt->n_keys; i++)
		if (streq(cxt->keys[i].root, root))
			return cxt->keys[i].secret;
	return NULL;
}

/* A program that makes the encryption root `root`, or loads its key, and reads it from stdin. */
static int run_with_key(struct apply_context *cxt, const struct strv *argv, const char *root)
{
	const struct secret *key = find_key(cxt, root);

	if (!key)
		return diag_error(cxt->diag, -ENOKEY, "nobody gave the passphrase of %s", root);
	return run(cxt->run, &(struct command){ .argv = (const char *const *)argv->items,
						.secret = key }, cxt->diag);
}

static void add_properties(struct strv *argv, const char *option, const struct list *properties)
{
	FOR_EACH_ITEM(struct pair, property, properties)
	{
		strv_add(argv, option);
		strv_addf(argv, "%s=%s", property->name, property->value);
	}
}

/* The device of a disk in a pool to be made: the open member, or a partition that is new. */
static int add_device(struct apply_context *cxt, const struct layout_pool *pool, const char *disk,
		      struct strv *argv)
{
	_cleanup_free_ char *mapping = name_mapping(cxt->layout, disk);
	_cleanup_free_ char *node = NULL;
	bool is_new = true;
	int r = 0;

	if (layout_has_luks(cxt->layout, pool))
		strv_addf(argv, "/dev/mapper/%s", mapping);
	else
		r = device_stable(cxt, disk, ROLE_DATA, &node, &is_new);
	if (r == 0 && !is_new)
		return diag_error(cxt->diag, -EEXIST, "%s is not new any more", node);
	if (node)
		strv_add(argv, node);
	return r;
}

static int add_vdev(struct apply_context *cxt, const struct layout_pool *pool,
		    const struct layout_vdev *vdev, struct strv *argv)
{
	const struct vdev_kind_info *kind = &vdev_kinds[layout_vdev_kind(vdev)];
	const struct strv *disks = layout_vdev_disks(vdev);
	int r = 0;

	if (kind->group)
		strv_add(argv, kind->group);
	for (size_t i = 0; r == 0 && i < disks->n_items; i++)
		r = add_device(cxt, pool, disks->items[i], argv);
	return r;
}

/*
 * A mirror is of the class whose word was the last one before it, and most of these words may stand once:
 * the data comes first, which is of none, then class by class, in whatever order the layout has them.
 */
static int add_vdevs(struct apply_context *cxt, const struct layout_pool *pool, struct strv *argv)
{
	int r = 0;

	for (enum vdev_kind kind = 0; kind < VDEV_KIND_MAX; kind++) {
		const char *class = vdev_kinds[kind].class;

		FOR_EACH_VDEV(vdev, pool)
		{
			if (r || layout_vdev_kind(vdev) != kind)
				continue;
			if (class)
				strv_add(argv, class);
			class = NULL;
			r = add_vdev(cxt, pool, vdev, argv);
		}
	}
	return r;
}

/*
 * Interrupted: the members' LUKS labels are still new, or the partitions of a pool without LUKS, and
 * the pool is made again. -f because they may carry the labels of such a torn pool; nothing else
 * can be on them. A partition that is a disk itself, without LUKS, is blank; with such labels it is
 * nobody's, and they go with consent. In the running system a further pool stays in zpool.cache, by which stock
 * units import it at boot.
 */
int apply_POOL_CREATE(struct apply_context *cxt, const struct step *step)
{
	const struct layout_pool *pool = apply_pool(cxt, step);
	bool cached = pool != &cxt->layout->pool && !*cxt->target;
	_cleanup_strv_ struct strv argv = STRV_NULL;
	int r = 0;

	strv_add_all(&argv, "zpool", "create", "-f", NULL);
	if (!cached)
		strv_add_all(&argv, "-o", "cachefile=none", NULL);
	add_properties(&argv, "-o", &pool->properties);
	add_properties(&argv, "-O", &pool->filesystem_properties);
	strv_add_all(&argv, "-O", "canmount=off", "-O", NULL);
	strv_addf(&argv, NAME_SET_PROPERTY "=%s", cxt->layout->id);
	strv_add_all(&argv, "-m", "none", NULL);
	if (*cxt->target)
		strv_add_all(&argv, "-R", cxt->target, NULL);
	strv_add(&argv, pool->name);
	if (!layout_has_luks(cxt->layout, pool))
		r = device_settle(cxt);
	if (r == 0)
		r = add_vdevs(cxt, pool, &argv);
	if (r)
		return r;
	r = layout_wants_passphrase(&pool->filesystem_properties) ?
		    run_with_key(cxt, &argv, pool->name) :
		    run_argv(cxt, &argv);
	return r ? r : pool_sync(cxt, pool);
}

/* The path of a disk's device in that pool, or NULL when it has none now. */
static char *place_of(struct apply_context *cxt, const struct layout_pool *pool, const char *disk)
{
	_cleanup_free_ char *there = NULL;
	char *node = NULL;
	bool is_new;

	if (layout_pool_of(cxt->layout, disk, NULL) != pool)
		return NULL;
	if (layout_has_luks(cxt->layout, pool)) {
		_cleanup_free_ char *mapping = name_mapping(cxt->layout, disk);

		node = str_printf("/dev/mapper/%s", mapping);
		if (access(node, F_OK) == 0)
			return node;
	} else if (device_has_partition(cxt, disk, ROLE_DATA, &there, &is_new) &&
		   device_stable(cxt, disk, ROLE_DATA, &node, NULL) == 0) {
		return node;
	}
	free(node);
	return NULL;
}

/*
 * Where the devices of a pool are looked for: each by its path, since the import is forced, and by name
 * where the disks do not say the GUID: a foreign pool of that name may lie on any other mapping. Members
 * that are not open are left out; without a single path zpool(8) would look everywhere.
 */
static int add_places(struct apply_context *cxt, const struct layout_pool *pool, struct strv *argv)
{
	bool any = false;

	FOR_EACH_DISK(disk, cxt->layout)
	{
		_cleanup_free_ char *node = place_of(cxt, pool, disk->name);

		if (!node)
			continue;
		strv_add(argv, "-d");
		strv_add(argv, node);
		any = true;
	}
	return any ? 0 : diag_error(cxt->diag, -ENODEV, "no disk of the pool %s is there", pool->name);
}

/* -f: the pool of this set may have been left by a power cut under another host id. */
int apply_POOL_IMPORT(struct apply_context *cxt, const struct step *step)
{
	const struct layout_pool *pool = apply_pool(cxt, step);
	bool cached = pool != &cxt->layout->pool && !*cxt->target;
	_cleanup_strv_ struct strv argv = STRV_NULL;
	int r;

	strv_add_all(&argv, "zpool", "import", "-f", "-N", NULL);
	if (!cached)
		strv_add_all(&argv, "-o", "cachefile=none", NULL);
	if (*cxt->target)
		strv_add_all(&argv, "-R", cxt->target, NULL);
	r = add_places(cxt, pool, &argv);
	strv_add(&argv, step->value ? step->value : pool->name);
	return r ? r : run_argv(cxt, &argv);
}

/* Nothing is written. */
int apply_KEY_LOAD(struct apply_context *cxt, const struct step *step)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;

	strv_add_all(&argv, "zfs", "load-key", step->object, NULL);
	return apply_wants_key(cxt->layout, step->object) ?
		       run_with_key(cxt, &argv, step->object) :
		       run_argv(cxt, &argv);
}

/* The driver of the plan looks again; there is nothing to do here. */
int apply_LOOK_AGAIN(struct apply_context *cxt, const struct step *step)
{
	(void)cxt;
	(void)step;
	return 0;
}

int apply_POOL_SET(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *assignment = str_printf("%s=%s", step->object, step->value);

	return run_words(cxt->run, cxt->diag, "zpool", "set", assignment,
			 apply_pool(cxt, step)->name, NULL);
}

static const struct layout_dataset *dataset_wanted(const struct layout_pool *pool,
						   const char *name)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		if (streq(dataset->name, name))
			return dataset;
	return NULL;
}

/* One transaction of ZFS: interrupted, the dataset is there with all of this, or is not. */
int apply_DATASET_CREATE(struct apply_context *cxt, const struct step *step)
{
	const struct layout_dataset *want = dataset_wanted(apply_pool(cxt, step), step->object);
	_cleanup_free_ char *name = apply_dataset(cxt, step);
	_cleanup_strv_ struct strv argv = STRV_NULL;

	strv_add_all(&argv, "zfs", "create", "-u", NULL);
	add_properties(&argv, "-o", &want->properties);
	if (want->mountpoint) {
		strv_add(&argv, "-o");
		strv_addf(&argv, "mountpoint=%s", want->mountpoint);
	}
	if (want == layout_root(cxt->layout) && !pair_get(&want->properties, "canmount"))
		strv_add_all(&argv, "-o", "canmount=noauto", NULL);
	strv_add(&argv, name);
	return layout_wants_passphrase(&want->properties) ? run_with_key(cxt, &argv, name) :
							    run_argv(cxt, &argv);
}

/* Only what is made into swap is marked new: nothing else is ever written to. */
int apply_VOLUME_CREATE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *name = apply_dataset(cxt, step);
	_cleanup_strv_ struct strv argv = STRV_NULL;

	strv_add_all(&argv, "zfs", "create", NULL);
	FOR_EACH_ITEM(struct layout_volume, want, &apply_pool(cxt, step)->volumes)
	{
		if (!streq(want->name, step->object))
			continue;
		if (layout_is_swap(cxt->layout, apply_pool(cxt, step), want))
			strv_add_all(&argv, "-o", NAME_STATE_PROPERTY "=" STATE_NEW, NULL);
		add_properties(&argv, "-o", &want->properties);
		strv_add(&argv, "-V");
		strv_addf(&argv, "%llu", (unsigned long long)want->size);
	}
	strv_add(&argv, name);
	return run_argv(cxt, &argv);
}

int apply_PROPERTY_SET(struct apply_context *cxt, const struct step *step)
{
	const char *space = strchr(step->object, ' ');
	_cleanup_free_ char *property =
		str_printf("%.*s", (int)(space - step->object), step->object);

	return dataset_set(cxt, space + 1, property, step->value);
}

/* The commit point is the property: until then the volume is marked new. */
int apply_SWAP_FORMAT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *name = apply_dataset(cxt, step);
	_cleanup_free_ char *node = str_printf("/dev/zvol/%s", name);
	int r = device_wait(node);

	if (r)
		return diag_error(cxt->diag, r, "%s did not appear", node);
	r = run_words(cxt->run, cxt->diag, "mkswap", "-f", node, NULL);
	if (r == 0)
		r = pool_sync(cxt, apply_pool(cxt, step));
	return r ? r : dataset_set(cxt, name, NAME_STATE_PROPERTY, STATE_DONE);
}

int apply_MOUNT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *name = apply_dataset(cxt, step);

	return run_words(cxt->run, cxt->diag, "zfs", "mount", name, NULL);
}
