/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/stat.h>

#include "apply/apply.h"
#include "apply/environment.h"
#include "apply/lock.h"
#include "cli/boot.h"
#include "observe/observe.h"

static void sync_begins(void *context, const struct step *step)
{
	const struct cli *cli = context;

	if (!cli->options.quiet)
		fprintf(stderr, "%s\n", step->text);
}

static void sync_ends(void *context, const struct step *step, double seconds)
{
	(void)context;
	(void)step;
	(void)seconds;
}

/* What starts the machine from each disk, and what that stands on; nobody is waited for. */
static bool is_of_boot(const struct step *step)
{
	return step->kind == STEP_ESP_SYNC || step->kind == STEP_BOOT_SYNC ||
	       step->kind == STEP_BOOT_TAKE || step->kind == STEP_GRUB_INSTALL ||
	       step->kind == STEP_GRUB_REMOVE ||
	       step->kind == STEP_ARRAY_ADD;
}

static void keep_boot_steps(struct plan *plan)
{
	struct step *steps = plan->steps.items;
	size_t n = 0;

	for (size_t i = 0; i < plan->steps.n_items; i++) {
		if (is_of_boot(&steps[i]))
			steps[n++] = steps[i];
		else
			record_deinit(&record_step, &steps[i]);
	}
	plan->steps.n_items = n;
}

enum cli_exit boot_sync_disks(struct cli *cli, const struct layout *layout,
			      const struct observed *have, const char *filling, struct plan **ret)
{
	_cleanup_(plan_freep) struct plan *plan = NULL;
	struct plan_options options = cli_plan_options(cli);
	const struct apply_events events = { sync_begins, sync_ends, cli };
	struct apply_context cxt = { .layout = layout, .target = "", .run = &cli->run,
				     .filling = filling, .events = &events,
				     .diag = &cli->diag };

	options.filling = filling;
	options.root_alone = true;
	if (plan_make(layout, have, &options, &plan, &cli->diag))
		return CLI_REFUSED;
	keep_boot_steps(plan);
	if (apply_run(plan, &cxt))
		return CLI_FAILED;
	if (!plan_finds_boot(layout, have)) {
		(void)diag_error(&cli->diag, -ENOENT, "/boot is not mounted: what starts the machine is "
				 "not in step with it");
		diag_hint(&cli->diag, "eyrie apply starts its array and mounts it; then run this "
			  "again");
		return CLI_FAILED;
	}
	if (ret)
		*ret = take_ptr(plan);
	return CLI_OK;
}

static bool has_taken(const struct plan *plan)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (step->kind == STEP_BOOT_TAKE)
			return true;
	return false;
}

/* What one environment leaves in /boot to another is seen once it is there. */
static enum cli_exit sync_once_more(struct cli *cli, struct layout *layout, struct plan *plan)
{
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(plan_freep) struct plan *rest = NULL;
	enum cli_exit status;

	if (cli_observe(cli, layout, &have))
		return CLI_FAILED;
	status = boot_sync_disks(cli, layout, have, NULL, &rest);
	if (status == CLI_OK)
		FOR_EACH_ITEM(struct step, step, &rest->steps)
			record_copy(&record_step, list_add(&plan->steps, &record_step), step);
	return status;
}

static enum cli_exit boot_sync(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(plan_freep) struct plan *plan = NULL;
	_cleanup_close_ int lock = -1;
	enum cli_exit status;

	if (layout_read(cli->n_args > 1 ? cli->args[1] : CLI_LAYOUT_FILE, &layout, &cli->diag))
		return CLI_REFUSED;
	if (lock_take(&lock, &cli->diag) || cli_observe(cli, layout, &have))
		return CLI_FAILED;
	if (environment_finish(&(struct apply_context){ .layout = layout, .target = "", .run = &cli->run,
							.diag = &cli->diag }, have))
		return CLI_FAILED;
	status = boot_sync_disks(cli, layout, have, NULL, &plan);
	if (status == CLI_OK && has_taken(plan))
		status = sync_once_more(cli, layout, plan);
	if (status == CLI_OK && cli->options.json)
		view_json(record_to_json(&record_plan, plan), stdout);
	return status;
}

