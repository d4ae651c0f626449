/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/apply.h"
#include "cli/cli.h"

static enum cli_exit run_tarball(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	const struct tarball_options options = { .zfs_modules = cli->options.zfs_modules,
						 .visible = cli->options.verbose };

	if (cli_read_layout(cli, &layout) != CLI_OK)
		return CLI_REFUSED;
	if (!layout->system.suite) {
		(void)diag_error(&cli->diag, -EINVAL, "the layout names no suite");
		diag_hint(&cli->diag, "system: { suite: trixie }");
		return CLI_REFUSED;
	}
	return tarball_make(&cli->run, layout, &options, cli->args[1], &cli->diag) ? CLI_FAILED :
										      CLI_OK;
}

const struct cli_command cmd_tarball = {
	.name = "tarball",
	.synopsis = "LAYOUT FILE",
	.summary = "Make the root tarball that install unpacks",
	.n_args_min = 2,
	.n_args_max = 2,
	.takes = CLI_TAKES(ZFS_MODULES) | CLI_TAKES(VERBOSE),
	.run = run_tarball,
};
