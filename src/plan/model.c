/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What each kind of step does to the observed machine, as a value. The planner is tested
 * against this, and this against the real steps by every drill that ends in an empty plan.
 */

#include "base/file.h"
#include "boot/files.h"
#include "boot/store.h"
#include "boot/text.h"
#include "plan/name.h"
#include "plan/plan.h"

struct model {
	const struct layout *layout;
	const struct plan_options *options;
	struct observed *have;
	const struct step *step;
	struct observed_disk *disk; /* of step->disk, or NULL */
};

#define MODEL_POOL_GUID "1"
#define MODEL_HASH	"model"
#define MODEL_HOLDER	"the kernel"

/* Of the step, as it is wanted; the root's for a step of the system. */
static const struct layout_pool *wanted_pool(struct model *m)
{
	return m->step->pool ? layout_pool_named(m->layout, m->step->pool) : &m->layout->pool;
}

static struct observed_pool *pool_of(struct model *m)
{
	return observed_pool(m->have, wanted_pool(m)->name);
}

static struct observed_dataset *dataset_of(struct model *m, const char *name)
{
	_cleanup_free_ char *full = name_dataset(wanted_pool(m), name);

	return observed_dataset(pool_of(m), full);
}

static struct observed_partition *member_of(struct model *m)
{
	return find_partition(m->layout, m->disk, ROLE_MEMBER, m->step->disk);
}

static char *marked_uuid(struct model *m)
{
	uuid_t uuid = {};
	char text[37];

	name_mark_uuid(m->layout->id, uuid);
	uuid_unparse_lower(uuid, text);
	return str_dup(text);
}

/* A partition stays in its table, with nothing in it. */
static void blank_partition(struct observed_partition *partition)
{
	struct observed_partition kept = { .number = partition->number, .bare = partition->bare,
					   .path = take_ptr(partition->path),
					   .name = take_ptr(partition->name),
					   .uuid = take_ptr(partition->uuid),
					   .type = take_ptr(partition->type),
					   .start = partition->start, .size = partition->size };

	record_deinit(&record_observed_partition, partition);
	*partition = kept;
}

static void blank(struct observed_disk *disk)
{
	struct observed_disk kept = { .path = take_ptr(disk->path), .names = disk->names,
				      .model = take_ptr(disk->model),
				      .serial = take_ptr(disk->serial), .size = disk->size,
				      .sector_size = disk->sector_size,
				      .physical_sector_size = disk->physical_sector_size };

	disk->names = (struct strv)STRV_NULL;
	record_deinit(&record_observed_disk, disk);
	*disk = kept;
}

static void model_wipe(struct model *m)
{
	if (m->disk->on) {
		str_set(&m->disk->table, NULL);
		blank_partition(m->disk->partitions.items);
	} else {
		blank(m->disk);
	}
}

static void model_table(struct model *m)
{
	blank(m->disk);
	m->disk->table = str_dup("gpt");
	m->disk->table_uuid = marked_uuid(m);
	for (enum role role = 0; role < ROLE_MAX; role++) {
		struct observed_partition *partition;

		if (!role_wanted(m->layout, m->step->disk, role))
			continue;
		partition = list_add(&m->disk->partitions, &record_observed_partition);
		partition->number = m->disk->partitions.n_items;
		partition->path = str_printf("%s-part%llu", m->disk->path,
					     (unsigned long long)partition->number);
		partition->name = name_partition_new(role, m->step->disk);
		partition->uuid = marked_uuid(m);
		partition->type = str_dup(roles[role].type);
	}
}

static void model_esp_format(struct model *m)
{
	struct observed_partition *esp = find_partition(m->layout, m->disk, ROLE_ESP, m->step->disk);

	str_set(&esp->content, "vfat");
	esp->esp.readable = true;
}

/* A header with one slot; `label` is taken. */
static void encrypt(struct model *m, char **content, struct observed_luks *luks, char *label)
{
	str_set(content, "crypto_LUKS");
	luks->state = LUKS_WHOLE;
	luks->n_keyslots = 1;
	free(luks->uuid);
	luks->uuid = str_printf(MODEL_HASH "-%s", m->step->disk);
	free(luks->label);
	free(luks->subsystem);
	luks->label = label;
	luks->subsystem = name_subsystem(m->layout);
}

