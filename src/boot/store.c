/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/store.h"

#include "boot/text.h"
#include "observe/observe.h"
#include "plan/name.h"

bool store_is_used(const struct layout *layout, const struct environments *list)
{
	return role_wants_array(layout, ROLE_BOOT) && environments_count(list) > 1;
}

char *store_folder(const struct observed_kernel *kernel)
{
	return str_printf(STORE_FOLDER "/%s-%s", kernel->version, kernel->hash);
}

const struct observed_stored *store_of(const struct observed_system *system, const char *name)
{
	FOR_EACH_ITEM(struct observed_stored, stored, &system->stored)
		if (streq(stored->name, name))
			return stored;
	return NULL;
}

bool store_is_of_another(const struct layout *layout, const struct observed *have)
{
	const char *owner = have->system.boot_owner;
	_cleanup_free_ char *name = environment_current(layout);

	return role_wants_array(layout, ROLE_BOOT) && owner && !streq(owner, name);
}

static void copy_kernels(const struct list *from, struct list *to)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, from)
		if (kernel->has_zfs && kernel->hash)
			record_copy(&record_observed_kernel, list_add(to, &record_observed_kernel),
				    kernel);
}

/* The one that it is a clone of, by its snapshot "DATASET@NAME". */
static const struct environment *source_of(const struct environments *list,
					   const struct environment *clone)
{
	const char *origin = clone->have ? clone->have->origin : NULL;

	FOR_EACH_ENVIRONMENT(environment, list)
	{
		const char *rest = origin ? starts_with(origin, environment->dataset) : NULL;

		if (rest && *rest == '@')
			return environment;
	}
	return NULL;
}

static bool is_new(const struct environment *environment)
{
	const struct observed_dataset *have = environment->have;

	return have && !environment->half_made && !environment->current &&
	       streq(pair_get(&have->properties, NAME_STATE_PROPERTY), STATE_CLONING);
}

void store_kernels(const struct layout *layout, const struct observed *have,
		   const struct environments *list, const struct environment *environment,
		   struct list *ret, char **ret_options)
{
	const struct observed_stored *stored = store_of(&have->system, environment->name);
	const struct environment *source = is_new(environment) ? source_of(list, environment) : NULL;

	if (source && !is_new(source)) {
		store_kernels(layout, have, list, source, ret, ret_options);
	} else if (environment->current && !store_is_of_another(layout, have)) {
		*ret_options = boot_options(layout);
		copy_kernels(&have->system.kernels, ret);
	} else {
		*ret_options = str_dup(stored && stored->options ? stored->options : "");
		if (stored)
			copy_kernels(&stored->kernels, ret);
	}
}

bool store_keeps(const struct layout *layout, const struct observed *have,
		 const struct environments *list, const char *name)
{
	const struct observed_pool *pool = observed_pool(have, layout->pool.name);
	const struct environment *environment = environment_named(list, name);
	_cleanup_free_ char *folder = environment_folder(layout);
	_cleanup_free_ char *dataset = str_printf("%s/%s", folder, name);

	if (environment)
		return !environment->half_made && store_is_used(layout, list);
	return !pool || observed_dataset(pool, dataset);
}

bool store_has_owner(const struct layout *layout, const struct observed *have,
		     const struct environments *list)
{
	FOR_EACH_ITEM(struct observed_stored, stored, &have->system.stored)
		if (store_keeps(layout, have, list, stored->name))
			return true;
	return store_is_used(layout, list);
}

char *store_list(const char *options, const struct list *kernels)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_printf(&b, BOOT_HEADER "\noptions %s\n", options);
	FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
		strbuf_printf(&b, "kernel %s %s\n", kernel->version, kernel->hash);
	return strbuf_take(&b);
}

/* The menu */

