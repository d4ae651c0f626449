/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "apply/apply.h"

/* True when it imports what members of a set may have come apart on: also when all of them are open. */
bool together_wants_passphrase(const struct plan *plan, const struct layout *layout);

/*
 * Before a plan that opens members of a set (unlock: peer) and imports the root's pool: refuses when
 * two of them each ran without the other, since ZFS would merge them, or when one that was of a set cannot
 * be compared, and notes on those that are there who is absent. 0 also when there is nothing to compare, or
 * the passphrase opens none: the steps say that. Asks for nothing; cxt->passphrase is the one that the steps
 * get.
 */
int together_begin(const struct plan *plan, const struct observed *have,
		   const struct apply_context *cxt);
