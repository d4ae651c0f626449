/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/users.h"

#include <ctype.h>
#include <dirent.h>
#include <libmount.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/file.h"

struct devices {
	dev_t *items;
	size_t n_items;
};

static bool has_device(const struct devices *devices, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < devices->n_items; i++)
		if (devices->items[i] == st.st_dev)
			return true;
	return false;
}

/* A path where nothing is mounted is on its parent's device, which everybody uses. */
static void add_device(struct devices *devices, const char *path)
{
	_cleanup_free_ char *parent = str_printf("%s/..", path);
	struct stat here, above;

	if (stat(path, &here) < 0 || stat(parent, &above) < 0 || here.st_dev == above.st_dev)
		return;
	devices->items = mem_grow(devices->items, devices->n_items, sizeof(*devices->items));
	devices->items[devices->n_items++] = here.st_dev;
}

static char *target_of(const char *link)
{
	char target[PATH_MAX];
	ssize_t n = readlink(link, target, sizeof(target) - 1);

	return n < 0 ? str_dup(link) : str_printf("%.*s", (int)n, target);
}

/* The first of the links in a folder of a process that leads there. */
static char *find_in_folder(const struct devices *devices, const char *process,
			    const char *folder)
{
	_cleanup_free_ char *path = str_printf("%s/%s", process, folder);
	char *found = NULL;
	struct dirent *entry;
	DIR *dir = opendir(path);

	while (dir && !found && (entry = readdir(dir))) {
		_cleanup_free_ char *link = str_printf("%s/%s", path, entry->d_name);

		if (*entry->d_name != '.' && has_device(devices, link))
			found = target_of(link);
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

static char *find_in_process(const struct devices *devices, const char *process)
{
	static const char *const links[] = { "cwd", "root", "exe" };
	static const char *const folders[] = { "fd", "map_files" };
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(links) && !found; i++) {
		_cleanup_free_ char *link = str_printf("%s/%s", process, links[i]);

		if (has_device(devices, link))
			found = target_of(link);
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders) && !found; i++)
		found = find_in_folder(devices, process, folders[i]);
	return found;
}

/* mounts */

static bool is_passing(const char *type)
{
	static const char *const types[] = { "overlay", "fuse.fuse-overlayfs", "tmpfs", "nsfs",
					     "mqueue" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (streq(type, types[i]))
			return true;
	return false;
}

static bool keeps(const char *source, const char *target, const struct strv *datasets,
		  const struct strv *paths)
{
	bool any = false;

	for (size_t i = 0; i < datasets->n_items; i++) {
		bool same = streq(source, datasets->items[i]);
		bool there = streq(target, paths->items[i]);

		if (same && there)
			return false;
		any |= same || is_or_is_below(target, paths->items[i]);
	}
	return any;
}

void users_mounts(const char *file, const struct strv *datasets, const struct strv *paths,
		  bool passing, struct strv *lines)
{
	struct libmnt_table *table = mnt_new_table_from_file(file);
	struct libmnt_iter *at = mnt_new_iter(MNT_ITER_FORWARD);
	struct libmnt_fs *fs;

	while (table && at && mnt_table_next_fs(table, at, &fs) == 0) {
		const char *source = mnt_fs_get_source(fs), *target = mnt_fs_get_target(fs);
		const char *type = mnt_fs_get_fstype(fs);

		if (!source || !target || (streq(type, "zfs") && strchr(source, '@')) ||
		    (!passing && is_passing(type)) || !keeps(source, target, datasets, paths))
			continue;
		strv_addf(lines, "%s on %s", source, target);
	}
	mnt_free_iter(at);
	mnt_unref_table(table);
}

char *users_unit(const char *cgroup)
{
	_cleanup_strv_ struct strv parts = STRV_NULL;

	strv_split(&parts, cgroup, "/\n");
	for (size_t i = 0; i < parts.n_items; i++) {
		const char *dot = strrchr(parts.items[i], '.');

		/* A user's own services are below that user's. */
		if (dot && (streq(dot, ".service") || streq(dot, ".scope")))
			return str_dup(parts.items[i]);
	}
	return NULL;
}

static void add_user(struct users *users, const char *process, int pid, char *what)
{
	_cleanup_free_ char *comm = str_printf("%s/comm", process);
	_cleanup_free_ char *cgroup = str_printf("%s/cgroup", process);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct user *user;

	users->items = mem_grow(users->items, users->n_items, sizeof(*users->items));
	user = &users->items[users->n_items++];
	user->pid = pid;
	user->name = file_read_line(comm);
	user->what = what;
	if (file_read(cgroup, &text) == 0 && text.data)
		user->unit = users_unit(text.data);
}

int users_find(const char *proc, const struct strv *paths, struct users *ret)
{
	struct devices devices = {};
	struct dirent *entry;
	DIR *dir = opendir(proc);

	if (!dir)
		return -errno;
	for (size_t i = 0; i < paths->n_items; i++)
		add_device(&devices, paths->items[i]);
	while (devices.n_items && (entry = readdir(dir))) {
		_cleanup_free_ char *process = str_printf("%s/%s", proc, entry->d_name);
		char *what;

		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		what = find_in_process(&devices, process);
		if (what)
			add_user(ret, process, atoi(entry->d_name), what);
	}
	(void)closedir(dir);
	free(devices.items);
	return 0;
}

void users_deinit(struct users *users)
{
	for (size_t i = 0; i < users->n_items; i++) {
		free(users->items[i].name);
		free(users->items[i].unit);
		free(users->items[i].what);
	}
	free(users->items);
	*users = (struct users){};
}
