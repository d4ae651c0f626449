/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"
#include "gate/close.h"
#include "gate/keystatus.h"
#include "gate/loadkey.h"
#include "gate/mark.h"
#include "gate/open.h"
#include "gate/systemd.h"
#include "gate/units.h"
#include "keys/keyring.h"

#define LOOK_MS	     1000  /* at keys, without starting a program */
#define LOOK_SHARE   10u   /* of so many roots one is looked at each time, and the first */
#define LOOK_SLOW_MS 10000 /* where a program has to be started for it */
#define NETWORK_MS   30000 /* between two tries of a key that is fetched */
#define RETRY_MS     30000 /* after a gate did not open though its keys are there, or ZFS said nothing */
#define ASK_MS	     10000 /* from one start of who asks to the next, where the first one ended */
#define NAMED_MAX    4u	   /* gates in the status; systemd takes no message above 4 KiB */

struct watched {
	const struct gate *gate;
	struct held_gate *held;
	enum gate_state state;
	struct strv locked; /* roots without a key when it was last read */
	size_t n_looks;	    /* at a share of its roots each: which are next */
	struct strv typed;  /* those of them whose key somebody can type */
	struct strv lines;  /* of the hint: where the others come from */
	int64_t since;	    /* it waits: mark_since() */
	int64_t missing_at; /* its pool was found not to be there, or nobody has said yet */
	int64_t failed_at;  /* it did not open though its keys are there; 0: they are not, or it did */
	int64_t keyless_at; /* nobody can type a key that it lacks, and none is to come; 0: somebody can */
	int64_t limit;	    /* milliseconds of waiting, or INT64_MAX */
	bool unfinished;    /* the wait is over, and not everybody was started that goes on */
	int64_t retry_at;
	int64_t read_at; /* ZFS did not say what there is: it is not asked before */
	int64_t network_at;
	struct process *fetcher; /* of a key on the network */
	size_t n_fetched;	 /* how often one was started: which root is next */
	struct strv files;	 /* keys that may come as a file */
	struct strv refused;	 /* files that opened nothing, as they were then: stamp_of() */
	struct strv fetched;	 /* roots that have their key on the network */
	bool shared_tried;
};

struct watch {
	struct gate_context *cxt;
	const struct watch_options *options;
	struct keystatus *keys;
	struct watched *items;
	size_t n_items;
	struct process *asker;
	struct strv asked; /* names of gates that it asks for */
	int64_t ask_at;	   /* it may end at once: one of them may be no gate any more */
	int mounts;  /* /proc/self/mountinfo */
	unsigned n_thorough; /* looks at all roots of what is open: mounts changed */
	int wake_up; /* inotify on the folder of marks */
	bool loud;   /* the console has not been told yet */
	bool ready;  /* systemd has been told */
	char *status;
	struct timespec generated; /* when HELD_GENERATED was written that was read last */
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static void watch_deinit(struct watch *w)
{
	for (size_t i = 0; i < w->n_items; i++) {
		strv_deinit(&w->items[i].locked);
		strv_deinit(&w->items[i].typed);
		strv_deinit(&w->items[i].lines);
		strv_deinit(&w->items[i].files);
		strv_deinit(&w->items[i].refused);
		strv_deinit(&w->items[i].fetched);
		(void)process_free(w->items[i].fetcher);
	}
	free(w->items);
	(void)process_free(w->asker);
	strv_deinit(&w->asked);
	(void)keystatus_free(w->keys);
	closep(&w->mounts);
	closep(&w->wake_up);
	free(w->status);
}

/* asking */

static bool asks(const struct watch *w, const struct watched *item)
{
	return w->options->asker && item->typed.n_items &&
	       (item->gate->prompt == GATE_CONSOLE || item->gate->hold == GATE_BOOT);
}

static void stop_asking(struct watch *w)
{
	if (!w->asker)
		return;
	process_stop(w->asker, 2);
	w->asker = process_free(w->asker);
}

/* Who asks sees by itself that one of its gates has its keys. */
static bool asks_for_all(const struct watch *w, const struct strv *names)
{
	for (size_t i = 0; i < names->n_items; i++)
		if (!strv_has(&w->asked, names->items[i]))
			return false;
	return names->n_items;
}

static void start_asking(struct watch *w, const struct strv *names)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;