static int by_place(const void *a, const void *b)
{
	const struct environment *const *x = a, *const *y = b;

	if ((*x)->active != (*y)->active)
		return (*x)->active ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

/* In the order of the menu; the caller frees the array. */
static const struct environment **sort_environments(const struct environments *list, size_t *ret_n)
{
	const struct environment **sorted = mem_alloc(list->n_items * sizeof(*sorted));

	*ret_n = 0;
	FOR_EACH_ENVIRONMENT(environment, list)
		if (!environment->half_made)
			sorted[(*ret_n)++] = environment;
	qsort(sorted, *ret_n, sizeof(*sorted), by_place);
	return sorted;
}

/* Of the current one that finds no room for a copy, what lies in /boot itself has to do. */
static char *menu_of_several(const struct layout *layout, const struct observed *have,
			     const struct environments *list)
{
	size_t n, n_choices = 0;
	_cleanup_free_ const struct environment **sorted = sort_environments(list, &n);
	_cleanup_free_ struct boot_choice *choices = mem_alloc(n * sizeof(*choices));
	_cleanup_free_ char *options = boot_options(layout);

	for (size_t i = 0; i < n; i++) {
		const struct observed_stored *stored = store_of(&have->system, sorted[i]->name);

		if (stored && stored->kernels.n_items)
			choices[n_choices++] = (struct boot_choice){
				sorted[i], true, stored->options, &stored->kernels };
		else if (sorted[i]->current && !store_is_of_another(layout, have))
			choices[n_choices++] = (struct boot_choice){ sorted[i], false, options,
								     &have->system.kernels };
	}
	return boot_grub_config(layout, choices, n_choices);
}

char *store_menu(const struct layout *layout, const struct observed *have, const char *filling)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	_cleanup_free_ char *options = boot_options(layout);
	const struct boot_choice alone = { NULL, false, options, &have->system.kernels };

	environments_make(layout, have, filling, &list);
	return store_is_used(layout, &list) ? menu_of_several(layout, have, &list) :
					      boot_grub_config(layout, &alone, 1);
}

/* in step */

static bool has_kernel(const struct list *kernels, const struct observed_kernel *wanted)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
		if (streq(kernel->version, wanted->version) && streq(kernel->hash, wanted->hash))
			return true;
	return false;
}

static bool is_stored(const struct observed_stored *stored, const struct list *kernels,
		      const char *options)
{
	bool all = stored && streq(stored->options ? stored->options : "", options) &&
		   stored->kernels.n_items == kernels->n_items;

	FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
		all = all && has_kernel(&stored->kernels, kernel);
	return all;
}

static bool has_its_own(const struct layout *layout, const struct observed *have,
			const struct environments *list, const struct environment *environment)
{
	_cleanup_free_ char *options = NULL;
	struct list kernels = {};
	bool is;

	store_kernels(layout, have, list, environment, &kernels, &options);
	is = !kernels.n_items ||
	     is_stored(store_of(&have->system, environment->name), &kernels, options);
	list_deinit(&kernels, &record_observed_kernel);
	return is;
}

bool store_in_step(const struct layout *layout, const struct observed *have, const char *filling)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	const struct observed_system *system = &have->system;
	bool all, used;

	environments_make(layout, have, filling, &list);
	used = store_is_used(layout, &list);
	all = streq(system->boot_owner,
		    store_has_owner(layout, have, &list) ? list.items[0].name : NULL);
	FOR_EACH_ITEM(struct observed_stored, stored, &system->stored)
		all = all && store_keeps(layout, have, &list, stored->name);
	FOR_EACH_ENVIRONMENT(environment, &list)
		if (used && all && !environment->half_made)
			all = has_its_own(layout, have, &list, environment);
	return all;
}

/* a sync as a value */

static void set_stored(struct observed_system *system, const char *name, struct list *kernels,
		       char *options)
{
	struct observed_stored *stored = NULL;

	FOR_EACH_ITEM(struct observed_stored, one, &system->stored)
		if (streq(one->name, name))
			stored = one;
	if (!stored)
		stored = list_add(&system->stored, &record_observed_stored);
	record_deinit(&record_observed_stored, stored);
	*stored = (struct observed_stored){ str_dup(name), options, *kernels };
}

static void drop_lists(const struct layout *layout, struct observed *have,
		       const struct environments *list)
{
	struct observed_stored *stored = have->system.stored.items;
	size_t n = 0;

	for (size_t i = 0; i < have->system.stored.n_items; i++) {
		if (store_keeps(layout, have, list, stored[i].name))
			stored[n++] = stored[i];
		else
			record_deinit(&record_observed_stored, &stored[i]);
	}
	have->system.stored.n_items = n;
}

void store_model(const struct layout *layout, struct observed *have, const char *filling)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;

	environments_make(layout, have, filling, &list);
	FOR_EACH_ENVIRONMENT(environment, &list)
		if (store_is_used(layout, &list) && !environment->half_made &&
		    (environment->current || is_new(environment))) {
			struct list kernels = {};
			char *options;

			store_kernels(layout, have, &list, environment, &kernels, &options);
			set_stored(&have->system, environment->name, &kernels, options);
		}
	drop_lists(layout, have, &list);
	str_set(&have->system.boot_owner,
		store_has_owner(layout, have, &list) ? list.items[0].name : NULL);
}

void store_model_take(const struct layout *layout, struct observed *have)
{
	_cleanup_free_ char *name = environment_current(layout);
	const struct observed_stored *own = store_of(&have->system, name);

	if (own && own->kernels.n_items) {
		list_deinit(&have->system.kernels, &record_observed_kernel);
		copy_kernels(&own->kernels, &have->system.kernels);
	}
	str_set(&have->system.boot_owner, name);
}
