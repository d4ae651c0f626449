/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/observed.h"

#include "layout/layout.h"

#define AT(type, member) .offset = offsetof(struct type, member)

static const char *const luks_states[] = { "none", "whole", "primary-damaged",
					   "secondary-damaged", "unreadable", NULL };

static const struct field luks_fields[] = {
	{ "state", FIELD_CHOICE, AT(observed_luks, state), .choices = luks_states },
	{ "uuid", FIELD_STRING, AT(observed_luks, uuid) },
	{ "label", FIELD_STRING, AT(observed_luks, label) },
	{ "subsystem", FIELD_STRING, AT(observed_luks, subsystem) },
	{ "keyslots", FIELD_NUMBER, AT(observed_luks, n_keyslots) },
	{ "generation", FIELD_NUMBER, AT(observed_luks, generation) },
	{ "key-slot", FIELD_NUMBER, AT(observed_luks, key_slot) },
	{ "mapped", FIELD_STRING, AT(observed_luks, mapped) },
	{ "inside", FIELD_STRING, AT(observed_luks, inside) },
	{ "inside-label", FIELD_STRING, AT(observed_luks, inside_label) },
	{ "inside-uuid", FIELD_STRING, AT(observed_luks, inside_uuid) },
};
static const struct record record_observed_luks = RECORD(observed_luks, luks_fields);

static const struct field entry_fields[] = {
	{ "file", FIELD_STRING, AT(observed_entry, file) },
	{ "version", FIELD_STRING, AT(observed_entry, version) },
	{ "hash", FIELD_STRING, AT(observed_entry, hash) },
	{ "options", FIELD_STRING, AT(observed_entry, options) },
	{ "sort-key", FIELD_STRING, AT(observed_entry, sort_key) },
	{ "counting", FIELD_BOOL, AT(observed_entry, counting) },
};
const struct record record_observed_entry = RECORD(observed_entry, entry_fields);

static const struct field esp_fields[] = {
	{ "readable", FIELD_BOOL, AT(observed_esp, readable) },
	{ "loader", FIELD_STRING, AT(observed_esp, loader) },
	{ "config", FIELD_STRING, AT(observed_esp, config) },
	{ "entries", FIELD_RECORDS, AT(observed_esp, entries),
	  .record = &record_observed_entry },
};
const struct record record_observed_esp = RECORD(observed_esp, esp_fields);

static const struct field partition_fields[] = {
	{ "number", FIELD_NUMBER, AT(observed_partition, number) },
	{ "path", FIELD_STRING, AT(observed_partition, path) },
	{ "name", FIELD_STRING, AT(observed_partition, name) },
	{ "uuid", FIELD_STRING, AT(observed_partition, uuid) },
	{ "type", FIELD_STRING, AT(observed_partition, type) },
	{ "start", FIELD_SIZE, AT(observed_partition, start) },
	{ "size", FIELD_SIZE, AT(observed_partition, size) },
	{ "bare", FIELD_BOOL, AT(observed_partition, bare) },
	{ "unreadable", FIELD_BOOL, AT(observed_partition, unreadable) },
	{ "content", FIELD_STRING, AT(observed_partition, content) },
	{ "label", FIELD_STRING, AT(observed_partition, label) },
	{ "pool", FIELD_STRING, AT(observed_partition, pool) },
	{ "table", FIELD_STRING, AT(observed_partition, table) },
	{ "mounted", FIELD_STRING, AT(observed_partition, mounted) },
	{ "held", FIELD_STRING, AT(observed_partition, held) },
	{ "array", FIELD_STRING, AT(observed_partition, array) },
	{ "grub", FIELD_STRING, AT(observed_partition, grub) },
	{ "luks", FIELD_RECORD, AT(observed_partition, luks), .record = &record_observed_luks },
	{ "esp", FIELD_RECORD, AT(observed_partition, esp), .record = &record_observed_esp },
};
const struct record record_observed_partition = RECORD(observed_partition, partition_fields);

