/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "apply/apply.h"
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
	       step->kind == STEP_GRUB_INSTALL ||
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

static enum cli_exit boot_sync(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(plan_freep) struct plan *plan = NULL;
	const struct plan_options options = cli_plan_options(cli);
	const struct apply_events events = { sync_begins, sync_ends, cli };
	struct apply_context cxt = { .target = "", .run = &cli->run, .events = &events,
				     .diag = &cli->diag };
	_cleanup_close_ int lock = -1;

	if (layout_read(cli->n_args > 1 ? cli->args[1] : CLI_LAYOUT_FILE, &layout, &cli->diag))
		return CLI_REFUSED;
	if (lock_take(&lock, &cli->diag) || cli_observe(cli, layout, &have))
		return CLI_FAILED;
	if (plan_make(layout, have, &options, &plan, &cli->diag))
		return CLI_REFUSED;
	keep_boot_steps(plan);
	cxt.layout = layout;
	if (apply_run(plan, &cxt))
		return CLI_FAILED;
	if (cli->options.json)
		view_json(record_to_json(&record_plan, plan), stdout);
	return CLI_OK;
}

static const struct {
	const char *name;
	enum cli_exit (*run)(struct cli *cli);
	bool needs_root;
} verbs[] = {
	{ "sync", boot_sync, true },
	{ "write", boot_write, false },
};

static enum cli_exit run_boot(struct cli *cli)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!streq(cli->args[0], verbs[i].name))
			continue;
		/* What is on a disk is root's to read; what --observed says is anybody's. */
		if (geteuid() == 0 || (!verbs[i].needs_root && cli->options.observed))
			return verbs[i].run(cli);
		(void)diag_error(&cli->diag, -EPERM, "eyrie boot %s reads disks and needs root",
				 verbs[i].name);
		return CLI_REFUSED;
	}
	(void)diag_error(&cli->diag, -EINVAL, "eyrie boot knows: sync, write");
	return CLI_USAGE;
}

const struct cli_command cmd_boot = {
	.name = "boot",
	.synopsis = "sync|write [LAYOUT]",
	.summary = "Kernels and boot loader onto every disk; or the files that make it boot",
	.n_args_min = 1,
	.n_args_max = 2,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(VERBOSE) | CLI_TAKES(QUIET) | CLI_TAKES(CHECK) |
		 CLI_TAKES(ROOT) | CLI_TAKES(OVERWRITE) | CLI_TAKES(OBSERVED),
	.run = run_boot,
};
