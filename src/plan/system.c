/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operating system, and what each disk needs to boot it alone. */

#include "boot/files.h"
#include "boot/store.h"
#include "boot/text.h"
#include "layout/paths.h"
#include "plan/internal.h"

/* A property of the root dataset, or NULL. */
static const char *root_property(const struct planner *p, const char *name)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&p->layout->pool, layout_root(p->layout)->name);
	const struct observed_dataset *have = pool ? observed_dataset(pool, root) : NULL;

	return have ? pair_get(&have->properties, name) : NULL;
}

static struct step *add_esp_sync(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *esp = name_partition(ROLE_ESP, d->want->name);

	return planner_add(p, STEP_ESP_SYNC, d->want->name, esp,
			   "put the boot loader and the kernels on '%s'", d->want->name);
}

/* Only with others does it matter which one comes first. */
static bool is_sorted(const struct environment *in_menu, const struct observed_entry *entry)
{
	_cleanup_free_ char *sort_key = boot_entry_sort_key(in_menu);

	return !in_menu || streq(entry->sort_key, sort_key);
}

static bool came_up(const struct planner *p, const struct observed_kernel *kernel)
{
	const struct observed_system *system = &p->have->system;

	return boot_came_up(system->running, system->started_by, kernel->version, kernel->hash);
}

static bool has_entry(const struct planner *p, const struct environment *in_menu,
		      const struct observed_esp *esp, const struct observed_kernel *kernel)
{
	_cleanup_free_ char *cmdline = boot_cmdline(p->layout, in_menu);

	FOR_EACH_ITEM(struct observed_entry, entry, &esp->entries)
		if (streq(entry->version, kernel->version) && streq(entry->hash, kernel->hash) &&
		    streq(entry->options, cmdline) && is_sorted(in_menu, entry))
			return !(entry->counting && came_up(p, kernel));
	return false;
}

static bool has_entry_of(const struct environment *other, const struct observed_esp *esp,
			 const struct observed_entry *wanted)
{
	FOR_EACH_ITEM(struct observed_entry, entry, &esp->entries)
		if (streq(entry->version, wanted->version) && streq(entry->hash, wanted->hash) &&
		    environment_is_started_by(entry->options, other->dataset, false) &&
		    is_sorted(other, entry))
			return true;
	return false;
}

/* What another environment has on any disk, it has on each. Adds the number to `ret_n`. */
static bool has_entries_of(const struct planner *p, const struct environment *other,
			   const struct observed_esp *esp, size_t *ret_n)
{
	struct list wanted = {};
	bool all;

	environment_entries(p->layout, p->have, other, &wanted);
	*ret_n += wanted.n_items;
	all = wanted.n_items > 0;
	FOR_EACH_ITEM(struct observed_entry, entry, &wanted)
		all = all && has_entry_of(other, esp, entry);
	list_deinit(&wanted, &record_observed_entry);
	return all;
}

static bool has_others(const struct planner *p, const struct environments *list,
		       const struct observed_esp *esp, size_t *ret_n)
{
	FOR_EACH_ENVIRONMENT(other, list)
		if (!other->current && !other->half_made && !has_entries_of(p, other, esp, ret_n))
			return false;
	return true;
}

/* The hash of what the machine was started by, when /boot has another image of it by now. */
static char *hash_before(const struct planner *p)
{
	const struct observed_system *system = &p->have->system;

	FOR_EACH_ITEM(struct observed_kernel, kernel, &system->kernels)
		if (kernel->has_zfs && came_up(p, kernel))
			return NULL;
	return boot_entry_hash(system->started_by, system->running);
}

static bool is_as_before(const struct planner *p, const struct environment *in_menu,
			 const struct observed_entry *entry)
{
	_cleanup_free_ char *cmdline = boot_cmdline(p->layout, in_menu);

	return boot_version_is_before(entry->version) && streq(entry->options, cmdline) &&
	       is_sorted(in_menu, entry) && !entry->counting;
}

