/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include "plan/name.h"

void world_init(struct world *world, const struct layout *layout, const struct strv *wipe,
		struct observed *have)
{
	*world = (struct world){ .layout = layout,
				 .options = { .wipe = wipe, .target = "/mnt/eyrie" },
				 .have = have,
				 .remembered = mem_alloc(sizeof(*world->remembered)) };
}

void world_copy(struct world *to, const struct world *from)
{
	*to = *from;
	to->have = observed_copy(from->have);
	to->remembered = observed_copy(from->remembered);
}

void world_deinit(struct world *world)
{
	world->have = observed_free(world->have);
	world->remembered = observed_free(world->remembered);
}

static struct observed_partition *member(const struct observed *have, const struct layout *layout,
					 const char *disk)
{
	const struct layout_disk *want = layout_disk(layout, disk);
	struct observed_disk *found = observed_disk(have, want->path);

	return found ? find_partition(layout, found, ROLE_MEMBER, disk) : NULL;
}

/* Remember a member's inside below its path, which is unique. */
static struct observed_partition *memory_of(struct world *world, const char *path)
{
	struct observed_partition *partition;
	struct observed_disk *all;

	if (!world->remembered->disks.n_items)
		(void)list_add(&world->remembered->disks, &record_observed_disk);
	all = world->remembered->disks.items;
	FOR_EACH_ITEM(struct observed_partition, known, &all->partitions)
		if (streq(known->path, path))
			return known;
	partition = list_add(&all->partitions, &record_observed_partition);
	partition->path = str_dup(path);
	return partition;
}

static void move_inside(struct observed_luks *to, struct observed_luks *from)
{
	str_set(&to->inside, from->inside);
	str_set(&to->inside_label, from->inside_label);
	str_set(&to->inside_uuid, from->inside_uuid);
	str_set(&from->inside, NULL);
	str_set(&from->inside_label, NULL);
	str_set(&from->inside_uuid, NULL);
}

/* What a pool sees of a disk: the member that is open, or the partition without LUKS. */
static bool is_seen(const struct world *world, const struct layout_pool *pool, const char *disk)
{
	const struct layout_disk *want = layout_disk(world->layout, disk);
	struct observed_disk *found = observed_disk(world->have, want->path);
	struct observed_partition *data;

	if (layout_has_luks(world->layout, pool)) {
		const struct observed_partition *open = member(world->have, world->layout, disk);

		return open && streq(open->luks.inside, "zfs_member");
	}
	data = found ? find_partition(world->layout, found, ROLE_DATA, disk) : NULL;
	return data && streq(data->content, "zfs_member");
}

static bool has_vdevs(const struct world *world, const struct layout_pool *pool)
{
	FOR_EACH_VDEV(vdev, pool)
	{
		const struct vdev_kind_info *kind = &vdev_kinds[layout_vdev_kind(vdev)];
		const struct strv *disks = layout_vdev_disks(vdev);
		size_t n_seen = 0;

		for (size_t i = 0; i < disks->n_items; i++)
			n_seen += is_seen(world, pool, disks->items[i]);
		if (kind->group && n_seen + MIN_OF(kind->parity, disks->n_items - 1) < disks->n_items)
			return false;
	}
	return true;
}

static void forget_pool(struct world *world, const char *name)
{
	struct list kept = {};

	FOR_EACH_ITEM(struct observed_pool, pool, &world->remembered->pools)
		if (!streq(pool->name, name))
			record_copy(&record_observed_pool, list_add(&kept, &record_observed_pool),
				    pool);
	list_deinit(&world->remembered->pools, &record_observed_pool);
	world->remembered->pools = kept;
}

static void hold_disks(struct world *world, const struct layout_pool *pool)
{
	FOR_EACH_DISK(want, world->layout)
	{
		struct observed_disk *found = observed_disk(world->have, want->path);
		struct observed_partition *data =
			found && layout_pool_of(world->layout, want->name, NULL) == pool ?
				find_partition(world->layout, found, ROLE_DATA, want->name) :
				NULL;

		if (data)
			str_set(&data->held, "the kernel");
	}
}

