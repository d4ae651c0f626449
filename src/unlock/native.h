/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A root pool that ZFS encrypts itself: its partitions, its import, its key. There is no set and
 * no history here; what ZFS does with legs that ran apart is ZFS's affair.
 */

#include "unlock/opening.h"

char *native_names(const struct opening *o, bool present); /* "left, right" */

/* Until every partition is there, or the window has passed; those that never came are named. */
void native_wait(const struct opening *o);

/* This pool, by its GUID, from the partitions that are there; nothing is mounted. */
int native_import(const struct opening *o);

/* 0 also when it is loaded already; -EKEYREJECTED when the passphrase is wrong. */
int native_load_key(const struct opening *o, const struct secret *passphrase);