	strv_deinit(&w->asked);
	w->ask_at = now_ms() + ASK_MS;
	strv_add_all(&argv, w->options->asker, "gate", "ask", NULL);
	for (size_t i = 0; i < names->n_items; i++) {
		strv_add(&argv, names->items[i]);
		strv_add(&w->asked, names->items[i]);
	}
	(void)process_start(w->cxt->run,
			    &(struct command){ .argv = (const char *const *)argv.items },
			    &w->asker, w->cxt->diag);
}

/* One question for all: what is typed is tried on each of them. */
static void keep_asking(struct watch *w)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	for (size_t i = 0; i < w->n_items; i++)
		if (w->items[i].state == GATE_CLOSED && asks(w, &w->items[i]))
			strv_add(&names, w->items[i].gate->name);
	if (w->asker && process_has_ended(w->asker))
		w->asker = process_free(w->asker);
	if (!asks_for_all(w, &names)) {
		stop_asking(w);
		w->ask_at = 0;
	}
	if (names.n_items && !w->asker && now_ms() >= w->ask_at)
		start_asking(w, &names);
}

/* fetching */

/* A server that does not answer holds up nobody: zfs(8) waits for it beside us. */
static void keep_fetching(struct watch *w, struct watched *item)
{
	const char *root = item->fetched.n_items ?
				   item->fetched.items[item->n_fetched % item->fetched.n_items] :
				   NULL;
	const char *const argv[] = { "zfs", "load-key", root, NULL };

	if (item->fetcher && process_has_ended(item->fetcher)) {
		item->fetcher = process_free(item->fetcher);
		item->network_at = now_ms() + NETWORK_MS / (int64_t)MAX_OF(item->fetched.n_items, 1);
	}
	if (!root || mark_is_locked(item->gate->name)) {
		item->fetcher = process_free(item->fetcher);
		return;
	}
	if (item->fetcher || now_ms() < item->network_at)
		return;
	item->n_fetched++;
	(void)process_start(w->cxt->run, &(struct command){ .argv = argv }, &item->fetcher,
			    w->cxt->diag);
}

