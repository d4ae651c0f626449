/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The generated files of a system that stands: what is merely of an older layout is written again,
 * what a person changed is shown and left alone.
 */

#include "boot/files.h"
#include "plan/internal.h"

static bool has_every_disk(const struct planner *p)
{
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->state != DISK_OURS || !d->member ||
		    (layout_has_luks(p->layout, d->pool) && !d->member->luks.uuid))
			return false;
	return p->have->system.files_known && planner_pool(p, &p->layout->pool);
}

/* Their texts name every disk: while one is away, or is not in the layout, they would forget it. */
static bool can_be_known(const struct planner *p)
{
	return has_every_disk(p) && !pool_device_beyond(p->layout, p->have);
}

static void tell_beyond(struct planner *p)
{
	const char *node = has_every_disk(p) ? pool_device_beyond(p->layout, p->have) : NULL;

	if (!node)
		return;
	diag_warning(p->diag, "the pool '%s' has %s, which is of no disk of the layout: the files that the "
		     "machine starts by stay as they are", p->layout->pool.name, node);
	diag_hint(p->diag, POOL_BEYOND_HINT);
}

static void hint_at(struct planner *p, const struct boot_file *file, const char *have)
{
	_cleanup_free_ char *difference = boot_file_difference(have, file->text);

	str_trim_end(difference);
	diag_hint(p->diag, "eyrie boot write --overwrite %s writes it. The difference:\n%s",
		  file->path, difference);
}

static void leave(struct planner *p, const struct boot_file *file, const char *have)
{
	diag_warning(p->diag, "%s is not as the layout has it, and somebody changed it: it is left "
		     "alone", file->path);
	hint_at(p, file, have);
}

static void add_write(struct planner *p, const struct boot_file *file, const char *have)
{
	struct step *step = planner_add(p, STEP_FILE_WRITE, NULL, file->path, "%s %s",
					file->text ? "write" : "remove", file->path);

	step->details = boot_file_difference(have, file->text);
}

void plan_files(struct planner *p)
{
	_cleanup_boot_files_ struct boot_files files = {};

	tell_beyond(p);
	if (!can_be_known(p))
		return;
	boot_files(p->layout, p->have, &files);
	for (size_t i = 0; i < files.n_items; i++) {
		const struct boot_file *file = &files.items[i];
		const char *have = observed_file(p->have, file->path);

		if (boot_file_is_of_person(file, have))
			leave(p, file, have);
		else if (boot_file_state(file, have) != BOOT_FILE_SAME)
			add_write(p, file, have);
	}
}

bool plan_outdates_images(const struct planner *p)
{
	_cleanup_boot_files_ struct boot_files files = {};

	if (!planner_has(p, STEP_FILE_WRITE, NULL))
		return false;
	boot_files(p->layout, p->have, &files);
	for (size_t i = 0; i < files.n_items; i++)
		if (files.items[i].in_image && planner_has(p, STEP_FILE_WRITE, files.items[i].path))
			return true;
	return false;
}

/* The way back that boot write can go: with the layout that the machine goes by. */
static void refuse_overwriting(struct planner *p, const struct boot_file *file, const char *have,
			       const char *is)
{
	_cleanup_free_ char *difference = boot_file_difference(have, file->text);

	str_trim_end(difference);
	planner_refuse(p, "%s was changed by somebody, and must be written", file->path);
	diag_hint(p->diag, "put unlock: %s back into the layout; then eyrie boot write --overwrite %s "
		  "takes the change out, and the machine can be moved. The difference:\n%s", is,
		  file->path, difference);
}

bool plan_may_write_files(struct planner *p, const char *is)
{
	_cleanup_boot_files_ struct boot_files files = {};
	const char *node = has_every_disk(p) ? pool_device_beyond(p->layout, p->have) : NULL;
	bool may = true;

	if (node) {
		planner_refuse(p, "the pool '%s' has %s, which is of no disk of the layout: the machine would "
			       "not open it in another way", p->layout->pool.name, node);
		diag_hint(p->diag, POOL_BEYOND_HINT);
		return false;
	}
	if (!can_be_known(p))
		return true;
	boot_files(p->layout, p->have, &files);
	for (size_t i = 0; i < files.n_items; i++) {
		const struct boot_file *file = &files.items[i];
		const char *have = observed_file(p->have, file->path);

		if (!boot_file_is_of_person(file, have))
			continue;
		if (boot_file_outlives_move(file, have)) {
			leave(p, file, have);
			continue;
		}
		refuse_overwriting(p, file, have, is);
		may = false;
	}
	return may;
}
