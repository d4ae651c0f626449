/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* eyrie boot list, create, activate, destroy: boot environments. */

#include <libsmartcols.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "apply/environment.h"
#include "apply/lock.h"
#include "boot/store.h"
#include "cli/boot.h"
#include "observe/observe.h"
#include "plan/name.h"

struct machine {
	struct cli *cli;
	struct layout *layout;
	struct observed *have;
	struct environments list;
	struct apply_context cxt;
	int lock;
};

#define MACHINE(c)                                                                             \
	{                                                                                      \
		.cli = (c), .lock = -1                                                         \
	}

static void machine_close(struct machine *m)
{
	environments_deinit(&m->list);
	m->have = observed_free(m->have);
	m->layout = layout_free(m->layout);
	closep(&m->lock);
}

static void find_environments(struct machine *m)
{
	environments_deinit(&m->list);
	environments_make(m->layout, m->have, NULL, &m->list);
}

static enum cli_exit machine_open(struct machine *m, size_t n_names, bool writes)
{
	struct cli *cli = m->cli;
	const char *path = cli->n_args > 1 + n_names ? cli->args[1 + n_names] : CLI_LAYOUT_FILE;

	if (layout_read(path, &m->layout, &cli->diag))
		return CLI_REFUSED;
	if ((writes && lock_take(&m->lock, &cli->diag)) ||
	    cli_observe(cli, m->layout, &m->have))
		return CLI_FAILED;
	find_environments(m);
	m->cxt = (struct apply_context){ .layout = m->layout, .target = "", .run = &cli->run,
					 .diag = &cli->diag };
	return CLI_OK;
}

static bool is_running(const struct environment *environment)
{
	return environment->have && streq(environment->have->mounted, "/");
}

static void say(const struct machine *m, const char *what, const char *name)
{
	if (!m->cli->options.quiet)
		fprintf(stderr, "%s %s\n", what, name);
}

/* list */

enum { COLUMN_NAME, COLUMN_ACTIVE, COLUMN_RUNNING, COLUMN_CREATED, COLUMN_USED, COLUMN_KERNELS };

static void list_kernels(const struct machine *m, const struct environment *environment,
			 struct strv *ret)
{
	const struct list *kernels = &m->have->system.kernels;
	const struct observed_stored *stored = store_of(&m->have->system, environment->name);
	bool in_boot = environment->current && !store_is_of_another(m->layout, m->have);
	struct list entries = {};

	if (in_boot && kernels->n_items) {
		FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
			if (kernel->has_zfs)
				strv_add(ret, kernel->version);
		return;
	}
	if (stored)
		FOR_EACH_ITEM(struct observed_kernel, kernel, &stored->kernels)
			strv_add(ret, kernel->version);
	environment_entries(m->layout, m->have, environment, &entries);
	FOR_EACH_ITEM(struct observed_entry, entry, &entries)
		if (!strv_has(ret, entry->version))
			strv_add(ret, entry->version);
	list_deinit(&entries, &record_observed_entry);
}

static struct json_object *environment_json(const struct machine *m,
					    const struct environment *environment)
{
	struct json_object *json = json_object_new_object(), *array = json_object_new_array();
	const struct observed_dataset *have = environment->have;
	_cleanup_strv_ struct strv kernels = STRV_NULL;

	list_kernels(m, environment, &kernels);
	for (size_t i = 0; i < kernels.n_items; i++)
		json_object_array_add(array, json_object_new_string(kernels.items[i]));
	json_object_object_add(json, "name", json_object_new_string(environment->name));
	json_object_object_add(json, "dataset", json_object_new_string(environment->dataset));
	json_object_object_add(json, "active", json_object_new_boolean(environment->active));
	json_object_object_add(json, "running", json_object_new_boolean(is_running(environment)));
	json_object_object_add(json, "half-made", json_object_new_boolean(environment->half_made));
	json_object_object_add(json, "origin", have->origin ?
					       json_object_new_string(have->origin) : NULL);
	json_object_object_add(json, "created", json_object_new_uint64(have->created));
	json_object_object_add(json, "used", json_object_new_uint64(have->used));
	json_object_object_add(json, "kernels", array);
	return json;
}

static char *date_of(uint64_t seconds)
{
	time_t then = (time_t)seconds;
	struct tm tm;
	char text[32];

	if (!seconds || !localtime_r(&then, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm))
		return str_dup("");
	return str_dup(text);
}