/* A file as it is now; NULL: it is not there. */
static char *stamp_of(const char *file)
{
	struct stat st;

	if (access(file, R_OK) < 0 || stat(file, &st) < 0)
		return NULL;
	return str_printf("%s %llu %lld.%09ld", file, (unsigned long long)st.st_ino,
			  (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static bool is_refused(const struct watched *item, const char *file)
{
	_cleanup_free_ char *stamp = stamp_of(file);

	return !stamp || strv_has(&item->refused, stamp);
}

/* What does not open its root is not tried again as it was before the try. */
static bool try_file(struct watch *w, struct watched *item, const struct zfs_state *state,
		     const char *root)
{
	const struct zfs_dataset *dataset = zfs_dataset(state, root);
	const char *file = zfs_key_file(dataset);
	_cleanup_free_ char *stamp = file ? stamp_of(file) : NULL;
	_cleanup_strv_ struct strv roots = STRV_NULL;

	if (!stamp || strv_has(&item->refused, stamp))
		return false;
	strv_add(&roots, root);
	if (gate_try_files(w->cxt, state, &roots))
		return true;
	strv_add(&item->refused, stamp);
	return false;
}

/* looking */

static void note_location(struct watched *item, const struct zfs_dataset *root)
{
	const char *location = root && root->keylocation ? root->keylocation : "";
	const char *file = zfs_key_file(root);

	if (file)
		strv_add(&item->files, file);
	else if (starts_with(location, "http"))
		strv_add(&item->fetched, root->name);
}

/* Of what somebody locked the key is left where it is. */
static void note_keys(struct watched *item, const struct zfs_state *state)
{
	strv_deinit(&item->locked);
	strv_deinit(&item->typed);
	strv_deinit(&item->lines);
	strv_deinit(&item->files);
	strv_deinit(&item->fetched);
	gate_missing_roots(item->held, state, &item->locked);
	gate_sort_roots(state, &item->locked, &item->typed, &item->lines);
	if (item->locked.n_items)
		item->retry_at = item->failed_at = 0;
	for (size_t i = 0; i < item->locked.n_items; i++)
		if (!mark_is_locked_in(item->locked.items[i], item->gate->name))
			note_location(item, zfs_dataset(state, item->locked.items[i]));
	if (!item->locked.n_items || item->typed.n_items || item->files.n_items || item->fetched.n_items)
		item->keyless_at = 0;
	else if (!item->keyless_at)
		item->keyless_at = now_ms();
}

static bool is_released(const struct watched *item)
{
	return mark_get(item->gate->name) >= MARK_OPENING;
}

/* What is held follows what is there: sync may have run before its pool was. */
static void follow_zfs(struct watch *w, struct watched *item, const struct zfs_state *state)
{
	struct held_gate now = {};

	if (!state->exists)
		return;
	held_from_zfs(&w->cxt->gates->gates, item->gate, state, &now);
	if (gate_is_open(item->gate->name))
		(void)held_keep_open(&now, item->held, state);
	strv_deinit(&item->held->roots);
	item->held->roots = now.roots;
	now.roots = (struct strv)STRV_NULL;
	record_deinit(&record_held_gate, &now);
}

static bool is_waiting(enum gate_state state)
{
	return state == GATE_CLOSED || state == GATE_MISSING;
}

/* Another gate opened, which it may have waited for. */
static void wait_anew(struct watched *item)
{
	item->retry_at = item->failed_at = 0;
	if (item->state == GATE_UNKNOWN)
		item->missing_at = now_ms();
}

/* From when it waits on; it begins anew each time that the gate was open. */
static int64_t limit_of(const struct gate *gate)
{
	uint64_t wait = GATE_FOREVER;

	(void)gate_wait(gate, &wait);
	return wait == GATE_FOREVER ? INT64_MAX : (int64_t)wait * 1000;
}

static void set_state(struct watch *w, struct watched *item, enum gate_state state)
{
	if (item->state == state)
		return;
	if (is_waiting(state))
		w->loud = true;
	if (state == GATE_OPEN)
		item->limit = limit_of(item->gate);
	if (state == GATE_OPEN || state == GATE_OPENING)
		for (size_t i = 0; i < w->n_items; i++)
			wait_anew(&w->items[i]);
	if (is_waiting(state) && !is_waiting(item->state))
		item->since = mark_since(item->gate->name, now_ms());
	if (state == GATE_MISSING)
		item->missing_at = now_ms();
	/* Who watched before may have ended between the mark and the starts. */
	if (state == GATE_OVERDUE && item->state == GATE_UNKNOWN)
		item->unfinished = item->gate->then == GATE_CONTINUE;
	item->state = state;
}

static void retry_later(struct watched *item)
{
	item->retry_at = now_ms() + RETRY_MS;
	if (!item->failed_at)
		item->failed_at = now_ms();
}

/* The keys are there, and who holds the lock may have opened it already. */
static void open_now(struct watch *w, struct watched *item)
{
	_cleanup_close_ int lock = -1;
	int r = mark_lock(&lock, w->cxt->diag);

	if (r == 0 && !gate_is_open(item->gate->name))
		r = gate_open(w->cxt, item->held);
	if (gate_is_open(item->gate->name)) { /* also when not everybody could be started */
		set_state(w, item, GATE_OPEN);
		return;
	}
	if (gate_is_unfinished(r) && is_released(item))
		set_state(w, item, GATE_OPENING);
	else if (item->state == GATE_OPEN) /* it was, a moment ago */
		set_state(w, item, GATE_CLOSED);
	if (r && r != -EINPROGRESS)
		retry_later(item);
}

static void shut_now(struct watch *w, struct watched *item)
{
	_cleanup_close_ int lock = -1;

	if (mark_lock(&lock, w->cxt->diag) == 0 && is_released(item))
		(void)gate_shut(w->cxt, item->held);
}

/* Once: the passphrase that opened the root pool, while it is kept; it does not undo a lock. */
static bool try_shared(struct watch *w, struct watched *item, struct strv *roots)
{
	_cleanup_(secret_freep) struct secret *passphrase = NULL;

	if (!item->gate->share_passphrase || item->shared_tried || !roots->n_items)
		return false;
	item->shared_tried = true;
	return keyring_get(KEYRING_SHARED, &passphrase) == 0 &&
	       gate_try_passphrase(w->cxt, passphrase, roots) > 0;
}

/* A key that is a file is loaded when it is there, unless somebody locked what it opens. */
static bool load_keys(struct watch *w, struct watched *item, const struct zfs_state *state)
{
	_cleanup_strv_ struct strv missing = STRV_NULL, roots = STRV_NULL;
	bool any;

	gate_locked_roots(&w->cxt->gates->gates, state, &missing);
	for (size_t i = 0; i < missing.n_items; i++)
		if (!mark_is_locked_in(missing.items[i], item->gate->name))
			strv_add(&roots, missing.items[i]);
	any = try_shared(w, item, &roots);
	for (size_t i = 0; item->files.n_items && i < roots.n_items; i++)
		any |= try_file(w, item, state, roots.items[i]);
	return any;
}

static int read_state(struct watch *w, struct watched *item, struct zfs_state **ret)
{
	int r = zfs_read(w->cxt->run, item->gate->name, ret, w->cxt->diag);

	if (r)
		item->read_at = now_ms() + RETRY_MS;
	return r;
}

/* Ask zfs(8), with all that follows from what it says. */
static void look_closely(struct watch *w, struct watched *item)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	enum gate_state is;

	if (read_state(w, item, &state))
		return;
	follow_zfs(w, item, state);
	note_keys(item, state);
	/* First: what its key is loaded for again has to be mounted again, too. */
	if ((item->locked.n_items || !state->exists) && is_released(item))
		shut_now(w, item);
	if (item->locked.n_items && load_keys(w, item, state)) {
		state = zfs_state_free(state);
		if (read_state(w, item, &state))
			return;
		note_keys(item, state);
	}
	is = gate_state_of(item->held, state);
	if (state->exists && !item->locked.n_items && now_ms() >= item->retry_at &&
	    is != GATE_OPEN) {
		open_now(w, item);
		return;
	}
	set_state(w, item, is);
}

/*
 * Whether one of these roots has another key status. A gate of a hundred roots costs no more than one of
 * ten: the first of them, which it waits for as for all others, and a tenth of the rest in turn. A key
 * that is in use goes only after an unmount: for a while after one all of them are looked at, since it
 * may come back before its turn.
 */
static bool any_left(struct watch *w, struct watched *item, const struct strv *roots,
		     enum key_status status)
{
	size_t n = (roots->n_items + LOOK_SHARE - 2) / LOOK_SHARE;

	if (roots->n_items && keystatus_get(w->keys, roots->items[0]) != (int)status)
		return true;
	if (status == KEY_LOADED && w->n_thorough)
		n = roots->n_items;
	for (size_t i = 0; i < n; i++)
		if (keystatus_get(w->keys, roots->items[item->n_looks++ % roots->n_items]) !=
		    (int)status)
			return true;
	return false;
}

/* True when something is other than it was; starts no program. */
static bool has_changed(struct watch *w, struct watched *item)
{
	if (now_ms() < item->read_at)
		return false;
	for (size_t i = 0; i < item->files.n_items; i++)
		if (!is_refused(item, item->files.items[i]))
			return true;
	if (item->state == GATE_UNKNOWN || item->state == GATE_OPENING ||
	    (item->state == GATE_CLOSED && !item->locked.n_items))
		return now_ms() >= item->retry_at;
	if (item->state == GATE_OPEN)
		return any_left(w, item, &item->held->roots, KEY_LOADED) ||
		       !gate_is_open(item->gate->name);
	if (item->state == GATE_MISSING || !item->locked.n_items)
		return keystatus_get(w->keys, item->gate->name) >= 0;
	return any_left(w, item, &item->locked, KEY_MISSING);
}

/* Who locked it, or what is in it, did not ask for a wait: services without their data are not what a lock is for. */
static bool is_locked(const struct watched *item)
{
	for (size_t i = 0; i < item->locked.n_items; i++)
		if (mark_is_locked_in(item->locked.items[i], item->gate->name))
			return true;
	return mark_is_locked(item->gate->name);
}

static bool is_over(const struct watched *item)
{
	return (is_waiting(item->state) || item->unfinished) && item->limit != INT64_MAX &&
	       now_ms() - item->since >= item->limit && !is_locked(item);
}

/* True: systemctl could not even be asked, and it has to be tried again. */
static bool fail(struct watch *w, const struct watched *item)
{
	_cleanup_free_ char *instance = unit_instance(item->gate->name);
	_cleanup_strv_ struct strv unit = STRV_NULL;
	int r = 0;

	strv_addf(&unit, "eyrie-gate-overdue@%s.service", instance);
	if (systemd_runs())
		r = systemd_do(w->cxt->run, "start", /* block= */ false, &unit, w->cxt->diag);
	if (r && r != -EIO)
		return true;
	gate_say(w->cxt, "%s: the key did not come in time", item->gate->name);
	return false;
}

/*
 * The mark says whether it went on, also when not everybody could be started. True: it has to be tried
 * again.
 */
static bool go_on(struct watch *w, struct watched *item)
{
	_cleanup_close_ int lock = -1;
	int r = mark_lock(&lock, w->cxt->diag);

	if (r)
		return true;
	if (is_released(item))
		return false;
	r = gate_give_up(w->cxt, item->held);
	if (mark_get(item->gate->name) != MARK_OVERDUE)
		return r;
	set_state(w, item, GATE_OVERDUE);
	return gate_is_unfinished(r);
}

static void give_up(struct watch *w, struct watched *item)
{
	bool again = item->gate->then == GATE_FAIL && fail(w, item);

	item->unfinished = item->gate->then == GATE_CONTINUE && go_on(w, item);
	if (!item->unfinished && !again)
		item->limit = INT64_MAX;
}

static void add_status(struct strbuf *b, const struct watched *item)
{
	strbuf_printf(b, "%s%s is %s", b->size ? "; " : "", item->gate->name,
		      gate_states[item->state]);
	if (item->state != GATE_OPEN && item->state != GATE_OPENING)
		strbuf_printf(b, ", holds %zu: Run 'eyrie unlock %s'", item->held->units.n_items,
			      item->gate->name);
}

/* Those that are not open come first. */
static char *make_status(const struct watch *w)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	size_t n = 0;

	for (int open = 0; open <= 1; open++)
		for (size_t i = 0; i < w->n_items; i++)
			if ((w->items[i].state == GATE_OPEN) == (bool)open && n++ < NAMED_MAX)
				add_status(&b, &w->items[i]);
	if (n > NAMED_MAX)
		strbuf_printf(&b, "; and %zu more: eyrie gate status", n - NAMED_MAX);
	return strbuf_take(&b);
}

static void tell_systemd(struct watch *w)
{
	_cleanup_free_ char *status = make_status(w);
	_cleanup_free_ char *line = str_printf("STATUS=%s", status ? status : "");

	if (!w->ready)
		systemd_notify("READY=1");
	w->ready = true;
	if (streq(w->status, line))
		return;
	systemd_notify(line);
	str_set(&w->status, line);
}

/* Findings of a daemon go to whoever reads what it says, once each. */
static void tell_findings(struct watch *w)
{
	struct diag *diag = w->cxt->diag;

	for (size_t i = 0; i < diag->n_items && w->cxt->say; i++)
		w->cxt->say(w->cxt->context, diag->items[i].text);
	diag_deinit(diag);
	*diag = (struct diag)DIAG_NULL;
}

static void show_hints(struct watch *w)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (size_t i = 0; i < w->n_items; i++) {
		_cleanup_free_ char *text = hint_make(w->items[i].held, w->items[i].state,
						      &w->items[i].lines);

		if (text)
			strbuf_printf(&b, "%s%s", b.size ? "\n" : "", text);
	}
	(void)hint_show(w->cxt->run, b.data ? b.data : "", w->loud, w->cxt->diag);
	w->loud = false;
}