static bool stays(const struct planner *p, const struct observed_entry *entry, const char *hash)
{
	const struct observed_system *system = &p->have->system;

	if (system->running)
		return hash && streq(entry->hash, hash);
	FOR_EACH_ITEM(struct observed_kernel, kernel, &system->kernels)
		if (kernel->has_zfs && streq(kernel->hash, entry->hash))
			return false;
	return !entry->counting || boot_version_is_before(entry->version);
}

/*
 * Images that stay as the version before (boot/esp.h), where they are: of the current system the one
 * that it was started by, or all that may be this when it does not run; of others whatever there is.
 * Adds the number to `ret_n`.
 */
static bool has_before(const struct planner *p, const struct environments *list,
		       const struct observed_esp *esp, size_t *ret_n)
{
	_cleanup_free_ char *hash = hash_before(p);

	FOR_EACH_ITEM(struct observed_entry, entry, &esp->entries)
		FOR_EACH_ENVIRONMENT(environment, list)
		{
			const struct environment *in_menu =
				environment_in_menu(list, environment);
			bool current = environment->current;

			if (environment->half_made ||
			    !environment_is_started_by(entry->options, environment->dataset,
						       current) ||
			    !(current ? stays(p, entry, hash) :
					boot_version_is_before(entry->version)))
				continue;
			if (!(current ? is_as_before(p, in_menu, entry) : is_sorted(in_menu, entry)))
				return false;
			++*ret_n;
		}
	return true;
}

static bool in_step(const struct planner *p, const struct observed_esp *esp)
{
	const struct observed_system *system = &p->have->system;
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	_cleanup_free_ char *config = boot_loader_conf(p->layout);
	const struct environment *in_menu;
	size_t n_publishable = 0;

	environments_make(p->layout, p->have, p->options->filling, &list);
	in_menu = environment_in_menu(&list, &list.items[0]);

	if (!esp->readable || !streq(esp->loader, system->loader) ||
	    !streq(esp->config, config))
		return false;
	FOR_EACH_ITEM(struct observed_kernel, kernel, &system->kernels)
	{
		n_publishable += kernel->has_zfs;
		if (kernel->has_zfs && !has_entry(p, in_menu, esp, kernel))
			return false;
	}
	return has_before(p, &list, esp, &n_publishable) &&
	       has_others(p, &list, esp, &n_publishable) && esp->entries.n_items == n_publishable;
}

/* What goes out of a menu and what comes in, but for kernels; NULL without any. */
static char *menu_difference(const struct planner *p, const struct observed_esp *esp)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	_cleanup_strbuf_ struct strbuf is = STRBUF_NULL, wanted = STRBUF_NULL;
	_cleanup_free_ char *config = boot_loader_conf(p->layout), *cmdline = NULL, *lines = NULL;
	_cleanup_strv_ struct strv others = STRV_NULL;

	environments_make(p->layout, p->have, p->options->filling, &list);
	cmdline = boot_cmdline(p->layout, environment_in_menu(&list, &list.items[0]));
	strbuf_add(&is, esp->config ? esp->config : config);
	strbuf_add(&wanted, config);
	FOR_EACH_ITEM(struct observed_entry, entry, &esp->entries)
		if (environment_is_started_by(entry->options, list.items[0].dataset, true) &&
		    !streq(entry->options, cmdline) && !strv_has(&others, entry->options))
			strv_add(&others, entry->options);
	for (size_t i = 0; i < others.n_items; i++)
		strbuf_printf(&is, "options %s\n", others.items[i]);
	if (others.n_items)
		strbuf_printf(&wanted, "options %s\n", cmdline);
	lines = boot_file_difference(is.data, wanted.data);
	return is_empty(lines) ? NULL : take_ptr(lines);
}

static void check_kernels(struct planner *p)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, &p->have->system.kernels)
	{
		if (kernel->has_zfs)
			continue;
		diag_warning(p->diag, "kernel %s has no initramfs with its own zfs.ko and is not "
			     "put on any disk: it would not find its root", kernel->version);
		diag_hint(p->diag, "dkms status shows whether the module was built for it");
	}
}

