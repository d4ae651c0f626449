/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a person at the console reads: which pool, who waits, and the exact command. */

#include "gate/held.h"

enum gate_state {
	GATE_UNKNOWN,
	GATE_MISSING, /* its pool or dataset is not there */
	GATE_CLOSED,
	GATE_OPENING, /* its data is there, and not everybody was started yet */
	GATE_OPEN,
	GATE_OVERDUE, /* it went on without the key */
};

extern const char *const gate_states[];

/* Lines for one gate, with `further` ones, or NULL where there is nothing to say. */
char *hint_make(const struct held_gate *gate, enum gate_state state, const struct strv *further);

/*
 * Into the file that getty shows above its login prompt; with all of them gone the file goes.
 * Whoever waits at a prompt sees it anew. `loud`: on the console as well.
 */
int hint_show(struct runner *run, const char *text, bool loud, struct diag *diag);

/* Lines at once, between whatever else is said there. */
void hint_tell_console(const char *text);
