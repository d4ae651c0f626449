/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Which disk is which, and whether it may be touched.
 *
 * Blank or of this set: touched. In use or ambiguous: refused, always. Anything else: refused
 * until --wipe names that very disk. A disk that is a partition is judged in the same way, and nothing
 * outside of it is looked at, or written. Of a machine that was made, a disk that may not or cannot be
 * touched is as one that is not there: the others go on without it.
 */

#include "plan/internal.h"

#define MEMBER_SIZE_MIN (256 * MIB) /* LUKS2 header of 16 MiB, and a pool of any use */
#define TABLE_SIZE	(2 * MIB)   /* alignment in front, backup table behind */
#define LACKS		"disk '%s' belongs to this set and has no %s"

uint64_t disk_size_min(const struct layout *layout, const char *disk)
{
	uint64_t size = MEMBER_SIZE_MIN;

	for (enum role role = 0; role < ROLE_MAX; role++)
		if (role_wanted(layout, disk, role))
			size += role_size(layout, role);
	return layout_is_partition(layout_disk(layout, disk)) ? size : TABLE_SIZE + size;
}

bool planner_is_new(const struct planner *p, const struct planned_disk *d, enum role role)
{
	const struct observed_partition *partition;

	if (!role_wanted(p->layout, d->want->name, role))
		return false;
	if (d->state == DISK_BLANK)
		return true;
	partition = find_partition(p->layout, d->have, role, d->want->name);
	return partition && partition_is_new(partition);
}

static void check_esp(struct planner *p, const struct planned_disk *d)
{
	const struct observed_partition *esp = find_partition(p->layout, d->have, ROLE_ESP, d->want->name);

	if (!esp || !esp->path || streq(esp->content, "vfat"))
		return;
	diag_warning(p->diag, "disk '%s': its EFI system partition holds no FAT file system; it "
		     "would not boot alone", d->want->name);
	diag_hint(p->diag, "it is left as it is: what was made once is not made again unasked");
}

void planner_add_esp(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *esp = name_partition(ROLE_ESP, d->want->name);

	(void)planner_add(p, STEP_ESP_FORMAT, d->want->name, esp,
			  "make FAT on the EFI system partition of '%s'", d->want->name);
	planner_settle(p, d, ROLE_ESP);
}

void planner_check_esps(struct planner *p)
{
	FOR_EACH_PLANNED(d, p)
		if (d->state == DISK_OURS && role_wanted(p->layout, d->want->name, ROLE_ESP) &&
		    !planner_is_new(p, d, ROLE_ESP))
			check_esp(p, d);
}

void planner_settle(struct planner *p, const struct planned_disk *d, enum role role)
{
	_cleanup_free_ char *name = name_partition(role, d->want->name);

	if (layout_is_partition(d->want))
		return;
	(void)planner_add(p, STEP_SETTLE, d->want->name, name, "read back the %s of '%s'",
			  roles[role].title, d->want->name);
}

/* "QEMU HARDDISK, serial 1234, 8.00 GiB": what a person has in hand. */
static char *describe_disk(const struct observed_disk *disk)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	_cleanup_free_ char *size = str_size_for_people(disk->size);

	if (disk->on)
		strbuf_add(&b, "a partition of ");
	strbuf_add(&b, is_empty(disk->model) ? disk->path : disk->model);
	if (!is_empty(disk->serial))
		strbuf_printf(&b, ", serial %s", disk->serial);
	strbuf_printf(&b, ", %s", size);
	return strbuf_take(&b);
}

static void describe_inside(struct strbuf *b, const char *content, const char *label)
{
	if (content)
		strbuf_printf(b, "%s%s", b->size ? "; " : "", content);
	if (!is_empty(label))
		strbuf_printf(b, " '%s'", label);
}

static void describe_partition(struct strbuf *b, const struct observed_partition *partition)
{
	_cleanup_free_ char *size = str_size_for_people(partition->size);

	if (partition->bare) {
		bool luks = !partition->content && partition->luks.state != LUKS_NONE;

		describe_inside(b, luks ? "a LUKS header" : partition->content, partition->label);
		return;
	}
	strbuf_printf(b, "; partition %llu (%s", (unsigned long long)partition->number, size);
	if (!is_empty(partition->name))
		strbuf_printf(b, ", '%s'", partition->name);
	strbuf_printf(b, ")%s%s", partition->content ? ": " : "",
		      partition->content ? partition->content : "");
	if (!is_empty(partition->label))
		strbuf_printf(b, " '%s'", partition->label);
}