/* A blank disk gets a table only together with the pool: later it has nothing to put them on. */
static bool can_sync(const struct planner *p, const struct planned_disk *d)
{
	const struct observed_partition *esp;

	if (!role_wanted(p->layout, d->want->name, ROLE_ESP))
		return false;
	if (d->state != DISK_OURS)
		return d->state == DISK_BLANK &&
		       !observed_pool(p->have, p->layout->pool.name);
	esp = find_partition(p->layout, d->have, ROLE_ESP, d->want->name);
	return esp && (partition_is_new(esp) || streq(esp->content, "vfat"));
}

static bool can_take_grub(const struct planner *p, const struct planned_disk *d)
{
	if (!role_wanted(p->layout, d->want->name, ROLE_BIOS))
		return false;
	if (d->state != DISK_OURS)
		return d->state == DISK_BLANK &&
		       !observed_pool(p->have, p->layout->pool.name);
	return find_partition(p->layout, d->have, ROLE_BIOS, d->want->name) != NULL;
}

static struct step *add_boot_sync(struct planner *p)
{
	return planner_add(p, STEP_BOOT_SYNC, NULL, roles[ROLE_BOOT].name,
			   "write GRUB's menu of kernels");
}

static void add_grub(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *bios = name_partition(ROLE_BIOS, d->want->name);

	(void)planner_add(p, STEP_GRUB_INSTALL, d->want->name, bios, "install GRUB on '%s'",
			  d->want->name);
}

/* A leg of /boot that is not there, or a disk, may come back as it was; one being copied is in pieces. */
static bool any_bios_disk_is_away(const struct planner *p)
{
	const struct observed_array *boot = planner_array(p, ROLE_BOOT);

	if (boot && boot->active && boot->n_missing)
		return true;
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (role_wanted(p->layout, d->want->name, ROLE_BIOS) &&
		    (d->state != DISK_OURS || !can_take_grub(p, d)))
			return true;
	return false;
}

static bool is_grub_of_before(const struct observed_system *system, const char *core)
{
	FOR_EACH_ITEM(struct observed_grub, other, &system->grub_others)
		if (streq(other->core, core))
			return true;
	return false;
}

/*
 * GRUB reads /boot from whichever leg comes first. A newer one waits until all are there: on the leg that
 * was away its files are not, and the one of before is whole on each.
 */
static bool grub_in_step(const struct planner *p, const struct planned_disk *d)
{
	const struct observed_system *system = &p->have->system;
	const char *core = find_partition(p->layout, d->have, ROLE_BIOS, d->want->name)->grub;

	return core && (streq(core, system->grub_core) ||
			(any_bios_disk_is_away(p) && is_grub_of_before(system, core)));
}

/* Everything that a disk needs to start the machine, onto each of them. */
static void add_syncs(struct planner *p)
{
	if (role_wants_array(p->layout, ROLE_BOOT))
		(void)add_boot_sync(p);
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (can_take_grub(p, d) &&
		    (d->state != DISK_OURS || planner_has(p, STEP_UNPACK, NULL) || !grub_in_step(p, d)))
			add_grub(p, d);
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (can_sync(p, d))
			(void)add_esp_sync(p, d);
}

/* Whoever made it: nothing is unpacked over what has kernels, or says what is mounted. */
static bool refuse_system_of_others(struct planner *p)
{
	const struct observed_system *system = &p->have->system;

	if (!system->root || (!system->kernels.n_items && !observed_file(p->have, PATH_FSTAB)))
		return false;
	planner_refuse(p, "%s/%s holds a system that eyrie did not make: none is unpacked over it",
		       p->layout->pool.name, layout_root(p->layout)->name);
	diag_hint(p->diag, "a layout without 'system:' goes on with it as it is");
	return true;
}

/* Members that the plan goes on without, a space between them; NULL without any. */
static char *names_missing(const struct planner *p)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->state == DISK_MISSING)
			strv_add(&names, d->want->name);
	return names.n_items ? strv_join(&names, " ") : NULL;
}

