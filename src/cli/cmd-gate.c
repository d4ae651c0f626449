/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* eyrie gate: hold what needs an encrypted dataset until its key is there. */

#include "base/file.h"
#include "cli/gate-work.h"
#include "gate/check.h"
#include "gate/find.h"
#include "gate/loadkey.h"
#include "gate/mark.h"
#include "gate/openrc.h"
#include "gate/smf.h"
#include "gate/services.h"
#include "gate/systemd.h"
#include "gate/unitfile.h"
#include "gate/units.h"
#include "gate/watch.h"
#include "layout/paths.h"
#include "unlock/ask.h"
#include "unlock/config.h"

/* what is held, looked at anew */

/* A pool that is not here now is what it was when somebody looked. */
static void remember(const struct held *old, const char *name, struct held_gate *held)
{
	const struct held_gate *before = held_gate(old, name);
	struct held_gate copy = {};

	if (!before)
		return;
	record_copy(&record_held_gate, &copy, before);
	held->roots = copy.roots;
	held->mounts = copy.mounts;
	copy.roots = (struct strv)STRV_NULL;
	copy.mounts = (struct list){};
	record_deinit(&record_held_gate, &copy);
}

static void take_roots(struct cli *cli, const struct gate_work *work, const struct gate *gate,
		       const struct zfs_state *state, struct held_gate *held)
{
	const struct held_gate *before = held_gate(work->held, gate->name);

	held_from_zfs(&work->gates->gates, gate, state, held);
	if (!before || !gate_is_open(gate->name) || !held_keep_open(held, before, state))
		return;
	diag_warning(&cli->diag, "the gate %s is open, and below it is new what has no key here: it stays open, "
		     "and the next start waits for that key, too", gate->name);
	diag_hint(&cli->diag, "except: names what it shall not wait for, a backup for example");
}

static int look_at_gate(struct cli *cli, const struct gate_work *work, const struct gate *gate,
			const struct unit_list *units, struct held_gate *held)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	int r = zfs_read(&cli->run, gate->name, &state, &cli->diag), q;

	if (r)
		return r;
	held->name = str_dup(gate->name);
	held->hold = gate->hold;
	held->policy = gate_policy(gate);
	if (state->exists)
		take_roots(cli, work, gate, state, held);
	else
		remember(work->held, gate->name, held);
	r = check_gate(gate, state, held, &cli->diag);
	q = openrc_runs() ? check_without_systemd(gate, &cli->diag) : 0;
	r = r ? r : q;
	q = find_bad_mounts(held, &cli->diag);
	r = r ? r : q;
	q = find_units(gate, units, held, &cli->diag);
	find_misspelt(gate, units, &cli->diag);
	return r ? r : q;
}

/* The layout of this machine says whether the start keeps it, and a gate alone cannot. */
static void check_sharing(struct cli *cli, const struct gate *gate)
{
	struct unlock_config config = {};

	if (!gate->share_passphrase)
		return;
	if (unlock_config_read(PATH_UNLOCK_CONF, &config, NULL) || !config.share) {
		diag_warning(&cli->diag, "the gate %s has share-passphrase, and the start of this "
			     "machine keeps no passphrase for it", gate->name);
		diag_hint(&cli->diag, "write it below gates: of %s with encryption: { unlock: peer }, "
			  "then eyrie boot write, and make the initramfs anew", CLI_LAYOUT_FILE);
	}
	record_deinit(&record_unlock_config, &config);
}

/* Every finding of every gate, and what comes of those without one. */
static int look_at_all(struct cli *cli, const struct gate_work *work,
		       const struct unit_list *units, struct held *ret)
{
	int r = 0, q;

	FOR_EACH_GATE(gate, &work->gates->gates)
	{
		struct held_gate *held = list_add(&ret->gates, &record_held_gate);

		q = look_at_gate(cli, work, gate, units, held);
		r = r ? r : q;
		if (!held->name) {
			record_deinit(&record_held_gate, held);
			ret->gates.n_items--;
			diag_hint(&cli->diag, "gates are checked against the pools that are there, by zfs(8)");
			return r;
		}
		check_sharing(cli, gate);
	}
	q = find_bad_nesting(ret, &cli->diag);
	return r ? r : q;
}

static int know_units(struct cli *cli, struct unit_list **ret)
{
	if (systemd_runs())
		return systemd_show(&cli->run, NULL, ret, &cli->diag);
	*ret = mem_alloc(sizeof(**ret));
	return 0;
}

