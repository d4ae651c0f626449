/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Asking for the passphrase in an initramfs, through whatever there is. Which way that is gets
 * looked for at every question: a splash screen may have come or gone since the last one.
 */

#include "base/run.h"

struct asker {
	struct runner *run;
	const char *root;    /* where the ways are looked for; "" in an initramfs */
	const char *console; /* /dev/console */
};

/*
 * Ask once, and wait for ever. `question` ends with its colon. A negative errno with a diag when
 * there was no answer, -ENODATA for an empty one; asking again is the caller's.
 */
int ask_passphrase(const struct asker *asker, const char *question, struct secret *passphrase,
		   struct diag *diag);
