/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Whole disks and their partition tables. */

#include <blkid.h>
#include <fcntl.h>
#include <libfdisk.h>
#include <time.h>

#include "apply/internal.h"

static void probe_freep(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}

/*
 * Nobody has it, and nobody takes it meanwhile. The step for another partition of the disk looks whether
 * somebody has the disk, and so has it for a moment itself.
 */
static int open_alone(const char *node)
{
	int fd;

	for (int i = 0; (fd = open(node, O_RDWR | O_EXCL | O_CLOEXEC)) < 0 && errno == EBUSY && i < 20; i++)
		(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	return fd;
}

/* Every signature of one device: superblocks and partition tables, backups included. */
static int wipe_signatures(const char *node, struct diag *diag)
{
	_cleanup_close_ int fd = open_alone(node);
	_cleanup_(probe_freep) blkid_probe probe = NULL;

	if (fd < 0)
		return diag_error(diag, -errno, "cannot open %s for writing: %m", node);
	probe = blkid_new_probe();
	if (!probe || blkid_probe_set_device(probe, fd, 0, 0) < 0)
		return diag_error(diag, -EIO, "cannot read %s", node);
	(void)blkid_probe_enable_superblocks(probe, 1);
	(void)blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_MAGIC | BLKID_SUBLKS_TYPE |
							       BLKID_SUBLKS_BADCSUM);
	(void)blkid_probe_enable_partitions(probe, 1);
	(void)blkid_probe_set_partitions_flags(probe, BLKID_PARTS_MAGIC | BLKID_PARTS_FORCE_GPT);
	while (blkid_do_probe(probe) == 0)
		if (blkid_do_wipe(probe, /* dryrun= */ 0) < 0)
			return diag_error(diag, -EIO, "cannot write to %s", node);
	if (fsync(fd) < 0)
		return diag_error(diag, -errno, "cannot write to %s: %m", node);
	return 0;
}

/* The node of the disk, which is the one that was planned with, and consented to. */
static int same_node(struct apply_context *cxt, const struct step *step, char **ret)
{
	_cleanup_free_ char *node = device_disk(cxt, step->disk);

	if (!node)
		return diag_error(cxt->diag, -ENODEV, "disk '%s' is gone", step->disk);
	if (!streq(node, step->object))
		return diag_error(cxt->diag, -EBUSY, "disk '%s' is %s now, and was %s when it was "
				  "planned with", step->disk, node, step->object);
	*ret = take_ptr(node);
	return 0;
}

/*
 * Of a partition its own signatures, and nothing else of its disk. Partitions first, then the disk:
 * interrupted, the disk still shows its table, and so is still known to carry something.
 */
int apply_WIPE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = NULL;
	struct observed_disk have = {};
	int r = same_node(cxt, step, &node);

	if (r)
		return r;
	r = observe_as_disk(node, &have, cxt->diag);
	FOR_EACH_ITEM(struct observed_partition, partition, &have.partitions)
		if (r == 0 && partition->path)
			r = wipe_signatures(partition->path, cxt->diag);
	if (r == 0)
		r = wipe_signatures(node, cxt->diag);
	record_deinit(&record_observed_disk, &have);
	return r;
}

static void fdisk_freep(struct fdisk_context **fdisk)
{
	fdisk_unref_context(*fdisk);
}

static int random_marked_uuid(const char *set_id, char ret[static 37])
{
	uuid_t uuid;

	uuid_generate_random(uuid);
	name_mark_uuid(set_id, uuid);
	uuid_unparse_upper(uuid, ret);
	return 0;
}

