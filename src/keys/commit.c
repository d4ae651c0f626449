/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/commit.h"

#include <libcryptsetup.h>

#include "keys/keyfile.h"
#include "keys/set.h"
#include "keys/token.h"

static int failed(const struct commit *commit, int r, const char *what, struct diag *diag)
{
	struct strbuf *said = &commit->luks->said;

	if (said->data)
		str_trim_end(said->data);
	return diag_error(diag, r, "cannot %s of '%s': %s", what, commit->name,
			  said->size ? said->data : strerror(-r));
}

int commit_set_key(struct commit *commit, const struct secret *set_key, struct diag *diag)
{
	struct crypt_device *cd = commit->luks->cd;
	int r = crypt_set_pbkdf_type(cd, &luks_least_kdf);

	if (r == 0)
		r = crypt_keyslot_add_by_volume_key(cd, CRYPT_ANY_SLOT, commit->key->data,
						    commit->key->size, set_key->data,
						    set_key->size);
	if (r < 0)
		return failed(commit, r, "add the set key", diag);
	commit->set_key_slot = r;
	return 0;
}

static int add_box(const struct commit *commit, const struct secret *sealed, struct diag *diag)
{
	struct crypt_device *cd = commit->luks->cd;
	int r = crypt_set_pbkdf_type(cd, &luks_least_kdf);

	if (r == 0)
		r = crypt_keyslot_add_by_key(cd, CRYPT_ANY_SLOT, sealed->data, sealed->size,
					     commit->key->data, commit->key->size,
					     CRYPT_VOLUME_KEY_NO_SEGMENT);
	return r < 0 ? failed(commit, r, "add the box", diag) : r;
}

static int take_fingerprint(const struct commit *commit, struct token *token)
{
	char fingerprint[LUKS_FINGERPRINT_SIZE];
	int r = 0;

	if (!commit->fingerprint)
		r = luks_fingerprint(commit->luks, commit->passphrase_slot, fingerprint);
	if (r == 0)
		token->passphrase_fingerprint =
			str_dup(commit->fingerprint ? commit->fingerprint : fingerprint);
	return r;
}

static int write_token(const struct commit *commit, const struct box *box, const char *body,
		       int box_slot)
{
	char set_id[UUID_STR_LEN];
	struct token token = { .version = 1, .generation = box->generation,
			       .body = str_dup(body),
			       .passphrase_slot = (uint64_t)commit->passphrase_slot,
			       .set_key_slot = (uint64_t)commit->set_key_slot,
			       .box_slot = (uint64_t)box_slot };
	struct json_object *json;
	int number = CRYPT_ANY_TOKEN, r;

	uuid_unparse_lower(box->set, set_id);
	token.set = str_dup(set_id);
	(void)luks_token(commit->luks, SET_TOKEN, &number);
	r = take_fingerprint(commit, &token);
	json = token_to_json(&token);
	if (r == 0)
		r = crypt_token_json_set(commit->luks->cd, number, json_object_to_json_string_ext(
					 json, JSON_C_TO_STRING_PLAIN));
	json_object_put(json);
	record_deinit(&record_token, &token);
	return MIN_OF(r, 0);
}

/*
 * Slots of ours that the new token does not name: of the generation before, or of a crash. That
 * of a key device is another way in, and goes only when the machine has left it.
 */
static bool is_left_over(const struct commit *commit, int slot, int box_slot)
{
	bool opens = crypt_keyslot_status(commit->luks->cd, slot) != CRYPT_SLOT_UNBOUND;

	return !(opens && commit->history_only) && slot != commit->passphrase_slot && slot != commit->set_key_slot &&
	       slot != box_slot && slot != keyfile_slot(commit->luks) &&
	       luks_slot_is_cheap(commit->luks, slot);
}

static int remove_left_over(const struct commit *commit, int box_slot)
{
	int r = 0;

	for (int slot = 0; r == 0 && slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (is_left_over(commit, slot, box_slot))
			r = crypt_keyslot_destroy(commit->luks->cd, slot);
	return r;
}

int commit_box(const struct commit *commit, const struct box *box, struct diag *diag)
{
	_cleanup_(secret_freep) struct secret *sealed = NULL;
	_cleanup_free_ char *body = box_body(box);
	int r = box_seal(box, body, &sealed), box_slot;

	if (r)
		return failed(commit, r, "seal the box", diag);
	box_slot = add_box(commit, sealed, diag);
	if (box_slot < 0)
		return box_slot;
	r = write_token(commit, box, body, box_slot);
	if (r < 0)
		return failed(commit, r, "write the token", diag);
	r = remove_left_over(commit, box_slot);
	return r < 0 ? failed(commit, r, "remove an old key slot", diag) : 0;
}
