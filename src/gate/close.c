/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/close.h"

#include "gate/mark.h"
#include "gate/mounts.h"
#include "gate/open.h"
#include "gate/openrc.h"
#include "gate/services.h"
#include "gate/users.h"

int gate_shut(struct gate_context *cxt, struct held_gate *gate)
{
	int r = mark_set(gate->name, MARK_NONE, cxt->diag);

	return r ? r : gate_show_hints(cxt, /* loud= */ true);
}

/* What a gate was when somebody locked it. */
struct before {
	enum mark mark;
	bool locked;
};

/* Several at once, since what one holds may use what another one mounts. */
struct closing {
	struct gate_context *cxt;
	const char *name; /* that somebody typed */
	struct held_gate **gates;
	struct zfs_state **states;
	struct before *before; /* of each */
	size_t n;
};

static void closing_deinit(struct closing *c)
{
	for (size_t i = 0; i < c->n; i++)
		(void)zfs_state_free(c->states[i]);
	free(c->states);
	free(c->before);
}

static int read_states(struct closing *c)
{
	int r = 0;

	c->states = mem_alloc(c->n * sizeof(struct zfs_state *));
	for (size_t i = 0; i < c->n && r == 0; i++) {
		r = zfs_read(c->cxt->run, c->gates[i]->name, &c->states[i], c->cxt->diag);
		(void)held_follow(c->gates[i], HELD_GENERATED);
	}
	return r;
}

static void swap(struct closing *c, size_t i, size_t k)
{
	struct held_gate *gate = c->gates[i];
	struct zfs_state *state = c->states[i];

	c->gates[i] = c->gates[k];
	c->states[i] = c->states[k];
	c->gates[k] = gate;
	c->states[k] = state;
}

static void order_inner_first(struct closing *c)
{
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = i + 1; k < c->n; k++)
			if (gate_lies_in(c->gates[k], c->states[k], c->gates[i]))
				swap(c, i, k);
}

static void mounted_paths(const struct held_gate *gate, const struct zfs_state *state,
			  struct strv *paths)
{
	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounted && gate_owns(gate, dataset) && *dataset->mountpoint == '/')
			strv_add(paths, dataset->mountpoint);
}

static bool will_stop(const struct closing *c, const char *unit)
{
	for (size_t i = 0; unit && i < c->n; i++)
		if (held_has_unit(c->gates[i], unit))
			return true;
	return false;
}

/* Held ones will be stopped; without systemd nobody knows whose they are. */
static int refuse_strangers(const struct closing *c, size_t i, bool stopped)
{
	_cleanup_(users_deinit) struct users users = {};
	_cleanup_strv_ struct strv paths = STRV_NULL;
	struct diag *diag = c->cxt->diag;
	int r = 0;

	mounted_paths(c->gates[i], c->states[i], &paths);
	if (users_find("/proc", &paths, &users) < 0)
		return 0;
	for (size_t k = 0; k < users.n_items; k++) {
		const struct user *user = &users.items[k];

		if (!stopped && (will_stop(c, user->unit) || openrc_runs()))
			continue;
		r = diag_error(diag, -EBUSY, "%s is in use by %s (process %d%s%s): %s",
			       c->gates[i]->name, user->name ? user->name : "?", user->pid,
			       user->unit ? " of " : "", user->unit ? user->unit : "", user->what);
	}
	if (r)
		diag_hint(diag, "end these, or name their services in %s; then run 'eyrie lock %s' "
			  "again", GATE_FILE, c->name);
	return r;
}

/* zfs(8) mounts and unmounts these no more than it knows where they are. */
static int refuse_legacy(const struct closing *c, size_t i)
{
	int r = 0;

	FOR_EACH_DATASET(dataset, c->states[i])
	{
		if (!dataset->mounted || !gate_owns(c->gates[i], dataset) ||
		    !streq(dataset->mountpoint, "legacy"))
			continue;
		r = diag_error(c->cxt->diag, -EBUSY, "%s is mounted by somebody else than ZFS "
			       "(mountpoint=legacy)", dataset->name);
		diag_hint(c->cxt->diag, "findmnt -S %s shows where: umount it, then run 'eyrie "
			  "lock %s' again", dataset->name, c->name);
	}
	return r;
}

static void all_mounts(const struct closing *c, struct strv *datasets, struct strv *paths)
{
	for (size_t i = 0; i < c->n; i++)
		FOR_EACH_DATASET(dataset, c->states[i])
			if (dataset->mounted && gate_owns(c->gates[i], dataset) &&
			    *dataset->mountpoint == '/') {
				strv_add(datasets, dataset->name);
				strv_add(paths, dataset->mountpoint);
			}
}

/* ZFS would say busy, and not why, when everybody has been stopped. */
static int refuse_mounts(const struct closing *c, bool stopped)
{
	_cleanup_strv_ struct strv datasets = STRV_NULL, paths = STRV_NULL, lines = STRV_NULL;
	int r = 0;

	all_mounts(c, &datasets, &paths);
	users_mounts("/proc/self/mountinfo", &datasets, &paths, /* passing= */ stopped, &lines);
	for (size_t i = 0; i < lines.n_items; i++)
		r = diag_error(c->cxt->diag, -EBUSY, "%s is in use: %s is mounted", c->name,
			       lines.items[i]);
	if (r)
		diag_hint(c->cxt->diag, "umount what is not needed, then run 'eyrie lock %s' again",
			  c->name);
	return r;
}

