/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The plan: what leads from what is there to what is wanted.
 *
 * plan_make() is pure: no I/O, no clock, no randomness. Planning the result of a plan gives an
 * empty plan; cutting a plan short anywhere and planning again leads to the same end. The one
 * thing that cannot be known in advance is what a closed LUKS device holds: such a plan ends
 * with `look-again`, and whoever carries it out observes and plans once more.
 */

#include "layout/layout.h"
#include "observe/observed.h"

enum step_flags {
	STEP_LANE = 1 << 0,
	STEP_APART = 1 << 1,
};

enum step_kind {
#define STEP(kind, name, flags) STEP_##kind,
#include "plan/step.def"
#undef STEP
	STEP_KIND_MAX,
};

struct step {
	unsigned kind; /* enum step_kind */
	char *disk;    /* its name in the layout, or NULL */
	char *pool;    /* whose dataset it works on; NULL when it works on none */
	char *object;  /* what the kind works on: plan/step.def */
	char *value;   /* of a property; the GUID of a pool; of CONFIGURE: disks that it goes on without */
	char *text;    /* what is done, for people */
	char *details; /* lines below it, for people; NULL without any */
	char *destroys; /* what is gone afterwards, for people; NULL when nothing is */
	bool consent_missing; /* it destroys something of others and --wipe was not given */
};

struct plan {
	struct list steps; /* of struct step */
};

struct plan_options {
	const struct strv *wipe; /* names of disks whose content may go */
	const char *filling; /* a boot environment that counts already though half-made, or NULL */
	bool root_alone; /* what the machine starts by is to be planned, and no further pool */
	const char *target;	 /* where a system is mounted that is not the running one */
};

extern const struct record record_plan, record_step;
unsigned step_flags(const struct step *step);
const char *step_name(unsigned kind);

/*
 * 0 and a plan, which may be empty; -EINVAL when the machine and the layout do not go
 * together: every reason is in `diag`, each with what to do. Notes and warnings may be there in
 * either case.
 */
int plan_make(const struct layout *layout, const struct observed *have,
	      const struct plan_options *options, struct plan **ret, struct diag *diag);

/*
 * A node that the root's pool has and that is of no disk of the layout, or NULL. With all of those there, the
 * generated files would forget it, and the machine would not find it at the next start.
 */
const char *pool_device_beyond(const struct layout *layout, const struct observed *have);
#define POOL_BEYOND_HINT \
	"put its disk into the layout; or zpool remove, or zpool detach, takes it out of the pool"

/*
 * Whether what is planned would be done to the system of the layout: a pool that is imported is mounted
 * below `target`, or is what the running system runs from. -EBUSY, with what to do.
 */
int plan_check_place(const struct layout *layout, const struct observed *have, const char *target,
		     struct diag *diag);

/* Whether the kernels of the system can be seen: /boot is in its root, or its array is mounted. */
bool plan_finds_boot(const struct layout *layout, const struct observed *have);

size_t plan_count_consents_missing(const struct plan *plan); /* steps that wait for one */

struct plan *plan_free(struct plan *plan);
DEFINE_CLEANUP(struct plan *, plan_free)

/* Carry a step out on a value: what observing would see afterwards. Pure. */
void model_apply(const struct layout *layout, const struct plan_options *options,
		 struct observed *have, const struct step *step);
