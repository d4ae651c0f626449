/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/esp.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "boot/text.h"
#include "observe/observe.h"

#define LOADER_SOURCE	"usr/lib/systemd/boot/efi/systemd-bootx64.efi"
#define LOADER_FOLDER	"EFI/systemd"
#define LOADER		LOADER_FOLDER "/systemd-bootx64.efi"
#define FALLBACK_FOLDER "EFI/BOOT"
#define FALLBACK	FALLBACK_FOLDER "/BOOTX64.EFI"
#define TRIES		3
#define SPARE		(4 * MIB) /* for the loader, entries and FAT's own bookkeeping */

struct esp {
	struct runner *run;
	const struct layout *layout;
	const char *root;
	const char *path;
	const struct list *kernels; /* of struct observed_kernel */
	const char *running;	    /* version of the kernel that runs from here, or NULL */
	struct diag *diag;
};

static int copy_data(int from, int to)
{
	_cleanup_free_ char *chunk = mem_alloc(MIB);
	ssize_t n;

	while ((n = read(from, chunk, MIB)) != 0) {
		int r = n < 0 ? -errno : fd_write_all(to, chunk, (size_t)n);

		if (r)
			return r;
	}
	return fsync(to) < 0 ? -errno : 0;
}

/* Compare with what the medium holds, not with what is still in memory. */
static int read_back(const char *source, const char *copy)
{
	_cleanup_close_ int fd = open(copy, O_RDONLY | O_CLOEXEC);
	char expected[HASH_HEX_SIZE], found[HASH_HEX_SIZE];
	int r;

	if (fd < 0)
		return -errno;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r = file_hash(source, expected);
	if (r == 0)
		r = fd_hash(fd, UINT64_MAX, found);
	if (r)
		return r;
	return streq(expected, found) ? 0 : -EIO;
}

/* Copy aside, read back, rename: an interrupted copy never has the name of a whole one. */
static int copy_file(struct esp *e, const char *source, const char *name)
{
	_cleanup_free_ char *copy = str_printf("%s/%s", e->path, name);
	_cleanup_free_ char *aside = str_printf("%s.new", copy);
	_cleanup_close_ int from = open(source, O_RDONLY | O_CLOEXEC), to = -1;
	int r = 0;

	if (from < 0)
		return diag_error(e->diag, -errno, "cannot read %s: %m", source);
	to = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (to < 0)
		r = -errno;
	if (r == 0)
		r = copy_data(from, to);
	if (r == 0)
		r = read_back(source, aside);
	if (r == 0 && rename(aside, copy) < 0)
		r = -errno;
	if (r) {
		(void)unlink(aside);
		return diag_error(e->diag, r, "cannot put %s on the EFI system partition: %s",
				  source, strerror(-r));
	}
	return 0;
}

static int make_folder(struct esp *e, const char *name)
{
	_cleanup_free_ char *path = str_printf("%s/%s", e->path, name);

	return file_make_folder(path, e->diag);
}

static bool is_same(const char *source, const char *copy)
{
	char a[HASH_HEX_SIZE], b[HASH_HEX_SIZE];

	return file_hash(source, a) == 0 && file_hash(copy, b) == 0 && streq(a, b);
}

/* The fallback path is what firmware boots from a disk that it has never seen. */
static int sync_loader(struct esp *e)
{
	static const char *const places[][2] = { { FALLBACK_FOLDER, FALLBACK },
						 { LOADER_FOLDER, LOADER } };
	_cleanup_free_ char *source = str_printf("%s/" LOADER_SOURCE, e->root);

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *copy = str_printf("%s/%s", e->path, places[i][1]);
		int r = 0;

		if (is_same(source, copy))
			continue;
		r = make_folder(e, places[i][0]);
		if (r == 0)
			r = copy_file(e, source, places[i][1]);
		if (r)
			return r;
	}
	return 0;
}

static bool has_kernel(const struct esp *e, const char *folder)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, e->kernels)
	{
		_cleanup_free_ char *wanted =
			kernel->has_zfs ? boot_kernel_folder(kernel->version, kernel->hash) : NULL;

		if (wanted && streq(wanted + strlen("eyrie/"), folder))
			return true;
	}
	return false;
}

static bool has_entry(const struct esp *e, const char *file)
{
	_cleanup_free_ char *plain = entry_name(file);

	FOR_EACH_ITEM(struct observed_kernel, kernel, e->kernels)
	{
		_cleanup_free_ char *wanted =
			kernel->has_zfs ? boot_entry_name(kernel->version, kernel->hash) : NULL;

		if (streq(wanted, plain))
			return true;
	}
	return false;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) < 0 ? -errno : 0;
}

/* Remove from a folder what eyrie put there and no kernel wants any more. */
static void remove_old(struct esp *e, const char *folder,
		       bool (*wanted)(const struct esp *, const char *))
{
	_cleanup_free_ char *path = str_printf("%s/%s", e->path, folder);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *old = str_printf("%s/%s", path, entry->d_name);

		if (*entry->d_name == '.' || wanted(e, entry->d_name))
			continue;
		(void)nftw(old, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	}
	if (dir)
		closedir(dir);
}

static bool keep_entry(const struct esp *e, const char *file)
{
	return !starts_with(file, "eyrie-") || has_entry(e, file);
}

static bool has_room(const struct esp *e, const char *kernel, const char *initrd)
{
	struct stat a, b;
	struct statvfs fs;

	return stat(kernel, &a) == 0 && stat(initrd, &b) == 0 && statvfs(e->path, &fs) == 0 &&
	       (uint64_t)fs.f_bavail * fs.f_bsize >
		       (uint64_t)a.st_size + (uint64_t)b.st_size + SPARE;
}

