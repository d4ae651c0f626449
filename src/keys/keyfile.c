/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/keyfile.h"

#include <libcryptsetup.h>

#include "keys/set.h"
#include "keys/token.h"

#define VOLUME_KEY_MAX 128u

struct keyed {
	const struct keyfile_member *want;
	struct luks *luks;
	struct secret *key; /* its volume key */
	int passphrase_slot; /* that gave it */
};

static int failed(const struct keyed *k, int r, const char *what, struct diag *diag)
{
	struct strbuf *said = &k->luks->said;

	if (said->data)
		str_trim_end(said->data);
	return diag_error(diag, r, "cannot %s of '%s': %s", what, k->want->name,
			  said->size ? said->data : strerror(-r));
}

static int slot_in(struct json_object *token, size_t index)
{
	struct json_object *slots = NULL, *slot = NULL;
	uint64_t value;

	if (!token || !json_object_object_get_ex(token, "keyslots", &slots) ||
	    !json_object_is_type(slots, json_type_array))
		return -ENOENT;
	slot = json_object_array_get_idx(slots, index);
	if (!slot || str_to_u64(json_object_get_string(slot), &value) || value >= 32)
		return -ENOENT;
	return (int)value;
}

int keyfile_slot(const struct luks *luks)
{
	return slot_in(luks_token(luks, KEYFILE_TOKEN, NULL), 0);
}

static bool is_named(const struct luks *luks, const char *type, int slot)
{
	struct json_object *token = luks_token(luks, type, NULL);

	for (size_t i = 0; slot_in(token, i) >= 0; i++)
		if (slot_in(token, i) == slot)
			return true;
	return false;
}

/* Cheap slots that neither token names: of an interrupted run. `but` stays in any case. */
static int remove_unnamed(const struct keyed *k, int but)
{
	struct luks *luks = k->luks;
	int r = 0;

	for (int slot = 0; r == 0 && slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (slot != but && slot != k->passphrase_slot && luks_slot_is_cheap(luks, slot) &&
		    !is_named(luks, SET_TOKEN, slot) && !is_named(luks, KEYFILE_TOKEN, slot))
			r = crypt_keyslot_destroy(luks->cd, slot);
	return r;
}

static int remove_named(const struct keyed *k, const char *type)
{
	struct luks *luks = k->luks;
	struct json_object *token = luks_token(luks, type, NULL);
	int r = 0;

	for (size_t i = 0; r == 0 && slot_in(token, i) >= 0; i++)
		if (slot_in(token, i) != k->passphrase_slot && luks_slot_is_cheap(luks, slot_in(token, i)))
			r = crypt_keyslot_destroy(luks->cd, slot_in(token, i));
	return r;
}

static int open_one(struct keyed *k, const struct secret *passphrase, struct diag *diag)
{
	size_t size = VOLUME_KEY_MAX;
	int r = luks_load(k->want->path, &k->luks, diag);

	if (r)
		return r;
	k->key = secret_new();
	r = crypt_volume_key_get(k->luks->cd, CRYPT_ANY_SLOT, k->key->data, &size,
				 passphrase->data, passphrase->size);
	k->key->size = size;
	k->passphrase_slot = r;
	return r < 0 ? diag_error(diag, r, "the passphrase does not open '%s'", k->want->name) : 0;
}

static void close_all(struct keyed *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		all[i].luks = luks_free(all[i].luks);
		all[i].key = secret_free(all[i].key);
	}
	free(all);
}

/* Nothing is changed before the passphrase has opened every one. */
static int open_all(const struct keyfile_member *members, size_t n,
		    const struct secret *passphrase, struct keyed **ret, struct diag *diag)
{
	struct keyed *all = mem_alloc(n * sizeof(*all));
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		all[i].want = &members[i];
		r = open_one(&all[i], passphrase, diag);
	}
	if (r) {
		close_all(all, n);
		return r;
	}
	*ret = all;
	return 0;
}