static const struct field array_fields[] = {
	{ "path", FIELD_STRING, AT(observed_array, path) },
	{ "uuid", FIELD_STRING, AT(observed_array, uuid) },
	{ "active", FIELD_BOOL, AT(observed_array, active) },
	{ "disks", FIELD_NUMBER, AT(observed_array, n_disks) },
	{ "missing", FIELD_NUMBER, AT(observed_array, n_missing) },
	{ "syncing", FIELD_BOOL, AT(observed_array, syncing) },
	{ "content", FIELD_STRING, AT(observed_array, content) },
	{ "mounted", FIELD_STRING, AT(observed_array, mounted) },
	{ "luks", FIELD_RECORD, AT(observed_array, luks), .record = &record_observed_luks },
};
const struct record record_observed_array = RECORD(observed_array, array_fields);

static const struct field disk_fields[] = {
	{ "path", FIELD_STRING, AT(observed_disk, path) },
	{ "on", FIELD_STRING, AT(observed_disk, on) },
	{ "names", FIELD_STRINGS, AT(observed_disk, names) },
	{ "model", FIELD_STRING, AT(observed_disk, model) },
	{ "serial", FIELD_STRING, AT(observed_disk, serial) },
	{ "size", FIELD_SIZE, AT(observed_disk, size) },
	{ "sector-size", FIELD_NUMBER, AT(observed_disk, sector_size) },
	{ "physical-sector-size", FIELD_NUMBER, AT(observed_disk, physical_sector_size) },
	{ "read-only", FIELD_BOOL, AT(observed_disk, read_only) },
	{ "removable", FIELD_BOOL, AT(observed_disk, removable) },
	{ "unreadable", FIELD_BOOL, AT(observed_disk, unreadable) },
	{ "ambiguous", FIELD_BOOL, AT(observed_disk, ambiguous) },
	{ "content", FIELD_STRING, AT(observed_disk, content) },
	{ "label", FIELD_STRING, AT(observed_disk, label) },
	{ "table", FIELD_STRING, AT(observed_disk, table) },
	{ "table-uuid", FIELD_STRING, AT(observed_disk, table_uuid) },
	{ "table-fault", FIELD_STRING, AT(observed_disk, table_fault) },
	{ "mounted", FIELD_STRING, AT(observed_disk, mounted) },
	{ "held", FIELD_STRING, AT(observed_disk, held) },
	{ "partitions", FIELD_RECORDS, AT(observed_disk, partitions),
	  .record = &record_observed_partition },
};
const struct record record_observed_disk = RECORD(observed_disk, disk_fields);

static const struct field dataset_fields[] = {
	{ "name", FIELD_STRING, AT(observed_dataset, name) },
	{ "type", FIELD_STRING, AT(observed_dataset, type) },
	{ "mounted", FIELD_STRING, AT(observed_dataset, mounted) },
	{ "encryption-root", FIELD_STRING, AT(observed_dataset, encryption_root) },
	{ "locked", FIELD_BOOL, AT(observed_dataset, locked) },
	{ "origin", FIELD_STRING, AT(observed_dataset, origin) },
	{ "created", FIELD_NUMBER, AT(observed_dataset, created) },
	{ "used", FIELD_NUMBER, AT(observed_dataset, used) },
	{ "properties", FIELD_RECORDS, AT(observed_dataset, properties), FIELD_PAIRS,
	  .record = &record_pair },
};
const struct record record_observed_dataset = RECORD(observed_dataset, dataset_fields);

