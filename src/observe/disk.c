/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Block devices: what they are, who uses them and how they are partitioned. */

#include <dirent.h>
#include <fcntl.h>
#include <libfdisk.h>
#include <libmount.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "observe/observe.h"

#define TYPE_BIOS_BOOT "21686148-6449-6E6F-744E-656564454649"

char *sys_read(const char *format, ...)
{
	_cleanup_free_ char *path = NULL;
	va_list ap;

	va_start(ap, format);
	path = str_vprintf(format, ap);
	va_end(ap);
	return file_read_line(path);
}

static uint64_t sys_number(const char *device, const char *attribute)
{
	_cleanup_free_ char *text = sys_read("/sys/class/block/%s/%s", device, attribute);
	uint64_t value = 0;

	if (text)
		(void)str_to_u64(text, &value);
	return value;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* users */

static void table_freep(struct libmnt_table **table)
{
	mnt_unref_table(*table);
}

/* Where `node` is mounted, or "swap". */
char *device_mounted(const char *node)
{
	_cleanup_(table_freep) struct libmnt_table *mounts =
		mnt_new_table_from_file("/proc/self/mountinfo");
	_cleanup_(table_freep) struct libmnt_table *swaps = mnt_new_table();
	struct libmnt_fs *fs =
		mounts ? mnt_table_find_srcpath(mounts, node, MNT_ITER_BACKWARD) : NULL;

	if (fs)
		return str_dup(mnt_fs_get_target(fs));
	if (swaps && mnt_table_parse_swaps(swaps, NULL) == 0 &&
	    mnt_table_find_srcpath(swaps, node, MNT_ITER_BACKWARD))
		return str_dup("swap");
	return NULL;
}

static char *first_holder(const char *device)
{
	_cleanup_free_ char *path = str_printf("/sys/class/block/%s/holders", device);
	DIR *dir = opendir(path);
	char *holder = NULL;
	struct dirent *entry;

	while (dir && !holder && (entry = readdir(dir)))
		if (*entry->d_name != '.')
			holder = str_dup(entry->d_name);
	if (dir)
		closedir(dir);
	return holder;
}

/* An exclusive open fails for as long as a mount, dm, md, swap or a pool has the device. */
static bool is_claimed(const char *node)
{
	_cleanup_close_ int fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);

	return fd < 0 && errno == EBUSY;
}

char *device_holder(const char *node)
{
	char *holder = first_holder(base_name(node));

	if (!holder && is_claimed(node))
		holder = str_dup("the kernel");
	return holder;
}

/* The /dev/mapper name when `holder` is an open LUKS device. */
char *device_mapping(const char *holder)
{
	_cleanup_free_ char *uuid = sys_read("/sys/class/block/%s/dm/uuid", holder);

	return uuid && starts_with(uuid, "CRYPT-LUKS") ?
		       sys_read("/sys/class/block/%s/dm/name", holder) :
		       NULL;
}

/* partitions */

static void observe_inside(struct observed_luks *luks)
{
	_cleanup_free_ char *node = str_printf("/dev/mapper/%s", luks->mapped);
	_cleanup_(content_deinit) struct content content = {};

	if (content_probe(node, &content))
		return;
	luks->inside = take_ptr(content.type);
	luks->inside_label = take_ptr(content.label);
	luks->inside_uuid = take_ptr(content.uuid);
}

static void observe_partition_content(struct observed_partition *partition)
{
	_cleanup_(content_deinit) struct content content = {};

	partition->unreadable = content_probe(partition->path, &content) != 0;
	if (!partition->unreadable) {
		partition->table = take_ptr(content.table);
		partition->content = content.ambiguous ? str_dup("ambiguous") :
							 take_ptr(content.type);
		partition->label = take_ptr(content.label);
		if (streq(partition->content, "linux_raid_member"))
			partition->array = take_ptr(content.uuid);
		if (streq(partition->content, "zfs_member"))
			partition->pool = take_ptr(content.uuid);
	}
	partition->mounted = device_mounted(partition->path);
	partition->held = device_holder(partition->path);
	observe_luks(partition->path, &partition->luks);
	if (partition->luks.state != LUKS_NONE && partition->held)
		partition->luks.mapped = device_mapping(partition->held);
	if (partition->luks.mapped)
		observe_inside(&partition->luks);
	if (streq(partition->content, "vfat"))
		observe_esp(partition->path, partition->mounted, &partition->esp);
}

