/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/check.h"

static int check_location(const struct gate *gate, const struct zfs_state *state,
			  const struct held_gate *held, struct diag *diag)
{
	for (size_t i = 0; i < held->roots.n_items; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, held->roots.items[i]);
		const char *location = root && root->keylocation ? root->keylocation : "";

		if (!starts_with(location, "http"))
			continue;
		if (gate->hold == GATE_BOOT) {
			(void)diag_error(diag, -EINVAL, "the key of %s is at %s, and with "
					 "'hold: boot' nothing waits for it but the network comes "
					 "later", root->name, location);
			diag_hint(diag, "hold: by-mounts, or a keylocation on this machine");
			return -EINVAL;
		}
		diag_note(diag, "the key of %s is at %s: it is fetched when the network is "
			  "there, and tried every 30 seconds", root->name, location);
	}
	return 0;
}

int check_gate(const struct gate *gate, const struct zfs_state *state,
	       const struct held_gate *held, struct diag *diag)
{
	const struct zfs_dataset *own = zfs_dataset(state, state->name);

	if (!state->imported) {
		diag_warning(diag, "the pool of %s is not imported: what it has is not known",
			     gate->name);
		return 0;
	}
	if (!own) {
		(void)diag_error(diag, -ENOENT, "there is no dataset %s", gate->name);
		diag_hint(diag, "zfs list -r %.*s", (int)strcspn(gate->name, "/"),
			  gate->name);
		return -ENOENT;
	}
	if (own->root && !streq(own->root, gate->name)) {
		(void)diag_error(diag, -EINVAL, "%s has no key of its own: it inherits that "
				 "of %s", gate->name, own->root);
		diag_hint(diag, "a gate '%s' holds for it, too", own->root);
		return -EINVAL;
	}
	if (!held->roots.n_items) {
		(void)diag_error(diag, -EINVAL, "%s is not encrypted, nor is anything below "
				 "it that is mounted by itself", gate->name);
		return -EINVAL;
	}
	return check_location(gate, state, held, diag);
}

int check_without_systemd(const struct gate *gate, struct diag *diag)
{
	const char *why = gate_without_systemd(gate);

	if (!why)
		return 0;
	(void)diag_error(diag, -EINVAL, "with OpenRC the gate %s holds the services that it lists: %s",
			 gate->name, why);
	diag_hint(diag, "hold: listed, services: [postgresql], as they are named in /etc/init.d");
	return -EINVAL;
}
