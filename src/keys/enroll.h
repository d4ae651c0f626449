/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/run.h"

struct enroll_member {
	const char *path; /* an existing LUKS2 device */
	const char *name; /* of the disk in the layout */
	const struct secret *key; /* its volume key when that is known, else NULL */
};

enum enroll_flags {
	ENROLL_KEEP_ABSENT = 1 << 0, /* who is not given but was a member stays one */
};

/*
 * Make the devices a set: a new set key on each, a box on each, a token on each. Run again
 * after a crash, it makes a set of a higher generation; a member that was not reached keeps what
 * it had. No passphrase slot is changed; a member that the passphrase does not open gets a
 * further one when its volume key is known, else nothing is done at all. Each member keeps the
 * history that it has.
 *
 * Such a member loses the passphrase of before when that is intact by its token and the new one has the
 * place of it on another member. One that was changed since stays, and so does everything when the
 * passphrase that is given is but a further one, as a recovery key: the tokens go on to name what they did.
 *
 * With a member absent that stays one, the set key before is kept in the box to open it when it
 * returns; when that place is taken, the set key stays as it is.
 */
int set_enroll(const struct enroll_member *members, size_t n, const char *set_id,
	       const struct secret *passphrase, unsigned flags, struct diag *diag);