/* Folders that no entry names: left by an interrupted run, or of kernels that are gone. */
static void make_room(struct esp *e)
{
	remove_old(e, "loader/entries", keep_entry);
	remove_old(e, "eyrie", has_kernel);
}

static int no_room(struct esp *e, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *wanted = str_size_for_people(kernel->size);
	_cleanup_free_ char *free_size = NULL;
	struct statvfs fs = {};

	(void)statvfs(e->path, &fs);
	free_size = str_size_for_people((uint64_t)fs.f_bavail * fs.f_bsize);
	(void)diag_error(e->diag, -ENOSPC, "the EFI system partition has no room for kernel %s: it "
			 "wants %s, and %s are free", kernel->version, wanted, free_size);
	diag_hint(e->diag, "remove a kernel package that you do not need; what is on the "
		  "partition still boots");
	return -ENOSPC;
}

static int copy_kernel(struct esp *e, const struct observed_kernel *kernel, const char *folder)
{
	_cleanup_free_ char *image = str_printf("%s/boot/vmlinuz-%s", e->root, kernel->version);
	_cleanup_free_ char *initrd = str_printf("%s/boot/initrd.img-%s", e->root,
						 kernel->version);
	_cleanup_free_ char *image_name = str_printf("%s/linux", folder);
	_cleanup_free_ char *initrd_name = str_printf("%s/initrd", folder);
	_cleanup_free_ char *there_image = str_printf("%s/%s", e->path, image_name);
	_cleanup_free_ char *there_initrd = str_printf("%s/%s", e->path, initrd_name);
	char hash[KERNEL_HASH_SIZE];
	int r;

	if (kernel_hash(there_image, there_initrd, hash) == 0 && streq(hash, kernel->hash))
		return 0;
	if (!has_room(e, image, initrd))
		make_room(e);
	if (!has_room(e, image, initrd))
		return no_room(e, kernel);
	r = make_folder(e, folder);
	if (r == 0)
		r = copy_file(e, image, image_name);
	if (r == 0)
		r = copy_file(e, initrd, initrd_name);
	return r;
}

/* The file of the entry called `name`, counter and all, or NULL; whether eyrie has others. */
static char *find_entry(const struct esp *e, const char *name, bool *ret_others)
{
	_cleanup_free_ char *folder = str_printf("%s/loader/entries", e->path);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char *found = NULL;

	*ret_others = false;
	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *plain = entry_name(entry->d_name);

		if (streq(plain, name) && !found)
			found = str_printf("%s/%s", folder, entry->d_name);
		else
			*ret_others |= starts_with(entry->d_name, "eyrie-") != NULL;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Where the entry belongs: as it was found, with tries when it is new among others. */
static char *entry_path(const struct esp *e, const char *name)
{
	bool others;
	char *found = find_entry(e, name, &others);
	size_t stem = strlen(name) - strlen(".conf");

	if (found)
		return found;
	return others ? str_printf("%s/loader/entries/%.*s+%u.conf", e->path, (int)stem, name,
				   TRIES) :
			str_printf("%s/loader/entries/%s", e->path, name);
}

static int sync_kernel(struct esp *e, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *folder = boot_kernel_folder(kernel->version, kernel->hash);
	_cleanup_free_ char *name = boot_entry_name(kernel->version, kernel->hash);
	_cleanup_free_ char *plain = str_printf("%s/loader/entries/%s", e->path, name);
	_cleanup_free_ char *path = entry_path(e, name);
	_cleanup_free_ char *entry = boot_entry(e->layout, kernel->version, kernel->hash);
	int r;

	r = copy_kernel(e, kernel, folder);
	if (r == 0)
		r = file_replace(path, entry, 0700, e->diag); /* the commit point */
	if (r == 0 && streq(kernel->version, e->running) && rename(path, plain) < 0)
		r = diag_error(e->diag, -errno, "cannot rename %s: %m", path);
	return r;
}

static int sync_kernels(struct esp *e)
{
	size_t n = 0;
	int r = 0;

	FOR_EACH_ITEM(struct observed_kernel, kernel, e->kernels)
	{
		if (!kernel->has_zfs)
			continue;
		r = sync_kernel(e, kernel);
		if (r)
			return r;
		n++;
	}
	if (n)
		return 0;
	(void)diag_error(e->diag, -ENOENT, "there is no kernel whose initramfs holds its zfs.ko");
	diag_hint(e->diag, "install linux-image-amd64 and zfs-dkms; dkms status shows what is built");
	return -ENOENT;
}

int esp_sync(struct runner *run, const struct layout *layout, const char *root, const char *path,
	     struct diag *diag)
{
	_cleanup_free_ char *config = str_printf("%s/loader/loader.conf", path);
	_cleanup_free_ char *config_text = boot_loader_conf(layout);
	struct list kernels = {};
	struct utsname running;
	struct esp e = { .run = run, .layout = layout, .root = root, .path = path,
			 .kernels = &kernels, .diag = diag };
	int r;

	if (!*root && uname(&running) == 0)
		e.running = running.release;
	observe_kernels(run, root, &kernels);
	r = sync_kernels(&e);
	if (r == 0)
		r = file_replace(config, config_text, 0700, diag);
	if (r == 0)
		r = sync_loader(&e);
	if (r == 0)
		make_room(&e);
	list_deinit(&kernels, &record_observed_kernel);
	return r;
}
