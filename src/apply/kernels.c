/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/kernels.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "apply/internal.h"
#include "base/file.h"
#include "boot/files.h"
#include "boot/text.h"

#define ASIDE ".new" /* what the name of a folder ends with until it is whole */
#define FRESH "eyrie/new" /* a file that will be renamed into /boot */
#define SPARE (2 * MIB)	  /* for lists, the menu and the file system's own */

/* What a kernel has in /boot, with "-VERSION", and in its folder; the first two are always there. */
static const char *const files[] = { "vmlinuz", "initrd.img", "config", "System.map" };

static char *in_boot(const struct apply_context *cxt, const char *name)
{
	return str_printf("%s/boot/%s", cxt->target, name);
}

static char *top_file(const struct apply_context *cxt, size_t i, const char *version)
{
	return str_printf("%s/boot/%s-%s", cxt->target, files[i], version);
}

static char *stored_file(const struct apply_context *cxt, size_t i,
			 const struct observed_kernel *kernel)
{
	_cleanup_free_ char *folder = store_folder(kernel);

	return str_printf("%s/boot/%s/%s", cxt->target, folder, files[i]);
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static bool is_same(const char *a, const char *b)
{
	char x[HASH_HEX_SIZE], y[HASH_HEX_SIZE];

	return file_size(a) == file_size(b) && file_hash(a, x) == 0 && file_hash(b, y) == 0 &&
	       streq(x, y);
}

static uint64_t bytes_free(const struct apply_context *cxt)
{
	_cleanup_free_ char *folder = in_boot(cxt, "");
	struct statvfs fs;

	return statvfs(folder, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_bsize;
}

static void look_at_store(const struct apply_context *cxt, struct observed *have)
{
	list_deinit(&have->system.stored, &record_observed_stored);
	str_set(&have->system.boot_owner, NULL);
	observe_store(cxt->target, &have->system);
}

static int set_owner(struct apply_context *cxt, const char *name)
{
	_cleanup_free_ char *path = in_boot(cxt, STORE_OWNER);
	_cleanup_free_ char *line = str_printf("%s\n", name);

	return file_replace(path, line, 0644, cxt->diag);
}

/* On the disk, under a name that nobody looks for yet. */
static int copy_file(struct apply_context *cxt, const char *from, const char *to)
{
	_cleanup_close_ int source = open(from, O_RDONLY | O_CLOEXEC), copy = -1;
	struct stat st;
	int r;

	if (source < 0 || fstat(source, &st) < 0)
		return diag_error(cxt->diag, -errno, "cannot read %s: %m", from);
	copy = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = copy < 0 ? -errno : fd_copy(source, copy);
	if (r == 0 && (fchmod(copy, st.st_mode & 0777) < 0 || fsync(copy) < 0))
		r = -errno;
	if (r == 0)
		return 0;
	(void)unlink(to);
	return diag_error(cxt->diag, r, "cannot write %s: %s", to, strerror(-r));
}

/* publishing */

/* An environment whose list is to be written, and what is to be in it. */
struct wish {
	const struct environment *environment;
	struct list kernels;
	char *options;
};

struct wishes {
	struct wish items[2]; /* the current one, and one that is new */
	size_t n_items;
};

static void wishes_deinit(struct wishes *wishes)
{
	for (size_t i = 0; i < wishes->n_items; i++) {
		list_deinit(&wishes->items[i].kernels, &record_observed_kernel);
		free(wishes->items[i].options);
	}
}

static bool is_published(const struct apply_context *cxt, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *image = stored_file(cxt, 0, kernel);
	_cleanup_free_ char *initrd = stored_file(cxt, 1, kernel);
	char hash[KERNEL_HASH_SIZE];

	return kernel_hash(image, initrd, hash) == 0 && streq(hash, kernel->hash);
}

/* A clone of an older snapshot may have no modules for what its source is started by today. */
static int keep_those_with_modules(struct apply_context *cxt, const struct environment *environment,
				   struct list *kernels)
{
	struct observed_kernel *all = kernels->items;
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < kernels->n_items; i++) {
		int has = environment_has_zfs(cxt, environment, all[i].version);

		if (has > 0)
			all[n++] = all[i];
		else
			record_deinit(&record_observed_kernel, &all[i]);
		r = r ? r : MIN_OF(has, 0);
	}
	kernels->n_items = n;
	if (r || n)
		return r;
	return diag_error(cxt->diag, -ENOENT, "the boot environment %s would have no kernel whose "
			  "initramfs holds its zfs.ko", environment->name);
}

/* What others have is as they left it. */
static int find_wishes(struct apply_context *cxt, const struct observed *have,
		       const struct environments *list, struct wishes *ret)
{
	FOR_EACH_ENVIRONMENT(environment, list)
	{
		bool is_new = streq(environment->name, cxt->filling);
		struct wish *wish = &ret->items[ret->n_items];
		int r = 0;

		if (environment->half_made || (!environment->current && !is_new))
			continue;
		ret->n_items++;
		*wish = (struct wish){ .environment = environment };
		store_kernels(cxt->layout, have, list, environment, &wish->kernels, &wish->options);
		if (is_new)
			r = keep_those_with_modules(cxt, environment, &wish->kernels);
		if (r)
			return r;
	}
	return 0;
}

/* A folder that two have is missing once. */
static uint64_t bytes_missing(const struct apply_context *cxt, const struct wishes *wishes,
			      const struct observed_kernel **ret_first)
{
	_cleanup_strv_ struct strv seen = STRV_NULL;
	uint64_t n = 0;

	*ret_first = NULL;
	for (size_t i = 0; i < wishes->n_items; i++)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &wishes->items[i].kernels)
		{
			_cleanup_free_ char *folder = store_folder(kernel);

			if (strv_has(&seen, folder) || is_published(cxt, kernel))
				continue;
			strv_add(&seen, folder);
			*ret_first = *ret_first ? *ret_first : kernel;
			for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
				_cleanup_free_ char *path = top_file(cxt, f, kernel->version);

				n += file_size(path);
			}
		}
	return n;
}

