/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* md arrays, through mdadm(8); what runs is asked of the kernel. */

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "apply/internal.h"
#include "base/file.h"

#define SYNC_DEADLINE (4 * 3600)

enum role role_named(const char *name)
{
	enum role role = 0;

	while (role < ROLE_MEMBER && !streq(roles[role].name, name))
		role++;
	return role;
}

/*
 * Its parts on the disks that are there, and how many of them are new: also of a key device that the
 * layout does not want any more. All: each of these disks has one, which udev may show late.
 */
static size_t find_parts(const struct apply_context *cxt, enum role role, bool all, struct strv *nodes)
{
	size_t n_new = 0;

	FOR_EACH_MEMBER_DISK(want, cxt->layout)
	{
		_cleanup_free_ char *disk = NULL, *node = NULL;
		bool is_new;

		if (layout_is_partition(want))
			continue;
		disk = device_disk(cxt, want->name);
		if (!disk || !(all ? device_partition(cxt, want->name, role, &node, &is_new) == 0 :
				     device_has_partition(cxt, want->name, role, &node, &is_new)))
			continue;
		strv_add(nodes, node);
		n_new += is_new;
	}
	return n_new;
}

/* The md device that has the partition, without /dev/, or NULL. */
static char *array_over(const char *node)
{
	char *holder = device_holder(node);

	if (holder && starts_with(holder, "md"))
		return holder;
	free(holder);
	return NULL;
}

static bool is_active(const char *md)
{
	_cleanup_free_ char *state = sys_read("/sys/block/%s/md/array_state", md);

	return state && !streq(state, "clear") && !streq(state, "inactive");
}

int device_array(const struct apply_context *cxt, enum role role, char **ret_node)
{
	_cleanup_strv_ struct strv nodes = STRV_NULL;

	(void)find_parts(cxt, role, /* all= */ false, &nodes);
	for (size_t i = 0; i < nodes.n_items; i++) {
		_cleanup_free_ char *md = array_over(nodes.items[i]);

		if (!md || !is_active(md))
			continue;
		*ret_node = str_printf("/dev/%s", md);
		return device_wait(*ret_node);
	}
	return diag_error(cxt->diag, -ENODEV, "the %s does not run", roles[role].title);
}

/* Let go of partitions that an array has which is not to be: torn, or of one leg only. */
static int stop_arrays(struct apply_context *cxt, const struct strv *nodes, bool active)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < nodes->n_items; i++) {
		_cleanup_free_ char *md = array_over(nodes->items[i]);
		_cleanup_free_ char *node = md ? str_printf("/dev/%s", md) : NULL;

		if (md && (active || !is_active(md)))
			r = run_words(cxt->run, cxt->diag, "mdadm", "--quiet", "--stop", node, NULL);
	}
	return r;
}

static int create(struct apply_context *cxt, enum role role, const struct strv *nodes)
{
	_cleanup_free_ char *name = name_array(role);
	_cleanup_free_ char *uuid = name_array_uuid(cxt->layout->id, role);
	_cleanup_strv_ struct strv argv = STRV_NULL;

	strv_add_all(&argv, "mdadm", "--quiet", "--create", NULL);
	strv_addf(&argv, "/dev/md/%s", name);
	strv_add_all(&argv, "--run", "--level=1", "--metadata=1.2", "--homehost=any",
		     "--bitmap=internal", NULL);
	strv_addf(&argv, "--name=%s", name);
	strv_addf(&argv, "--uuid=%s", uuid);
	strv_addf(&argv, "--raid-devices=%zu", nodes->n_items);
	for (size_t i = 0; i < nodes->n_items; i++)
		strv_add(&argv, nodes->items[i]);
	return run(cxt->run, &(struct command){ .argv = (const char *const *)argv.items },
		   cxt->diag);
}

/*
 * Interrupted: the partitions are marked new, and the array is made again over all of them. What
 * udev put together of such a torn one is taken apart first.
 */
int apply_ARRAY_CREATE(struct apply_context *cxt, const struct step *step)
{
	enum role role = role_named(step->object);
	_cleanup_strv_ struct strv nodes = STRV_NULL;
	size_t n_new = find_parts(cxt, role, /* all= */ true, &nodes);
	int r;

	if (n_new < nodes.n_items)
		return diag_error(cxt->diag, -EEXIST, "a part of the %s is not new any more",
				  roles[role].title);
	if (nodes.n_items != role_count(cxt->layout, role))
		return diag_error(cxt->diag, -ENODEV, "not every disk has a part of the %s",
				  roles[role].title);
	r = stop_arrays(cxt, &nodes, /* active= */ true);
	if (r == 0)
		r = create(cxt, role, &nodes);
	return r ? r : device_settle(cxt);
}

