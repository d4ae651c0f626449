/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/gate-work.h"
#include "gate/mark.h"

/* A name that no gate has: its keys alone, with nobody to stop. */
static struct held_gate *make_gate(struct gate_work *work, const struct zfs_state *state)
{
	const struct gate gate = { .name = state->name };
	struct held_gate *held = list_add(&work->held->gates, &record_held_gate);
	struct list gates = { .items = (void *)&gate, .n_items = 1 };

	held->name = str_dup(state->name);
	held_from_zfs(&gates, &gate, state, held);
	return held;
}

static int close_one(struct cli *cli, struct gate_work *work, const char *name)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	struct held_gate *gate = held_gate(work->held, name);
	int r = zfs_read(&cli->run, name, &state, &cli->diag);

	if (r)
		return r;
	if (!state->exists)
		return diag_error(&cli->diag, -ENOENT, "there is no dataset %s", name);
	if (gate)
		gate_work_refresh_roots(work, gate);
	else
		gate = make_gate(work, state);
	if (!gate->roots.n_items) {
		(void)diag_error(&cli->diag, -EINVAL, "%s is not encrypted by itself", name);
		FOR_EACH_DATASET(dataset, state)
			if (streq(dataset->name, name) && dataset->root)
				diag_hint(&cli->diag, "its key is that of %s", dataset->root);
		return -EINVAL;
	}
	return gate_close(&work->cxt, gate);
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
	r = close_one(cli, &work, cli->args[0]);
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
