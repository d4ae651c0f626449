/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Waiting for keys, however they come: a plain zfs load-key, one of eyrie's own, a key file on
 * a stick, an answer to the question that this asks. Opens each gate when its keys are there,
 * shows what to type as long as they are not, and ends a wait that has a limit.
 */

#include "gate/open.h"

struct watch_options {
	bool boot_only; /* gates with hold: boot, and end when none of them is closed */
	const char *asker; /* program that asks: ASKER gate ask NAME */
};

/* Until SIGTERM; 0 then, too. */
int gate_watch(struct gate_context *cxt, const struct watch_options *options);
