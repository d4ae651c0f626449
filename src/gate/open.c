/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/open.h"

#include "gate/mark.h"
#include "gate/mounts.h"
#include "gate/services.h"

/*
 * One whose pool is not there has nothing that it would be mounted over; one of which nobody knows may
 * have. What the boot waits for cannot wait for what starts after it; of two that lie in each other, the
 * one whose name is above is first.
 */
static bool has_to_wait(struct gate_context *cxt, const struct held_gate *gate,
			const struct zfs_state *state, const struct held_gate *outer)
{
	_cleanup_(zfs_state_freep) struct zfs_state *of_outer = NULL;

	if (outer == gate || mark_get(outer->name) >= MARK_OPENING ||
	    (gate->hold == GATE_BOOT && outer->hold != GATE_BOOT) || !gate_lies_in(gate, state, outer))
		return false;
	if (zfs_read(cxt->run, outer->name, &of_outer, NULL))
		return true;
	if (!of_outer->exists)
		return false;
	return !gate_lies_in(outer, of_outer, gate) || is_or_is_below(gate->name, outer->name);
}

const struct held_gate *gate_outer(struct gate_context *cxt, const struct held_gate *gate,
				   const struct zfs_state *state)
{
	FOR_EACH_HELD(outer, cxt->held)
		if (has_to_wait(cxt, gate, state, outer))
			return outer;
	return NULL;
}

/* Once: what is down since then by a condition of its own is not started again each second. */
static int start_held(struct gate_context *cxt, const struct held_gate *gate)
{
	const struct strv nobody = STRV_NULL;
	int r, q;

	if (mark_get(gate->name) == MARK_STARTED)
		return 0;
	r = services_start(cxt, gate);
	if (gate_is_unfinished(r))
		return r;
	q = mark_set_ran(gate->name, &nobody, cxt->diag);
	if (r == 0 && q == 0)
		q = mark_set(gate->name, MARK_STARTED, cxt->diag);
	return r ? r : q;
}

/*
 * Its data is there. What interrupts us, or systemd while it cannot be asked, is made good by who
 * opens next: the mark says opening until then.
 */
static int release(struct gate_context *cxt, const struct held_gate *gate)
{
	const struct strv nobody = STRV_NULL;
	int r = start_held(cxt, gate), q;

	if (gate_is_unfinished(r))
		return r;
	q = services_start_failed(cxt, gate, mark_age(gate->name) < OPENING_SECONDS);
	if (gate_is_unfinished(q))
		return q;
	r = r ? r : q;
	(void)mark_set_ran(gate->name, &nobody, cxt->diag);
	mark_forget_since(gate->name);
	q = mark_set(gate->name, MARK_OPEN, cxt->diag);
	return r ? r : q;
}

/* Its age is that of the first try. */
static int set_opening(struct gate_context *cxt, const char *name)
{
	enum mark mark = mark_get(name);

	return mark == MARK_OPENING || mark == MARK_STARTED ?
		       0 :
		       mark_set(name, MARK_OPENING, cxt->diag);
}

/* What is mounted already may have to be mounted once more over what is. */
static void leave_excepted(const struct gate_context *cxt, struct zfs_state *state)
{
	FOR_EACH_DATASET(dataset, state)
		dataset->mounts &= dataset->mounted ||
				   !gate_is_excepted(&cxt->gates->gates, dataset->name);
}

int gate_open(struct gate_context *cxt, struct held_gate *gate)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	int r = zfs_read(cxt->run, gate->name, &state, cxt->diag);

	if (r)
		return r;
	if (!state->exists || !gate_has_keys(gate, state) || gate_outer(cxt, gate, state))
		return -EAGAIN;
	(void)held_follow(gate, HELD_GENERATED);
	leave_excepted(cxt, state);
	r = gate_mount(cxt, state);
	if (r == 0)
		r = services_restart(cxt, gate);
	if (r == 0)
		r = set_opening(cxt, gate->name);
	if (r == 0)
		r = mark_set_locked(gate->name, false, cxt->diag);
	if (r)
		return r;
	r = release(cxt, gate);
	if (gate_is_open(gate->name))
		gate_say(cxt, "%s is open", gate->name);
	(void)gate_show_hints(cxt, /* loud= */ false);
	return r;
}

static int set_overdue(struct gate_context *cxt, const char *name)
{
	int r = mark_set(name, MARK_OVERDUE, cxt->diag);

	if (r == 0)
		gate_say(cxt, "%s: the key did not come in time; going on without it", name);
	return r;
}

int gate_give_up(struct gate_context *cxt, struct held_gate *gate)
{
	int r = mark_get(gate->name) == MARK_OVERDUE ? 0 : set_overdue(cxt, gate->name), q;

	if (r)
		return r;
	(void)held_follow(gate, HELD_GENERATED);
	(void)gate_show_hints(cxt, /* loud= */ false);
	r = services_start(cxt, gate);
	q = gate_is_unfinished(r) ? r : services_start_failed(cxt, gate, /* patient= */ false);
	return r ? r : q;
}