static void add_row(struct libscols_table *table, const struct machine *m,
		    const struct environment *environment)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	_cleanup_free_ char *created = date_of(environment->have->created);
	_cleanup_free_ char *used = str_size_for_people(environment->have->used);
	_cleanup_strv_ struct strv kernels = STRV_NULL;
	_cleanup_free_ char *versions = NULL;

	list_kernels(m, environment, &kernels);
	versions = strv_join(&kernels, ", ");
	(void)scols_line_set_data(line, COLUMN_NAME, environment->name);
	(void)scols_line_set_data(line, COLUMN_ACTIVE, environment->active ? "yes" : "");
	(void)scols_line_set_data(line, COLUMN_RUNNING, is_running(environment) ? "yes" : "");
	(void)scols_line_set_data(line, COLUMN_CREATED, created);
	(void)scols_line_set_data(line, COLUMN_USED, used);
	(void)scols_line_set_data(line, COLUMN_KERNELS, environment->half_made ?
							"half-made: create or destroy it again" :
							versions);
}

static void show_table(const struct machine *m)
{
	static const char *const columns[] = {
		[COLUMN_NAME] = "NAME",	      [COLUMN_ACTIVE] = "ACTIVE", [COLUMN_RUNNING] = "RUNNING",
		[COLUMN_CREATED] = "CREATED", [COLUMN_USED] = "USED",	  [COLUMN_KERNELS] = "KERNELS",
	};
	struct libscols_table *table = scols_new_table();

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		(void)scols_table_new_column(table, columns[i], 0, i == COLUMN_USED ?
								   SCOLS_FL_RIGHT : 0);
	FOR_EACH_ENVIRONMENT(environment, &m->list)
		if (environment->have)
			add_row(table, m, environment);
	(void)scols_print_table(table);
	scols_unref_table(table);
}

enum cli_exit boot_list(struct cli *cli)
{
	_cleanup_(machine_close) struct machine m = MACHINE(cli);
	enum cli_exit status = machine_open(&m, 0, false);
	struct json_object *json, *array;

	if (status != CLI_OK)
		return status;
	if (!cli->options.json) {
		show_table(&m);
		return CLI_OK;
	}
	json = json_object_new_object();
	array = json_object_new_array();
	FOR_EACH_ENVIRONMENT(environment, &m.list)
		if (environment->have)
			json_object_array_add(array, environment_json(&m, environment));
	json_object_object_add(json, "environments", array);
	json_object_object_add(json, "findings", view_findings_json(&cli->diag));
	view_json(json, stdout);
	return CLI_OK;
}

/* what the others need */

static enum cli_exit refused(int r)
{
	(void)r;
	return CLI_REFUSED;
}

/* What has its kernels in a /boot of its own is nothing without it. */
static enum cli_exit check_boot(struct machine *m)
{
	struct diag *diag = &m->cli->diag;

	if (!plan_finds_boot(m->layout, m->have)) {
		(void)diag_error(diag, -ENOENT, "/boot is not mounted, which has the kernels of all boot "
				 "environments");
		diag_hint(diag, "eyrie apply starts its array and mounts it");
		return CLI_REFUSED;
	}
	if (role_wants_array(m->layout, ROLE_BOOT) && !m->have->system.grub) {
		(void)diag_error(diag, -ENOENT, "the system has no GRUB for BIOS machines");
		diag_hint(diag, "apt install grub-pc-bin grub2-common");
		return CLI_REFUSED;
	}
	if (store_is_of_another(m->layout, m->have)) {
		(void)diag_error(diag, -EBUSY, "the kernels in /boot are still those of another boot "
				 "environment");
		diag_hint(diag, "eyrie boot sync exchanges them; it runs at each start, too");
		return CLI_REFUSED;
	}
	return CLI_OK;
}

static enum cli_exit check_machine(struct machine *m)
{
	struct diag *diag = &m->cli->diag;
	const struct observed_pool *pool = observed_pool(m->have, m->layout->pool.name);

	if (pool && !pool->altroot && is_running(&m->list.items[0]))
		return check_boot(m);
	return refused(diag_error(diag, -ENODEV, "boot environments are those of the system that "
				    "runs, and %s is not its root", m->list.items[0].dataset));
}

