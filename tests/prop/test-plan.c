/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is true of every plan, tried on thousands of random layouts and machines.
 *
 * EYRIE_SEED=N begins with another seed, EYRIE_CASES=N tries N cases for each property. A case
 * that fails says its own seed: EYRIE_SEED=THAT EYRIE_CASES=1 is that case alone.
 */

#include <stdio.h>
#include <sys/random.h>

#include "boot/environment.h"
#include "boot/files.h"
#include "boot/text.h"
#include "layout/paths.h"
#include "plan/name.h"
#include "test.h"
#include "world.h"

static uint64_t seed;
static uint64_t n_cases = 1500;

struct one {
	uint64_t seed;
	struct random r;
	struct layout *layout;
	struct world world;
	struct strv wipe;
	bool started; /* since its images were made */
	struct strv story; /* what was done to it, for whoever reads that it failed */
};

static void one_begin(struct one *one, uint64_t i)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	*one = (struct one){ .seed = seed + i, .r = { seed + i } };
	text = random_layout(&one->r);
	if (layout_parse("random", text, &one->layout, &diag))
		fail_msg("seed %llu: %s\n%s", (unsigned long long)one->seed, diag.items[0].text,
			 text);
	world_init(&one->world, one->layout, &one->wipe, random_machine(&one->r, one->layout));
}

static void one_end(struct one *one)
{
	world_deinit(&one->world);
	one->layout = layout_free(one->layout);
	strv_deinit(&one->wipe);
	strv_deinit(&one->story);
}

/* `name` is ended before the next one begins, and when the loop is over. */
static bool one_more(struct one *one, uint64_t *i)
{
	if (one->layout) {
		one_end(one);
		++*i;
	}
	if (*i == n_cases)
		return false;
	one_begin(one, *i);
	return true;
}

#define FOR_EACH_CASE(name)                                                                    \
	uint64_t name##_i = 0;                                                                 \
	struct one name = {};                                                                  \
	while (one_more(&name, &name##_i))

static void one_fail(const struct one *one, const char *format, ...) _printf_(2, 3);

static void one_fail(const struct one *one, const char *format, ...)
{
	_cleanup_free_ char *text = NULL, *layout = layout_dump(one->layout);
	_cleanup_free_ char *story = strv_join(&one->story, "\n#   ");
	_cleanup_free_ char *world = world_text(&one->world);
	va_list ap;

	va_start(ap, format);
	text = str_vprintf(format, ap);
	va_end(ap);
	printf("# layout:\n%s\n# story:\n#   %s\n# machine: %s\n", layout, story, world);
	fail_msg("%s (EYRIE_SEED=%llu EYRIE_CASES=1)", text, (unsigned long long)one->seed);
}

static struct observed_disk *disk_of(const struct one *one, unsigned i)
{
	const struct layout_disk *disks = one->layout->disks.items;

	return observed_disk(one->world.have, disks[i % one->layout->disks.n_items].path);
}

/* Into a partition of others nothing is written that is not blank or known to be ours. */
static void expect_proven(const struct one *one, const struct step *step)
{
	FOR_EACH_DISK(want, one->layout)
	{
		const struct observed_disk *disk = observed_disk(one->world.have, want->path);
		const struct layout_pool *pool = layout_pool_of(one->layout, want->name, NULL);
		const struct observed_partition *bare =
			disk && disk->on ? disk->partitions.items : NULL;
		bool luks = layout_has_luks(one->layout, pool);

		if (!bare || partition_is_blank(bare) ||
		    !(luks ? step->kind == STEP_LUKS_FORMAT && streq(step->disk, want->name) :
			     step->kind == STEP_POOL_CREATE && streq(step->pool, pool->name)))
			continue;
		if (!luks || !find_partition(one->layout, disk, ROLE_MEMBER, want->name) ||
		    !partition_is_new(bare))
			one_fail(one, "'%s' writes over %s", step->text, bare->content);
	}
}

static void do_step(struct one *one, const struct step *step)
{
	expect_proven(one, step);
	strv_addf(&one->story, "%s: %s", step_name(step->kind), step->text);
	world_do(&one->world, step);
	one->started &= step->kind != STEP_INITRD;
}

/* What is torn there may be nobody's any more, and goes with consent. */
static void give_up_partitions(struct one *one)
{
	FOR_EACH_DISK(want, one->layout)
		if (layout_is_partition(want))
			strv_add(&one->wipe, want->name);
}

/* Carry out the first `n` steps of what would be done, in as many rounds as that takes. */
static void do_prefix(struct one *one, size_t n, bool tear)
{
	for (int round = 0; round < 8; round++) {
		_cleanup_(plan_freep) struct plan *plan = world_plan(&one->world, NULL);

		if (!plan || !plan->steps.n_items)
			return;
		FOR_EACH_ITEM(struct step, step, &plan->steps)
		{
			if (n--) {
				do_step(one, step);
				continue;
			}
			if (tear) {
				strv_addf(&one->story, "torn: %s", step->text);
				world_tear(&one->world, step, &one->r);
				give_up_partitions(one);
			}
			return;
		}
	}
}

static void cut_power(struct one *one)
{
	strv_add(&one->story, "the power is cut");
	world_cut_power(&one->world);
}

/* Somewhere between blank and finished. */
static void to_any_stage(struct one *one)
{
	do_prefix(one, random_below(&one->r, 60), random_one_in(&one->r, 2));
	if (random_one_in(&one->r, 2))
		cut_power(one);
}

static void expect_finished(struct one *one)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_(plan_freep) struct plan *plan = NULL;

	if (world_work(&one->world, &diag))
		one_fail(one, "the work is refused: %s", diag.n_items ? diag.items[0].text : "?");
	plan = world_plan(&one->world, NULL);
	if (!plan)
		one_fail(one, "refused after the work is done");
	if (plan->steps.n_items)
		one_fail(one, "not empty after the work is done: %s",
			 ((struct step *)plan->steps.items)->text);
}

/* Planning the modelled result of a plan gives an empty plan. */
static void test_result_of_a_plan_needs_no_plan(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_(plan_freep) struct plan *plan = world_plan(&one.world, NULL), *again = NULL;

		if (!plan || !plan->steps.n_items)
			one_fail(&one, "a blank machine has no plan");
		FOR_EACH_ITEM(struct step, step, &plan->steps)
			do_step(&one, step);
		again = world_plan(&one.world, NULL);
		if (!again || again->steps.n_items)
			one_fail(&one, "planned again: %s",
				 again ? ((struct step *)again->steps.items)->text : "refused");
	}
}