/* Starting writes nothing but md's own counters; another leg joins by ARRAY_ADD. */
int apply_ARRAY_START(struct apply_context *cxt, const struct step *step)
{
	enum role role = role_named(step->object);
	_cleanup_free_ char *name = name_array(role);
	_cleanup_free_ char *uuid = name_array_uuid(cxt->layout->id, role);
	_cleanup_strv_ struct strv nodes = STRV_NULL, argv = STRV_NULL;
	int r;

	(void)find_parts(cxt, role, /* all= */ false, &nodes);
	r = stop_arrays(cxt, &nodes, /* active= */ false);
	if (r)
		return r;
	strv_add_all(&argv, "mdadm", "--quiet", "--assemble", "--run", "--homehost=any", NULL);
	strv_addf(&argv, "/dev/md/%s", name);
	strv_addf(&argv, "--uuid=%s", uuid);
	for (size_t i = 0; i < nodes.n_items; i++)
		strv_add(&argv, nodes.items[i]);
	r = run(cxt->run, &(struct command){ .argv = (const char *const *)argv.items }, cxt->diag);
	return r ? r : device_settle(cxt);
}

/*
 * md takes a part back that has seen more than the array as one that is in step, and copies only what
 * the array itself has noted: a leg that ran alone would keep blocks of its own. Without its superblock
 * the whole of it is written.
 */
static int add_whole(struct apply_context *cxt, const char *array, const char *node)
{
	struct content content = {};
	int r = content_probe(node, &content);

	if (r)
		(void)diag_error(cxt->diag, r, "cannot read %s", node);
	else if (streq(content.type, "linux_raid_member"))
		r = run_words(cxt->run, cxt->diag, "mdadm", "--quiet", "--zero-superblock", node,
			      NULL);
	content_deinit(&content);
	return r ? r : run_words(cxt->run, cxt->diag, "mdadm", "--quiet", array, "--add", node,
				 NULL);
}

/*
 * What the array had is copied over what the part that was away has: two legs that each ran alone
 * come together on the one that runs. Of /boot only the menu is put in step after it, and a kernel that
 * nothing but the other leg had is gone; a key device is never written. Interrupted: the part is marked
 * new, or not in step, and is no leg until it is. Its name is settled at once: the array was made.
 */
int apply_ARRAY_ADD(struct apply_context *cxt, const struct step *step)
{
	enum role role = role_named(step->object);
	_cleanup_free_ char *array = NULL, *node = NULL;
	_cleanup_free_ char *name = name_partition(role, step->disk);
	_cleanup_free_ char *name_new = name_partition_new(role, step->disk);
	struct strv one = { .items = &node, .n_items = 1 };
	int r = device_array(cxt, role, &array);
	bool is_new = false;

	if (r == 0)
		r = device_partition(cxt, step->disk, role, &node, &is_new);
	if (r == 0)
		r = stop_arrays(cxt, &one, /* active= */ true);
	if (r == 0 && !is_new)
		r = partition_rename(cxt, step->disk, role, name_new);
	if (r == 0)
		r = add_whole(cxt, array, node);
	return r ? r : partition_rename(cxt, step->disk, role, name);
}

int apply_ARRAY_SYNC(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *array = NULL;
	int r = device_array(cxt, role_named(step->object), &array);

	for (int i = 0; r == 0 && array_is_syncing(array + strlen("/dev/")); i++) {
		if (i == SYNC_DEADLINE)
			return diag_error(cxt->diag, -ETIMEDOUT, "%s is still not in step", array);
		if (run_interrupted())
			return -EINTR;
		(void)nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	}
	return r;
}

const char *array_not_whole(struct apply_context *cxt,
			    const struct observed_partition *partition, enum role role)
{
	_cleanup_free_ char *uuid = name_array_uuid(cxt->layout->id, role);
	_cleanup_free_ char *node = NULL;
	struct content content = {};
	bool whole;

	if (!streq(partition->array, uuid))
		return "it is no part of its md array";
	if (device_array(cxt, role, &node) || content_probe(node, &content))
		return "its md array cannot be read back";
	whole = role == ROLE_KEY ? streq(content.type, "crypto_LUKS") :
				   content.type && starts_with(content.type, "ext");
	content_deinit(&content);
	return whole ? NULL : "what was put on its md array cannot be read back";
}