/* One that somebody named, done or half-made; NULL with a finding. */
static const struct environment *find(struct machine *m, const char *name)
{
	_cleanup_strv_ struct strv names = STRV_NULL;
	_cleanup_free_ char *known = NULL;
	const struct environment *found = environment_named(&m->list, name);

	if (found)
		return found;
	FOR_EACH_ENVIRONMENT(environment, &m->list)
		strv_add(&names, environment->name);
	known = strv_join(&names, ", ");
	(void)diag_error(&m->cli->diag, -ENOENT, "there is no boot environment '%s'", name);
	diag_hint(&m->cli->diag, "there are: %s", known);
	return NULL;
}

static struct observed_dataset *dataset_of(struct machine *m, const char *dataset)
{
	return observed_dataset(observed_pool(m->have, m->layout->pool.name), dataset);
}

/* Again as the pool is now; what was seen of the disks stands. */
static int look_at_pool(struct machine *m)
{
	list_deinit(&m->have->pools, &record_observed_pool);
	if (observe_pools(&m->cli->run, m->have, &m->cli->diag))
		return -EIO;
	find_environments(m);
	return 0;
}

static int look_again(struct machine *m)
{
	m->have = observed_free(m->have);
	if (cli_observe(m->cli, m->layout, &m->have))
		return -EIO;
	find_environments(m);
	return 0;
}

/* create */

struct source {
	const struct environment *environment;
	char *snapshot; /* full name, or NULL: as it is now */
};

static enum cli_exit find_source(struct machine *m, struct source *ret)
{
	_cleanup_free_ char *folder = environment_folder(m->layout);
	_cleanup_free_ char *prefix = str_printf("%s/", folder), *name = NULL;
	const char *from = m->cli->options.from, *at;
	const char *state;

	ret->environment = &m->list.items[0];
	if (from) {
		from = starts_with(from, prefix) ? starts_with(from, prefix) : from;
		at = strchr(from, '@');
		name = str_printf("%.*s", at ? (int)(at - from) : (int)strlen(from), from);
		if (*name)
			ret->environment = find(m, name);
		if (!ret->environment)
			return CLI_REFUSED;
		ret->snapshot = at ? str_printf("%s%s", ret->environment->dataset, at) : NULL;
	}
	state = pair_get(&ret->environment->have->properties, NAME_STATE_PROPERTY);
	if (ret->snapshot && !environment_has_snapshot(&m->cxt, ret->snapshot)) {
		(void)diag_error(&m->cli->diag, -ENOENT, "there is no snapshot %s", ret->snapshot);
		diag_hint(&m->cli->diag, "zfs list -t snapshot shows those that are there");
		return CLI_REFUSED;
	}
	if (state && starts_with(state, STATE_DONE))
		return CLI_OK;
	(void)diag_error(&m->cli->diag, -EINVAL, "%s is not a system that eyrie installed, or not "
			 "finished", ret->environment->dataset);
	diag_hint(&m->cli->diag, "eyrie apply finishes what was begun");
	return CLI_REFUSED;
}

/* FAT knows no difference between upper and lower case. */
static enum cli_exit check_name(struct machine *m, const char *name, const char *dataset)
{
	struct diag *diag = &m->cli->diag;

	if (!environment_name_is_good(name)) {
		(void)diag_error(diag, -EINVAL, "'%s' is no name for a boot environment: up to 48 of "
				 "a-z, 0-9, - and _, not beginning with -", name);
		return CLI_USAGE;
	}
	FOR_EACH_ENVIRONMENT(environment, &m->list)
		if (!environment->half_made && strcasecmp(environment->name, name) == 0)
			return refused(diag_error(diag, -EEXIST, "the boot environment '%s' is "
						    "there already", environment->name));
	if (dataset_of(m, dataset) && !environment_named(&m->list, name))
		return refused(diag_error(diag, -EEXIST, "the dataset %s is there already, and is "
					    "no boot environment", dataset));
	return CLI_OK;
}

/* They would be shared by all of them, and an update that went wrong would have changed them. */
static enum cli_exit check_inside(struct machine *m)
{
	const struct layout_dataset *root = layout_root(m->layout);
	_cleanup_free_ char *prefix = str_printf("%s/", root->name);

