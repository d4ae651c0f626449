/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/layout.h"

#include "base/file.h"
#include "layout/check.h"


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
	for (size_t i = 0; i < copy->volumes.n_items && copy->swap.on == SWAP_VOLUME; i++) {
		struct layout_volume *volumes = copy->volumes.items;

		if (!streq(volumes[i].name, LAYOUT_SWAP_VOLUME))
			continue;
		record_deinit(&record_layout_volume, &volumes[i]);
		memmove(&volumes[i], &volumes[i + 1],
			(--copy->volumes.n_items - i) * sizeof(*volumes));
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

const struct layout_dataset *layout_root(const struct layout *layout)
{
	const struct layout_dataset *datasets = layout->datasets.items;

	for (size_t i = 0; i < layout->datasets.n_items; i++)
		if (streq(datasets[i].mountpoint, "/"))
			return &datasets[i];
	return NULL;
}

bool layout_is_member(const struct layout *layout, const char *disk)
{
	const struct layout_vdev *vdevs = layout->pool.vdevs.items;

	for (size_t i = 0; i < layout->pool.vdevs.n_items; i++)
		if (strv_has(&vdevs[i].mirror, disk))
			return true;
	return false;
}

bool layout_boots_uefi(const struct layout *layout)
{
	return layout->firmware != FIRMWARE_BIOS;
}

bool layout_boots_bios(const struct layout *layout)
{
	return layout->firmware != FIRMWARE_UEFI;
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

int layout_rejoin(const struct layout *layout, uint64_t *ret)
{
	const char *text = layout->boot.rejoin;
	uint64_t seconds = LAYOUT_ALWAYS;

	if (!streq(text, "always") && (str_to_u64(text, &seconds) || seconds > LAYOUT_ALWAYS))
		return -EINVAL;
	*ret = seconds;
	return 0;
}