static void plan_installation(struct planner *p, const char *state)
{
	const char *source = p->layout->system.tarball ? p->layout->system.tarball :
							 p->layout->system.suite;
	const struct layout_dataset *root = layout_root(p->layout);

	if (!starts_with(state, STATE_UNPACKED) && !starts_with(state, STATE_CONFIGURED)) {
		struct step *step = planner_add(p, STEP_UNPACK, NULL, root->name,
						"unpack the system (%s) into %s/%s", source,
						p->layout->pool.name, root->name);

		if (starts_with(state, STATE_POPULATING))
			step->destroys = str_dup("a system that was unpacked half");
	}
	if (!starts_with(state, STATE_CONFIGURED))
		planner_add(p, STEP_CONFIGURE, NULL, root->name,
			    "configure it: crypttab, fstab, host name, initramfs, eyrie itself")
			->value = names_missing(p);
	(void)planner_add(p, STEP_INITRD, NULL, root->name, "make the initramfs of each kernel");
	add_syncs(p);
}

/* The root or /boot is mounted by this plan only: its kernels can be seen afterwards. */
static bool root_is_closed(const struct planner *p)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&p->layout->pool, layout_root(p->layout)->name);
	const struct observed_dataset *have = pool ? observed_dataset(pool, root) : NULL;

	return have && (!have->mounted || planner_has(p, STEP_BOOT_MOUNT, NULL));
}

static void remove_other_grubs(struct planner *p)
{
	_cleanup_strv_ struct strv folders = STRV_NULL;
	_cleanup_free_ char *text = NULL;

	FOR_EACH_ITEM(struct observed_grub, other, &p->have->system.grub_others)
		strv_add(&folders, other->folder);
	if (!folders.n_items || any_bios_disk_is_away(p))
		return;
	text = strv_join(&folders, ", ");
	(void)planner_add(p, STEP_GRUB_REMOVE, NULL, roles[ROLE_BOOT].name,
			  "remove the GRUB of before from /boot: %s", text);
}

/* The menu as it will be, and whether it has another environment that nothing would start. */
static char *make_menu(const struct planner *p)
{
	_cleanup_(observed_freep) struct observed *then = observed_copy(p->have);
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;

	store_model(p->layout, then, p->options->filling);
	environments_make(p->layout, then, p->options->filling, &list);
	FOR_EACH_ENVIRONMENT(other, &list)
	{
		const struct observed_stored *stored = store_of(&then->system, other->name);

		if (other->current || other->half_made || (stored && stored->kernels.n_items))
			continue;
		diag_warning(p->diag, "the boot environment %s has no kernel in /boot, and is not in "
			     "GRUB's menu", other->name);
		diag_hint(p->diag, "eyrie boot destroy %s", other->name);
	}
	return store_menu(p->layout, then, p->options->filling);
}

/* Of several the menu names copies, of images that this plan makes anew as of others. */
static bool outdates_copies(const struct planner *p)
{
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;

	environments_make(p->layout, p->have, p->options->filling, &list);
	return planner_has(p, STEP_INITRD, NULL) && store_is_used(p->layout, &list);
}

static void plan_boot(struct planner *p)
{
	const struct observed_system *system = &p->have->system;
	_cleanup_free_ char *config = NULL;

	if (!role_wants_array(p->layout, ROLE_BOOT))
		return;
	if (!planner_will_run(p, ROLE_BOOT)) {
		diag_warning(p->diag, "/boot is not there: no disk gets kernels or GRUB");
		return;
	}
	config = make_menu(p);
	if (!streq(system->grub_config, config) ||
	    !store_in_step(p->layout, p->have, p->options->filling) || outdates_copies(p))
		add_boot_sync(p)->details = system->grub_config ?
			boot_file_difference(system->grub_config, config) : NULL;
	if (!system->grub) { /* what the disks have still reads that menu */
		diag_warning(p->diag, "the system has no GRUB for BIOS machines: no disk gets one");
		diag_hint(p->diag, "apt install grub-pc-bin grub2-common");
		return;
	}
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (can_take_grub(p, d) && d->state == DISK_OURS && !grub_in_step(p, d))
			add_grub(p, d);
	remove_other_grubs(p);
}

