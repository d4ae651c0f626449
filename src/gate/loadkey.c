/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/loadkey.h"

static void drop(struct strv *roots, size_t i)
{
	free(roots->items[i]);
	memmove(&roots->items[i], &roots->items[i + 1],
		(--roots->n_items - i) * sizeof(*roots->items));
	roots->items[roots->n_items] = NULL;
}

size_t gate_try_passphrase(struct gate_context *cxt, const struct secret *passphrase,
			   struct strv *roots)
{
	_cleanup_free_ bool *opens = mem_alloc(roots->n_items + 1);
	size_t n = 0;

	zfs_try_passphrase(cxt->run, roots, passphrase, opens);
	for (size_t i = 0, tried = 0; i < roots->n_items; tried++) {
		if (!opens[tried]) {
			i++;
			continue;
		}
		gate_say(cxt, "%s: the key is loaded", roots->items[i]);
		drop(roots, i);
		n++;
	}
	return n;
}

/* By keylocation, of those that begin with `kind`. */
static size_t try_locations(struct gate_context *cxt, const struct zfs_state *state,
			    struct strv *roots, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; i < roots->n_items;) {
		const struct zfs_dataset *root = zfs_dataset(state, roots->items[i]);
		const char *location = root && root->keylocation ? root->keylocation : "";
		const char *file = zfs_key_file(root);

		if (!starts_with(location, kind) || (file && access(file, R_OK) < 0) ||
		    zfs_load_key(cxt->run, roots->items[i], cxt->diag)) {
			i++;
			continue;
		}
		gate_say(cxt, "%s: the key is loaded from %s", roots->items[i],
			 file ? file : location);
		drop(roots, i);
		n++;
	}
	return n;
}

size_t gate_try_files(struct gate_context *cxt, const struct zfs_state *state,
		      struct strv *roots)
{
	return try_locations(cxt, state, roots, "file://");
}

size_t gate_try_network(struct gate_context *cxt, const struct zfs_state *state,
			struct strv *roots)
{
	return try_locations(cxt, state, roots, "http");
}