/* check */

static void show_gate(const struct held_gate *held, const struct unit_list *units)
{
	_cleanup_strv_ struct strv unknown = STRV_NULL;
	_cleanup_free_ char *roots = strv_join(&held->roots, ", ");
	_cleanup_free_ char *names = NULL;

	printf("%s: keys of %s\n", held->name, *roots ? roots : "nothing that is known");
	FOR_EACH_MOUNT(mount, held)
		printf("  mounts %s on %s\n", mount->dataset, mount->path);
	if (held->hold == GATE_BOOT)
		printf("  holds local file systems, and so everything after them: getty, logind, "
		       "dbus and ssh, too;\n  while its pool is not there, after %d seconds, only "
		       "what follows\n", WATCH_MISSING_SECONDS);
	FOR_EACH_UNIT(unit, held)
		printf("  holds %s: it %s\n", unit->name, unit->why);
	if (!held->units.n_items)
		printf("  holds nothing\n");
	find_unknown(units, held, &unknown);
	names = strv_join(&unknown, ", ");
	if (unknown.n_items)
		printf("  cannot know whether these use it, by their own configuration: %s\n",
		       names);
}

static enum cli_exit run_check(struct cli *cli)
{
	_cleanup_gate_work_ struct gate_work work = {};
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	int r;

	if (cli->n_args > 1) {
		r = gates_read(cli->args[1], &work.gates, &cli->diag);
		work.held = mem_alloc(sizeof(*work.held));
	} else {
		r = gate_work_begin(cli, &work);
	}
	if (r || know_units(cli, &units))
		return CLI_REFUSED;
	r = look_at_all(cli, &work, units, held);
	if (cli->options.json) {
		struct json_object *json = record_to_json(&record_held, held);

		json_object_object_add(json, "findings", view_findings_json(&cli->diag));
		view_json(json, stdout);
	} else {
		FOR_EACH_HELD(gate, held)
			show_gate(gate, units);
		if (!held->gates.n_items && r == 0)
			printf("No gates: %s names none.\n", GATE_FILE);
	}
	return r ? CLI_REFUSED : CLI_OK;
}

/* sync */

#define WATCH_UNIT "eyrie-gate.service"

static bool is_held(const struct held *held, const char *unit)
{
	FOR_EACH_HELD(gate, held)
		if (held_has_unit(gate, unit))
			return true;
	return false;
}

static void add_freed(const struct held *before, const struct held *now, struct strv *names)
{
	FOR_EACH_HELD(gate, before)
		FOR_EACH_UNIT(unit, gate)
			if (!is_held(now, unit->name) && !strv_has(names, unit->name))
				strv_add(names, unit->name);
}

/* Whom no gate holds any more, of those that sync and that the generator found before. */
static void find_freed(const struct gate_work *work, const struct held *now, struct strv *names)
{
	_cleanup_(held_freep) struct held *generated = NULL;

	add_freed(work->held, now, names);
	if (held_read(HELD_GENERATED, &generated, NULL) == 0)
		add_freed(generated, now, names);
}

static int tell_watch(struct cli *cli, const char *verb)
{
	const char *const argv[] = { "systemctl", verb, "--quiet", WATCH_UNIT, NULL };

	return run(&cli->run, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL }, NULL);
}

/* Without gates nobody watches. */
static bool is_watched(struct cli *cli, const struct held *held)
{
	return !held->gates.n_items || tell_watch(cli, "is-active") == 0;
}

/*
 * Units, and who watches, go by what was written; it may have failed too often before. Who was skipped and
 * is not held any more starts now.
 */
static int put_into_force(struct cli *cli, struct gate_work *work, const struct held *now)
{
	_cleanup_strv_ struct strv freed = STRV_NULL;
	int r;

	find_freed(work, now, &freed);
	r = systemd_reload(&cli->run, &cli->diag);
	(void)tell_watch(cli, "reset-failed");
	if (r == 0)
		r = run_words(&cli->run, &cli->diag, "systemctl", "--no-block", "restart",
			      WATCH_UNIT, NULL);
	return r ? r : services_start_skipped(&work->cxt, &freed);
}

enum cli_exit gate_sync(struct cli *cli)
{
	_cleanup_gate_work_ struct gate_work work = {};
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	_cleanup_free_ char *text = NULL;
	bool same;

