/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The pool and what is in it, through zpool(8) and zfs(8). */

#include <linux/fs.h>
#include <sys/stat.h>

#include "apply/internal.h"
#include "base/file.h"

char *apply_dataset(const struct apply_context *cxt, const char *name)
{
	return name_dataset(cxt->layout, name);
}

int dataset_set(struct apply_context *cxt, const char *dataset, const char *property,
		const char *value)
{
	_cleanup_free_ char *assignment = str_printf("%s=%s", property, value);

	return run_words(cxt->run, cxt->diag, "zfs", "set", assignment, dataset, NULL);
}

int dataset_sync(struct apply_context *cxt)
{
	return run_words(cxt->run, cxt->diag, "zpool", "sync", cxt->layout->pool.name, NULL);
}

static int run_argv(struct apply_context *cxt, const struct strv *argv)
{
	return run(cxt->run, &(struct command){ .argv = (const char *const *)argv->items },
		   cxt->diag);
}

static void add_properties(struct strv *argv, const char *option, const struct list *properties)
{
	FOR_EACH_ITEM(struct pair, property, properties)
	{
		strv_add(argv, option);
		strv_addf(argv, "%s=%s", property->name, property->value);
	}
}

/*
 * Interrupted: the members' LUKS labels are still new, and the pool is made again. -f because
 * they may carry the labels of such a torn pool; nothing else can be on them.
 */
int apply_POOL_CREATE(struct apply_context *cxt, const struct step *step)
{
	const struct layout_pool *pool = &cxt->layout->pool;
	_cleanup_strv_ struct strv argv = STRV_NULL;
	int r;

	strv_add_all(&argv, "zpool", "create", "-f", "-o", "cachefile=none", NULL);
	add_properties(&argv, "-o", &pool->properties);
	add_properties(&argv, "-O", &pool->filesystem_properties);
	strv_add_all(&argv, "-O", "canmount=off", "-O", NULL);
	strv_addf(&argv, NAME_SET_PROPERTY "=%s", cxt->layout->id);
	strv_add_all(&argv, "-m", "none", "-R", cxt->target, step->object, NULL);
	FOR_EACH_ITEM(struct layout_vdev, vdev, &pool->vdevs)
	{
		strv_add(&argv, "mirror");
		for (size_t i = 0; i < vdev->mirror.n_items; i++) {
			_cleanup_free_ char *mapping =
				name_mapping(cxt->layout, vdev->mirror.items[i]);

			strv_addf(&argv, "/dev/mapper/%s", mapping);
		}
	}
	r = run_argv(cxt, &argv);
	return r ? r : dataset_sync(cxt);
}

/* -f: the pool of this set may have been left by a power cut under another host id. */
int apply_POOL_IMPORT(struct apply_context *cxt, const struct step *step)
{
	return run_words(cxt->run, cxt->diag, "zpool", "import", "-f", "-N", "-o",
			 "cachefile=none", "-R", cxt->target, "-d", "/dev/mapper", step->object,
			 NULL);
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
			 cxt->layout->pool.name, NULL);
}

static const struct layout_dataset *dataset_wanted(const struct layout *layout, const char *name)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &layout->datasets)
		if (streq(dataset->name, name))
			return dataset;
	return NULL;
}

/* One transaction of ZFS: interrupted, the dataset is there with all of this, or is not. */
int apply_DATASET_CREATE(struct apply_context *cxt, const struct step *step)
{
	const struct layout_dataset *want = dataset_wanted(cxt->layout, step->object);
	_cleanup_free_ char *name = apply_dataset(cxt, step->object);
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
	return run_argv(cxt, &argv);
}

int apply_VOLUME_CREATE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *name = apply_dataset(cxt, step->object);
	_cleanup_strv_ struct strv argv = STRV_NULL;

	strv_add_all(&argv, "zfs", "create", "-o", NAME_STATE_PROPERTY "=" STATE_NEW, NULL);
	FOR_EACH_ITEM(struct layout_volume, want, &cxt->layout->volumes)
	{
		if (!streq(want->name, step->object))
			continue;
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
	_cleanup_free_ char *name = apply_dataset(cxt, step->object);
	_cleanup_free_ char *node = str_printf("/dev/zvol/%s", name);
	int r = device_wait(node);

	if (r)
		return diag_error(cxt->diag, r, "%s did not appear", node);
	r = run_words(cxt->run, cxt->diag, "mkswap", "-f", node, NULL);
	if (r == 0)
		r = dataset_sync(cxt);
	return r ? r : dataset_set(cxt, name, NAME_STATE_PROPERTY, STATE_DONE);
}

int apply_MOUNT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *name = apply_dataset(cxt, step->object);

	return run_words(cxt->run, cxt->diag, "zfs", "mount", name, NULL);
}
