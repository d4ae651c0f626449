/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/open.h"

#include "gate/mark.h"
#include "gate/openrc.h"
#include "gate/services.h"
#include "gate/users.h"

void gate_say(const struct gate_context *cxt, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	va_start(ap, format);
	line = str_vprintf(format, ap);
	va_end(ap);
	if (cxt->say)
		cxt->say(cxt->context, line);
}

/* states */

bool gate_is_open(const char *name)
{
	return mark_get(name) == MARK_OPEN;
}

bool gate_is_unfinished(int r)
{
	return r == -EINTR || r == -ENOTCONN || r == -EINPROGRESS;
}

/* What one of its keys opens. */
static bool is_its_own(const struct held_gate *gate, const struct zfs_dataset *dataset)
{
	return dataset->root && strv_has(&gate->roots, dataset->root);
}

void gate_missing_roots(const struct held_gate *gate, const struct zfs_state *state,
			struct strv *roots)
{
	FOR_EACH_DATASET(dataset, state)
		if (is_its_own(gate, dataset) && dataset->key == KEY_MISSING &&
		    !strv_has(roots, dataset->root))
			strv_add(roots, dataset->root);
}

static bool has_keys(const struct held_gate *gate, const struct zfs_state *state)
{
	_cleanup_strv_ struct strv missing = STRV_NULL;

	gate_missing_roots(gate, state, &missing);
	return !missing.n_items;
}

enum gate_state gate_state_of(const struct held_gate *gate, const struct zfs_state *state)
{
	enum mark mark = mark_get(gate->name);

	if (!state->exists)
		return mark == MARK_OVERDUE ? GATE_OVERDUE : GATE_MISSING;
	if (!has_keys(gate, state))
		return mark == MARK_OVERDUE ? GATE_OVERDUE : GATE_CLOSED;
	return mark == MARK_OPEN     ? GATE_OPEN :
	       mark >= MARK_OPENING ? GATE_OPENING :
				      GATE_CLOSED;
}

/* keys */

void gate_locked_roots(const struct list *gates, const struct zfs_state *state,
		       struct strv *roots)
{
	bool meant = gate_is_excepted(gates, state->name);

	FOR_EACH_DATASET(dataset, state)
		if (dataset->root && dataset->key == KEY_MISSING &&
		    !strv_has(roots, dataset->root) &&
		    (meant || !gate_is_excepted(gates, dataset->name)))
			strv_add(roots, dataset->root);
}

static void add_line(struct strv *lines, const struct zfs_dataset *root)
{
	const char *file = zfs_key_file(root);

	strv_addf(lines, "The key of %s cannot be typed: it comes from %s%s", root->name,
		  file ? file : root->keylocation,
		  file && access(file, F_OK) < 0 ? ", which is not there" : "");
}

void gate_sort_roots(const struct zfs_state *state, const struct strv *roots, struct strv *typed,
		     struct strv *lines)
{
	for (size_t i = 0; i < roots->n_items; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, roots->items[i]);

		if (zfs_is_typed(root, /* file= */ false))
			strv_add(typed, roots->items[i]);
		else
			add_line(lines, root);
	}
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
	_cleanup_free_ bool *opens = mem_alloc(roots->n_items + 1);
	size_t n = 0;

	zfs_try_passphrase(cxt->run, roots, passphrase, opens);
	for (size_t i = 0, tried = 0; i < roots->n_items; tried++) {
		if (!opens[tried]) {
			i++;
			continue;
		}
		gate_say(cxt, "%s: the key is loaded", roots->items[i]);
		drop(roots, i);
		n++;
	}
	return n;
}

/* By keylocation, of those that begin with `kind`. */
static size_t try_locations(struct gate_context *cxt, const struct zfs_state *state,
			    struct strv *roots, const char *kind)
{
	size_t n = 0;