static void model_luks_format(struct model *m)
{
	struct observed_partition *member = m->disk->on ? m->disk->partitions.items : member_of(m);

	encrypt(m, &member->content, &member->luks, name_label_new(m->step->disk));
}

static enum role role_of(struct model *m)
{
	enum role role = 0;

	while (role < ROLE_MAX && !streq(roles[role].name, m->step->object))
		role++;
	return role;
}

static struct observed_array *array_of(struct model *m, enum role role)
{
	_cleanup_free_ char *uuid = name_array_uuid(m->layout->id, role);

	return observed_array(m->have, uuid);
}

/* Every part that is there joins, or that of one disk. */
static void join(struct model *m, enum role role, const char *only)
{
	struct observed_array *array = array_of(m, role);
	uint64_t n = 0;

	FOR_EACH_DISK(want, m->layout)
	{
		struct observed_disk *disk = observed_disk(m->have, want->path);
		struct observed_partition *part =
			disk ? find_partition(m->layout, disk, role, want->name) : NULL;

		if (part && (!only || streq(only, want->name))) {
			str_set(&part->array, array->uuid);
			str_set(&part->held, array->path + strlen("/dev/"));
			str_set(&part->content, "linux_raid_member");
		}
		n += part && part->held;
	}
	array->n_missing = array->n_disks - MIN_OF(n, array->n_disks);
}

static struct observed_array *run_array(struct model *m, enum role role)
{
	struct observed_array *array = array_of(m, role);

	if (!array) {
		array = list_add(&m->have->arrays, &record_observed_array);
		array->path = str_printf("/dev/md_%s", roles[role].name);
		array->uuid = name_array_uuid(m->layout->id, role);
	}
	array->active = true;
	array->n_disks = role_count(m->layout, role);
	return array;
}

static void model_array_create(struct model *m)
{
	struct observed_array *array = run_array(m, role_of(m));

	array->syncing = true;
	str_set(&array->content, NULL);
	join(m, role_of(m), NULL);
}

static void model_array_start(struct model *m)
{
	(void)run_array(m, role_of(m));
	join(m, role_of(m), NULL);
}

static void model_array_add(struct model *m)
{
	array_of(m, role_of(m))->syncing = true;
	join(m, role_of(m), m->step->disk);
}

static void model_array_sync(struct model *m)
{
	array_of(m, role_of(m))->syncing = false;
}

static void model_boot_format(struct model *m)
{
	str_set(&array_of(m, ROLE_BOOT)->content,
		m->layout->boot.filesystem == BOOT_EXT2 ? "ext2" : "ext4");
}

static void model_key_format(struct model *m)
{
	struct observed_array *array = array_of(m, ROLE_KEY);

	encrypt(m, &array->content, &array->luks, name_key_label(m->layout));
}

static void model_settle(struct model *m)
{
	for (enum role role = 0; role < ROLE_MAX; role++) {
		_cleanup_free_ char *name = name_partition(role, m->step->disk);

		if (streq(name, m->step->object))
			str_set(&find_partition(m->layout, m->disk, role, m->step->disk)->name, name);
	}
}

static void model_luks_open(struct model *m)
{
	str_set(&member_of(m)->luks.mapped, m->step->object);
}

/* The members hold the pool now, or the partitions of a further one. */
static void fill_disks(struct model *m, struct observed_pool *pool)
{
	const struct layout_pool *wanted = wanted_pool(m);

	FOR_EACH_DISK(want, m->layout)
	{
		enum role role = role_of_pool(m->layout, wanted);
		struct observed_disk *disk = observed_disk(m->have, want->path);
		struct observed_partition *partition =
			disk && layout_pool_of(m->layout, want->name, NULL) == wanted ?
				find_partition(m->layout, disk, role, want->name) :
				NULL;

		if (!partition)
			continue;
		if (role == ROLE_DATA) {
			str_set(&partition->content, "zfs_member");
			str_set(&partition->pool, pool->guid);
			str_set(&partition->held, MODEL_HOLDER);
			strv_add(&pool->devices, partition->path);
			continue;
		}
		str_set(&partition->luks.inside, "zfs_member");
		str_set(&partition->luks.inside_label, pool->name);
		str_set(&partition->luks.inside_uuid, pool->guid);
	}
}