static int no_room(struct apply_context *cxt, const struct observed_kernel *kernel, uint64_t bytes)
{
	_cleanup_free_ char *wanted = str_size_for_people(bytes);
	_cleanup_free_ char *is = str_size_for_people(bytes_free(cxt));

	(void)diag_error(cxt->diag, -ENOSPC, "/boot has no room for a copy of kernel %s: %s are wanted, and "
			 "%s are free", kernel->version, wanted, is);
	diag_hint(cxt->diag, "remove a kernel package that you do not need, or an environment (eyrie boot "
		  "destroy); what is there still boots");
	return -ENOSPC;
}

/* The commit point is a rename. What lies there under that name already is broken, and in no menu. */
static int publish(struct apply_context *cxt, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *name = store_folder(kernel), *folder = in_boot(cxt, name);
	_cleanup_free_ char *aside = str_printf("%s" ASIDE, folder);
	_cleanup_free_ char *above = in_boot(cxt, STORE_FOLDER);
	_cleanup_free_ char *image = str_printf("%s/%s", aside, files[0]);
	_cleanup_free_ char *initrd = str_printf("%s/%s", aside, files[1]);
	char hash[KERNEL_HASH_SIZE];
	int r;

	(void)file_remove_tree(aside);
	r = file_make_folder(aside, cxt->diag);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *from = top_file(cxt, i, kernel->version);
		_cleanup_free_ char *to = str_printf("%s/%s", aside, files[i]);

		if (i < 2 || is_there(from))
			r = copy_file(cxt, from, to);
	}
	if (r)
		return r;
	if (kernel_hash(image, initrd, hash) || !streq(hash, kernel->hash))
		return diag_error(cxt->diag, -EAGAIN, "kernel %s in /boot was changed meanwhile",
				  kernel->version);
	(void)file_remove_tree(folder);
	r = file_sync_folder(aside);
	if (r == 0 && rename(aside, folder) < 0)
		r = -errno;
	if (r == 0)
		r = file_sync_folder(above);
	return r ? diag_error(cxt->diag, r, "cannot write %s: %s", folder, strerror(-r)) : 0;
}