/* Cut after any step, in the middle of one, with or without the power: the end is the same. */
static void test_any_cut_converges(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		struct one straight;
		_cleanup_free_ char *end = NULL, *other = NULL;
		unsigned n_cuts = 1 + random_below(&one.r, 3);

		one_begin(&straight, one_i);
		expect_finished(&straight);
		for (unsigned i = 0; i < n_cuts; i++)
			to_any_stage(&one);
		expect_finished(&one);
		end = world_text(&straight.world);
		other = world_text(&one.world);
		if (!streq(end, other))
			one_fail(&one, "another end than without interruption: %s", end);
		one_end(&straight);
	}
}

/* Every prefix of one plan, not only random ones. */
static void test_every_prefix_converges(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < n_cases / 10; i++)
		for (size_t cut = 0;; cut++) {
			struct one one;
			_cleanup_(plan_freep) struct plan *plan = NULL;
			bool last;

			one_begin(&one, i);
			plan = world_plan(&one.world, NULL);
			last = cut >= plan->steps.n_items;
			do_prefix(&one, cut, false);
			if (cut % 2)
				cut_power(&one);
			expect_finished(&one);
			one_end(&one);
			if (last)
				break;
		}
}

static bool is_of_disk(const char *text, const struct observed_disk *disk)
{
	if (streq(text, disk->path) || strv_has(&disk->names, text))
		return true;
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		if (streq(text, partition->path) && !starts_with(partition->path, "/dev/lent"))
			return true;
	return false;
}

static bool is_stranger(const struct observed_disk *disk)
{
	return starts_with(disk->path, "/dev/stranger");
}

static char *strangers_text(const struct world *world)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	FOR_EACH_ITEM(struct observed_disk, disk, &world->have->disks)
	{
		struct json_object *json;

		if (!is_stranger(disk))
			continue;
		json = record_to_json(&record_observed_disk, disk);
		strbuf_add(&b, json_object_to_json_string(json));
		json_object_put(json);
	}
	return strbuf_take(&b);
}

static void expect_named(struct one *one, const struct step *step)
{
	if (step->disk && !layout_disk(one->layout, step->disk))
		one_fail(one, "'%s' is of the disk '%s'", step->text, step->disk);
	FOR_EACH_ITEM(struct observed_disk, disk, &one->world.have->disks)
		if (is_stranger(disk) &&
		    (is_of_disk(step->object, disk) || strstr(step->text, disk->path)))
			one_fail(one, "'%s' touches %s", step->text, disk->path);
}

/* No step is about a disk that the layout does not name, and none changes one. */
static void test_strangers_are_not_touched(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_free_ char *before = strangers_text(&one.world), *after = NULL;

		to_any_stage(&one);
		for (int round = 0; round < 4; round++) {
			_cleanup_(plan_freep) struct plan *plan = world_plan(&one.world, NULL);

			if (!plan)
				one_fail(&one, "refused");
			FOR_EACH_ITEM(struct step, step, &plan->steps)
			{
				expect_named(&one, step);
				do_step(&one, step);
			}
		}
		after = strangers_text(&one.world);
		if (!streq(before, after))
			one_fail(&one, "changed: %s", after);
	}
}

static const struct step *first_step_of(const struct plan *plan, const char *disk)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (streq(step->disk, disk))
			return step;
	return NULL;
}

/*
 * What others put on a named disk goes only by a WIPE, before anything else is done to that
 * disk, and that lacks a consent unless --wipe names this very disk; nothing of others is
 * destroyed by any other step.
 */
static void test_content_of_others_goes_only_with_consent(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		const struct layout_disk *disks = one.layout->disks.items;
		size_t n = one.layout->disks.n_items, n_missing = 0, n_foreign = 0;
		bool *foreign = mem_alloc(n * sizeof(*foreign));
		_cleanup_(plan_freep) struct plan *plan = NULL;

		for (size_t i = 0; i < n; i++) {
			foreign[i] = random_one_in(&one.r, 2);
			n_foreign += foreign[i];
			if (foreign[i])
				random_foreign(&one.r, disk_of(&one, (unsigned)i));
			if (random_one_in(&one.r, 2))
				strv_add(&one.wipe, disks[i].name);
			n_missing += foreign[i] && !strv_has(&one.wipe, disks[i].name);
		}
		plan = world_plan(&one.world, NULL);
		if (!plan)
			one_fail(&one, "refused");
		for (size_t i = 0; i < n; i++) {
			const struct step *step = first_step_of(plan, disks[i].name);

			if (!foreign[i] && step && step->kind == STEP_WIPE)
				one_fail(&one, "blank, and wiped: %s", step->text);
			if (foreign[i] && (!step || step->kind != STEP_WIPE || !step->destroys))
				one_fail(&one, "of others, and first: %s", step ? step->text : "nothing");
			if (foreign[i] && step->consent_missing == strv_has(&one.wipe, disks[i].name))
				one_fail(&one, "consent is wrong: %s", step->text);
		}
		if (plan_count_consents_missing(plan) != n_missing)
			one_fail(&one, "%zu consents are missing", plan_count_consents_missing(plan));
		FOR_EACH_ITEM(struct step, step, &plan->steps)
			n_foreign -= step->kind == STEP_WIPE;
		if (n_foreign)
			one_fail(&one, "not one WIPE for each");
		if (!n_missing)
			expect_finished(&one);
		else if (world_work(&one.world, NULL) != -EEXIST)
			one_fail(&one, "carried out without consent");
		free(foreign);
	}
}

static const char *make_partition_untouchable(struct one *one, struct observed_disk *disk)
{
	struct observed_partition *partition = disk->partitions.items;

	switch (random_below(&one->r, 7)) {
	case 0:
		partition->mounted = str_dup("swap");
		return "mounted";
	case 1:
		partition->held = str_dup("md0");
		return "held";
	case 2:
		str_set(&partition->content, "ambiguous");
		disk->ambiguous = true;
		return "ambiguous";
	case 3:
		partition->unreadable = disk->unreadable = true;
		return "unreadable";
	case 4:
		disk->read_only = true;
		return "read-only";
	case 5:
		free(disk->on);
		disk->on = str_dup(disk_of(one, 0)->path);
		return "a partition of a disk of the layout";
	default:
		disk->size = 200 * MIB;
		return "too small";
	}
}

