/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which drills a layout has, and what each of them must show. Pure. */

#include "rehearse/drill.h"

#define INSTALL_DEADLINE 1800u
#define BOOT_DEADLINE	 600u /* far above what emulation needs: a late answer is still one */

#define KEY_DEVICE "keyfile" /* under /dev/mapper */
#define REJOIN_UNIT "eyrie-rejoin.service"
#define ENVIRONMENT "before" /* the name of one */

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
	unsigned n = 0;

	FOR_EACH_MEMBER_DISK(disk, layout)
		n++;
	return n;
}

static bool is_peer(const struct layout *layout)
{
	return layout->encryption.unlock == UNLOCK_PEER;
}

/* Who opens it waits for late disks, and asks again after a wrong passphrase. */
static bool is_opened_by_eyrie(const struct layout *layout)
{
	return is_peer(layout) || layout->encryption.unlock == UNLOCK_NATIVE;
}

/* A start with all disks, of which everything is right. */
static struct drill_start *add_start(struct drill *drill, const struct layout *layout)
{
	const struct layout_dataset *root = layout_root(layout);
	struct drill_start *start;

	drill->starts = mem_grow(drill->starts, drill->n_starts, sizeof(*drill->starts));
	start = &drill->starts[drill->n_starts++];
	start->bios = layout->firmware == FIRMWARE_BIOS;
	start->expect = (struct expectation){
		.n_prompts = 1,
		.root = str_printf("%s/%s", layout->pool.name, root ? root->name : ""),
		.pool = str_dup(layout->pool.name),
		.n_healthy = count_members(layout),
		.closed = layout->encryption.unlock == UNLOCK_KEYSTORE ? KEY_DEVICE : NULL,
	};
	return start;
}

/* A disk without which the root's pool is DEGRADED: not so when it lacks a cache or a spare. */
static bool holds_data(const struct layout *layout, const char *disk)
{
	const struct layout_vdev *vdev = NULL;
	enum vdev_kind kind;

	if (layout_pool_of(layout, disk, &vdev) != &layout->pool)
		return false;
	kind = layout_vdev_kind(vdev);
	return kind != VDEV_CACHE && kind != VDEV_SPARE;
}

static void start_without(struct drill_start *start, const struct layout *layout,
			  const char *disk)
{
	strv_add(&start->without, disk);
	start->expect.degraded |= holds_data(layout, disk);
	start->expect.n_healthy -= layout_is_member(layout, disk);
}

/* It comes late, and all is well in the end. */
static void start_plug(struct drill_start *start, const struct layout *layout, const char *disk,
		       enum plug_when when)
{
	strv_add(&start->without, disk);
	start->plug = disk;
	start->when = when;
	if (when == PLUG_WHEN_UP)
		start->task = str_dup("whole");
	start->expect.n_healthy = count_members(layout);
	start->expect.degraded = false;
}

/* `pulled` is a disk that is not there, or NULL. */
static struct drill *add_boot(struct drills *drills, const struct layout *layout,
			      const char *pulled, const char *when)
{
	char *name = str_printf("%s%s%s", when, pulled ? pulled : "all disks",
				pulled ? " pulled" : "");
	struct drill *drill = add_drill(drills, DRILL_BOOT, name);
	struct drill_start *start = add_start(drill, layout);

	start->whole = !pulled;
	if (pulled)
		start_without(start, layout, pulled);
	return drill;
}

/* Run when it is named, or with --all. */
static struct drill *add_on_request(struct drills *drills, char *name)
{
	struct drill *drill = add_drill(drills, DRILL_BOOT, name);

	drill->on_request = true;
	return drill;
}

/* A layout may name its caches first: layout_check() has seen that some vdev holds the data. */
static const struct layout_vdev *first_vdev(const struct layout *layout)
{
	const struct layout_vdev *vdev = layout->pool.vdevs.items;

	while (vdev_kinds[layout_vdev_kind(vdev)].class)
		vdev++;
	return vdev;
}

/*
 * Members of the first vdev. A drill that lets one of them run alone, or come late, takes its
 * first and its last one.
 */
static const struct strv *first_mirror(const struct layout *layout)
{
	return layout_vdev_disks(first_vdev(layout));
}

