/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Telling systemd or OpenRC to start what a gate held, and to stop it. */

#include "gate/state.h"

/* What is held may take this long to come up, before what failed is started all the same. */
#define OPENING_SECONDS 120

/* Those of `names` that somebody wanted and that their condition skipped; nobody is waited for. */
int services_start_skipped(struct gate_context *cxt, const struct strv *names);

/*
 * What the gate held, and what ran when it was locked. -ENOTCONN: systemd could not be asked, or not
 * told, and not everybody was started.
 */
int services_start(struct gate_context *cxt, const struct held_gate *gate);

/*
 * What failed because of it, near or far; it is noted in mark_ran() until it was started. -ENOTCONN as
 * above. `patient`: -EINPROGRESS, and nobody was started, while what is held is still coming up. What
 * failed has no job of theirs to wait for where it names only a unit behind them that is active all
 * the time, as postgresql.service is.
 */
int services_start_failed(struct gate_context *cxt, const struct held_gate *gate, bool patient);

/*
 * A wait that was over is none any more: nothing of it stays failed, and what ran without its data is
 * started again with it. -EINTR, -ENOTCONN: it was not.
 */
int services_restart(struct gate_context *cxt, const struct held_gate *gate);

/* What runs is noted (mark_ran()), stopped, and waited for. */
int services_stop(struct gate_context *cxt, const struct held_gate *gate);

/*
 * The mark is gone: starting what ran and is held has systemd say why it does not run. Who was only
 * stopped with it would really start.
 */
void services_start_in_vain(struct gate_context *cxt, const struct held_gate *gate);