/* The generator ran: whom a gate holds may be others now, and the hints name them. */
static bool follow_generator(struct watch *w)
{
	struct stat st = {};

	if (stat(HELD_GENERATED, &st) < 0 || same_time(&st.st_mtim, &w->generated))
		return false;
	w->generated = st.st_mtim;
	return held_follow_all(w->cxt->held, HELD_GENERATED);
}

static void look(struct watch *w, bool closely)
{
	bool changed = follow_generator(w) | closely;

	for (size_t i = 0; i < w->n_items; i++) {
		struct watched *item = &w->items[i];
		enum gate_state was = item->state;

		if (closely || !w->keys || has_changed(w, item))
			look_closely(w, item);
		if (is_over(item))
			give_up(w, item);
		changed |= was != item->state;
		if (w->ready) /* nobody waits for us any more */
			keep_fetching(w, item);
	}
	keep_asking(w);
	if (changed)
		show_hints(w);
	tell_systemd(w);
	tell_findings(w);
}

/* waiting */

static void drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		;
}

/* Until something may have changed: a mount, a mark, or a key in silence. */
static void pause_for_event(struct watch *w)
{
	struct pollfd fds[] = {
		{ .fd = w->mounts, .events = POLLPRI },
		{ .fd = w->wake_up, .events = POLLIN },
		{ .fd = run_interrupt_fd(), .events = POLLIN },
	};

	(void)poll(fds, ARRAY_SIZE(fds), w->keys ? LOOK_MS : LOOK_SLOW_MS);
	if (fds[1].revents)
		drain(w->wake_up);
	if (fds[0].revents)
		w->n_thorough = LOOK_SHARE;
	else if (w->n_thorough)
		w->n_thorough--;
}

