/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The installed system on a mounted root: its kernels, their initramfs, its boot loader. */

#include <dirent.h>
#include <fts.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "layout/gate.h"
#include "layout/paths.h"
#include "observe/observe.h"

#define LOADER_SOURCE "usr/lib/systemd/boot/efi/systemd-bootx64.efi"

/* The path of the kernel's zfs.ko (or .xz, .zst) below `root`, or NULL. */
static char *find_zfs_module(const char *root, const char *version)
{
	_cleanup_free_ char *folder = str_printf("%s/usr/lib/modules/%s", root, version);
	char *const paths[] = { folder, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	char *found = NULL;
	FTSENT *entry;

	while (fts && !found && (entry = fts_read(fts)))
		if (entry->fts_info == FTS_F && starts_with(entry->fts_name, "zfs.ko"))
			found = str_dup(entry->fts_path + strlen(root) + 1);
	if (fts)
		fts_close(fts);
	return found;
}

bool observe_has_zfs(const char *root, const char *version)
{
	_cleanup_free_ char *module = find_zfs_module(root, version);

	return module;
}

/* A line is the path of a file, or ends with it. */
static bool lists(const char *listing, const char *file)
{
	for (const char *at = strstr(listing, file); at; at = strstr(at + 1, file))
		if ((at == listing || strchr(" \n", at[-1])) && at[strlen(file)] == '\n')
			return true;
	return false;
}

/* Of initramfs-tools and of dracut: whichever is installed reads the images of both. */
static bool initrd_has(struct runner *run_by, const char *root, const char *initrd,
		       const char *file)
{
	static const char *const listers[] = { "lsinitramfs", "lsinitrd" };

	for (size_t i = 0; i < ARRAY_SIZE(listers); i++) {
		_cleanup_free_ char *listing = NULL;
		const struct command command = {
			.argv = (const char *const[]){ listers[i], initrd, NULL },
			.root = streq(root, "") ? NULL : root,
			.flags = RUN_OPTIONAL,
			.ret_output = &listing,
		};

		if (run(run_by, &command, NULL) == 0)
			return lists(listing, file);
	}
	return false;
}

static bool is_known(const struct list *known, const char *version, const char *hash)
{
	if (known)
		FOR_EACH_ITEM(struct observed_kernel, kernel, known)
			if (kernel->has_zfs && streq(kernel->version, version) &&
			    streq(kernel->hash, hash))
				return true;
	return false;
}

static void observe_kernel(struct runner *run_by, const char *root, const struct list *known,
			   const char *version, struct observed_kernel *kernel)
{
	_cleanup_free_ char *image = str_printf("%s/boot/vmlinuz-%s", root, version);
	_cleanup_free_ char *initrd = str_printf("%s/boot/initrd.img-%s", root, version);
	_cleanup_free_ char *module = find_zfs_module(root, version);
	char hash[KERNEL_HASH_SIZE];

	kernel->version = str_dup(version);
	if (kernel_hash(image, initrd, hash))
		return;
	kernel->hash = str_dup(hash);
	kernel->size = file_size(image) + file_size(initrd);
	kernel->has_zfs = is_known(known, version, hash) ||
			  (module && initrd_has(run_by, root, initrd + strlen(root), module));
}

static int by_version(const void *a, const void *b)
{
	const struct observed_kernel *x = a, *y = b;

	return strcmp(x->version, y->version);
}

void observe_kernels(struct runner *run_by, const char *root, const struct list *known,
		     struct list *kernels)
{
	_cleanup_free_ char *folder = str_printf("%s/boot", root);
	DIR *dir = opendir(folder);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *version = starts_with(entry->d_name, "vmlinuz-");

		if (version)
			observe_kernel(run_by, root, known, version,
				       list_add(kernels, &record_observed_kernel));
	}
	if (dir)
		closedir(dir);
	if (kernels->n_items)
		qsort(kernels->items, kernels->n_items, sizeof(struct observed_kernel),
		      by_version);
}

#define SELECTED                                                                               \
	"/sys/firmware/efi/efivars/LoaderEntrySelected-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