/* zpool import: only when every vdev has enough devices; what ZFS encrypts is locked. */
static void import(struct world *world, const struct step *step)
{
	const struct layout_pool *want = layout_pool_named(world->layout, step->pool);
	struct observed_pool *from = observed_pool(world->remembered, want->name), *pool;

	if (!from || !has_vdevs(world, want))
		return;
	pool = list_add(&world->have->pools, &record_observed_pool);
	record_copy(&record_observed_pool, pool, from);
	str_set(&pool->altroot, world->options.target);
	FOR_EACH_ITEM(struct observed_dataset, dataset, &pool->datasets)
	{
		str_set(&dataset->mounted, NULL);
		dataset->locked = dataset->encryption_root != NULL;
	}
	forget_pool(world, want->name);
	if (!layout_has_luks(world->layout, want))
		hold_disks(world, want);
}

static void open_member(struct world *world, const struct step *step)
{
	struct observed_partition *partition = member(world->have, world->layout, step->disk);

	move_inside(&partition->luks, &memory_of(world, partition->path)->luks);
}

static void forget_inside(struct world *world, const struct step *step)
{
	struct observed_disk *disk =
		observed_disk(world->have, layout_disk(world->layout, step->disk)->path);
	struct observed_partition *partition = disk->on ? disk->partitions.items :
		member(world->have, world->layout, step->disk);
	struct observed_luks nothing = {};

	if (partition)
		move_inside(&memory_of(world, partition->path)->luks, &nothing);
}

/* What an array holds is seen when it runs again, as long as nobody made another one. */
static void recall_array(struct world *world, const struct step *step)
{
	FOR_EACH_ITEM(struct observed_array, array, &world->have->arrays)
	{
		struct observed_array *known = observed_array(world->remembered, array->uuid);

		uint64_t n_missing = array->n_missing;

		if (!known)
			continue;
		if (step->kind == STEP_ARRAY_START) {
			record_deinit(&record_observed_array, array);
			record_copy(&record_observed_array, array, known);
			str_set(&array->mounted, NULL);
			str_set(&array->luks.mapped, NULL);
			array->n_missing = n_missing;
			array->active = true;
		}
		str_set(&known->uuid, "used up");
	}
}

static void forget_system(struct observed_system *system)
{
	list_deinit(&system->kernels, &record_observed_kernel);
	list_deinit(&system->stored, &record_observed_stored);
	str_set(&system->boot_owner, NULL);
	str_set(&system->loader, NULL);
	str_set(&system->grub, NULL);
	list_deinit(&system->grub_others, &record_observed_grub);
	str_set(&system->grub_core, NULL);
	str_set(&system->grub_config, NULL);
}

static void move_list(struct list *to, struct list *from, const struct record *record)
{
	list_deinit(to, record);
	*to = *from;
	*from = (struct list){};
}

/* Generated files are on the root itself. */
static void move_files(struct observed_system *to, struct observed_system *from)
{
	if (!from->files_known)
		return;
	list_deinit(&to->files, &record_observed_file);
	to->files = from->files;
	to->files_known = true;
	from->files = (struct list){};
	from->files_known = false;
}

/* What is in /boot, whatever that is on. */
static void move_boot(struct observed_system *to, struct observed_system *from)
{
	move_list(&to->kernels, &from->kernels, &record_observed_kernel);
	move_list(&to->stored, &from->stored, &record_observed_stored);
	move_list(&to->grub_others, &from->grub_others, &record_observed_grub);
	free(to->boot_owner);
	to->boot_owner = take_ptr(from->boot_owner);
	to->grub_core = take_ptr(from->grub_core);
	to->grub_config = take_ptr(from->grub_config);
}

/* The root is mounted: its kernels can be seen. */
static void show_system(struct world *world)
{
	struct observed_system *from = &world->remembered->system, *to = &world->have->system;

	if (!to->root)
		return;
	move_files(to, from);
	if (!to->loader)
		to->loader = take_ptr(from->loader);
	if (!to->grub)
		to->grub = take_ptr(from->grub);
	if (!to->kernels.n_items && plan_finds_boot(world->layout, world->have))
		move_boot(to, from);
}

