/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/internal.h"

static const struct {
	const char *name;
	unsigned flags;
} kinds[] = {
#define STEP(kind, name, flags) { name, flags },
#include "plan/step.def"
#undef STEP
};

static const char *const kind_names[] = {
#define STEP(kind, name, flags) name,
#include "plan/step.def"
#undef STEP
	NULL,
};

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field step_fields[] = {
	{ "step", FIELD_CHOICE, AT(step, kind), .choices = kind_names },
	{ "disk", FIELD_STRING, AT(step, disk) },
	{ "pool", FIELD_STRING, AT(step, pool) },
	{ "object", FIELD_STRING, AT(step, object) },
	{ "value", FIELD_STRING, AT(step, value) },
	{ "text", FIELD_STRING, AT(step, text) },
	{ "details", FIELD_STRING, AT(step, details) },
	{ "destroys", FIELD_STRING, AT(step, destroys) },
	{ "consent-missing", FIELD_BOOL, AT(step, consent_missing) },
};
const struct record record_step = RECORD(step, step_fields);

static const struct field plan_fields[] = {
	{ "steps", FIELD_RECORDS, AT(plan, steps), .record = &record_step },
};
const struct record record_plan = RECORD(plan, plan_fields);

unsigned step_flags(const struct step *step)
{
	return kinds[step->kind].flags;
}

const char *step_name(unsigned kind)
{
	return kinds[kind].name;
}

size_t plan_count_consents_missing(const struct plan *plan)
{
	size_t n = 0;

	FOR_EACH_ITEM(struct step, step, &plan->steps)
		n += step->consent_missing;
	return n;
}

struct plan *plan_free(struct plan *plan)
{
	if (plan)
		record_deinit(&record_plan, plan);
	free(plan);
	return NULL;
}

struct step *planner_add_in(struct planner *p, const struct layout_pool *pool,
			    enum step_kind kind, const char *object, const char *format, ...)
{
	struct step *step = list_add(&p->plan->steps, &record_step);
	va_list ap;

	step->kind = kind;
	step->pool = str_dup(pool->name);
	step->object = str_dup(object);
	va_start(ap, format);
	step->text = str_vprintf(format, ap);
	va_end(ap);
	return step;
}

struct step *planner_add(struct planner *p, enum step_kind kind, const char *disk,
			 const char *object, const char *format, ...)
{
	struct step *step = list_add(&p->plan->steps, &record_step);
	va_list ap;

	step->kind = kind;
	step->disk = str_dup(disk);
	step->object = str_dup(object);
	va_start(ap, format);
	step->text = str_vprintf(format, ap);
	va_end(ap);
	return step;
}

bool planner_has(const struct planner *p, enum step_kind kind, const char *object)
{
	FOR_EACH_ITEM(struct step, step, &p->plan->steps)
		if (step->kind == kind && (!object || streq(step->object, object)))
			return true;
	return false;
}

void planner_refuse(struct planner *p, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)diag_verror(p->diag, 0, format, ap);
	va_end(ap);
	p->refused = true;
}

/* The root's pool being there. False when what is in it must be looked at first. */
static bool plan_root_pool(struct planner *p)
{
	if (layout_has_luks(p->layout, &p->layout->pool))
		return plan_members(p);
	if (plan_raw_pool(p, &p->layout->pool))
		return !p->refused;
	if (!p->refused)
		(void)planner_add(p, STEP_LOOK_AGAIN, NULL, NULL,
				  "look at what is inside, and plan the rest");
	return false;
}

static bool runs_from(const struct observed_pool *pool)
{
	FOR_EACH_ITEM(struct observed_dataset, dataset, &pool->datasets)
		if (streq(dataset->mounted, "/"))
			return true;
	return false;
}

int plan_check_place(const struct layout *layout, const struct observed *have, const char *target,
		     struct diag *diag)
{
	const struct observed_pool *pool = pool_of_set(layout, have, layout->pool.name);
	int r;

	if (!pool || (pool->altroot ? streq(pool->altroot, target) : runs_from(pool)))
		return 0;
	if (pool->altroot)
		r = diag_error(diag, -EBUSY, "the pool '%s' is imported below %s, and this works below %s",
			       pool->name, pool->altroot, target);
	else
		r = diag_error(diag, -EBUSY, "the pool '%s' is imported, and this system does not run "
			       "from it", pool->name);
	diag_hint(diag, "zpool export %s; it is imported below %s then", pool->name, target);
	return r;
}

int plan_make(const struct layout *layout, const struct observed *have,
	      const struct plan_options *options, struct plan **ret, struct diag *diag)
{
	_cleanup_(plan_freep) struct plan *plan = mem_alloc(sizeof(*plan));
	struct planner p = { .layout = layout, .have = have, .options = options, .plan = plan,
			     .diag = diag };
	bool more;

	p.disks = mem_alloc(layout->disks.n_items * sizeof(*p.disks));
	plan_disks(&p);
	if (!p.refused) {
		planner_check_esps(&p);
		more = plan_root_pool(&p);
		if (more)
			more = plan_pools(&p);
		if (more)
			plan_system(&p);
	}
	FOR_EACH_PLANNED(d, &p)
		free(d->found);
	free(p.disks);
	if (p.refused)
		return -EINVAL;
	*ret = take_ptr(plan);
	return 0;
}
