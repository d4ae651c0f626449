/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/open.h"

#include "base/file.h"
#include "gate/systemd.h"
#include "gate/units.h"
#include "gate/users.h"

#define MARK_OPEN    "open\n"
#define MARK_OVERDUE "overdue\n"

static void say(const struct gate_context *cxt, const char *format, ...) _printf_(2, 3);

static void say(const struct gate_context *cxt, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	va_start(ap, format);
	line = str_vprintf(format, ap);
	va_end(ap);
	if (cxt->say)
		cxt->say(cxt->context, line);
}

int gate_lock_take(int *ret_fd, struct diag *diag)
{
	int r = file_make_folder(GATE_RUN, diag);

	return r ? r : file_lock(GATE_RUN "/.lock", ret_fd, diag);
}

/* marks and states */

bool gate_is_open(const char *name)
{
	_cleanup_free_ char *mark = gate_mark(name);
	_cleanup_free_ char *line = file_read_line(mark);

	return streq(line, "open");
}

static bool is_overdue(const char *name)
{
	_cleanup_free_ char *mark = gate_mark(name);
	_cleanup_free_ char *line = file_read_line(mark);

	return streq(line, "overdue");
}

static bool has_keys(const struct held_gate *gate, const struct zfs_state *state)
{
	for (size_t i = 0; i < gate->roots.n_items; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, gate->roots.items[i]);

		if (root && root->key == KEY_MISSING)
			return false;
	}
	return true;
}

enum gate_state gate_state_of(const struct held_gate *gate, const struct zfs_state *state)
{
	if (!state->exists)
		return is_overdue(gate->name) ? GATE_OVERDUE : GATE_MISSING;
	if (!has_keys(gate, state))
		return is_overdue(gate->name) ? GATE_OVERDUE : GATE_CLOSED;
	return gate_is_open(gate->name) ? GATE_OPEN : GATE_CLOSED;
}

/* keys */

void gate_locked_roots(const struct zfs_state *state, struct strv *roots)
{
	FOR_EACH_DATASET(dataset, state)
		if (dataset->root && dataset->key == KEY_MISSING &&
		    !strv_has(roots, dataset->root))
			strv_add(roots, dataset->root);
}

static void drop(struct strv *roots, size_t i)
{
	free(roots->items[i]);
	memmove(&roots->items[i], &roots->items[i + 1],
		(--roots->n_items - i) * sizeof(*roots->items));
	roots->items[roots->n_items] = NULL;
}

size_t gate_try_passphrase(struct gate_context *cxt, const struct secret *passphrase,
			   struct strv *roots)
{
	size_t n = 0;

	for (size_t i = 0; i < roots->n_items;) {
		if (zfs_load_key(cxt->run, roots->items[i], passphrase, NULL)) {
			i++;
			continue;
		}
		say(cxt, "%s: the key is loaded", roots->items[i]);
		drop(roots, i);
		n++;
	}
	return n;
}

size_t gate_try_files(struct gate_context *cxt, const struct zfs_state *state,
		      struct strv *roots)
{
	size_t n = 0;

	for (size_t i = 0; i < roots->n_items;) {
		const struct zfs_dataset *root = zfs_dataset(state, roots->items[i]);
		const char *file = root && root->keylocation ?
					   starts_with(root->keylocation, "file://") :
					   NULL;

		if (!file || access(file, R_OK) < 0 ||
		    zfs_load_key(cxt->run, roots->items[i], NULL, cxt->diag)) {
			i++;
			continue;
		}
		say(cxt, "%s: the key is loaded from %s", roots->items[i], file);
		drop(roots, i);
		n++;
	}
	return n;
}

/* mounts */

static int by_mountpoint(const void *a, const void *b)
{
	const struct zfs_dataset *const *x = a, *const *y = b;

	return strcmp((*x)->mountpoint, (*y)->mountpoint);
}

