/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "apply/apply.h"
#include "cli/cli.h"

/*
 * Observe, plan, show, ask, carry out, until there is nothing left to do. `then` runs at the
 * end, or is NULL. Asks whether to go on only when something is destroyed.
 */
enum cli_exit work_run(struct cli *cli, struct layout *layout,
		       int (*then)(struct apply_context *cxt));