/*
 * Nobody can be asked for a key: of a pool that is not there, while ZFS says nothing, where all keys
 * are there and something else is wrong, or where those that are not can come from nowhere, as that of a
 * raw backup.
 */
static bool is_absent(const struct watch *w, const struct watched *item)
{
	int64_t stuck_at = item->failed_at ? item->failed_at : item->keyless_at;
	int64_t since = item->state == GATE_CLOSED ? stuck_at : item->missing_at;

	return (item->state == GATE_MISSING || item->state == GATE_UNKNOWN ||
		(item->state == GATE_CLOSED && stuck_at)) &&
	       now_ms() - since >= (int64_t)w->options->missing_seconds * 1000;
}

/* Those who have their data may wait in systemd's queue for the end of this. */
static bool is_done(const struct watch *w)
{
	if (!w->options->boot_only)
		return false;
	for (size_t i = 0; i < w->n_items; i++)
		if (w->items[i].state != GATE_OPEN && w->items[i].state != GATE_OPENING &&
		    w->items[i].state != GATE_OVERDUE && !is_absent(w, &w->items[i]))
			return false;
	return true;
}

/* Who goes on with it is the watch that comes after the boot. */
static void tell_absent(const struct watch *w)
{
	for (size_t i = 0; i < w->n_items && is_done(w); i++) {
		_cleanup_free_ char *text = NULL;

		if (!is_absent(w, &w->items[i]))
			continue;
		text = str_printf("%s %s: the boot goes on without it, and its services wait\n",
				  w->items[i].gate->name,
				  w->items[i].state == GATE_MISSING ? "is not there" :
								      "cannot be opened");
		hint_tell_console(text);
	}
}