static int refuse_users(const struct closing *c, bool stopped)
{
	int r = refuse_mounts(c, stopped);

	for (size_t i = 0; i < c->n; i++) {
		int q = stopped ? 0 : refuse_legacy(c, i);

		r = r ? r : q;
		q = refuse_strangers(c, i, stopped);
		r = r ? r : q;
	}
	return r;
}

static bool owns_volume(const struct zfs_state *state, const char *root)
{
	FOR_EACH_DATASET(dataset, state)
		if (streq(dataset->root, root) && streq(dataset->mountpoint, "-"))
			return true;
	return false;
}

static int unload_some(const struct closing *c, size_t i, bool volumes)
{
	const struct strv *roots = &c->gates[i]->roots;
	int r = 0;

	for (size_t k = roots->n_items; k-- > 0 && r == 0;) {
		const struct zfs_dataset *root = zfs_dataset(c->states[i], roots->items[k]);

		if (root && root->key == KEY_LOADED &&
		    owns_volume(c->states[i], root->name) == volumes)
			r = zfs_unload_key(c->cxt->run, root->name, c->cxt->diag);
	}
	return r;
}

/*
 * A volume may be busy with everything unmounted. Its key is the first to be tried: one that went
 * before it and was typed could not be put back.
 */
static int unload_all(const struct closing *c)
{
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++)
		r = unload_some(c, i, /* volumes= */ true);
	for (size_t i = 0; i < c->n && r == 0; i++)
		r = unload_some(c, i, /* volumes= */ false);
	return r;
}

static int set_locked(struct closing *c)
{
	int r = 0;

	c->before = mem_alloc(c->n * sizeof(*c->before));
	for (size_t i = 0; i < c->n; i++)
		c->before[i] = (struct before){ .mark = mark_get(c->gates[i]->name),
						.locked = mark_is_locked(c->gates[i]->name) };
	for (size_t i = 0; i < c->n && r == 0; i++) {
		r = mark_set_locked(c->gates[i]->name, true, c->cxt->diag);
		if (r == 0)
			r = mark_set(c->gates[i]->name, MARK_NONE, c->cxt->diag);
	}
	return r;
}

/* OpenRC stops no service that never was started; behind a mark that is not there none has to be. */
static int stop_held(const struct closing *c, size_t i)
{
	_cleanup_diag_ struct diag ignored = DIAG_NULL;
	struct gate_context quiet = *c->cxt;
	bool closed = openrc_runs() && c->before[i].mark == MARK_NONE;
	int r;

	if (closed)
		quiet.diag = &ignored;
	r = services_stop(&quiet, c->gates[i]);
	return closed && r != -EINTR ? 0 : r;
}

static int take_away(const struct closing *c)
{
	int r = 0;

	for (size_t i = 0; i < c->n && r == 0; i++)
		r = stop_held(c, i);
	if (r == 0)
		r = refuse_users(c, /* stopped= */ true);
	for (size_t i = 0; i < c->n && r == 0; i++)
		r = gate_unmount(c->cxt, c->gates[i], c->states[i]);
	return r ? r : unload_all(c);
}

/* What is still there is mounted; or it went on without. What was stopped runs either way. */
static int put_back(struct gate_context *cxt, struct held_gate *gate, enum mark before)
{
	int r = gate_open(cxt, gate);

	if (before == MARK_OVERDUE && r == -EAGAIN) {
		r = mark_set(gate->name, MARK_OVERDUE, cxt->diag);
		return r ? r : services_start(cxt, gate);
	}
	return before == MARK_NONE && r == -EAGAIN ? 0 : r;
}

/* As it was. */
static void undo(const struct closing *c)
{
	_cleanup_diag_ struct diag ignored = DIAG_NULL;
	struct gate_context again = *c->cxt;
	int r = 0;

	again.diag = &ignored;
	run_resume();
	for (size_t i = 0; i < c->n; i++)
		(void)mark_set_locked(c->gates[i]->name, c->before[i].locked, &ignored);
	for (size_t i = c->n; i-- > 0;)
		r |= put_back(&again, c->gates[i], c->before[i].mark);
	if (r)
		(void)gate_show_hints(&again, /* loud= */ true);
}

int gate_close(struct gate_context *cxt, const char *name, struct held_gate **gates, size_t n)
{
	_cleanup_(closing_deinit) struct closing c = { .cxt = cxt, .name = name, .gates = gates,
						       .n = n };
	int r = read_states(&c);

	if (r)
		return r;
	order_inner_first(&c);
	r = refuse_users(&c, /* stopped= */ false);
	if (r)
		return r;
	r = set_locked(&c);
	if (r == 0)
		r = take_away(&c);
	if (r) {
		undo(&c);
		return r;
	}
	for (size_t i = 0; i < n; i++)
		gate_say(cxt, "%s is locked", gates[i]->name);
	for (size_t i = 0; i < n; i++)
		services_start_in_vain(cxt, gates[i]);
	return gate_show_hints(cxt, /* loud= */ false);
}

void gate_note_loaded(struct gate_context *cxt, const struct zfs_state *state)
{
	FOR_EACH_DATASET(root, state)
	{
		if (root->key != KEY_LOADED || !streq(root->root, root->name))
			continue;
		diag_note(cxt->diag, "the key of %s stays loaded: no gate waits for it", root->name);
		diag_hint(cxt->diag, "Run 'eyrie lock %s'", root->name);
	}
}