/* Disks of a vdev are partitioned alike: the smallest one rules. */
static uint64_t smallest_disk(const struct apply_context *cxt, const char *disk)
{
	const struct layout_vdev *vdev = NULL;
	uint64_t smallest = UINT64_MAX;

	(void)layout_pool_of(cxt->layout, disk, &vdev);
	FOR_EACH_DISK(want, cxt->layout)
	{
		_cleanup_free_ char *node = device_disk(cxt, want->name);
		_cleanup_free_ char *sectors =
			node ? sys_read("/sys/class/block/%s/size", strrchr(node, '/') + 1) : NULL;
		uint64_t n;

		if (strv_has(layout_vdev_disks(vdev), want->name) && sectors &&
		    str_to_u64(sectors, &n) == 0)
			smallest = MIN_OF(smallest, n * 512);
	}
	return smallest;
}

static int add_partition(struct apply_context *cxt, struct fdisk_context *fdisk, enum role role,
			 const char *disk, uint64_t *at, uint64_t size)
{
	struct fdisk_partition *partition = fdisk_new_partition();
	struct fdisk_parttype *type = fdisk_label_parse_parttype(
		fdisk_get_label(fdisk, NULL), roles[role].type);
	_cleanup_free_ char *name = name_partition_new(role, disk);
	uint64_t sector = fdisk_get_sector_size(fdisk);
	char uuid[37];
	int r;

	(void)random_marked_uuid(cxt->layout->id, uuid);
	(void)fdisk_partition_set_name(partition, name);
	(void)fdisk_partition_set_uuid(partition, uuid);
	(void)fdisk_partition_set_type(partition, type);
	(void)fdisk_partition_partno_follow_default(partition, 1);
	(void)fdisk_partition_set_start(partition, *at / sector);
	(void)fdisk_partition_set_size(partition, size / sector);
	r = fdisk_add_partition(fdisk, partition, NULL);
	fdisk_unref_parttype(type);
	fdisk_unref_partition(partition);
	*at += size;
	return r;
}

static int fill_table(struct apply_context *cxt, struct fdisk_context *fdisk, const char *disk)
{
	/* A MiB in front for alignment, and one behind that holds the backup table. */
	uint64_t at = MIB, end = (smallest_disk(cxt, disk) / MIB - 1) * MIB;
	char uuid[37];
	int r;

	(void)random_marked_uuid(cxt->layout->id, uuid);
	r = fdisk_create_disklabel(fdisk, "gpt");
	if (r == 0)
		r = fdisk_set_disklabel_id_from_string(fdisk, uuid);
	for (enum role role = 0; r == 0 && role < ROLE_MAX; role++) {
		uint64_t size = role_size(cxt->layout, role);

		if (role_wanted(cxt->layout, disk, role))
			r = add_partition(cxt, fdisk, role, disk, &at,
					  size ? (size + MIB - 1) / MIB * MIB : end - at);
	}
	return r;
}

/* udev looks at partitions as they come and go, and while it does the kernel says busy. */
static int reread_table(struct fdisk_context *fdisk)
{
	int r = -EBUSY;

	for (int i = 0; r == -EBUSY && i < 100; i++) {
		if (i)
			(void)nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
		r = fdisk_reread_partition_table(fdisk);
	}
	return r;
}

/*
 * libfdisk writes the backup first and the protective MBR last: interrupted, the disk is blank
 * to everybody, or carries the whole table with every partition marked new.
 */
int apply_TABLE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = NULL;
	_cleanup_(fdisk_freep) struct fdisk_context *fdisk = fdisk_new_context();
	_cleanup_close_ int fd = -1;
	int r = same_node(cxt, step, &node);

	if (r)
		return r;
	/* libfdisk by itself would write to a disk that somebody took since it was observed. */
	fd = open(node, O_RDWR | O_EXCL | O_CLOEXEC);
	if (fd < 0)
		return diag_error(cxt->diag, -errno, "cannot open %s for writing: %m", node);
	(void)fdisk_disable_dialogs(fdisk, 1);
	r = fdisk_assign_device_by_fd(fdisk, fd, node, /* readonly= */ 0);
	if (r == 0)
		r = fill_table(cxt, fdisk, step->disk);
	if (r == 0)
		r = fdisk_write_disklabel(fdisk);
	if (r == 0)
		r = reread_table(fdisk);
	if (r == 0)
		r = fdisk_deassign_device(fdisk, /* nosync= */ 0);
	if (r)
		return diag_error(cxt->diag, r, "cannot partition %s: %s", node, strerror(-r));
	return 0;
}