static int publish_all(struct apply_context *cxt, const struct wishes *wishes)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wishes->n_items; i++)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &wishes->items[i].kernels)
			if (r == 0 && !is_published(cxt, kernel))
				r = publish(cxt, kernel);
	return r;
}

/* Of what finds no room, the image of before stays; false when nothing at all is left. */
static bool make_do(const struct apply_context *cxt, const struct observed *have, struct wish *wish)
{
	const struct observed_stored *stored = store_of(&have->system, wish->environment->name);
	struct list kept = {};

	FOR_EACH_ITEM(struct observed_kernel, kernel, &wish->kernels)
	{
		const struct observed_kernel *has = is_published(cxt, kernel) ? kernel : NULL;

		if (stored)
			FOR_EACH_ITEM(struct observed_kernel, old, &stored->kernels)
				if (!has && streq(old->version, kernel->version))
					has = old;
		if (has)
			record_copy(&record_observed_kernel,
				    list_add(&kept, &record_observed_kernel), has);
	}
	list_deinit(&wish->kernels, &record_observed_kernel);
	wish->kernels = kept;
	return kept.n_items;
}

/* Of the system that runs: whoever is started by the menu from now on is so by another image. */
static int write_list(struct apply_context *cxt, const struct environment *environment,
		      const char *path, const char *text)
{
	_cleanup_strbuf_ struct strbuf there = STRBUF_NULL;
	bool is = file_read(path, &there) == 0 && streq(there.data, text);
	int r = is || !environment->current ? 0 : dataset_note_images(cxt, environment->dataset);

	return r ? r : file_replace(path, text, 0644, cxt->diag);
}

static int write_lists(struct apply_context *cxt, const struct observed *have,
		       struct wishes *wishes, bool full)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < wishes->n_items; i++) {
		struct wish *wish = &wishes->items[i];
		_cleanup_free_ char *name = str_printf(STORE_LISTS "/%s", wish->environment->name);
		_cleanup_free_ char *path = in_boot(cxt, name), *text = NULL;

		if (full && !make_do(cxt, have, wish) &&
		    !store_of(&have->system, wish->environment->name))
			continue; /* nothing was ever copied of it, and the menu names /boot itself */
		text = store_list(wish->options, &wish->kernels);
		r = write_list(cxt, wish->environment, path, text);
	}
	return r;
}

static int publish_wishes(struct apply_context *cxt, struct observed *have,
			  const struct environments *list, struct wishes *wishes, bool say)
{
	const struct observed_kernel *first;
	int r = find_wishes(cxt, have, list, wishes);
	uint64_t bytes = r ? 0 : bytes_missing(cxt, wishes, &first);
	bool full = bytes && bytes_free(cxt) < bytes + SPARE;

	if (full && (say || cxt->filling))
		(void)no_room(cxt, first, bytes);
	if (full && cxt->filling)
		return -ENOSPC;
	if (r == 0 && (!full || have->system.stored.n_items))
		r = set_owner(cxt, list->items[0].name);
	if (r == 0 && !full)
		r = publish_all(cxt, wishes);
	if (r == 0)
		r = write_lists(cxt, have, wishes, full);
	look_at_store(cxt, have);
	return r || !full ? r : -ENOSPC;
}

/* Without room nothing is copied, and a list has what is there; nothing is written for a new environment. */
static int publish_store(struct apply_context *cxt, struct observed *have, bool say)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	_cleanup_(wishes_deinit) struct wishes wishes = {};
	int r;

	environments_make(cxt->layout, have, cxt->filling, &list);
	if (!store_is_used(cxt->layout, &list))
		return 0;
	if (!store_is_of_another(cxt->layout, have))
		return publish_wishes(cxt, have, &list, &wishes, say);
	r = diag_error(cxt->diag, -EBUSY, "the kernels in /boot are not those of '%s'",
		       list.items[0].name);
	diag_hint(cxt->diag, "eyrie boot sync exchanges them");
	return r;
}

/* cleaning */

/* What a folder of /boot has, each with the folder's name before it. */
static void read_names(const struct apply_context *cxt, const char *folder, struct strv *ret)
{
	_cleanup_free_ char *path = in_boot(cxt, folder);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (*entry->d_name != '.')
			strv_addf(ret, "%s%s%s", folder, *folder ? "/" : "", entry->d_name);
	if (dir)
		closedir(dir);
}