int gate_mount(struct gate_context *cxt, const struct zfs_state *state)
{
	_cleanup_free_ const struct zfs_dataset **order =
		mem_alloc((state->datasets.n_items + 1) * sizeof(struct zfs_dataset *));
	size_t n = 0;
	int r = 0;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounts && !dataset->mounted && dataset->key != KEY_MISSING)
			order[n++] = dataset;
	qsort(order, n, sizeof(struct zfs_dataset *), by_mountpoint);
	for (size_t i = 0; i < n && r == 0; i++)
		r = zfs_mount(cxt->run, order[i]->name, cxt->diag);
	return r;
}

/* starting what was held */

static int set_mark(const struct gate_context *cxt, const char *name, const char *text)
{
	_cleanup_free_ char *mark = gate_mark(name);

	return file_replace(mark, text, 0644, cxt->diag);
}

static bool is_down(const struct unit *unit)
{
	return streq(unit->active, "inactive") || streq(unit->active, "failed");
}

static void unit_names(const struct held_gate *gate, struct strv *names)
{
	FOR_EACH_UNIT(unit, gate)
		strv_add(names, unit->name);
}

static void say_started(const struct gate_context *cxt, const struct strv *names)
{
	for (size_t i = 0; i < names->n_items; i++)
		say(cxt, "starting %s", names->items[i]);
}

/* Somebody asked for them, and they were skipped. */
static int start_held(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_strv_ struct strv names = STRV_NULL, start = STRV_NULL;
	int r;

	unit_names(gate, &names);
	r = systemd_show(cxt->run, &names, &units, cxt->diag);
	if (r)
		return r;
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (is_down(unit) && unit->tried && !unit->condition)
			strv_add(&start, unit->name);
	say_started(cxt, &start);
	return systemd_do(cxt->run, "start", /* block= */ false, &start, cxt->diag);
}

static void add_mount_units(const struct held_gate *gate, struct strv *names)
{
	FOR_EACH_MOUNT(mount, gate)
	{
		_cleanup_free_ char *name = unit_of_path(mount->path);

		strv_addf(names, "%s.mount", name);
	}
}

static bool has_any(const struct strv *strings, const struct strv *of)
{
	for (size_t i = 0; i < of->n_items; i++)
		if (strv_has(strings, of->items[i]))
			return true;
	return false;
}

/* Failed units that come after what is held: `ret` has their names. */
static int find_failed(struct gate_context *cxt, const struct strv *needed, struct strv *ret)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_strv_ struct strv names = STRV_NULL;
	int r = systemd_failed(cxt->run, &names, cxt->diag);

	if (r == 0)
		r = systemd_show(cxt->run, &names, &units, cxt->diag);
	if (r)
		return r;
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (has_any(&unit->requires, needed) || has_any(&unit->after, needed))
			strv_add(ret, unit->name);
	return 0;
}

static int start_failed(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_strv_ struct strv needed = STRV_NULL, failed = STRV_NULL;
	int r;

	unit_names(gate, &needed);
	add_mount_units(gate, &needed);
	r = find_failed(cxt, &needed, &failed);
	say_started(cxt, &failed);
	if (r == 0)
		r = systemd_do(cxt->run, "reset-failed", /* block= */ true, &failed, cxt->diag);
	return r ? r : systemd_do(cxt->run, "start", /* block= */ false, &failed, cxt->diag);
}

static void forget_overdue(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_free_ char *instance = unit_instance(gate->name);
	_cleanup_strv_ struct strv unit = STRV_NULL, all = STRV_NULL;

	strv_addf(&unit, "eyrie-gate-overdue@%s.service", instance);
	unit_names(gate, &all);
	(void)systemd_do(cxt->run, "reset-failed", /* block= */ true, &unit, NULL);
	/* They ran without their data. */
	if (is_overdue(gate->name))
		(void)systemd_do(cxt->run, "try-restart", /* block= */ false, &all, cxt->diag);
}

/* OpenRC remembers by itself who waits: those that need the gate's own service. */
static int tell_openrc(struct gate_context *cxt, const struct held_gate *gate, const char *verb)
{
	const char *const environment[] = { "IN_BACKGROUND=true", NULL };
	_cleanup_free_ char *mark = gate_mark(gate->name);
	_cleanup_free_ char *service = str_printf("eyrie-gate.%s", mark + strlen(GATE_RUN "/"));
	const char *const argv[] = { "rc-service", "--quiet", "--ifexists", service, verb, NULL };

	return run(cxt->run, &(struct command){ .argv = argv, .environment = environment },
		   cxt->diag);
}

