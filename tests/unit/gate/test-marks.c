/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Opening and closing with all its marks, in a /run of its own, against a ZFS and a systemd that
 * remember what they were told; whatever was cut in between is made good by who comes next.
 */

#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"
#include "gate/close.h"
#include "gate/keystatus.h"
#include "gate/mark.h"
#include "gate/mounts.h"
#include "gate/open.h"
#include "gate/units.h"
#include "gate/watch.h"
#include "keys/keyring.h"
#include "test.h"

struct fake_dataset {
	const char *name, *root, *mountpoint;
	bool key, mounted, raw;
	const char *location; /* of its key; NULL: somebody types it */
};

struct fake_unit {
	const char *name, *gate; /* whose condition it has, or NULL */
	const char *after, *requires, *wanted_by;
	const char *active;
	bool tried, condition;
	const char *consists_of;
};

static struct fake_dataset datasets[] = {
	{ "nest", "nest", "/nowhere/nest", false, false, NULL },
	{ "nest/pg", "nest", "/nowhere/nest/pg", false, false, NULL },
	{ "nest/archive", "nest/archive", "/nowhere/nest/archive", false, false, NULL },
};
static struct fake_dataset *const nest = &datasets[0], *const pg = &datasets[1],
			   *const archive = &datasets[2];

enum { U_PG, U_META, U_APP, U_FAR, U_FELL, U_OTHER, U_OVERDUE, N_UNITS };
static struct fake_unit units[N_UNITS];
static const struct fake_unit before[N_UNITS] = {
	[U_PG] = { "pg.service", "nest", "", "", "multi-user.target", "inactive", true, false },
	[U_META] = { "meta.service", NULL, "pg.service", "", "multi-user.target", "active", true, true },
	[U_APP] = { "app.service", NULL, "meta.service", "", "multi-user.target", "failed", true, true },
	[U_FAR] = { "far.service", NULL, "app.service", "", "multi-user.target", "failed", true, true },
	[U_FELL] = { "fell.service", NULL, "", "far.service", "multi-user.target", "inactive", false, false },
	[U_OTHER] = { "other.service", NULL, "", "", "multi-user.target", "failed", true, true },
	[U_OVERDUE] = { "eyrie-gate-overdue@nest.service", NULL, "", "", "", "inactive", false, true },
};

static const char *breaks; /* what does not come to its end, an fnmatch(3) pattern */
static int breaks_with;
static struct sigaction caught; /* of SIGTERM; each is caught once */
static const char *fails_once; /* the same, the first time alone, and ends with 1 */
static const char *starts_as;
static struct strv told; /* systemctl's verbs and units */

static void show_datasets(const char *name, struct strbuf *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(datasets); i++) {
		const struct fake_dataset *d = &datasets[i];

		if (!is_or_is_below(d->name, name))
			continue;
		strbuf_printf(out, "%s\tencryptionroot\t%s\n%s\tkeystatus\t%s\n", d->name, d->root,
			      d->name, d->key ? "available" : "unavailable");
		strbuf_printf(out, "%s\tkeyformat\t%s\n%s\tkeylocation\t%s\n", d->name,
			      d->raw ? "raw" : "passphrase", d->name,
			      d->location ? d->location : "prompt");
		strbuf_printf(out, "%s\tcanmount\ton\n%s\tmountpoint\t%s\n%s\tmounted\t%s\n",
			      d->name, d->name, d->mountpoint, d->name, d->mounted ? "yes" : "no");
	}
}

static bool has_mounts_inside(const struct fake_dataset *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(datasets); i++)
		if (datasets[i].mounted && is_below(datasets[i].mountpoint, d->mountpoint))
			return true;
	return false;
}

static int tell_zfs(const char *verb, const char *name, struct strbuf *out)
{
	if (streq(verb, "get")) {
		show_datasets(name, out);
		return !out->size;
	}
	if (streq(verb, "load-key"))
		strv_addf(&told, "load-key %s", name);
	for (size_t i = 0; i < ARRAY_SIZE(datasets); i++) {
		struct fake_dataset *d = &datasets[i];

		if (streq(verb, "unload-key") && streq(d->root, name))
			d->key = false;
		if (streq(verb, "load-key") && streq(d->root, name) && d->location)
			d->key = true;
		if (!streq(d->name, name) || strstr(verb, "key"))
			continue;
		if (d->mounted == streq(verb, "mount") ||
		    (streq(verb, "unmount") && has_mounts_inside(d)))
			return 1;
		d->mounted = streq(verb, "mount");
	}
	return 0;
}

static void begin(struct fake_unit *unit)
{
	_cleanup_free_ char *mark = unit->gate ? mark_path(unit->gate) : NULL;

	unit->tried = true;
	unit->condition = !mark || access(mark, F_OK) == 0;
	unit->active = unit->condition ? starts_as : "inactive";
}

static bool is_named(const char *const *argv, const char *unit)
{
	for (; *argv; argv++)
		if (fnmatch(*argv, unit, 0) == 0)
			return true;
	return false;
}

