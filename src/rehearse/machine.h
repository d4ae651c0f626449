/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a virtual machine is made of, gathered piece by piece. A struct vm_config only
 * points; this owns what it points to.
 */

#include "layout/layout.h"
#include "rehearse/vm.h"

struct machine {
	struct strv files, serials; /* of the disks, which point into them */
	struct vm_disk *disks;
	size_t n_disks;
	struct strv smbios;
	char *kernel, *initrd; /* NULL: by firmware and the machine's own loader */
	const char *cmdline;
	uint64_t memory;
	bool usb;  /* disks of it, now or later */
	bool bios; /* by SeaBIOS instead of UEFI */
};

/* NVMe or USB where its path in the layout says so, with the sectors that the layout expects. */
struct vm_disk machine_disk(const struct layout_disk *disk, const char *file, const char *format);
/*
 * In the guest. A partition is by its label, the name of the disk: it is the only one of a virtual disk
 * of its own.
 */
char *machine_disk_path(const struct layout_disk *disk);

/* A raw file that is that disk, blank and sparse; what was in it is gone. */
int machine_make_disk(const struct layout_disk *disk, const char *file, struct diag *diag);

void machine_add_disk(struct machine *machine, const struct vm_disk *disk);

/* The disk, of a raw file, but its writes go to an overlay in `folder`, and away with it. */
int machine_add_overlay(struct machine *machine, struct runner *runner,
			const struct vm_disk *disk, const char *folder, struct diag *diag);

/* It becomes the appliance, with `cargo` (an image) at /cargo. */
void machine_add_appliance(struct machine *machine, const char *appliance,
			   const char *cargo);

/*
 * An installed machine runs `script` (text) with `word` as its argument once it is up: with
 * `whole` after everything else was started, else in place of it.
 */
void machine_add_script(struct machine *machine, const char *script, const char *word,
			bool whole);

int machine_start(const struct machine *machine, struct runner *runner, const char *folder,
		  enum vm_accel accel, struct vm **ret, struct diag *diag);
void machine_deinit(struct machine *machine);