	if (gate_work_begin(cli, &work) || know_units(cli, &units) ||
	    look_at_all(cli, &work, units, held))
		return CLI_REFUSED;
	same = record_equal(&record_held, held, work.held);
	if (cli->options.check)
		return same ? CLI_OK : CLI_PENDING;
	text = held_dump(held);
	if (file_replace(HELD_FILE, text, 0644, &cli->diag))
		return CLI_FAILED;
	if (systemd_runs() && (!same || !is_watched(cli, held)) &&
	    put_into_force(cli, &work, held))
		return CLI_FAILED;
	if (openrc_runs() && openrc_put(&cli->run, "", &work.gates->gates, &cli->diag))
		return CLI_FAILED;
	if (!held->gates.n_items) /* nobody watches who would take them away */
		(void)hint_show(&cli->run, "", /* loud= */ false, &cli->diag);
	if (!cli->options.quiet)
		fprintf(stderr, same ? "nothing changed\n" : "%s is written\n", HELD_FILE);
	return CLI_OK;
}

/* status */

static struct json_object *gate_json(const struct held_gate *gate, enum gate_state state,
				     const char *hint)
{
	struct json_object *json = record_to_json(&record_held_gate, gate);

	json_object_object_add(json, "state", json_object_new_string(gate_states[state]));
	if (hint)
		json_object_object_add(json, "hint", json_object_new_string(hint));
	return json;
}

static enum cli_exit refuse_unknown(struct cli *cli, const char *name)
{
	(void)diag_error(&cli->diag, -ENOENT, "there is no gate %s", name);
	return CLI_REFUSED;
}

static bool is_asked_for(const struct cli *cli, const struct held_gate *gate)
{
	return cli->n_args < 2 || streq(gate->name, cli->args[1]);
}

static enum cli_exit run_status(struct cli *cli)
{
	_cleanup_gate_work_ struct gate_work work = {};
	struct json_object *all = json_object_new_array();
	bool closed = false, any = false;

	if (gate_work_begin(cli, &work))
		return CLI_REFUSED;
	gate_work_follow(&work);
	FOR_EACH_HELD(gate, work.held)
	{
		_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
		_cleanup_free_ char *hint = NULL;
		enum gate_state is;

		if (!is_asked_for(cli, gate))
			continue;
		if (zfs_read(&cli->run, gate->name, &state, &cli->diag))
			return CLI_FAILED;
		any = true;
		is = gate_state_of(gate, state);
		closed |= is != GATE_OPEN;
		hint = gate_hint(gate, state);
		if (cli->options.json)
			json_object_array_add(all, gate_json(gate, is, hint));
		else if (!cli->options.quiet)
			printf("%s is %s\n%s", gate->name, gate_states[is], hint ? hint : "");
	}
	if (cli->options.json)
		view_json(all, stdout);
	else
		json_object_put(all);
	if (!any && cli->n_args > 1)
		return refuse_unknown(cli, cli->args[1]);
	return cli->options.check && closed ? CLI_PENDING : CLI_OK;
}

/* watch, ask, wait */

/* Who waits for a key that nobody looks for any more is told why, where hints are. */
static enum cli_exit tell_broken(struct cli *cli)
{
	const struct diag_item *item = &cli->diag.items[0];
	_cleanup_free_ char *place = item->line ? str_printf(":%u", item->line) : str_dup("");
	_cleanup_free_ char *text = str_printf("Nobody waits for keys: %s%s: %s\n"
					       "Run 'eyrie gate check', then 'eyrie gate sync'\n",
					       GATE_FILE, place, item->text);

	(void)hint_show(&cli->run, text, /* loud= */ access(GATE_ISSUE, F_OK) < 0, &cli->diag);
	return CLI_REFUSED;
}

static enum cli_exit watch(struct cli *cli, bool boot_only)
{
	_cleanup_gate_work_ struct gate_work work = {};
	const struct watch_options options = { .boot_only = boot_only,
					       .missing_seconds = WATCH_MISSING_SECONDS,
					       .asker = "/proc/self/exe" };

	if (gate_work_begin(cli, &work))
		return tell_broken(cli);
	return gate_watch(&work.cxt, &options) ? CLI_FAILED : CLI_OK;
}

static enum cli_exit run_watch(struct cli *cli)
{
	return watch(cli, false);
}

static enum cli_exit run_boot(struct cli *cli)
{
	return watch(cli, true);
}

