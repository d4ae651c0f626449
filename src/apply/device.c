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
	char *node, *uuid;
	bool is_new;
};

/* One that is a disk itself has no mark yet when it is blank. */
static bool is_unmarked(const struct observed_disk *disk)
{
	return disk->on && disk->partitions.n_items && !disk->unreadable &&
	       partition_is_blank(disk->partitions.items);
}

static bool look_for(const struct apply_context *cxt, const char *disk_node, enum role role,
		     const char *disk, struct found *ret)
{
	struct observed_disk have = {};
	struct observed_partition *partition = NULL;
	bool unmarked = false;

	if (observe_as_disk(disk_node, &have, NULL) == 0) {
		unmarked = role_wanted(cxt->layout, disk, role) && is_unmarked(&have);
		partition = unmarked ? have.partitions.items :
				       find_partition(cxt->layout, &have, role, disk);
	}
	if (partition && partition->path)
		*ret = (struct found){ take_ptr(partition->path), take_ptr(partition->uuid),
				       unmarked || partition_is_new(partition) };
	record_deinit(&record_observed_disk, &have);
	return ret->node;
}

/* While somebody writes the table of its disk, a partition is not there for a moment. */
static int look(const struct apply_context *cxt, const char *disk, enum role role, int tries,
		struct found *ret)
{
	_cleanup_free_ char *disk_node = device_disk(cxt, disk);

	for (int i = 0; disk_node && i < tries; i++) {
		if (look_for(cxt, disk_node, role, disk, ret))
			return device_wait(ret->node);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	}
	return -ENODEV;
}

static int find(const struct apply_context *cxt, const char *disk, enum role role,
		struct found *ret)
{
	int r = look(cxt, disk, role, 50, ret);

	return r ? diag_error(cxt->diag, r, "disk '%s' has no %s", disk, roles[role].title) : 0;
}

bool device_has_partition(const struct apply_context *cxt, const char *disk, enum role role,
			  char **ret_node, bool *ret_new)
{
	struct found found = {};
	bool has = look(cxt, disk, role, 5, &found) == 0;

	*ret_node = found.node;
	*ret_new = found.is_new;
	free(found.uuid);
	return has;
}

int device_partition(const struct apply_context *cxt, const char *disk, enum role role,
		     char **ret_node, bool *ret_new)
{
	struct found found = {};
	int r = find(cxt, disk, role, &found);

	*ret_node = found.node;
	if (ret_new)
		*ret_new = found.is_new;
	free(found.uuid);
	return r;
}

int device_new_partition(const struct apply_context *cxt, const char *disk, enum role role,
			 char **ret_node)
{
	_cleanup_free_ char *node = NULL;
	bool is_new;
	int r = device_partition(cxt, disk, role, &node, &is_new);

	if (r)
		return r;
	if (!is_new)
		return diag_error(cxt->diag, -EEXIST, "%s is not new any more", node);
	*ret_node = take_ptr(node);
	return 0;
}

int device_stable(const struct apply_context *cxt, const char *disk, enum role role,
		  char **ret_node, bool *ret_new)
{
	_cleanup_free_ char *uuid = NULL, *target = NULL;
	struct found found = {};
	int r = find(cxt, disk, role, &found);

	if (r == 0) {
		uuid = str_lower(found.uuid);
		*ret_node = str_printf("/dev/disk/by-partuuid/%s", uuid);
		r = device_wait(*ret_node);
		if (r)
			(void)diag_error(cxt->diag, r, "%s did not appear", *ret_node);
	}
	if (r == 0) {
		target = realpath(*ret_node, NULL);
		if (!streq(target, found.node)) {
			r = diag_error(cxt->diag, -ENOTUNIQ, "%s leads to %s, not to %s: another "
				       "partition has the same UUID", *ret_node,
				       target ? target : "nothing", found.node);
			diag_hint(cxt->diag, "pull the disk that this one was copied from or to, or "
				  "give it UUIDs of its own (sgdisk --randomize-guids)");
		}
	}
	if (ret_new)
		*ret_new = found.is_new;
	free(found.node);
	free(found.uuid);
	return r;
}

int device_settle(struct apply_context *cxt)
{
	return run_words(cxt->run, cxt->diag, "udevadm", "settle", NULL);
}
