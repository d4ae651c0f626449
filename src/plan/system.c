/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The operating system, and what each disk needs to boot it alone. */

#include "boot/text.h"
#include "plan/internal.h"

static const char *root_state(const struct planner *p)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&p->layout->pool, layout_root(p->layout)->name);
	const struct observed_dataset *have = pool ? observed_dataset(pool, root) : NULL;
	const char *state = have ? pair_get(&have->properties, NAME_STATE_PROPERTY) : NULL;

	return state ? state : "";
}

static void add_esp_sync(struct planner *p, const struct planned_disk *d)
{
	_cleanup_free_ char *esp = name_partition(ROLE_ESP, d->want->name);

	(void)planner_add(p, STEP_ESP_SYNC, d->want->name, esp,
			  "put the boot loader and the kernels on '%s'", d->want->name);
}

static bool has_entry(const struct planner *p, const struct observed_esp *esp,
		      const struct observed_kernel *kernel)
{
	_cleanup_free_ char *cmdline = boot_cmdline(p->layout);

	FOR_EACH_ITEM(struct observed_entry, entry, &esp->entries)
		if (streq(entry->version, kernel->version) && streq(entry->hash, kernel->hash) &&
		    streq(entry->options, cmdline))
			return !(entry->counting &&
				 streq(entry->version, p->have->system.running));
	return false;
}

static bool in_step(const struct planner *p, const struct observed_esp *esp)
{
	const struct observed_system *system = &p->have->system;
	_cleanup_free_ char *config = boot_loader_conf(p->layout);
	size_t n_publishable = 0;

	if (!esp->readable || !streq(esp->loader, system->loader) ||
	    !streq(esp->config, config))
		return false;
	FOR_EACH_ITEM(struct observed_kernel, kernel, &system->kernels)
	{
		n_publishable += kernel->has_zfs;
		if (kernel->has_zfs && !has_entry(p, esp, kernel))
			return false;
	}
	return esp->entries.n_items == n_publishable;
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

	if (d->state != DISK_OURS)
		return d->state == DISK_BLANK &&
		       !observed_pool(p->have, p->layout->pool.name);
	esp = find_partition(d->have, ROLE_ESP, d->want->name);
	return esp && (partition_is_new(esp) || streq(esp->content, "vfat"));
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
		(void)planner_add(p, STEP_CONFIGURE, NULL, root->name,
				  "configure it: crypttab, fstab, host name, initramfs, eyrie itself");
	(void)planner_add(p, STEP_INITRD, NULL, root->name, "make the initramfs of each kernel");
	FOR_EACH_PLANNED_MEMBER(d, p)
		if (can_sync(p, d))
			add_esp_sync(p, d);
}

/* The root is there and is mounted by this plan only: its kernels can be seen afterwards. */
static bool root_is_closed(const struct planner *p)
{
	const struct observed_pool *pool = observed_pool(p->have, p->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&p->layout->pool, layout_root(p->layout)->name);
	const struct observed_dataset *have = pool ? observed_dataset(pool, root) : NULL;

	return have && !have->mounted;
}

void plan_system(struct planner *p)
{
	const char *state = root_state(p);

	if (layout_has_system(p->layout) && !starts_with(state, STATE_DONE)) {
		plan_installation(p, state);
		return;
	}
	if (root_is_closed(p)) {
		(void)planner_add(p, STEP_LOOK_AGAIN, NULL, NULL,
				  "look at the system on it, and plan the rest");
		return;
	}
	if (!p->have->system.root || !p->have->system.kernels.n_items)
		return;
	check_kernels(p);
	FOR_EACH_PLANNED_MEMBER(d, p)
	{
		const struct observed_partition *esp =
			d->have ? find_partition(d->have, ROLE_ESP, d->want->name) : NULL;

		if (esp && can_sync(p, d) && !in_step(p, &esp->esp))
			add_esp_sync(p, d);
	}
}