static const struct verb {
	const char *name;
	enum cli_exit (*run)(struct cli *cli);
	size_t n_names; /* arguments before the layout */
	bool needs_root;
} verbs[] = {
	{ "sync", boot_sync, 0, true },
	{ "write", boot_write, 0, false },
	{ "list", boot_list, 0, false },
	{ "create", boot_create, 1, true },
	{ "activate", boot_activate, 1, true },
	{ "destroy", boot_destroy, 1, true },
};

/* What this verb does not take: it is refused, not ignored. */
static const char *option_too_many(const struct cli_options *o, const struct verb *verb)
{
	bool writes = verb->run == boot_write;

	if (o->from && verb->run != boot_create)
		return "--from";
	if (o->check && !writes)
		return "--check";
	if (o->root && !writes)
		return "--root";
	if (o->overwrites.n_items && !writes)
		return "--overwrite";
	return NULL;
}

static bool is_root(const char *path)
{
	struct stat a, b;

	return stat(path, &a) == 0 && stat("/", &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Neither disks nor the files of the system that runs are written by what a file says of some machine. */
static bool writes_by_file(const struct cli_options *o, const struct verb *verb)
{
	return o->observed && (verb->needs_root ||
			       (verb->run == boot_write && !o->check && (!o->root || is_root(o->root))));
}

static bool is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum cli_exit run_verb(struct cli *cli, const struct verb *verb)
{
	const char *option;

	if (cli->n_args < 1 + verb->n_names || cli->n_args > 2 + verb->n_names) {
		(void)diag_error(&cli->diag, -EINVAL, "usage: eyrie boot %s%s [LAYOUT]", verb->name,
				 verb->n_names ? " NAME" : "");
		return CLI_USAGE;
	}
	option = option_too_many(&cli->options, verb);
	if (option || writes_by_file(&cli->options, verb)) {
		(void)diag_error(&cli->diag, -EINVAL, "eyrie boot %s does not take %s%s", verb->name,
				 option ? option : "--observed",
				 !option && !verb->needs_root ? " without --check or a --root of its own" : "");
		return CLI_USAGE;
	}
	if (cli->options.root && !is_folder(cli->options.root)) {
		(void)diag_error(&cli->diag, -ENOTDIR, "--root: there is no folder '%s'",
				 cli->options.root);
		return CLI_USAGE;
	}
	/* What is on a disk is root's to read; what --observed says is anybody's. */
	if (geteuid() == 0 || (!verb->needs_root && cli->options.observed))
		return verb->run(cli);
	(void)diag_error(&cli->diag, -EPERM, "eyrie boot %s reads disks and needs root", verb->name);
	return CLI_REFUSED;
}

static enum cli_exit run_boot(struct cli *cli)
{
	_cleanup_strv_ struct strv names = STRV_NULL;
	_cleanup_free_ char *known = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (streq(cli->args[0], verbs[i].name))
			return run_verb(cli, &verbs[i]);
		strv_add(&names, verbs[i].name);
	}
	known = strv_join(&names, ", ");
	(void)diag_error(&cli->diag, -EINVAL, "eyrie boot knows: %s", known);
	return CLI_USAGE;
}

const struct cli_command cmd_boot = {
	.name = "boot",
	.synopsis = "VERB [NAME] [LAYOUT]",
	.summary = "What starts the machine: sync and write; environments: list, create, activate, "
		   "destroy",
	.n_args_min = 1,
	.n_args_max = 3,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(VERBOSE) | CLI_TAKES(QUIET) | CLI_TAKES(CHECK) |
		 CLI_TAKES(ROOT) | CLI_TAKES(OVERWRITE) | CLI_TAKES(OBSERVED) | CLI_TAKES(FROM),
	.run = run_boot,
};
