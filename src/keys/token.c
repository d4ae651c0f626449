/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/token.h"

#define AT(member) .offset = offsetof(struct token, member)

static const struct field token_fields[] = {
	{ "version", FIELD_NUMBER, AT(version) },
	{ "set", FIELD_STRING, AT(set) },
	{ "generation", FIELD_NUMBER, AT(generation) },
	{ "passphrase", FIELD_NUMBER, AT(passphrase_slot) },
	{ "fingerprint", FIELD_STRING, AT(passphrase_fingerprint) },
	{ "set-key", FIELD_NUMBER, AT(set_key_slot) },
	{ "box", FIELD_NUMBER, AT(box_slot) },
	{ "body", FIELD_STRING, AT(body) },
};
const struct record record_token = RECORD(token, token_fields);

bool token_parse(struct json_object *json, struct token *ret)
{
	struct json_object *own = NULL;
	struct token token = {};
	bool whole;

	if (!json || json_object_deep_copy(json, &own, NULL) < 0)
		return false;
	/* LUKS2's own members of every token. */
	json_object_object_del(own, "type");
	json_object_object_del(own, "keyslots");
	whole = record_from_json(&record_token, &token, own, NULL) == 0 && token.version == 1 &&
		token.body && token.set && token.passphrase_slot < 32 && token.set_key_slot < 32 &&
		token.box_slot < 32;
	json_object_put(own);
	if (whole)
		*ret = token;
	else
		record_deinit(&record_token, &token);
	return whole;
}

bool token_slot_is_intact(const struct token *token, const struct luks *luks)
{
	char now[LUKS_FINGERPRINT_SIZE];

	return token->passphrase_fingerprint &&
	       luks_fingerprint(luks, (int)token->passphrase_slot, now) == 0 &&
	       streq(now, token->passphrase_fingerprint);
}

/*
 * LUKS2 has a token name the slots that it opens, and stock tools try them in that order: the
 * set key's first. The box is named so that nobody takes it for a passphrase to wipe; the
 * passphrase's slot is not, since the set key does not open it and a try costs its slow KDF.
 */
struct json_object *token_to_json(const struct token *token)
{
	const uint64_t slots[] = { token->set_key_slot, token->box_slot };
	struct json_object *json = record_to_json(&record_token, token);
	struct json_object *keyslots = json_object_new_array();

	for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
		_cleanup_free_ char *number = str_printf("%u", (unsigned)slots[i]);

		json_object_array_add(keyslots, json_object_new_string(number));
	}
	json_object_object_add(json, "type", json_object_new_string(SET_TOKEN));
	json_object_object_add(json, "keyslots", keyslots);
	return json;
}
