/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/work.h"

#include <stdio.h>

#include "apply/lock.h"
#include "apply/together.h"
#include "cli/gate-work.h"
#include "observe/observe.h"

struct work {
	struct cli *cli;
	struct layout *layout;
	struct apply_context cxt;
	struct secret *passphrase;
	struct apply_key *keys; /* of what was asked for so far */
	size_t n_keys;
	const struct plan *plan; /* the one that is being carried out */
	bool asked;
	bool gates_written;
};

static void show_event(const struct work *work, const struct step *step, const char *event,
		       double seconds)
{
	const struct step *first = work->plan->steps.items;
	size_t number = (size_t)(step - first) + 1, all = work->plan->steps.n_items;

	if (work->cli->options.json) {
		struct json_object *json = record_to_json(&record_step, step);

		json_object_object_add(json, "event", json_object_new_string(event));
		json_object_object_add(json, "number", json_object_new_uint64(number));
		json_object_object_add(json, "of", json_object_new_uint64(all));
		if (seconds >= 0)
			json_object_object_add(json, "seconds", json_object_new_double(seconds));
		printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
		fflush(stdout);
		json_object_put(json);
	} else if (!work->cli->options.quiet && seconds < 0) {
		fprintf(stderr, "[%2zu/%zu] %s\n", number, all, step->text);
	} else if (!work->cli->options.quiet && seconds >= 5) {
		fprintf(stderr, "[%2zu/%zu] done in %.0f s\n", number, all, seconds);
	}
}

static void step_begins(void *context, const struct step *step)
{
	show_event(context, step, "begin", -1);
}

static void step_ends(void *context, const struct step *step, double seconds)
{
	show_event(context, step, "end", seconds);
}

static bool destroys(const struct plan *plan)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (step->destroys)
			return true;
	return false;
}

static enum cli_exit consent(struct work *work)
{
	struct cli *cli = work->cli;
	_cleanup_free_ char *answer = NULL;

	if (plan_count_consents_missing(work->plan)) {
		view_plan(work->plan, stderr);
		FOR_EACH_ITEM(struct step, step, &work->plan->steps)
			if (step->consent_missing) {
				(void)diag_error(&cli->diag, -EEXIST,
						 "disk '%s' is not blank: %s", step->disk,
						 step->destroys);
				diag_hint(&cli->diag, "when that may go: --wipe %s", step->disk);
			}
		return CLI_CONSENT;
	}
	if (!destroys(work->plan) || cli->options.yes || work->asked || !cli_can_ask())
		return CLI_OK;
	view_plan(work->plan, stderr);
	answer = cli_ask("Go on? Type yes", NULL);
	work->asked = true;
	if (streq(answer, "yes"))
		return CLI_OK;
	(void)diag_error(&cli->diag, -ECANCELED, "stopped; nothing was touched");
	return CLI_REFUSED;
}

static bool makes_new_members(const struct plan *plan)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (step->kind == STEP_LUKS_FORMAT)
			return true;
	return false;
}

static enum cli_exit get_passphrase(struct work *work)
{
	if (work->passphrase || !apply_needs_passphrase(work->plan, work->layout))
		return CLI_OK;
	if (cli_ask_passphrase(work->cli, makes_new_members(work->plan), &work->passphrase))
		return CLI_REFUSED;
	work->cxt.passphrase = work->passphrase;
	return CLI_OK;
}

static bool has_key(const struct work *work, const char *root)
{
	for (size_t i = 0; i < work->n_keys; i++)
		if (streq(work->keys[i].root, root))
			return true;
	return false;
}

/* That of the root's pool is the passphrase of the machine. */
static int ask_key(struct work *work, const char *root, bool new, struct secret **ret)
{
	return streq(root, work->layout->pool.name) ? cli_ask_passphrase(work->cli, new, ret) :
						      cli_ask_key(work->cli, root, new, ret);
}

static enum cli_exit get_keys_of(struct work *work, const struct strv *roots, bool new)
{
	for (size_t i = 0; i < roots->n_items; i++) {
		_cleanup_(secret_freep) struct secret *secret = NULL;

		if (has_key(work, roots->items[i]))
			continue;
		if (ask_key(work, roots->items[i], new, &secret))
			return CLI_REFUSED;
		work->keys = mem_grow(work->keys, work->n_keys, sizeof(*work->keys));
		work->keys[work->n_keys++] = (struct apply_key){ str_dup(roots->items[i]),
								 take_ptr(secret) };
	}
	work->cxt.keys = work->keys;
	work->cxt.n_keys = work->n_keys;
	return CLI_OK;
}