/* Parts on every disk that is there; nothing when no array runs. */
int arrays_stop(struct apply_context *cxt)
{
	int r = 0;

	for (enum role role = 0; r == 0 && role < ROLE_MAX; role++) {
		_cleanup_strv_ struct strv nodes = STRV_NULL;

		if (!role_wants_array(cxt->layout, role))
			continue;
		(void)find_parts(cxt, role, /* all= */ false, &nodes);
		r = stop_arrays(cxt, &nodes, /* active= */ true);
	}
	return r;
}

/* /boot */

/*
 * GRUB of the suites before knows nothing of these two features. Blocks of 4 KiB also where mke2fs
 * takes 1 KiB, below 512 MiB: GRUB reads ext2 block by block. Interrupted: as ARRAY_CREATE.
 */
int apply_BOOT_FORMAT(struct apply_context *cxt, const struct step *step)
{
	const char *program = cxt->layout->boot.filesystem == BOOT_EXT2 ? "mkfs.ext2" :
									  "mkfs.ext4";
	_cleanup_free_ char *uuid = name_inside_uuid(cxt->layout->id, ROLE_BOOT);
	_cleanup_free_ char *node = NULL;
	int r = device_array(cxt, role_named(step->object), &node);

	return r ? r : run_words(cxt->run, cxt->diag, program, "-q", "-F", "-b", "4096", "-O",
				 "^metadata_csum_seed,^orphan_file", "-L", "eyrie-boot", "-U", uuid,
				 node, NULL);
}

int apply_BOOT_MOUNT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *folder = str_printf("%s/boot", cxt->target);
	_cleanup_free_ char *node = NULL;
	struct content content = {};
	int r = device_array(cxt, role_named(step->object), &node);

	if (r == 0)
		r = file_make_folder(folder, cxt->diag);
	if (r == 0 && content_probe(node, &content))
		r = diag_error(cxt->diag, -EIO, "cannot read %s", node);
	if (r == 0 && mount(node, folder, content.type ? content.type : "ext4",
			    MS_NOATIME | MS_NODEV | MS_NOSUID, NULL) < 0)
		r = diag_error(cxt->diag, -errno, "cannot mount %s on %s: %m", node, folder);
	content_deinit(&content);
	return r;
}

int boot_unmount(struct apply_context *cxt)
{
	_cleanup_free_ char *folder = str_printf("%s/boot", cxt->target);

	if (!role_wants_array(cxt->layout, ROLE_BOOT) || umount(folder) == 0 || errno == EINVAL ||
	    errno == ENOENT)
		return 0;
	return diag_error(cxt->diag, -errno, "cannot unmount %s: %m", folder);
}

/* A file system of its own that can be written to: the one with the root is never frozen. */
static bool is_own_mount(int fd, const char *above)
{
	struct stat boot, root;
	struct statvfs fs;

	return fstat(fd, &boot) == 0 && stat(above, &root) == 0 && boot.st_dev != root.st_dev &&
	       fstatvfs(fd, &fs) == 0 && !(fs.f_flag & ST_RDONLY);
}

/*
 * GRUB does not replay a journal, where syncfs() leaves what is new: being frozen, ext4 writes all of it
 * to its place. What cannot be frozen has none (EOPNOTSUPP), or somebody froze it (EBUSY). A program
 * that ended in between would leave /boot frozen, and so no signal comes through.
 */
static void empty_journal(int fd)
{
	sigset_t all, old;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &old);
	if (ioctl(fd, FIFREEZE, 0) == 0)
		(void)ioctl(fd, FITHAW, 0);
	(void)sigprocmask(SIG_SETMASK, &old, NULL);
}

int boot_sync_folder(struct apply_context *cxt)
{
	_cleanup_free_ char *folder = str_printf("%s/boot", cxt->target);
	_cleanup_close_ int fd = -1;
	int r = file_sync_all(folder);

	if (r == -ENOENT)
		return 0;
	if (r)
		return diag_error(cxt->diag, r, "cannot write %s to the disks: %s", folder,
				  strerror(-r));
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && is_own_mount(fd, *cxt->target ? cxt->target : "/"))
		empty_journal(fd);
	return 0;
}