	FOR_EACH_ITEM(struct layout_dataset, dataset, &m->layout->pool.datasets)
		if (starts_with(dataset->name, prefix)) {
			(void)diag_error(&m->cli->diag, -EOPNOTSUPP, "the layout has the dataset %s "
					 "inside of the root: a clone would not have it",
					 dataset->name);
			diag_hint(&m->cli->diag, "what belongs to the system goes into the root "
				  "itself, what does not beside it");
			return CLI_REFUSED;
		}
	return CLI_OK;
}

/* Every menu has it, or it is taken back; where that fails, too, it is marked half-made. */
static enum cli_exit publish(struct machine *m, const char *dataset, const char *name,
			     const char *state)
{
	const struct observed_dataset *clone = dataset_of(m, dataset);
	_cleanup_free_ char *origin = str_dup(clone ? clone->origin : NULL);

	if (boot_sync_disks(m->cli, m->layout, m->have, name, NULL) == CLI_OK &&
	    environment_set_state(&m->cxt, dataset, state) == 0)
		return CLI_OK;
	if (look_again(m) == 0 && boot_sync_disks(m->cli, m->layout, m->have, NULL, NULL) == CLI_OK &&
	    environment_remove(&m->cxt, dataset, origin) == 0)
		diag_note(&m->cli->diag, "'%s' was taken back; everything is as it was", name);
	else
		diag_note(&m->cli->diag, "'%s' is half-made: create it again, or eyrie boot destroy "
			  "%s", name, name);
	return CLI_FAILED;
}

static enum cli_exit create(struct machine *m, const struct source *source, const char *name,
			    const char *dataset)
{
	const struct environment *half_made = environment_named(&m->list, name);
	_cleanup_free_ char *state =
		str_dup(pair_get(&source->environment->have->properties, NAME_STATE_PROPERTY));
	enum cli_exit status;

	if (half_made && environment_remove(&m->cxt, dataset, half_made->have->origin))
		return CLI_FAILED;
	sync();
	if (environment_clone(&m->cxt, source->environment, source->snapshot, dataset) ||
	    look_at_pool(m))
		return CLI_FAILED;
	status = publish(m, dataset, name, state);
	if (status == CLI_OK)
		say(m, "created the boot environment", name);
	return status;
}

enum cli_exit boot_create(struct cli *cli)
{
	_cleanup_(machine_close) struct machine m = MACHINE(cli);
	const char *name = cli->args[1];
	_cleanup_free_ char *folder = NULL, *dataset = NULL;
	struct source source = {};
	enum cli_exit status = machine_open(&m, 1, true);

	if (status == CLI_OK)
		status = check_machine(&m);
	if (status == CLI_OK) {
		folder = environment_folder(m.layout);
		dataset = str_printf("%s/%s", folder, name);
		status = check_name(&m, name, dataset);
	}
	if (status == CLI_OK)
		status = check_inside(&m);
	if (status == CLI_OK)
		status = find_source(&m, &source);
	if (status == CLI_OK)
		status = create(&m, &source, name, dataset);
	free(source.snapshot);
	return status;
}

/* one that is there */

static enum cli_exit with_named(struct cli *cli,
				enum cli_exit (*check)(struct machine *, const struct environment *),
				enum cli_exit (*then)(struct machine *, const struct environment *))
{
	_cleanup_(machine_close) struct machine m = MACHINE(cli);
	const struct environment *environment;
	enum cli_exit status = machine_open(&m, 1, true);

	if (status == CLI_OK)
		status = check_machine(&m);
	if (status != CLI_OK)
		return status;
	environment = find(&m, cli->args[1]);
	status = environment ? check(&m, environment) : CLI_REFUSED;
	return status == CLI_OK ? then(&m, environment) : status;
}

/* activate */

/* Boot Loader Specification: "+0" once it did not come up too often; such entries come last. */
static bool has_no_tries(const struct observed_entry *entry)
{
	const char *plus = strrchr(entry->file, '+');

	return plus && plus[1] == '0' && (plus[2] == '-' || plus[2] == '.');
}

static void count_entries(const struct machine *m, const struct environment *environment,
			  size_t *ret_n, size_t *ret_without_tries)
{
	struct list entries = {};

	*ret_without_tries = 0;
	environment_entries(m->layout, m->have, environment, &entries);
	*ret_n = entries.n_items;
	FOR_EACH_ITEM(struct observed_entry, entry, &entries)
		*ret_without_tries += has_no_tries(entry);
	list_deinit(&entries, &record_observed_entry);
}

