/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "keys/set.h"

extern const struct record record_token;

/* False when the device has no token of ours that can be read. */
bool token_read(const struct luks *luks, struct token *ret);
/*
 * The box that the token names, opened with the volume key. NULL when there is none that is
 * whole and is about this very member.
 */
struct box *token_open_box(const struct token *token, struct luks *luks, const struct secret *key);
struct json_object *token_to_json(const struct token *token);