static bool openrc_runs(void)
{
	return access("/run/openrc/softlevel", F_OK) == 0;
}

static int release(struct gate_context *cxt, const struct held_gate *gate)
{
	int r;

	if (openrc_runs())
		return tell_openrc(cxt, gate, "start");
	if (!systemd_runs())
		return 0;
	r = start_held(cxt, gate);
	return r ? r : start_failed(cxt, gate);
}

int gate_open(struct gate_context *cxt, struct held_gate *gate)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	int r = zfs_read(cxt->run, gate->name, &state, cxt->diag);

	if (r)
		return r;
	if (!state->exists || !has_keys(gate, state))
		return -EAGAIN;
	(void)held_follow(gate, HELD_GENERATED);
	r = gate_mount(cxt, state);
	if (r == 0 && systemd_runs())
		forget_overdue(cxt, gate);
	if (r == 0)
		r = set_mark(cxt, gate->name, MARK_OPEN);
	if (r)
		return r;
	say(cxt, "%s is open", gate->name);
	(void)gate_show_hints(cxt, /* loud= */ false);
	return release(cxt, gate);
}

int gate_give_up(struct gate_context *cxt, struct held_gate *gate)
{
	int r = set_mark(cxt, gate->name, MARK_OVERDUE);

	if (r)
		return r;
	(void)held_follow(gate, HELD_GENERATED);
	say(cxt, "%s: the key did not come in time; going on without it", gate->name);
	(void)gate_show_hints(cxt, /* loud= */ false);
	return release(cxt, gate);
}

/* closing */

int gate_shut(struct gate_context *cxt, struct held_gate *gate)
{
	_cleanup_free_ char *mark = gate_mark(gate->name);

	if (unlink(mark) < 0 && errno != ENOENT)
		return diag_error(cxt->diag, -errno, "cannot remove %s: %m", mark);
	return gate_show_hints(cxt, /* loud= */ true);
}

/* What one of its keys opened. */
static bool is_its_own(const struct held_gate *gate, const struct zfs_dataset *dataset)
{
	return dataset->root && strv_has(&gate->roots, dataset->root);
}

static void mounted_paths(const struct held_gate *gate, const struct zfs_state *state,
			  struct strv *paths)
{
	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounted && is_its_own(gate, dataset) && *dataset->mountpoint == '/')
			strv_add(paths, dataset->mountpoint);
}

/* Held ones will be stopped; without systemd nobody knows whose they are. */
static int refuse_strangers(struct gate_context *cxt, const struct held_gate *gate,
			    const struct zfs_state *state, bool stopped)
{
	_cleanup_(users_deinit) struct users users = {};
	_cleanup_strv_ struct strv paths = STRV_NULL;
	int r = 0;

	mounted_paths(gate, state, &paths);
	if (users_find("/proc", &paths, &users) < 0)
		return 0;
	for (size_t i = 0; i < users.n_items; i++) {
		const struct user *user = &users.items[i];

		if (!stopped && ((user->unit && held_has_unit(gate, user->unit)) || openrc_runs()))
			continue;
		r = diag_error(cxt->diag, -EBUSY, "%s is in use by %s (process %d%s%s): %s",
			       gate->name, user->name ? user->name : "?", user->pid,
			       user->unit ? " of " : "", user->unit ? user->unit : "", user->what);
	}
	if (r)
		diag_hint(cxt->diag, "end these, or name their services in %s; then run 'eyrie lock %s' "
			  "again", GATE_FILE, gate->name);
	return r;
}

