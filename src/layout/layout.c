/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/layout.h"

#include "base/file.h"
#include "layout/check.h"

const struct vdev_kind_info vdev_kinds[VDEV_KIND_MAX] = {
	[VDEV_MIRROR] = { "mirror", NULL, "mirror", 2, SIZE_MAX },
	[VDEV_RAIDZ1] = { "raidz1", NULL, "raidz1", 2, 1 },
	[VDEV_RAIDZ2] = { "raidz2", NULL, "raidz2", 3, 2 },
	[VDEV_RAIDZ3] = { "raidz3", NULL, "raidz3", 4, 3 },
	[VDEV_SPECIAL] = { "special", "special", "mirror", 2, SIZE_MAX },
	[VDEV_LOG] = { "log", "log", "mirror", 2, SIZE_MAX },
	[VDEV_CACHE] = { "cache", "cache", NULL, 1, SIZE_MAX },
	[VDEV_SPARE] = { "spare", "spare", NULL, 1, SIZE_MAX },
};

int layout_parse(const char *name, const char *text, struct layout **ret, struct diag *diag)
{
	_cleanup_(layout_freep) struct layout *layout = mem_alloc(sizeof(*layout));
	_cleanup_(yaml_source_freep) struct yaml_source *source = NULL;
	int r;

	r = yaml_read(name, text, &record_layout, layout, &source, diag);
	if (source) {
		int q = layout_check(layout, source, diag);

		r = r ? r : q;
	}
	if (r)
		return r;
	layout_complete(layout);
	*ret = take_ptr(layout);
	return 0;
}

int layout_read(const char *path, struct layout **ret, struct diag *diag)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	int r = file_read(path, &text);

	if (r) {
		(void)diag_error(diag, r, "cannot read the layout %s: %s", path, strerror(-r));
		if (r == -EACCES)
			diag_hint(diag, "run it as root");
		else if (r == -ENOENT)
			diag_hint(diag, "eyrie init writes one");
		return r;
	}
	return layout_parse(path, text.data, ret, diag);
}

char *layout_dump(const struct layout *layout)
{
	_cleanup_(layout_freep) struct layout *copy = mem_alloc(sizeof(*copy));

	/* The volume that layout_complete() adds is said by swap: already. */
	record_copy(&record_layout, copy, layout);
	for (size_t i = 0; i < copy->pool.volumes.n_items && copy->swap.on == SWAP_VOLUME; i++) {
		struct layout_volume *volumes = copy->pool.volumes.items;

		if (!streq(volumes[i].name, LAYOUT_SWAP_VOLUME))
			continue;
		record_deinit(&record_layout_volume, &volumes[i]);
		memmove(&volumes[i], &volumes[i + 1],
			(--copy->pool.volumes.n_items - i) * sizeof(*volumes));
		break;
	}
	return yaml_write(&record_layout, copy);
}

struct layout *layout_free(struct layout *layout)
{
	if (layout)
		record_deinit(&record_layout, layout);
	free(layout);
	return NULL;
}

const struct layout_disk *layout_disk(const struct layout *layout, const char *name)
{
	FOR_EACH_DISK(disk, layout)
		if (streq(disk->name, name))
			return disk;
	return NULL;
}

bool layout_is_partition(const struct layout_disk *disk)
{
	return starts_with(disk->path, LAYOUT_BY_PARTLABEL) ||
	       starts_with(disk->path, LAYOUT_BY_PARTUUID);
}

const struct layout_dataset *layout_root(const struct layout *layout)
{
	const struct layout_dataset *datasets = layout->pool.datasets.items;

	for (size_t i = 0; i < layout->pool.datasets.n_items; i++)
		if (streq(datasets[i].mountpoint, "/"))
			return &datasets[i];
	return NULL;
}

enum vdev_kind layout_vdev_kind(const struct layout_vdev *vdev)
{
	for (enum vdev_kind kind = 0; kind < VDEV_KIND_MAX; kind++)
		if (vdev->disks[kind].n_items)
			return kind;
	return VDEV_MIRROR;
}

const struct strv *layout_vdev_disks(const struct layout_vdev *vdev)
{
	return &vdev->disks[layout_vdev_kind(vdev)];
}

const struct layout_pool *layout_next_pool(const struct layout *layout,
					   const struct layout_pool *pool)
{
	const struct layout_pool *further = layout->pools.items;
	size_t next = pool == &layout->pool ? 0 : (size_t)(pool - further) + 1;

	return next < layout->pools.n_items ? &further[next] : NULL;
}

static const struct layout_vdev *find_vdev(const struct layout_pool *pool, const char *disk)
{
	const struct layout_vdev *vdevs = pool->vdevs.items;

	for (size_t i = 0; i < pool->vdevs.n_items; i++)
		for (enum vdev_kind kind = 0; kind < VDEV_KIND_MAX; kind++)
			if (strv_has(&vdevs[i].disks[kind], disk))
				return &vdevs[i];
	return NULL;
}

const struct layout_pool *layout_pool_of(const struct layout *layout, const char *disk,
					 const struct layout_vdev **ret)
{
	FOR_EACH_POOL(pool, layout)
	{
		const struct layout_vdev *vdev = find_vdev(pool, disk);

		if (!vdev)
			continue;
		if (ret)
			*ret = vdev;
		return pool;
	}
	return NULL;
}