static bool is_encrypted(const struct list *properties)
{
	const char *encryption = pair_get(properties, "encryption");

	return encryption && !streq(encryption, "off");
}

static void model_pool_create(struct model *m)
{
	const struct layout_pool *want = wanted_pool(m);
	struct observed_pool *pool = list_add(&m->have->pools, &record_observed_pool);
	struct observed_dataset *top;

	pool->name = str_dup(want->name);
	pool->guid = str_dup(MODEL_POOL_GUID);
	pool->health = str_dup("ONLINE");
	pool->altroot = str_dup(m->options->target);
	top = list_add(&pool->datasets, &record_observed_dataset);
	top->name = str_dup(pool->name);
	top->type = str_dup("filesystem");
	if (is_encrypted(&want->filesystem_properties))
		top->encryption_root = str_dup(top->name);
	pair_set(&top->properties, NAME_SET_PROPERTY, m->layout->id);
	FOR_EACH_ITEM(struct pair, property, &want->filesystem_properties)
		pair_set(&top->properties, property->name, property->value);
	FOR_EACH_ITEM(struct pair, property, &want->properties)
		pair_set(&pool->properties, property->name, property->value);
	fill_disks(m, pool);
}

static void model_key_load(struct model *m)
{
	FOR_EACH_ITEM(struct observed_dataset, dataset, &pool_of(m)->datasets)
		if (streq(dataset->encryption_root, m->step->object))
			dataset->locked = false;
}

static void model_luks_filled(struct model *m)
{
	str_set(&member_of(m)->luks.label, m->step->object);
}

static void model_enroll(struct model *m)
{
	uint64_t generation = 0;

	for (int pass = 0; pass < 2; pass++)
		FOR_EACH_MEMBER_DISK(want, m->layout)
		{
			struct observed_disk *disk = observed_disk(m->have, want->path);
			struct observed_partition *member =
				disk ? find_partition(m->layout, disk, ROLE_MEMBER, want->name) : NULL;

			if (member && pass == 0)
				generation = MAX_OF(generation, member->luks.generation);
			else if (member)
				member->luks.generation = generation + 1;
		}
}

static void model_pool_set(struct model *m)
{
	pair_set(&pool_of(m)->properties, m->step->object, m->step->value);
}

/* What a new dataset inherits. */
static const char *encryption_root_above(struct model *m, const char *name)
{
	_cleanup_free_ char *at = str_dup(name);

	for (char *slash = strrchr(at, '/'); slash; slash = strrchr(at, '/')) {
		struct observed_dataset *dataset;

		*slash = '\0';
		dataset = observed_dataset(pool_of(m), at);
		if (dataset)
			return dataset->encryption_root;
	}
	return NULL;
}

static void for_members(struct model *m, void (*change)(struct observed_luks *luks))
{
	FOR_EACH_MEMBER_DISK(want, m->layout)
	{
		struct observed_disk *disk = observed_disk(m->have, want->path);
		struct observed_partition *member =
			disk ? find_partition(m->layout, disk, ROLE_MEMBER, want->name) : NULL;

		if (member)
			change(&member->luks);
	}
}

static void gain_key(struct observed_luks *luks)
{
	luks->key_slot = 1;
}

static void lose_key(struct observed_luks *luks)
{
	luks->key_slot = 0;
}

static void lose_peers(struct observed_luks *luks)
{
	luks->generation = 0;
}

static void model_key_enroll(struct model *m)
{
	for_members(m, gain_key);
}

static void model_peer_remove(struct model *m)
{
	for_members(m, lose_peers);
}