/* Passphrases of what ZFS encrypts itself. */
static enum cli_exit get_keys(struct work *work)
{
	_cleanup_strv_ struct strv made = STRV_NULL, known = STRV_NULL;
	enum cli_exit status;

	apply_key_roots(work->plan, work->layout, &made, &known);
	status = get_keys_of(work, &made, true);
	return status == CLI_OK ? get_keys_of(work, &known, false) : status;
}

static void forget_keys(struct work *work)
{
	for (size_t i = 0; i < work->n_keys; i++) {
		free(work->keys[i].root);
		(void)secret_free(work->keys[i].secret);
	}
	free(work->keys);
}

static enum cli_exit carry_out(struct work *work, const struct observed *have)
{
	struct cli *cli = work->cli;
	enum cli_exit status;

	if (apply_check_tools(work->plan, work->layout, &cli->run, &cli->diag))
		return CLI_REFUSED;
	status = consent(work);
	if (status == CLI_OK)
		status = get_passphrase(work);
	if (status == CLI_OK)
		status = get_keys(work);
	if (status != CLI_OK)
		return status;
	if (together_begin(work->plan, have, &work->cxt))
		return CLI_REFUSED;
	if (apply_run(work->plan, &work->cxt) == 0)
		return CLI_OK;
	diag_note(&cli->diag, "it is safe to run the same command again: it goes on from here");
	return CLI_FAILED;
}

/* What is inside of partitions, of pools and of the root is seen one after the other. */
#define ROUNDS_MAX 6

static bool ends_with_look(const struct plan *plan)
{
	const struct step *steps = plan->steps.items;

	return plan->steps.n_items && steps[plan->steps.n_items - 1].kind == STEP_LOOK_AGAIN;
}

/* Generated files, and with them the gates. */
static bool writes_gates(const struct plan *plan)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (step->kind == STEP_SWITCH ||
		    (step->kind == STEP_FILE_WRITE && streq(step->object, GATE_FILE)))
			return true;
	return false;
}

static enum cli_exit one_round(struct work *work, bool *ret_more)
{
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(plan_freep) struct plan *plan = NULL;
	const struct plan_options options = cli_plan_options(work->cli);
	struct cli *cli = work->cli;
	const struct observed_pool *pool;
	enum cli_exit status;

	if (cli_observe(cli, work->layout, &have))
		return CLI_FAILED;
	if (plan_check_place(work->layout, have, options.target, &cli->diag) ||
	    plan_make(work->layout, have, &options, &plan, &cli->diag))
		return CLI_REFUSED;
	pool = observed_pool(have, work->layout->pool.name);
	work->cxt.target = pool && !pool->altroot ? "" : cli_target(cli);
	work->plan = plan;
	*ret_more = ends_with_look(plan);
	status = plan->steps.n_items ? carry_out(work, have) : CLI_OK;
	work->gates_written |= status == CLI_OK && writes_gates(plan);
	work->plan = NULL;
	return status;
}

enum cli_exit work_run(struct cli *cli, struct layout *layout,
		       int (*then)(struct apply_context *cxt))
{
	struct work work = { .cli = cli, .layout = layout };
	const struct apply_events events = { step_begins, step_ends, &work };
	_cleanup_close_ int lock = -1;
	enum cli_exit status = CLI_OK;
	bool more = true;

	if (!cli->options.quiet && lock_is_taken())
		fprintf(stderr, "another eyrie is at work on this machine; this one begins when it "
			"has ended (fuser /run/eyrie/lock)\n");
	if (lock_take(&lock, &cli->diag))
		return CLI_REFUSED;
	work.cxt = (struct apply_context){ .layout = layout, .target = cli_target(cli),
					   .run = &cli->run, .layout_file = cli_layout_path(cli),
					   .debs = &cli->options.debs, .events = &events,
					   .diag = &cli->diag };
	for (int i = 0; i < ROUNDS_MAX && more && status == CLI_OK; i++)
		status = one_round(&work, &more);
	if (status == CLI_OK && more) {
		(void)diag_error(&cli->diag, -EAGAIN, "after %d rounds there is still more to see",
				 ROUNDS_MAX);
		diag_hint(&cli->diag, "eyrie plan says what; the same command goes on from here");
		status = CLI_FAILED;
	}
	if (status == CLI_OK && then && *work.cxt.target && then(&work.cxt))
		status = CLI_FAILED;
	/*
	 * The next start of the running system is not to be the first that knows of them. A finding
	 * is no refusal: they were written.
	 */
	if (status == CLI_OK && work.gates_written && !*work.cxt.target && gate_sync(cli))
		status = CLI_FAILED;
	work.passphrase = secret_free(work.passphrase);
	forget_keys(&work);
	return status;
}
