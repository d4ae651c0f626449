/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting for keys, however they come: a plain zfs load-key, one of eyrie's own, a key file on
 * a stick, an answer to the question that this asks. Opens each gate when its keys are there,
 * shows what to type as long as they are not, and ends a wait that has a limit.
 */

#include "gate/state.h"

/*
 * The boot waits this long for a pool, or for what does not open though its keys are there. Then there
 * is no key to ask for, and nobody can come in to see what became of its disks, how its name is spelt or
 * why it does not mount.
 */
#define WATCH_MISSING_SECONDS 90

struct watch_options {
	bool boot_only; /* gates with hold: boot, and end when none of them is closed */
	unsigned missing_seconds; /* one of those that no key can open is waited for */
	const char *asker; /* program that asks: ASKER gate ask NAME... */
};

/* Until SIGTERM; 0 then, too. */
int gate_watch(struct gate_context *cxt, const struct watch_options *options);
