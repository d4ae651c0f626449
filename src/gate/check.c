/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/check.h"

#include <sys/stat.h>

/* There before anything is mounted by fstab(5) or plugged in. */
static bool is_on_root(const char *file)
{
	_cleanup_free_ char *folder = str_printf("%.*s", (int)(strrchr(file, '/') - file), file);
	struct stat st, root;

	if (access(file, F_OK) < 0)
		return errno == EACCES; /* who is not root is told no more than that */
	return stat(*folder ? folder : "/", &st) == 0 && stat("/", &root) == 0 &&
	       st.st_dev == root.st_dev;
}

/* Nobody comes in to bring it while the boot waits for it, and nobody can type it. */
static int check_boot_key(const struct zfs_dataset *root, struct diag *diag)
{
	const char *file = zfs_key_file(root);

	if (zfs_is_typed(root, /* file= */ false) || (file && is_on_root(file)))
		return 0;
	(void)diag_error(diag, -EINVAL, "the key of %s (keyformat=%s) is at %s, and with 'hold: "
			 "boot' it has to be on the root file system, or a passphrase", root->name,
			 root->keyformat, root->keylocation);
	diag_hint(diag, "hold: by-mounts, or a keyformat that somebody can type");
	return -EINVAL;
}

static int check_location(const struct gate *gate, const struct zfs_state *state,
			  const struct held_gate *held, struct diag *diag)
{
	for (size_t i = 0; i < held->roots.n_items; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, held->roots.items[i]);
		const char *location = root && root->keylocation ? root->keylocation : "";

		if (!starts_with(location, "http")) {
			int r = gate->hold == GATE_BOOT ? check_boot_key(root, diag) : 0;

			if (r)
				return r;
			continue;
		}
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