/* What is found on a disk: "a GPT; partition 1 (…): ntfs 'Windows'". NULL when blank. */
static char *describe_content(const struct observed_disk *disk)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	if (disk->table)
		strbuf_printf(&b, "a partition table (%s)", disk->table);
	describe_inside(&b, disk->content, disk->label);
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		describe_partition(&b, partition);
	return b.size ? strbuf_take(&b) : NULL;
}

/* The kernel says that a pool has it, and not which. */
static char *describe_holder(const struct planner *p, const char *path, const char *holder)
{
	FOR_EACH_ITEM(struct observed_pool, pool, &p->have->pools)
		if (strv_has(&pool->devices, path))
			return str_printf("%s is in use by the pool '%s'", path, pool->name);
	return str_printf("%s is in use by %s", path, holder);
}

/* Why nobody may touch it now, or NULL. */
static char *describe_use(const struct planner *p, const struct observed_disk *disk)
{
	if (disk->mounted)
		return str_printf("%s is mounted on %s", disk->path, disk->mounted);
	if (disk->held)
		return describe_holder(p, disk->path, disk->held);
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions) {
		const char *path = partition->path ? partition->path : partition->name;

		if (partition->mounted)
			return str_printf("%s is mounted on %s", path, partition->mounted);
		if (partition->held)
			return describe_holder(p, path, partition->held);
	}
	return NULL;
}

static bool has_set_of_others(const struct observed_disk *disk)
{
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
	{
		const char *mark = partition->bare ? partition->luks.subsystem : partition->name;

		if (mark && starts_with(mark, partition->bare ? "eyrie:" : "eyrie-"))
			return true;
	}
	return false;
}

static void add_wipe(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *title = describe_disk(d->have);
	struct step *step = planner_add(p, STEP_WIPE, d->want->name, d->have->path,
					"erase the %s '%s': %s", d->have->on ? "partition" : "disk",
					d->want->name, title);

	if (d->torn) {
		step->destroys = str_printf("what a pool of this set left on %s that was not made whole",
					    d->have->path);
		return;
	}
	step->destroys = str_printf("everything on %s: %s%s", d->have->path, d->found,
				    has_set_of_others(d->have) ?
					    " (made by eyrie for another machine or set)" :
					    "");
	step->consent_missing = !p->options->wipe || !strv_has(p->options->wipe, d->want->name);
}

void planner_add_table(struct planner *p, const struct planned_disk *d)
{
	_cleanup_strbuf_ struct strbuf parts = STRBUF_NULL;

	if (d->found)
		add_wipe(p, d);
	if (layout_is_partition(d->want))
		return;
	for (enum role role = 0; role < ROLE_MAX; role++) {
		_cleanup_free_ char *size = str_size_for_people(role_size(p->layout, role));

		if (!role_wanted(p->layout, d->want->name, role))
			continue;
		strbuf_printf(&parts, "%s%s (%s)", parts.size ? ", " : "", roles[role].title,
			      role_size(p->layout, role) ? size : "the rest");
	}
	(void)planner_add(p, STEP_TABLE, d->want->name, d->have->path,
			  "partition '%s' (%s): %s", d->want->name, d->have->path, parts.data);
}

/* It is there, and nothing can be known of it or written to it. */
static bool is_sick(const struct planned_disk *d)
{
	return d->have && (d->have->unreadable || d->have->read_only);
}

/*
 * Once one disk of a pool has a table of this set, the machine goes on without the others; and without all
 * those of a further pool, when the root's has one. Partitions hold no data, and say nothing of it.
 */
static bool has_disk_of_set(const struct planner *p, const struct layout_pool *pool)
{
	bool any = false;

	FOR_EACH_PLANNED_OF(d, p, pool)
	{
		if (layout_is_partition(d->want))
			continue;
		any |= d->have && !is_sick(d);
		if (d->state == DISK_OURS)
			return true;
	}
	return !any && pool != &p->layout->pool && has_disk_of_set(p, &p->layout->pool);
}

const char *planner_why_missing(const struct planned_disk *d)
{
	return d->have ? "cannot be used" : "is not there";
}

static void set_aside(struct planner *p, struct planned_disk *d, const char *format, ...)
	_printf_(3, 4);