static int stop_held(struct gate_context *cxt, const struct held_gate *gate,
		     struct strv *stopped)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_strv_ struct strv names = STRV_NULL;
	int r;

	if (openrc_runs())
		return tell_openrc(cxt, gate, "stop");
	if (!systemd_runs())
		return 0;
	unit_names(gate, &names);
	r = systemd_show(cxt->run, &names, &units, cxt->diag);
	if (r)
		return r;
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (!is_down(unit))
			strv_add(stopped, unit->name);
	for (size_t i = 0; i < stopped->n_items; i++)
		say(cxt, "stopping %s", stopped->items[i]);
	return systemd_do(cxt->run, "stop", /* block= */ true, stopped, cxt->diag);
}

/* Deepest first; a pool's file system that needs no key stays. */
static int unmount_all(struct gate_context *cxt, const struct held_gate *gate,
		       const struct zfs_state *state)
{
	_cleanup_free_ const struct zfs_dataset **order =
		mem_alloc((state->datasets.n_items + 1) * sizeof(struct zfs_dataset *));
	size_t n = 0;
	int r = 0;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounted && is_its_own(gate, dataset))
			order[n++] = dataset;
	qsort(order, n, sizeof(struct zfs_dataset *), by_mountpoint);
	while (r == 0 && n-- > 0)
		r = zfs_unmount(cxt->run, order[n]->name, cxt->diag);
	return r;
}

static int unload_all(struct gate_context *cxt, const struct held_gate *gate,
		      const struct zfs_state *state)
{
	int r = 0;

	for (size_t i = gate->roots.n_items; i-- > 0 && r == 0;) {
		const struct zfs_dataset *root = zfs_dataset(state, gate->roots.items[i]);

		if (root && root->key == KEY_LOADED)
			r = zfs_unload_key(cxt->run, root->name, cxt->diag);
	}
	return r;
}

/* As it was: what is still there is mounted, and what was stopped runs. */
static void undo(struct gate_context *cxt, struct held_gate *gate, const struct strv *stopped)
{
	_cleanup_diag_ struct diag ignored = DIAG_NULL;
	struct gate_context again = *cxt;

	again.diag = &ignored;
	if (gate_open(&again, gate) == 0 && systemd_runs())
		(void)systemd_do(cxt->run, "start", /* block= */ false, stopped, &ignored);
	else
		(void)gate_show_hints(&again, /* loud= */ true);
}

int gate_close(struct gate_context *cxt, struct held_gate *gate)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	_cleanup_free_ char *mark = gate_mark(gate->name);
	_cleanup_strv_ struct strv stopped = STRV_NULL;
	int r = zfs_read(cxt->run, gate->name, &state, cxt->diag);

	(void)held_follow(gate, HELD_GENERATED);
	if (r == 0)
		r = refuse_strangers(cxt, gate, state, /* stopped= */ false);
	if (r)
		return r;
	if (unlink(mark) < 0 && errno != ENOENT)
		return diag_error(cxt->diag, -errno, "cannot remove %s: %m", mark);
	r = stop_held(cxt, gate, &stopped);
	if (r == 0)
		r = refuse_strangers(cxt, gate, state, /* stopped= */ true);
	if (r == 0)
		r = unmount_all(cxt, gate, state);
	if (r == 0)
		r = unload_all(cxt, gate, state);
	if (r) {
		undo(cxt, gate, &stopped);
		return r;
	}
	say(cxt, "%s is locked", gate->name);
	/* Skipped by their condition: so they are held again, and started when it opens. */
	if (systemd_runs())
		(void)systemd_do(cxt->run, "start", /* block= */ false, &stopped, cxt->diag);
	return gate_show_hints(cxt, /* loud= */ false);
}

int gate_show_hints(struct gate_context *cxt, bool loud)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	if (cxt->hints_elsewhere)
		return 0;
	FOR_EACH_HELD(gate, cxt->held)
	{
		_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
		_cleanup_free_ char *text = NULL;
		int r = zfs_read(cxt->run, gate->name, &state, cxt->diag);

		if (r)
			return r;
		text = hint_make(gate, gate_state_of(gate, state));
		if (text)
			strbuf_printf(&b, "%s%s", b.size ? "\n" : "", text);
	}
	return hint_show(cxt->run, b.data ? b.data : "", loud, cxt->diag);
}