static struct drill_start *add_alone(struct drill *drill, const struct layout *layout,
				     const char *alone, const char *seen)
{
	const struct strv *mirror = first_mirror(layout);
	struct drill_start *start = add_start(drill, layout);

	for (size_t i = 0; i < mirror->n_items; i++)
		if (!streq(mirror->items[i], alone))
			start_without(start, layout, mirror->items[i]);
	start->expect.seen = str_dup(seen);
	return start;
}

static void add_late(struct drills *drills, const struct layout *layout, const char *disk)
{
	struct drill *drill = add_on_request(drills, str_printf("%s late", disk));

	start_plug(add_start(drill, layout), layout, disk, PLUG_AFTER_PASSPHRASE);
}

static void add_after_login(struct drills *drills, const struct layout *layout, const char *disk)
{
	struct drill *drill = add_on_request(drills, str_printf("%s after login", disk));

	start_plug(add_start(drill, layout), layout, disk, PLUG_WHEN_UP);
}

static void add_wrong_passphrase(struct drills *drills, const struct layout *layout)
{
	struct drill *drill = add_on_request(drills, str_dup("wrong passphrase twice"));
	struct drill_start *start = add_start(drill, layout);

	start->n_wrong = 2;
	start->expect.n_prompts = 3;
}

/* Of a vdev that can do without several disks, as many as it can. */
static void add_most_pulled(struct drills *drills, const struct layout *layout)
{
	const struct layout_vdev *vdev = first_vdev(layout);
	const struct strv *disks = layout_vdev_disks(vdev);
	size_t n = MIN_OF(vdev_kinds[layout_vdev_kind(vdev)].parity, disks->n_items - 1);
	_cleanup_strv_ struct strv pulled = STRV_NULL;
	_cleanup_free_ char *names = NULL;
	struct drill_start *start;
	struct drill *drill;

	if (n < 2)
		return;
	for (size_t i = 0; i < n; i++)
		strv_add(&pulled, disks->items[i]);
	names = strv_join(&pulled, ", ");
	drill = add_on_request(drills, str_printf("%s pulled", names));
	start = add_start(drill, layout);
	for (size_t i = 0; i < n; i++)
		start_without(start, layout, disks->items[i]);
}

/* Each ran alone: they are not merged, the one used last goes on, and one is given up. */
static void add_each_alone(struct drills *drills, const struct layout *layout)
{
	const struct strv *mirror = first_mirror(layout);
	const char *first = mirror->items[0], *last = mirror->items[mirror->n_items - 1];
	struct drill *drill = add_on_request(drills, str_dup("each alone"));
	struct drill_start *start;

	(void)add_alone(drill, layout, first, "1");
	(void)add_alone(drill, layout, last, "2");
	for (unsigned i = 0; i < 2; i++) {
		start = add_start(drill, layout);
		start->expect.seen = str_dup(i ? "2 3 4" : "2 3");
		strv_add(&start->expect.may_fail, REJOIN_UNIT);
		if (i) {
			start->task = str_printf("discard %s", first);
			continue;
		}
		start->expect.degraded = true;
		start->expect.n_healthy -= 1;
	}
}

/* Who was away is there first, and who went on comes within the window. */
static void add_stale_first(struct drills *drills, const struct layout *layout)
{
	const struct strv *mirror = first_mirror(layout);
	const char *first = mirror->items[0];
	struct drill *drill = add_on_request(drills, str_dup("stale disk first"));
	struct drill_start *start;

	(void)add_alone(drill, layout, first, "1");
	start = add_start(drill, layout);
	start_plug(start, layout, first, PLUG_AFTER_PASSPHRASE);
	start->task = str_dup("whole");
	start->expect.seen = str_dup("1 2");
}

/* The system breaks after a boot environment was made of it, which is one entry away in the menu. */
static void add_environment(struct drills *drills, const struct layout *layout, bool other)
{
	const char *root = layout_root(layout)->name, *slash = strrchr(root, '/');
	struct drill *drill = add_on_request(drills, str_printf("%sboot environment",
								other ? "BIOS: " : ""));
	struct drill_start *start = add_start(drill, layout);

	start->task = str_dup("environment " ENVIRONMENT);
	start->expect.seen = str_dup("1");
	start = add_start(drill, layout);
	start->whole = true;
	start->second_entry = true;
	start->expect.seen = str_dup("1 2");
	free(start->expect.root);
	start->expect.root = str_printf("%s/%.*s" ENVIRONMENT, layout->pool.name,
					slash ? (int)(slash + 1 - root) : 0, root);
	for (size_t i = 0; other && i < drill->n_starts; i++)
		drill->starts[i].bios = true;
}

