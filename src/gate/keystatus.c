/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/keystatus.h"

#include <dlfcn.h>

/* zfs_type_t, which has not changed since OpenZFS 0.8. */
#define TYPE_FILESYSTEM (1 << 0)
#define TYPE_VOLUME	(1 << 2)

struct keystatus {
	void *library;
	void *handle;
	int property;
	void *(*init)(void);
	void (*fini)(void *handle);
	void (*print_on_error)(void *handle, int print);
	void *(*open)(void *handle, const char *name, int types);
	void (*close)(void *dataset);
	uint64_t (*get)(void *dataset, int property);
	int (*property_of)(const char *name);
};

/* The newest first; each had these functions with these arguments. */
static const char *const libraries[] = { "libzfs.so.7", "libzfs.so.6", "libzfs.so.5",
					 "libzfs.so.4" };

static bool find_functions(struct keystatus *k)
{
	const struct {
		const char *name;
		void **function;
	} all[] = {
		{ "libzfs_init", (void **)&k->init },
		{ "libzfs_fini", (void **)&k->fini },
		{ "libzfs_print_on_error", (void **)&k->print_on_error },
		{ "zfs_open", (void **)&k->open },
		{ "zfs_close", (void **)&k->close },
		{ "zfs_prop_get_int", (void **)&k->get },
		{ "zfs_name_to_prop", (void **)&k->property_of },
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		*all[i].function = dlsym(k->library, all[i].name);
		if (!*all[i].function)
			return false;
	}
	return true;
}

int keystatus_open(struct keystatus **ret)
{
	_cleanup_(keystatus_freep) struct keystatus *k = mem_alloc(sizeof(*k));

	for (size_t i = 0; i < ARRAY_SIZE(libraries) && !k->library; i++)
		k->library = dlopen(libraries[i], RTLD_NOW | RTLD_LOCAL);
	if (!k->library || !find_functions(k))
		return -ENOSYS;
	k->handle = k->init();
	if (!k->handle)
		return -ENODEV;
	k->print_on_error(k->handle, 0);
	k->property = k->property_of("keystatus"); /* known from libzfs_init() on */
	if (k->property < 0)
		return -ENOSYS;
	*ret = take_ptr(k);
	return 0;
}

struct keystatus *keystatus_free(struct keystatus *k)
{
	if (!k)
		return NULL;
	if (k->handle)
		k->fini(k->handle);
	if (k->library)
		(void)dlclose(k->library);
	free(k);
	return NULL;
}

int keystatus_get(struct keystatus *k, const char *name)
{
	void *dataset = k->open(k->handle, name, TYPE_FILESYSTEM | TYPE_VOLUME);
	uint64_t value;

	if (!dataset)
		return -ENOENT;
	value = k->get(dataset, k->property);
	k->close(dataset);
	return value <= KEY_LOADED ? (int)value : -ENOENT;
}
