/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* apply and install: the same work; install goes on to a machine that boots, and closes up. */

#include <stdio.h>

#include "apply/apply.h"
#include "cli/cli.h"
#include "cli/work.h"

static enum cli_exit run_apply(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;

	if (cli_read_layout(cli, &layout) != CLI_OK)
		return CLI_REFUSED;
	/* Storage only: what goes on it is the work of install, or yours. */
	layout_drop_source(layout);
	return work_run(cli, layout, NULL);
}

const struct cli_command cmd_apply = {
	.name = "apply",
	.synopsis = "[LAYOUT]",
	.summary = "Partition, encrypt, mirror and mount; safe to run again, after any crash",
	.n_args_max = 1,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(YES) | CLI_TAKES(WIPE) | CLI_TAKES(TARGET) |
		 CLI_TAKES(PASSPHRASE) | CLI_TAKES(KEY_FILE) | CLI_TAKES(VERBOSE) | CLI_TAKES(QUIET),
	.needs = CLI_NEEDS_ROOT,
	.run = run_apply,
};

static enum cli_exit check_system(struct cli *cli, const struct layout *layout)
{
	if (!layout_has_system(layout)) {
		(void)diag_error(&cli->diag, -EINVAL, "the layout says no system to install");
		diag_hint(&cli->diag, "give system: suite: or tarball:, or use eyrie apply");
		return CLI_REFUSED;
	}
	if (!cli->options.debs.n_items) {
		(void)diag_error(&cli->diag, -EINVAL,
				 "the new system needs eyrie's own package, built for it");
		diag_hint(&cli->diag, "give --deb eyrie_VERSION_amd64.deb");
		return CLI_USAGE;
	}
	return CLI_OK;
}

static enum cli_exit run_install(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	enum cli_exit status = cli_read_layout(cli, &layout);

	if (status == CLI_OK)
		status = check_system(cli, layout);
	return status == CLI_OK ? work_run(cli, layout, apply_close) : status;
}

const struct cli_command cmd_install = {
	.name = "install",
	.synopsis = "LAYOUT",
	.summary = "apply, then an operating system on it, then every disk bootable",
	.n_args_min = 1,
	.n_args_max = 1,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(YES) | CLI_TAKES(WIPE) | CLI_TAKES(TARGET) |
		 CLI_TAKES(PASSPHRASE) | CLI_TAKES(KEY_FILE) | CLI_TAKES(DEB) | CLI_TAKES(VERBOSE) | CLI_TAKES(QUIET),
	.needs = CLI_NEEDS_ROOT,
	.run = run_install,
};