static void model_key_remove(struct model *m)
{
	struct observed_luks *luks;

	for_members(m, lose_key);
	if (!m->step->object)
		return;
	luks = &array_of(m, ROLE_KEY)->luks;
	luks->n_keyslots = 0;
	str_set(&luks->label, NAME_KEY_LABEL_NEW);
}

static struct observed_dataset *add_dataset(struct model *m, const char *type,
					    const struct list *properties)
{
	struct observed_dataset *dataset =
		list_add(&pool_of(m)->datasets, &record_observed_dataset);

	dataset->name = name_dataset(wanted_pool(m), m->step->object);
	dataset->type = str_dup(type);
	dataset->encryption_root = str_dup(is_encrypted(properties) ?
						   dataset->name :
						   encryption_root_above(m, dataset->name));
	FOR_EACH_ITEM(struct pair, property, properties)
		pair_set(&dataset->properties, property->name, property->value);
	return dataset;
}

static void model_dataset_create(struct model *m)
{
	FOR_EACH_ITEM(struct layout_dataset, want, &wanted_pool(m)->datasets)
	{
		struct observed_dataset *dataset;

		if (!streq(want->name, m->step->object))
			continue;
		dataset = add_dataset(m, "filesystem", &want->properties);
		if (want->mountpoint)
			pair_set(&dataset->properties, "mountpoint", want->mountpoint);
	}
}

static void model_volume_create(struct model *m)
{
	FOR_EACH_ITEM(struct layout_volume, want, &wanted_pool(m)->volumes)
	{
		struct observed_dataset *dataset;

		if (!streq(want->name, m->step->object))
			continue;
		dataset = add_dataset(m, "volume", &want->properties);
		if (layout_is_swap(m->layout, wanted_pool(m), want))
			pair_set(&dataset->properties, NAME_STATE_PROPERTY, STATE_NEW);
	}
}

static void model_property_set(struct model *m)
{
	const char *space = strchr(m->step->object, ' ');
	_cleanup_free_ char *name =
		str_printf("%.*s", (int)(space - m->step->object), m->step->object);
	struct observed_dataset *dataset = observed_dataset(pool_of(m), space + 1);

	pair_set(&dataset->properties, name, m->step->value);
}

static void model_swap_format(struct model *m)
{
	pair_set(&dataset_of(m, m->step->object)->properties, NAME_STATE_PROPERTY, STATE_DONE);
}

static void model_mount(struct model *m)
{
	struct observed_dataset *dataset = dataset_of(m, m->step->object);
	const char *mountpoint = pair_get(&dataset->properties, "mountpoint");

	str_set(&dataset->mounted, mountpoint ? mountpoint : "/inherited");
	if (streq(mountpoint, "/"))
		str_set(&m->have->system.root, m->options->target);
}

static void model_boot_mount(struct model *m)
{
	str_set(&array_of(m, ROLE_BOOT)->mounted, "/boot");
}

static void set_state(struct model *m, const char *state)
{
	_cleanup_free_ char *value = str_printf("%s" MODEL_HASH, state);

	pair_set(&dataset_of(m, m->step->object)->properties, NAME_STATE_PROPERTY, value);
}

static void model_unpack(struct model *m)
{
	set_state(m, STATE_UNPACKED);
	str_set(&m->have->system.loader, MODEL_HASH);
	if (layout_boots_bios(m->layout))
		str_set(&m->have->system.grub, MODEL_HASH);
}

static void set_file(struct observed_system *system, const struct boot_file *file)
{
	struct list kept = {};

	FOR_EACH_ITEM(struct observed_file, have, &system->files)
		if (!streq(have->path, file->path))
			record_copy(&record_observed_file, list_add(&kept, &record_observed_file),
				    have);
	if (file->text) {
		struct observed_file *now = list_add(&kept, &record_observed_file);

		now->path = str_dup(file->path);
		now->text = str_dup(file->text);
	}
	list_deinit(&system->files, &record_observed_file);
	system->files = kept;
}

static bool leaves(struct model *m, const struct boot_file *file)
{
	return m->step->kind == STEP_SWITCH &&
	       boot_file_outlives_move(file, observed_file(m->have, file->path));
}

