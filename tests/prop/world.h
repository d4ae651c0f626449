/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A world: a machine as observing shows it, and what it cannot show but the disks remember. A
 * closed LUKS device hides what is inside, an exported pool its datasets, an unmounted root its
 * kernels; opening, importing and mounting show them again. Steps are carried out by model.c.
 */

#include "plan/plan.h"
#include "random.h"

struct world {
	const struct layout *layout;
	struct plan_options options;
	struct observed *have;
	struct observed *remembered; /* pools, and the insides of members, while closed */
};

void world_init(struct world *world, const struct layout *layout, const struct strv *wipe,
		struct observed *have); /* takes it */
void world_copy(struct world *to, const struct world *from);
void world_deinit(struct world *world);

void world_do(struct world *world, const struct step *step);

/* The step was begun and did not end: what lies on the disks then, one way of several. */
void world_tear(struct world *world, const struct step *step, struct random *r);

/* All at once nothing is open, imported or mounted any more. */
void world_cut_power(struct world *world);

/*
 * What `eyrie install` does: observe, plan, carry out; again when the plan ends with a look.
 * The exit of plan_make; 0 when the work was done. A plan that lacks a consent is not carried
 * out: -EEXIST.
 */
int world_work(struct world *world, struct diag *diag);

struct plan *world_plan(const struct world *world, struct diag *diag); /* NULL when refused */
char *world_text(const struct world *world); /* as JSON */

/* generators */

char *random_layout(struct random *r); /* as YAML */
struct observed *random_machine(struct random *r, const struct layout *layout);
void random_foreign(struct random *r, struct observed_disk *disk); /* something of others */