/* The disk cannot be used: refused, or gone on without it. */
static void set_aside(struct planner *p, struct planned_disk *d, const char *format, ...)
{
	_cleanup_free_ char *why = NULL;
	va_list ap;

	va_start(ap, format);
	why = str_vprintf(format, ap);
	va_end(ap);
	d->state = DISK_MISSING;
	d->member = NULL;
	if (has_disk_of_set(p, d->pool))
		diag_warning(p->diag, "%s; it is left alone", why);
	else
		planner_refuse(p, "%s", why);
}

static void classify_foreign(struct planner *p, struct planned_disk *d, const char *found)
{
	const char *name = d->want->name;
	_cleanup_free_ char *use = describe_use(p, d->have);
	_cleanup_free_ char *title = describe_disk(d->have);

	if (use) {
		set_aside(p, d, "disk '%s' (%s) is in use: %s", name, title, use);
		diag_hint(p->diag, has_disk_of_set(p, d->pool) && !d->have->on ?
				  "it has: %s. If it is a disk of this set, both copies of its "
				  "partition table are lost" :
				  "it has: %s. Stop what uses it; eyrie never touches a disk in use",
			  found);
		return;
	}
	if (d->have->ambiguous) {
		set_aside(p, d, "disk '%s' (%s) carries signatures of more than one kind", name,
			  title);
		diag_hint(p->diag, "look at it with wipefs %s, and remove what is left over",
			  d->have->path);
		return;
	}
	d->found = str_dup(found);
}

/* The pool lives without it: taking it in is a replacement, and nothing for a plan. */
void planner_leave(struct planner *p, struct planned_disk *d)
{
	_cleanup_free_ char *title = describe_disk(d->have);

	diag_warning(p->diag, "disk '%s' (%s) is no member of the pool '%s' and is left alone; it "
		     "has: %s", d->want->name, title, d->pool->name, d->found ? d->found : "nothing");
	d->state = DISK_MISSING;
}

/* Those of this set first: whether the others are needed depends on them. */
static void recognize(struct planner *p, struct planned_disk *d)
{
	if (is_sick(d) || d->have->ambiguous || !streq(d->have->table, "gpt") ||
	    !name_uuid_is_marked(p->layout->id, d->have->table_uuid))
		return;
	d->state = DISK_OURS;
	d->member = find_partition(p->layout, d->have, role_of_pool(p->layout, d->pool), d->want->name);
}

static bool is_made(const struct planner *p, const struct layout_pool *pool)
{
	FOR_EACH_PLANNED_OF(d, p, pool)
		if (d->state == DISK_OURS && !d->have->on && d->member && !partition_is_new(d->member))
			return true;
	return false;
}

/* Of the pool that its whole disks are of, which have marks. */
static bool is_beside(const struct planner *p, const struct planned_disk *d)
{
	const struct observed_partition *partition = d->have->partitions.items;

	FOR_EACH_PLANNED_OF(other, p, d->pool)
		if (other->state == DISK_OURS && !other->have->on && other->member && partition->pool &&
		    streq(other->member->pool, partition->pool))
			return true;
	return false;
}

/* What a cache and a spare carry does not say of which pool they are, and may look blank. */
static bool says_nothing(const struct planned_disk *d)
{
	const struct observed_partition *partition = d->have->partitions.items;

	return !vdev_kinds[layout_vdev_kind(d->vdev)].group &&
	       (partition_is_blank(partition) ||
		(streq(partition->content, "zfs_member") && !partition->pool));
}

/*
 * Without LUKS nothing on a partition says that it is of this set: its pool does. To what is ours in this
 * way nothing is written; what is left of a pool that was not made whole is wiped, and not asked about.
 */
static void recognize_data(struct planner *p, struct planned_disk *d)
{
	const struct observed_pool *pool = planner_pool(p, d->pool);
	bool made = pool || is_made(p, d->pool);
	bool ours = pool ? strv_has(&pool->devices, d->have->path) :
			   is_beside(p, d) || (made && says_nothing(d));

	d->torn = ours && !made;
	if (!ours || d->torn)
		return;
	d->state = DISK_OURS;
	d->member = d->have->partitions.items;
}