void world_do(struct world *world, const struct step *step)
{
	if (step->kind == STEP_WIPE || step->kind == STEP_TABLE || step->kind == STEP_LUKS_FORMAT)
		forget_inside(world, step);
	if (step->kind == STEP_POOL_CREATE)
		forget_pool(world, step->pool);
	if (step->kind == STEP_UNPACK) {
		forget_system(&world->remembered->system);
		list_deinit(&world->have->system.files, &record_observed_file);
		world->have->system.files_known = false;
	}
	model_apply(world->layout, &world->options, world->have, step);
	if (step->kind == STEP_LUKS_OPEN)
		open_member(world, step);
	if (step->kind == STEP_POOL_IMPORT)
		import(world, step);
	if (step->kind == STEP_ARRAY_START || step->kind == STEP_ARRAY_CREATE)
		recall_array(world, step);
	if (step->kind == STEP_MOUNT || step->kind == STEP_BOOT_MOUNT)
		show_system(world);
}

static void remember_arrays(struct world *world)
{
	FOR_EACH_ITEM(struct observed_array, array, &world->have->arrays)
	{
		struct observed_array *known = observed_array(world->remembered, array->uuid);

		if (known)
			record_deinit(&record_observed_array, known);
		else
			known = list_add(&world->remembered->arrays, &record_observed_array);
		record_copy(&record_observed_array, known, array);
	}
	list_deinit(&world->have->arrays, &record_observed_array);
}

/* What was seen of it last: of one whose /boot is not mounted yet, what was known before. */
static void remember_system(struct observed_system *to, struct observed_system *from)
{
	str_set(&from->root, NULL);
	move_files(to, from);
	if (from->kernels.n_items)
		forget_system(to);
	if (from->loader)
		str_set(&to->loader, from->loader);
	if (from->grub)
		str_set(&to->grub, from->grub);
	if (from->kernels.n_items)
		move_boot(to, from);
	forget_system(from);
}

void world_cut_power(struct world *world)
{
	struct observed *have = world->have;

	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
	{
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		{
			str_set(&partition->mounted, NULL);
			str_set(&partition->held, NULL);
			if (!partition->luks.mapped)
				continue;
			str_set(&partition->luks.mapped, NULL);
			move_inside(&memory_of(world, partition->path)->luks, &partition->luks);
		}
	}
	FOR_EACH_ITEM(struct observed_pool, pool, &have->pools)
	{
		forget_pool(world, pool->name);
		record_copy(&record_observed_pool,
			    list_add(&world->remembered->pools, &record_observed_pool), pool);
	}
	list_deinit(&have->pools, &record_observed_pool);
	remember_arrays(world);
	if (have->system.root)
		remember_system(&world->remembered->system, &have->system);
	str_set(&have->system.running, NULL);
	str_set(&have->system.started_by, NULL);
	str_set(&have->system.boot_id, NULL);
}

/* tearing: a property of the root dataset, as far as it got */

static void set_root_state(struct world *world, const char *state)
{
	struct observed_pool *pool = observed_pool(world->have, world->layout->pool.name);
	_cleanup_free_ char *name =
		name_dataset(&world->layout->pool, layout_root(world->layout)->name);

	pair_set(&observed_dataset(pool, name)->properties, NAME_STATE_PROPERTY, state);
}

/* Wiped, with a header that is torn, or with one that is whole and has no key slot yet. */
static void tear_partition(struct observed_partition *partition, struct random *r)
{
	struct observed_luks *luks = &partition->luks;

	luks->n_keyslots = 0;
	switch (random_below(r, 3)) {
	case 0:
		luks->state = LUKS_NONE;
		str_set(&partition->content, NULL);
		break;
	case 1:
		luks->state = LUKS_UNREADABLE;
		break;
	default:
		luks->state = random_one_in(r, 2) ? LUKS_WHOLE : LUKS_SECONDARY_DAMAGED;
		return;
	}
	str_set(&luks->uuid, NULL);
	str_set(&luks->label, NULL);
	str_set(&luks->subsystem, NULL);
}

