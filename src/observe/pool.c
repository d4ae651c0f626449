/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Imported pools, through the output that zpool(8) and zfs(8) make for programs (-Hp). */

#include <libmount.h>

#include "observe/observe.h"

/* The tab-separated rows that a command prints; 0 and no rows when it cannot be had. */
static int read_rows(struct runner *run_by, const char *const *argv, struct strv *rows,
		     struct diag *diag)
{
	_cleanup_free_ char *output = NULL;
	int r = run(run_by, &(struct command){ .argv = argv, .ret_output = &output }, diag);

	if (r == 0)
		strv_split(rows, output, "\n");
	return r;
}

/* Column `i` of a row; empty ones count. */
static char *column(const char *row, unsigned i)
{
	for (; i; i--) {
		row += strcspn(row, "\t");
		row += *row == '\t';
	}
	return str_printf("%.*s", (int)strcspn(row, "\t"), row);
}

static char *column_unless_dash(const char *row, unsigned i)
{
	_cleanup_free_ char *text = column(row, i);

	return streq(text, "-") ? NULL : take_ptr(text);
}

static bool is_column(const char *row, unsigned i, const char *text)
{
	_cleanup_free_ char *is = column(row, i);

	return streq(is, text);
}

static uint64_t number(const char *row, unsigned i)
{
	_cleanup_free_ char *text = column(row, i);
	uint64_t value = 0;

	(void)str_to_u64(text, &value);
	return value;
}

/* Rows "name property value source" of zpool(8): what can be set, which has a source, but for features. */
static void take_pool_properties(const struct strv *rows, struct list *properties)
{
	for (size_t i = 0; i < rows->n_items; i++) {
		_cleanup_free_ char *property = column(rows->items[i], 1);
		_cleanup_free_ char *value = column(rows->items[i], 2);

		if (!is_column(rows->items[i], 3, "-") && !starts_with(property, "feature@"))
			pair_set(properties, property, value);
	}
}

/* Property rows "name property value" of the object called `name` into `properties`. */
static void take_properties(const struct strv *rows, const char *name, struct list *properties)
{
	for (size_t i = 0; i < rows->n_items; i++) {
		_cleanup_free_ char *object = column(rows->items[i], 0);
		_cleanup_free_ char *property = column(rows->items[i], 1);
		_cleanup_free_ char *value = column(rows->items[i], 2);

		if (streq(object, name))
			pair_set(properties, property, value);
	}
}

static void mounts_freep(struct libmnt_table **table)
{
	mnt_unref_table(*table);
}

static char *mounted_at(struct libmnt_table *mounts, const char *dataset)
{
	struct libmnt_fs *fs =
		mounts ? mnt_table_find_srcpath(mounts, dataset, MNT_ITER_BACKWARD) : NULL;

	return fs && streq(mnt_fs_get_fstype(fs), "zfs") ? str_dup(mnt_fs_get_target(fs)) : NULL;
}

/* Where it is mounted is shown below the altroot; what is set is without. */
static void strip_altroot(struct observed_dataset *dataset, const char *altroot)
{
	const char *shown = pair_get(&dataset->properties, "mountpoint");
	const char *rest = shown && altroot ? starts_with(shown, altroot) : NULL;
	_cleanup_free_ char *set = NULL;

	if (!rest || (*rest && *rest != '/'))
		return;
	set = str_dup(*rest ? rest : "/");
	pair_set(&dataset->properties, "mountpoint", set);
}

static int observe_datasets(struct runner *run_by, struct observed_pool *pool, struct diag *diag)
{
	const char *const list[] = { "zfs", "list", "-Hp", "-r", "-t", "filesystem,volume", "-o",
				     "name,type,encryptionroot,keystatus,origin,creation,used",
				     pool->name, NULL };
	const char *const get[] = { "zfs", "get", "-Hp", "-r", "-t", "filesystem,volume", "-s",
				    "local", "-o", "name,property,value", "all", pool->name,
				    NULL };
	_cleanup_(mounts_freep) struct libmnt_table *mounts =
		mnt_new_table_from_file("/proc/self/mountinfo");
	_cleanup_strv_ struct strv rows = STRV_NULL, properties = STRV_NULL;
	int r;

	r = read_rows(run_by, list, &rows, diag);
	if (r == 0)
		r = read_rows(run_by, get, &properties, diag);
	if (r)
		return r;
	for (size_t i = 0; i < rows.n_items; i++) {
		struct observed_dataset *dataset =
			list_add(&pool->datasets, &record_observed_dataset);

		dataset->name = column(rows.items[i], 0);
		dataset->type = column(rows.items[i], 1);
		dataset->encryption_root = column_unless_dash(rows.items[i], 2);
		dataset->locked = is_column(rows.items[i], 3, "unavailable");
		dataset->origin = column_unless_dash(rows.items[i], 4);
		dataset->created = number(rows.items[i], 5);
		dataset->used = number(rows.items[i], 6);
		dataset->mounted = mounted_at(mounts, dataset->name);
		take_properties(&properties, dataset->name, &dataset->properties);
		strip_altroot(dataset, pool->altroot);
	}
	return 0;
}

/* Every device in the pool, its cache and spares too; those that are away have no node. */
static void observe_devices(struct runner *run_by, struct observed_pool *pool)
{
	_cleanup_strv_ struct strv rows = STRV_NULL;

	if (read_rows(run_by, (const char *const[]){ "zpool", "list", "-vHLP", pool->name, NULL }, &rows,
		      NULL))
		return;
	for (size_t i = 0; i < rows.n_items; i++) {
		_cleanup_free_ char *node = column(rows.items[i], *rows.items[i] == '\t');

		if (starts_with(node, "/dev/") && access(node, F_OK) == 0 &&
		    !strv_has(&pool->devices, node))
			strv_add(&pool->devices, node);
	}
}

static int observe_pool(struct runner *run_by, struct observed_pool *pool, const char *row,
			struct diag *diag)
{
	_cleanup_strv_ struct strv properties = STRV_NULL;
	int r;

	pool->name = column(row, 0);
	pool->guid = column(row, 1);
	pool->health = column(row, 2);
	pool->altroot = column_unless_dash(row, 3);
	r = read_rows(run_by,
		      (const char *const[]){ "zpool", "get", "-Hp", "-o",
					     "name,property,value,source", "all", pool->name, NULL },
		      &properties, diag);
	if (r)
		return r;
	take_pool_properties(&properties, &pool->properties);
	observe_devices(run_by, pool);
	return observe_datasets(run_by, pool, diag);
}

int observe_pools(struct runner *run_by, struct observed *observed, struct diag *diag)
{
	const char *const list[] = { "zpool", "list", "-Hp", "-o", "name,guid,health,altroot",
				     NULL };
	_cleanup_strv_ struct strv rows = STRV_NULL;
	int r = 0;

	/* Without the module there is no imported pool, and asking would load it. */
	if (access("/dev/zfs", F_OK) < 0)
		return 0;
	r = read_rows(run_by, list, &rows, diag);
	for (size_t i = 0; r == 0 && i < rows.n_items; i++)
		r = observe_pool(run_by, list_add(&observed->pools, &record_observed_pool),
				 rows.items[i], diag);
	return r;
}