static const char *make_untouchable(struct one *one, struct observed_disk *disk)
{
	if (disk->on)
		return make_partition_untouchable(one, disk);
	switch (random_below(&one->r, 8)) {
	case 0:
		disk->mounted = str_dup("/home");
		return "mounted";
	case 1:
		disk->held = str_dup("md0");
		return "held";
	case 2:
		disk->ambiguous = true;
		return "ambiguous";
	case 3:
		disk->unreadable = true;
		return "unreadable";
	case 4:
		disk->read_only = true;
		return "read-only";
	case 5:
	case 6:
		disk->table = str_dup("gpt");
		(void)list_add(&disk->partitions, &record_observed_partition);
		if (random_one_in(&one->r, 2))
			((struct observed_partition *)disk->partitions.items)->mounted =
				str_dup("/");
		else
			((struct observed_partition *)disk->partitions.items)->held =
				str_dup("dm-3");
		return "with a partition in use";
	default:
		disk->size = 200 * MIB;
		return "too small";
	}
}

/* In use, ambiguous, unreadable, read-only, too small: refused, and --wipe does not help. */
static void test_untouchable_is_refused(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		unsigned i = random_below(&one.r, 6);
		struct observed_disk *disk = disk_of(&one, i);
		const char *what;
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		_cleanup_(plan_freep) struct plan *plan = NULL;

		if (random_one_in(&one.r, 2))
			str_set(disk->on ? &((struct observed_partition *)disk->partitions.items)->content :
					   &disk->content, "ext4");
		what = make_untouchable(&one, disk);
		FOR_EACH_DISK(want, one.layout)
			strv_add(&one.wipe, want->name);
		strv_add(&one.story, what);
		plan = world_plan(&one.world, &diag);
		if (plan || !diag.n_errors)
			one_fail(&one, "planned for a disk that is %s", what);
	}
}

static void make_unusable(struct one *one, struct observed_disk *disk)
{
	if (random_one_in(&one->r, 2))
		disk->read_only = true;
	else
		disk->unreadable = true;
	strv_addf(&one->story, "%s is %s", disk->path,
		  disk->read_only ? "read-only" : "unreadable");
}

static char *disk_text(const struct observed_disk *disk)
{
	struct json_object *json = record_to_json(&record_observed_disk, disk);
	char *text = str_dup(json_object_to_json_string(json));

	json_object_put(json);
	return text;
}

/*
 * A disk of this set that is read-only or unreadable, at any stage: refused, or no step is about it;
 * never when the machine stands.
 */
static void test_unusable_of_ours_is_left_alone(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		bool made = random_one_in(&one.r, 2);
		const struct layout_disk *want;
		struct observed_disk *disk;
		_cleanup_free_ char *before = NULL, *after = NULL;
		_cleanup_(plan_freep) struct plan *plan = NULL;

		if (made)
			expect_finished(&one);
		else
			to_any_stage(&one);
		want = list_at(&one.layout->disks, &record_layout_disk,
			       random_below(&one.r, (unsigned)one.layout->disks.n_items));
		disk = observed_disk(one.world.have, want->path);
		make_unusable(&one, disk);
		before = disk_text(disk);
		plan = world_plan(&one.world, NULL);
		if (made && (!plan || plan->steps.n_items))
			one_fail(&one, "%s", plan ? "a step for a machine that stands" : "refused");
		if (!plan)
			continue;
		if (first_step_of(plan, want->name))
			one_fail(&one, "%s", first_step_of(plan, want->name)->text);
		FOR_EACH_ITEM(struct step, step, &plan->steps)
			if (step->kind == STEP_POOL_CREATE &&
			    streq(step->pool, layout_pool_of(one.layout, want->name, NULL)->name))
				one_fail(&one, "made without a disk: %s", step->text);
		after = disk_text(disk);
		if (!streq(before, after))
			one_fail(&one, "changed: %s", after);
	}
}

static char *plan_text(const struct plan *plan)
{
	struct json_object *json;
	char *text;

	if (!plan)
		return str_dup("refused");
	json = record_to_json(&record_plan, plan);
	text = str_dup(json_object_to_json_string(json));
	json_object_put(json);
	return text;
}

static void shuffle_disks(struct random *r, struct observed *have)
{
	struct observed_disk *disks = have->disks.items;

	for (size_t i = have->disks.n_items; i > 1; i--) {
		size_t k = random_below(r, (unsigned)i);
		struct observed_disk kept = disks[i - 1];

		disks[i - 1] = disks[k];
		disks[k] = kept;
	}
}

/* Twice the same, findings too; the order in which disks were found plays no part. */
static void test_planning_is_pure(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_diag_ struct diag diag_a = DIAG_NULL, diag_b = DIAG_NULL;
		_cleanup_(plan_freep) struct plan *a = NULL, *b = NULL, *c = NULL;
		_cleanup_free_ char *before = NULL, *after = NULL, *x = NULL, *y = NULL, *z = NULL;
		_cleanup_free_ char *layout = layout_dump(one.layout), *layout_after = NULL;

		to_any_stage(&one);
		if (random_one_in(&one.r, 3))
			random_foreign(&one.r, disk_of(&one, random_below(&one.r, 6)));
		before = world_text(&one.world);
		a = world_plan(&one.world, &diag_a);
		after = world_text(&one.world);
		b = world_plan(&one.world, &diag_b);
		layout_after = layout_dump(one.layout);
		x = plan_text(a);
		y = plan_text(b);
		if (strcmp(x, y) != 0 || diag_a.n_items != diag_b.n_items)
			one_fail(&one, "two plans differ: %s, %s", x, y);
		for (size_t i = 0; i < diag_a.n_items; i++)
			if (!streq(diag_a.items[i].text, diag_b.items[i].text))
				one_fail(&one, "two findings differ: %s", diag_a.items[i].text);
		if (strcmp(before, after) != 0 || strcmp(layout, layout_after) != 0)
			one_fail(&one, "planning changed what it was given: %s", before);
		shuffle_disks(&one.r, one.world.have);
		c = world_plan(&one.world, NULL);
		z = plan_text(c);
		if (strcmp(x, z) != 0)
			one_fail(&one, "another plan for another order of disks: %s, %s", x, z);
	}
}

static bool makes_anew(const struct step *step)
{
	return step->kind <= STEP_SETTLE || step->kind == STEP_SWITCH || step->kind == STEP_POOL_CREATE ||
	       step->kind == STEP_SWAP_FORMAT || step->kind == STEP_UNPACK ||
	       step->kind == STEP_DATASET_CREATE || step->kind == STEP_VOLUME_CREATE;
}

