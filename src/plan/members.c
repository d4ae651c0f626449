/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Partitions and LUKS devices, up to a pool that is there.
 *
 * Three marks tell how far a member came: its partition is new (anything may be on it), its
 * LUKS label is new (it opens; the pool on it may be torn), neither (it holds the pool). A pool
 * is made only while no member holds one, and imported as soon as one does.
 */

#include "plan/internal.h"

enum progress {
	MEMBER_ABSENT,	/* missing, or damaged and left alone */
	MEMBER_UNMADE,	/* blank disk or new partition: LUKS is to be made */
	MEMBER_EMPTY,	/* LUKS is there, no pool on it yet */
	MEMBER_FILLED,
};

static bool is_damaged(const struct planner *p, const struct planned_disk *d)
{
	const struct observed_luks *luks = &d->member->luks;
	_cleanup_free_ char *subsystem = name_subsystem(p->layout);

	if (!d->member->path) {
		diag_warning(p->diag, "disk '%s': the kernel does not show its partitions",
			     d->want->name);
		diag_hint(p->diag, "it goes by the first copy of the partition table only; partprobe "
			  "%s when both are whole", d->have->path);
		return true;
	}
	if (luks->state == LUKS_UNREADABLE || luks->state == LUKS_NONE) {
		diag_warning(p->diag, "disk '%s': the LUKS header of its member is not readable",
			     d->want->name);
		diag_hint(p->diag, "it is left as it is: restore a header backup, or replace the "
			  "disk");
		return true;
	}
	if (!streq(luks->subsystem, subsystem) || luks->n_keyslots == 0) {
		diag_warning(p->diag, "disk '%s': its LUKS header %s", d->want->name,
			     luks->n_keyslots ? "is not of this set" : "has no key slots");
		diag_hint(p->diag, "it is left as it is: restore a header backup, or replace the "
			  "disk");
		return true;
	}
	if (luks->state != LUKS_WHOLE)
		diag_warning(p->diag, "disk '%s': the %s copy of its LUKS header is damaged; the "
			     "other one is whole", d->want->name,
			     luks->state == LUKS_PRIMARY_DAMAGED ? "first" : "second");
	return false;
}

static enum progress member_progress(const struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *label_new = NULL;

	if (d->state == DISK_BLANK)
		return MEMBER_UNMADE;
	if (d->state == DISK_MISSING)
		return MEMBER_ABSENT;
	if (partition_is_new(d->member))
		return MEMBER_UNMADE;
	if (is_damaged(p, d))
		return MEMBER_ABSENT;
	label_new = name_label_new(d->want->name);
	return streq(d->member->luks.label, label_new) ? MEMBER_EMPTY : MEMBER_FILLED;
}

static void add_disk(struct planner *p, const struct planned_disk *d, enum progress progress)
{
	const char *name = d->want->name;

	if (d->state == DISK_MISSING)
		return;
	if (d->state == DISK_BLANK)
		planner_add_table(p, d);
	if (planner_is_new(p, d, ROLE_ESP))
		planner_add_esp(p, d);
	if (progress == MEMBER_UNMADE) {
		_cleanup_free_ char *member = name_partition(ROLE_MEMBER, name);
		_cleanup_free_ char *where = layout_is_partition(d->want) ?
						     str_printf(" (%s)", d->have->path) : NULL;

		(void)planner_add(p, STEP_LUKS_FORMAT, name, member,
				  "encrypt '%s'%s with LUKS2 (%s, %llu bit)", name, where ? where : "",
				  p->layout->encryption.cipher,
				  (unsigned long long)p->layout->encryption.key_size);
		planner_settle(p, d, ROLE_MEMBER);
	}
}

static void add_open(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *mapping = name_mapping(p->layout, d->want->name);

	(void)planner_add(p, STEP_LUKS_OPEN, d->want->name, mapping,
			  "open '%s' as /dev/mapper/%s", d->want->name, mapping);
}

static void add_filled(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *label = name_label(p->layout, d->want->name);

	(void)planner_add(p, STEP_LUKS_FILLED, d->want->name, label,
			  "mark '%s' as a member that is whole", d->want->name);
}

