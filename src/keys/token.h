/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keys/set.h"

extern const struct record record_token;

/* False when it is NULL, or no token of a version that is known here. */
bool token_parse(struct json_object *json, struct token *ret);

static inline bool token_read(const struct luks *luks, struct token *ret)
{
	return token_parse(luks_token(luks, SET_TOKEN, NULL), ret);
}

/* The passphrase slot that it names is what it was when the token was written. */
bool token_slot_is_intact(const struct token *token, const struct luks *luks);

struct json_object *token_to_json(const struct token *token);