static void empty_partition(struct observed_partition *partition)
{
	struct observed_luks none = {};

	str_set(&partition->content, NULL);
	str_set(&partition->pool, NULL);
	str_set(&partition->held, NULL);
	str_set(&partition->luks.uuid, NULL);
	str_set(&partition->luks.label, NULL);
	str_set(&partition->luks.subsystem, NULL);
	str_set(&partition->luks.mapped, NULL);
	str_set(&partition->luks.inside, NULL);
	str_set(&partition->luks.inside_label, NULL);
	str_set(&partition->luks.inside_uuid, NULL);
	partition->luks = none;
}

static void damage_partition(struct one *one, struct observed_disk *disk)
{
	struct observed_partition *partition = disk->partitions.items;

	switch (random_below(&one->r, 4)) {
	case 0:
		strv_add(&one->story, "the partition is blank");
		empty_partition(partition);
		break;
	case 1:
		strv_add(&one->story, "the partition is of others");
		empty_partition(partition);
		random_foreign(&one->r, disk);
		break;
	case 2:
		strv_add(&one->story, "the LUKS header has no key slot");
		partition->luks.n_keyslots = 0;
		break;
	default:
		strv_add(&one->story, "the partition is gone");
		str_set(&disk->path, "/dev/gone");
		strv_deinit(&disk->names);
	}
}

static void damage(struct one *one, struct observed_disk *disk)
{
	const struct layout_disk *disks = one->layout->disks.items;
	struct observed_partition *esp = NULL, *member = NULL, *data = NULL;

	if (disk->on) {
		damage_partition(one, disk);
		return;
	}
	for (size_t i = 0; i < one->layout->disks.n_items && !member && !data; i++) {
		esp = find_partition(one->layout, disk, layout_boots_uefi(one->layout) ? ROLE_ESP : ROLE_BOOT,
				     disks[i].name);
		member = find_partition(one->layout, disk, ROLE_MEMBER, disks[i].name);
		data = find_partition(one->layout, disk, ROLE_DATA, disks[i].name);
	}
	if (data) {
		strv_add(&one->story, "the partition of a pool is empty");
		str_set(&data->content, NULL);
		return;
	}
	switch (random_below(&one->r, 6)) {
	case 0:
		strv_add(&one->story, "the ESP, or the part of /boot, is gone");
		str_set(&esp->content, NULL);
		str_set(&esp->array, NULL);
		esp->esp.readable = false;
		break;
	case 1:
		strv_add(&one->story, "the LUKS header is not readable");
		member->luks.state = LUKS_UNREADABLE;
		break;
	case 2:
		strv_add(&one->story, "the LUKS header is gone");
		member->luks.state = LUKS_NONE;
		str_set(&member->content, NULL);
		break;
	case 3:
		strv_add(&one->story, "the LUKS header has no key slot");
		member->luks.n_keyslots = 0;
		break;
	case 4:
		strv_add(&one->story, "the LUKS header is of others");
		str_set(&member->luks.subsystem, "eyrie:other");
		break;
	default:
		strv_add(&one->story, "the disk is gone");
		str_set(&disk->path, "/dev/gone");
		strv_deinit(&disk->names);
	}
}

/* What is done and is damaged, or not there today, is never made again; the others go on. */
static void test_done_is_never_made_again(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		expect_finished(&one);
		if (random_one_in(&one.r, 2))
			cut_power(&one);
		damage(&one, disk_of(&one, random_below(&one.r, 6)));
		for (int round = 0; round < 4; round++) {
			_cleanup_(plan_freep) struct plan *plan = world_plan(&one.world, NULL);

			if (!plan)
				one_fail(&one, "refused");
			FOR_EACH_ITEM(struct step, step, &plan->steps)
			{
				if (makes_anew(step))
					one_fail(&one, "made again: %s", step->text);
				do_step(&one, step);
			}
		}
	}
}

static struct observed_kernel *rebuild_image(struct one *one)
{
	struct observed_kernel *kernel = one->world.have->system.kernels.items;

	free(kernel->hash);
	kernel->hash = str_printf("hash%u", random_below(&one->r, 1000000));
	strv_addf(&one->story, "the initramfs is made anew: %s", kernel->hash);
	return kernel;
}

/* Kernels go onto every disk but one that cannot be used, whatever it is that one lacks. */
static void test_others_are_kept_in_step(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_(plan_freep) struct plan *plan = NULL;
		struct observed_disk *sick;
		size_t n = 0;

		expect_finished(&one);
		if (!layout_has_system(one.layout) || !layout_boots_uefi(one.layout))
			continue;
		(void)rebuild_image(&one);
		sick = disk_of(&one, 0);
		if (random_one_in(&one.r, 2)) {
			make_unusable(&one, sick);
		} else {
			strv_add(&one.story, "its table lost a partition");
			str_set(&((struct observed_partition *)sick->partitions.items)->name, NULL);
		}
		plan = world_plan(&one.world, NULL);
		if (!plan)
			one_fail(&one, "refused");
		FOR_EACH_ITEM(struct step, step, &plan->steps)
			n += step->kind == STEP_ESP_SYNC;
		if (n != role_count(one.layout, ROLE_ESP) - 1)
			one_fail(&one, "kernels go onto %zu disks", n);
	}
}

/* What the machine starts by does not wait for pools that it can start without. */
static void test_a_further_pool_keeps_nobody(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_(plan_freep) struct plan *plan = NULL;
		size_t n = 0;

		expect_finished(&one);
		if (!layout_has_system(one.layout) || !layout_boots_uefi(one.layout))
			continue;
		(void)rebuild_image(&one);
		FOR_EACH_ITEM(struct layout_pool, pool, &one.layout->pools)
			world_tear(&one.world, &(struct step){ .kind = STEP_POOL_CREATE, .pool = pool->name },
				   &one.r);
		one.world.options.root_alone = true;
		plan = world_plan(&one.world, NULL);
		if (!plan)
			one_fail(&one, "refused");
		FOR_EACH_ITEM(struct step, step, &plan->steps)
		{
			n += step->kind == STEP_ESP_SYNC;
			if (step->kind == STEP_POOL_IMPORT || step->kind == STEP_LOOK_AGAIN)
				one_fail(&one, "%s", step->text);
		}
		if (n != role_count(one.layout, ROLE_ESP))
			one_fail(&one, "kernels go onto %zu disks", n);
	}
}

