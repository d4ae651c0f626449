/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * md arrays: /boot for GRUB, and the key device.
 *
 * An array is made while the partitions of its role are new on every disk, and its first settled
 * partition says that it was made whole: from then on it is started, completed and waited for, and
 * never made again. It is ours when its UUID is the one that follows from the set id.
 */

#include "plan/internal.h"

struct parts {
	enum role role;
	const char *uuid;
	const struct observed_array *have; /* NULL: the kernel knows no part of it */
	size_t n_new, n_settled, n_missing; /* disks */
	size_t n_there; /* settled ones that belong to the array */
};

/* Disks that have a part of it. */
#define FOR_EACH_LEG(d, p, role)                                                               \
	FOR_EACH_PLANNED_MEMBER(d, p)                                                          \
		if (!role_wanted((p)->layout, d->want->name, role))                            \
			continue;                                                              \
		else

static const struct observed_partition *part_of(const struct planner *p, const struct planned_disk *d,
						enum role role)
{
	return d->state == DISK_OURS ? find_partition(p->layout, d->have, role, d->want->name) : NULL;
}

const struct observed_array *planner_array(const struct planner *p, enum role role)
{
	_cleanup_free_ char *uuid = name_array_uuid(p->layout->id, role);

	return observed_array(p->have, uuid);
}

static void refuse_foreign(struct planner *p, const struct planned_disk *d, enum role role)
{
	planner_refuse(p, "disk '%s': its %s is a part of an md array of another machine",
		       d->want->name, roles[role].title);
	diag_hint(p->diag, "mdadm --examine %s shows which; eyrie neither uses nor erases it",
		  part_of(p, d, role)->path);
}

/* A settled partition is a part of our array, or it is left alone. */
static void count_settled(struct planner *p, const struct planned_disk *d, struct parts *parts)
{
	const struct observed_partition *part = part_of(p, d, parts->role);

	parts->n_settled++;
	if (streq(part->array, parts->uuid)) {
		parts->n_there++;
		return;
	}
	if (part->array) {
		refuse_foreign(p, d, parts->role);
		return;
	}
	diag_warning(p->diag, "disk '%s': its %s is no part of an array any more", d->want->name,
		     roles[parts->role].title);
}

/* A blank disk that gets a table by this plan; beside a pool it gets none. */
static bool is_fresh(const struct planner *p, const struct planned_disk *d)
{
	return d->state == DISK_BLANK && planner_has(p, STEP_TABLE, d->have->path);
}

static bool is_new(const struct planner *p, const struct planned_disk *d, enum role role)
{
	const struct observed_partition *part = part_of(p, d, role);

	return is_fresh(p, d) || (part && partition_is_new(part));
}

/* A pool is made after the arrays, and so they were made, too. */
static bool pool_was_made(const struct planner *p)
{
	if (planner_pool(p, &p->layout->pool))
		return true;
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		_cleanup_free_ char *label_new = name_label_new(d->want->name);
		const struct observed_partition *member = d->state == DISK_OURS ? d->member : NULL;

		if (member && !partition_is_new(member) &&
		    (!layout_has_luks(p->layout, &p->layout->pool) ||
		     (member->luks.label && !streq(member->luks.label, label_new))))
			return true;
	}
	return false;
}

/* Adding it again was cut off before it had its name back. */
static bool is_taken_back(const struct planner *p, const struct planned_disk *d,
			  const struct parts *parts)
{
	const struct observed_partition *part = part_of(p, d, parts->role);

	return part && streq(part->array, parts->uuid) && pool_was_made(p);
}

static void count(struct planner *p, struct parts *parts)
{
	FOR_EACH_LEG(d, p, parts->role)
		if (is_new(p, d, parts->role) && !is_taken_back(p, d, parts))
			parts->n_new++;
		else if (part_of(p, d, parts->role))
			count_settled(p, d, parts);
		else
			parts->n_missing++;
}

static void add_settles(struct planner *p, enum role role)
{
	FOR_EACH_LEG(d, p, role)
		if (is_new(p, d, role))
			planner_settle(p, d, role);
}

static void add_key_format(struct planner *p)
{
	(void)planner_add(p, STEP_KEY_FORMAT, NULL, roles[ROLE_KEY].name,
			  "encrypt the key device, and fill it with random bytes");
}

static void add_creation(struct planner *p, const struct parts *parts)
{
	enum role role = parts->role;

	if (parts->n_missing) {
		if (planner_pool(p, &p->layout->pool))
			planner_refuse(p, "the %s wants every disk to be there when it is made",
				       roles[role].title);
		return;
	}
	(void)planner_add(p, STEP_ARRAY_CREATE, NULL, roles[role].name,
			  "mirror the %s over all disks (md RAID1)", roles[role].title);
	if (role == ROLE_BOOT)
		(void)planner_add(p, STEP_BOOT_FORMAT, NULL, roles[role].name,
				  "make %s on the /boot partition",
				  p->layout->boot.filesystem == BOOT_EXT2 ? "ext2" : "ext4");
	else
		add_key_format(p);
	add_settles(p, role);
}

static bool is_held_by(const struct observed_partition *part, const struct observed_array *array)
{
	return part->held && streq(part->held, array->path + strlen("/dev/"));
}

