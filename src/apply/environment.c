/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/environment.h"

#include "apply/internal.h"

/* Said for the clone by itself, decided when a file system is made, or room that is not there twice. */
static bool is_copied(const char *property)
{
	static const char *const not[] = {
		"mountpoint", "canmount", NAME_STATE_PROPERTY, "encryption", "keyformat",
		"keylocation", "pbkdf2iters", "casesensitivity", "normalization", "utf8only",
		"version", "reservation", "refreservation",
	};

	for (size_t i = 0; i < ARRAY_SIZE(not); i++)
		if (streq(property, not[i]))
			return false;
	return true;
}

bool environment_has_snapshot(struct apply_context *cxt, const char *snapshot)
{
	const char *const argv[] = { "zfs", "list", "-H", "-t", "snapshot", "-o", "name", snapshot,
				     NULL };

	return run(cxt->run, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL }, NULL) == 0;
}

static char *own_snapshot(const char *source, const char *dataset)
{
	return str_printf("%s@" NAME_CLONE_SNAPSHOT "%s", source, strrchr(dataset, '/') + 1);
}

/* One of that name is of an environment that is gone, or was never finished. */
static int take_snapshot(struct apply_context *cxt, const char *snapshot)
{
	int r = 0;

	if (environment_has_snapshot(cxt, snapshot))
		r = run_words(cxt->run, cxt->diag, "zfs", "destroy", snapshot, NULL);
	return r ? r : run_words(cxt->run, cxt->diag, "zfs", "snapshot", snapshot, NULL);
}

/*
 * Cloning is one transaction of ZFS: interrupted, the clone is there with all its properties, or is
 * not. A snapshot that is left is taken again by the next run.
 */
int environment_clone(struct apply_context *cxt, const struct environment *source,
		      const char *snapshot, const char *dataset)
{
	_cleanup_free_ char *own = snapshot ? NULL : own_snapshot(source->dataset, dataset);
	_cleanup_strv_ struct strv argv = STRV_NULL;
	int r = own ? take_snapshot(cxt, own) : 0;

	if (r)
		return r;
	strv_add_all(&argv, "zfs", "clone", "-o", "canmount=noauto", "-o", "mountpoint=/", "-o",
		     NAME_STATE_PROPERTY "=" STATE_CLONING, NULL);
	FOR_EACH_ITEM(struct pair, property, &source->have->properties)
	{
		if (!is_copied(property->name))
			continue;
		strv_add(&argv, "-o");
		strv_addf(&argv, "%s=%s", property->name, property->value);
	}
	strv_add(&argv, own ? own : snapshot);
	strv_add(&argv, dataset);
	r = run(cxt->run, &(struct command){ .argv = (const char *const *)argv.items }, cxt->diag);
	if (r && own)
		(void)run_words(cxt->run, NULL, "zfs", "destroy", own, NULL);
	return r;
}

int environment_set_state(struct apply_context *cxt, const char *dataset, const char *state)
{
	int r = pool_sync(cxt, &cxt->layout->pool);

	return r ? r : dataset_set(cxt, dataset, NAME_STATE_PROPERTY, state);
}

/* That of the dataset before the "@", or that of a system of which no more is known. */
static char *state_of_origin(struct observed_pool *pool, const char *origin)
{
	_cleanup_free_ char *name = str_dup(origin);
	const struct observed_dataset *source;
	const char *state;

	if (name)
		name[strcspn(name, "@")] = '\0';
	source = name ? observed_dataset(pool, name) : NULL;
	state = source ? pair_get(&source->properties, NAME_STATE_PROPERTY) : NULL;
	return str_dup(state && starts_with(state, STATE_DONE) ? state : STATE_DONE);
}

int environment_finish(struct apply_context *cxt, struct observed *have)
{
	struct observed_pool *pool = observed_pool(have, cxt->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&cxt->layout->pool, layout_root(cxt->layout)->name);
	struct observed_dataset *current = pool ? observed_dataset(pool, root) : NULL;
	_cleanup_free_ char *state = NULL;
	int r;

	if (!current || pool->altroot || !streq(current->mounted, "/") ||
	    !streq(pair_get(&current->properties, NAME_STATE_PROPERTY), STATE_CLONING))
		return 0;
	state = state_of_origin(pool, current->origin);
	r = environment_set_state(cxt, root, state);
	if (r == 0)
		pair_set(&current->properties, NAME_STATE_PROPERTY, state);
	return r;
}

int environment_check_removal(struct apply_context *cxt, const struct environment *environment)
{
	_cleanup_strv_ struct strv inside = STRV_NULL;
	_cleanup_free_ char *output = NULL;
	const char *const argv[] = { "zfs", "list", "-H", "-r", "-t", "all", "-o", "name",
				     environment->dataset, NULL };
	int r = run(cxt->run, &(struct command){ .argv = argv, .ret_output = &output }, cxt->diag);

	if (r)
		return r;
	strv_split(&inside, output, "\n");
	if (inside.n_items < 2)
		return 0;
	(void)diag_error(cxt->diag, -EBUSY, "%s has %s, which would be lost, too",
			 environment->dataset, inside.items[1]);
	diag_hint(cxt->diag, "zfs destroy what you do not need; zfs promote an environment that was "
		  "cloned from it");
	return -EBUSY;
}

int environment_remove(struct apply_context *cxt, const char *dataset, const char *origin)
{
	const char *at = origin ? strchr(origin, '@') : NULL;
	const char *name = at ? starts_with(at + 1, NAME_CLONE_SNAPSHOT) : NULL;
	int r = run_words(cxt->run, cxt->diag, "zfs", "destroy", dataset, NULL);

	/* Others may have been cloned from it: then it stays. */
	if (r == 0 && streq(name, strrchr(dataset, '/') + 1))
		(void)run(cxt->run, &(struct command){
				.argv = (const char *const[]){ "zfs", "destroy", origin, NULL },
				.flags = RUN_OPTIONAL }, NULL);
	return r;
}

/* Menus follow: until they do, the next start is of the one that was active before. */
int environment_activate(struct apply_context *cxt, const char *dataset)
{
	_cleanup_free_ char *assignment = str_printf("bootfs=%s", dataset);

	return run_words(cxt->run, cxt->diag, "zpool", "set", assignment, cxt->layout->pool.name,
			 NULL);
}
