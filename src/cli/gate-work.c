/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/gate-work.h"
#include "gate/loadkey.h"
#include "gate/mark.h"
#include "gate/mounts.h"
#include "gate/open.h"

#define TRIES 3

static void say(void *context, const char *line)
{
	const struct cli *cli = context;

	if (!cli->options.quiet)
		fprintf(stderr, "%s\n", line);
}

/* What it says sync finds anew, and the generator in unit files: it keeps nobody from keys. */
static struct held *read_or_forget(struct cli *cli)
{
	_cleanup_diag_ struct diag why = DIAG_NULL;
	struct held *held = NULL;

	if (held_read(HELD_FILE, &held, &why) == 0)
		return held;
	diag_warning(&cli->diag, "%s", why.items[0].text);
	diag_hint(&cli->diag, "eyrie gate sync writes %s anew", HELD_FILE);
	return mem_alloc(sizeof(*held));
}

int gate_work_begin(struct cli *cli, struct gate_work *work)
{
	int r = 0;

	*work = (struct gate_work){ .cxt = { .run = &cli->run, .diag = &cli->diag, .say = say,
					     .context = cli } };
	if (access(GATE_FILE, F_OK) == 0)
		r = gates_read(GATE_FILE, &work->gates, &cli->diag);
	else
		work->gates = mem_alloc(sizeof(*work->gates));
	work->held = read_or_forget(cli);
	work->cxt.gates = work->gates;
	work->cxt.held = work->held;
	return r;
}

void gate_work_follow(struct gate_work *work)
{
	held_drop_others(work->held, &work->gates->gates);
	held_complete(work->held, &work->gates->gates);
	(void)held_follow_all(work->held, HELD_GENERATED);
}

void gate_work_refresh_roots(struct gate_work *work, struct held_gate *held)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	struct held_gate now = {};

	if (zfs_read(work->cxt.run, held->name, &state, NULL) || !state->exists)
		return;
	FOR_EACH_GATE(gate, &work->gates->gates)
		if (streq(gate->name, held->name))
			held_from_zfs(&work->gates->gates, gate, state, &now);
	if (now.roots.n_items) {
		strv_deinit(&held->roots);
		held->roots = now.roots;
		now.roots = (struct strv)STRV_NULL;
	}
	record_deinit(&record_held_gate, &now);
}

void gate_work_end(struct gate_work *work)
{
	work->gates = gates_free(work->gates);
	work->held = held_free(work->held);
}

bool gate_is_name(struct cli *cli, const char *name)
{
	_cleanup_gate_work_ struct gate_work work = {};
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	struct cli quiet = *cli;
	bool is;

	if (strchr(name, '/'))
		return true;
	quiet.diag = (struct diag)DIAG_NULL;
	is = gate_work_begin(&quiet, &work) == 0 && gate_of(&work.gates->gates, name);
	diag_deinit(&quiet.diag);
	return is || (zfs_read(&cli->run, name, &state, NULL) == 0 && state->exists);
}

/* its pool */

static int import_pool(struct gate_context *cxt, const char *name, struct zfs_state **state)
{
	_cleanup_free_ char *pool = str_printf("%.*s", (int)strcspn(name, "/"), name);
	int r = zfs_import(cxt->run, pool, cxt->diag);

	if (r) {
		diag_hint(cxt->diag, "no disk of it may be here; 'zpool import' lists what is");
		return r;
	}
	*state = zfs_state_free(*state);
	return zfs_read(cxt->run, name, state, cxt->diag);
}

static int read_or_import(struct gate_context *cxt, const char *name, struct zfs_state **ret)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	int r = zfs_read(cxt->run, name, &state, cxt->diag);

	if (r == 0 && !state->imported)
		r = import_pool(cxt, name, &state);
	if (r)
		return r;
	if (!state->exists)
		return diag_error(cxt->diag, -ENOENT, "there is no dataset %s", name);
	*ret = take_ptr(state);
	return 0;
}

/* its keys */

/* Encryption roots whose keys are to be loaded. */
struct wanted {
	struct strv needed; /* a gate waits for them, or they were named; all where no gate is */
	struct strv others;
};

static void wanted_deinit(struct wanted *wanted)
{
	strv_deinit(&wanted->needed);
	strv_deinit(&wanted->others);
}

/* The passphrase for those that are left; a file or stdin has only one. */
static int ask_and_try(struct cli *cli, struct gate_context *cxt, struct strv *roots,
		       struct strv *others, size_t *ret_opened)
{
	_cleanup_(secret_freep) struct secret *passphrase = NULL;
	_cleanup_free_ char *what = roots->n_items == 1 ?
					    str_dup(roots->items[0]) :
					    str_printf("%s and %zu more", roots->items[0],
						       roots->n_items - 1);
	int r = cli_ask_passphrase_of(cli, what, &passphrase);

	if (r)
		return r;
	*ret_opened = gate_try_passphrase(cxt, passphrase, roots);
	(void)gate_try_passphrase(cxt, passphrase, others);
	return 0;
}

