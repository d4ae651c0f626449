/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/gate-work.h"
#include "gate/close.h"
#include "gate/mark.h"

/* What is at and below a name and belongs to no gate: its keys alone, with nobody to stop. */
static void add_rest(struct gate_work *work, const struct zfs_state *state)
{
	const struct list *all = &work->gates->gates;
	_cleanup_free_ struct gate *gates = mem_alloc((all->n_items + 1) * sizeof(*gates));
	const struct list with_rest = { .items = (void *)gates, .n_items = all->n_items + 1 };
	struct held_gate *held = list_add(&work->held->gates, &record_held_gate);

	if (all->n_items)
		memcpy(gates, all->items, all->n_items * sizeof(*gates));
	gates[all->n_items].name = state->name;
	held->name = str_dup(state->name);
	held_from_zfs(&with_rest, &gates[all->n_items], state, held);
}

/* What has no key of its own is locked with what has it: unmounted alone, it would not be locked at all. */
static int refuse_keyless(struct cli *cli, const struct zfs_dataset *own)
{
	(void)diag_error(&cli->diag, -EINVAL, "%s has no key of its own: it has that of %s", own->name,
			 own->root);
	diag_hint(&cli->diag, "Run 'eyrie lock %s'", own->root);
	return -EINVAL;
}

static int close_gates(struct cli *cli, struct gate_work *work, const struct zfs_state *state)
{
	_cleanup_free_ struct held_gate **gates =
		mem_alloc((work->held->gates.n_items + 1) * sizeof(struct held_gate *));
	size_t n = 0;

	FOR_EACH_HELD(gate, work->held)
	{
		if (!is_or_is_below(gate->name, state->name))
			continue;
		gate_work_refresh_roots(work, gate);
		if (gate->roots.n_items)
			gates[n++] = gate;
	}
	return n ? gate_close(&work->cxt, state->name, gates, n) :
		   diag_error(&cli->diag, -EINVAL, "nothing of %s is encrypted", state->name);
}

static int close_name(struct cli *cli, struct gate_work *work, const char *name)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	const struct zfs_dataset *own;
	int r = zfs_read(&cli->run, name, &state, &cli->diag);

	if (r)
		return r;
	if (!state->exists)
		return diag_error(&cli->diag, -ENOENT, "there is no dataset %s", name);
	own = zfs_dataset(state, name);
	if (own && own->root && !streq(own->root, name))
		return refuse_keyless(cli, own);
	if (!held_gate(work->held, name))
		add_rest(work, state);
	return close_gates(cli, work, state);
}

/* The lock itself is done: what cannot be looked at is not said. */
static void note_loaded(struct gate_work *work, const char *name)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;

	if (zfs_read(work->cxt.run, name, &state, NULL) == 0)
		gate_note_loaded(&work->cxt, state);
}

static enum cli_exit run_lock(struct cli *cli)
{
	_cleanup_gate_work_ struct gate_work work = {};
	_cleanup_close_ int lock = -1;
	int r;

	/* Whoever interrupts it gets back what it was. */
	run_catch_interrupts();
	if (gate_work_begin(cli, &work) || mark_lock(&lock, &cli->diag))
		return CLI_REFUSED;
	gate_work_follow(&work);
	r = close_name(cli, &work, cli->args[0]);
	if (r == 0)
		note_loaded(&work, cli->args[0]);
	return r == 0				  ? gate_show(cli, cli->args[0]) :
	       r == -ENOENT || r == -EINVAL || r == -EBUSY ? CLI_REFUSED :
							     CLI_FAILED;
}

const struct cli_command cmd_lock = {
	.name = "lock",
	.synopsis = "NAME",
	.summary = "Stop what depends on a pool or dataset, unmount it and take its key away",
	.n_args_min = 1,
	.n_args_max = 1,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(QUIET) | CLI_TAKES(VERBOSE),
	.needs = CLI_NEEDS_ROOT,
	.run = run_lock,
};