char *entry_selected(const void *data, size_t size)
{
	const unsigned char *at = data;
	_cleanup_strbuf_ struct strbuf name = STRBUF_NULL;

	for (size_t i = 4; i + 1 < size && (at[i] || at[i + 1]); i += 2) {
		char c = (char)at[i];

		if (at[i + 1] || c <= ' ' || c == '/' || c > '~')
			return NULL;
		strbuf_add_bytes(&name, &c, 1);
	}
	return name.size ? entry_name(name.data) : NULL;
}

void observe_running(char **ret_version, char **ret_started_by)
{
	_cleanup_strbuf_ struct strbuf selected = STRBUF_NULL;
	struct utsname name;

	*ret_version = uname(&name) == 0 ? str_dup(name.release) : NULL;
	*ret_started_by = file_read(SELECTED, &selected) == 0 ?
				  entry_selected(selected.data, selected.size) :
				  NULL;
}

char *observe_boot_id(void)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;

	if (file_read("/proc/sys/kernel/random/boot_id", &text) || !text.size)
		return NULL;
	str_trim_end(text.data);
	return str_dup(text.data);
}

/* The pool that has it, or NULL. */
static const struct observed_pool *pool_mounted_on(const struct observed *observed, const char *path)
{
	FOR_EACH_ITEM(struct observed_pool, pool, &observed->pools)
		FOR_EACH_ITEM(struct observed_dataset, dataset, &pool->datasets)
			if (streq(dataset->mounted, path))
				return pool;
	return NULL;
}

#define FILE_SIZE_MAX (256 * KIB) /* what is larger is nothing of ours */

void observe_files(const char *root, struct list *files)
{
	static const char *const paths[] = { PATH_CRYPTTAB, PATH_FSTAB, PATH_MDADM_CONF,
					     PATH_DRACUT_CONF, PATH_UNLOCK_CONF,
					     PATH_INITRD_DROPIN, PATH_IMPORT_UNIT,
					     PATH_IMPORT_DROPIN, PATH_INITRAMFS_TOOLS_CONF,
					     PATH_SLEEP_CONF, GATE_FILE };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		_cleanup_free_ char *path = str_printf("%s%s", root, paths[i]);
		_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
		struct observed_file *file;

		if (file_read(path, &text) || text.size > FILE_SIZE_MAX)
			continue;
		file = list_add(files, &record_observed_file);
		file->path = str_dup(paths[i]);
		file->text = str_dup(text.data ? text.data : "");
	}
}

static bool has_something(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool any = false;

	while (dir && !any && (entry = readdir(dir)))
		any = !streq(entry->d_name, ".") && !streq(entry->d_name, "..");
	if (dir)
		closedir(dir);
	return any;
}

static void observe_mountpoints(const struct layout_pool *pool, struct observed_system *system)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
	{
		_cleanup_free_ char *mountpoint = layout_mountpoint(pool, dataset);
		_cleanup_free_ char *folder =
			str_printf("%s%s", streq(system->root, "/") ? "" : system->root, mountpoint);

		if (mountpoint && layout_mounts(dataset) && has_something(folder))
			strv_add(&system->occupied, mountpoint);
	}
}

void observe_folders(const struct layout *layout, struct observed_system *system)
{
	if (!system->root)
		return;
	observe_mountpoints(&layout->pool, system);
	FOR_EACH_ITEM(struct layout_pool, pool, &layout->pools)
		observe_mountpoints(pool, system);
}

int observe_system(struct runner *run_by, struct observed *observed, const char *target,
		   struct diag *diag)
{
	struct observed_system *system = &observed->system;
	const struct observed_pool *running = pool_mounted_on(observed, "/");
	const char *root = pool_mounted_on(observed, target) ? target : running ? "" : NULL;
	_cleanup_free_ char *loader = root ? str_printf("%s/" LOADER_SOURCE, root) : NULL;
	char hash[HASH_HEX_SIZE];

	(void)diag;
	if (!root)
		return 0;
	system->root = str_dup(*root ? root : "/");
	if (!*root && !running->altroot) { /* with one it is a chroot of a rescue system, whose kernel runs */
		observe_running(&system->running, &system->started_by);
		system->boot_id = observe_boot_id();
	}
	if (file_hash(loader, hash) == 0)
		system->loader = str_dup(hash);
	observe_grub_system(root, system);
	observe_kernels(run_by, root, NULL, &system->kernels);
	observe_store(root, system);
	observe_files(root, &system->files);
	system->files_known = true;
	return 0;
}