/* The node of partition `number`: the kernel says which child of the disk has that number. */
static char *partition_node(const char *disk, uint64_t number)
{
	_cleanup_free_ char *folder = str_printf("/sys/class/block/%s", disk);
	DIR *dir = opendir(folder);
	char *node = NULL;
	struct dirent *entry;

	while (dir && !node && (entry = readdir(dir))) {
		_cleanup_free_ char *text =
			sys_read("%s/%s/partition", folder, entry->d_name);
		uint64_t n;

		if (text && str_to_u64(text, &n) == 0 && n == number)
			node = str_printf("/dev/%s", entry->d_name);
	}
	if (dir)
		closedir(dir);
	return node;
}

static void observe_partition(struct observed_disk *disk, struct fdisk_context *fdisk,
			      struct fdisk_partition *entry)
{
	uint64_t unit = fdisk_get_sector_size(fdisk);
	struct observed_partition *partition;
	struct fdisk_parttype *type = fdisk_partition_get_type(entry);

	if (!fdisk_partition_has_start(entry) || !fdisk_partition_has_size(entry))
		return;
	partition = list_add(&disk->partitions, &record_observed_partition);
	partition->number = fdisk_partition_get_partno(entry) + 1;
	partition->name = str_dup(fdisk_partition_get_name(entry));
	partition->uuid = str_dup(fdisk_partition_get_uuid(entry));
	partition->type = str_dup(type ? fdisk_parttype_get_string(type) : NULL);
	partition->start = fdisk_partition_get_start(entry) * unit;
	partition->size = fdisk_partition_get_size(entry) * unit;
	partition->path = partition_node(base_name(disk->path), partition->number);
	if (partition->path)
		observe_partition_content(partition);
	if (partition->type && strcasecmp(partition->type, TYPE_BIOS_BOOT) == 0)
		partition->grub = observe_grub(disk->path, partition->start);
}

static void fdisk_freep(struct fdisk_context **fdisk)
{
	fdisk_unref_context(*fdisk);
}

/* libfdisk warns when it has to go by one of the two copies. */
static int keep_warning(struct fdisk_context *fdisk, struct fdisk_ask *ask, void *context)
{
	struct observed_disk *disk = context;
	int type = fdisk_ask_get_type(ask);

	(void)fdisk;
	if (type == FDISK_ASKTYPE_WARN || type == FDISK_ASKTYPE_WARNX)
		str_set(&disk->table_fault, fdisk_ask_print_get_mesg(ask));
	return 0;
}

static void observe_table(struct observed_disk *disk)
{
	_cleanup_(fdisk_freep) struct fdisk_context *fdisk = fdisk_new_context();
	struct fdisk_table *table = NULL;
	struct fdisk_partition *entry;
	struct fdisk_iter *iter;
	char *id = NULL;

	(void)fdisk_disable_dialogs(fdisk, 1);
	(void)fdisk_set_ask(fdisk, keep_warning, disk);
	if (fdisk_assign_device(fdisk, disk->path, /* readonly= */ 1) ||
	    !fdisk_is_label(fdisk, GPT))
		return;
	str_set(&disk->table, "gpt");
	if (fdisk_get_disklabel_id(fdisk, &id) == 0)
		str_set(&disk->table_uuid, id);
	free(id);
	iter = fdisk_new_iter(FDISK_ITER_FORWARD);
	if (fdisk_get_partitions(fdisk, &table) == 0)
		while (fdisk_table_next_partition(table, iter, &entry) == 0)
			observe_partition(disk, fdisk, entry);
	fdisk_free_iter(iter);
	fdisk_unref_table(table);
	(void)fdisk_deassign_device(fdisk, /* nosync= */ 1);
}

