/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* EFI system partitions. */

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "apply/internal.h"
#include "base/file.h"
#include "boot/esp.h"

#define ESP_FOLDER "/run/eyrie/esp"

/* Interrupted: the partition is marked new, and FAT is made again. */
int apply_ESP_FORMAT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = NULL;
	int r = device_new_partition(cxt, step->disk, ROLE_ESP, step->object, &node);

	return r ? r : run_words(cxt->run, cxt->diag, "mkfs.vfat", "-F", "32", "-n", "EYRIE", node, NULL);
}

/*
 * A mount that only this process sees, and that ends with it. What is interrupted here is
 * explained in boot/esp.h.
 */
int apply_ESP_SYNC(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *node = NULL, *name = NULL;
	int r;

	r = device_partition(cxt, step->disk, ROLE_ESP, &node, &name);
	if (r == 0)
		r = file_make_folder(ESP_FOLDER, cxt->diag);
	if (r)
		return r;
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(node, ESP_FOLDER, "vfat", MS_NOSUID | MS_NODEV | MS_NOEXEC, "umask=0077") < 0)
		return diag_error(cxt->diag, -errno, "cannot mount %s: %m", node);
	r = esp_sync(cxt->run, cxt->layout, cxt->target, ESP_FOLDER, cxt->diag);
	if (r)
		diag_context(cxt->diag, "disk '%s'", step->disk);
	if (umount(ESP_FOLDER) < 0 && r == 0)
		r = diag_error(cxt->diag, -errno, "cannot unmount %s: %m", node);
	return r;
}