/* Folders that lists name, also those that cannot be read right now. False: a list cannot be. */
static bool read_wanted(const struct apply_context *cxt, struct strv *ret)
{
	_cleanup_strv_ struct strv lists = STRV_NULL;

	read_names(cxt, STORE_LISTS, &lists);
	for (size_t i = 0; i < lists.n_items; i++) {
		_cleanup_free_ char *path = in_boot(cxt, lists.items[i]);
		_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
		struct observed_stored stored = {};

		if (file_is_aside(path))
			continue;
		if (file_read(path, &text))
			return false;
		if (text.size)
			stored_parse(text.data, &stored);
		FOR_EACH_ITEM(struct observed_kernel, kernel, &stored.kernels)
		{
			_cleanup_free_ char *folder = store_folder(kernel);

			strv_add(ret, folder);
		}
		record_deinit(&record_observed_stored, &stored);
	}
	return true;
}

static int clean_lists(struct apply_context *cxt, const struct observed *have,
		       const struct environments *list)
{
	_cleanup_free_ char *folder = in_boot(cxt, STORE_LISTS);
	bool any = false;

	FOR_EACH_ITEM(struct observed_stored, stored, &have->system.stored)
	{
		_cleanup_free_ char *path = str_printf("%s/%s", folder, stored->name);

		if (store_keeps(cxt->layout, have, list, stored->name))
			continue;
		if (unlink(path) < 0 && errno != ENOENT)
			return diag_error(cxt->diag, -errno, "cannot remove %s: %m", path);
		any = true;
	}
	return any ? file_sync_folder(folder) : 0;
}

/* After the lists. What one of them names stays, even where reading it failed this time. */
static void clean_folders(const struct apply_context *cxt)
{
	_cleanup_strv_ struct strv names = STRV_NULL, wanted = STRV_NULL;

	if (!read_wanted(cxt, &wanted))
		return;
	read_names(cxt, STORE_FOLDER, &names);
	for (size_t i = 0; i < names.n_items; i++) {
		_cleanup_free_ char *path = in_boot(cxt, names.items[i]);

		if (!strv_has(&wanted, names.items[i]))
			(void)file_remove_tree(path);
	}
}

static int clean_store(struct apply_context *cxt, struct observed *have)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	_cleanup_free_ char *owner = in_boot(cxt, STORE_OWNER);
	int r;

	environments_make(cxt->layout, have, cxt->filling, &list);
	r = clean_lists(cxt, have, &list);
	if (r)
		return r;
	look_at_store(cxt, have);
	clean_folders(cxt);
	if (have->system.boot_owner && !store_has_owner(cxt->layout, have, &list) &&
	    unlink(owner) < 0)
		return diag_error(cxt->diag, -errno, "cannot remove %s: %m", owner);
	return 0;
}

/* the menu */

static int tell_full(struct apply_context *cxt, int r)
{
	if (r == -ENOSPC)
		diag_hint(cxt->diag, "/boot is full: remove a kernel package that you do not need; "
			  "what is there still boots");
	return r;
}

/* One rename: the old menu, or the new one. What it names is on the disks by then. */
static int write_menu(struct apply_context *cxt, const struct observed *have)
{
	_cleanup_free_ char *path = in_boot(cxt, GRUB_MENU);
	_cleanup_free_ char *text = store_menu(cxt->layout, have, cxt->filling);
	_cleanup_strbuf_ struct strbuf there = STRBUF_NULL;
	int r;

	if (file_read(path, &there) == 0)
		boot_tell_loss(path, there.data, text, cxt->diag);
	r = boot_sync_folder(cxt);
	if (r == 0)
		r = tell_full(cxt, file_replace(path, text, 0644, cxt->diag));
	return r ? r : boot_sync_folder(cxt);
}

/*
 * Where copies find no room, what has become old may make some: then once more. A new environment is given
 * up at once.
 */