static void tell_systemd(const char *const *argv, struct strbuf *out)
{
	const char *verb = argv[1];
	size_t i;

	for (i = 0; streq(verb, "show") && i < N_UNITS; i++)
		if (is_named(argv, units[i].name))
			strbuf_printf(out, "Id=%s\nLoadState=loaded\nActiveState=%s\nConditionResult=%s\n"
			      "After=%s\nRequires=%s\nWantedBy=%s\nConsistsOf=%s\n"
			      "ConditionTimestampMonotonic=%d\n\n",
			      units[i].name, units[i].active, units[i].condition ? "yes" : "no",
			      units[i].after, units[i].requires, units[i].wanted_by,
			      units[i].consists_of ? units[i].consists_of : "", units[i].tried);
	for (; !streq(verb, "show") && *argv; argv++)
		for (i = 0; i < N_UNITS; i++) {
			if (!streq(units[i].name, *argv))
				continue;
			strv_addf(&told, "%s %s", verb, *argv);
			if (streq(verb, "stop"))
				units[i].active = "inactive";
			else if (!streq(verb, "reset-failed"))
				begin(&units[i]);
			else if (streq(units[i].active, "failed"))
				units[i].active = "inactive";
		}
}

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strbuf_ struct strbuf line = STRBUF_NULL, out = STRBUF_NULL;
	const char *last = NULL;
	int status = 0;

	(void)runner;
	(void)ret_errors;
	for (const char *const *w = command->argv; *w; w++)
		strbuf_printf(&line, "%s%s", line.size ? " " : "", last = *w);
	if (run_interrupted())
		return -EINTR;
	if (breaks && fnmatch(breaks, line.data, 0) == 0) {
		if (breaks_with == -EINTR)
			(void)raise(SIGTERM);
		return breaks_with;
	}
	if (fails_once && fnmatch(fails_once, line.data, 0) == 0) {
		fails_once = NULL;
		return 1;
	}
	if (streq(command->argv[0], "zfs"))
		status = tell_zfs(command->argv[1], last, &out);
	else if (streq(command->argv[0], "systemctl"))
		tell_systemd(command->argv, &out);
	if (ret_output)
		*ret_output = str_dup(out.data ? out.data : "");
	return status;
}

/* In the place of libzfs. */
struct keystatus {
	struct strv asked;
};

static bool has_libzfs, keys_come; /* as soon as they are asked for */
static struct keystatus libzfs;

int keystatus_open(struct keystatus **ret)
{
	*ret = has_libzfs ? &libzfs : NULL;
	return has_libzfs ? 0 : -ENOSYS;
}

struct keystatus *keystatus_free(struct keystatus *k)
{
	(void)k;
	return NULL;
}

int keystatus_get(struct keystatus *k, const char *name)
{
	strv_add(&k->asked, name);
	for (size_t i = 0; i < ARRAY_SIZE(datasets); i++)
		datasets[i].key |= keys_come;
	for (size_t i = 0; i < ARRAY_SIZE(datasets); i++)
		if (streq(datasets[i].name, name))
			return datasets[i].key ? KEY_LOADED : KEY_MISSING;
	return -ENOENT;
}

static struct runner runner = { .start = start };
static struct held held;
static struct diag diag;
static const struct gates no_gates;
static struct gate_context cxt = { .run = &runner, .gates = &no_gates, .held = &held, .diag = &diag,
				   .hints_elsewhere = true };

static struct held_gate *add_gate(const char *name, const char *root, const char *path)
{
	struct held_gate *gate = list_add(&held.gates, &record_held_gate);
	struct held_mount *mount = list_add(&gate->mounts, &record_held_mount);

	gate->name = str_dup(name);
	strv_add(&gate->roots, root);
	mount->dataset = str_dup(name);
	mount->path = str_dup(path);
	return gate;
}

static void forget_marks(void)
{
	static const char *const names[] = { "nest", "nest/archive", "nest/pg" };
	const struct strv nobody = STRV_NULL;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)mark_set(names[i], MARK_NONE, NULL);
		(void)mark_set_ran(names[i], &nobody, NULL);
		(void)mark_set_locked(names[i], false, NULL);
		mark_forget_since(names[i]);
	}
	(void)unlink(GATE_ISSUE);
}

static int setup(void **state)
{
	(void)state;
	memcpy(units, before, sizeof(units));
	starts_as = "active";
	for (size_t i = 0; i < ARRAY_SIZE(datasets); i++)
		datasets[i].key = datasets[i].mounted = datasets[i].raw = false,
		datasets[i].location = NULL;
	pg->mountpoint = "/nowhere/nest/pg";
	forget_marks();
	return 0;
}

static void go_on(void)
{
	breaks = NULL;
	run_resume();
	(void)sigaction(SIGTERM, &caught, NULL);
}

static int teardown(void **state)
{
	(void)state;
	go_on();
	record_deinit(&record_held, &held);
	held = (struct held){};
	strv_deinit(&told);
	strv_deinit(&libzfs.asked);
	has_libzfs = keys_come = false;
	cxt.gates = &no_gates;
	diag_deinit(&diag);
	diag = (struct diag)DIAG_NULL;
	return 0;
}

static struct held_gate *add_nest(void)
{
	struct held_gate *gate = add_gate("nest", "nest", "/nowhere/nest");
	struct held_unit *unit = list_add(&gate->units, &record_held_unit);

	unit->name = str_dup("pg.service");
	return gate;
}

/* The daemon as it begins with these gates: it looks once, and ends with the hints. */
static void watch_with(const char *text, const char *asker)
{
	const struct watch_options options = { .asker = asker };
	_cleanup_(gates_freep) struct gates *gates = NULL;

	assert_int_equal(gates_parse("gate.yaml", text, &gates, &diag), 0);
	cxt.gates = gates;
	breaks = "agetty *";
	breaks_with = -EINTR;
	assert_int_equal(gate_watch(&cxt, &options), 0);
	assert_true(run_interrupted());
	cxt.gates = &no_gates;
	go_on();
}

static void watch(const char *text)
{
	watch_with(text, NULL);
}

static int lock(struct held_gate *gate)
{
	return gate_close(&cxt, gate->name, &gate, 1);
}

static bool was_told(const char *what)
{
	return strv_has(&told, what);
}

static void test_opens(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	assert_int_equal(gate_open(&cxt, gate), -EAGAIN);
	assert_int_equal(mark_get("nest"), MARK_NONE);
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(gate_is_open("nest") && nest->mounted && pg->mounted);
	assert_string_equal(units[U_PG].active, "active");
}

/* The key of a dataset is that of one above it, which is not among what was read. */
static void test_inherited_key(void **state)
{
	struct held_gate *gate = add_gate("nest/pg", "nest", "/nowhere/nest/pg");

	(void)state;
	assert_int_equal(gate_open(&cxt, gate), -EAGAIN);
	assert_int_equal(mark_get("nest/pg"), MARK_NONE);
	pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(pg->mounted);
}

