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

/* What is asked of a partition; each is the caller's to free. */
struct found {
	char *node, *name, *uuid;
};

static bool look_for(const char *disk_node, enum role role, const char *disk, struct found *ret)
{
	struct observed_disk have = {};
	struct observed_partition *partition;
	bool found = false;

	if (observe_disk(disk_node, &have, NULL) == 0) {
		partition = find_partition(&have, role, disk);
		found = partition && partition->path;
		if (found)
			*ret = (struct found){ take_ptr(partition->path),
					       take_ptr(partition->name),
					       take_ptr(partition->uuid) };
	}
	record_deinit(&record_observed_disk, &have);
	return found;
}

static int find(const struct apply_context *cxt, const char *disk, enum role role,
		struct found *ret)
{
	_cleanup_free_ char *disk_node = device_disk(cxt, disk);

	for (int i = 0; disk_node && i < 50; i++) {
		if (look_for(disk_node, role, disk, ret))
			return device_wait(ret->node);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	}
	return diag_error(cxt->diag, -ENODEV, "disk '%s' has no partition for the %s", disk,
			  roles[role].title);
}

int device_partition(const struct apply_context *cxt, const char *disk, enum role role,
		     char **ret_node, char **ret_name)
{
	struct found found = {};
	int r = find(cxt, disk, role, &found);

	*ret_node = found.node;
	*ret_name = found.name;
	free(found.uuid);
	return r;
}

int device_new_partition(const struct apply_context *cxt, const char *disk, enum role role,
			 const char *settled, char **ret_node)
{
	_cleanup_free_ char *node = NULL, *name = NULL;
	int r = device_partition(cxt, disk, role, &node, &name);

	if (r)
		return r;
	if (streq(name, settled))
		return diag_error(cxt->diag, -EEXIST, "%s is not new any more", node);
	*ret_node = take_ptr(node);
	return 0;
}

int device_stable(const struct apply_context *cxt, const char *disk, enum role role,
		  char **ret_node)
{
	_cleanup_free_ char *uuid = NULL;
	struct found found = {};
	int r = find(cxt, disk, role, &found);

	if (r == 0) {
		uuid = str_lower(found.uuid);
		*ret_node = str_printf("/dev/disk/by-partuuid/%s", uuid);
		r = device_wait(*ret_node);
		if (r)
			(void)diag_error(cxt->diag, r, "%s did not appear", *ret_node);
	}
	free(found.node);
	free(found.name);
	free(found.uuid);
	return r;
}

int device_settle(struct apply_context *cxt)
{
	return run_words(cxt->run, cxt->diag, "udevadm", "settle", NULL);
}