/* moving between shared, keystore and peer */

/* Members that are there, and each of them opens as the layout says or will before this ends. */
static bool is_prepared(const struct planner *p)
{
	unsigned unlock = p->layout->encryption.unlock;

	if (planner_has(p, unlock == UNLOCK_PEER ? STEP_ENROLL : STEP_KEY_ENROLL, NULL))
		return true;
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		const struct observed_luks *luks = d->member ? &d->member->luks : NULL;

		if (d->state != DISK_OURS || !luks || luks->n_keyslots == 0 ||
		    (unlock == UNLOCK_PEER && !luks->generation) ||
		    (unlock == UNLOCK_KEYSTORE && !luks->key_slot))
			return false;
	}
	return true;
}

/* How the system on the root opens its disks; one of an older eyrie did not write it down. */
static const char *unlock_of_system(const struct planner *p)
{
	const char *unlock = root_property(p, NAME_UNLOCK_PROPERTY);

	if (unlock)
		return unlock;
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->member && d->member->luks.generation)
			return layout_unlock_name(UNLOCK_PEER);
	return layout_unlock_name(UNLOCK_SHARED);
}

/*
 * The way of before goes on to work until the system opens its disks in the new one: slots are
 * added before this and removed after it. False when it cannot be done, or not in this round.
 */
static bool plan_switch(struct planner *p)
{
	const char *wanted = layout_unlock_name(p->layout->encryption.unlock);
	const char *is = unlock_of_system(p);
	const struct layout_dataset *root = layout_root(p->layout);

	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->state == DISK_MISSING || !d->member || !d->member->luks.mapped) {
			planner_refuse(p, "moving from unlock: %s to %s wants every disk, and '%s' "
				       "%s", is, wanted, d->want->name,
				       d->state == DISK_MISSING ? planner_why_missing(d) : "is not open");
			diag_hint(p->diag, "bring it back first (%s), or put unlock: %s back into the "
				  "layout", streq(is, layout_unlock_name(UNLOCK_PEER)) ?
				  "eyrie heal" : "start the machine with every disk there", is);
			return false;
		}
	if (!plan_may_write_files(p, is))
		return false;
	if (!is_prepared(p)) {
		if (!planner_has(p, STEP_ARRAY_START, NULL))
			planner_refuse(p, "a member cannot be moved from unlock: %s to %s as it is",
				       is, wanted);
		return false;
	}
	(void)planner_add(p, STEP_SWITCH, NULL, root->name,
			  "let the system open its disks by unlock: %s instead of %s", wanted, is);
	(void)planner_add(p, STEP_INITRD, NULL, root->name, "make the initramfs of each kernel");
	plan_boot(p);
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (can_sync(p, d))
			(void)add_esp_sync(p, d);
	return true;
}

/*
 * The image that the machine fell back to, or would fall back to, may still open its disks in the way
 * of before: only a start by an image of now says that this one does it. Where the boot loader does
 * not say what it started, new images replaced the old ones at once, or when the store of /boot got them,
 * and any start since will do.
 */
static bool came_up_since(const struct planner *p)
{
	const struct observed_system *system = &p->have->system;
	const char *made_in = root_property(p, NAME_IMAGES_PROPERTY);

	if (!system->running || planner_has(p, STEP_INITRD, NULL))
		return false;
	if (!system->started_by)
		return store_in_step(p->layout, p->have, p->options->filling) &&
		       !streq(system->boot_id, made_in);
	FOR_EACH_ITEM(struct observed_kernel, kernel, &system->kernels)
		if (kernel->has_zfs && came_up(p, kernel))
			return true;
	return false;
}

/* None of them keeps what the others have lost. */
static bool has_every_member(const struct planner *p)
{
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (d->state != DISK_OURS || !d->member)
			return false;
	return true;
}