/* All of them but what SWITCH leaves, or the one at `path`; true when an initramfs has it, too. */
static bool write_files(struct model *m, const char *path)
{
	_cleanup_boot_files_ struct boot_files files = {};
	bool in_image = false;

	boot_files(m->layout, m->have, &files);
	for (size_t i = 0; i < files.n_items; i++) {
		if (path ? !streq(files.items[i].path, path) : leaves(m, &files.items[i]))
			continue;
		set_file(&m->have->system, &files.items[i]);
		in_image |= files.items[i].in_image;
	}
	m->have->system.files_known = true;
	return in_image;
}

static void model_file_write(struct model *m)
{
	_cleanup_free_ char *root = name_dataset(&m->layout->pool, layout_root(m->layout)->name);

	if (write_files(m, m->step->object))
		pair_set(&observed_dataset(pool_of(m), root)->properties, NAME_STATE_PROPERTY,
			 STATE_CONFIGURED MODEL_HASH);
}

/* And SWITCH of a system that was configured for another unlock: */
static void model_configure(struct model *m)
{
	(void)write_files(m, NULL);
	set_state(m, STATE_CONFIGURED);
	pair_set(&dataset_of(m, m->step->object)->properties, NAME_UNLOCK_PROPERTY,
		 layout_unlock_name(m->layout->encryption.unlock));
}

/* An image is what the files say that go into it. */
static char *image_hash(struct model *m)
{
	_cleanup_boot_files_ struct boot_files files = {};
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	char hash[HASH_HEX_SIZE];

	boot_files(m->layout, m->have, &files);
	for (size_t i = 0; i < files.n_items; i++)
		if (files.items[i].in_image && files.items[i].text)
			strbuf_add(&b, files.items[i].text);
	(void)data_hash(b.data, b.size, hash);
	return str_printf(MODEL_HASH "%.8s", hash);
}

static void model_initrd(struct model *m)
{
	struct observed_system *system = &m->have->system;
	struct list *kernels = &system->kernels;

	set_state(m, STATE_DONE);
	pair_set(&dataset_of(m, m->step->object)->properties, NAME_IMAGES_PROPERTY,
		 system->boot_id ? system->boot_id : MODEL_HASH);
	if (!kernels->n_items) {
		struct observed_kernel *kernel = list_add(kernels, &record_observed_kernel);

		kernel->version = str_dup(MODEL_HASH);
		kernel->has_zfs = true;
	}
	FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
	{
		free(kernel->hash);
		kernel->hash = image_hash(m);
	}
}

static void model_boot_take(struct model *m)
{
	store_model_take(m->layout, m->have);
}

static void model_boot_sync(struct model *m)
{
	const char *root = layout_root(m->layout)->name;

	if (!store_in_step(m->layout, m->have, m->options->filling))
		pair_set(&dataset_of(m, root)->properties, NAME_IMAGES_PROPERTY,
			 m->have->system.boot_id ? m->have->system.boot_id : MODEL_HASH);
	store_model(m->layout, m->have, m->options->filling);
	free(m->have->system.grub_config);
	m->have->system.grub_config = store_menu(m->layout, m->have, m->options->filling);
}

static void model_grub_install(struct model *m)
{
	struct observed_system *system = &m->have->system;

	str_set(&system->grub_core, MODEL_HASH);
	str_set(&find_partition(m->layout, m->disk, ROLE_BIOS, m->step->disk)->grub, MODEL_HASH);
}

static void model_grub_remove(struct model *m)
{
	list_deinit(&m->have->system.grub_others, &record_observed_grub);
}

/* An ESP as a sync finds it, and what it has afterwards. */
struct menu {
	const struct observed_esp *was;
	struct environments list;
	struct list entries; /* of struct observed_entry */
};

/* As it was found, with a counter when it is new among others. */
static bool is_counted(const struct menu *menu, const char *name)
{
	size_t n = strlen(name) - strlen(".conf");

	FOR_EACH_ITEM(struct observed_entry, entry, &menu->was->entries)
		if (strncmp(entry->file, name, n) == 0 && strchr("+.", entry->file[n]))
			return entry->counting;
	return menu->was->entries.n_items || menu->entries.n_items;
}