static void tear_luks(struct world *world, const struct step *step, struct random *r)
{
	struct observed_partition *partition;
	struct observed_luks *luks;

	world_do(world, step);
	partition = member(world->have, world->layout, step->disk);
	luks = &partition->luks;
	if (partition->bare) {
		tear_partition(partition, r);
		return;
	}
	switch (random_below(r, 4)) {
	case 0:
		luks->state = LUKS_NONE;
		luks->n_keyslots = 0;
		break;
	case 1:
		luks->state = LUKS_UNREADABLE;
		luks->n_keyslots = 0;
		str_set(&luks->label, NULL);
		str_set(&luks->subsystem, NULL);
		break;
	case 2:
		luks->n_keyslots = 0;
		break;
	default:
		luks->state = LUKS_PRIMARY_DAMAGED;
	}
}

static void tear_esp(struct world *world, const struct step *step, struct random *r)
{
	struct observed_disk *disk =
		observed_disk(world->have, layout_disk(world->layout, step->disk)->path);
	struct observed_esp *esp = &find_partition(world->layout, disk, ROLE_ESP, step->disk)->esp;

	world_do(world, step);
	if (random_one_in(r, 2))
		str_set(&esp->config, NULL);
	if (random_one_in(r, 2))
		str_set(&esp->loader, NULL);
	if (random_one_in(r, 2))
		list_deinit(&esp->entries, &record_observed_entry);
}

static void tear_pool(struct world *world, const struct step *step)
{
	struct list kept = {};

	FOR_EACH_ITEM(struct observed_disk, disk, &world->have->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
			if (streq(partition->content, "zfs_member") &&
			    strv_has(&observed_pool(world->have, step->pool)->devices, partition->path))
				str_set(&partition->held, NULL);

	FOR_EACH_ITEM(struct observed_pool, pool, &world->have->pools)
		if (!streq(pool->name, step->pool))
			record_copy(&record_observed_pool, list_add(&kept, &record_observed_pool),
				    pool);
	list_deinit(&world->have->pools, &record_observed_pool);
	world->have->pools = kept;
}

void world_tear(struct world *world, const struct step *step, struct random *r)
{
	switch (step->kind) {
	case STEP_LUKS_FORMAT:
		tear_luks(world, step, r);
		break;
	case STEP_ESP_SYNC:
		tear_esp(world, step, r);
		break;
	case STEP_UNPACK:
		set_root_state(world, STATE_POPULATING);
		break;
	case STEP_INITRD: /* images of some kernels are there, the state is not set */
		world_do(world, step);
		set_root_state(world, STATE_CONFIGURED "model");
		break;
	case STEP_POOL_CREATE: /* labels on the members, and no pool that could be imported */
		world_do(world, step);
		tear_pool(world, step);
		break;
	default: /* all or nothing */
		if (random_one_in(r, 2))
			world_do(world, step);
	}
}

struct plan *world_plan(const struct world *world, struct diag *diag)
{
	struct plan *plan = NULL;

	return plan_make(world->layout, world->have, &world->options, &plan, diag) ? NULL : plan;
}

#define ROUNDS_MAX 4 /* as cli/work.c */

int world_work(struct world *world, struct diag *diag)
{
	bool more = true;

	for (int i = 0; i < ROUNDS_MAX && more; i++) {
		_cleanup_(plan_freep) struct plan *plan = world_plan(world, diag);

		if (!plan)
			return -EINVAL;
		if (plan_count_consents_missing(plan))
			return -EEXIST;
		more = false;
		FOR_EACH_ITEM(struct step, step, &plan->steps)
		{
			world_do(world, step);
			more = step->kind == STEP_LOOK_AGAIN;
		}
	}
	return 0;
}

char *world_text(const struct world *world)
{
	struct json_object *json = observed_to_json(world->have);
	char *text = str_dup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));

	json_object_put(json);
	return text;
}
