/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Opening a gate and closing it.
 *
 * Its mark (gate/mark.h) is set when the datasets are mounted and taken away before they are
 * unmounted, so that what is held never runs without its data. It says that the gate is open when
 * all were started: a crash before that leaves a gate that who watches opens again, and loses no
 * start. One process at a time does either (mark_lock()).
 */

#include "gate/held.h"
#include "gate/hint.h"

struct gate_context {
	struct runner *run;
	const struct gates *gates;
	struct held *held;
	struct diag *diag;
	void (*say)(void *context, const char *line); /* or NULL */
	void *context;
	bool hints_elsewhere; /* the caller shows them, all at once */
};

void gate_say(const struct gate_context *cxt, const char *format, ...) _printf_(2, 3);

bool gate_is_open(const char *name); /* its mark says so */
bool gate_is_unfinished(int r);	     /* not everybody was started, and will be with another try */

/* Of these datasets and marks, without asking anybody else. */
enum gate_state gate_state_of(const struct held_gate *gate, const struct zfs_state *state);

/*
 * The encryption roots of what is in `state` that have no key, parents first. What gates except
 * is left out, unless the state is of one of those.
 */
void gate_locked_roots(const struct list *gates, const struct zfs_state *state,
		       struct strv *roots);

/* The same of what this gate waits for; a key may be inherited from above its name. */
void gate_missing_roots(const struct held_gate *gate, const struct zfs_state *state,
			struct strv *roots);

/*
 * Of `roots`: those whose key somebody can type, and a line for each other one, which says
 * where its key has to come from.
 */
void gate_sort_roots(const struct zfs_state *state, const struct strv *roots, struct strv *typed,
		     struct strv *lines);

/* Those of `roots` that the passphrase opens lose their place in it. Returns how many. */
size_t gate_try_passphrase(struct gate_context *cxt, const struct secret *passphrase,
			   struct strv *roots);

/* The same by keylocation, where that is a file which is there. */
size_t gate_try_files(struct gate_context *cxt, const struct zfs_state *state,
		      struct strv *roots);

/* The same where it is on the network; each may take half a minute. */
size_t gate_try_network(struct gate_context *cxt, const struct zfs_state *state,
			struct strv *roots);

/*
 * Mount what has its key and is mounted by itself, in the order of its paths. What is mounted below
 * such a path already is mounted once more on top of it, where it would be hidden otherwise.
 */
int gate_mount(struct gate_context *cxt, const struct zfs_state *state);

/* A closed gate inside whose mounts one of `state` lies, which has to be opened first; or NULL. */
const struct held_gate *gate_outer(struct gate_context *cxt, const struct held_gate *gate,
				   const struct zfs_state *state);

/*
 * All its keys are there: mount, set the mark, start what is held, and what failed because of it
 * once that has come up. -EAGAIN when a key is not there, or the gate_outer() is closed;
 * -EINPROGRESS while what is held is still coming up: the caller opens it again in a second.
 */
int gate_open(struct gate_context *cxt, struct held_gate *gate);

/* It goes on without: the mark is set, nothing is mounted, what is held starts. */
int gate_give_up(struct gate_context *cxt, struct held_gate *gate);

/* Only the mark goes: its keys were taken away by somebody else. */
int gate_shut(struct gate_context *cxt, struct held_gate *gate);

/*
 * Stop what these hold, unmount, unload the keys. -EBUSY, with a finding for each process that
 * uses one of them and is held by none, before anything was touched; what fails later is undone.
 * Keys that are files stay where they are until somebody unlocks. `name` is for what is said; the
 * gates change places, the inner ones first.
 */
int gate_close(struct gate_context *cxt, const char *name, struct held_gate **gates, size_t n);

/* hint_make() of what ZFS says; NULL: there is nothing to say. */
char *gate_hint(const struct held_gate *gate, const struct zfs_state *state);

/* All hints, where getty shows them. */
int gate_show_hints(struct gate_context *cxt, bool loud);