static bool may_remove(struct planner *p, const char *what)
{
	bool since = came_up_since(p), all = has_every_member(p);

	if (since && all)
		return true;
	diag_note(p->diag, "%s stay until %s", what,
		  since ? "every disk is there" :
			  "the machine was started by its new initramfs once");
	diag_hint(p->diag, "%s, then eyrie apply takes them away",
		  since ? "bring the missing one back" : "restart it");
	return false;
}

/* A key device that is lost needs no erasing: its array has no part left, or no header. */
static bool key_device_is_there(const struct planner *p)
{
	const struct observed_array *key = planner_array(p, ROLE_KEY);
	_cleanup_free_ char *uuid = name_array_uuid(p->layout->id, ROLE_KEY);

	if (key && key->active)
		return key->luks.state != LUKS_NONE;
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		const struct observed_partition *part =
			d->have ? find_partition(p->layout, d->have, ROLE_KEY, d->want->name) : NULL;

		if (part && streq(part->array, uuid))
			return true;
	}
	return false;
}

static void remove_key_device(struct planner *p)
{
	const struct observed_array *key = planner_array(p, ROLE_KEY);
	bool is_there = key_device_is_there(p);

	if (is_there && (!key || !key->active))
		planner_start_array(p, ROLE_KEY);
	(void)planner_add(p, STEP_KEY_REMOVE, NULL, is_there ? roles[ROLE_KEY].name : NULL,
			  "take away the key device's key%s",
			  is_there ? ", and erase its key slots" : " from the members");
}

/* What only another unlock: needs, once nothing goes by it any more. */
static void plan_removal(struct planner *p)
{
	unsigned unlock = p->layout->encryption.unlock;
	const struct observed_array *key = planner_array(p, ROLE_KEY);
	bool peer = false, by_key = key && key->luks.state == LUKS_WHOLE &&
				    !streq(key->luks.label, NAME_KEY_LABEL_NEW);

	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		peer |= d->member && d->member->luks.generation;
		by_key |= d->member && d->member->luks.key_slot;
	}
	if (peer && unlock != UNLOCK_PEER &&
	    may_remove(p, "the keys by which members open each other"))
		(void)planner_add(p, STEP_PEER_REMOVE, NULL, NULL,
				  "take away the keys by which members open each other");
	if (by_key && unlock != UNLOCK_KEYSTORE &&
	    may_remove(p, "the key device's key, and its key slots,"))
		remove_key_device(p);
}

/* the system as it runs */

/* What is on it still boots: a kernel that finds no room is left out, and said. */
static void check_room(struct planner *p, const struct planned_disk *d,
		       const struct observed_partition *esp)
{
	uint64_t wanted = 0;

	FOR_EACH_ITEM(struct observed_kernel, kernel, &p->have->system.kernels)
		wanted += kernel->has_zfs ? kernel->size : 0;
	if (wanted && esp->size && wanted > esp->size) {
		_cleanup_free_ char *need = str_size_for_people(wanted);
		_cleanup_free_ char *is = str_size_for_people(esp->size);

		diag_warning(p->diag, "disk '%s': the EFI system partition has %s, and the kernels "
			     "want %s", d->want->name, is, need);
		diag_hint(p->diag, "remove a kernel package that you do not need");
	}
}

static void plan_kernels(struct planner *p)
{
	check_kernels(p);
	plan_boot(p);
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		const struct observed_partition *esp =
			d->have ? find_partition(p->layout, d->have, ROLE_ESP, d->want->name) : NULL;

		if (!esp || !can_sync(p, d) || in_step(p, &esp->esp))
			continue;
		check_room(p, d, esp);
		add_esp_sync(p, d)->details = menu_difference(p, &esp->esp);
	}
}

static bool is_moving(const struct planner *p)
{
	return !streq(unlock_of_system(p), layout_unlock_name(p->layout->encryption.unlock));
}

/*
 * A system that stands: SWITCH leaves it configured, with images that are still to be made. True
 * when it opens its disks as the layout says, or will before this ends.
 */
