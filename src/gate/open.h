/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opening a gate.
 *
 * Its mark (gate/mark.h) is set when the datasets are mounted and taken away before they are
 * unmounted, so that what is held never runs without its data. It says that the gate is open when
 * all were started: a crash before that leaves a gate that who watches opens again, and loses no
 * start. One process at a time opens or closes (mark_lock()).
 */

#include "gate/state.h"

/* A closed gate inside whose mounts one of `state` lies, which has to be opened first; or NULL. */
const struct held_gate *gate_outer(struct gate_context *cxt, const struct held_gate *gate,
				   const struct zfs_state *state);

/*
 * All its keys are there: mount, set the mark, start what is held, and what failed because of it
 * once that has come up. -EAGAIN when a key is not there, or the gate_outer() is closed;
 * -EINPROGRESS while what is held is still coming up: the caller opens it again in a second.
 */
int gate_open(struct gate_context *cxt, struct held_gate *gate);

/* It goes on without: the mark is set, nothing is mounted, what is held starts. */
int gate_give_up(struct gate_context *cxt, struct held_gate *gate);
