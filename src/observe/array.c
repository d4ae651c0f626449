/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* md arrays, by what the kernel says of them under /sys; which one it is says a part of it. */

#include "observe/observe.h"

static uint64_t md_number(const char *md, const char *attribute)
{
	_cleanup_free_ char *text = sys_read("/sys/block/%s/md/%s", md, attribute);
	uint64_t value = 0;

	if (text)
		(void)str_to_u64(text, &value);
	return value;
}

static bool is_active(const char *md)
{
	_cleanup_free_ char *state = sys_read("/sys/block/%s/md/array_state", md);

	return state && !streq(state, "clear") && !streq(state, "inactive");
}

/* A check reads only; every other action writes what a part lacks. */
bool array_is_syncing(const char *md)
{
	_cleanup_free_ char *action = sys_read("/sys/block/%s/md/sync_action", md);

	return action && !streq(action, "idle") && !streq(action, "check") &&
	       !streq(action, "frozen");
}

static void observe_content(struct observed_array *array)
{
	_cleanup_(content_deinit) struct content content = {};
	_cleanup_free_ char *holder = NULL;

	if (content_probe(array->path, &content) == 0)
		array->content = content.ambiguous ? str_dup("ambiguous") :
						     take_ptr(content.type);
	array->mounted = device_mounted(array->path);
	observe_luks(array->path, &array->luks);
	holder = device_holder(array->path);
	if (array->luks.state != LUKS_NONE && holder)
		array->luks.mapped = device_mapping(holder);
}

static void observe_array(struct observed *observed, const char *md, const char *uuid)
{
	struct observed_array *array = list_add(&observed->arrays, &record_observed_array);

	array->path = str_printf("/dev/%s", md);
	array->uuid = str_dup(uuid);
	array->active = is_active(md);
	array->n_disks = md_number(md, "raid_disks");
	array->n_missing = md_number(md, "degraded");
	array->syncing = array_is_syncing(md);
	if (array->active)
		observe_content(array);
}

static bool is_known(const struct observed *observed, const char *md)
{
	FOR_EACH_ITEM(struct observed_array, array, &observed->arrays)
		if (streq(array->path + strlen("/dev/"), md))
			return true;
	return false;
}

void observe_arrays(struct observed *observed)
{
	FOR_EACH_ITEM(struct observed_disk, disk, &observed->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
			if (partition->array && partition->held &&
			    starts_with(partition->held, "md") &&
			    !is_known(observed, partition->held))
				observe_array(observed, partition->held, partition->array);
}
