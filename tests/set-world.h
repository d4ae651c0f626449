/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Members on image files, and what can happen to them. Asserts by cmocka. */

#include <setjmp.h>
#include <stdarg.h>
#include <sys/types.h>

#include <cmocka.h>
#include <libcryptsetup.h>

#include "keys/enroll.h"
#include "keys/set.h"

#define WORLD_SET_ID "6a1c7f0e-6a3b-4d0f-9a52-2f4b8d1e7c35"
#define WORLD_N	     4
#define WORLD_RIGHT  "correct horse"
#define WORLD_AREA   (252 * KIB) /* of a slot of a 512-bit key */

struct world {
	char *folder;
	char *paths[WORLD_N];
	char *names[WORLD_N];
};

/* A key derivation that costs next to nothing: what is tested is not its cost. */
extern const struct crypt_pbkdf_type world_kdf;

int world_setup(void **state); /* WORLD_N LUKS2 images that WORLD_RIGHT opens */
int world_teardown(void **state);
void world_enroll(const struct world *world, size_t from, size_t n);
struct secret *world_secret(const char *text);
int world_unlock(const struct world *world, struct set *set, size_t n, const char *text);
void world_write_at(const char *path, off_t offset, size_t size, int byte);
/* As another tool does; 1 and 2, the set key's and the box, are what reencryption leaves out. */
void world_take_slots(const char *path, int first, int last);
int world_add_passphrase(const char *path, const char *text); /* as luksAddKey does: its slot */
bool world_opens(const char *path, const char *text); /* that member alone, by any slot */
void world_copy(const char *from, const char *to);
