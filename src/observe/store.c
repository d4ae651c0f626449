/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Kernels of boot environments that /boot keeps. Each is looked at once, however many have it. */

#include <dirent.h>

#include "base/file.h"
#include "observe/observe.h"

#define HASH_DIGITS (KERNEL_HASH_SIZE - 1)

/* Both become names of a folder. */
static void take_kernel(const char *words, struct list *kernels)
{
	size_t n = strcspn(words, " ");
	const char *hash = words[n] ? words + n + 1 : "";
	struct observed_kernel *kernel;

	if (!n || strchr(words, '/') || strlen(hash) != HASH_DIGITS ||
	    strspn(hash, "0123456789abcdef") != HASH_DIGITS)
		return;
	kernel = list_add(kernels, &record_observed_kernel);
	kernel->version = str_printf("%.*s", (int)n, words);
	kernel->hash = str_dup(hash);
	kernel->has_zfs = true;
}

void stored_parse(const char *text, struct observed_stored *ret)
{
	_cleanup_strv_ struct strv lines = STRV_NULL;

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n_items; i++) {
		const char *options = starts_with(lines.items[i], "options ");
		const char *kernel = starts_with(lines.items[i], "kernel ");

		if (options)
			str_set(&ret->options, options);
		if (kernel)
			take_kernel(kernel, &ret->kernels);
	}
}

static const struct observed_kernel *find_known(const struct list *stored,
						const struct observed_kernel *wanted)
{
	FOR_EACH_ITEM(struct observed_stored, other, stored)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &other->kernels)
			if (streq(kernel->version, wanted->version) &&
			    streq(kernel->hash, wanted->hash))
				return kernel;
	return NULL;
}

/* One whose files are gone, or are not what they were, starts nothing. */
static bool is_whole(const char *root, const struct list *known, struct observed_kernel *kernel)
{
	_cleanup_free_ char *folder = str_printf("%s/boot/" STORE_FOLDER "/%s-%s", root,
						 kernel->version, kernel->hash);
	_cleanup_free_ char *image = str_printf("%s/vmlinuz", folder);
	_cleanup_free_ char *initrd = str_printf("%s/initrd.img", folder);
	char hash[KERNEL_HASH_SIZE];

	kernel->size = file_size(image) + file_size(initrd);
	return find_known(known, kernel) ||
	       (kernel_hash(image, initrd, hash) == 0 && streq(hash, kernel->hash));
}

static void read_list(const char *root, const struct list *known, const char *name,
		      struct observed_stored *stored)
{
	_cleanup_free_ char *path = str_printf("%s/boot/" STORE_LISTS "/%s", root, name);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct observed_kernel *all;
	size_t n = 0;

	stored->name = str_dup(name);
	if (file_read(path, &text) || !text.size)
		return;
	stored_parse(text.data, stored);
	all = stored->kernels.items;
	for (size_t i = 0; i < stored->kernels.n_items; i++) {
		if (is_whole(root, known, &all[i]))
			all[n++] = all[i];
		else
			record_deinit(&record_observed_kernel, &all[i]);
	}
	stored->kernels.n_items = n;
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

		if (*entry->d_name == '.' || file_is_aside(entry->d_name))
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