static void add_gates(struct watch *w)
{
	held_drop_others(w->cxt->held, &w->cxt->gates->gates);
	held_complete(w->cxt->held, &w->cxt->gates->gates); /* it does not move any more */
	FOR_EACH_GATE(gate, &w->cxt->gates->gates)
	{
		struct watched *item;

		if (w->options->boot_only && gate->hold != GATE_BOOT)
			continue;
		w->items = mem_grow(w->items, w->n_items, sizeof(*w->items));
		item = &w->items[w->n_items++];
		item->gate = gate;
		item->held = held_gate(w->cxt->held, gate->name);
		item->missing_at = now_ms();
		item->limit = limit_of(gate);
	}
}

int gate_watch(struct gate_context *cxt, const struct watch_options *options)
{
	_cleanup_(watch_deinit) struct watch w = { .cxt = cxt, .options = options, .loud = true };
	int r = file_make_folder(GATE_RUN, cxt->diag);

	if (r)
		return r;
	run_catch_interrupts();
	cxt->hints_elsewhere = true;
	w.mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	w.wake_up = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w.wake_up >= 0)
		(void)inotify_add_watch(w.wake_up, GATE_RUN, IN_MOVED_TO | IN_DELETE);
	add_gates(&w);
	look(&w, /* closely= */ true);
	while (!is_done(&w) && !run_interrupted()) {
		if (!w.keys)
			(void)keystatus_open(&w.keys);
		pause_for_event(&w);
		if (!run_interrupted())
			look(&w, /* closely= */ false);
	}
	tell_absent(&w);
	return 0;
}