/* Roots whose key nobody can type leave `roots`, with an error that says where it belongs. */
static int refuse_untyped(struct cli *cli, struct gate_context *cxt,
			  const struct zfs_state *state, struct strv *roots)
{
	_cleanup_strv_ struct strv typed = STRV_NULL, all = *roots;
	int r = 0;

	for (size_t i = 0; i < all.n_items; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, all.items[i]);

		if (zfs_is_typed(root, cli->options.passphrase_file))
			strv_add(&typed, all.items[i]);
		else
			r = diag_error(cxt->diag, -ENOENT, "the key of %s is no passphrase (%s), and "
				       "cannot be had from %s", root->name, root->keyformat,
				       root->keylocation);
	}
	*roots = typed;
	typed = (struct strv)STRV_NULL;
	return r;
}

static int ask_for_all(struct cli *cli, struct gate_context *cxt, const char *name,
		       struct strv *roots, struct strv *others)
{
	_cleanup_free_ char *left = NULL;
	bool once = cli->options.passphrase_file;

	for (int tries = 0; roots->n_items && tries < TRIES;) {
		size_t opened = 0;
		int r = ask_and_try(cli, cxt, roots, others, &opened);

		if (r)
			return r;
		tries = opened ? 0 : tries + 1;
		if (!opened && !once && tries < TRIES)
			fprintf(stderr, "The passphrase is wrong. Run 'eyrie unlock %s' also from "
				"elsewhere.\n", name);
		if (once)
			break;
	}
	if (!roots->n_items)
		return 0;
	left = strv_join(roots, ", ");
	(void)diag_error(cxt->diag, -EPERM, "the passphrase does not open %s", left);
	diag_hint(cxt->diag, "Run 'eyrie unlock %s'", name);
	return -EPERM;
}

static bool is_waited_for(const struct gate_work *work, const char *root)
{
	FOR_EACH_HELD(gate, work->held)
		if (strv_has(&gate->roots, root))
			return true;
	return false;
}

/* It has a key at or below the name, or its own name is there. */
static bool waits_below(const struct held_gate *gate, const char *name)
{
	for (size_t i = 0; i < gate->roots.n_items; i++)
		if (is_or_is_below(gate->roots.items[i], name))
			return true;
	return is_or_is_below(gate->name, name);
}

static bool has_gates(const struct gate_work *work, const char *name)
{
	FOR_EACH_HELD(gate, work->held)
		if (waits_below(gate, name))
			return true;
	return false;
}

/* What a person named is meant, whoever else waits; and what is below it where no gate is. */
static void sort_wanted(const struct gate_work *work, const char *name, const struct strv *roots,
			struct wanted *wanted)
{
	for (size_t i = 0; i < roots->n_items; i++) {
		const char *root = roots->items[i];

		strv_add(streq(root, name) || is_waited_for(work, root) ? &wanted->needed :
									   &wanted->others,
			 root);
	}
	if (wanted->needed.n_items || has_gates(work, name))
		return;
	wanted->needed = wanted->others;
	wanted->others = (struct strv)STRV_NULL;
}

static int load_keys(struct cli *cli, struct gate_work *work, const struct zfs_state *state,
		     struct wanted *wanted)
{
	_cleanup_strv_ struct strv roots = STRV_NULL;
	int r, q;

	FOR_EACH_HELD(gate, work->held)
		gate_work_refresh_roots(work, gate);
	gate_locked_roots(&work->gates->gates, state, &roots);
	(void)gate_try_files(&work->cxt, state, &roots);
	(void)gate_try_network(&work->cxt, state, &roots);
	sort_wanted(work, state->name, &roots, wanted);
	r = refuse_untyped(cli, &work->cxt, state, &wanted->needed);
	q = ask_for_all(cli, &work->cxt, state->name, &wanted->needed, &wanted->others);
	return r ? r : q;
}

/*
 * No gate waits for these: a person may have their passphrase, or not. Nobody else waits for that
 * person meanwhile.
 */
static int load_others(struct cli *cli, struct gate_work *work, const struct zfs_state *state,
		       const struct strv *others, int *lock)
{
	_cleanup_strv_ struct strv typed = STRV_NULL, lines = STRV_NULL, none = STRV_NULL;
	_cleanup_diag_ struct diag ignored = DIAG_NULL;
	struct gate_context cxt = work->cxt;

	if (!others->n_items)
		return 0;
	(void)close(take_fd(lock));
	gate_sort_roots(state, others, &typed, &lines);
	cxt.diag = &ignored;
	if (cli_can_ask() && !cli->options.passphrase_file)
		(void)ask_for_all(cli, &cxt, state->name, &typed, &none);
	for (size_t i = 0; i < typed.n_items; i++)
		diag_note(&cli->diag, "%s stays locked; no gate waits for it", typed.items[i]);
	return mark_lock(lock, &cli->diag);
}

