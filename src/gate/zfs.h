/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What ZFS says of the datasets at and below a name: their keys and where they are mounted. */

#include "base/record.h"
#include "base/run.h"

enum key_status {
	KEY_NONE, /* not encrypted */
	KEY_MISSING,
	KEY_LOADED,
};

struct zfs_dataset {
	char *name;
	char *root; /* its encryption root; NULL: not encrypted */
	unsigned key; /* enum key_status */
	char *keyformat;
	char *keylocation; /* of an encryption root, else "none" */
	bool mounts;	   /* zfs mount -a would: canmount=on, and a path */
	char *mountpoint;  /* a path, "none", "legacy"; "-" of a volume */
	bool mounted;
};

struct zfs_state {
	char *name;
	bool imported; /* its pool is */
	bool exists;
	struct list datasets; /* of struct zfs_dataset, parents before children */
};

#define FOR_EACH_DATASET(dataset, state)                                                       \
	for (struct zfs_dataset *dataset = (state)->datasets.items;                            \
	     dataset && dataset < (struct zfs_dataset *)(state)->datasets.items +              \
					  (state)->datasets.n_items;                           \
	     dataset++)

/*
 * A name that is not there is no error: `exists` says so. A negative errno is one: nobody knows,
 * and what was known before is no less true.
 */
int zfs_read(struct runner *run, const char *name, struct zfs_state **ret, struct diag *diag);

/* Of the lines that zfs get -Hp printed; -EINVAL for anything else. */
int zfs_parse(const char *text, struct list *datasets);

/* {"name", "datasets": [{"name", "encryptionroot", "keystatus", "mounted" ...}]} */
struct json_object *zfs_state_to_json(const struct zfs_state *state);

struct zfs_state *zfs_state_free(struct zfs_state *state);
DEFINE_CLEANUP(struct zfs_state *, zfs_state_free)

const struct zfs_dataset *zfs_dataset(const struct zfs_state *state, const char *name);

/* The path that keylocation=file:// says; NULL: it says another, or there is no such root. */
const char *zfs_key_file(const struct zfs_dataset *root);

/*
 * Its key may come from a person who types. zfs-load-key(8) takes digits from a terminal, too, and
 * bytes from a file alone; `file`: what is given in the place of typing is one.
 */
bool zfs_is_typed(const struct zfs_dataset *root, bool file);

/* From where keylocation says. */
int zfs_load_key(struct runner *run, const char *root, struct diag *diag);

/* On each of these roots, several at once; `opens` has who has its key now. */
void zfs_try_passphrase(struct runner *run, const struct strv *roots, const struct secret *passphrase,
			bool *opens);
int zfs_unload_key(struct runner *run, const char *root, struct diag *diag);
int zfs_mount(struct runner *run, const char *dataset, struct diag *diag);
int zfs_unmount(struct runner *run, const char *dataset, struct diag *diag);
int zfs_import(struct runner *run, const char *pool, struct diag *diag);