int kernels_sync(struct apply_context *cxt, struct observed *have)
{
	int r = 0, full = -ENOSPC;

	for (int round = 0; r == 0 && full && round < 2; round++) {
		full = publish_store(cxt, have, /* say= */ round > 0);
		r = full == -ENOSPC && !cxt->filling ? 0 : full;
		if (r == 0)
			r = write_menu(cxt, have);
		if (r == 0)
			r = clean_store(cxt, have);
	}
	if (r == 0 && full)
		cxt->later = full; /* a disk without GRUB, and each ESP, need no room here */
	return r;
}

/* taking */

struct taking {
	struct apply_context *cxt;
	const struct observed *have;
	const struct observed_stored *own; /* NULL: nothing is known of it */
	int64_t started;
	struct strv versions;	 /* that lie in /boot itself, and that the store has */
	struct strv comes, goes; /* of these, and of its own */
};

/* It is not there, or some environment has it. */
static bool is_saved(const struct taking *t, size_t file, const char *version)
{
	_cleanup_free_ char *path = top_file(t->cxt, file, version);

	if (!is_there(path))
		return true;
	FOR_EACH_ITEM(struct observed_stored, stored, &t->have->system.stored)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &stored->kernels)
		{
			_cleanup_free_ char *copy = stored_file(t->cxt, file, kernel);

			if (streq(kernel->version, version) && is_same(path, copy))
				return true;
		}
	return false;
}

static bool is_fresh(const struct taking *t, size_t file, const char *version)
{
	_cleanup_free_ char *path = top_file(t->cxt, file, version);
	struct stat st;

	return stat(path, &st) == 0 && st.st_ctime >= t->started;
}

static const struct observed_kernel *own_kernel(const struct taking *t, const char *version)
{
	if (t->own)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &t->own->kernels)
			if (streq(kernel->version, version))
				return kernel;
	return NULL;
}

/* Files of its own copy that /boot has otherwise, or not. */
static uint64_t bytes_to_copy(const struct taking *t, const struct observed_kernel *kernel)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *copy = stored_file(t->cxt, i, kernel);
		_cleanup_free_ char *path = top_file(t->cxt, i, kernel->version);

		if (is_there(copy) && !is_same(copy, path))
			n += file_size(copy);
	}
	return n;
}

static uint64_t bytes_in_boot(const struct taking *t, const char *version)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = top_file(t->cxt, i, version);

		n += file_size(path);
	}
	return n;
}

/* Of some environment; else nobody but /boot has it. */
static bool is_stored(const struct taking *t, const char *version)
{
	FOR_EACH_ITEM(struct observed_stored, stored, &t->have->system.stored)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &stored->kernels)
			if (streq(kernel->version, version))
				return true;
	return false;
}

/* By any of its files: an exchange that was interrupted left some. */
static void find_versions(struct taking *t)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	read_names(t->cxt, "", &names);
	for (size_t i = 0; i < names.n_items; i++)
		for (size_t k = 0; k < ARRAY_SIZE(files); k++) {
			const char *dash = starts_with(names.items[i], files[k]);
			const char *version = dash && *dash == '-' ? dash + 1 : NULL;

			if (version && is_stored(t, version) && !strv_has(&t->versions, version))
				strv_add(&t->versions, version);
		}
}

/* Its own, unless somebody made it anew since it runs; not what only /boot has. */
static void decide(struct taking *t)
{
	if (!t->own || !t->own->kernels.n_items)
		return;
	FOR_EACH_ITEM(struct observed_kernel, kernel, &t->own->kernels)
	{
		bool new = false, lost = false;

		for (size_t i = 0; i < 2; i++) {
			bool saved = is_saved(t, i, kernel->version);

			new |= !saved && is_fresh(t, i, kernel->version);
			lost |= !saved;
		}
		if (new)
			continue;
		strv_add(&t->comes, kernel->version);
		if (lost)
			diag_warning(t->cxt->diag, "an image of kernel %s in /boot, which no menu had, goes: "
				     "it was not made by the system that runs", kernel->version);
	}
	for (size_t i = 0; i < t->versions.n_items; i++) {
		const char *version = t->versions.items[i];

		if (!own_kernel(t, version) && is_saved(t, 0, version) && is_saved(t, 1, version))
			strv_add(&t->goes, version);
	}
}