/* disks */

static char *attribute(const char *device, const char *const *places)
{
	for (; *places; places++) {
		char *text = sys_read("/sys/class/block/%s/%s", device, *places);

		if (!is_empty(text))
			return text;
		free(text);
	}
	return NULL;
}

int observe_disk(const char *node, struct observed_disk *disk, struct diag *diag)
{
	static const char *const models[] = { "device/model", "loop/backing_file", NULL };
	static const char *const serials[] = { "device/serial", "serial", NULL };
	_cleanup_(content_deinit) struct content content = {};
	const char *device = base_name(node);
	int r;

	disk->path = str_dup(node);
	disk->model = attribute(device, models);
	disk->serial = attribute(device, serials);
	disk->size = sys_number(device, "size") * 512;
	disk->sector_size = sys_number(device, "queue/logical_block_size");
	disk->physical_sector_size = sys_number(device, "queue/physical_block_size");
	disk->read_only = sys_number(device, "ro");
	disk->removable = sys_number(device, "removable");
	r = content_probe(node, &content);
	if (r) {
		disk->unreadable = true;
		diag_warning(diag, "cannot read %s: %s", node, strerror(-r));
		return 0;
	}
	disk->ambiguous = content.ambiguous;
	disk->content = take_ptr(content.type);
	disk->label = take_ptr(content.label);
	disk->table = take_ptr(content.table);
	disk->mounted = device_mounted(node);
	observe_table(disk);
	disk->held = disk->partitions.n_items ? first_holder(device) : device_holder(node);
	return 0;
}

char *device_on(const char *node)
{
	const char *device = base_name(node);
	_cleanup_free_ char *number = sys_read("/sys/class/block/%s/partition", device);
	_cleanup_free_ char *link = str_printf("/sys/class/block/%s/..", device);
	_cleanup_free_ char *folder = number ? realpath(link, NULL) : NULL;

	return folder ? str_printf("/dev/%s", base_name(folder)) : NULL;
}

int observe_as_disk(const char *node, struct observed_disk *disk, struct diag *diag)
{
	_cleanup_free_ char *on_node = device_on(node);
	struct observed_disk on = {};
	int r = observe_disk(on_node ? on_node : node, on_node ? &on : disk, diag);

	FOR_EACH_ITEM(struct observed_partition, partition, &on.partitions)
		if (streq(partition->path, node))
			observed_as_disk(&on, partition, disk);
	record_deinit(&record_observed_disk, &on);
	return r;
}

/* Virtual devices that eyrie itself or others make out of disks. */
static bool is_disk(const char *device)
{
	static const char *const others[] = { "ram", "zram", "dm-", "md", "sr", "fd", "zd", "nbd" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (starts_with(device, others[i]))
			return false;
	return sys_number(device, "size") > 0;
}

static void add_names(struct observed *observed, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *link = str_printf("%s/%s", folder, entry->d_name);
		_cleanup_free_ char *node = realpath(link, NULL);
		struct observed_disk *disk = node ? observed_disk(observed, node) : NULL;

		if (disk)
			strv_add(&disk->names, link);
	}
	if (dir)
		closedir(dir);
}

static int by_path(const void *a, const void *b)
{
	const struct observed_disk *x = a, *y = b;

	return strcmp(x->path, y->path);
}

int observe_disks(struct observed *observed, struct diag *diag)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return diag_error(diag, -errno, "cannot read /sys/block: %m");
	while (r == 0 && (entry = readdir(dir))) {
		_cleanup_free_ char *node = str_printf("/dev/%s", entry->d_name);

		if (*entry->d_name != '.' && is_disk(entry->d_name))
			r = observe_disk(node, list_add(&observed->disks, &record_observed_disk),
					 diag);
	}
	closedir(dir);
	if (observed->disks.n_items)
		qsort(observed->disks.items, observed->disks.n_items,
		      sizeof(struct observed_disk), by_path);
	add_names(observed, "/dev/disk/by-id");
	add_names(observed, "/dev/disk/by-path");
	return r;
}