static void swap_disk(struct one *one)
{
	struct observed_disk *disk = disk_of(one, random_below(&one->r, 6));
	struct observed_disk fresh;

	if (disk->on) {
		strv_add(&one->story, "a partition is another one");
		empty_partition(disk->partitions.items);
		if (random_one_in(&one->r, 2))
			random_foreign(&one->r, disk);
		return;
	}
	fresh = (struct observed_disk){ .path = take_ptr(disk->path), .names = disk->names,
					.size = 8 * GIB };

	disk->names = (struct strv)STRV_NULL;
	record_deinit(&record_observed_disk, disk);
	*disk = fresh;
	strv_add(&one->story, "a disk is swapped for another one");
	if (random_one_in(&one->r, 2))
		random_foreign(&one->r, disk);
}

/*
 * A disk swapped for another at any stage: refused, or each step of the plan is about something
 * that is there, which the model would not survive otherwise.
 */
static void test_swapped_disk(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		FOR_EACH_DISK(want, one.layout)
			strv_add(&one.wipe, want->name);
		to_any_stage(&one);
		swap_disk(&one);
		for (int round = 0; round < 4; round++) {
			_cleanup_(plan_freep) struct plan *plan = world_plan(&one.world, NULL);

			if (!plan)
				break;
			FOR_EACH_ITEM(struct step, step, &plan->steps)
			{
				const struct layout_disk *want =
					step->disk ? layout_disk(one.layout, step->disk) : NULL;
				struct observed_disk *disk =
					want ? observed_disk(one.world.have, want->path) : NULL;

				if (want && (!disk || (step->kind > STEP_TABLE &&
						       !find_partition(one.layout, disk, ROLE_MEMBER,
								       want->name) &&
						       !find_partition(one.layout, disk, ROLE_DATA, want->name))))
					one_fail(&one, "'%s' has nothing to work on", step->text);
				do_step(&one, step);
			}
		}
	}
}

/* Steps go from below to above: what a step needs is there when its turn comes. */
static void test_order_of_steps(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_(plan_freep) struct plan *plan = NULL;
		bool pool;

		to_any_stage(&one);
		plan = world_plan(&one.world, NULL);
		if (!plan)
			one_fail(&one, "refused");
		FOR_EACH_ITEM(struct step, step, &plan->steps)
		{
			const struct layout_disk *want =
				step->disk ? layout_disk(one.layout, step->disk) : NULL;
			struct observed_partition *member =
				want && step->kind > STEP_TABLE ?
					find_partition(one.layout, observed_disk(one.world.have, want->path),
						       ROLE_MEMBER, want->name) : NULL;

			pool = observed_pool(one.world.have, one.layout->pool.name) != NULL;
			if (step->kind > STEP_LOOK_AGAIN && step->kind != STEP_ESP_SYNC &&
			    step->kind != STEP_GRUB_INSTALL && !pool)
				one_fail(&one, "no pool yet: %s", step->text);
			if (step->kind == STEP_LUKS_OPEN &&
			    (member->luks.state == LUKS_NONE || partition_is_new(member)))
				one_fail(&one, "not whole yet: %s", step->text);
			if (step->kind == STEP_LUKS_FILLED && !member->luks.mapped)
				one_fail(&one, "not open: %s", step->text);
			if (step->kind == STEP_LUKS_FORMAT && member && !partition_is_new(member))
				one_fail(&one, "not new: %s", step->text);
			if (step->kind == STEP_LUKS_FORMAT && pool)
				one_fail(&one, "the pool exists: %s", step->text);
			do_step(&one, step);
		}
	}
}

/* systemd-boot tells the entry by its file; here `in_menu` is that of the root. */
static void start_by(struct one *one, const char *hash)
{
	struct observed_system *system = &one->world.have->system;
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;

	environments_make(one->layout, one->world.have, NULL, &list);
	free(system->started_by);
	system->started_by = boot_entry_name(environment_in_menu(&list, &list.items[0]),
					     system->running, hash);
	strv_addf(&one->story, "started by %s", system->started_by);
}

/* The machine starts from its disks, by the image that /boot has, or by one that it had before. */
static void restart(struct one *one, const char *hash, bool said)
{
	struct observed_system *system = &one->world.have->system;
	const struct observed_kernel *kernel = system->kernels.items;

	str_set(&system->running, kernel->version);
	str_set(&system->started_by, NULL);
	free(system->boot_id);
	system->boot_id = str_printf("start %u", random_below(&one->r, 1000000));
	one->started = true;
	strv_add(&one->story, "it is started anew");
	if (said)
		start_by(one, hash ? hash : kernel->hash);
}

/* Another unlock: in the layout, of those that its partitions allow. False: there is none. */
static bool change_unlock(struct one *one)
{
	struct layout_encryption *e = &one->layout->encryption;
	unsigned other = (e->unlock + 1 + random_below(&one->r, 2)) % 3;

	if (e->unlock == UNLOCK_NATIVE ||
	    (other == UNLOCK_KEYSTORE && !layout_key_size(one->layout)))
		return false;
	strv_addf(&one->story, "now unlock: %s", layout_unlock_name(other));
	e->unlock = other;
	return true;
}

/* And in no other way, but for `before`: what it had before is there, too. */
static void expect_opens_as_said(struct one *one, bool before)
{
	unsigned unlock = one->layout->encryption.unlock;

	FOR_EACH_MEMBER_DISK(want, one->layout)
	{
		struct observed_partition *member = find_partition(one->layout,
			observed_disk(one->world.have, want->path), ROLE_MEMBER, want->name);

		bool peer = member->luks.generation > 0, key = member->luks.key_slot > 0;

		if ((unlock == UNLOCK_PEER && !peer) || (unlock == UNLOCK_KEYSTORE && !key) ||
		    (!before && (peer + key != (unlock != UNLOCK_SHARED))))
			one_fail(one, "'%s' does not open as the layout says", want->name);
	}
}

static bool has_come_up(const struct one *one)
{
	const struct observed_system *system = &one->world.have->system;
	const struct observed_kernel *kernel = system->kernels.items;

	return system->running &&
	       (system->started_by ? boot_came_up(system->running, system->started_by,
						  kernel->version, kernel->hash) :
				     one->started);
}

/*
 * The system that is on the disks always finds a way in that is still there: what the old
 * unlock: needs goes only when files and images are those of the new one, and it was started by one.
 */
