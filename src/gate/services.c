/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/services.h"

#include "gate/mark.h"
#include "gate/openrc.h"
#include "gate/systemd.h"
#include "gate/units.h"

static void unit_names(const struct held_gate *gate, struct strv *names)
{
	FOR_EACH_UNIT(unit, gate)
		strv_add(names, unit->name);
}

static bool is_down(const struct unit *unit)
{
	return streq(unit->active, "inactive") || streq(unit->active, "failed");
}

static void say_all(const struct gate_context *cxt, const char *what, const struct strv *names)
{
	for (size_t i = 0; i < names->n_items; i++)
		gate_say(cxt, "%s %s", what, names->items[i]);
}

/* systemd may be about to be replaced by a newer one; what is too much to be told stays so. */
static int ask(struct gate_context *cxt, const struct strv *names, struct unit_list **ret)
{
	int r = systemd_show(cxt->run, names, ret, cxt->diag);

	return r && r != -EINTR && r != -EFBIG ? -ENOTCONN : r;
}

static bool is_unasked(int r)
{
	return r == -EINTR || r == -ENOTCONN;
}

/* What the verb should have changed in it, and another try may. */
static bool is_left(const struct unit *unit, const char *verb)
{
	if (!is_down(unit) || !is_empty(unit->job) || !streq(unit->load, "loaded"))
		return false;
	return streq(verb, "start") ? !unit->condition :
	       streq(verb, "reset-failed") && streq(unit->active, "failed");
}

/*
 * systemd_do() without waiting. -ENOTCONN: it came to nothing for a reason that passes, and who opens
 * next tries again. systemctl says the same of a unit that cannot start as of a systemd that is being
 * replaced: what is left as it was may be either, and is so for OPENING_SECONDS at most.
 */
static int tell(struct gate_context *cxt, const struct held_gate *gate, const char *verb,
		const struct strv *names)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	int r = systemd_do(cxt->run, verb, /* block= */ false, names, cxt->diag), q;

	if (r == 0 || r == -EINTR || r == -EFBIG)
		return r;
	if (r != -EIO)
		return -ENOTCONN;
	q = ask(cxt, names, &units);
	if (q)
		return q == -EFBIG ? r : q;
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (is_left(unit, verb) && mark_age(gate->name) < OPENING_SECONDS)
			return -ENOTCONN;
	return r;
}

static int find_skipped(struct gate_context *cxt, const struct strv *names, struct strv *skipped)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	int r = ask(cxt, names, &units);

	if (r)
		return r;
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (is_down(unit) && unit->tried && !unit->condition)
			strv_add(skipped, unit->name);
	say_all(cxt, "starting", skipped);
	return 0;
}

int services_start_skipped(struct gate_context *cxt, const struct strv *names)
{
	_cleanup_strv_ struct strv start = STRV_NULL;
	int r = find_skipped(cxt, names, &start);

	return r ? r : systemd_do(cxt->run, "start", /* block= */ false, &start, cxt->diag);
}

/* what failed */

static bool has_any(const struct strv *strings, const struct strv *of)
{
	for (size_t i = 0; i < of->n_items; i++)
		if (strv_has(strings, of->items[i]))
			return true;
	return false;
}

static bool needs_any(const struct unit *unit, const struct strv *names)
{
	return has_any(&unit->requires, names) || has_any(&unit->after, names);
}

static bool is_service(const struct unit *unit)
{
	const char *dot = strrchr(unit->name, '.');

	return dot && streq(dot, ".service");
}

/*
 * What is held, its mounts, and the services behind it: on Debian people write After= of
 * postgresql.service, which itself only comes after the one that has the data.
 */
static void find_needed(const struct held_gate *gate, const struct unit_list *units,
			struct strv *needed)
{
	_cleanup_strv_ struct strv held = STRV_NULL;

	unit_names(gate, &held);
	FOR_EACH_MOUNT(mount, gate)
	{
		_cleanup_free_ char *name = unit_of_path(mount->path);

		strv_addf(&held, "%s.mount", name);
	}
	for (size_t i = 0; i < held.n_items; i++)
		strv_add(needed, held.items[i]);
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (is_service(unit) && !strv_has(needed, unit->name) && has_any(&unit->after, &held))
			strv_add(needed, unit->name);
}

/* Its start ended with that of one that it requires: it never began, and did not fail itself. */
static bool fell_with(const struct unit *unit, const struct strv *failed)
{
	return streq(unit->active, "inactive") && !unit->tried && unit->wanted_by.n_items &&
	       has_any(&unit->requires, failed);
}

static void find_failed(const struct unit_list *units, struct strv *needed, struct strv *failed)
{
	size_t before;

	do {
		before = failed->n_items;
		FOR_EACH_SYSTEMD_UNIT(unit, units)
		{
			if (strv_has(failed, unit->name) || !needs_any(unit, needed) ||
			    (!streq(unit->active, "failed") && !fell_with(unit, failed)))
				continue;
			strv_add(failed, unit->name);
			strv_add(needed, unit->name);
		}
	} while (failed->n_items > before);
}

/* A job that waits for another one is as good as one that runs. */
static bool is_coming_up(const struct held_gate *gate, const struct unit_list *units)
{
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (held_has_unit(gate, unit->name) &&
		    (streq(unit->active, "activating") || !is_empty(unit->job)))
			return true;
	return false;
}

