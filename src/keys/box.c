/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/box.h"

#include <endian.h>
#include <stdio.h>

#include "base/file.h"

#define BOX_VERSION 1u

static const char magic[8] = { 'E', 'Y', 'R', 'I', 'E', 'B', 'O', 'X' };

/* As it lies in the key slot; integers are little-endian. */
struct sealed {
	char magic[8];
	uint32_t version;
	uint32_t flags;
	uuid_t set;
	uint64_t generation;
	uint8_t set_key[BOX_KEY_SIZE];
	uint8_t previous_key[BOX_KEY_SIZE];
	uint8_t body_hash[32];
	uint8_t reserved[8];
} __attribute__((packed));

_Static_assert(sizeof(struct sealed) == BOX_SIZE, "the box has a fixed size");

#define FLAG_PREVIOUS 1u

#define AT(member) .offset = offsetof(struct box_member, member)

static const struct field member_fields[] = {
	{ "uuid", FIELD_STRING, AT(uuid) },
	{ "name", FIELD_STRING, AT(name) },
	{ "passphrase", FIELD_NUMBER, AT(passphrase_slot) },
	{ "set-key", FIELD_NUMBER, AT(set_key_slot) },
	{ "previous", FIELD_BOOL, AT(previous) },
};
static const struct record record_member = RECORD(box_member, member_fields);

struct body {
	struct list members;
	struct list history;
};

static const struct field body_fields[] = {
	{ "members", FIELD_RECORDS, offsetof(struct body, members), .record = &record_member },
	{ "history", FIELD_RECORDS, offsetof(struct body, history), .record = &record_epoch },
};
static const struct record record_body = RECORD(body, body_fields);

struct box *box_new(void)
{
	return mem_alloc(sizeof(struct box));
}

struct box *box_free(struct box *box)
{
	if (!box)
		return NULL;
	box->set_key = secret_free(box->set_key);
	box->previous_key = secret_free(box->previous_key);
	list_deinit(&box->members, &record_member);
	list_deinit(&box->history, &record_epoch);
	free(box);
	return NULL;
}

const struct box_member *box_member(const struct box *box, const char *uuid)
{
	const struct box_member *members = box->members.items;

	for (size_t i = 0; i < box->members.n_items; i++)
		if (streq(members[i].uuid, uuid))
			return &members[i];
	return NULL;
}

struct box_member *box_add_member(struct box *box)
{
	return list_add(&box->members, &record_member);
}

void box_copy_member(struct box *box, const struct box_member *member)
{
	record_copy(&record_member, box_add_member(box), member);
}

char *box_body(const struct box *box)
{
	const struct body body = { .members = box->members, .history = box->history };
	struct json_object *json = record_to_json(&record_body, &body);
	char *text = str_dup(json_object_to_json_string_ext(
		json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(json);
	return text;
}

static int hash_body(const char *body, uint8_t ret[static 32])
{
	char hex[HASH_HEX_SIZE];
	int r = data_hash(body, strlen(body), hex);

	for (size_t i = 0; r == 0 && i < 32; i++) {
		unsigned byte = 0;

		(void)sscanf(hex + 2 * i, "%2x", &byte);
		ret[i] = (uint8_t)byte;
	}
	return r;
}

int box_seal(const struct box *box, const char *body, struct secret **ret)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	struct sealed *sealed = (struct sealed *)secret->data;
	int r;

	secret->size = sizeof(*sealed);
	memcpy(sealed->magic, magic, sizeof(magic));
	sealed->version = htole32(BOX_VERSION);
	sealed->flags = htole32(box->previous_key ? FLAG_PREVIOUS : 0);
	uuid_copy(sealed->set, box->set);
	sealed->generation = htole64(box->generation);
	memcpy(sealed->set_key, box->set_key->data, BOX_KEY_SIZE);
	if (box->previous_key)
		memcpy(sealed->previous_key, box->previous_key->data, BOX_KEY_SIZE);
	r = hash_body(body, sealed->body_hash);
	if (r)
		return r;
	*ret = take_ptr(secret);
	return 0;
}

static struct secret *take_key(const uint8_t *key)
{
	struct secret *secret = secret_new();

	memcpy(secret->data, key, BOX_KEY_SIZE);
	secret->size = BOX_KEY_SIZE;
	return secret;
}

static int read_body(struct box *box, const char *text)
{
	struct json_object *json = json_tokener_parse(text);
	struct body body = {};
	int r = json ? record_from_json(&record_body, &body, json, NULL) : -EBADMSG;

	json_object_put(json);
	box->members = body.members;
	box->history = body.history;
	return r || box->members.n_items > BOX_MEMBERS_MAX ? -EBADMSG : 0;
}

int box_open(const struct secret *secret, const char *body, struct box **ret)
{
	_cleanup_(box_freep) struct box *box = box_new();
	const struct sealed *sealed = (const struct sealed *)secret->data;
	uint8_t hash[32];

	if (secret->size != sizeof(*sealed) || memcmp(sealed->magic, magic, sizeof(magic)) != 0 ||
	    le32toh(sealed->version) != BOX_VERSION)
		return -EBADMSG;
	if (hash_body(body, hash) || memcmp(hash, sealed->body_hash, sizeof(hash)) != 0)
		return -EBADMSG;
	uuid_copy(box->set, sealed->set);
	box->generation = le64toh(sealed->generation);
	box->set_key = take_key(sealed->set_key);
	if (le32toh(sealed->flags) & FLAG_PREVIOUS)
		box->previous_key = take_key(sealed->previous_key);
	if (read_body(box, body))
		return -EBADMSG;
	*ret = take_ptr(box);
	return 0;
}
