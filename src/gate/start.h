/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Telling systemd or OpenRC to start what a gate held, and to stop it. */

#include "gate/open.h"

/* Those of `names` that somebody wanted and that their condition skipped; nobody is waited for. */
int start_skipped(struct gate_context *cxt, const struct strv *names);

/* What the gate held, and what failed because of it, near or far. */
int start_all(struct gate_context *cxt, const struct held_gate *gate);

/* A wait that was over is none any more; who `ran_without` the data is started again with it. */
void start_over(struct gate_context *cxt, const struct held_gate *gate, bool ran_without);

/*
 * What runs is stopped and waited for. Its mark is gone, so that it is held again, and who follows
 * it is there again: systemd does both in one go, whatever becomes of us.
 */
int start_hold(struct gate_context *cxt, const struct held_gate *gate);

bool openrc_runs(void);
