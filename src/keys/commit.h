/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writing what a member knows of its set. Each call is one step that a crash leaves undone or
 * done: what counts is the box that the token names, and the token is written in between.
 */

#include "keys/box.h"
#include "keys/luks.h"

struct commit {
	const char *name; /* of the disk, for people */
	struct luks *luks;
	const struct secret *key; /* its volume key */
	int passphrase_slot;
	int set_key_slot;
	const char *fingerprint; /* to keep; NULL: that of the passphrase slot as it is now */
	/* Slots that open the member stay: one may be of a change that was cut, and is needed to end it. */
	bool history_only;
};

/* A further slot for the set key; its number is noted in `commit`. */
int commit_set_key(struct commit *commit, const struct secret *set_key, struct diag *diag);

/* A new box, the token that names it, and away with what the token before named. */
int commit_box(const struct commit *commit, const struct box *box, struct diag *diag);