static const struct field pool_fields[] = {
	{ "name", FIELD_STRING, AT(observed_pool, name) },
	{ "guid", FIELD_STRING, AT(observed_pool, guid) },
	{ "health", FIELD_STRING, AT(observed_pool, health) },
	{ "altroot", FIELD_STRING, AT(observed_pool, altroot) },
	{ "devices", FIELD_STRINGS, AT(observed_pool, devices) },
	{ "properties", FIELD_RECORDS, AT(observed_pool, properties), FIELD_PAIRS,
	  .record = &record_pair },
	{ "datasets", FIELD_RECORDS, AT(observed_pool, datasets),
	  .record = &record_observed_dataset },
};
const struct record record_observed_pool = RECORD(observed_pool, pool_fields);

static const struct field kernel_fields[] = {
	{ "version", FIELD_STRING, AT(observed_kernel, version) },
	{ "hash", FIELD_STRING, AT(observed_kernel, hash) },
	{ "has-zfs", FIELD_BOOL, AT(observed_kernel, has_zfs) },
	{ "size", FIELD_NUMBER, AT(observed_kernel, size) },
};
const struct record record_observed_kernel = RECORD(observed_kernel, kernel_fields);

static const struct field stored_fields[] = {
	{ "name", FIELD_STRING, AT(observed_stored, name) },
	{ "options", FIELD_STRING, AT(observed_stored, options) },
	{ "kernels", FIELD_RECORDS, AT(observed_stored, kernels),
	  .record = &record_observed_kernel },
};
const struct record record_observed_stored = RECORD(observed_stored, stored_fields);

static const struct field file_fields[] = {
	{ "path", FIELD_STRING, AT(observed_file, path) },
	{ "text", FIELD_STRING, AT(observed_file, text) },
};
const struct record record_observed_file = RECORD(observed_file, file_fields);

static const struct field grub_fields[] = {
	{ "folder", FIELD_STRING, AT(observed_grub, folder) },
	{ "core", FIELD_STRING, AT(observed_grub, core) },
};
const struct record record_observed_grub = RECORD(observed_grub, grub_fields);

static const struct field system_fields[] = {
	{ "root", FIELD_STRING, AT(observed_system, root) },
	{ "running", FIELD_STRING, AT(observed_system, running) },
	{ "started-by", FIELD_STRING, AT(observed_system, started_by) },
	{ "boot-id", FIELD_STRING, AT(observed_system, boot_id) },
	{ "loader", FIELD_STRING, AT(observed_system, loader) },
	{ "grub", FIELD_STRING, AT(observed_system, grub) },
	{ "grub-core", FIELD_STRING, AT(observed_system, grub_core) },
	{ "grub-others", FIELD_RECORDS, AT(observed_system, grub_others),
	  .record = &record_observed_grub },
	{ "grub-config", FIELD_STRING, AT(observed_system, grub_config) },
	{ "kernels", FIELD_RECORDS, AT(observed_system, kernels),
	  .record = &record_observed_kernel },
	{ "boot-owner", FIELD_STRING, AT(observed_system, boot_owner) },
	{ "stored", FIELD_RECORDS, AT(observed_system, stored),
	  .record = &record_observed_stored },
	{ "occupied", FIELD_STRINGS, AT(observed_system, occupied) },
	{ "files-known", FIELD_BOOL, AT(observed_system, files_known) },
	{ "files", FIELD_RECORDS, AT(observed_system, files), .record = &record_observed_file },
};
const struct record record_observed_system = RECORD(observed_system, system_fields);

static const struct field observed_fields[] = {
	{ "disks", FIELD_RECORDS, AT(observed, disks), .record = &record_observed_disk },
	{ "arrays", FIELD_RECORDS, AT(observed, arrays), .record = &record_observed_array },
	{ "pools", FIELD_RECORDS, AT(observed, pools), .record = &record_observed_pool },
	{ "system", FIELD_RECORD, AT(observed, system), .record = &record_observed_system },
};
const struct record record_observed = RECORD(observed, observed_fields);

struct observed *observed_free(struct observed *observed)
{
	if (observed)
		record_deinit(&record_observed, observed);
	free(observed);
	return NULL;
}

struct observed *observed_copy(const struct observed *observed)
{
	struct observed *copy = mem_alloc(sizeof(*copy));

