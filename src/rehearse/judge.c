/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which drills a layout has, and what each of them must show. Pure. */

#include "rehearse/drill.h"

#define INSTALL_DEADLINE 1800u
#define BOOT_DEADLINE                                                                      \
	600u /* far above what emulation needs: a late answer is still one                 \
	      */

static struct drill *add_drill(struct drills *drills, enum drill_kind kind, char *name)
{
	struct drill *drill;

	drills->items = mem_grow(drills->items, drills->n_items, sizeof(*drills->items));
	drill = &drills->items[drills->n_items++];
	drill->name = name;
	drill->kind = kind;
	drill->deadline = kind == DRILL_INSTALL ? INSTALL_DEADLINE : BOOT_DEADLINE;
	return drill;
}

static unsigned count_members(const struct layout *layout)
{
	const struct layout_vdev *vdevs = layout->pool.vdevs.items;
	size_t n = 0;

	for (size_t i = 0; i < layout->pool.vdevs.n_items; i++)
		n += vdevs[i].mirror.n_items;
	return (unsigned)n;
}

/* `pulled` is a disk that is not there, or NULL. */
static struct drill *add_boot(struct drills *drills, const struct layout *layout,
			      const char *pulled, const char *when)
{
	char *name = str_printf("%s%s%s", when, pulled ? pulled : "all disks",
				pulled ? " pulled" : "");
	struct drill *drill = add_drill(drills, DRILL_BOOT, name);
	const struct layout_dataset *root = layout_root(layout);
	bool member = pulled && layout_is_member(layout, pulled);

	if (pulled)
		strv_add(&drill->without, pulled);
	drill->whole = !pulled;
	drill->expect = (struct expectation){
		.n_prompts = 1,
		.root = str_printf("%s/%s", layout->pool.name, root ? root->name : ""),
		.pool = str_dup(layout->pool.name),
		.degraded = member,
		.n_healthy = count_members(layout) - member,
	};
	return drill;
}

void drills_make(const struct layout *layout, struct drills *ret)
{
	*ret = (struct drills){};
	(void)add_drill(ret, DRILL_INSTALL, str_dup("install"));
	if (!layout_has_system(layout))
		return;
	(void)add_boot(ret, layout, NULL, "");
	FOR_EACH_DISK(disk, layout)
	(void)add_boot(ret, layout, disk->name, "");
}

void drills_add_cuts(struct drills *drills, const struct layout *layout, unsigned n_cuts)
{
	_cleanup_free_ char *when = str_printf("after %u cuts: ", n_cuts);
	struct drill *drill = add_drill(drills, DRILL_INSTALL,
					str_printf("install, %u power cuts", n_cuts));

	drill->n_cuts = n_cuts;
	if (!layout_has_system(layout))
		return;
	add_boot(drills, layout, NULL, when)->after_cuts = true;
	FOR_EACH_DISK(disk, layout)
	{
		drill = add_boot(drills, layout, disk->name, when);
		drill->after_cuts = true;
		drill->on_request = true;
	}
}

static void drill_deinit(struct drill *drill)
{
	free(drill->name);
	strv_deinit(&drill->without);
	free(drill->expect.root);
	free(drill->expect.pool);
	strv_deinit(&drill->expect.may_fail);
}

void drills_deinit(struct drills *drills)
{
	for (size_t i = 0; i < drills->n_items; i++)
		drill_deinit(&drills->items[i]);
	free(drills->items);
	*drills = (struct drills){};
}

void drill_outcome_deinit(struct drill_outcome *outcome)
{
	free(outcome->reason);
	free(outcome->log);
}

/* expectations: each gives NULL, or the sentence that says what is wrong */

static char *judge_install(const struct report *report)
{
	if (report->failure)
		return str_printf("the appliance gave up: %s", report->failure);
	if (!report->up)
		return str_dup("the appliance did not come up");
	if (report->exit < 0)
		return str_dup("the installation did not end");
	if (report->exit)
		return str_printf("the installation ended with exit status %d",
				  report->exit);
	return NULL;
}

static char *judge_prompts(const struct expectation *expect, unsigned n_prompts)
{
	if (n_prompts == expect->n_prompts)
		return NULL;
	return str_printf("the passphrase was asked for %u times instead of %u", n_prompts,
			  expect->n_prompts);
}

static char *judge_root(const struct expectation *expect, const struct report *report)
{
	if (streq(report->root, expect->root))
		return NULL;
	return str_printf("/ is on %s instead of %s",
			  report->root ? report->root : "something unknown", expect->root);
}

static char *judge_pool(const struct expectation *expect, const struct report *report)
{
	const char *health = expect->degraded ? "DEGRADED" : "ONLINE";
	_cleanup_free_ char *names = strv_join(&report->unhealthy, ", ");

	if (!streq(report->pool, expect->pool))
		return str_printf("the pool is %s instead of %s",
				  report->pool ? report->pool : "not there", expect->pool);
	if (report->n_healthy != expect->n_healthy)
		return str_printf(
			"%u of %u members of the pool are healthy instead of %u%s%s%s",
			report->n_healthy, report->n_members, expect->n_healthy,
			is_empty(names) ? "" : " (not healthy: ", names,
			is_empty(names) ? "" : ")");
	if (!streq(report->health, health))
		return str_printf("the pool is %s instead of %s", report->health, health);
	return NULL;
}

static char *judge_units(const struct expectation *expect, const struct report *report)
{
	_cleanup_strv_ struct strv wrong = STRV_NULL;
	_cleanup_free_ char *names = NULL;

	for (size_t i = 0; i < report->failed.n_items; i++)
		if (!strv_has(&expect->may_fail, report->failed.items[i]))
			strv_add(&wrong, report->failed.items[i]);
	if (!wrong.n_items)
		return NULL;
	names = strv_join(&wrong, ", ");
	return str_printf("units failed: %s", names);
}

char *drill_judge(const struct drill *drill, const struct report *report,
		  unsigned n_prompts)
{
	char *reason;

	if (drill->kind == DRILL_INSTALL)
		return judge_install(report);
	if (!report->done)
		return str_dup("the machine did not come up");
	reason = judge_prompts(&drill->expect, n_prompts);
	if (!reason)
		reason = judge_root(&drill->expect, report);
	if (!reason)
		reason = judge_pool(&drill->expect, report);
	if (!reason)
		reason = judge_units(&drill->expect, report);
	return reason;
}