/* They are noted first: once reset, nobody can tell any more that they failed. */
static int start_failed(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_strv_ struct strv needed = STRV_NULL, failed = STRV_NULL, ran = STRV_NULL;
	int r;

	mark_ran(gate->name, &ran);
	mark_ran(gate->name, &failed);
	if (!failed.n_items && !systemd_has_failed(cxt->run))
		return 0;
	r = ask(cxt, NULL, &units);
	if (r)
		return r;
	find_needed(gate, units, &needed);
	find_failed(units, &needed, &failed);
	say_all(cxt, "starting", &failed);
	(void)mark_set_ran(gate->name, &failed, cxt->diag);
	r = tell(cxt, gate, "reset-failed", &failed);
	if (r && r != -EIO) /* systemd may have forgotten one that was reset before */
		return r;
	r = tell(cxt, gate, "start", &failed);
	if (!gate_is_unfinished(r))
		(void)mark_set_ran(gate->name, &ran, cxt->diag);
	return r;
}

/* OpenRC */

/* It remembers by itself who waits: those that need the gate's own service. */
static int tell_openrc(struct gate_context *cxt, const struct held_gate *gate, const char *verb)
{
	const char *const environment[] = { "IN_BACKGROUND=true", NULL };
	_cleanup_free_ char *service = openrc_service(gate->name);
	const char *const argv[] = { "rc-service", "--quiet", "--ifexists", service, verb, NULL };

	return run(cxt->run, &(struct command){ .argv = argv, .environment = environment },
		   cxt->diag);
}

/* either */

int services_start(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_strv_ struct strv names = STRV_NULL, start = STRV_NULL;
	int r, q;

	if (openrc_runs())
		return tell_openrc(cxt, gate, "start");
	if (!systemd_runs())
		return 0;
	unit_names(gate, &names);
	r = find_skipped(cxt, &names, &start);
	if (is_unasked(r))
		return r;
	mark_ran(gate->name, &start);
	q = tell(cxt, gate, "start", &start);
	return is_unasked(q) || r == 0 ? q : r;
}

int services_start_failed(struct gate_context *cxt, const struct held_gate *gate, bool patient)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_strv_ struct strv names = STRV_NULL;
	int r;

	if (openrc_runs() || !systemd_runs())
		return 0;
	unit_names(gate, &names);
	r = patient ? ask(cxt, &names, &units) : 0;
	if (r)
		return r;
	return patient && is_coming_up(gate, units) ? -EINPROGRESS : start_failed(cxt, gate);
}

/* Its wait may have been over before, and have failed the unit that says so. */
static bool may_have_failed(const struct gate_context *cxt, const struct held_gate *gate)
{
	uint64_t wait = GATE_FOREVER;

	FOR_EACH_GATE(each, &cxt->gates->gates)
		if (streq(each->name, gate->name) && each->then == GATE_FAIL)
			(void)gate_wait(each, &wait);
	return wait != GATE_FOREVER && mark_get(gate->name) == MARK_NONE;
}

static void forget_failure(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_free_ char *instance = unit_instance(gate->name);
	_cleanup_strv_ struct strv unit = STRV_NULL;

	strv_addf(&unit, "eyrie-gate-overdue@%s.service", instance);
	(void)systemd_do(cxt->run, "reset-failed", /* block= */ true, &unit, NULL);
}

int services_restart(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_strv_ struct strv all = STRV_NULL;
	int r;

	if (systemd_runs() && may_have_failed(cxt, gate))
		forget_failure(cxt, gate);
	if (mark_get(gate->name) != MARK_OVERDUE)
		return 0;
	/* Stopped in the background, who needs the gate is started again with it. */
	if (openrc_runs())
		return tell_openrc(cxt, gate, "stop") == -EINTR ? -EINTR : 0;
	if (!systemd_runs())
		return 0;
	unit_names(gate, &all);
	forget_failure(cxt, gate);
	r = tell(cxt, gate, "try-restart", &all);
	return is_unasked(r) ? r : 0;
}

static void add_running(const struct unit_list *units, struct strv *names)
{
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (!is_down(unit) && !strv_has(names, unit->name))
			strv_add(names, unit->name);
}

/* Those that systemd stops with them. */
static int add_followers(struct gate_context *cxt, const struct unit_list *units,
			 struct strv *names)
{
	_cleanup_(unit_list_freep) struct unit_list *found = NULL;
	_cleanup_strv_ struct strv followers = STRV_NULL;
	int r;

	FOR_EACH_SYSTEMD_UNIT(unit, units)
		for (size_t i = 0; !is_down(unit) && i < unit->consists_of.n_items; i++)
			strv_add(&followers, unit->consists_of.items[i]);
	r = systemd_show(cxt->run, &followers, &found, cxt->diag);
	if (r == 0)
		add_running(found, names);
	return r;
}

int services_stop(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	_cleanup_strv_ struct strv names = STRV_NULL, running = STRV_NULL, ran = STRV_NULL;
	int r;

	if (openrc_runs())
		return tell_openrc(cxt, gate, "stop");
	if (!systemd_runs())
		return 0;
	unit_names(gate, &names);
	mark_ran(gate->name, &ran);
	r = systemd_show(cxt->run, &names, &units, cxt->diag);
	if (r)
		return r;
	add_running(units, &running);
	add_running(units, &ran);
	r = add_followers(cxt, units, &ran);
	if (r == 0)
		r = mark_set_ran(gate->name, &ran, cxt->diag);
	if (r)
		return r;
	say_all(cxt, "stopping", &running);
	return systemd_do(cxt->run, "stop", /* block= */ true, &running, cxt->diag);
}

void services_start_in_vain(struct gate_context *cxt, const struct held_gate *gate)
{
	_cleanup_strv_ struct strv ran = STRV_NULL, held = STRV_NULL;

	mark_ran(gate->name, &ran);
	for (size_t i = 0; i < ran.n_items; i++)
		if (held_has_unit(gate, ran.items[i]))
			strv_add(&held, ran.items[i]);
	if (systemd_runs())
		(void)systemd_do(cxt->run, "start", /* block= */ false, &held, NULL);
}
