/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The rehearsal: a layout on virtual disks of its sizes, installed and then drilled.
 *
 * Nothing of it touches the host but its folders: a cache, which can be removed at any
 * time, and the disks, which are temporary unless they are to be kept.
 */

#include "rehearse/drill.h"

/* Whom it tells how it goes; each may be NULL. */
struct rehearse_watch {
	void (*begins)(void *context, const struct drill *drill);
	/* Also for those that were not run; nothing begins for them. */
	void (*ends)(void *context, const struct drill *drill,
		     const struct drill_outcome *outcome);
	void (*line)(void *context, const char *line); /* of the console */
	void *context;
};

struct rehearse_options {
	const char *cache;   /* folder */
	const char *libexec; /* folder of appliance.sh and its company */
	const char *
		tarball; /* root tarball: what is installed, and the appliance's own root */
	const char *package; /* eyrie's .deb for the suite of the tarball */
	const char *
		keep; /* folder for disks, passphrase, layout, logs, boot script; or NULL */
	const struct strv
		*only;	 /* names of drills, or NULL: all; the install is always run */
	unsigned n_cuts; /* of the power, in a second installation; 0: none */
	uint64_t seed;	 /* for their moments */
	bool all;	 /* drills that are on request, too */
	bool keep_going; /* after a drill that failed; never after an install that did */
	struct rehearse_watch watch;
};

#define REHEARSE_DISK_SIZE (8 * GIB) /* of a disk whose layout has no size */

/*
 * 0 when all drills passed; -EIO when one failed, with an error for each in `diag`; another
 * negative errno when it could not be run: -EINTR after SIGINT or SIGTERM to us (which are
 * caught from here on, run_catch_interrupts()).
 */
int rehearse(struct runner *runner, const struct layout *layout,
	     const struct rehearse_options *options, struct diag *diag);

/* -EINVAL for a name that is no drill of this layout; diag lists those that are. */
int rehearse_check_names(const struct layout *layout, const struct strv *only, unsigned n_cuts,
			 struct diag *diag);

/*
 * The layout as the appliance sees it: virtual disks, the tarball, a KDF that costs little.
 * Under emulation a healthy disk may show up late, so that boot gets twice the time to
 * wait.
 */
struct layout *rehearse_adapt(const struct layout *layout, enum vm_accel accel);

/* The script that boots the kept disks on a terminal. */
char *rehearse_boot_script(const struct layout *layout, enum vm_accel accel);