/* Another environment's file in its place, of which there is a copy: it may go before. */
static bool is_replaceable(const struct taking *t, size_t file, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *copy = stored_file(t->cxt, file, kernel);
	_cleanup_free_ char *path = top_file(t->cxt, file, kernel->version);

	return is_there(path) && is_there(copy) && !is_same(copy, path) &&
	       is_saved(t, file, kernel->version);
}

static uint64_t bytes_replaceable(const struct taking *t, const struct observed_kernel *kernel)
{
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = top_file(t->cxt, i, kernel->version);

		if (is_replaceable(t, i, kernel))
			n += file_size(path);
	}
	return n;
}

static int check_room(const struct taking *t)
{
	uint64_t bytes = 0, freed = bytes_free(t->cxt);
	const char *last = NULL;

	for (size_t i = 0; i < t->goes.n_items; i++)
		freed += bytes_in_boot(t, t->goes.items[i]);
	for (size_t i = 0; i < t->comes.n_items; i++) {
		bytes += bytes_to_copy(t, own_kernel(t, t->comes.items[i]));
		freed += bytes_replaceable(t, own_kernel(t, t->comes.items[i]));
		last = t->comes.items[i];
	}
	if (!bytes || freed >= bytes + SPARE)
		return 0;
	return no_room(t->cxt, own_kernel(t, last), bytes);
}

static int remove_version(const struct taking *t, const char *version)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = top_file(t->cxt, i, version);

		if (unlink(path) < 0 && errno != ENOENT)
			return diag_error(t->cxt->diag, -errno, "cannot remove %s: %m", path);
	}
	return 0;
}

/* The kernel itself last: without it nobody takes the rest for one. */
static int bring_version(const struct taking *t, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *aside = in_boot(t->cxt, FRESH);

	for (size_t i = ARRAY_SIZE(files); i-- > 0;) {
		_cleanup_free_ char *copy = stored_file(t->cxt, i, kernel);
		_cleanup_free_ char *path = top_file(t->cxt, i, kernel->version);
		int r;

		if (!is_there(copy) || is_same(copy, path))
			continue;
		r = copy_file(t->cxt, copy, aside);
		if (r)
			return r;
		if (rename(aside, path) < 0)
			return diag_error(t->cxt->diag, -errno, "cannot write %s: %m", path);
	}
	return 0;
}

static int remove_replaceable(const struct taking *t, const struct observed_kernel *kernel)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_free_ char *path = top_file(t->cxt, i, kernel->version);

		if (is_replaceable(t, i, kernel) && unlink(path) < 0 && errno != ENOENT)
			return diag_error(t->cxt->diag, -errno, "cannot remove %s: %m", path);
	}
	return 0;
}

static int exchange(struct taking *t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->goes.n_items; i++)
		r = remove_version(t, t->goes.items[i]);
	for (size_t i = 0; r == 0 && i < t->comes.n_items; i++)
		r = remove_replaceable(t, own_kernel(t, t->comes.items[i]));
	for (size_t i = 0; r == 0 && i < t->comes.n_items; i++)
		r = bring_version(t, own_kernel(t, t->comes.items[i]));
	return r ? r : boot_sync_folder(t->cxt);
}

/*
 * The menu names nothing of what is changed here. Interrupted: it belongs to nobody, and whoever runs next
 * takes it; each of its files is in the store, or stays.
 */
int kernels_take(struct apply_context *cxt, struct observed *have, int64_t started)
{
	_cleanup_free_ char *name = environment_current(cxt->layout);
	struct taking t = { .cxt = cxt, .have = have, .own = store_of(&have->system, name),
			    .started = started };
	int r;

	find_versions(&t);
	decide(&t);
	r = check_room(&t);
	if (r == 0)
		r = set_owner(cxt, STORE_NOBODY);
	if (r == 0)
		r = exchange(&t);
	if (r == 0)
		r = set_owner(cxt, name);
	strv_deinit(&t.versions);
	strv_deinit(&t.comes);
	strv_deinit(&t.goes);
	return r;
}
