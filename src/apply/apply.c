/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/apply.h"

#include <time.h>

#include "apply/internal.h"
#include "apply/lane.h"
#include "apply/together.h"

static int (*const steps[STEP_KIND_MAX])(struct apply_context *, const struct step *) = {
#define STEP(kind, name, flags) [STEP_##kind] = apply_##kind,
#include "plan/step.def"
#undef STEP
};

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int apply_step(struct apply_context *cxt, const struct step *step)
{
	const struct apply_events *events = cxt->events;
	double began = now();
	int r;

	if (events)
		events->begin(events->context, step);
	r = steps[step->kind](cxt, step);
	if (events && r == 0)
		events->end(events->context, step, now() - began);
	return r;
}

/* How many steps from `step` on belong to disks and can go on side by side. */
static size_t lane_group(const struct step *step, size_t n)
{
	size_t i = 0;

	while (i < n && step_flags(&step[i]) & STEP_LANE)
		i++;
	return i;
}

static bool has_step(const struct plan *plan, enum step_kind kind)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (step->kind == kind)
			return true;
	return false;
}

bool apply_needs_passphrase(const struct plan *plan, const struct layout *layout)
{
	static const enum step_kind kinds[] = { STEP_LUKS_FORMAT, STEP_LUKS_OPEN, STEP_ENROLL,
						STEP_KEY_FORMAT, STEP_KEY_ENROLL,
						STEP_PEER_REMOVE, STEP_KEY_REMOVE };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (has_step(plan, kinds[i]))
			return true;
	return together_wants_passphrase(plan, layout);
}

bool apply_wants_key(const struct layout *layout, const char *root)
{
	const struct list *properties = layout_properties(layout, root);

	/* Made by somebody else: whoever is asked knows more. */
	return !properties || layout_wants_passphrase(properties);
}

void apply_key_roots(const struct plan *plan, const struct layout *layout, struct strv *ret_new,
		     struct strv *ret_known)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
	{
		_cleanup_free_ char *made =
			step->kind == STEP_POOL_CREATE	  ? str_dup(step->pool) :
			step->kind == STEP_DATASET_CREATE ?
				str_printf("%s/%s", step->pool, step->object) :
				NULL;

		if (made && layout_wants_passphrase(layout_properties(layout, made)))
			strv_add(ret_new, made);
		if (step->kind == STEP_KEY_LOAD && apply_wants_key(layout, step->object))
			strv_add(ret_known, step->object);
	}
}

int apply_run(const struct plan *plan, struct apply_context *cxt)
{
	const struct step *all = plan->steps.items;
	int r = 0;

	if (plan_count_consents_missing(plan))
		return diag_error(cxt->diag, -EPERM, "the plan destroys what nobody gave up");
	if (has_step(plan, STEP_LUKS_FORMAT) || has_step(plan, STEP_KEY_FORMAT))
		r = kdf_prepare(cxt);
	for (size_t i = 0; r == 0 && i < plan->steps.n_items;) {
		size_t n = lane_group(&all[i], plan->steps.n_items - i);

		if (cxt->later && all[i].kind >= STEP_PEER_REMOVE)
			break; /* keys go when all else is done */
		r = n ? lanes_run(cxt, &all[i], n) : apply_step(cxt, &all[i]);
		if (r && !n && step_flags(&all[i]) & STEP_APART && !run_interrupted()) {
			cxt->later = r;
			r = 0;
		}
		i += n ? n : 1;
	}
	return r ? r : cxt->later;
}

/* A pool can be busy for a moment: udev looks at a volume, a file is still being closed. */
#define EXPORT_TRIES 10

/* One that is not there, for its disks are away, needs none. */
static int export_pool(struct apply_context *cxt, const char *pool)
{
	const char *const argv[] = { "zpool", "export", pool, NULL };

	if (!pool_is_imported(cxt, pool))
		return 0;
	for (int i = 1; i < EXPORT_TRIES; i++) {
		if (run(cxt->run, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL },
			NULL) == 0)
			return 0;
		(void)nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL);
	}
	return run(cxt->run, &(struct command){ .argv = argv }, cxt->diag);
}

