/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernels of boot environments that /boot keeps. Each is looked at once, however many have it. */

#include <dirent.h>

#include "base/file.h"
#include "observe/observe.h"

static const struct observed_kernel *find_known(const struct list *stored, const char *version,
						const char *hash)
{
	FOR_EACH_ITEM(struct observed_stored, other, stored)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &other->kernels)
			if (streq(kernel->version, version) && streq(kernel->hash, hash))
				return kernel;
	return NULL;
}

/* One whose files are gone, or are not what they were, starts nothing. */
static void add_kernel(const char *root, const struct list *known, const char *version,
		       const char *hash, struct list *kernels)
{
	_cleanup_free_ char *folder = str_printf("%s/boot/" STORE_FOLDER "/%s-%s", root, version, hash);
	_cleanup_free_ char *image = str_printf("%s/vmlinuz", folder);
	_cleanup_free_ char *initrd = str_printf("%s/initrd.img", folder);
	const struct observed_kernel *same = find_known(known, version, hash);
	struct observed_kernel *kernel;
	char is[KERNEL_HASH_SIZE];

	if (!same && (kernel_hash(image, initrd, is) || !streq(is, hash)))
		return;
	kernel = list_add(kernels, &record_observed_kernel);
	kernel->version = str_dup(version);
	kernel->hash = str_dup(hash);
	kernel->has_zfs = true;
	kernel->size = same ? same->size : file_size(image) + file_size(initrd);
}

/* "options PARAMETERS" and "kernel VERSION HASH", as store_list() has it. */
static void take_line(const char *root, const struct list *known, const char *line,
		      struct observed_stored *stored)
{
	const char *options = starts_with(line, "options "), *rest = starts_with(line, "kernel ");
	_cleanup_strv_ struct strv words = STRV_NULL;

	if (options)
		str_set(&stored->options, options);
	if (!rest || strchr(rest, '/'))
		return;
	strv_split(&words, rest, " ");
	if (words.n_items == 2)
		add_kernel(root, known, words.items[0], words.items[1], &stored->kernels);
}

static void read_list(const char *root, const struct list *known, const char *name,
		      struct observed_stored *stored)
{
	_cleanup_free_ char *path = str_printf("%s/boot/" STORE_LISTS "/%s", root, name);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	_cleanup_strv_ struct strv lines = STRV_NULL;

	stored->name = str_dup(name);
	if (file_read(path, &text) || !text.size)
		return;
	strv_split(&lines, text.data, "\n");
	for (size_t i = 0; i < lines.n_items; i++)
		take_line(root, known, lines.items[i], stored);
}

/* Of an interrupted file_replace(). */
static bool is_aside(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && streq(end, FILE_ASIDE);
}

static int by_name(const void *a, const void *b)
{
	const struct observed_stored *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void observe_store(const char *root, struct observed_system *system)
{
	_cleanup_free_ char *owner = str_printf("%s/boot/" STORE_OWNER, root);
	_cleanup_free_ char *folder = str_printf("%s/boot/" STORE_LISTS, root);
	DIR *dir = opendir(folder);
	struct dirent *entry;

	system->boot_owner = file_read_line(owner);
	while (dir && (entry = readdir(dir))) {
		struct observed_stored stored = {};

		if (*entry->d_name == '.' || is_aside(entry->d_name))
			continue;
		read_list(root, &system->stored, entry->d_name, &stored);
		*(struct observed_stored *)list_add(&system->stored, &record_observed_stored) = stored;
	}
	if (dir)
		closedir(dir);
	if (system->stored.n_items)
		qsort(system->stored.items, system->stored.n_items, sizeof(struct observed_stored),
		      by_name);
}