/* its gates */

static bool concerns(const struct held_gate *gate, const char *name)
{
	return waits_below(gate, name) || is_or_is_below(name, gate->name);
}

/* 1: it is open now, and was not before. */
static int open_one(struct gate_work *work, struct held_gate *gate)
{
	int r;

	if (gate_is_open(gate->name))
		return 0;
	gate_work_refresh_roots(work, gate);
	r = gate_open(&work->cxt, gate);
	return r == 0 ? 1 : r;
}

/* Until none opens any more: one that lies inside another waits for that. */
static int open_gates(struct gate_work *work, const char *name)
{
	bool any = true, opening = false;
	int r = 0;

	while (any && r == 0) {
		any = opening = false;
		FOR_EACH_HELD(gate, work->cxt.held)
		{
			int q = concerns(gate, name) ? open_one(work, gate) : 0;

			any |= q == 1;
			opening |= q == -EINPROGRESS;
			if (q < 0 && q != -EAGAIN && q != -EINPROGRESS)
				r = q;
		}
	}
	return r ? r : opening ? -EINPROGRESS : 0;
}

/* Who watches may go on with it between two tries, and does if this one is interrupted. */
static int open_all(struct gate_work *work, const char *name, int *lock)
{
	int r = mark_lock(lock, work->cxt.diag);

	if (r == 0)
		r = open_gates(work, name);
	while (r == -EINPROGRESS) {
		(void)close(take_fd(lock));
		(void)sleep(1);
		r = mark_lock(lock, work->cxt.diag);
		if (r == 0)
			r = open_gates(work, name);
	}
	return r;
}

/* Those that this name concerns and that wait all the same. */
static void note_waiting(struct gate_work *work, const char *name)
{
	FOR_EACH_HELD(gate, work->cxt.held)
	{
		_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
		_cleanup_strv_ struct strv missing = STRV_NULL;
		const struct held_gate *outer;

		if (!concerns(gate, name) || gate_is_open(gate->name) ||
		    zfs_read(work->cxt.run, gate->name, &state, NULL))
			continue;
		gate_missing_roots(gate, state, &missing);
		outer = gate_outer(&work->cxt, gate, state);
		if (missing.n_items)
			diag_note(work->cxt.diag, "%s still waits for the key of %s", gate->name,
				  missing.items[0]);
		else if (outer)
			diag_note(work->cxt.diag, "%s has its key and waits until %s is open, inside "
				  "whose mounts it lies", gate->name, outer->name);
	}
}

enum cli_exit gate_show(struct cli *cli, const char *name)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;

	if (!cli->options.json)
		return CLI_OK;
	if (zfs_read(&cli->run, name, &state, &cli->diag))
		return CLI_FAILED;
	view_json(zfs_state_to_json(state), stdout);
	return CLI_OK;
}

/* What no gate holds is mounted all the same, and what one excepts when it was meant. */
static int mount_rest(struct gate_work *work, struct zfs_state *state)
{
	const struct list *gates = &work->gates->gates;
	bool meant = gate_is_excepted(gates, state->name);

	FOR_EACH_DATASET(dataset, state)
	{
		const struct gate *gate = gate_of(gates, dataset->name);

		dataset->mounts &= gate ? gate_is_open(gate->name) :
				   meant || dataset->mounted ||
					   !gate_is_excepted(gates, dataset->name);
	}
	return gate_mount(&work->cxt, state);
}

enum cli_exit gate_unlock(struct cli *cli, const char *name)
{
	_cleanup_gate_work_ struct gate_work work = {};
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	_cleanup_(wanted_deinit) struct wanted wanted = {};
	_cleanup_close_ int lock = -1;
	int r, q;

	if (gate_work_begin(cli, &work)) {
		diag_hint(&cli->diag, "until it is mended: zfs load-key -r %s && zfs mount -a; gates "
			  "that are watched open by themselves", name);
		return CLI_REFUSED;
	}
	gate_work_follow(&work);
	r = read_or_import(&work.cxt, name, &state);
	if (r)
		return r == -ENOENT ? CLI_REFUSED : CLI_FAILED;
	r = load_keys(cli, &work, state, &wanted);
	if (r == 0) /* of a gate, opening it does the same */
		r = mark_unlock_all(name, &cli->diag);
	work.cxt.hints_elsewhere = true; /* once for all that open */
	q = open_all(&work, name, &lock);
	note_waiting(&work, name);
	work.cxt.hints_elsewhere = false;
	(void)gate_show_hints(&work.cxt, /* loud= */ false);
	r = r ? r : q;
	if (r == 0)
		r = load_others(cli, &work, state, &wanted.others, &lock);
	if (r == 0) {
		state = zfs_state_free(state);
		r = zfs_read(&cli->run, name, &state, &cli->diag);
	}
	if (r == 0)
		r = mount_rest(&work, state);
	return r ? CLI_FAILED : gate_show(cli, name);
}
