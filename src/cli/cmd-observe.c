/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "cli/cli.h"

static enum cli_exit run_observe(struct cli *cli)
{
	_cleanup_(observed_freep) struct observed *have = NULL;

	if (cli_observe(cli, NULL, &have))
		return CLI_FAILED;
	view_json(observed_to_json(have), stdout);
	return CLI_OK;
}

const struct cli_command cmd_observe = {
	.name = "observe",
	.synopsis = "",
	.summary = "What is there, as JSON: every disk, pool and kernel; writes nothing",
	.takes = CLI_TAKES(JSON) | CLI_TAKES(TARGET) | CLI_TAKES(VERBOSE),
	.run = run_observe,
};