/* What a person can type for this gate; none where its pool went, or its keys came. */
static void add_typed(struct cli *cli, struct gate_work *work, const char *name,
		      struct strv *roots)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	_cleanup_strv_ struct strv locked = STRV_NULL, lines = STRV_NULL;
	struct held_gate *held = held_gate(work->held, name);

	if (!held || zfs_read(&cli->run, name, &state, &cli->diag) || !state->exists)
		return;
	gate_work_refresh_roots(work, held);
	gate_missing_roots(held, state, &locked);
	gate_sort_roots(state, &locked, roots, &lines);
}

static char *make_question(const struct strv *roots, const char *name, bool wrong)
{
	_cleanup_free_ char *more = roots->n_items > 1 ?
					    str_printf(" and %zu more", roots->n_items - 1) :
					    str_dup("");

	return str_printf("%sPassphrase for %s%s, or run 'eyrie unlock %s':",
			  wrong ? "Wrong passphrase. " : "", roots->items[0], more, name);
}

/* One question for all these gates until each has its keys; eyrie gate watch opens them. */
static enum cli_exit run_ask(struct cli *cli)
{
	const struct asker asker = { .run = &cli->run, .root = "", .console = "/dev/console" };
	_cleanup_gate_work_ struct gate_work work = {};
	bool wrong = false;

	if (gate_work_begin(cli, &work))
		return CLI_REFUSED;
	gate_work_follow(&work);
	run_catch_interrupts();
	while (!run_interrupted()) {
		_cleanup_(secret_freep) struct secret *passphrase = secret_new();
		_cleanup_strv_ struct strv roots = STRV_NULL;
		_cleanup_free_ char *question = NULL;
		const char *first = NULL;

		for (size_t i = 1; i < cli->n_args; i++) {
			add_typed(cli, &work, cli->args[i], &roots);
			first = first || !roots.n_items ? first : cli->args[i];
		}
		if (!roots.n_items)
			return CLI_OK;
		question = make_question(&roots, first, wrong);
		if (ask_passphrase(&asker, question, passphrase, &cli->diag))
			return CLI_FAILED;
		wrong = gate_try_passphrase(&work.cxt, passphrase, &roots) == 0;
	}
	return CLI_OK;
}

static enum cli_exit run_wait(struct cli *cli)
{
	_cleanup_gate_work_ struct gate_work work = {};

	if (gate_work_begin(cli, &work))
		return CLI_REFUSED;
	gate_work_follow(&work);
	if (!held_gate(work.held, cli->args[1]))
		return refuse_unknown(cli, cli->args[1]);
	run_catch_interrupts();
	while (!gate_is_open(cli->args[1])) {
		if (run_interrupted())
			return CLI_FAILED;
		(void)sleep(1);
	}
	return CLI_OK;
}

/* generate, emit */

static int write_unit(struct cli *cli, const struct unit_file *file)
{
	const char *below = starts_with(file->path, "early/");
	_cleanup_free_ char *path =
		str_printf("%s/%s", cli->args[below ? 2 : 1],
			   below ? below : file->path + strlen("normal/"));
	_cleanup_free_ char *folder = str_printf("%.*s", (int)(strrchr(path, '/') - path), path);
	int r;

	if (file->text)
		return file_replace(path, file->text, 0644, &cli->diag);
	r = file_make_folder(folder, &cli->diag);
	if (r == 0 && symlink("/dev/null", path) < 0 && errno != EEXIST)
		r = diag_error(&cli->diag, -errno, "cannot write %s: %m", path);
	return r;
}

/*
 * What unit files say, beside what sync found: a finding takes nothing away from the others. Nobody
 * is held for a gate that was taken out; while the file cannot be read all stay as they were.
 */
static void follow_files(struct cli *cli, const char *root, struct held *held)
{
	_cleanup_free_ char *file = str_printf("%s" GATE_FILE, root);
	_cleanup_(unit_list_freep) struct unit_list *units = mem_alloc(sizeof(*units));
	_cleanup_(gates_freep) struct gates *gates = NULL;
	const struct list none = {};

	if (access(file, F_OK) < 0)
		held_drop_others(held, &none);
	else if (gates_read(file, &gates, &cli->diag) == 0)
		held_drop_others(held, &gates->gates);
	if (!gates)
		return;
	held_complete(held, &gates->gates);
	unit_files_read(root, units);
	FOR_EACH_GATE(gate, &gates->gates)
		(void)find_units(gate, units, held_gate(held, gate->name), &cli->diag);
}