	for (size_t i = 0; i < roots->n_items;) {
		const struct zfs_dataset *root = zfs_dataset(state, roots->items[i]);
		const char *location = root && root->keylocation ? root->keylocation : "";
		const char *file = zfs_key_file(root);

		if (!starts_with(location, kind) || (file && access(file, R_OK) < 0) ||
		    zfs_load_key(cxt->run, roots->items[i], cxt->diag)) {
			i++;
			continue;
		}
		gate_say(cxt, "%s: the key is loaded from %s", roots->items[i],
			 file ? file : location);
		drop(roots, i);
		n++;
	}
	return n;
}

size_t gate_try_files(struct gate_context *cxt, const struct zfs_state *state,
		      struct strv *roots)
{
	return try_locations(cxt, state, roots, "file://");
}

size_t gate_try_network(struct gate_context *cxt, const struct zfs_state *state,
			struct strv *roots)
{
	return try_locations(cxt, state, roots, "http");
}

/* mounts */

static int by_mountpoint(const void *a, const void *b)
{
	const struct zfs_dataset *const *x = a, *const *y = b;

	return strcmp((*x)->mountpoint, (*y)->mountpoint);
}

/* Somebody else mounted it meanwhile, as zfs mount -a does: that is no failure. */
static bool is_mounted_now(struct gate_context *cxt, const char *name)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	const struct zfs_dataset *now =
		zfs_read(cxt->run, name, &state, NULL) ? NULL : zfs_dataset(state, name);

	return now && now->mounted;
}

static int mount_one(struct gate_context *cxt, const char *name)
{
	_cleanup_diag_ struct diag why = DIAG_NULL;
	int r = zfs_mount(cxt->run, name, &why);

	if (r == 0 || is_mounted_now(cxt, name))
		return 0;
	return diag_error(cxt->diag, r, "%s", why.items[0].text);
}

/* In the order of paths. */
static void order_by_path(const struct zfs_dataset **datasets, size_t n)
{
	qsort(datasets, n, sizeof(struct zfs_dataset *), by_mountpoint);
}

static bool would_be_hidden(const struct zfs_dataset *dataset, const struct zfs_dataset **order,
			    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_below(dataset->mountpoint, order[i]->mountpoint))
			return true;
	return false;
}

/* Deepest first; they join `order`, which has `n`. One that is in use leaves all where they were. */
static int unmount_hidden(struct gate_context *cxt, const struct zfs_state *state,
			  const struct zfs_dataset **order, size_t *n)
{
	size_t n_before = *n, i;
	int r = 0;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounts && dataset->mounted && would_be_hidden(dataset, order, n_before))
			order[(*n)++] = dataset;
	order_by_path(order + n_before, *n - n_before);
	for (i = *n; r == 0 && i > n_before; i--)
		r = zfs_unmount(cxt->run, order[i - 1]->name, cxt->diag);
	if (r == 0)
		return 0;
	diag_hint(cxt->diag, "what is mounted at %s now would be hidden: end what uses it",
		  order[i]->mountpoint);
	for (i++; i < *n; i++)
		(void)mount_one(cxt, order[i]->name);
	return r;
}

int gate_mount(struct gate_context *cxt, const struct zfs_state *state)
{
	_cleanup_free_ const struct zfs_dataset **order =
		mem_alloc((state->datasets.n_items + 1) * sizeof(struct zfs_dataset *));
	size_t n = 0;
	int r;

	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounts && !dataset->mounted && dataset->key != KEY_MISSING)
			order[n++] = dataset;
	r = unmount_hidden(cxt, state, order, &n);
	order_by_path(order, n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = mount_one(cxt, order[i]->name);
	return r;
}

/* opening */

static bool lies_in(const struct held_gate *gate, const struct zfs_state *state,
		    const struct held_gate *outer)
{
	FOR_EACH_DATASET(dataset, state)
		FOR_EACH_MOUNT(mount, outer)
			if (dataset->mounts && is_its_own(gate, dataset) &&
			    is_below(dataset->mountpoint, mount->path))
				return true;
	return false;
}

/*
 * One whose pool is not there has nothing that it would be mounted over. What the boot waits for cannot
 * wait for what starts after it; of two that lie in each other, the one whose name is above is first.
 */
