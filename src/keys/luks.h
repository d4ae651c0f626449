/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One LUKS2 device, opened for reading: its metadata, and its volume key by a key slot.
 *
 * Loading never writes (crypt_load() would mend a damaged header copy otherwise), and no key
 * derivation is run before the header was found acceptable: cryptsetup before 2.8.1 opens a
 * slot whose area uses the null cipher with any passphrase.
 */

#include <json-c/json.h>

#include "base/secret.h"

struct crypt_device;

struct luks {
	char *path;
	char *uuid;
	struct crypt_device *cd;
	struct json_object *metadata; /* the JSON area */
	struct strbuf said;	      /* what libcryptsetup said */
};

/* Once, before the first luks_load() of a process that does not change headers. */
void luks_read_only(void);

/*
 * 0; -EINVAL when it is no LUKS2 device or its header is damaged beyond use; -EBADMSG when the
 * header is not acceptable: another cipher than those of base/cipher.h, unknown requirements.
 * What is wrong is in `diag`.
 */
int luks_load(const char *path, struct luks **ret, struct diag *diag);
struct luks *luks_free(struct luks *luks);
DEFINE_CLEANUP(struct luks *, luks_free)

/*
 * The mapping of that name is of this very device: not of a copy of it, of another machine's disk, or of one
 * that was pulled.
 */
bool luks_has_mapping(const struct luks *luks, const char *name);

/* The token of that type as JSON, borrowed, with its number; NULL when there is none. */
struct json_object *luks_token(const struct luks *luks, const char *type, int *ret_number);

/*
 * The key that a slot holds: the volume key, or what an unbound slot was given. 0; LUKS_WRONG
 * when the slot is there and the passphrase is not its own; a negative errno for all else.
 */
enum { LUKS_WRONG = 1 };
int luks_slot_key(struct luks *luks, int slot, const char *passphrase, size_t size,
		  struct secret **ret);

/*
 * A slot as eyrie makes them for keys of full entropy, with the least KDF that LUKS2 allows, that no
 * token of another tool names: systemd-cryptenroll's have the same iterations.
 */
extern const struct crypt_pbkdf_type luks_least_kdf;
bool luks_slot_is_cheap(const struct luks *luks, int slot);

bool luks_slot_is_of_another_tool(const struct luks *luks, int slot); /* a token of it names the slot */

/*
 * The next slot after `slot` that opens the data, none of eyrie's cheap ones, and not one that is to be left
 * alone unless it is asked for by its number; -ENOENT.
 */
int luks_next_passphrase_slot(const struct luks *luks, int slot);

bool luks_has_slot(const struct luks *luks, int slot);

/* 0 when `key` is the volume key, -EPERM when not. */
int luks_verify_key(struct luks *luks, const struct secret *key);

/*
 * SHA-256 of a slot as it lies on the device: the bytes of its area, then its KDF as lines
 * "name=value\n" sorted by name. Equal: the slot is what it was when this was noted.
 */
#define LUKS_FINGERPRINT_SIZE 65
int luks_fingerprint(const struct luks *luks, int slot, char ret[static LUKS_FINGERPRINT_SIZE]);