static int write_held(struct cli *cli, const struct held *held)
{
	const char *name = strrchr(HELD_GENERATED, '/');
	_cleanup_free_ char *path = str_printf("%s%s", cli->args[1], name);
	_cleanup_free_ char *text = held_dump(held);

	return file_replace(path, text, 0644, &cli->diag);
}

/* systemd.generator(7): NORMAL EARLY LATE, and the root of a system for tests. */
static enum cli_exit run_generate(struct cli *cli)
{
	const char *root = cli->n_args > 4 ? cli->args[4] : "";
	_cleanup_free_ char *file = str_printf("%s" HELD_FILE, root);
	_cleanup_(held_freep) struct held *held = NULL;
	struct list files = {};
	int r;

	if (held_read(file, &held, &cli->diag))
		held = mem_alloc(sizeof(*held));
	follow_files(cli, root, held);
	units_make(held, &files);
	r = write_held(cli, held);
	for (size_t i = 0; i < files.n_items; i++) {
		int q = write_unit(cli, list_at(&files, &record_unit_file, i));

		r = r ? r : q;
	}
	list_deinit(&files, &record_unit_file);
	return r ? CLI_FAILED : CLI_OK;
}

static enum cli_exit run_emit(struct cli *cli)
{
	_cleanup_free_ char *text = NULL;
	FILE *out;

	if (!cli->options.smf || (!cli->options.method && cli->n_args < 2)) {
		(void)diag_error(&cli->diag, -EINVAL,
				 "eyrie gate emit --smf NAME, or --smf --method");
		return CLI_USAGE;
	}
	if (!cli->options.method && !gate_is_dataset(cli->args[1])) {
		(void)diag_error(&cli->diag, -EINVAL, "'%s' is no name of a pool or dataset",
				 cli->args[1]);
		return CLI_REFUSED;
	}
	text = cli->options.method ? smf_method() : smf_manifest(cli->args[1]);
	out = cli_output(cli);
	if (!out)
		return CLI_REFUSED;
	fputs(text, out);
	if (out == stdout || fclose(out) == 0)
		return CLI_OK;
	(void)diag_error(&cli->diag, -errno, "cannot write %s: %m", cli->options.output);
	return CLI_FAILED;
}

#define ASKED_MAX 1024 /* gates in one question */

static const struct {
	const char *name;
	size_t n_args_min, n_args_max; /* behind its name */
	bool root;
	enum cli_exit (*run)(struct cli *cli);
} verbs[] = {
	{ "check", 0, 1, false, run_check },
	{ "sync", 0, 0, true, gate_sync },
	{ "status", 0, 1, false, run_status },
	{ "wait", 1, 1, false, run_wait },
	{ "emit", 0, 1, false, run_emit },
	{ "watch", 0, 0, true, run_watch },
	{ "boot", 0, 0, true, run_boot },
	{ "ask", 1, ASKED_MAX, true, run_ask },
	{ "generate", 3, 4, false, run_generate },
};

static enum cli_exit run_gate(struct cli *cli)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (!streq(verbs[i].name, cli->args[0]))
			continue;
		if (cli->n_args - 1 < verbs[i].n_args_min || cli->n_args - 1 > verbs[i].n_args_max)
			break;
		if (verbs[i].root && geteuid() != 0) {
			(void)diag_error(&cli->diag, -EPERM, "eyrie gate %s needs root",
					 cli->args[0]);
			return CLI_REFUSED;
		}
		return verbs[i].run(cli);
	}
	(void)diag_error(&cli->diag, -EINVAL, "eyrie gate knows: check [FILE], sync, status [NAME], "
			 "wait NAME, emit --smf NAME");
	return CLI_USAGE;
}

const struct cli_command cmd_gate = {
	.name = "gate",
	.synopsis = "VERB [NAME]",
	.summary = "Services wait for encrypted datasets: check, sync, status, wait, emit",
	.n_args_min = 1,
	.n_args_max = 1 + ASKED_MAX,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(CHECK) | CLI_TAKES(QUIET) | CLI_TAKES(VERBOSE) |
		 CLI_TAKES(OUTPUT) | CLI_TAKES(SMF) | CLI_TAKES(METHOD),
	.run = run_gate,
};