static struct observed_entry *add_entry(struct model *m, struct menu *menu,
					const struct environment *environment,
					const char *version, const char *hash)
{
	const struct environment *in_menu = environment_in_menu(&menu->list, environment);
	const struct observed_system *system = &m->have->system;
	_cleanup_free_ char *name = boot_entry_name(in_menu, version, hash);
	bool counting = is_counted(menu, name) &&
			!(environment->current &&
			  boot_came_up(system->running, system->started_by, version, hash));
	struct observed_entry *entry = list_add(&menu->entries, &record_observed_entry);

	entry->file = counting ? boot_entry_counted(name) : str_dup(name);
	entry->counting = counting;
	entry->version = str_dup(version);
	entry->hash = str_dup(hash);
	entry->options = boot_cmdline(m->layout, in_menu);
	entry->sort_key = boot_entry_sort_key(in_menu);
	return entry;
}

/* What it has on other disks; nobody knows what is inside of one that has nothing. */
static void add_entries_of(struct model *m, const struct environment *other, struct menu *menu)
{
	struct list known = {};

	environment_entries(m->layout, m->have, other, &known);
	FOR_EACH_ITEM(struct observed_entry, entry, &known)
		(void)add_entry(m, menu, other, entry->version, entry->hash);
	if (!known.n_items)
		(void)add_entry(m, menu, other, MODEL_HASH, MODEL_HASH);
	list_deinit(&known, &record_observed_entry);
}

static bool is_in_boot(const struct model *m, const char *hash)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, &m->have->system.kernels)
		if (kernel->has_zfs && streq(kernel->hash, hash))
			return true;
	return false;
}

static bool has_image(const struct menu *menu, const char *hash)
{
	FOR_EACH_ITEM(struct observed_entry, entry, &menu->entries)
		if (streq(entry->hash, hash))
			return true;
	return false;
}

/* The same image where it is, as the version before. */
static void keep_as_before(struct model *m, struct menu *menu, const char *version, const char *hash)
{
	const struct environment *current = &menu->list.items[0];
	struct observed_entry *entry = add_entry(m, menu, current, version, hash);

	free(entry->file);
	free(entry->version);
	entry->file = boot_entry_name(environment_in_menu(&menu->list, current), version, hash);
	entry->version = boot_version_before(version);
	entry->counting = false;
}

static void keep_uncounted(struct model *m, struct menu *menu)
{
	const struct environment *current = &menu->list.items[0];

	FOR_EACH_ITEM(struct observed_entry, was, &menu->was->entries)
	{
		_cleanup_free_ char *version = boot_version_plain(was->version);

		if ((boot_version_is_before(was->version) || !was->counting) && !has_image(menu, was->hash) &&
		    environment_is_started_by(was->options, current->dataset, true))
			keep_as_before(m, menu, version, was->hash);
	}
}

/*
 * What it was started by stays where it is, when it is not among the kernels any more; when the system
 * does not run, whatever has no counter.
 */
static void add_before(struct model *m, struct menu *menu)
{
	const struct observed_system *system = &m->have->system;
	_cleanup_free_ char *hash = boot_entry_hash(system->started_by, system->running);
	bool there = false;

	if (!system->running)
		keep_uncounted(m, menu);
	FOR_EACH_ITEM(struct observed_entry, entry, &menu->was->entries)
		there |= hash && streq(entry->hash, hash);
	if (there && !is_in_boot(m, hash))
		keep_as_before(m, menu, system->running, hash);
}

/* Of another environment that stays as it is, but for its place. */
static void keep_before_of(const struct environment *other, struct menu *menu)
{
	FOR_EACH_ITEM(struct observed_entry, was, &menu->was->entries)
		if (boot_version_is_before(was->version) &&
		    environment_is_started_by(was->options, other->dataset, false)) {
			struct observed_entry *entry = list_add(&menu->entries, &record_observed_entry);

			record_copy(&record_observed_entry, entry, was);
			free(entry->sort_key);
			entry->sort_key = boot_entry_sort_key(other);
		}
}