static bool has_to_wait(struct gate_context *cxt, const struct held_gate *gate,
			const struct zfs_state *state, const struct held_gate *outer)
{
	_cleanup_(zfs_state_freep) struct zfs_state *of_outer = NULL;

	if (outer == gate || mark_get(outer->name) >= MARK_OPENING ||
	    (gate->hold == GATE_BOOT && outer->hold != GATE_BOOT) || !lies_in(gate, state, outer) ||
	    zfs_read(cxt->run, outer->name, &of_outer, NULL) || !of_outer->exists)
		return false;
	return !lies_in(outer, of_outer, gate) || is_or_is_below(gate->name, outer->name);
}

const struct held_gate *gate_outer(struct gate_context *cxt, const struct held_gate *gate,
				   const struct zfs_state *state)
{
	FOR_EACH_HELD(outer, cxt->held)
		if (has_to_wait(cxt, gate, state, outer))
			return outer;
	return NULL;
}

/* What is held may take this long to come up, before what failed is started all the same. */
#define OPENING_SECONDS 120

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
	int r = start_held(cxt, gate), q;

	if (gate_is_unfinished(r))
		return r;
	q = services_start_failed(cxt, gate, mark_age(gate->name) < OPENING_SECONDS);
	if (gate_is_unfinished(q))
		return q;
	r = r ? r : q;
	mark_forget_since(gate->name);
	q = mark_set(gate->name, MARK_OPEN, cxt->diag);
	return r ? r : q;
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
	if (!state->exists || !has_keys(gate, state) || gate_outer(cxt, gate, state))
		return -EAGAIN;
	(void)held_follow(gate, HELD_GENERATED);
	leave_excepted(cxt, state);
	r = gate_mount(cxt, state);
	if (r == 0)
		r = services_restart(cxt, gate);
	if (r == 0 && mark_get(gate->name) != MARK_STARTED)
		r = mark_set(gate->name, MARK_OPENING, cxt->diag);
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

int gate_give_up(struct gate_context *cxt, struct held_gate *gate)
{
	int r = mark_set(gate->name, MARK_OVERDUE, cxt->diag), q;

	if (r)
		return r;
	(void)held_follow(gate, HELD_GENERATED);
	gate_say(cxt, "%s: the key did not come in time; going on without it", gate->name);
	(void)gate_show_hints(cxt, /* loud= */ false);
	r = services_start(cxt, gate);
	q = gate_is_unfinished(r) ? r : services_start_failed(cxt, gate, /* patient= */ false);
	return r ? r : q;
}

/* closing */

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
			if (lies_in(c->gates[k], c->states[k], c->gates[i]))
				swap(c, i, k);
}

static void mounted_paths(const struct held_gate *gate, const struct zfs_state *state,
			  struct strv *paths)
{
	FOR_EACH_DATASET(dataset, state)
		if (dataset->mounted && is_its_own(gate, dataset) && *dataset->mountpoint == '/')
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
		if (!dataset->mounted || !is_its_own(c->gates[i], dataset) ||
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
			if (dataset->mounted && is_its_own(c->gates[i], dataset) &&
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
	order_by_path(order, n);
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
		r = unmount_all(c->cxt, c->gates[i], c->states[i]);
	for (size_t i = 0; i < c->n && r == 0; i++)
		r = unload_all(c->cxt, c->gates[i], c->states[i]);
	return r;
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

char *gate_hint(const struct held_gate *gate, const struct zfs_state *state)
{
	_cleanup_strv_ struct strv missing = STRV_NULL, typed = STRV_NULL, lines = STRV_NULL;

	gate_missing_roots(gate, state, &missing);
	gate_sort_roots(state, &missing, &typed, &lines);
	return hint_make(gate, gate_state_of(gate, state), &lines);
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
		text = gate_hint(gate, state);
		if (text)
			strbuf_printf(&b, "%s%s", b.size ? "\n" : "", text);
	}
	return hint_show(cxt->run, b.data ? b.data : "", loud, cxt->diag);
}