/* Ended before everybody was started: who comes next starts them. */
static void test_interrupted(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	breaks = "systemctl start *";
	breaks_with = -EINTR;
	assert_int_equal(gate_open(&cxt, gate), -EINTR);
	assert_int_equal(mark_get("nest"), MARK_OPENING);
	assert_false(gate_is_open("nest"));
	assert_string_equal(units[U_PG].active, "inactive");
	go_on();
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(gate_is_open("nest"));
	assert_string_equal(units[U_PG].active, "active");
}

/* While systemd cannot be asked nobody is started, and the gate is not open. */
static void test_not_asked(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	breaks = "systemctl show *";
	breaks_with = 1;
	assert_int_equal(gate_open(&cxt, gate), -ENOTCONN);
	assert_int_equal(mark_get("nest"), MARK_OPENING);
	breaks = NULL;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_string_equal(units[U_PG].active, "active");
}

/* More than anybody reads will be no less in a second. */
static void test_too_much_to_be_told(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	breaks = "systemctl show *.service *";
	breaks_with = -EFBIG;
	assert_int_equal(gate_open(&cxt, gate), -EFBIG);
	assert_true(gate_is_open("nest"));
	assert_string_equal(units[U_PG].active, "active");
}

static void make_old(const char *name)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	_cleanup_free_ char *mark = mark_path(name);

	assert_int_equal(utimensat(AT_FDCWD, mark, long_ago, 0), 0);
}

/* A failure of systemctl is told, and does not keep a gate closed for ever that has all its data. */
static void test_not_started(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	breaks = "systemctl start --no-block -- pg.service";
	breaks_with = 1;
	assert_int_equal(gate_open(&cxt, gate), -ENOTCONN);
	assert_int_equal(mark_get("nest"), MARK_OPENING);
	make_old("nest");
	assert_int_equal(gate_open(&cxt, gate), -EIO);
	assert_true(gate_is_open("nest"));
	assert_true(was_told("start app.service"));
}

/* systemctl cannot run now, or finds no systemd: that passes, and nobody is forgotten. */
static void test_not_started_now(void **state)
{
	static const int reasons[] = { -ENOMEM, -ETIMEDOUT, 1 };

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		struct held_gate *gate = add_nest();

		nest->key = pg->key = true;
		breaks = "systemctl start *";
		breaks_with = reasons[i];
		assert_int_equal(gate_open(&cxt, gate), -ENOTCONN);
		assert_int_equal(mark_get("nest"), MARK_OPENING);
		breaks = NULL;
		assert_int_equal(gate_open(&cxt, gate), 0);
		assert_string_equal(units[U_PG].active, "active");
		(void)teardown(state);
		(void)setup(state);
	}
}

/* What failed does not look so any more once it was reset. */
static void test_failed_not_started_now(void **state)
{
	static const char *const verbs[] = { "systemctl start * app.service *",
					     "systemctl reset-failed *" };

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		_cleanup_strv_ struct strv ran = STRV_NULL;
		struct held_gate *gate = add_nest();

		nest->key = pg->key = true;
		breaks = verbs[i];
		breaks_with = i == 0 ? -ENOMEM : 1;
		assert_int_equal(gate_open(&cxt, gate), -ENOTCONN);
		assert_int_equal(mark_get("nest"), MARK_STARTED);
		breaks = NULL;
		assert_int_equal(gate_open(&cxt, gate), 0);
		assert_true(was_told("start app.service") && was_told("start fell.service"));
		assert_false(was_told("start other.service"));
		mark_ran("nest", &ran);
		assert_int_equal(ran.n_items, 0);
		(void)teardown(state);
		(void)setup(state);
	}
}

/* Nor is who goes on without the data. */
static void test_goes_on_later(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	breaks = "systemctl start *";
	breaks_with = -ENOMEM;
	assert_int_equal(gate_give_up(&cxt, gate), -ENOTCONN);
	breaks = NULL;
	assert_int_equal(gate_give_up(&cxt, gate), 0);
	assert_string_equal(units[U_PG].active, "active");
}

static void test_failed_near_and_far(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(was_told("start app.service"));
	assert_true(was_told("start far.service"));
	assert_true(was_told("start fell.service"));
	assert_false(was_told("start other.service"));
	assert_false(was_told("start meta.service"));
}

/* A unit behind the database is active all the time: only the database itself can be waited for. */
static void test_failed_after_what_is_held(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	starts_as = "activating";
	assert_int_equal(gate_open(&cxt, gate), -EINPROGRESS);
	assert_int_equal(mark_get("nest"), MARK_STARTED);
	assert_string_equal(units[U_PG].active, "activating");
	assert_int_equal(gate_open(&cxt, gate), -EINPROGRESS);
	assert_false(was_told("start app.service"));
	units[U_PG].active = "active";
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(gate_is_open("nest") && was_told("start app.service"));
}

static size_t n_told(const char *what)
{
	size_t n = 0;

	for (size_t i = 0; i < told.n_items; i++)
		n += streq(told.items[i], what);
	return n;
}

/* While others come up, what another condition keeps down is started once. */
static void test_started_once(void **state)
{
	struct held_gate *gate = add_nest();
	struct held_unit *unit = list_add(&gate->units, &record_held_unit);

	(void)state;
	unit->name = str_dup("other.service");
	units[U_OTHER].gate = "attic";
	units[U_OTHER].active = "inactive";
	units[U_OTHER].condition = false;
	nest->key = pg->key = true;
	starts_as = "activating";
	assert_int_equal(gate_open(&cxt, gate), -EINPROGRESS);
	assert_int_equal(gate_open(&cxt, gate), -EINPROGRESS);
	assert_int_equal(n_told("start other.service"), 1);
	units[U_PG].active = "active";
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_int_equal(n_told("start other.service"), 1);
	assert_true(gate_is_open("nest") && was_told("start app.service"));
}

/* What never comes up keeps nobody down for ever. */
static void test_never_comes_up(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	starts_as = "activating";
	assert_int_equal(gate_open(&cxt, gate), -EINPROGRESS);
	make_old("nest");
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(gate_is_open("nest") && was_told("start app.service"));
}

