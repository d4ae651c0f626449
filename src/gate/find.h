/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who waits for a gate, and why; and whom it must not hold. Pure: values in, values out. */

#include "gate/held.h"
#include "gate/systemd.h"

/*
 * Add the units that `gate` holds to `held`, whose mounts are there already. What needs a held
 * unit is held with it, and so is what would start one. -EINVAL with a finding for each that
 * the unlocking itself needs, its way there spelled out; such a unit is not added. With
 * hold: boot such a one is no finding: the boot itself waits, and these wait while it does not.
 */
int find_units(const struct gate *gate, const struct unit_list *units, struct held_gate *held,
	       struct diag *diag);

/* A warning for each of `services` that no unit has the name of. */
void find_misspelt(const struct gate *gate, const struct unit_list *units, struct diag *diag);

/* Mounts without which nobody can come in to unlock: refused. /home: a warning. */
int find_bad_mounts(const struct held_gate *held, struct diag *diag);

/*
 * Gates that could never open: the boot waits for one inside another, for which it does not wait; two
 * have mounts inside each other's. -EINVAL with a finding for each.
 */
int find_bad_nesting(const struct held *held, struct diag *diag);

/* What starts by itself, is not held, and may use anything: nobody can know. */
void find_unknown(const struct unit_list *units, const struct held_gate *held,
		  struct strv *ret);
