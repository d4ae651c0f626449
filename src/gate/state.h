/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a gate waits for, what state it is in, and what people are told of it. */

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

/* What one of its keys opens. */
bool gate_owns(const struct held_gate *gate, const struct zfs_dataset *dataset);

/*
 * The encryption roots of what is in `state` that have no key, parents first. What gates except
 * is left out, unless the state is of one of those.
 */
void gate_locked_roots(const struct list *gates, const struct zfs_state *state,
		       struct strv *roots);

/* The same of what this gate waits for; a key may be inherited from above its name. */
void gate_missing_roots(const struct held_gate *gate, const struct zfs_state *state,
			struct strv *roots);
bool gate_has_keys(const struct held_gate *gate, const struct zfs_state *state); /* none is missing */

/*
 * Of `roots`: those whose key somebody can type, and a line for each other one, which says
 * where its key has to come from.
 */
void gate_sort_roots(const struct zfs_state *state, const struct strv *roots, struct strv *typed,
		     struct strv *lines);

/* hint_make() of what ZFS says; NULL: there is nothing to say. */
char *gate_hint(const struct held_gate *gate, const struct zfs_state *state);

/* All hints, where getty shows them. */
int gate_show_hints(struct gate_context *cxt, bool loud);
