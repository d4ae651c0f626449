/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The mounts of datasets. */

#include "gate/state.h"

/*
 * Mount what has its key and is mounted by itself, in the order of its paths. What is mounted below
 * such a path already is mounted once more on top of it, where it would be hidden otherwise.
 */
int gate_mount(struct gate_context *cxt, const struct zfs_state *state);

/* What is mounted of its own, deepest first; a pool's file system that needs no key stays. */
int gate_unmount(struct gate_context *cxt, const struct held_gate *gate,
		 const struct zfs_state *state);

/* Something of `gate`, whose datasets `state` has, is mounted below a mount of `outer`. */
bool gate_lies_in(const struct held_gate *gate, const struct zfs_state *state,
		  const struct held_gate *outer);
