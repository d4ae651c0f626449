/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keys of encryption roots, from a passphrase or from where keylocation says. */

#include "gate/state.h"

/* Those of `roots` that the passphrase opens lose their place in it. Returns how many. */
size_t gate_try_passphrase(struct gate_context *cxt, const struct secret *passphrase,
			   struct strv *roots);

/* The same by keylocation, where that is a file which is there. */
size_t gate_try_files(struct gate_context *cxt, const struct zfs_state *state,
		      struct strv *roots);

/* The same where it is on the network; each may take half a minute. */
size_t gate_try_network(struct gate_context *cxt, const struct zfs_state *state,
			struct strv *roots);