static void test_locks(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_int_equal(lock(gate), 0);
	assert_int_equal(mark_get("nest"), MARK_NONE);
	assert_true(mark_is_locked("nest"));
	assert_true(!nest->key && !nest->mounted && !pg->mounted);
	assert_true(was_told("stop pg.service"));
	assert_true(units[U_PG].tried && !units[U_PG].condition);
	/* systemd forgets the skipped start of a unit that nothing wants. */
	units[U_PG].tried = false;
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_false(mark_is_locked("nest"));
	assert_string_equal(units[U_PG].active, "active");
}

/* Who is stopped with what is held, and is not held itself, has no data to start with. */
static void test_lock_leaves_followers_down(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	units[U_PG].consists_of = "meta.service";
	strv_deinit(&told);
	assert_int_equal(lock(gate), 0);
	assert_true(was_told("start pg.service"));
	assert_false(was_told("start meta.service"));
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(was_told("start meta.service"));
}

/* One of two keys is gone when the other cannot go: nothing runs, and all does once it is back. */
static void test_half_locked(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	strv_add(&gate->roots, "nest/archive");
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	breaks = "zfs unload-key nest";
	breaks_with = 1;
	assert_int_not_equal(lock(gate), 0);
	breaks = NULL;
	assert_false(mark_is_locked("nest"));
	archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_string_equal(units[U_PG].active, "active");
	assert_true(pg->mounted && archive->mounted);
}

/* Nobody waits for the key of an archive that is mounted by hand: it stays, which is said. */
static void test_lock_says_what_stays(void **state)
{
	_cleanup_(zfs_state_freep) struct zfs_state *after = NULL;
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_int_equal(zfs_unmount(&runner, "nest/archive", &diag), 0);
	assert_int_equal(lock(gate), 0);
	assert_int_equal(zfs_read(&runner, "nest", &after, &diag), 0);
	gate_note_loaded(&cxt, after);
	assert_string_equal(test_only_finding(&diag),
			    "the key of nest/archive stays loaded: no gate waits for it");
	assert_string_equal(diag.items[0].hint, "Run 'eyrie lock nest/archive'");
}

/* A volume is busy: no key is gone when that is found out. */
static void test_volume_in_use(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	pg->mountpoint = "-";
	strv_add(&gate->roots, "nest/archive");
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	breaks = "zfs unload-key nest";
	breaks_with = 1;
	assert_int_not_equal(lock(gate), 0);
	assert_true(archive->key && gate_is_open("nest"));
	breaks = NULL;
	assert_int_equal(lock(gate), 0);
	assert_false(archive->key || nest->key);
}

/* Interrupted while services stop: they are held, and run when the gate is opened again. */
static void test_lock_interrupted(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	breaks = "zfs unmount *";
	breaks_with = -EINTR;
	assert_int_equal(lock(gate), -EINTR);
	breaks = NULL;
	assert_true(gate_is_open("nest"));
	assert_string_equal(units[U_PG].active, "active");
}

/* Its key is there for some other reason: it is mounted by whoever meant it. */
static void test_excepted(void **state)
{
	struct held_gate *gate = add_nest();
	_cleanup_(gates_freep) struct gates *gates = NULL;

	(void)state;
	assert_int_equal(gates_parse("g", "gates: { nest: { except: [nest/archive] } }", &gates, NULL),
			 0);
	cxt.gates = gates;
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(pg->mounted && !archive->mounted);
	cxt.gates = &no_gates;
}

/* Both of a name: what is inside goes first, whatever they are called. */
static void test_locks_all_below(void **state)
{
	struct held_gate *all[2];

	(void)state;
	(void)add_nest();
	(void)add_gate("nest/archive", "nest/archive", "/nowhere/nest/archive");
	all[0] = held_gate(&held, "nest");
	all[1] = held_gate(&held, "nest/archive");
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, all[0]), 0);
	assert_int_equal(gate_open(&cxt, all[1]), 0);
	breaks = "zfs unload-key nest";
	breaks_with = 1;
	assert_int_not_equal(gate_close(&cxt, "nest", all, 2), 0);
	go_on();
	assert_string_equal(all[0]->name, "nest/archive");
	assert_true(gate_is_open("nest") && nest->mounted);
	assert_false(mark_is_locked("nest") || mark_is_locked("nest/archive"));
	assert_string_equal(units[U_PG].active, "active");
	assert_int_equal(gate_close(&cxt, "nest", all, 2), 0);
	assert_true(mark_is_locked("nest") && mark_is_locked("nest/archive"));
	assert_false(nest->key || archive->key || nest->mounted || archive->mounted);
	assert_string_equal(units[U_PG].active, "inactive");
}

/* One was locked already, or went on without its data: so they are when the others stay open. */
static void test_lock_puts_back_what_was(void **state)
{
	static const enum mark marks[] = { MARK_NONE, MARK_OVERDUE };

	(void)add_nest();
	(void)add_gate("nest/archive", "nest/archive", "/nowhere/nest/archive");
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		struct held_gate *all[] = { held_gate(&held, "nest"),
					    held_gate(&held, "nest/archive") };

		setup(state);
		nest->key = pg->key = true;
		assert_int_equal(gate_open(&cxt, all[0]), 0);
		assert_int_equal(mark_set("nest/archive", marks[i], &diag), 0);
		assert_int_equal(mark_set_locked("nest/archive", marks[i] == MARK_NONE, &diag), 0);
		breaks = "zfs unload-key nest";
		breaks_with = 1;
		assert_int_not_equal(gate_close(&cxt, "nest", all, 2), 0);
		go_on();
		assert_true(gate_is_open("nest") && !mark_is_locked("nest"));
		assert_int_equal(mark_get("nest/archive"), marks[i]);
		assert_int_equal(mark_is_locked("nest/archive"), marks[i] == MARK_NONE);
	}
}

