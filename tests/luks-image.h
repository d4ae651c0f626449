/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* LUKS2 images made by libcryptsetup, cheap to open, with small headers. */

#include <libcryptsetup.h>

#include "test.h"

#define LUKS_IMAGE_HEADER (16 * KIB) /* one copy: binary header and JSON */
#define LUKS_IMAGE_SIZE	  (4 * MIB)
#define LUKS_IMAGE_UUID	  "12345678-1234-4234-8234-123456789abc"
#define LUKS_IMAGE_LABEL  "falcon-left"
#define LUKS_IMAGE_SUBSYSTEM "eyrie:" TEST_ID

extern const struct crypt_pbkdf_type luks_image_kdf; /* costs next to nothing */

void luks_image(const char *path, unsigned n_keyslots);

/* As a disk is formatted: the sizes that LUKS2 has by itself, in which a box has room. */
#define LUKS_MEMBER_SIZE (20 * MIB)
void luks_image_member(const char *path, const char *passphrase);

/* Write over `size` bytes at `offset`. */
void luks_image_damage(const char *path, uint64_t offset, const void *data, size_t size);
