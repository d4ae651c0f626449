/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <time.h>

#include "apply/internal.h"

char *device_disk(const struct apply_context *cxt, const char *disk)
{
	const struct layout_disk *want = layout_disk(cxt->layout, disk);

	return want ? realpath(want->path, NULL) : NULL;
}

int device_wait(const char *node)
{
	for (int i = 0; i < 100; i++) {
		_cleanup_close_ int fd = open(node, O_RDONLY | O_CLOEXEC);

		if (fd >= 0)
			return 0;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	}
	return -ETIMEDOUT;
}

static bool look_for(const char *disk_node, enum role role, const char *disk, char **ret_node,
		     char **ret_name)
{
	struct observed_disk have = {};
	struct observed_partition *partition;
	bool found = false;

	if (observe_disk(disk_node, &have, NULL) == 0) {
		partition = find_partition(&have, role, disk);
		found = partition && partition->path;
		if (found) {
			*ret_node = take_ptr(partition->path);
			*ret_name = take_ptr(partition->name);
		}
	}
	record_deinit(&record_observed_disk, &have);
	return found;
}

int device_partition(const struct apply_context *cxt, const char *disk, enum role role,
		     char **ret_node, char **ret_name)
{
	_cleanup_free_ char *disk_node = device_disk(cxt, disk);

	for (int i = 0; disk_node && i < 50; i++) {
		if (look_for(disk_node, role, disk, ret_node, ret_name))
			return device_wait(*ret_node);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	}
	return diag_error(cxt->diag, -ENODEV, "disk '%s' has no partition for the %s", disk,
			  roles[role].title);
}
