/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keys/set.h"

extern const struct record record_token;

/* False when the device has no token of ours that can be read. */
bool token_read(const struct luks *luks, struct token *ret);
struct json_object *token_to_json(const struct token *token);