/* After the whole ones. */
static void recognize_partition(struct planner *p, struct planned_disk *d)
{
	const struct observed_partition *member =
		find_partition(p->layout, d->have, role_of_pool(p->layout, d->pool), d->want->name);

	if (is_sick(d) || d->have->ambiguous || !member)
		return;
	if (!layout_has_luks(p->layout, d->pool)) {
		recognize_data(p, d);
		return;
	}
	d->state = DISK_OURS;
	d->member = member;
}

static void classify_other(struct planner *p, struct planned_disk *d)
{
	_cleanup_free_ char *found = describe_content(d->have);
	_cleanup_free_ char *use = describe_use(p, d->have);

	d->state = DISK_BLANK;
	if (found || d->have->ambiguous)
		classify_foreign(p, d, found ? found : "several signatures");
	else if (use)
		classify_foreign(p, d, "no signature");
}

static void check_size(struct planner *p, struct planned_disk *d)
{
	uint64_t want = d->want->size, have = d->have->size, least = disk_size_min(p->layout, d->want->name);
	_cleanup_free_ char *is = str_size_for_people(have);
	_cleanup_free_ char *lacking = NULL;

	if (have < least || have < want) {
		lacking = str_size_for_people(MAX_OF(least, want) - have);
		set_aside(p, d, "disk '%s' is too small by %s: it has %s", d->want->name,
			  lacking, is);
		diag_hint(p->diag, have < least && d->have->on ?
				  "take a larger partition" :
			  have < least ?
				  "make esp-size or swap smaller, or take a larger disk" :
				  "correct its size: in the layout if this is the right disk");
	} else if (want && have > want) {
		diag_note(p->diag, "disk '%s' has %s, more than the layout says", d->want->name,
			  is);
	}
	if (d->want->sector_size && d->have->sector_size != d->want->sector_size)
		diag_note(p->diag, "disk '%s' has sectors of %llu bytes, the layout says %llu",
			  d->want->name, (unsigned long long)d->have->sector_size,
			  (unsigned long long)d->want->sector_size);
}

/* GRUB's first sector counts in 512 bytes, and so does BIOS; a table is not made for nothing. */
static void check_sectors(struct planner *p, struct planned_disk *d)
{
	if (d->have->sector_size <= 512 || !role_wanted(p->layout, d->want->name, ROLE_BIOS))
		return;
	set_aside(p, d, "disk '%s' has sectors of %llu bytes, and a BIOS starts nothing from it",
		  d->want->name, (unsigned long long)d->have->sector_size);
	diag_hint(p->diag, "take another disk, or firmware: uefi");
}

/* What its owner thinks goes and is kept: a disk whose name is misspelt, or that is one of this set. */
static void check_consents(struct planner *p)
{
	const struct strv *wipe = p->options->wipe;

	for (size_t i = 0; wipe && i < wipe->n_items; i++)
		if (!layout_disk(p->layout, wipe->items[i]))
			planner_refuse(p, "--wipe %s: the layout has no disk of that name",
				       wipe->items[i]);
	FOR_EACH_PLANNED(d, p)
		if (wipe && strv_has(wipe, d->want->name) && d->state == DISK_OURS)
			diag_note(p->diag, "--wipe %s: the disk belongs to this set, and is not erased",
				  d->want->name);
}

static bool is_named_before(const struct planner *p, const struct planned_disk *d)
{
	for (const struct planned_disk *other = p->disks; other < d; other++)
		if (other->have == d->have)
			return true;
	return false;
}

/* The same size for all disks of a vdev: the smallest rules. News only while tables are made. */
static void note_unequal_sizes(struct planner *p, const struct layout_vdev *vdev)
{
	uint64_t smallest = UINT64_MAX, largest = 0;
	bool news = false;

	FOR_EACH_PLANNED(d, p)
	{
		if (!d->have || d->vdev != vdev)
			continue;
		smallest = MIN_OF(smallest, d->have->size);
		largest = MAX_OF(largest, d->have->size);
		news |= d->state == DISK_BLANK;
	}
	if (news && largest > smallest && smallest) {
		_cleanup_free_ char *least = str_size_for_people(smallest);
		_cleanup_free_ char *lost = str_size_for_people(largest - smallest);

		diag_note(p->diag, "the disks are not of one size: a %s is as large as its "
			  "smallest disk; the smallest has %s, up to %s of others is not used",
			  vdev_kinds[layout_vdev_kind(vdev)].name, least, lost);
	}
}

