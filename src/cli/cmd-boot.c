/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "apply/apply.h"
#include "apply/lock.h"
#include "cli/cli.h"
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

static enum cli_exit run_boot(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(plan_freep) struct plan *plan = NULL;
	const struct plan_options options = cli_plan_options(cli);
	const struct apply_events events = { sync_begins, sync_ends, cli };
	struct apply_context cxt = { .target = "", .run = &cli->run, .events = &events,
				     .diag = &cli->diag };
	_cleanup_close_ int lock = -1;

	if (!streq(cli->args[0], "sync")) {
		(void)diag_error(&cli->diag, -EINVAL, "eyrie boot knows: sync");
		return CLI_USAGE;
	}
	if (layout_read(cli->n_args > 1 ? cli->args[1] : CLI_LAYOUT_FILE, &layout, &cli->diag))
		return CLI_REFUSED;
	if (lock_take(/* wait= */ true, &lock, &cli->diag) || cli_observe(cli, layout, &have))
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

const struct cli_command cmd_boot = {
	.name = "boot",
	.synopsis = "sync [LAYOUT]",
	.summary = "Kernels and boot loader onto every disk",
	.n_args_min = 1,
	.n_args_max = 2,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(VERBOSE) | CLI_TAKES(QUIET),
	.needs = CLI_NEEDS_ROOT,
	.run = run_boot,
};