/* Starting an array takes in all that belong to it; one that runs has to be told. */
static bool is_outside(const struct planner *p, const struct planned_disk *d,
		       const struct parts *parts)
{
	const struct observed_partition *part = part_of(p, d, parts->role);

	if (!part)
		return is_fresh(p, d);
	if (!part->path)
		return false;
	if (!streq(part->array, parts->uuid))
		return partition_is_new(part);
	return parts->have && parts->have->active && !is_held_by(part, parts->have);
}

/*
 * A part that md gave up stays in the array, and has no place there. Which one it is md knows;
 * taking it back by itself would try a disk again that just failed.
 */
static void check_failed(struct planner *p, const struct parts *parts, size_t n_outside)
{
	const struct observed_array *array = parts->have;
	size_t n_in = parts->n_there - n_outside;

	if (!array || !array->active || array->syncing || array->n_missing > array->n_disks ||
	    array->n_disks - array->n_missing >= n_in)
		return;
	diag_warning(p->diag, "the mirror of the %s has given up a part that is there: a disk failed",
		     roles[parts->role].title);
	diag_hint(p->diag, "mdadm --detail %s says which one is faulty; after mdadm %s --remove failed "
		  "eyrie apply takes it back", array->path, array->path);
}

/* Parts that came back, or never got in. */
static void add_missing_parts(struct planner *p, const struct parts *parts)
{
	size_t n_outside = 0;

	FOR_EACH_LEG(d, p, parts->role)
	{
		const struct observed_partition *part = part_of(p, d, parts->role);

		if (!is_outside(p, d, parts))
			continue;
		n_outside += part && !partition_is_new(part);
		(void)planner_add(p, STEP_ARRAY_ADD, d->want->name, roles[parts->role].name,
				  "take '%s' back into the mirror of the %s", d->want->name,
				  roles[parts->role].title);
	}
	check_failed(p, parts, n_outside);
}

/* No member is opened by it, and there is none that nobody can ask: it was being made. */
static bool opens_nothing(const struct planner *p, const struct observed_array *array)
{
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->state != DISK_OURS || !d->member || d->member->luks.n_keyslots == 0 ||
		    d->member->luks.key_slot)
			return false;
	return !array->content || streq(array->content, "crypto_LUKS");
}

/* KEY_FORMAT that was cut off leaves a label that says new, or, while it wipes, no header at all. */
static void check_key_device(struct planner *p, const struct observed_array *array)
{
	bool lost = array->luks.state == LUKS_NONE || array->luks.state == LUKS_UNREADABLE;

	if (streq(array->luks.label, NAME_KEY_LABEL_NEW) || (lost && opens_nothing(p, array))) {
		add_key_format(p);
	} else if (lost) {
		diag_warning(p->diag, "the LUKS header of the key device is not readable");
		diag_hint(p->diag, "each member opens with the passphrase too; unlock: peer does "
			  "without a key device");
	}
}

static void check_content(struct planner *p, const struct parts *parts)
{
	const struct observed_array *array = parts->have;

	if (parts->role == ROLE_BOOT) {
		if (!array->content || !starts_with(array->content, "ext"))
			diag_warning(p->diag, "the /boot partition holds no file system; no disk "
				     "would boot by BIOS");
		return;
	}
	check_key_device(p, array);
}

static void plan_array(struct planner *p, enum role role)
{
	_cleanup_free_ char *uuid = name_array_uuid(p->layout->id, role);
	struct parts parts = { .role = role, .uuid = uuid, .have = planner_array(p, role) };

	count(p, &parts);
	if (!parts.n_settled) {
		add_creation(p, &parts);
		return;
	}
	if (!parts.n_there)
		return;
	if (!parts.have || !parts.have->active)
		planner_start_array(p, role);
	else
		check_content(p, &parts);
	add_missing_parts(p, &parts);
	add_settles(p, role);
}

void planner_start_array(struct planner *p, enum role role)
{
	(void)planner_add(p, STEP_ARRAY_START, NULL, roles[role].name, "start the %s (md RAID1)",
			  roles[role].title);
}

void plan_arrays(struct planner *p)
{
	for (enum role role = 0; role < ROLE_MAX; role++)
		if (role_wants_array(p->layout, role))
			plan_array(p, role);
}

/* True when the array runs, or will when this plan has been carried out so far. */
bool planner_will_run(const struct planner *p, enum role role)
{
	const struct observed_array *array = planner_array(p, role);

	return (array && array->active) ||
	       planner_has(p, STEP_ARRAY_CREATE, roles[role].name) ||
	       planner_has(p, STEP_ARRAY_START, roles[role].name);
}

bool plan_finds_boot(const struct layout *layout, const struct observed *have)
{
	_cleanup_free_ char *uuid = name_array_uuid(layout->id, ROLE_BOOT);
	const struct observed_array *array = observed_array(have, uuid);

	return !role_wants_array(layout, ROLE_BOOT) || (array && array->mounted);
}

/* Whoever pulls a disk now shall not find the other one half copied. */
void plan_array_sync(struct planner *p)
{
	for (enum role role = 0; role < ROLE_MAX; role++) {
		const struct observed_array *array = planner_array(p, role);

		if (!role_wants_array(p->layout, role) ||
		    (!(array && array->syncing) &&
		     !planner_has(p, STEP_ARRAY_CREATE, roles[role].name) &&
		     !planner_has(p, STEP_ARRAY_ADD, roles[role].name)))
			continue;
		(void)planner_add(p, STEP_ARRAY_SYNC, NULL, roles[role].name,
				  "wait until every disk has all of the %s", roles[role].title);
	}
}