static void expect_a_way_in(struct one *one, const struct step *step)
{
	struct observed_pool *pool = observed_pool(one->world.have, one->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&one->layout->pool, layout_root(one->layout)->name);
	struct observed_dataset *dataset = pool ? observed_dataset(pool, root) : NULL;
	const char *unlock = dataset ? pair_get(&dataset->properties, NAME_UNLOCK_PROPERTY) : NULL;
	const char *state = dataset ? pair_get(&dataset->properties, NAME_STATE_PROPERTY) : NULL;

	if (step->kind != STEP_PEER_REMOVE && step->kind != STEP_KEY_REMOVE)
		return;
	if (!has_come_up(one))
		one_fail(one, "'%s' before it was started in the new way", step->text);
	if (!streq(unlock, layout_unlock_name(one->layout->encryption.unlock)) ||
	    !starts_with(state, STATE_DONE))
		one_fail(one, "'%s' while the system is of unlock: %s, %s", step->text, unlock,
			 state);
}

#define OWN_MOUNT "nas:/media /media nfs nofail 0 0\n"

static void rewrite_file(struct one *one, const char *path, const char *text)
{
	FOR_EACH_ITEM(struct observed_file, file, &one->world.have->system.files)
	{
		_cleanup_free_ char *was = NULL;

		if (!streq(file->path, path))
			continue;
		was = take_ptr(file->text);
		file->text = str_printf("%s%s", streq(path, PATH_FSTAB) ? was : "", text);
		strv_addf(&one->story, "%s is another", path);
	}
}

/* What the package of mdadm wrote stands in nobody's way, and what a person mounts is kept. */
static void use_files(struct one *one)
{
	rewrite_file(one, PATH_MDADM_CONF, "HOMEHOST <system>\nMAILADDR root\n"
		     "# This configuration was auto-generated on a day by mkconf\n");
	rewrite_file(one, PATH_FSTAB, OWN_MOUNT);
}

/* Nobody reads a key from a device that has no header. */
static void expect_key_to_read(struct one *one, const struct step *step)
{
	_cleanup_free_ char *uuid = name_array_uuid(one->layout->id, ROLE_KEY);
	const struct observed_array *array = observed_array(one->world.have, uuid);

	if (step->kind == STEP_KEY_ENROLL && array->luks.state != LUKS_WHOLE)
		one_fail(one, "the key device is not made: %s", step->text);
}

/* What there is to do, as often as it takes; nothing is made again, and a way in stays. */
static void move(struct one *one)
{
	for (int round = 0; round < 4; round++) {
		_cleanup_(plan_freep) struct plan *plan = world_plan(&one->world, NULL);

		if (!plan)
			one_fail(one, "refused");
		FOR_EACH_ITEM(struct step, step, &plan->steps)
		{
			if (makes_anew(step) && step->kind != STEP_SWITCH &&
			    step->kind != STEP_ARRAY_CREATE && step->kind != STEP_KEY_FORMAT &&
			    step->kind != STEP_SETTLE)
				one_fail(one, "made again: %s", step->text);
			expect_a_way_in(one, step);
			expect_key_to_read(one, step);
			do_step(one, step);
		}
	}
	expect_finished(one);
}

/*
 * Moving between shared, keystore and peer, cut anywhere, ends where the layout says: at once what it
 * needs is there, and what was needed before goes when the machine was started in the new way.
 */
static void test_moving_converges(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		bool used = random_one_in(&one.r, 2), said;
		_cleanup_free_ char *before = NULL;

		expect_finished(&one);
		if (layout_has_system(one.layout) && used)
			use_files(&one);
		said = layout_boots_uefi(one.layout) && random_one_in(&one.r, 2);
		if (!layout_has_system(one.layout) || !change_unlock(&one))
			continue;
		before = str_dup(((struct observed_kernel *)one.world.have->system.kernels.items)->hash);
		if (random_one_in(&one.r, 2))
			restart(&one, NULL, said);
		if (random_one_in(&one.r, 2))
			to_any_stage(&one);
		if (random_one_in(&one.r, 4) && change_unlock(&one) && random_one_in(&one.r, 2))
			to_any_stage(&one);
		move(&one);
		expect_opens_as_said(&one, true);
		if (said && random_one_in(&one.r, 2)) {
			strv_add(&one.story, "it fell back");
			restart(&one, before, said);
			move(&one);
			expect_opens_as_said(&one, true);
		}
		restart(&one, NULL, said);
		if (random_one_in(&one.r, 2))
			do_prefix(&one, random_below(&one.r, 4), false);
		move(&one);
		expect_opens_as_said(&one, false);
		if (used && !strstr(observed_file(one.world.have, PATH_FSTAB), OWN_MOUNT))
			one_fail(&one, "what a person wrote into fstab is gone");
	}
}

/* As far as the step KEY_FORMAT, and into it: the header is wiped, or half written. */
static void tear_key_format(struct one *one)
{
	_cleanup_free_ char *uuid = name_array_uuid(one->layout->id, ROLE_KEY);

	for (int round = 0; round < 4; round++) {
		_cleanup_(plan_freep) struct plan *plan = world_plan(&one->world, NULL);

		if (!plan)
			one_fail(one, "refused");
		FOR_EACH_ITEM(struct step, step, &plan->steps)
		{
			struct observed_array *array;

			do_step(one, step);
			if (step->kind != STEP_KEY_FORMAT)
				continue;
			array = observed_array(one->world.have, uuid);
			array->luks.n_keyslots = 0;
			str_set(&array->luks.label, NULL);
			str_set(&array->luks.subsystem, NULL);
			array->luks.state = random_one_in(&one->r, 2) ? LUKS_NONE : LUKS_UNREADABLE;
			str_set(&array->content, NULL);
			strv_add(&one->story, "torn");
			return;
		}
	}
	one_fail(one, "the key device is not made");
}

/* A key device that is made anew on settled partitions, and cut off in the middle of that. */
static void test_key_device_is_made_after_a_cut(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		struct layout_encryption *e = &one.layout->encryption;

		if (e->unlock == UNLOCK_NATIVE || !layout_key_size(one.layout) ||
		    !layout_has_system(one.layout))
			continue;
		e->unlock = UNLOCK_KEYSTORE;
		e->key_device_size = layout_key_size(one.layout);
		expect_finished(&one);
		e->unlock = random_one_in(&one.r, 2) ? UNLOCK_PEER : UNLOCK_SHARED;
		move(&one);
		restart(&one, NULL, false);
		move(&one);
		expect_opens_as_said(&one, false);
		e->unlock = UNLOCK_KEYSTORE;
		tear_key_format(&one);
		if (random_one_in(&one.r, 2))
			cut_power(&one);
		move(&one);
		expect_opens_as_said(&one, true);
	}
}

