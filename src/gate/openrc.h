/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What OpenRC goes by: a service for each gate, which is a link to eyrie-gate's own script, and who
 * needs it. Of what a gate holds it knows what is listed, and no more.
 */

#include "base/run.h"
#include "layout/gate.h"

bool openrc_runs(void);

char *openrc_service(const char *gate);		/* of the gate of that name */
char *openrc_conf(const struct list *gates); /* for /etc/rc.conf.d: who needs which. Pure. */

/*
 * Into force for gates that gate_without_systemd() has nothing against, from the next start on.
 * `root` is that of a system that does not run, or "": then what goes by gates is told, and services of
 * gates that are none any more go. Interrupted: it is done again.
 */
int openrc_put(struct runner *run_by, const char *root, const struct list *gates,
	       struct diag *diag);
