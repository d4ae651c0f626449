/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/enroll.h"

#include <libcryptsetup.h>
#include <sys/random.h>

#include "keys/set.h"
#include "keys/token.h"

#define VOLUME_KEY_MAX 128u

/* The least that LUKS2 allows: set keys and boxes' passphrases have full entropy. */
static const struct crypt_pbkdf_type minimal_kdf = {
	.type = CRYPT_KDF_PBKDF2,
	.hash = "sha256",
	.iterations = 1000,
	.flags = CRYPT_PBKDF_NO_BENCHMARK,
};

struct enrolled {
	const struct enroll_member *want;
	struct luks *luks;
	struct secret *key;
	struct token old; /* what it had */
	bool had_token;
	int passphrase_slot;
	int set_key_slot;
};

static int failed(const struct enrolled *e, int r, const char *what, struct diag *diag)
{
	struct strbuf *said = &e->luks->said;

	if (said->data)
		str_trim_end(said->data);
	return diag_error(diag, r, "cannot %s of '%s': %s", what, e->want->name,
			  said->size ? said->data : strerror(-r));
}

/* Its volume key, by the passphrase: nothing is changed before every member opened. */
static int open_member(struct enrolled *e, const struct secret *passphrase, struct diag *diag)
{
	size_t size = VOLUME_KEY_MAX;
	int r;

	r = luks_load(e->want->path, &e->luks, diag);
	if (r)
		return r;
	e->had_token = token_read(e->luks, &e->old);
	e->key = secret_new();
	r = crypt_volume_key_get(e->luks->cd, CRYPT_ANY_SLOT, e->key->data, &size,
				 passphrase->data, passphrase->size);
	if (r < 0)
		return diag_error(diag, r, "the passphrase does not open '%s'", e->want->name);
	e->key->size = size;
	e->passphrase_slot = r;
	return 0;
}

static int add_set_key(struct enrolled *e, const struct secret *set_key, struct diag *diag)
{
	int r;

	r = crypt_set_pbkdf_type(e->luks->cd, &minimal_kdf);
	if (r == 0)
		r = crypt_keyslot_add_by_volume_key(e->luks->cd, CRYPT_ANY_SLOT, e->key->data,
						    e->key->size, set_key->data, set_key->size);
	if (r < 0)
		return failed(e, r, "add the set key", diag);
	e->set_key_slot = r;
	return 0;
}

static int add_box(struct enrolled *e, const struct secret *sealed, struct diag *diag)
{
	int r = crypt_keyslot_add_by_key(e->luks->cd, CRYPT_ANY_SLOT, sealed->data, sealed->size,
					 e->key->data, e->key->size,
					 CRYPT_VOLUME_KEY_NO_SEGMENT);

	return r < 0 ? failed(e, r, "add the box", diag) : r;
}

static int write_token(struct enrolled *e, const struct box *box, const char *body, int box_slot,
		       const char *set_id)
{
	struct token token = { .version = 1, .set = str_dup(set_id),
			       .generation = box->generation, .body = str_dup(body),
			       .passphrase_slot = (uint64_t)e->passphrase_slot,
			       .set_key_slot = (uint64_t)e->set_key_slot,
			       .box_slot = (uint64_t)box_slot };
	char fingerprint[LUKS_FINGERPRINT_SIZE];
	struct json_object *json;
	int number = CRYPT_ANY_TOKEN, r;

	(void)luks_token(e->luks, SET_TOKEN, &number);
	r = luks_fingerprint(e->luks, e->passphrase_slot, fingerprint);
	if (r == 0)
		token.passphrase_fingerprint = str_dup(fingerprint);
	json = token_to_json(&token);
	if (r == 0)
		r = crypt_token_json_set(e->luks->cd, number, json_object_to_json_string_ext(
					 json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	record_deinit(&record_token, &token);
	return MIN_OF(r, 0);
}

/* Slots of ours that the new token does not name: of the generation before, or of a crash. */
static bool is_left_over(const struct enrolled *e, int slot, int box_slot)
{
	struct crypt_pbkdf_type kdf;
	crypt_keyslot_info status = crypt_keyslot_status(e->luks->cd, slot);

	if (slot == e->passphrase_slot || slot == e->set_key_slot || slot == box_slot ||
	    status < CRYPT_SLOT_ACTIVE)
		return false;
	return crypt_keyslot_get_pbkdf(e->luks->cd, slot, &kdf) == 0 &&
	       streq(kdf.type, CRYPT_KDF_PBKDF2) && kdf.iterations == minimal_kdf.iterations;
}

/*
 * The token is the commit point of a member: before it, the old box is the one that counts.
 * Old slots go last.
 */
static int commit(struct enrolled *e, const struct box *box, const char *body,
		  const struct secret *sealed, const char *set_id, struct diag *diag)
{
	int box_slot = add_box(e, sealed, diag), r;

	if (box_slot < 0)
		return box_slot;
	r = write_token(e, box, body, box_slot, set_id);
	if (r < 0)
		return failed(e, r, "write the token", diag);
	for (int slot = 0; r == 0 && slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (is_left_over(e, slot, box_slot))
			r = crypt_keyslot_destroy(e->luks->cd, slot);
	return r < 0 ? failed(e, r, "remove an old key slot", diag) : 0;
}

static int random_key(struct secret **ret)
{
	_cleanup_(secret_freep) struct secret *key = secret_new();

	if (getrandom(key->data, BOX_KEY_SIZE, 0) != (ssize_t)BOX_KEY_SIZE)
		return -EIO;
	key->size = BOX_KEY_SIZE;
	*ret = take_ptr(key);
	return 0;
}

static void describe(struct box *box, const struct enrolled *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct box_member *member = box_add_member(box);

		member->uuid = str_dup(all[i].luks->uuid);
		member->name = str_dup(all[i].want->name);
		member->passphrase_slot = (uint64_t)all[i].passphrase_slot;
		member->set_key_slot = (uint64_t)all[i].set_key_slot;
	}
}

static int enroll_all(struct enrolled *all, size_t n, const char *set_id,
		      const struct secret *passphrase, struct diag *diag)
{
	_cleanup_(box_freep) struct box *box = box_new();
	_cleanup_(secret_freep) struct secret *sealed = NULL;
	_cleanup_free_ char *body = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		r = open_member(&all[i], passphrase, diag);
		box->generation = MAX_OF(box->generation, all[i].old.generation);
	}
	if (r == 0 && uuid_parse(set_id, box->set) < 0)
		r = diag_error(diag, -EINVAL, "'%s' is not a UUID", set_id);
	if (r == 0 && random_key(&box->set_key))
		r = diag_error(diag, -EIO, "the kernel gives no random bytes");
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_set_key(&all[i], box->set_key, diag);
	if (r)
		return r;
	box->generation++;
	describe(box, all, n);
	body = box_body(box);
	r = box_seal(box, body, &sealed);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = commit(&all[i], box, body, sealed, set_id, diag);
	return r;
}

int set_enroll(const struct enroll_member *members, size_t n, const char *set_id,
	       const struct secret *passphrase, struct diag *diag)
{
	_cleanup_free_ struct enrolled *all = mem_alloc(n * sizeof(*all));
	int r;

	for (size_t i = 0; i < n; i++)
		all[i].want = &members[i];
	r = enroll_all(all, n, set_id, passphrase, diag);
	for (size_t i = 0; i < n; i++) {
		record_deinit(&record_token, &all[i].old);
		all[i].luks = luks_free(all[i].luks);
		all[i].key = secret_free(all[i].key);
	}
	return r;
}