/* OpenRC fails to stop the service of a gate that never was open. */
static void test_locks_with_openrc(void **state)
{
	struct held_gate *all[2];

	(void)state;
	(void)add_nest();
	(void)add_gate("nest/archive", "nest/archive", "/nowhere/nest/archive");
	all[0] = held_gate(&held, "nest");
	all[1] = held_gate(&held, "nest/archive");
	nest->key = pg->key = true;
	assert_int_equal(file_replace("/run/openrc/softlevel", "", 0644, &diag), 0);
	assert_int_equal(gate_open(&cxt, all[0]), 0);
	fails_once = "rc-service * eyrie-gate.nest+archive stop";
	assert_int_equal(gate_close(&cxt, "nest", all, 2), 0);
	assert_null(fails_once);
	assert_int_equal(diag.n_errors, 0);
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, all[1]), 0);
	fails_once = "rc-service * eyrie-gate.nest stop";
	assert_int_not_equal(gate_close(&cxt, "nest", all, 2), 0);
	(void)unlink("/run/openrc/softlevel");
}

/* What lies inside another gate's mount waits for that one. */
static void test_inside(void **state)
{
	struct held_gate *inner = add_gate("nest/archive", "nest/archive", "/nowhere/nest/archive");
	struct held_gate *outer;

	(void)state;
	outer = add_nest();
	inner = held_gate(&held, "nest/archive");
	archive->key = true;
	assert_int_equal(gate_open(&cxt, inner), -EAGAIN);
	assert_false(archive->mounted);
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, outer), 0);
	assert_int_equal(gate_open(&cxt, inner), 0);
	assert_true(archive->mounted && gate_is_open("nest/archive"));
}

/* Of the outer one nobody knows: it may be mounted over the inner one yet. */
static void test_inside_of_who_knows(void **state)
{
	struct held_gate *inner = add_gate("nest/archive", "nest/archive", "/nowhere/nest/archive");

	(void)state;
	(void)add_nest();
	inner = held_gate(&held, "nest/archive");
	archive->key = true;
	breaks = "zfs get *mounted nest";
	breaks_with = -ENOMEM;
	assert_int_equal(gate_open(&cxt, inner), -EAGAIN);
	assert_false(archive->mounted);
}

/* The boot waits for the inner one, and what opens the outer one starts after it. */
static void test_inside_at_boot(void **state)
{
	struct held_gate *inner = add_gate("nest/archive", "nest/archive", "/nowhere/nest/archive");

	(void)state;
	(void)add_nest();
	inner = held_gate(&held, "nest/archive");
	inner->hold = GATE_BOOT;
	archive->key = true;
	assert_int_equal(gate_open(&cxt, inner), 0);
	assert_true(archive->mounted);
}

/* With this broken nothing opens, and what was mounted below it is where it was. */
static void assert_stays_closed(struct held_gate *gate, const char *command)
{
	nest->key = pg->key = archive->key = true;
	pg->mounted = archive->mounted = true;
	breaks = command;
	breaks_with = 1;
	assert_int_not_equal(gate_open(&cxt, gate), 0);
	assert_true(pg->mounted && archive->mounted && !nest->mounted);
	assert_int_equal(mark_get("nest"), MARK_NONE);
}

/* A child that is in use stays where it is, and so do the others, and the gate stays closed. */
static void test_child_in_use(void **state)
{
	(void)state;
	assert_stays_closed(add_nest(), "zfs unmount nest/archive");
}

/* The one above does not mount: those below it, which had to go for it, are where they were. */
static void test_mount_fails(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	assert_stays_closed(gate, "zfs mount nest");
	breaks = NULL;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(pg->mounted && archive->mounted && nest->mounted);
}

/* Who went on without the data is started again with it; a mount knows that it is not there. */
static void test_overdue(void **state)
{
	_cleanup_free_ char *mark = mark_path("nest");
	struct held_gate *gate = add_nest();
	struct stat st;

	(void)state;
	assert_int_equal(gate_give_up(&cxt, gate), 0);
	assert_int_equal(mark_get("nest"), MARK_OVERDUE);
	assert_true(stat(mark, &st) == 0 && st.st_size == 0);
	assert_string_equal(units[U_PG].active, "active");
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_true(was_told("try-restart pg.service"));
}

/* Else they would go on without the data that is there. */
static void test_not_restarted_now(void **state)
{
	static const char *const broken[] = { "systemctl try-restart *", "systemctl *" };

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct held_gate *gate = add_nest();

		assert_int_equal(gate_give_up(&cxt, gate), 0);
		make_old("nest");
		nest->key = pg->key = true;
		breaks = broken[i];
		breaks_with = i == 0 ? -ENOMEM : 1;
		assert_int_equal(gate_open(&cxt, gate), -ENOTCONN);
		assert_int_equal(mark_get("nest"), MARK_OVERDUE);
		breaks = NULL;
		assert_int_equal(gate_open(&cxt, gate), 0);
		assert_true(was_told("try-restart pg.service"));
		(void)teardown(state);
		(void)setup(state);
	}
}

/* A key that somebody else mounts meanwhile is no failure. */
static void test_mounted_meanwhile(void **state)
{
	struct held_gate *gate = add_nest();
	_cleanup_(zfs_state_freep) struct zfs_state *old = NULL;

	(void)state;
	(void)gate;
	nest->key = pg->key = true;
	assert_int_equal(zfs_read(&runner, "nest", &old, &diag), 0);
	pg->mounted = true;
	assert_int_equal(gate_mount(&cxt, old), 0);
	assert_true(nest->mounted);
	assert_int_equal(diag.n_errors, 0);
}

/* There is no key to ask for: the boot goes on, and the services wait. */
static void test_boot_without_the_pool(void **state)
{
	const struct watch_options options = { .boot_only = true };
	_cleanup_(gates_freep) struct gates *gates = NULL;

	(void)state;
	assert_int_equal(gates_parse("gate.yaml", "gates: { attic: { hold: boot } }", &gates, &diag),
			 0);
	cxt.gates = gates;
	assert_int_equal(gate_watch(&cxt, &options), 0);
	assert_false(run_interrupted());
	assert_int_equal(mark_get("attic"), MARK_NONE);
	cxt.gates = &no_gates;
}

