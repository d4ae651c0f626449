/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What gate, unlock NAME and lock NAME share: configuration, and one passphrase for all. */

#include "cli/cli.h"
#include "gate/state.h"

struct gate_work {
	struct gates *gates; /* none where no file says any */
	struct held *held;
	struct gate_context cxt;
};

int gate_work_begin(struct cli *cli, struct gate_work *work);
/* From what the generator knows, and the keys from ZFS: gate.json may be older, or not be there. */
void gate_work_follow(struct gate_work *work);
void gate_work_refresh_roots(struct gate_work *work, struct held_gate *held);
void gate_work_end(struct gate_work *work);

#define _cleanup_gate_work_ _cleanup_(gate_work_end)

/* eyrie unlock NAME: keys at and below it, then the gates that they open. */
enum cli_exit gate_unlock(struct cli *cli, const char *name);

/* eyrie gate sync: who is held, looked at anew and put into force. */
enum cli_exit gate_sync(struct cli *cli);

/* With --json: how the datasets at and below `name` stand now. */
enum cli_exit gate_show(struct cli *cli, const char *name);

/* True when `name` is rather a pool or dataset than the id of a set. */
bool gate_is_name(struct cli *cli, const char *name);