static void expect_files_as_said(struct one *one)
{
	_cleanup_boot_files_ struct boot_files files = {};

	boot_files(one->layout, one->world.have, &files);
	for (size_t i = 0; i < files.n_items; i++) {
		const char *have = observed_file(one->world.have, files.items[i].path);

		if (!streq(have, files.items[i].text))
			one_fail(one, "%s is not as the layout says: %s", files.items[i].path,
				 have ? have : "it is not there");
	}
}

/* What the layout says of files changed: cut anywhere, they and the images follow. */
static void test_files_follow_the_layout(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		expect_finished(&one);
		if (!layout_has_system(one.layout))
			continue;
		one.layout->boot.window++;
		one.layout->boot.device_timeout++;
		strv_add(&one.story, "other numbers in the layout");
		to_any_stage(&one);
		for (int round = 0; round < 4; round++) {
			_cleanup_(plan_freep) struct plan *plan = world_plan(&one.world, NULL);

			if (!plan)
				one_fail(&one, "refused");
			FOR_EACH_ITEM(struct step, step, &plan->steps)
				do_step(&one, step);
		}
		expect_finished(&one);
		expect_files_as_said(&one);
	}
}

/* What a person wrote into a generated file is not written over, whatever the layout says. */
static void test_work_of_a_person_stays(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_free_ char *text = NULL;
		struct observed_file *file;

		expect_finished(&one);
		if (!layout_has_system(one.layout))
			continue;
		file = list_at(&one.world.have->system.files, &record_observed_file,
			       random_below(&one.r, (unsigned)one.world.have->system.files.n_items));
		if (streq(file->path, PATH_UNLOCK_CONF))
			continue;
		text = random_one_in(&one.r, 2) ? str_printf("%s# mine\n", file->text) :
						  str_dup("# all mine\n");
		str_set(&file->text, text);
		strv_addf(&one.story, "%s was changed", file->path);
		one.layout->boot.device_timeout++;
		for (int round = 0; round < 4; round++) {
			_cleanup_(plan_freep) struct plan *plan = world_plan(&one.world, NULL);

			if (!plan)
				one_fail(&one, "refused");
			FOR_EACH_ITEM(struct step, step, &plan->steps)
			{
				if (step->kind == STEP_FILE_WRITE &&
				    streq(observed_file(one.world.have, step->object), text))
					one_fail(&one, "written over: %s", step->object);
				do_step(&one, step);
			}
		}
	}
}

static void add_environment(struct one *one)
{
	struct observed_pool *pool = observed_pool(one->world.have, one->layout->pool.name);
	_cleanup_free_ char *folder = environment_folder(one->layout);
	struct observed_dataset *clone = list_add(&pool->datasets, &record_observed_dataset);

	clone->name = str_printf("%s/before", folder);
	clone->type = str_dup("filesystem");
	pair_set(&clone->properties, "mountpoint", "/");
	pair_set(&clone->properties, NAME_STATE_PROPERTY, STATE_DONE);
	strv_add(&one->story, "a boot environment");
	if (!random_one_in(&one->r, 2))
		return;
	pair_set(&pool->properties, "bootfs", clone->name);
	strv_add(&one->story, "it is activated");
}

/* Every disk that starts the machine starts the environment, or none does. */
static void expect_in_menus(struct one *one, const char *dataset, bool wanted)
{
	FOR_EACH_MEMBER_DISK(want, one->layout)
	{
		struct observed_disk *disk = observed_disk(one->world.have, want->path);
		struct observed_partition *esp =
			disk ? find_partition(one->layout, disk, ROLE_ESP, want->name) : NULL;
		bool has = false;

		if (!esp)
			continue;
		FOR_EACH_ITEM(struct observed_entry, entry, &esp->esp.entries)
			has |= environment_is_started_by(entry->options, dataset, false);
		if (has != wanted)
			one_fail(one, "disk '%s' %s", want->name,
				 has ? "starts what is gone" : "does not start the environment");
	}
}

/* Environments that come, are activated and go: menus follow them, and bootfs stays as it was set. */
static void test_environments_converge(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		_cleanup_free_ char *folder = NULL, *dataset = NULL, *bootfs = NULL;
		struct observed_pool *pool;

		expect_finished(&one);
		if (!layout_has_system(one.layout) || !layout_boots_uefi(one.layout))
			continue;
		add_environment(&one);
		folder = environment_folder(one.layout);
		dataset = str_printf("%s/before", folder);
		pool = observed_pool(one.world.have, one.layout->pool.name);
		bootfs = str_dup(pair_get(&pool->properties, "bootfs"));
		to_any_stage(&one);
		expect_finished(&one);
		expect_in_menus(&one, dataset, true);
		pool = observed_pool(one.world.have, one.layout->pool.name);
		if (!streq(pair_get(&pool->properties, "bootfs"), bootfs))
			one_fail(&one, "an activation was undone");

		pair_set(&observed_dataset(pool, dataset)->properties, NAME_STATE_PROPERTY,
			 STATE_CLONING);
		strv_add(&one.story, "it is half-made");
		to_any_stage(&one);
		expect_finished(&one);
		expect_in_menus(&one, dataset, false);
	}
}

static const struct observed_entry *only_entry(struct one *one, const struct observed_esp *esp,
					       const char *hash)
{
	_cleanup_free_ char *root = name_dataset(&one->layout->pool, layout_root(one->layout)->name);
	const struct observed_entry *found = NULL;

	FOR_EACH_ITEM(struct observed_entry, entry, &esp->entries)
		if (streq(entry->hash, hash) && environment_is_started_by(entry->options, root, true)) {
			if (found)
				one_fail(one, "two entries of %s", hash);
			found = entry;
		}
	return found;
}

/* On each disk: the image of /boot, counted or not, and the one before it, or none. */
static void expect_images(struct one *one, const char *now, bool counting, const char *before)
{
	FOR_EACH_MEMBER_DISK(want, one->layout)
	{
		struct observed_disk *disk = observed_disk(one->world.have, want->path);
		struct observed_partition *esp = find_partition(one->layout, disk, ROLE_ESP, want->name);
		const struct observed_entry *entry, *other;

		if (!esp)
			continue;
		entry = only_entry(one, &esp->esp, now);
		if (!entry || entry->counting != counting || boot_version_is_before(entry->version))
			one_fail(one, "disk '%s': %s is %s", want->name, now,
				 !entry ? "not there" : entry->counting ? "counted" : "not counted");
		other = before ? only_entry(one, &esp->esp, before) : NULL;
		if (before && (!other || other->counting || !boot_version_is_before(other->version)))
			one_fail(one, "disk '%s': %s is not what is fallen back to", want->name, before);
	}
}