/* Nor is there one while ZFS does not say what there is. */
static void test_boot_without_zfs(void **state)
{
	const struct watch_options options = { .boot_only = true };
	_cleanup_(gates_freep) struct gates *gates = NULL;

	(void)state;
	assert_int_equal(gates_parse("gate.yaml", "gates: { nest: { hold: boot } }", &gates, &diag),
			 0);
	cxt.gates = gates;
	breaks = "zfs get *";
	breaks_with = -ENOENT;
	assert_int_equal(gate_watch(&cxt, &options), 0);
	assert_false(run_interrupted());
	cxt.gates = &no_gates;
}

/* What comes after the boot may hold the start of what is held: it ends while the gate opens. */
static void test_boot_ends_while_it_opens(void **state)
{
	const struct watch_options options = { .boot_only = true };
	_cleanup_(gates_freep) struct gates *gates = NULL;

	(void)state;
	(void)add_nest();
	nest->key = pg->key = archive->key = true;
	starts_as = "activating";
	assert_int_equal(gates_parse("gate.yaml", "gates: { nest: { hold: boot } }", &gates, &diag),
			 0);
	cxt.gates = gates;
	assert_int_equal(gate_watch(&cxt, &options), 0);
	assert_int_equal(mark_get("nest"), MARK_STARTED);
	cxt.gates = &no_gates;
}

#define NO_WAIT "gates: { nest: { services: [pg], wait: 0, then: continue } }"
#define FAILS	"gates: { nest: { services: [pg], wait: 0 } }"

static void test_wait_is_over(void **state)
{
	(void)state;
	(void)add_nest();
	watch(FAILS);
	assert_true(was_told("start eyrie-gate-overdue@nest.service"));
	assert_false(was_told("reset-failed eyrie-gate-overdue@nest.service"));
	watch(NO_WAIT);
	assert_int_equal(mark_get("nest"), MARK_OVERDUE);
	assert_string_equal(units[U_PG].active, "active");
}

/* Of one that could not be started nobody knows more: it went on, and the hint says so. */
static void test_goes_on_with_an_error(void **state)
{
	_cleanup_strbuf_ struct strbuf hint = STRBUF_NULL;

	(void)state;
	(void)add_nest();
	fails_once = "systemctl start *";
	watch(NO_WAIT);
	assert_null(fails_once);
	assert_int_equal(file_read(GATE_ISSUE, &hint), 0);
	assert_non_null(strstr(hint.data, "went on without it"));
}

/* A wait that failed is none any more; of one that cannot fail nobody is told. */
static void test_failure_is_over(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	watch(FAILS);
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_false(was_told("reset-failed eyrie-gate-overdue@nest.service"));
	(void)mark_set("nest", MARK_NONE, NULL);
	watch(FAILS);
	assert_true(gate_is_open("nest"));
	assert_true(was_told("reset-failed eyrie-gate-overdue@nest.service"));
}

/* A lock ends with an unlock alone. */
static void test_locked_does_not_wait(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_int_equal(lock(gate), 0);
	watch(NO_WAIT);
	assert_int_equal(mark_get("nest"), MARK_NONE);
	assert_string_equal(units[U_PG].active, "inactive");
	watch(FAILS);
	assert_false(was_told("start eyrie-gate-overdue@nest.service"));
}

/* Nor of what is in it, with a key of its own. */
static void test_locked_inside_does_not_wait(void **state)
{
	(void)state;
	(void)add_nest();
	assert_int_equal(mark_set_locked("nest/archive", true, &diag), 0);
	watch(NO_WAIT);
	assert_int_equal(mark_get("nest"), MARK_NONE);
	assert_int_equal(mark_set_locked("nest/archive", false, &diag), 0);
	watch(NO_WAIT);
	assert_int_equal(mark_get("nest"), MARK_OVERDUE);
}

static void note_asker(void *context, const char *line)
{
	if (starts_with(line, "true gate ask "))
		strv_add(context, line);
}

/* However many gates wait for a person. */
static void test_one_question(void **state)
{
	_cleanup_strv_ struct strv asked = STRV_NULL;

	(void)state;
	runner.log = note_asker;
	runner.context = &asked;
	watch_with("gates:\n"
		   "  nest: { prompt: console }\n"
		   "  nest/archive: { prompt: console }\n"
		   "  nest/pg: { prompt: hint }\n", "true");
	assert_int_equal(asked.n_items, 1);
	assert_string_equal(asked.items[0], "true gate ask nest nest/archive");
	runner.log = NULL;
}

/* Who watches looks once more when a mark changes, and ends a little later. */
static pid_t disturb(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)usleep(300000);
	(void)rmdir(GATE_RUN "/nest");
	(void)mark_set("elsewhere", MARK_OPEN, NULL);
	(void)usleep(900000);
	(void)kill(getppid(), SIGTERM);
	_exit(0);
}

/* Who asks may have nothing to ask, and ends at once. */
static void test_question_that_ends(void **state)
{
	const struct watch_options options = { .asker = "true" };
	_cleanup_strv_ struct strv asked = STRV_NULL;
	_cleanup_(gates_freep) struct gates *gates = NULL;
	pid_t pid = disturb();

	(void)state;
	runner.log = note_asker;
	runner.context = &asked;
	assert_int_equal(gates_parse("g", "gates: { nest: { prompt: console } }", &gates, &diag), 0);
	cxt.gates = gates;
	assert_int_equal(gate_watch(&cxt, &options), 0);
	(void)waitpid(pid, NULL, 0);
	(void)mark_set("elsewhere", MARK_NONE, NULL);
	assert_int_equal(asked.n_items, 1);
	cxt.gates = &no_gates;
	runner.log = NULL;
}

/* False: it ended by itself. */
static bool watch_until(const char *text, const struct watch_options *options)
{
	_cleanup_(gates_freep) struct gates *gates = NULL;
	pid_t pid = disturb();
	bool interrupted;

	assert_int_equal(gates_parse("gate.yaml", text, &gates, &diag), 0);
	cxt.gates = gates;
	assert_int_equal(gate_watch(&cxt, options), 0);
	interrupted = run_interrupted();
	(void)waitpid(pid, NULL, 0);
	(void)mark_set("elsewhere", MARK_NONE, NULL);
	cxt.gates = &no_gates;
	return interrupted;
}