static void warn_of_one_disk(struct planner *p, const struct layout_vdev *vdev)
{
	const struct planned_disk *before = NULL;

	FOR_EACH_PLANNED(d, p)
	{
		if (d->vdev != vdev || !d->have || !d->have->on)
			continue;
		if (before && streq(before->have->on, d->have->on))
			diag_warning(p->diag, "'%s' and '%s' are partitions of one disk, %s: a %s of both "
				     "is lost with it", before->want->name, d->want->name, d->have->on,
				     vdev_kinds[layout_vdev_kind(vdev)].name);
		before = d;
	}
}

static void note_missing(struct planner *p, size_t n_found)
{
	FOR_EACH_PLANNED(d, p)
	{
		if (d->have)
			continue;
		if (has_disk_of_set(p, d->pool)) {
			diag_warning(p->diag, "disk '%s' (%s) is not there", d->want->name,
				     d->want->path);
			continue;
		}
		planner_refuse(p, "disk '%s' is not there: %s", d->want->name, d->want->path);
		diag_hint(p->diag, layout_is_partition(d->want) ?
				  "lsblk -o NAME,PARTLABEL,PARTUUID shows the partitions that are; it "
				  "is one of a GPT" :
			  n_found ? "ls -l /dev/disk/by-id shows the disks that are" :
					     "eyrie init shows the disks that are");
	}
}

/* Whether any other disk of its pool has one, and so the machine was made with it. */
static bool is_elsewhere(const struct planner *p, const struct planned_disk *d, enum role role)
{
	FOR_EACH_PLANNED_OF(other, p, d->pool)
		if (other != d && other->state == DISK_OURS &&
		    find_partition(p->layout, other->have, role, other->want->name))
			return true;
	return false;
}

static void hint_at_room(struct planner *p, enum role role)
{
	diag_hint(p->diag, "%s; there is no room for one once a disk is partitioned: %s",
		  role == ROLE_KEY ? "unlock: keystore wants one on each disk" :
				     "a BIOS starts nothing from a GPT disk without it",
		  role == ROLE_KEY ? "unlock: peer and shared do without" :
				     "start over with firmware: both, or stay with uefi");
}

/* Its paths were exchanged with those of another one: the name of a disk is in its partitions. */
static bool is_another(struct planner *p, const struct planned_disk *d)
{
	FOR_EACH_PLANNED(other, p)
	{
		enum role role = role_of_pool(p->layout, other->pool);

		if (other == d || d->member || (d->have->on && role == ROLE_DATA) ||
		    !find_partition(p->layout, d->have, role, other->want->name))
			continue;
		planner_refuse(p, "the path of disk '%s' leads to the disk '%s' of this set: %s",
			       d->want->name, other->want->name, d->have->path);
		diag_hint(p->diag, d->have->on ?
				  "correct the path" :
				  "correct the path; those in /dev/disk/by-id stay with a disk");
		return true;
	}
	return false;
}

/* A partition that the layout wants and that a disk of ours has not: it was lost, or never made. */
static void check_partitions(struct planner *p, struct planned_disk *d)
{
	static const bool is_new_wish[ROLE_MAX] = {
		[ROLE_BIOS] = true, [ROLE_BOOT] = true, [ROLE_KEY] = true
	};

	for (enum role role = 0; role < ROLE_MAX; role++) {
		bool lost;

		if (!role_wanted(p->layout, d->want->name, role) ||
		    find_partition(p->layout, d->have, role, d->want->name))
			continue;
		lost = is_elsewhere(p, d, role);
		if (lost)
			set_aside(p, d, LACKS, d->want->name, roles[role].title);
		else
			planner_refuse(p, LACKS, d->want->name, roles[role].title);
		if (is_new_wish[role] && !lost)
			hint_at_room(p, role);
		else
			diag_hint(p->diag, "eyrie does not make again what it made once: put the "
				  "partition back, or give the disk up with wipefs -a %s and start "
				  "over", d->have->path);
		if (lost)
			return;
	}
}

/*
 * What another firmware: starts the machine by. It would go on being there and never be written
 * again: the disk would start an old kernel, or none, by it.
 */