/* Disks that cannot take part in a pool that exists already are as those that are not there. */
static void leave_late_disks(struct planner *p, enum progress *progress)
{
	size_t i = 0;

	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		enum progress *is = &progress[i++];

		if (*is != MEMBER_UNMADE)
			continue;
		*is = MEMBER_ABSENT;
		if (d->state == DISK_BLANK)
			planner_leave(p, d);
		else
			diag_warning(p->diag, "disk '%s' is there, but not a member of the pool",
				     d->want->name);
	}
}

static void plan_existing(struct planner *p, const enum progress *progress)
{
	size_t i = 0;

	plan_arrays(p);
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		enum progress is = progress[i++];

		if ((is == MEMBER_FILLED || is == MEMBER_EMPTY) && !d->member->luks.mapped)
			add_open(p, d);
	}
	planner_add_import(p, &p->layout->pool, NULL);
	(void)planner_add(p, STEP_LOOK_AGAIN, NULL, NULL,
			  "look at what is inside, and plan the rest");
}

static void note_sectors(struct planner *p)
{
	if (p->layout->encryption.sector_size || layout_sector_size(p->layout) != 512 ||
	    !planner_has(p, STEP_LUKS_FORMAT, NULL))
		return;
	diag_note(p->diag, "512 bytes are encrypted as one: OpenZFS before 2.2.7 is not safe with more, "
		  "and nothing says that the system has a later one");
	diag_hint(p->diag, "encryption: { sector-size: 4096 } says it, and costs less");
}

/* Each of them is known to hold no pool: on one that cannot be read it may be. */
static void refuse_unknown(struct planner *p, const enum progress *progress)
{
	size_t i = 0;

	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		enum progress is = progress[i++];

		if (d->state == DISK_MISSING) {
			planner_refuse(p, "disk '%s' %s, and the pool is not made yet",
				       d->want->name, planner_why_missing(d));
		} else if (is == MEMBER_ABSENT) {
			planner_refuse(p, "the pool may be on disk '%s', whose member cannot be read: "
				       "none is made", d->want->name);
			diag_hint(p->diag, "restore a header backup of its member; wipefs -a %s gives up "
				  "what is on it", d->have->path);
		}
	}
}

static void plan_creation(struct planner *p, const enum progress *progress)
{
	size_t i;

	refuse_unknown(p, progress);
	/* Members that exist first: they say whether the passphrase is the one they have. */
	i = 0;
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (progress[i++] == MEMBER_EMPTY)
			add_open(p, d);
	i = 0;
	FOR_EACH_PLANNED_MEMBER(d, p)
		add_disk(p, d, progress[i++]);
	note_sectors(p);
	plan_arrays(p);
	i = 0;
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (progress[i++] == MEMBER_UNMADE)
			add_open(p, d);
	planner_add_pool(p, &p->layout->pool);
	FOR_EACH_PLANNED_MEMBER(d, p)
		add_filled(p, d);
}

/* The pool says it: a cache and a spare do not know of which pool they are, and one that was detached does. */
static bool is_in(const struct planned_disk *d, const struct observed_pool *pool)
{
	_cleanup_free_ char *node = d->member->held ? str_printf("/dev/%s", d->member->held) : NULL;

	return pool->devices.n_items ? node && strv_has(&pool->devices, node) :
				       streq(d->member->luks.inside_uuid, pool->guid);
}

/* It was detached, or absent when the pool was imported. */
static void tell_unused(struct planner *p, const struct planned_disk *d, const struct observed_pool *pool)
{
	diag_warning(p->diag, "disk '%s' was in the pool '%s', which does not use it now", d->want->name,
		     pool->name);
	if (p->layout->encryption.unlock == UNLOCK_PEER)
		diag_hint(p->diag, "eyrie heal brings it back");
	else
		diag_hint(p->diag, "zpool status %s says how it left: zpool online, or zpool attach, brings it "
			  "back", pool->name);
}

