/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The key device's key in the members (unlock: keystore).
 *
 * The key is the first KEYFILE_SIZE bytes of the open key device, whose whole data area is random.
 * Each member has a slot for it with the least key derivation that LUKS2 allows, since it has full
 * entropy, and a token of the type KEYFILE_TOKEN that names this slot. The passphrase slot of the
 * member stays: with stock tools either opens it.
 */

#include "keys/luks.h"

#define KEYFILE_SIZE  64u
#define KEYFILE_TOKEN "eyrie-keyfile"

struct keyfile_member {
	const char *path; /* an existing LUKS2 device */
	const char *name; /* of the disk in the layout */
};

/* The slot that the token names, or -ENOENT. */
int keyfile_slot(const struct luks *luks);

/*
 * Add the key to each member, after the passphrase has opened every one of them, and see that it
 * opens it; the token is the commit point of a member. A slot of another key device, or of an
 * interrupted run that got no token, goes afterwards. Run again, it does what is left.
 */
int keyfile_enroll(const struct keyfile_member *members, size_t n, const struct secret *passphrase,
		   const struct secret *key, struct diag *diag);

/*
 * Take away what opens members by the key device, or by each other: slots first and the token
 * last, so that what is left of an interrupted run is seen. Before that the passphrase opens each
 * of them: nobody is locked out.
 */
int keyfile_remove(const struct keyfile_member *members, size_t n, const struct secret *passphrase,
		   struct diag *diag);
int peers_remove(const struct keyfile_member *members, size_t n, const struct secret *passphrase,
		 struct diag *diag);
