/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Secrets: passphrases and keys.
 *
 * A secret lives in pages of its own that are locked into memory where the limit allows, left
 * out of core dumps and wiped on free. It is moved, never copied: hand it over with take_ptr().
 * It never enters argv, the environment, a log, JSON or an ordinary string.
 */

#include "base/diag.h"

struct secret {
	char *data;
	size_t size; /* bytes in use */
	size_t room; /* bytes mapped */
};

#define SECRET_MAX 8192u /* bytes; twice what a terminal line can hold */

struct secret *secret_new(void); /* empty, room for SECRET_MAX bytes */
struct secret *secret_free(struct secret *secret);
DEFINE_CLEANUP(struct secret *, secret_free)

/* Out of our hands as mere bytes, for a library that will give them back. */
char *secret_release(struct secret *secret, size_t *ret_size);
struct secret *secret_adopt(char *data, size_t size);

bool secret_equal(const struct secret *a, const struct secret *b); /* constant time */

/*
 * Read everything up to the end of `fd`, or to the first newline with `line`; the newline is
 * not part of the secret. -EMSGSIZE above SECRET_MAX, -ENODATA when there is nothing.
 */
int secret_read(struct secret *secret, int fd, bool line);

/* Call once, first thing: no core dumps, no ptrace by others of the same user. */
void secret_harden_process(void);
