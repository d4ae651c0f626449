/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Boot loader and kernels on one EFI system partition.
 *
 * FAT has no atomic rename, so nothing that an entry names is ever written over: kernels go to
 * a folder named by their hash, are read back, and only then get an entry; what is old goes
 * last. A crash leaves every entry that was there with the files that it names.
 *
 * A kernel that joins others gets three tries (Boot Loader Specification, "Boot counting"): when
 * it does not come up, systemd-boot falls back to one that did. The next sync on the running
 * system takes the counter of the kernel that runs away.
 */

#include "base/run.h"
#include "layout/layout.h"

/*
 * Bring the mounted ESP at `esp` in step with the system on `root` ("" for the running one).
 * Kernels without an initramfs that holds their zfs.ko are left out. -ENOSPC when they do not
 * fit, -ENOENT when there is no kernel to publish: the ESP is then as it was.
 */
int esp_sync(struct runner *run, const struct layout *layout, const char *root, const char *esp,
	     struct diag *diag);