static bool plan_standing(struct planner *p, const char *state)
{
	bool done = starts_with(state, STATE_DONE), configured = starts_with(state, STATE_CONFIGURED);

	if (!done && !configured) { /* not of our making */
		plan_kernels(p);
		return false;
	}
	if (is_moving(p)) {
		if (!plan_switch(p))
			return false;
	} else if (configured) {
		plan_files(p);
		plan_installation(p, state);
	} else {
		plan_files(p);
		if (plan_outdates_images(p))
			plan_installation(p, STATE_CONFIGURED);
		else
			plan_kernels(p);
	}
	return true;
}

/* Its initramfs is of its time: it goes on as long as what it opens the disks by is there. */
static void check_environments(struct planner *p)
{
	const char *wanted = layout_unlock_name(p->layout->encryption.unlock);
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;

	environments_make(p->layout, p->have, NULL, &list);
	FOR_EACH_ENVIRONMENT(other, &list)
	{
		const char *unlock = other->current || other->half_made ? NULL :
			pair_get(&other->have->properties, NAME_UNLOCK_PROPERTY);

		if (!unlock || streq(unlock, wanted))
			continue;
		diag_warning(p->diag, "the boot environment %s opens its disks by unlock: %s, and the "
			     "layout has %s: it may not start any more", other->name, unlock, wanted);
		diag_hint(p->diag, "eyrie boot destroy %s", other->name);
	}
}

static bool has_kernels(struct planner *p, const char *state)
{
	const struct observed_system *system = &p->have->system;

	if (system->root && !system->kernels.n_items && starts_with(state, STATE_DONE))
		diag_warning(p->diag, "the system has no kernel in /boot: no disk would start it");
	return system->root && system->kernels.n_items;
}

/*
 * Another environment was worked on last: before anything is made of what lies in /boot, it has to be this
 * one's. True when that comes first.
 */
static bool plan_take(struct planner *p, const char *state)
{
	const char *owner = p->have->system.boot_owner;
	_cleanup_free_ char *name = environment_current(p->layout);
	bool standing = starts_with(state, STATE_DONE) || starts_with(state, STATE_CONFIGURED);

	if (!standing || root_is_closed(p) || !plan_finds_boot(p->layout, p->have) ||
	    !store_is_of_another(p->layout, p->have))
		return false;
	if (streq(owner, STORE_NOBODY))
		(void)planner_add(p, STEP_BOOT_TAKE, NULL, name,
				  "put the kernels of the boot environment %s into /boot", name);
	else
		(void)planner_add(p, STEP_BOOT_TAKE, NULL, name,
				  "put the kernels of the boot environment %s into /boot, in the "
				  "place of those of %s", name, owner);
	return true;
}

/* What is on a root that nobody has looked at yet is seen when it is mounted. True as plan_standing(). */
static bool plan_as_it_stands(struct planner *p, const char *state)
{
	if (layout_has_system(p->layout) && !starts_with(state, STATE_DONE)) {
		if (*state || !root_is_closed(p))
			plan_installation(p, state);
		return false;
	}
	return !root_is_closed(p) && has_kernels(p, state) && plan_standing(p, state);
}

void plan_system(struct planner *p)
{
	const char *state = root_property(p, NAME_STATE_PROPERTY);
	bool takes, has_moved;

	state = state ? state : "";
	if (streq(state, STATE_CLONING)) /* its creation was cut off, and the menu had it: nothing is unpacked */
		state = STATE_DONE;
	check_environments(p);
	if (layout_has_system(p->layout) && !*state && refuse_system_of_others(p))
		return;
	takes = plan_take(p, state);
	has_moved = !takes && plan_as_it_stands(p, state);
	plan_array_sync(p);
	if (has_moved)
		plan_removal(p);
	if (takes || planner_has(p, STEP_ARRAY_START, NULL) || (root_is_closed(p) &&
	    !planner_has(p, STEP_INITRD, NULL)))
		(void)planner_add(p, STEP_LOOK_AGAIN, NULL, NULL,
				  "look at the system on it, and plan the rest");
}