static void expect_no_before(struct one *one)
{
	FOR_EACH_MEMBER_DISK(want, one->layout)
	{
		struct observed_partition *esp = find_partition(one->layout,
			observed_disk(one->world.have, want->path), ROLE_ESP, want->name);

		if (!esp)
			continue;
		FOR_EACH_ITEM(struct observed_entry, entry, &esp->esp.entries)
			if (boot_version_is_before(entry->version))
				one_fail(one, "disk '%s' still has %s", want->name, entry->file);
	}
}

static void set_root(struct one *one, const char *name)
{
	((struct layout_dataset *)layout_root(one->layout))->name = str_dup(name);
}

static void set_kernel(struct one *one, const char *hash)
{
	struct observed_kernel *kernel = one->world.have->system.kernels.items;

	free(kernel->hash);
	kernel->hash = str_dup(hash);
}

/* Its own kernels come with its root, or /boot keeps them for it. */
static void start_another(struct one *one, const char *root, const char *hash)
{
	struct observed_system *system = &one->world.have->system;
	const struct observed_kernel *kernel = system->kernels.items;
	struct observed_stored *stored;

	set_root(one, root);
	if (!role_wants_array(one->layout, ROLE_BOOT)) {
		set_kernel(one, hash);
		return;
	}
	stored = list_add(&system->stored, &record_observed_stored);
	stored->name = environment_current(one->layout);
	record_copy(&record_observed_kernel, list_add(&stored->kernels, &record_observed_kernel), kernel);
	free(((struct observed_kernel *)stored->kernels.items)->hash);
	((struct observed_kernel *)stored->kernels.items)->hash = str_dup(hash);
}

/* Another environment is started and left again: what the first one falls back to stays. */
static void visit_another(struct one *one, const char *hash, bool said)
{
	const char *pool_name = one->layout->pool.name;
	struct observed_pool *pool = observed_pool(one->world.have, pool_name);
	struct observed_kernel *kernel = one->world.have->system.kernels.items;
	_cleanup_free_ char *folder = environment_folder(one->layout);
	_cleanup_free_ char *dataset = str_printf("%s/before", folder);
	_cleanup_free_ char *root = layout_root(one->layout)->name;
	_cleanup_free_ char *first = name_dataset(&one->layout->pool, root);
	_cleanup_free_ char *image = str_dup(kernel->hash);

	pair_set(&observed_dataset(pool, dataset)->properties, NAME_UNLOCK_PROPERTY,
		 layout_unlock_name(one->layout->encryption.unlock));
	start_another(one, dataset + strlen(pool_name) + 1, hash);
	if (said)
		start_by(one, hash);
	do_prefix(one, random_below(&one->r, 12), false);
	expect_finished(one);
	expect_in_menus(one, first, true);

	free(layout_root(one->layout)->name);
	set_root(one, root);
	if (!role_wants_array(one->layout, ROLE_BOOT))
		set_kernel(one, image);
	if (said)
		start_by(one, hash);
	expect_finished(one);
	expect_images(one, image, said, said ? hash : NULL);
}

/*
 * An initramfs that is made anew is on trial beside the one that the machine was started by, however
 * often it is made; when it came up, it is alone. Without a boot loader that says which one that was,
 * it is so at once.
 */
static void test_new_image_is_on_trial(void **state)
{
	(void)state;
	FOR_EACH_CASE(one)
	{
		struct observed_system *system = &one.world.have->system;
		bool said = !random_one_in(&one.r, 4);
		struct observed_kernel *kernel;
		_cleanup_free_ char *before = NULL;
		unsigned when;

		expect_finished(&one);
		if (!layout_has_system(one.layout) || !layout_boots_uefi(one.layout))
			continue;
		when = random_below(&one.r, 3);
		if (when == 0)
			add_environment(&one);
		expect_finished(&one);
		kernel = system->kernels.items;
		system->running = str_dup(kernel->version);
		before = str_dup(kernel->hash);
		if (said)
			start_by(&one, before);
		expect_finished(&one);
		for (unsigned n = 1 + random_below(&one.r, 3); n; n--) {
			kernel = rebuild_image(&one);
			do_prefix(&one, random_below(&one.r, 12), false);
		}
		expect_finished(&one);
		expect_images(&one, kernel->hash, said, said ? before : NULL);
		if (when == 1)
			add_environment(&one);
		expect_finished(&one);
		expect_images(&one, kernel->hash, said, said ? before : NULL);
		if (when < 2 && random_one_in(&one.r, 2))
			visit_another(&one, before, said);

		kernel = system->kernels.items;
		if (said)
			start_by(&one, kernel->hash);
		do_prefix(&one, random_below(&one.r, 12), false);
		expect_finished(&one);
		expect_images(&one, kernel->hash, false, NULL);
		expect_no_before(&one);
	}
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	uint64_t value;

	return text && str_to_u64(text, &value) == 0 ? value : otherwise;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_result_of_a_plan_needs_no_plan),
		cmocka_unit_test(test_any_cut_converges),
		cmocka_unit_test(test_environments_converge),
		cmocka_unit_test(test_new_image_is_on_trial),
		cmocka_unit_test(test_every_prefix_converges),
		cmocka_unit_test(test_strangers_are_not_touched),
		cmocka_unit_test(test_content_of_others_goes_only_with_consent),
		cmocka_unit_test(test_untouchable_is_refused),
		cmocka_unit_test(test_unusable_of_ours_is_left_alone),
		cmocka_unit_test(test_planning_is_pure),
		cmocka_unit_test(test_done_is_never_made_again),
		cmocka_unit_test(test_others_are_kept_in_step),
		cmocka_unit_test(test_a_further_pool_keeps_nobody),
		cmocka_unit_test(test_swapped_disk),
		cmocka_unit_test(test_order_of_steps),
		cmocka_unit_test(test_moving_converges),
		cmocka_unit_test(test_key_device_is_made_after_a_cut),
		cmocka_unit_test(test_files_follow_the_layout),
		cmocka_unit_test(test_work_of_a_person_stays),
	};
	uint64_t random = 0;

	(void)!getrandom(&random, sizeof(random), 0);
	seed = number_from("EYRIE_SEED", random >> 16);
	n_cases = number_from("EYRIE_CASES", n_cases);
	printf("# EYRIE_SEED=%llu, %llu cases of each property\n", (unsigned long long)seed,
	       (unsigned long long)n_cases);
	fflush(stdout);
	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