static bool opens(struct luks *luks, int slot, const struct secret *key)
{
	return slot >= 0 && crypt_activate_by_passphrase(luks->cd, NULL, slot, key->data,
							 key->size, 0) == slot;
}

/* Slot 0 is the passphrase's by habit of every tool; 0 also says "none" where this is observed. */
static int free_slot(struct luks *luks)
{
	for (int slot = 1; slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (crypt_keyslot_status(luks->cd, slot) == CRYPT_SLOT_INACTIVE)
			return slot;
	return -ENOSPC;
}

static int add_slot(struct keyed *k, const struct secret *key, struct diag *diag)
{
	int r = crypt_set_pbkdf_type(k->luks->cd, &luks_least_kdf);
	int slot = free_slot(k->luks);

	if (r == 0)
		r = slot < 0 ? slot :
			       crypt_keyslot_add_by_volume_key(k->luks->cd, slot, k->key->data,
							       k->key->size, key->data, key->size);
	if (r < 0)
		return failed(k, r, "add the key device's key", diag);
	if (!opens(k->luks, slot, key))
		return failed(k, -EIO, "open the new key slot", diag);
	return slot;
}

static int write_token(struct keyed *k, int slot, struct diag *diag)
{
	_cleanup_free_ char *json = str_printf(
		"{\"type\":\"" KEYFILE_TOKEN "\",\"keyslots\":[\"%d\"]}", slot);
	int number = CRYPT_ANY_TOKEN, r;

	(void)luks_token(k->luks, KEYFILE_TOKEN, &number);
	r = crypt_token_json_set(k->luks->cd, number, json);
	return r < 0 ? failed(k, r, "write the token", diag) : 0;
}

static int enroll_one(struct keyed *k, const struct secret *key, struct diag *diag)
{
	int old = keyfile_slot(k->luks), slot, r;

	if (opens(k->luks, old, key))
		return 0;
	slot = add_slot(k, key, diag);
	if (slot < 0)
		return slot;
	r = write_token(k, slot, diag);
	if (r)
		return r;
	if (old >= 0 && old != k->passphrase_slot && luks_slot_is_cheap(k->luks, old))
		r = crypt_keyslot_destroy(k->luks->cd, old);
	if (r == 0)
		r = remove_unnamed(k, slot);
	return r < 0 ? failed(k, r, "remove an old key slot", diag) : 0;
}

int keyfile_enroll(const struct keyfile_member *members, size_t n, const struct secret *passphrase,
		   const struct secret *key, struct diag *diag)
{
	struct keyed *all = NULL;
	int r = open_all(members, n, passphrase, &all, diag);

	if (r)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = enroll_one(&all[i], key, diag);
	close_all(all, n);
	return r;
}

static int remove_one(struct keyed *k, const char *type, struct diag *diag)
{
	int number = CRYPT_ANY_TOKEN;
	int r = remove_named(k, type);

	if (r == 0)
		r = remove_unnamed(k, -1);
	if (r == 0 && luks_token(k->luks, type, &number))
		r = crypt_token_json_set(k->luks->cd, number, NULL);
	return r < 0 ? failed(k, r, "remove a key slot", diag) : 0;
}

static int remove_all(const struct keyfile_member *members, size_t n, const char *type,
		      const struct secret *passphrase, struct diag *diag)
{
	struct keyed *all = NULL;
	int r = open_all(members, n, passphrase, &all, diag);

	if (r)
		return r;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = remove_one(&all[i], type, diag);
	close_all(all, n);
	return r;
}

int keyfile_remove(const struct keyfile_member *members, size_t n, const struct secret *passphrase,
		   struct diag *diag)
{
	return remove_all(members, n, KEYFILE_TOKEN, passphrase, diag);
}

int peers_remove(const struct keyfile_member *members, size_t n, const struct secret *passphrase,
		 struct diag *diag)
{
	return remove_all(members, n, SET_TOKEN, passphrase, diag);
}