static bool fits_firmware(struct planner *p, const struct planned_disk *d)
{
	static const enum role firmware_roles[] = { ROLE_ESP, ROLE_BIOS, ROLE_BOOT };
	const char *name = d->want->name;
	bool uefi = find_partition(p->layout, d->have, ROLE_ESP, name) != NULL;
	bool bios = find_partition(p->layout, d->have, ROLE_BIOS, name) != NULL;

	for (size_t i = 0; i < ARRAY_SIZE(firmware_roles); i++) {
		enum role role = firmware_roles[i];

		if (!layout_is_member(p->layout, name) || role_wanted(p->layout, name, role) ||
		    !find_partition(p->layout, d->have, role, name))
			continue;
		planner_refuse(p, "disk '%s' has %s %s, which 'firmware: %s' does not use", name,
			       role == ROLE_ESP ? "an" : "a", roles[role].title,
			       layout_firmware_name(p->layout->firmware));
		diag_hint(p->diag, "the firmware of a machine that is made stays: put 'firmware: %s' "
			  "back, or start over", uefi && bios ? "both" : uefi ? "uefi" : "bios");
		return false;
	}
	return true;
}

/* A partition is where the layout says that one is, and on a disk that eyrie does not partition. */
static bool is_in_place(struct planner *p, const struct planned_disk *d)
{
	const struct observed_partition *partition = d->have->partitions.items;

	if (!d->have->on && !layout_is_partition(d->want))
		return true;
	if (!d->have->on || !partition || !partition->bare) {
		planner_refuse(p, "disk '%s' is no partition of a GPT: %s", d->want->name, d->want->path);
		return false;
	}
	if (!layout_is_partition(d->want)) {
		planner_refuse(p, "disk '%s' is a partition of %s: %s", d->want->name, d->have->on,
			       d->have->path);
		diag_hint(p->diag, "a log, cache, special or spare may be one, by its name below "
			  "/dev/disk/by-partlabel or by-partuuid; what holds data is a whole disk");
		return false;
	}
	FOR_EACH_PLANNED(other, p)
	{
		if (!other->have || !streq(other->have->path, d->have->on))
			continue;
		planner_refuse(p, "disk '%s' is a partition of the disk '%s', which is partitioned by "
			       "eyrie alone: %s", d->want->name, other->want->name, d->have->path);
		diag_hint(p->diag, "take a partition of a disk that the layout does not name");
		return false;
	}
	return true;
}

static void plan_disk(struct planner *p, struct planned_disk *d)
{
	if (!is_in_place(p, d))
		return;
	if (is_named_before(p, d)) {
		planner_refuse(p, "disk '%s' is a second name for a disk that is named already: %s",
			       d->want->name, d->have->path);
		return;
	}
	if (d->have->read_only) {
		set_aside(p, d, "disk '%s' is read-only: %s", d->want->name, d->have->path);
		return;
	}
	if (d->have->unreadable) {
		set_aside(p, d, "disk '%s' cannot be read, and so nobody knows what is on it: %s",
			  d->want->name, d->have->path);
		return;
	}
	if (d->have->on && is_another(p, d))
		return;
	if (d->state != DISK_OURS) {
		classify_other(p, d);
		if (d->state == DISK_BLANK)
			check_size(p, d);
		if (d->state == DISK_BLANK)
			check_sectors(p, d);
		return;
	}
	if (d->have->table_fault) {
		diag_warning(p->diag, "disk '%s': one copy of its partition table is damaged: %s",
			     d->want->name, d->have->table_fault);
		diag_hint(p->diag, "fdisk %s, then w, writes both again from the one that is whole",
			  d->have->path);
	}
	if (!is_another(p, d) && fits_firmware(p, d))
		check_partitions(p, d);
}

void plan_disks(struct planner *p)
{
	size_t i = 0, n_found = 0;

	FOR_EACH_DISK(want, p->layout)
	{
		struct planned_disk *d = &p->disks[i++];

		d->want = want;
		d->pool = layout_pool_of(p->layout, want->name, &d->vdev);
		d->have = observed_disk(p->have, want->path);
		n_found += d->have != NULL;
		if (d->have && !d->have->on)
			recognize(p, d);
	}
	FOR_EACH_PLANNED(d, p)
		if (d->have && d->have->on)
			recognize_partition(p, d);
	check_consents(p);
	FOR_EACH_PLANNED(d, p)
		if (d->have)
			plan_disk(p, d);
	note_missing(p, n_found);
	FOR_EACH_POOL(pool, p->layout)
		FOR_EACH_VDEV(vdev, pool)
		{
			note_unequal_sizes(p, vdev);
			if (vdev_kinds[layout_vdev_kind(vdev)].group)
				warn_of_one_disk(p, vdev);
		}
}
