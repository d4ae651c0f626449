/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* EFI system partitions. */

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "apply/internal.h"
#include "base/file.h"
#include "boot/esp.h"
#include "boot/store.h"

#define ESP_FOLDER  "/run/eyrie/esp"
#define ROOT_FOLDER "/run/eyrie/root" /* then "-NAME": other boot environments */
#define MOUNT_TRIES 20

/* Interrupted: the partition is marked new, and FAT is made again. */
int apply_ESP_FORMAT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = NULL;
	int r = device_new_partition(cxt, step->disk, ROLE_ESP, &node);

	return r ? r : run_words(cxt->run, cxt->diag, "mkfs.vfat", "-F", "32", "-n", "EYRIE", node, NULL);
}

/*
 * Two processes that mount the same dataset at once can get in each other's way (EBUSY). ZFS may
 * write its log to the dataset in passing, which is why observing does not do this.
 */
static int mount_dataset(struct apply_context *cxt, const char *dataset, const char *folder)
{
	const char *const argv[] = { "mount", "-t", "zfs", "-o", "ro,zfsutil", dataset, folder,
				     NULL };
	int r = 0;

	for (int i = 1; i <= MOUNT_TRIES; i++) {
		bool last = i == MOUNT_TRIES;

		r = run(cxt->run,
			&(struct command){ .argv = argv, .flags = last ? 0 : RUN_OPTIONAL },
			last ? cxt->diag : NULL);
		if (r == 0 || last)
			break;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	}
	return r;
}

/* Where another environment's /boot can be read from here on; NULL, with a warning, when not. */
static char *open_environment(struct apply_context *cxt, const struct environment *environment)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct apply_context quiet = *cxt;
	char *folder = str_printf(ROOT_FOLDER "-%s", environment->name);
	int r;

	quiet.diag = &diag;
	if (environment->have->mounted) {
		str_set(&folder, environment->have->mounted);
		return folder;
	}
	r = file_make_folder(folder, &diag);
	if (r == 0)
		r = mount_dataset(&quiet, environment->dataset, folder);
	if (r == 0)
		return folder;
	diag_warning(cxt->diag, "the boot environment %s cannot be read, and keeps what it has in "
		     "the menu: %s", environment->name,
		     diag.n_items ? diag.items[0].text : strerror(-r));
	free(folder);
	return NULL;
}

/* A mount that only this process sees, and that ends with it. */
static bool hide_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static _Noreturn void answer_for(struct apply_context *cxt, const struct environment *environment,
				 const char *version)
{
	_cleanup_free_ char *root = hide_mounts() ? open_environment(cxt, environment) : NULL;

	_exit(!root ? 2 : observe_has_zfs(root, version) ? 1 : 0);
}

int environment_has_zfs(struct apply_context *cxt, const struct environment *environment,
			const char *version)
{
	const char *mounted = environment->have->mounted;
	int status = -1;
	pid_t pid;

	if (mounted)
		return observe_has_zfs(mounted, version);
	pid = fork();
	if (pid == 0)
		answer_for(cxt, environment, version);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) < 2)
		return WEXITSTATUS(status);
	return diag_error(cxt->diag, -EIO, "the boot environment %s cannot be read",
			  environment->name);
}

/* What has a /boot in common has the kernels of all others in its store. */
static char *open_system(struct apply_context *cxt, const struct environment *environment,
			 const struct observed_system *store, const struct list **ret_stored)
{
	const struct observed_stored *stored = store_of(store, environment->name);

	if (environment->current)
		return str_dup(cxt->target);
	if (!role_wants_array(cxt->layout, ROLE_BOOT))
		return open_environment(cxt, environment);
	if (stored)
		*ret_stored = &stored->kernels;
	return stored ? str_dup(cxt->target) : NULL;
}

static int sync_esp(struct apply_context *cxt, const struct environments *list, bool runs)
{
	_cleanup_(observed_freep) struct observed *have = mem_alloc(sizeof(*have));
	_cleanup_free_ char *running = NULL, *started_by = NULL;
	_cleanup_free_ struct esp_system *systems = mem_alloc(list->n_items * sizeof(*systems));
	_cleanup_strv_ struct strv roots = STRV_NULL;
	size_t n = 0;

	if (runs)
		observe_running(&running, &started_by);
	observe_store(cxt->target, &have->system);
	FOR_EACH_ENVIRONMENT(environment, list)
	{
		const struct list *stored = NULL;
		_cleanup_free_ char *root = NULL;

		if (environment->half_made)
			continue;
		root = open_system(cxt, environment, &have->system, &stored);
		if (root)
			strv_add(&roots, root);
		systems[n++] = (struct esp_system){
			environment, root ? roots.items[roots.n_items - 1] : NULL,
			streq(environment->name, cxt->filling),
			environment->current ? running : NULL,
			environment->current ? started_by : NULL, stored };
	}
	return esp_sync(cxt->run, cxt->layout, systems, n, ESP_FOLDER, cxt->diag);
}

/* Where the set's pool is not there, nor is any environment but the one that is worked on. */
static int sync_environments(struct apply_context *cxt)
{
	_cleanup_(observed_freep) struct observed *have = mem_alloc(sizeof(*have));
	_cleanup_environments_ struct environments list = ENVIRONMENTS_NULL;
	const struct observed_pool *pool;
	int r = observe_pools(cxt->run, have, cxt->diag);

	if (r)
		return r;
	environments_make(cxt->layout, have, cxt->filling, &list);
	pool = observed_pool(have, cxt->layout->pool.name);
	return sync_esp(cxt, &list, !*cxt->target && !(pool && pool->altroot));
}

/*
 * What is interrupted here is explained in boot/esp.h. All disks go through this side by side, and a
 * power cut may meet each of them in the middle: that is safe, since on none of them anything old is
 * removed before what is new is on the medium.
 */
int apply_ESP_SYNC(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = NULL;
	int r;

	r = device_partition(cxt, step->disk, ROLE_ESP, &node, NULL);
	if (r == 0)
		r = file_make_folder(ESP_FOLDER, cxt->diag);
	if (r)
		return r;
	if (!hide_mounts() ||
	    mount(node, ESP_FOLDER, "vfat", MS_NOSUID | MS_NODEV | MS_NOEXEC, "umask=0077") < 0)
		return diag_error(cxt->diag, -errno, "cannot mount %s: %m", node);
	r = sync_environments(cxt);
	if (r)
		diag_context(cxt->diag, "disk '%s'", step->disk);
	if (umount(ESP_FOLDER) < 0 && r == 0)
		r = diag_error(cxt->diag, -errno, "cannot unmount %s: %m", node);
	return r;
}