static int write_name(const char *disk_node, uint64_t number, const char *name)
{
	_cleanup_(fdisk_freep) struct fdisk_context *fdisk = fdisk_new_context();
	struct fdisk_partition *change = fdisk_new_partition();
	int r;

	(void)fdisk_disable_dialogs(fdisk, 1);
	r = fdisk_assign_device(fdisk, disk_node, /* readonly= */ 0);
	(void)fdisk_partition_set_name(change, name);
	if (r == 0)
		r = fdisk_set_partition(fdisk, number - 1, change);
	if (r == 0)
		r = fdisk_write_disklabel(fdisk);
	if (r == 0)
		r = fdisk_deassign_device(fdisk, /* nosync= */ 0);
	fdisk_unref_partition(change);
	return r;
}

static int rename_partition(struct apply_context *cxt, const char *disk_node, uint64_t number,
			    const char *name)
{
	int r = write_name(disk_node, number, name);

	return r ? diag_error(cxt->diag, r, "cannot write the partition table of %s: %s",
			      disk_node, strerror(-r)) : 0;
}

static int no_partition(struct apply_context *cxt, const char *disk, const char *name)
{
	return diag_error(cxt->diag, -ENODEV, "disk '%s' does not show the partition any more that is to "
			  "be '%s'", disk, name);
}

int partition_rename(struct apply_context *cxt, const char *disk, enum role role,
		     const char *name)
{
	_cleanup_free_ char *node = device_disk(cxt, disk);
	struct observed_partition *partition;
	struct observed_disk have = {};
	int r;

	if (!node)
		return diag_error(cxt->diag, -ENODEV, "disk '%s' is gone", disk);
	r = observe_disk(node, &have, cxt->diag);
	partition = r ? NULL : find_partition(cxt->layout, &have, role, disk);
	if (r == 0)
		r = partition ? rename_partition(cxt, node, partition->number, name) :
				no_partition(cxt, disk, name);
	record_deinit(&record_observed_disk, &have);
	return r;
}

static const char *not_whole(struct apply_context *cxt,
			     const struct observed_partition *partition, enum role role)
{
	if (roles[role].has_array)
		return array_not_whole(cxt, partition, role);
	if (role == ROLE_ESP && (!streq(partition->content, "vfat") || !partition->esp.readable))
		return "its FAT file system cannot be read back";
	if (role == ROLE_MEMBER && partition->luks.state != LUKS_WHOLE)
		return "its LUKS header cannot be read back";
	if (role == ROLE_MEMBER && partition->luks.n_keyslots == 0)
		return "its LUKS header has no key slot";
	if (role == ROLE_DATA && !streq(partition->content, "zfs_member"))
		return "no pool can be read back from it";
	return NULL;
}

/* The commit point of a partition: a new name in the GPT, both copies of which are written. */
int apply_SETTLE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = device_disk(cxt, step->disk);
	struct observed_disk have = {};
	bool found = false;
	int r = 0;

	if (!node)
		return diag_error(cxt->diag, -ENODEV, "disk '%s' is gone", step->disk);
	if (observe_disk(node, &have, cxt->diag))
		return -EIO;
	for (enum role role = 0; role < ROLE_MAX; role++) {
		struct observed_partition *partition = find_partition(cxt->layout, &have, role, step->disk);
		_cleanup_free_ char *name = name_partition(role, step->disk);
		const char *fault;

		if (!partition || !streq(name, step->object))
			continue;
		found = true;
		fault = not_whole(cxt, partition, role);
		r = fault ? diag_error(cxt->diag, -EIO, "disk '%s': %s", step->disk, fault) :
			    rename_partition(cxt, node, partition->number, name);
	}
	record_deinit(&record_observed_disk, &have);
	return found ? r : no_partition(cxt, step->disk, step->object);
}
