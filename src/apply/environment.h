/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Making and removing boot environments. In between, menus are synced: a clone is marked half-made
 * until every menu has it, and again before it leaves them. So whatever an interruption leaves is
 * an environment with its entries, or a half-made one, which creating or destroying it once more
 * brings to an end; the next sync takes it out of the menus.
 */

#include "apply/apply.h"
#include "boot/environment.h"

/* -EEXIST, -ENOENT and the like are said in the diag; nothing is then left behind. */

/* The snapshot is there; no diag. */
bool environment_has_snapshot(struct apply_context *cxt, const char *snapshot);

/*
 * Clone `source`, as it is now or as `snapshot` of it (a full name, or NULL) has it, half-made.
 * What is set on the source itself is set on the clone.
 */
int environment_clone(struct apply_context *cxt, const struct environment *source,
		      const char *snapshot, const char *dataset);

/* Half-made, or with the state of what it was cloned from: the commit points. */
int environment_set_state(struct apply_context *cxt, const char *dataset, const char *state);

/*
 * The system that runs is half-made: a menu had it when its creation, or its removal, was cut off, and it came
 * up. It is done then, as what it was cloned from; `have` says so, too.
 */
int environment_finish(struct apply_context *cxt, struct observed *have);

/* -EBUSY when something is in it that destroying would take along: snapshots, datasets. */
int environment_check_removal(struct apply_context *cxt, const struct environment *environment);
/* The dataset, and the snapshot that was taken for it. */
int environment_remove(struct apply_context *cxt, const char *dataset, const char *origin);

int environment_activate(struct apply_context *cxt, const char *dataset);
