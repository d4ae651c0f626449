/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What starts a BIOS machine: the menu in /boot, and GRUB itself on each disk (observe_grub_folder()). */

#include <time.h>

#include "apply/internal.h"
#include "apply/kernels.h"
#include "base/file.h"

#define BIOS_SETUP "/usr/lib/grub/i386-pc/grub-bios-setup"

/* the menu */

/* What is interrupted here is explained in apply/kernels.h. */
int apply_BOOT_SYNC(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(observed_freep) struct observed *have = mem_alloc(sizeof(*have));
	bool any = false;
	int r;

	(void)step;
	r = observe_pools(cxt->run, have, cxt->diag);
	if (r)
		return r;
	observe_kernels(cxt->run, cxt->target, NULL, &have->system.kernels);
	observe_store(cxt->target, &have->system);
	FOR_EACH_ITEM(struct observed_kernel, kernel, &have->system.kernels)
		any |= kernel->has_zfs;
	if (!any)
		return diag_error(cxt->diag, -ENOENT,
				  "there is no kernel whose initramfs holds its zfs.ko");
	return kernels_sync(cxt, have);
}

/* Seconds since 1970, by the clock of now; nothing is of the system that runs where none does. */
static int64_t start_of_system(const struct apply_context *cxt)
{
	struct timespec up;

	if (*cxt->target || clock_gettime(CLOCK_BOOTTIME, &up) < 0)
		return INT64_MAX;
	return (int64_t)time(NULL) - (int64_t)up.tv_sec;
}

int apply_BOOT_TAKE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(observed_freep) struct observed *have = mem_alloc(sizeof(*have));

	(void)step;
	observe_store(cxt->target, &have->system);
	return kernels_take(cxt, have, start_of_system(cxt));
}

/* GRUB */

/* Its name in the system, and outside of it. */
struct folder {
	char *inside;
	char *outside;
};

static void folder_deinit(struct folder *folder)
{
	free(folder->inside);
	free(folder->outside);
}

static int not_installed(struct apply_context *cxt, int r)
{
	if (r == -ENOENT)
		diag_hint(cxt->diag, "apt install grub-pc-bin grub2-common");
	return r;
}

static int run_inside(struct apply_context *cxt, const char *const *argv)
{
	return not_installed(cxt, run(cxt->run, &(struct command){
			.argv = argv,
			.root = *cxt->target ? cxt->target : NULL }, cxt->diag));
}

/* What the system's own grub-install makes of its files for every disk; none starts it yet. */
static int fill(struct apply_context *cxt, const struct folder *folder, const char *node)
{
	_cleanup_free_ char *option = str_printf("--boot-directory=%s", folder->inside);
	_cleanup_free_ char *config = str_printf("%s/grub/grub.cfg", folder->outside);
	int r = run_inside(cxt, (const char *const[]){
			"grub-install", "--target=i386-pc", option, "--no-bootsector",
			"--no-rs-codes", "--no-floppy", node, NULL });

	if (r == 0)
		r = boot_sync_folder(cxt);
	if (r == 0)
		r = file_replace(config, "configfile /" GRUB_MENU "\n", 0644, cxt->diag);
	if (r)
		(void)file_remove_tree(folder->outside);
	return r;
}

static int put_onto(struct apply_context *cxt, const struct folder *folder, const char *node)
{
	_cleanup_free_ char *option = str_printf("--directory=%s/grub/i386-pc", folder->inside);
	int r = run_inside(cxt, (const char *const[]){ BIOS_SETUP, option, "--no-rs-codes", node,
						       NULL });

	return r ? r : boot_sync_folder(cxt);
}

/*
 * Interrupted: nobody starts what is not whole; or this disk may not start, which the next
 * observation sees. What the others start is as it was.
 */
int apply_GRUB_INSTALL(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = device_disk(cxt, step->disk), *name = NULL;
	_cleanup_(folder_deinit) struct folder folder = {};
	struct observed_system system = {};
	int r = 0;

	observe_grub_system(cxt->target, &system);
	if (!node)
		r = diag_error(cxt->diag, -ENODEV, "disk '%s' is gone", step->disk);
	else if (!system.grub)
		r = not_installed(cxt, diag_error(cxt->diag, -ENOENT,
						  "the system has no GRUB for BIOS machines"));
	if (r == 0) {
		name = observe_grub_folder(system.grub);
		folder.inside = str_printf("/boot/%s", name);
		folder.outside = str_printf("%s%s", cxt->target, folder.inside);
	}
	if (r == 0 && !system.grub_core)
		r = fill(cxt, &folder, node);
	record_deinit(&record_observed_system, &system);
	return r ? r : put_onto(cxt, &folder, node);
}

/* Whether this disk starts the GRUB of the system, as it lies there now. */
static int check_disk(struct apply_context *cxt, const struct layout_disk *want,
		      const struct observed_system *system)
{
	_cleanup_free_ char *node = device_disk(cxt, want->name);
	const struct observed_partition *bios;
	struct observed_disk disk = {};
	int r = node ? observe_disk(node, &disk, cxt->diag) : -ENODEV;

	if (r == 0) {
		bios = find_partition(cxt->layout, &disk, ROLE_BIOS, want->name);
		if (!bios || !bios->grub || !streq(bios->grub, system->grub_core))
			r = -EBUSY;
	}
	record_deinit(&record_observed_disk, &disk);
	return r == 0 ? 0 : diag_error(cxt->diag, r, "disk '%s' does not start the GRUB of this "
				       "system: the one of before stays", want->name);
}

static int remove_folder(struct apply_context *cxt, const char *folder)
{
	_cleanup_free_ char *path = str_printf("%s/boot/%s", cxt->target, folder);
	int r = file_remove_tree(path);

	return r ? diag_error(cxt->diag, r, "cannot remove %s: %s", path, strerror(-r)) : 0;
}

/* Interrupted: what is left of it is one of before. */
int apply_GRUB_REMOVE(struct apply_context *cxt, const struct step *step)
{
	struct observed_system system = {};
	int r = 0;

	(void)step;
	observe_grub_system(cxt->target, &system);
	FOR_EACH_MEMBER_DISK(want, cxt->layout)
		if (r == 0 && role_wanted(cxt->layout, want->name, ROLE_BIOS))
			r = check_disk(cxt, want, &system);
	FOR_EACH_ITEM(struct observed_grub, other, &system.grub_others)
		r = r ? r : remove_folder(cxt, other->folder);
	record_deinit(&record_observed_system, &system);
	return r ? r : boot_sync_folder(cxt);
}
