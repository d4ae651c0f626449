/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What is held, as eyrie gate sync found it: a value with a JSON form in /etc/eyrie/gate.json.
 * The generator makes units of it before anything of the system runs, when neither ZFS nor
 * systemd can be asked; who else is held by what unit files say, it adds, and leaves the whole in
 * HELD_GENERATED.
 */

#include "gate/zfs.h"
#include "layout/gate.h"

#define HELD_FILE      "/etc/eyrie/gate.json"
#define HELD_GENERATED "/run/systemd/generator/eyrie-gate.json"

struct held_mount {
	char *dataset;
	char *path;
};

struct held_unit {
	char *name;
	char *why; /* for people */
	bool asleep; /* nobody starts it by itself: it is held, and does not wait */
};

struct held_gate {
	char *name;
	unsigned hold; /* enum gate_hold */
	char *policy; /* gate_policy() of it; NULL: nobody looked yet */
	struct strv roots; /* whose keys are needed */
	struct list mounts; /* of struct held_mount, parents before children */
	struct list units;  /* of struct held_unit, by name */
};

struct held {
	struct list gates; /* of struct held_gate */
};

extern const struct record record_held, record_held_gate, record_held_mount, record_held_unit;

int held_read(const char *path, struct held **ret, struct diag *diag); /* none: an empty one */
char *held_dump(const struct held *held);
struct held *held_free(struct held *held);
DEFINE_CLEANUP(struct held *, held_free)

struct held_gate *held_gate(const struct held *held, const char *name);
bool held_has_unit(const struct held_gate *gate, const char *unit); /* or its template */

/* A gate that nobody has looked at yet is there, too, with nothing in it. */
void held_complete(struct held *held, const struct list *gates);

/*
 * Whom it holds now: the generator may have found more since `held` was read, in a package that
 * has just been installed. It is as it was where no generator ran.
 */
bool held_follow(struct held_gate *gate, const char *path); /* it holds others than before */
bool held_follow_all(struct held *held, const char *path);  /* one of them does */

/* Gates that nobody wants any more go. */
void held_drop_others(struct held *held, const struct list *gates);

/*
 * Roots and mounts of one gate, from what ZFS says now: the encryption roots of what is
 * mounted by itself at or below its name, or is a volume, but for what has a gate of its own.
 */
void held_from_zfs(const struct list *gates, const struct gate *gate,
		   const struct zfs_state *state, struct held_gate *ret);

/*
 * Of a gate that is open: a root that it did not have then, and that has no key, is left out, as what was
 * received into it meanwhile; the next start waits for it. How many were.
 */
size_t held_keep_open(struct held_gate *now, const struct held_gate *then,
		      const struct zfs_state *state);

#define FOR_EACH_HELD(each, held)                                                              \
	for (struct held_gate *each = (held)->gates.items;                                     \
	     each && each < (struct held_gate *)(held)->gates.items + (held)->gates.n_items;   \
	     each++)
#define FOR_EACH_MOUNT(each, gate)                                                             \
	for (struct held_mount *each = (gate)->mounts.items;                                   \
	     each && each < (struct held_mount *)(gate)->mounts.items + (gate)->mounts.n_items; \
	     each++)
#define FOR_EACH_UNIT(each, gate)                                                              \
	for (struct held_unit *each = (gate)->units.items;                                     \
	     each && each < (struct held_unit *)(gate)->units.items + (gate)->units.n_items;   \
	     each++)
