/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The units that hold, as text. Pure: a struct held in, files out.
 *
 * A held unit gets a drop-in with a condition on the mark of its gate: it is skipped at once
 * and never waits in systemd's job queue, where it would hold up whoever asks for it. So is a
 * mount: were it to fail instead, who requires it would fail before its own condition is looked
 * at, and systemd would not remember that somebody wanted it.
 */

#include "gate/held.h"

#define GATE_ISSUE "/run/issue.d/50-eyrie-gate.issue"

struct unit_file {
	char *path; /* below the generator's folder: "early/NAME", "normal/NAME.d/…" */
	char *text; /* NULL: a link to /dev/null, which masks */
};

extern const struct record record_unit_file;

void units_make(const struct held *held, struct list *files); /* of struct unit_file */
char *unit_of_path(const char *path); /* systemd.unit(5), escaped, without its kind */
char *unit_instance(const char *name); /* escaped, as systemd-escape(1) does */
