/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * libcryptsetup-token-eyrie-peer.so: stock `cryptsetup open` of a member while its set is open.
 *
 * libcryptsetup loads it for tokens of the type eyrie-peer. The set key comes from root's
 * keyring; when it is not there, the answer is "no such token", and whoever called goes on to
 * the next one and to the passphrase.
 */

#include <libcryptsetup.h>

#include "keys/keyring.h"
#include "keys/token.h"

/* The names that libcryptsetup looks for; its header declares types only. */
const char *cryptsetup_token_version(void);
int cryptsetup_token_open(struct crypt_device *cd, int token, char **ret, size_t *ret_size,
			  void *context);
void cryptsetup_token_buffer_free(void *buffer, size_t size);
void cryptsetup_token_dump(struct crypt_device *cd, const char *json);
int cryptsetup_token_validate(struct crypt_device *cd, const char *json);

static void token_deinit(struct token *token)
{
	record_deinit(&record_token, token);
}

static bool read_token(const char *text, struct token *ret)
{
	struct json_object *json = json_tokener_parse(text);
	bool whole = token_parse(json, ret);

	json_object_put(json);
	return whole;
}

/* For libcryptsetup's debug output: the version of the format. */
const char *cryptsetup_token_version(void)
{
	return "1";
}

/* Any other error than -ENOENT would end the search among the device's other tokens. */
int cryptsetup_token_open(struct crypt_device *cd, int number, char **ret, size_t *ret_size,
			  _unused_ void *context)
{
	_cleanup_(token_deinit) struct token token = {};
	_cleanup_(secret_freep) struct secret *key = NULL;
	const char *text;
	int r;

	if (crypt_token_json_get(cd, number, &text) < 0 || !read_token(text, &token))
		return -ENOENT;
	r = keyring_get(token.set, &key);
	if (r) {
		crypt_logf(cd, CRYPT_LOG_DEBUG, "No key of the set %s in the keyring: %s.",
			   token.set, strerror(-r));
		return -ENOENT;
	}
	*ret = secret_release(take_ptr(key), ret_size);
	return 0;
}

void cryptsetup_token_buffer_free(void *buffer, size_t size)
{
	(void)secret_free(secret_adopt(buffer, size));
}

/* libcryptsetup printed the type and the list of slots. */
void cryptsetup_token_dump(struct crypt_device *cd, const char *json)
{
	_cleanup_(token_deinit) struct token token = {};

	if (!read_token(json, &token))
		return;
	crypt_logf(cd, CRYPT_LOG_NORMAL,
		   "\tset:        %s\n"
		   "\tgeneration: %llu\n"
		   "\tpassphrase: slot %llu\n"
		   "\tset key:    slot %llu\n"
		   "\tbox:        slot %llu\n",
		   token.set, (unsigned long long)token.generation,
		   (unsigned long long)token.passphrase_slot,
		   (unsigned long long)token.set_key_slot, (unsigned long long)token.box_slot);
}

int cryptsetup_token_validate(_unused_ struct crypt_device *cd, const char *json)
{
	_cleanup_(token_deinit) struct token token = {};

	return read_token(json, &token) ? 0 : -EINVAL;
}
