/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as a token, and as a body that a box vouches for: nothing, or what reads back as itself.
 * The hash of the body is made to fit, or nothing behind it would ever be reached.
 */

#include <openssl/sha.h>

#include "fuzz.h"
#include "keys/token.h"

#define BODY_HASH 168 /* docs/peer-format.md */

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static void try_token(const char *text)
{
	struct json_object *json = json_tokener_parse(text);
	struct token token = {}, back = {};

	if (token_parse(json, &token)) {
		struct json_object *again = token_to_json(&token);

		expect(token_parse(again, &back));
		expect(record_equal(&record_token, &token, &back));
		json_object_put(again);
	}
	record_deinit(&record_token, &token);
	record_deinit(&record_token, &back);
	json_object_put(json);
}

/* A box of version 1 with everything in it but a body of its own. */
static void try_body(const char *text)
{
	_cleanup_(secret_freep) struct secret *sealed = secret_new();
	_cleanup_(box_freep) struct box *box = NULL;

	sealed->size = BOX_SIZE;
	memset(sealed->data, 0, BOX_SIZE);
	memcpy(sealed->data, "EYRIEBOX\1\0\0\0", 12);
	(void)SHA256((const unsigned char *)text, strlen(text),
		     (unsigned char *)sealed->data + BODY_HASH);
	if (box_open(sealed, text, &box) == 0) {
		_cleanup_(secret_freep) struct secret *again = NULL;
		_cleanup_(box_freep) struct box *back = NULL;
		_cleanup_free_ char *body = box_body(box);

		expect(box_seal(box, body, &again) == 0);
		expect(box_open(again, body, &back) == 0);
		expect(back->members.n_items == box->members.n_items);
		expect(back->history.n_items == box->history.n_items);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = str_printf("%.*s", (int)size, (const char *)data);

	try_token(text);
	try_body(text);
	return 0;
}
