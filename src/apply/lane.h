/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "apply/apply.h"

/*
 * Side by side: the steps of each disk one after another in a process of its own. Returns when
 * all of them ended; the first error of any is returned, and the findings of all are in
 * cxt->diag. Processes and not threads, since neither libcryptsetup nor libfdisk promises
 * anything about threads, and so that a lane's mounts end with it.
 *
 * The key derivation of LUKS_FORMAT is taken by one lane at a time: it costs memory that was
 * measured for one.
 */
int lanes_run(struct apply_context *cxt, const struct step *steps, size_t n);

int apply_step(struct apply_context *cxt, const struct step *step);