/* The pool is imported: what is left of its creation. */
static void plan_imported(struct planner *p, const struct observed_pool *pool,
			  const enum progress *progress)
{
	size_t i = 0;

	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		enum progress is = progress[i++];

		if (is == MEMBER_EMPTY && is_in(d, pool))
			add_filled(p, d);
		else if (is == MEMBER_FILLED && !d->member->luks.mapped)
			diag_warning(p->diag, "disk '%s' is there, but its member is not open",
				     d->want->name);
		else if (is == MEMBER_FILLED && !is_in(d, pool) &&
			 streq(d->member->luks.inside_uuid, pool->guid))
			tell_unused(p, d, pool);
		else if (is == MEMBER_EMPTY || (is == MEMBER_FILLED && !is_in(d, pool)))
			diag_warning(p->diag, "disk '%s' is there, but not a member of the pool",
				     d->want->name);
	}
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->state == DISK_OURS)
			add_disk(p, d, MEMBER_FILLED);
	plan_arrays(p);
}

/*
 * Members that open each other, or that the key device opens. All at once, and so only when all
 * are there; until then each opens by its own passphrase slot, which none of this changes.
 */
static void plan_enrollment(struct planner *p, const enum progress *progress)
{
	bool key = p->layout->encryption.unlock == UNLOCK_KEYSTORE;
	uint64_t generation = 0;
	bool needed = key && planner_has(p, STEP_KEY_FORMAT, NULL);
	size_t i = 0;

	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		enum progress is = progress[i++];
		bool made = is == MEMBER_FILLED || is == MEMBER_EMPTY;
		uint64_t own = !made ? 0 :
			       key   ? d->member->luks.key_slot :
				       d->member->luks.generation;

		if (d->state == DISK_MISSING || is == MEMBER_ABSENT)
			return;
		needed |= own == 0 || (!key && generation && own != generation);
		generation = own;
	}
	if (needed && key) {
		/* What is on a key device that is not started yet is seen in the next round. */
		if (!planner_pool(p, &p->layout->pool) || !planner_has(p, STEP_ARRAY_START, roles[ROLE_KEY].name))
			(void)planner_add(p, STEP_KEY_ENROLL, NULL, NULL,
					  "make the key device open the members");
		return;
	}
	if (needed)
		(void)planner_add(p, STEP_ENROLL, NULL, NULL,
				  "make the members open each other, by one set key");
}

/*
 * The import looks under the names that apply gives, and would take the others alone: as eyrie unlock left it
 * in a rescue system, by the name of the host, or a person.
 */
static void refuse_other_mappings(struct planner *p)
{
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		_cleanup_free_ char *mapping = name_mapping(p->layout, d->want->name);
		const char *mapped = d->member ? d->member->luks.mapped : NULL;

		if (!mapped || streq(mapped, mapping))
			continue;
		planner_refuse(p, "'%s' is open as /dev/mapper/%s, and the pool is looked for on "
			       "/dev/mapper/%s", d->want->name, mapped, mapping);
		diag_hint(p->diag, "cryptsetup close %s; then again", mapped);
	}
}

bool plan_members(struct planner *p)
{
	const struct observed_pool *pool = planner_pool(p, &p->layout->pool);
	_cleanup_free_ enum progress *progress =
		mem_alloc(p->layout->disks.n_items * sizeof(*progress));
	const struct planned_disk *filled = NULL;
	size_t i = 0, n_filled = 0, n_whole = 0;

	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		progress[i] = member_progress(p, d);
		n_whole += !layout_is_partition(d->want) &&
			   (progress[i] == MEMBER_EMPTY || progress[i] == MEMBER_FILLED);
		n_filled += progress[i] == MEMBER_FILLED;
		if (progress[i++] == MEMBER_FILLED)
			filled = d;
	}
	if (!pool && planner_pool_is_taken(p, &p->layout->pool))
		return false;
	if (!pool)
		refuse_other_mappings(p);
	if (!pool && filled && !n_whole) {
		planner_refuse(p, "'%s' is of a pool of this set, and no disk that holds its data has a member",
			       filled->want->name);
		diag_hint(p->diag, "bring one of those back; wipefs -a %s gives up what is there",
			  filled->have->path);
		return false;
	}
	if (pool || n_filled)
		leave_late_disks(p, progress);
	if (pool)
		plan_imported(p, pool, progress);
	else if (n_filled)
		plan_existing(p, progress);
	else
		plan_creation(p, progress);
	if (p->layout->encryption.unlock != UNLOCK_SHARED && (pool || !n_filled))
		plan_enrollment(p, progress);
	return !p->refused && (pool || !n_filled);
}