static void model_esp_sync(struct model *m)
{
	struct observed_esp *esp = &find_partition(m->layout, m->disk, ROLE_ESP, m->step->disk)->esp;
	struct menu menu = { .was = esp };

	environments_make(m->layout, m->have, m->options->filling, &menu.list);
	FOR_EACH_ITEM(struct observed_kernel, kernel, &m->have->system.kernels)
		if (kernel->has_zfs)
			(void)add_entry(m, &menu, &menu.list.items[0], kernel->version,
					kernel->hash);
	add_before(m, &menu);
	FOR_EACH_ENVIRONMENT(other, &menu.list)
		if (!other->current && !other->half_made) {
			add_entries_of(m, other, &menu);
			keep_before_of(other, &menu);
		}
	environments_deinit(&menu.list);
	record_deinit(&record_observed_esp, esp);
	*esp = (struct observed_esp){ .readable = true,
				      .loader = str_dup(m->have->system.loader),
				      .config = boot_loader_conf(m->layout),
				      .entries = menu.entries };
}

/* Importing brings back what was closed; only whoever closed it knows what that is. */
static void (*const models[STEP_KIND_MAX])(struct model *m) = {
	[STEP_WIPE] = model_wipe,
	[STEP_TABLE] = model_table,
	[STEP_ESP_FORMAT] = model_esp_format,
	[STEP_LUKS_FORMAT] = model_luks_format,
	[STEP_ARRAY_CREATE] = model_array_create,
	[STEP_BOOT_FORMAT] = model_boot_format,
	[STEP_KEY_FORMAT] = model_key_format,
	[STEP_SETTLE] = model_settle,
	[STEP_ARRAY_START] = model_array_start,
	[STEP_ARRAY_ADD] = model_array_add,
	[STEP_LUKS_OPEN] = model_luks_open,
	[STEP_POOL_CREATE] = model_pool_create,
	[STEP_LUKS_FILLED] = model_luks_filled,
	[STEP_POOL_IMPORT] = NULL,
	[STEP_KEY_LOAD] = model_key_load,
	[STEP_LOOK_AGAIN] = NULL,
	[STEP_ENROLL] = model_enroll,
	[STEP_KEY_ENROLL] = model_key_enroll,
	[STEP_POOL_SET] = model_pool_set,
	[STEP_DATASET_CREATE] = model_dataset_create,
	[STEP_VOLUME_CREATE] = model_volume_create,
	[STEP_PROPERTY_SET] = model_property_set,
	[STEP_SWAP_FORMAT] = model_swap_format,
	[STEP_MOUNT] = model_mount,
	[STEP_BOOT_MOUNT] = model_boot_mount,
	[STEP_BOOT_TAKE] = model_boot_take,
	[STEP_UNPACK] = model_unpack,
	[STEP_CONFIGURE] = model_configure,
	[STEP_FILE_WRITE] = model_file_write,
	[STEP_SWITCH] = model_configure,
	[STEP_INITRD] = model_initrd,
	[STEP_BOOT_SYNC] = model_boot_sync,
	[STEP_GRUB_INSTALL] = model_grub_install,
	[STEP_GRUB_REMOVE] = model_grub_remove,
	[STEP_ESP_SYNC] = model_esp_sync,
	[STEP_ARRAY_SYNC] = model_array_sync,
	[STEP_PEER_REMOVE] = model_peer_remove,
	[STEP_KEY_REMOVE] = model_key_remove,
};

void model_apply(const struct layout *layout, const struct plan_options *options,
		 struct observed *have, const struct step *step)
{
	const struct layout_disk *want = step->disk ? layout_disk(layout, step->disk) : NULL;
	struct model m = { .layout = layout, .options = options, .have = have, .step = step,
			   .disk = want ? observed_disk(have, want->path) : NULL };

	if (models[step->kind])
		models[step->kind](&m);
}