const struct layout_pool *layout_pool_named(const struct layout *layout, const char *name)
{
	FOR_EACH_POOL(pool, layout)
		if (streq(pool->name, name))
			return pool;
	return NULL;
}

bool layout_has_luks(const struct layout *layout, const struct layout_pool *pool)
{
	return pool == &layout->pool && layout->encryption.unlock != UNLOCK_NATIVE;
}

bool layout_mounts(const struct layout_dataset *dataset)
{
	const char *canmount = pair_get(&dataset->properties, "canmount");

	return !canmount || streq(canmount, "on");
}

static const struct layout_dataset *find_dataset(const struct layout_pool *pool, const char *name)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		if (streq(dataset->name, name))
			return dataset;
	return NULL;
}

char *layout_mountpoint(const struct layout_pool *pool, const struct layout_dataset *dataset)
{
	_cleanup_free_ char *at = str_dup(dataset->name);
	const struct layout_dataset *giver = dataset;

	while (giver && !giver->mountpoint) {
		char *slash = strrchr(at, '/');

		if (!slash)
			return NULL;
		*slash = '\0';
		giver = find_dataset(pool, at);
	}
	if (!giver || *giver->mountpoint != '/')
		return NULL;
	if (giver == dataset)
		return str_dup(dataset->mountpoint);
	return str_printf("%s%s", streq(giver->mountpoint, "/") ? "" : giver->mountpoint,
			  dataset->name + strlen(at));
}

bool layout_is_member(const struct layout *layout, const char *disk)
{
	return find_vdev(&layout->pool, disk);
}

const struct list *layout_properties(const struct layout *layout, const char *dataset)
{
	FOR_EACH_POOL(pool, layout)
	{
		const char *rest = starts_with(dataset, pool->name);

		if (rest && !*rest)
			return &pool->filesystem_properties;
		if (!rest || *rest != '/')
			continue;
		FOR_EACH_ITEM(struct layout_dataset, own, &pool->datasets)
			if (streq(own->name, rest + 1))
				return &own->properties;
	}
	return NULL;
}

bool layout_wants_passphrase(const struct list *properties)
{
	const char *encryption = pair_get(properties, "encryption");
	const char *location = pair_get(properties, "keylocation");

	return encryption && !streq(encryption, "off") &&
	       streq(pair_get(properties, "keyformat"), "passphrase") &&
	       (!location || streq(location, "prompt"));
}

bool layout_boots_uefi(const struct layout *layout)
{
	return layout->firmware != FIRMWARE_BIOS;
}

bool layout_boots_bios(const struct layout *layout)
{
	return layout->firmware != FIRMWARE_UEFI;
}

/*
 * Below 2.2.7 OpenZFS has lost data on larger sectors (zfs#14533, zfs#16631), and bookworm's is 2.1:
 * they are for a suite that is known to have a later one, or for whoever wrote them down.
 */
uint64_t layout_sector_size(const struct layout *layout)
{
	const char *suite = layout->system.suite;

	if (layout->encryption.sector_size)
		return layout->encryption.sector_size;
	return suite && !streq(suite, "bookworm") ? 4096 : 512;
}

uint64_t layout_key_size(const struct layout *layout)
{
	const struct layout_encryption *e = &layout->encryption;

	if (e->key_device_size)
		return e->key_device_size;
	return e->unlock == UNLOCK_KEYSTORE ? LAYOUT_KEY_SIZE : 0;
}

bool layout_has_system(const struct layout *layout)
{
	return layout->system.suite || layout->system.tarball;
}

bool layout_is_swap(const struct layout *layout, const struct layout_pool *pool,
		    const struct layout_volume *volume)
{
	return pool == &layout->pool && layout->swap.on == SWAP_VOLUME &&
	       streq(volume->name, LAYOUT_SWAP_VOLUME);
}

void layout_drop_source(struct layout *layout)
{
	if (layout->system.suite)
		layout->encryption.sector_size = layout_sector_size(layout);
	str_set(&layout->system.suite, NULL);
	str_set(&layout->system.tarball, NULL);
}

int layout_rejoin(const struct layout *layout, uint64_t *ret)
{
	const char *text = layout->boot.rejoin;
	uint64_t seconds = LAYOUT_ALWAYS;

	if (!streq(text, "always") && (str_to_u64(text, &seconds) || seconds > LAYOUT_ALWAYS))
		return -EINVAL;
	*ret = seconds;
	return 0;
}

static bool is_xkb_name(const char *s)
{
	return *s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			       "0123456789_-") == strlen(s);
}

int layout_keyboard(const struct layout *layout, char **ret_layout, char **ret_variant)
{
	_cleanup_free_ char *name = str_dup(layout->system.keyboard);
	char *variant = strchr(name, '('), *end = NULL;

	if (variant) {
		*variant++ = '\0';
		end = strchr(variant, ')');
		if (!end || end[1])
			return -EINVAL;
		*end = '\0';
	}
	if (!is_xkb_name(name) || (variant && !is_xkb_name(variant)))
		return -EINVAL;
	*ret_layout = str_dup(name);
	*ret_variant = str_dup(variant ?: "");
	return 0;
}