static void watch_disturbed(const char *text)
{
	assert_true(watch_until(text, &(struct watch_options){}));
}

#define HOLDS_BOOT "gates: { nest: { hold: boot } }"

/* There is no key to ask for any more. */
static void test_boot_without_a_mount(void **state)
{
	(void)state;
	(void)add_nest();
	has_libzfs = keys_come = true;
	breaks = "zfs mount nest";
	breaks_with = 1;
	assert_false(watch_until(HOLDS_BOOT, &(struct watch_options){ .boot_only = true }));
	assert_true(nest->key && !gate_is_open("nest"));
}

/* Of a raw backup: nobody can type its key, and it can come from nowhere. */
static void test_boot_without_a_raw_key(void **state)
{
	(void)state;
	(void)add_nest();
	nest->key = pg->key = has_libzfs = true;
	assert_true(watch_until(HOLDS_BOOT, &(struct watch_options){ .boot_only = true }));
	go_on();
	archive->raw = true;
	assert_false(watch_until(HOLDS_BOOT, &(struct watch_options){ .boot_only = true }));
	assert_false(gate_is_open("nest"));
}

/* One that is received below an open gate is none of it; its own keys that go do close it. */
static void test_a_backup_closes_nothing(void **state)
{
	(void)state;
	(void)add_nest();
	(void)mark_set("nest", MARK_OPEN, NULL);
	nest->key = pg->key = nest->mounted = pg->mounted = archive->raw = true;
	watch_disturbed("gates: { nest: {} }");
	assert_int_equal(mark_get("nest"), MARK_OPEN);
	go_on();
	nest->key = pg->key = false;
	watch_disturbed("gates: { nest: {} }");
	assert_int_equal(mark_get("nest"), MARK_NONE);
}

/* Its data is there: the boot does not wait for what could not be started yet. */
static void test_boot_without_a_start(void **state)
{
	const struct watch_options options = { .boot_only = true, .missing_seconds = 600 };

	(void)state;
	(void)add_nest();
	nest->key = pg->key = archive->key = has_libzfs = true;
	breaks = "systemctl start *";
	breaks_with = 1;
	assert_false(watch_until(HOLDS_BOOT, &options));
	assert_int_equal(mark_get("nest"), MARK_OPENING);
}

/* While systemd cannot be asked nobody goes on; that is made good without another wait. */
static void test_goes_on_in_the_end(void **state)
{
	(void)state;
	(void)add_nest();
	fails_once = "systemctl show *";
	watch_disturbed(NO_WAIT);
	assert_null(fails_once);
	assert_int_equal(mark_get("nest"), MARK_OVERDUE);
	assert_string_equal(units[U_PG].active, "active");
}

/* Nor does anybody while the mark cannot be written: a folder is in its place at first. */
static void test_goes_on_when_it_can_be_marked(void **state)
{
	(void)state;
	(void)add_nest();
	assert_int_equal(mkdir(GATE_RUN "/nest", 0755), 0);
	watch_disturbed(NO_WAIT);
	assert_int_equal(mark_get("nest"), MARK_OVERDUE);
	assert_string_equal(units[U_PG].active, "active");
}

/* Who watched before ended when it had set the mark. */
static void test_goes_on_for_another(void **state)
{
	(void)state;
	(void)add_nest();
	assert_int_equal(mark_set("nest", MARK_OVERDUE, &diag), 0);
	watch(NO_WAIT);
	assert_string_equal(units[U_PG].active, "active");
}

/* An upgrade, or a sync, is no new wait; after it was open there is one. */
static void test_wait_outlives_who_watches(void **state)
{
	static const char waits[] = "gates: { nest: { services: [pg], wait: 900, then: continue } }";
	struct held_gate *gate = add_nest();
	struct timespec t;
	int64_t now;

	(void)state;
	(void)clock_gettime(CLOCK_BOOTTIME, &t);
	now = (int64_t)t.tv_sec * 1000;
	watch(waits);
	assert_int_equal(mark_get("nest"), MARK_NONE);
	mark_forget_since("nest");
	assert_int_equal(mark_since("nest", now - 1000000), now - 1000000);
	assert_int_equal(mark_since("nest", now), now - 1000000);
	watch(waits);
	assert_int_equal(mark_get("nest"), MARK_OVERDUE);
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_int_equal(mark_since("nest", now), now);
}

/* The passphrase of the start is kept for minutes, and a lock in these is one. */
static void test_shared_passphrase(void **state)
{
	static const char shares[] = "gates: { nest: { services: [pg], share-passphrase: yes } }";
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();

	(void)state;
	(void)add_nest();
	memcpy(passphrase->data, "falcon", passphrase->size = 6);
	if (keyring_put(KEYRING_SHARED, passphrase, 60))
		skip();
	assert_int_equal(mark_set_locked("nest", true, &diag), 0);
	watch(shares);
	assert_false(was_told("load-key nest"));
	assert_int_equal(mark_set_locked("nest", false, &diag), 0);
	watch(shares);
	assert_true(was_told("load-key nest"));
	keyring_forget(KEYRING_SHARED);
}

#define HAS_FILE "gates: { nest: { services: [pg] } }"

/* Unmounted and unloaded by hand, while its key is a file: it is opened like any closed one. */
static void test_key_file_of_an_open_gate(void **state)
{
	struct held_gate *gate = add_nest();

	(void)state;
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	nest->location = pg->location = "file:///dev/null";
	nest->key = pg->key = nest->mounted = pg->mounted = false;
	assert_int_equal(file_replace(GATE_ISSUE, "old", 0644, &diag), 0);
	watch(HAS_FILE);
	assert_true(was_told("load-key nest"));
	assert_true(nest->mounted && pg->mounted && gate_is_open("nest"));
}

