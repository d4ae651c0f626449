/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/cli.h"

/* eyrie boot VERB, each in a file of its own. */
enum cli_exit boot_write(struct cli *cli);

/* boot-environments.c */
enum cli_exit boot_list(struct cli *cli);
enum cli_exit boot_activate(struct cli *cli);
enum cli_exit boot_create(struct cli *cli);
enum cli_exit boot_destroy(struct cli *cli);

/*
 * Plan, and carry out what starts the machine from each disk. `filling` as in plan_options. The plan
 * goes to `ret` when that is not NULL.
 */
enum cli_exit boot_sync_disks(struct cli *cli, const struct layout *layout,
			      const struct observed *have, const char *filling, struct plan **ret);