/* From the deepest mount up; what is not there any more needs no closing. */
int apply_close(struct apply_context *cxt)
{
	int r = boot_unmount(cxt);

	FOR_EACH_ITEM(struct layout_pool, pool, &cxt->layout->pools)
		if (r == 0)
			r = export_pool(cxt, pool->name);
	if (r == 0)
		r = export_pool(cxt, cxt->layout->pool.name);
	FOR_EACH_MEMBER_DISK(disk, cxt->layout)
	{
		_cleanup_free_ char *mapping = name_mapping(cxt->layout, disk->name);
		_cleanup_free_ char *node = str_printf("/dev/mapper/%s", mapping);

		if (r == 0 && access(node, F_OK) == 0)
			r = run_words(cxt->run, cxt->diag, "cryptsetup", "close", mapping, NULL);
	}
	return r ? r : arrays_stop(cxt);
}

static const struct {
	enum step_kind kind;
	const char *program;
	const char *package;
} tools[] = {
	{ STEP_ESP_FORMAT, "mkfs.vfat", "dosfstools" },
	{ STEP_ARRAY_CREATE, "mdadm", "mdadm" },
	{ STEP_ARRAY_START, "mdadm", "mdadm" },
	{ STEP_ARRAY_ADD, "mdadm", "mdadm" },
	{ STEP_BOOT_FORMAT, "mkfs.ext4", "e2fsprogs" },
	{ STEP_POOL_CREATE, "zpool", "zfsutils-linux" },
	{ STEP_POOL_IMPORT, "zpool", "zfsutils-linux" },
	{ STEP_DATASET_CREATE, "zfs", "zfsutils-linux" },
	{ STEP_SWAP_FORMAT, "mkswap", "util-linux" },
	{ STEP_UNPACK, "tar", "tar" },
};

static const struct {
	enum step_kind kind;
	const char *module;
	const char *sign; /* there as soon as it is loaded or built in */
	const char *package;
} modules[] = {
	{ STEP_ARRAY_CREATE, "raid1", "/sys/module/raid1", "linux-image-amd64" },
	{ STEP_ARRAY_START, "raid1", "/sys/module/raid1", "linux-image-amd64" },
	{ STEP_KEY_FORMAT, "dm-crypt", "/sys/module/dm_crypt", "linux-image-amd64" },
	{ STEP_LUKS_OPEN, "dm-crypt", "/sys/module/dm_crypt", "linux-image-amd64" },
	{ STEP_POOL_CREATE, "zfs", "/sys/module/zfs", "zfs-dkms" },
	{ STEP_POOL_IMPORT, "zfs", "/sys/module/zfs", "zfs-dkms" },
	{ STEP_ESP_SYNC, "vfat", "/sys/module/vfat", "linux-image-amd64" },
};

static int missing(struct diag *diag, const char *kind, const char *name, const char *package)
{
	(void)diag_error(diag, -ENOENT, "the %s '%s' is missing", kind, name);
	diag_hint(diag, "apt install %s", package);
	return -ENOENT;
}

static bool has_module(struct runner *run_by, const char *module, const char *sign)
{
	const char *const argv[] = { "modprobe", "-q", module, NULL };

	return access(sign, F_OK) == 0 ||
	       run(run_by, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL }, NULL) == 0;
}

int apply_check_tools(const struct plan *plan, const struct layout *layout,
		      struct runner *run_by, struct diag *diag)
{
	_cleanup_free_ char *mmdebstrap = run_find("mmdebstrap");
	int r = 0;

	if (has_step(plan, STEP_UNPACK) && layout->system.suite && !mmdebstrap)
		r = missing(diag, "program", "mmdebstrap", "mmdebstrap");

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		_cleanup_free_ char *path = run_find(tools[i].program);

		if (has_step(plan, tools[i].kind) && !path)
			r = missing(diag, "program", tools[i].program, tools[i].package);
	}
	for (size_t i = 0; i < ARRAY_SIZE(modules); i++)
		if (has_step(plan, modules[i].kind) &&
		    !has_module(run_by, modules[i].module, modules[i].sign))
			r = missing(diag, "kernel module", modules[i].module, modules[i].package);
	return r;
}