/* A mark that is set as a second begins is no older than one that is set later in it. */
static void test_age_as_a_second_begins(void **state)
{
	_cleanup_free_ char *mark = mark_path("nest");
	struct timespec times[2];
	time_t second;

	(void)state;
	assert_int_equal(mark_set("nest", MARK_OPENING, &diag), 0);
	(void)clock_gettime(CLOCK_REALTIME, &times[0]);
	for (second = times[0].tv_sec; times[0].tv_sec == second;)
		(void)clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	assert_int_equal(utimensat(AT_FDCWD, mark, times, 0), 0);
	assert_in_range(mark_age("nest"), 0, 1);
}

static void count_overdue(void *context, const char *line)
{
	*(size_t *)context += strstr(line, "start --no-block -- eyrie-gate-overdue@nest") != NULL;
}

/* The unit that says so cannot be started for want of memory: it is tried again. */
static void test_fails_in_the_end(void **state)
{
	size_t n = 0;

	(void)state;
	(void)add_nest();
	breaks = "systemctl start *";
	breaks_with = -ENOMEM;
	runner.log = count_overdue;
	runner.context = &n;
	watch_disturbed(FAILS);
	runner.log = NULL;
	assert_true(n > 1);
}

static void count_reads(void *context, const char *line)
{
	*(size_t *)context += starts_with(line, "zfs get ") != NULL;
}

/* What ZFS did not say, since it is too much or for want of memory, is not asked for each second. */
static void test_too_much_of_zfs(void **state)
{
	size_t n = 0;

	(void)state;
	(void)add_nest();
	has_libzfs = true;
	breaks = "zfs get *";
	breaks_with = -EFBIG;
	runner.log = count_reads;
	runner.context = &n;
	watch_disturbed(HAS_FILE);
	runner.log = NULL;
	assert_int_equal(n, 1);
}

/* What is in a gate was locked by itself: its key file is left alone, and no other one. */
static void test_locked_inside(void **state)
{
	(void)state;
	(void)add_nest();
	nest->location = pg->location = archive->location = "file:///dev/null";
	assert_int_equal(mark_set_locked("nest/archive", true, &diag), 0);
	watch(HAS_FILE);
	assert_true(was_told("load-key nest"));
	assert_false(was_told("load-key nest/archive"));
	assert_int_equal(mark_set_locked("nest", true, &diag), 0);
	assert_true(mark_is_locked_in("nest/archive/2026", "nest/archive"));
	assert_true(mark_is_locked_in("nest/pg", "nest") && mark_is_locked_in("roost", "nest"));
	assert_int_equal(mark_unlock_all("nest/arch", &diag), 0);
	assert_true(mark_is_locked("nest/archive"));
	assert_int_equal(mark_unlock_all("nest", &diag), 0);
	assert_false(mark_is_locked("nest") || mark_is_locked("nest/archive"));
	assert_int_equal(file_replace(GATE_ISSUE, "old", 0644, &diag), 0);
	watch(HAS_FILE);
	assert_true(was_told("load-key nest/archive") && gate_is_open("nest"));
}

/* Somebody mounts, and who watches ends a little later. */
static pid_t disturb_mounts(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)usleep(300000);
	(void)mount("tmpfs", "/run/openrc", "tmpfs", 0, NULL);
	(void)usleep(900000);
	(void)kill(getppid(), SIGTERM);
	_exit(0);
}

/* A key goes only after an unmount, and may be there again before it is its turn. */
static void test_looks_at_all_keys_after_a_mount(void **state)
{
	const struct watch_options options = {};
	_cleanup_(gates_freep) struct gates *gates = NULL;
	struct held_gate *gate = add_nest();
	pid_t pid;

	(void)state;
	nest->key = pg->key = archive->key = true;
	assert_int_equal(gate_open(&cxt, gate), 0);
	assert_int_equal(gates_parse("gate.yaml", HAS_FILE, &gates, &diag), 0);
	cxt.gates = gates;
	has_libzfs = true;
	pid = disturb_mounts();
	assert_int_equal(gate_watch(&cxt, &options), 0);
	(void)waitpid(pid, NULL, 0);
	(void)umount("/run/openrc");
	assert_true(strv_has(&libzfs.asked, "nest"));
	assert_true(strv_has(&libzfs.asked, "nest/archive"));
	cxt.gates = &no_gates;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inherited_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much_to_be_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_started, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_started_now, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_near_and_far, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_not_started_now, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_later, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failed_after_what_is_held, setup, teardown),
		cmocka_unit_test_setup_teardown(test_started_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_comes_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_leaves_followers_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_locked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_says_what_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_volume_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_interrupted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_excepted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locks_all_below, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lock_puts_back_what_was, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locks_with_openrc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inside_of_who_knows, setup, teardown),
		cmocka_unit_test_setup_teardown(test_inside_at_boot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child_in_use, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mount_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overdue, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_restarted_now, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mounted_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_without_the_pool, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_without_zfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_ends_while_it_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_is_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_with_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_is_over, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_question, setup, teardown),
		cmocka_unit_test_setup_teardown(test_question_that_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_without_a_mount, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_without_a_raw_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_backup_closes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_boot_without_a_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_in_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_when_it_can_be_marked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goes_on_for_another, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait_outlives_who_watches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared_passphrase, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_key_file_of_an_open_gate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_age_as_a_second_begins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fails_in_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much_of_zfs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked_inside_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_looks_at_all_keys_after_a_mount, setup, teardown),
	};

	if (geteuid() || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL) < 0 || mkdir("/run/systemd", 0755) < 0 ||
	    mkdir("/run/systemd/system", 0755) < 0 || mkdir("/run/eyrie", 0755) < 0 ||
	    mkdir(GATE_RUN, 0755) < 0 ||
	    mkdir("/run/openrc", 0755) < 0) {
		printf("1..0 # SKIP a /run of its own needs root: %s\n", strerror(errno));
		return 0;
	}
	(void)mount("/dev/null", "/dev/console", NULL, MS_BIND, NULL); /* nothing is said there */
	run_catch_interrupts();
	(void)sigaction(SIGTERM, NULL, &caught);
	return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
