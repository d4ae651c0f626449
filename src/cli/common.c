/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/file.h"
#include "boot/environment.h"
#include "cli/cli.h"
#include "observe/observe.h"

const char *cli_layout_path(const struct cli *cli)
{
	return cli->n_args ? cli->args[0] : CLI_LAYOUT_FILE;
}

enum cli_exit cli_read_layout(struct cli *cli, struct layout **ret)
{
	return layout_read(cli_layout_path(cli), ret, &cli->diag) ? CLI_REFUSED : CLI_OK;
}

const char *cli_target(const struct cli *cli)
{
	return cli->options.target ? cli->options.target : CLI_DEFAULT_TARGET;
}

struct plan_options cli_plan_options(const struct cli *cli)
{
	return (struct plan_options){ .wipe = &cli->options.wipe, .target = cli_target(cli) };
}

static int read_observed(struct cli *cli, const char *path, struct observed **ret)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct json_object *json;
	int r = file_read(path, &text);

	if (r)
		return diag_error(&cli->diag, r, "cannot read %s: %s", path, strerror(-r));
	json = json_tokener_parse(text.data);
	if (!json)
		return diag_error(&cli->diag, -EINVAL, "%s is not JSON", path);
	r = observed_from_json(json, ret, &cli->diag);
	json_object_put(json);
	return r;
}

int cli_observe(struct cli *cli, struct layout *layout, struct observed **ret)
{
	int r = cli->options.observed ?
			read_observed(cli, cli->options.observed, ret) :
			observe_machine(&cli->run, layout, cli_target(cli), ret, &cli->diag);

	if (r == 0 && layout && cli->options.observed)
		FOR_EACH_DISK(wanted, layout)
			observed_name(*ret, wanted->path, wanted->path);
	if (r == 0 && layout)
		environment_follow(layout, *ret);
	return r;
}

FILE *cli_output(struct cli *cli)
{
	FILE *file;

	if (!cli->options.output)
		return stdout;
	file = fopen(cli->options.output, "wxe");
	if (!file) {
		(void)diag_error(&cli->diag, -errno, "cannot write %s: %m", cli->options.output);
		if (errno == EEXIST)
			diag_hint(&cli->diag, "it exists, and nothing is written over");
	}
	return file;
}
