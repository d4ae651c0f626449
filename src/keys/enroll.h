/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/run.h"

struct enroll_member {
	const char *path; /* an existing LUKS2 device that the passphrase opens */
	const char *name; /* of the disk in the layout */
};

/*
 * Make the devices a set: a new set key on each, a box on each, a token on each. Run again
 * after a crash, it makes a set of a higher generation; a member that was not reached keeps what
 * it had, and its passphrase slot is never touched.
 */
int set_enroll(const struct enroll_member *members, size_t n, const char *set_id,
	       const struct secret *passphrase, struct diag *diag);
