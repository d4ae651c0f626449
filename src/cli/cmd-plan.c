/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "cli/cli.h"

static const char *why_empty(const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++)
		if (diag->items[i].level == DIAG_WARNING)
			return "Nothing to do but what the warnings say.";
	return "Nothing to do: the machine is what the layout says.";
}

static void show(struct cli *cli, const struct plan *plan)
{
	struct json_object *json;

	if (!cli->options.json) {
		if (!plan->steps.n_items)
			puts(why_empty(&cli->diag));
		view_plan(plan, stdout);
		return;
	}
	json = record_to_json(&record_plan, plan);
	json_object_object_add(json, "findings", view_findings_json(&cli->diag));
	view_json(json, stdout);
}

/* JSON says why there is no plan; text has no plan to show. */
static enum cli_exit show_findings(struct cli *cli, enum cli_exit status)
{
	if (cli->options.json)
		show(cli, &(struct plan){});
	return status;
}

static enum cli_exit run_plan(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(plan_freep) struct plan *plan = NULL;
	const struct plan_options options = cli_plan_options(cli);

	if (cli_read_layout(cli, &layout) != CLI_OK)
		return show_findings(cli, CLI_REFUSED);
	if (cli_observe(cli, layout, &have))
		return show_findings(cli, CLI_FAILED);
	if (plan_check_place(layout, have, options.target, &cli->diag) ||
	    plan_make(layout, have, &options, &plan, &cli->diag))
		return show_findings(cli, CLI_REFUSED);
	show(cli, plan);
	if (plan_count_consents_missing(plan))
		return CLI_CONSENT;
	return cli->options.check && plan->steps.n_items ? CLI_PENDING : CLI_OK;
}

const struct cli_command cmd_plan = {
	.name = "plan",
	.synopsis = "[LAYOUT]",
	.summary = "What would be done, and what each step destroys; writes nothing",
	.n_args_max = 1,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(CHECK) | CLI_TAKES(WIPE) | CLI_TAKES(TARGET) |
		 CLI_TAKES(OBSERVED) | CLI_TAKES(VERBOSE) | CLI_TAKES(QUIET),
	.run = run_plan,
};
