/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writing what boot/store.h says. `have` is the machine as these see it: its pools, and of its system the
 * kernels and the store; they bring the store in it up to date.
 *
 * What the menu or a list names is never written to. A folder of the store gets its name once all of
 * it is on the disks, a list names it after that, the menu follows; what is old goes last. So every menu
 * that is there has its files, wherever this is interrupted, and the next sync goes on.
 */

#include "apply/apply.h"
#include "boot/store.h"

/*
 * Copies and lists, the menu, and what is old; with one environment alone, the menu. When not everything
 * fits, cxt->later is -ENOSPC: what has no copy is not in the menu, and its image of before stays there.
 * -ENOSPC when a new environment does not: nothing was written for it then.
 */
int kernels_sync(struct apply_context *cxt, struct observed *have);

/*
 * The kernels in /boot itself become those of the layout's root. What was written there since `started`,
 * seconds since 1970, is its own already; what the store has no copy of stays.
 */
int kernels_take(struct apply_context *cxt, struct observed *have, int64_t started);