/* With all disks, and without each of them; `other`: by the other of two kinds of firmware. */
static void add_boots(struct drills *drills, const struct layout *layout, bool other)
{
	size_t first = drills->n_items;

	(void)add_boot(drills, layout, NULL, other ? "BIOS: " : "");
	FOR_EACH_DISK(disk, layout)
	(void)add_boot(drills, layout, disk->name, other ? "BIOS: " : "");
	for (size_t i = first; other && i < drills->n_items; i++)
		drills->items[i].starts[0].bios = true;
}

/* What eyrie-unlock stands for. */
static void add_unlock(struct drills *drills, const struct layout *layout)
{
	const struct strv *mirror = first_mirror(layout);
	const char *last = mirror->items[mirror->n_items - 1];

	add_late(drills, layout, last);
	if (is_peer(layout))
		add_after_login(drills, layout, last);
	add_wrong_passphrase(drills, layout);
	if (!is_peer(layout))
		return;
	if (vdev_kinds[layout_vdev_kind(first_vdev(layout))].parity == SIZE_MAX)
		add_each_alone(drills, layout);
	if (mirror->n_items == 2)
		add_stale_first(drills, layout);
}

void drills_make(const struct layout *layout, struct drills *ret)
{
	*ret = (struct drills){};
	(void)add_drill(ret, DRILL_INSTALL, str_dup("install"));
	if (!layout_has_system(layout))
		return;
	add_boots(ret, layout, false);
	if (layout->firmware == FIRMWARE_BOTH)
		add_boots(ret, layout, true);
	add_most_pulled(ret, layout);
	add_environment(ret, layout, false);
	if (layout->firmware == FIRMWARE_BOTH)
		add_environment(ret, layout, true);
	if (is_opened_by_eyrie(layout))
		add_unlock(ret, layout);
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

static void start_deinit(struct drill_start *start)
{
	strv_deinit(&start->without);
	free(start->task);
	free(start->expect.root);
	free(start->expect.pool);
	free(start->expect.seen);
	strv_deinit(&start->expect.may_fail);
}

static void drill_deinit(struct drill *drill)
{
	free(drill->name);
	for (size_t i = 0; i < drill->n_starts; i++)
		start_deinit(&drill->starts[i]);
	free(drill->starts);
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

char *drill_judge_install(const struct report *report)
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

static char *judge_memory(const struct expectation *expect, const struct report *report)
{
	if (!expect->seen || streq(report->seen, expect->seen))
		return NULL;
	return str_printf("its root remembers the starts %s instead of %s",
			  report->seen ? report->seen : "of nobody", expect->seen);
}

static bool has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = text ? strstr(text, word) : NULL; at; at = strstr(at + 1, word))
		if ((at == text || at[-1] == ' ') && (!at[n] || at[n] == ' '))
			return true;
	return false;
}

static char *judge_closed(const struct expectation *expect, const struct report *report)
{
	if (!expect->closed)
		return NULL;
	if (!report->mapped || has_word(report->mapped, expect->closed))
		return str_printf("/dev/mapper/%s is still open", expect->closed);
	if (report->jobs && strstr(report->jobs, expect->closed))
		return str_printf("somebody waits for %s: %s", expect->closed, report->jobs);
	return NULL;
}

char *drill_judge_start(const struct drill_start *start, const struct report *report,
			unsigned n_prompts)
{
	const struct expectation *expect = &start->expect;
	char *reason;

	if (!report->done)
		return str_dup("the machine did not come up");
	reason = judge_prompts(expect, n_prompts);
	if (!reason)
		reason = judge_root(expect, report);
	if (!reason)
		reason = judge_pool(expect, report);
	if (!reason)
		reason = judge_memory(expect, report);
	if (!reason)
		reason = judge_units(expect, report);
	if (!reason)
		reason = judge_closed(expect, report);
	return reason;
}
