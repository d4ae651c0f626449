/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gate/held.h"
#include "gate/zfs.h"

/*
 * Whether a gate can be where its owner put it: 0, or a negative errno and an error that says what
 * to write instead. What a pool that is not imported holds is not known, and no error.
 */
int check_gate(const struct gate *gate, const struct zfs_state *state,
	       const struct held_gate *held, struct diag *diag);

int check_without_systemd(const struct gate *gate, struct diag *diag); /* where OpenRC runs */
