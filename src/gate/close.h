/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Closing a gate: the other way round of gate/open.h, and undone when it cannot be done. */

#include "gate/state.h"

/* Only the mark goes: its keys were taken away by somebody else. */
int gate_shut(struct gate_context *cxt, struct held_gate *gate);

/*
 * Stop what these hold, unmount, unload the keys. -EBUSY, with a finding for each process that
 * uses one of them and is held by none, before anything was touched; what fails later is undone.
 * Keys that are files stay where they are until somebody unlocks. `name` is for what is said; the
 * gates change places, the inner ones first.
 */
int gate_close(struct gate_context *cxt, const char *name, struct held_gate **gates, size_t n);

/*
 * Afterwards, of the same name: a note for each encryption root whose key is still there. Nobody
 * mounts by itself what needs it (canmount=noauto, mountpoint=legacy), or gates except it.
 */
void gate_note_loaded(struct gate_context *cxt, const struct zfs_state *state);