	record_copy(&record_observed, copy, observed);
	return copy;
}

struct json_object *observed_to_json(const struct observed *observed)
{
	return record_to_json(&record_observed, observed);
}

int observed_from_json(struct json_object *json, struct observed **ret, struct diag *diag)
{
	_cleanup_(observed_freep) struct observed *observed = mem_alloc(sizeof(*observed));
	int r = record_from_json(&record_observed, observed, json, diag);

	if (r)
		return r;
	*ret = take_ptr(observed);
	return 0;
}

const char *observed_file(const struct observed *observed, const char *path)
{
	FOR_EACH_ITEM(struct observed_file, file, &observed->system.files)
		if (streq(file->path, path))
			return file->text;
	return NULL;
}

static bool is_called(const struct observed_partition *partition, const char *path)
{
	const char *name = starts_with(path, LAYOUT_BY_PARTLABEL);
	const char *uuid = starts_with(path, LAYOUT_BY_PARTUUID);

	return streq(partition->path, path) || (name && streq(partition->name, name)) ||
	       (uuid && partition->uuid && strcasecmp(partition->uuid, uuid) == 0);
}

void observed_as_disk(const struct observed_disk *on, const struct observed_partition *partition,
		      struct observed_disk *ret)
{
	struct observed_partition *only = list_add(&ret->partitions, &record_observed_partition);

	record_copy(&record_observed_partition, only, partition);
	only->bare = true;
	ret->path = str_dup(partition->path);
	ret->on = str_dup(on->path);
	ret->model = str_dup(on->model);
	ret->serial = str_dup(on->serial);
	ret->size = partition->size;
	ret->sector_size = on->sector_size;
	ret->physical_sector_size = on->physical_sector_size;
	ret->read_only = on->read_only;
	ret->removable = on->removable;
	ret->unreadable = on->unreadable || partition->unreadable;
	ret->ambiguous = streq(partition->content, "ambiguous");
	ret->table = str_dup(partition->table);
}

static struct observed_disk *add_as_disk(struct observed *observed, const char *path)
{
	FOR_EACH_ITEM(struct observed_disk, on, &observed->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &on->partitions)
		{
			struct observed_disk disk = {}, *added;

			if (on->on || !partition->path || !is_called(partition, path))
				continue;
			observed_as_disk(on, partition, &disk);
			added = list_add(&observed->disks, &record_observed_disk);
			*added = disk;
			return added;
		}
	return NULL;
}

void observed_name(struct observed *observed, const char *path, const char *name)
{
	struct observed_disk *disk = observed_disk(observed, path);

	if (!disk)
		disk = add_as_disk(observed, path);
	if (disk && !observed_disk(observed, name))
		strv_add(&disk->names, name);
}

struct observed_disk *observed_disk(const struct observed *observed, const char *path)
{
	FOR_EACH_ITEM(struct observed_disk, disk, &observed->disks)
		if (streq(disk->path, path) || strv_has(&disk->names, path))
			return disk;
	return NULL;
}

struct observed_partition *observed_partition(const struct observed_disk *disk,
					      const char *name)
{
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		if (streq(partition->name, name))
			return partition;
	return NULL;
}

struct observed_array *observed_array(const struct observed *observed, const char *uuid)
{
	FOR_EACH_ITEM(struct observed_array, array, &observed->arrays)
		if (streq(array->uuid, uuid))
			return array;
	return NULL;
}

struct observed_pool *observed_pool(const struct observed *observed, const char *name)
{
	FOR_EACH_ITEM(struct observed_pool, pool, &observed->pools)
		if (streq(pool->name, name))
			return pool;
	return NULL;
}

struct observed_dataset *observed_dataset(const struct observed_pool *pool, const char *name)
{
	FOR_EACH_ITEM(struct observed_dataset, dataset, &pool->datasets)
		if (streq(dataset->name, name))
			return dataset;
	return NULL;
}
