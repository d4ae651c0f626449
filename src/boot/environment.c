/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/environment.h"

#include "boot/text.h"
#include "plan/name.h"

#define NAME_MAX_SIZE 48
#define ROOT_PARAMETER "root=zfs:"

static size_t folder_length(const struct layout *layout)
{
	const char *name = layout_root(layout)->name, *slash = strrchr(name, '/');

	return slash ? (size_t)(slash - name) : 0;
}

char *environment_folder(const struct layout *layout)
{
	size_t n = folder_length(layout);

	return str_printf("%s%s%.*s", layout->pool.name, n ? "/" : "", (int)n,
			  layout_root(layout)->name);
}

char *environment_current(const struct layout *layout)
{
	const char *name = layout_root(layout)->name, *slash = strrchr(name, '/');

	return str_dup(slash ? slash + 1 : name);
}

/* The last part of its name when it lies in the folder itself, or NULL. */
static const char *name_in_folder(const char *folder, const char *dataset)
{
	const char *rest = starts_with(dataset, folder);

	return rest && *rest == '/' && rest[1] && !strchr(rest + 1, '/') ? rest + 1 : NULL;
}

static bool is_finished(const char *state)
{
	return starts_with(state, STATE_DONE) || starts_with(state, STATE_CONFIGURED);
}

static struct environment *add(struct environments *list, const char *dataset,
			       const struct observed_dataset *have)
{
	struct environment *environment;

	list->items = mem_grow(list->items, list->n_items, sizeof(*list->items));
	environment = &list->items[list->n_items++];
	environment->name = str_dup(strrchr(dataset, '/') + 1);
	environment->dataset = str_dup(dataset);
	environment->have = have;
	return environment;
}

static void add_other(struct environments *list, const char *folder,
		      const struct observed_dataset *dataset, const char *filling)
{
	const char *name = name_in_folder(folder, dataset->name);
	const char *state = pair_get(&dataset->properties, NAME_STATE_PROPERTY);
	bool half_made = state && streq(state, STATE_CLONING);

	if (!name || streq(dataset->name, list->items[0].dataset) || !state ||
	    !streq(dataset->type, "filesystem") || dataset->locked ||
	    !streq(pair_get(&dataset->properties, "mountpoint"), "/") ||
	    (!half_made && !is_finished(state)))
		return;
	add(list, dataset->name, dataset)->half_made = half_made && !streq(name, filling);
}

void environments_make(const struct layout *layout, const struct observed *have,
		       const char *filling, struct environments *ret)
{
	const struct observed_pool *pool = observed_pool(have, layout->pool.name);
	const char *bootfs = pool ? pair_get(&pool->properties, "bootfs") : NULL;
	_cleanup_free_ char *folder = environment_folder(layout);
	_cleanup_free_ char *root = name_dataset(&layout->pool, layout_root(layout)->name);
	bool any = false;

	*ret = (struct environments)ENVIRONMENTS_NULL;
	add(ret, root, pool ? observed_dataset(pool, root) : NULL)->current = true;
	if (pool)
		FOR_EACH_ITEM(struct observed_dataset, dataset, &pool->datasets)
			add_other(ret, folder, dataset, filling);
	FOR_EACH_ENVIRONMENT(environment, ret)
		any |= environment->active = !environment->half_made &&
					     streq(environment->dataset, bootfs);
	if (!any)
		ret->items[0].active = true;
}

void environments_deinit(struct environments *environments)
{
	FOR_EACH_ENVIRONMENT(environment, environments)
	{
		free(environment->name);
		free(environment->dataset);
	}
	free(environments->items);
	*environments = (struct environments)ENVIRONMENTS_NULL;
}

const struct environment *environment_named(const struct environments *list, const char *name)
{
	FOR_EACH_ENVIRONMENT(environment, list)
		if (streq(environment->name, name))
			return environment;
	return NULL;
}

size_t environments_count(const struct environments *list)
{
	size_t n = 0;

	FOR_EACH_ENVIRONMENT(environment, list)
		n += !environment->half_made;
	return n;
}

const struct environment *environment_in_menu(const struct environments *list,
					      const struct environment *environment)
{
	return environments_count(list) > 1 ? environment : NULL;
}

/* following */

static bool is_mounted_as_root(const struct observed *have, const struct environment *environment)
{
	const char *mounted = environment->have ? environment->have->mounted : NULL;

	return mounted && (streq(mounted, "/") || streq(mounted, have->system.root));
}

static const struct environment *find_current(const struct observed *have,
					      const struct environments *list)
{
	FOR_EACH_ENVIRONMENT(environment, list)
		if (is_mounted_as_root(have, environment))
			return environment;
	FOR_EACH_ENVIRONMENT(environment, list)
		if (environment->active)
			return environment;
	return NULL;
}

void environment_follow(struct layout *layout, const struct observed *have)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	const struct environment *current;

	environments_make(layout, have, NULL, &list);
	current = find_current(have, &list);
	if (!current || current->current)
		return;
	FOR_EACH_ITEM(struct layout_dataset, dataset, &layout->pool.datasets)
		if (dataset == layout_root(layout)) {
			str_set(&dataset->name, current->dataset + strlen(layout->pool.name) + 1);
			return;
		}
}

/* names and entries */

bool environment_name_is_good(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_");

	return n && !name[n] && n <= NAME_MAX_SIZE && *name != '-';
}

bool environment_is_started_by(const char *options, const char *dataset, bool else_it)
{
	const char *at = options ? strstr(options, ROOT_PARAMETER) : NULL;
	size_t n;

	if (!at)
		return false;
	at += strlen(ROOT_PARAMETER);
	n = strcspn(at, " \n");
	if (n == strlen("AUTO") && strncmp(at, "AUTO", n) == 0)
		return else_it;
	return n == strlen(dataset) && strncmp(at, dataset, n) == 0;
}

static bool has_kernel(const struct list *entries, const struct observed_entry *wanted)
{
	FOR_EACH_ITEM(struct observed_entry, entry, entries)
		if (streq(entry->version, wanted->version) && streq(entry->hash, wanted->hash))
			return true;
	return false;
}

void environment_entries(const struct layout *layout, const struct observed *have,
			 const struct environment *environment, struct list *ret)
{
	FOR_EACH_MEMBER_DISK(want, layout)
	{
		const struct observed_disk *disk = observed_disk(have, want->path);
		const struct observed_partition *esp =
			disk ? find_partition(layout, disk, ROLE_ESP, want->name) : NULL;

		if (!esp)
			continue;
		FOR_EACH_ITEM(struct observed_entry, entry, &esp->esp.entries)
			if (!boot_version_is_before(entry->version) &&
			    environment_is_started_by(entry->options, environment->dataset,
						      environment->current) &&
			    !has_kernel(ret, entry))
				record_copy(&record_observed_entry,
					    list_add(ret, &record_observed_entry), entry);
	}
}