/* With firmware: both in the two of them. One alone is in GRUB's without a copy of what it has. */
static bool is_in_menus(const struct machine *m, const struct environment *environment,
			size_t n_entries)
{
	const struct observed_stored *stored = store_of(&m->have->system, environment->name);

	return (n_entries || !layout_boots_uefi(m->layout)) &&
	       (environment->current || !role_wants_array(m->layout, ROLE_BOOT) ||
		(stored && stored->kernels.n_items));
}

static enum cli_exit check_activation(struct machine *m, const struct environment *environment)
{
	size_t n, n_without_tries;

	count_entries(m, environment, &n, &n_without_tries);
	if (environment->half_made) {
		(void)diag_error(&m->cli->diag, -EINVAL, "'%s' is half-made", environment->name);
		diag_hint(&m->cli->diag, "eyrie boot create %s makes it anew", environment->name);
		return CLI_REFUSED;
	}
	if (n && n == n_without_tries) {
		diag_warning(&m->cli->diag, "'%s' did not come up too often, and the menu passes over "
			     "it", environment->name);
		diag_hint(&m->cli->diag, "choose it in the menu; once it is up, its tries are "
			  "forgotten");
	}
	if (is_in_menus(m, environment, n))
		return CLI_OK;
	(void)diag_error(&m->cli->diag, -ENOENT, "'%s' is in no boot menu: no disk would start it",
			 environment->name);
	diag_hint(&m->cli->diag, "eyrie boot sync says why");
	return CLI_REFUSED;
}

/* Interrupted: bootfs says it, and the next sync, at the latest at the next start, tells the menus. */
static enum cli_exit activate(struct machine *m, const struct environment *environment)
{
	_cleanup_free_ char *name = str_dup(environment->name);
	enum cli_exit status;

	if (environment_activate(&m->cxt, environment->dataset) || look_at_pool(m))
		return CLI_FAILED;
	status = boot_sync_disks(m->cli, m->layout, m->have, NULL, NULL);
	if (status == CLI_OK)
		say(m, "the next start is of", name);
	return status;
}

enum cli_exit boot_activate(struct cli *cli)
{
	return with_named(cli, check_activation, activate);
}

/* destroy */

static enum cli_exit check_destruction(struct machine *m, const struct environment *environment)
{
	struct diag *diag = &m->cli->diag;

	if (environment->current || environment->active) {
		(void)diag_error(diag, -EBUSY, "'%s' is the boot environment that %s",
				 environment->name,
				 environment->current ? "runs" : "the next start is of");
		diag_hint(diag, "eyrie boot activate another one%s first",
			  environment->current ? " and start it" : "");
		return CLI_REFUSED;
	}
	if (environment->have->mounted)
		return refused(diag_error(diag, -EBUSY, "'%s' is mounted on %s",
					    environment->name, environment->have->mounted));
	return environment_check_removal(&m->cxt, environment) ? CLI_REFUSED : CLI_OK;
}

static bool is_in_a_menu(const struct machine *m, const char *name)
{
	const struct environment *environment = environment_named(&m->list, name);
	size_t n = 0, n_without_tries;

	if (environment)
		count_entries(m, environment, &n, &n_without_tries);
	return n || store_of(&m->have->system, name);
}

/* Out of the menus first: they never name what is not there. Another one's kernel may find no room. */
static enum cli_exit destroy(struct machine *m, const struct environment *environment)
{
	_cleanup_free_ char *name = str_dup(environment->name);
	_cleanup_free_ char *dataset = str_dup(environment->dataset);
	_cleanup_free_ char *origin = str_dup(environment->have->origin);
	enum cli_exit status;

	if (environment_set_state(&m->cxt, dataset, STATE_CLONING) || look_at_pool(m))
		return CLI_FAILED;
	status = boot_sync_disks(m->cli, m->layout, m->have, NULL, NULL);
	if (status != CLI_OK && (look_again(m) || is_in_a_menu(m, name)))
		return status;
	if (environment_remove(&m->cxt, dataset, origin))
		return CLI_FAILED;
	say(m, "destroyed the boot environment", name);
	return status;
}

enum cli_exit boot_destroy(struct cli *cli)
{
	return with_named(cli, check_destruction, destroy);
}
