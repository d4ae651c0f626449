/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/luks.h"

#include <fcntl.h>
#include <libcryptsetup.h>
#include <sys/stat.h>

#include "base/cipher.h"
#include "base/file.h"

#define KEY_MAX 1024u /* bytes; the box is the largest */

/*
 * libcryptsetup takes the hash for the anti-forensic stripes, too, and calls it once for each
 * block of its size: those of SHA-512 are half as many, and that is most of what a slot costs.
 */
const struct crypt_pbkdf_type luks_least_kdf = {
	.type = CRYPT_KDF_PBKDF2,
	.hash = "sha512",
	.iterations = 1000,
	.flags = CRYPT_PBKDF_NO_BENCHMARK,
};

void luks_read_only(void)
{
	(void)crypt_metadata_locking(NULL, 0);
}

static void keep_errors(int level, const char *message, void *context)
{
	struct luks *luks = context;

	if (level == CRYPT_LOG_ERROR)
		strbuf_add(&luks->said, message);
}

struct luks *luks_free(struct luks *luks)
{
	if (!luks)
		return NULL;
	if (luks->cd)
		crypt_free(luks->cd);
	json_object_put(luks->metadata);
	strbuf_deinit(&luks->said);
	free(luks->path);
	free(luks->uuid);
	free(luks);
	return NULL;
}

static bool is_same_device(const char *a, const char *b)
{
	struct stat x, y;

	return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_rdev == y.st_rdev;
}

bool luks_has_mapping(const struct luks *luks, const char *name)
{
	struct crypt_device *cd = NULL;
	bool has = crypt_init_by_name(&cd, name) == 0 && streq(crypt_get_uuid(cd), luks->uuid) &&
		   is_same_device(crypt_get_device_name(cd), luks->path);

	crypt_free(cd);
	return has;
}

static struct json_object *get(struct json_object *json, const char *name)
{
	struct json_object *value = NULL;

	return json && json_object_object_get_ex(json, name, &value) ? value : NULL;
}

/* Of the data, or of the area of a key slot. */
static bool is_known_cipher(struct json_object *encryption)
{
	return cipher_is_known(json_object_get_string(encryption));
}

/* Every member of the object `section` of the metadata has a known cipher at `part`. */
static bool has_known_ciphers(const struct luks *luks, const char *section, const char *part)
{
	struct json_object *all = get(luks->metadata, section);

	if (!all)
		return false;
	json_object_object_foreach(all, number, object) {
		struct json_object *holder = part ? get(object, part) : object;

		(void)number;
		if (!is_known_cipher(get(holder, "encryption")))
			return false;
	}
	return true;
}

static bool has_requirements(const struct luks *luks)
{
	struct json_object *requirements =
		get(get(get(luks->metadata, "config"), "requirements"), "mandatory");

	return requirements && json_object_array_length(requirements) > 0;
}

static int check(const struct luks *luks, struct diag *diag)
{
	if (!has_known_ciphers(luks, "segments", NULL))
		return diag_error(diag, -EBADMSG, "%s: its data has a cipher that eyrie does not "
				  "accept", luks->path);
	if (!has_known_ciphers(luks, "keyslots", "area"))
		return diag_error(diag, -EBADMSG, "%s: a key slot has a cipher that eyrie does not "
				  "accept; the header may be forged", luks->path);
	if (has_requirements(luks))
		return diag_error(diag, -EBADMSG, "%s: a reencryption was begun and not ended",
				  luks->path);
	return 0;
}

static int load(struct luks *luks)
{
	const char *text;
	int r;

	r = crypt_init(&luks->cd, luks->path);
	if (r)
		return r;
	crypt_set_log_callback(luks->cd, keep_errors, luks);
	r = crypt_load(luks->cd, CRYPT_LUKS2, NULL);
	if (r == 0)
		r = crypt_dump_json(luks->cd, &text, 0);
	if (r)
		return r;
	luks->uuid = str_dup(crypt_get_uuid(luks->cd));
	luks->metadata = json_tokener_parse(text);
	return luks->metadata ? 0 : -EINVAL;
}

int luks_load(const char *path, struct luks **ret, struct diag *diag)
{
	_cleanup_(luks_freep) struct luks *luks = mem_alloc(sizeof(*luks));
	int r;

	luks->path = str_dup(path);
	r = load(luks);
	if (r)
		return diag_error(diag, r == -ENOTBLK ? -ENODEV : r, "%s: cannot read a LUKS2 header",
				  path);
	r = check(luks, diag);
	if (r)
		return r;
	*ret = take_ptr(luks);
	return 0;
}

struct json_object *luks_token(const struct luks *luks, const char *type, int *ret_number)
{
	struct json_object *tokens = get(luks->metadata, "tokens");

	if (!tokens)
		return NULL;
	json_object_object_foreach(tokens, number, token) {
		if (!streq(json_object_get_string(get(token, "type")), type))
			continue;
		if (ret_number)
			*ret_number = atoi(number);
		return token;
	}
	return NULL;
}

int luks_slot_key(struct luks *luks, int slot, const char *passphrase, size_t size,
		  struct secret **ret)
{
	_cleanup_(secret_freep) struct secret *key = secret_new();
	size_t key_size = KEY_MAX;
	int r;

	luks->said.size = 0;
	r = crypt_volume_key_get(luks->cd, slot, key->data, &key_size, passphrase, size);
	if (r == -EPERM)
		return LUKS_WRONG;
	if (r < 0)
		return r;
	key->size = key_size;
	*ret = take_ptr(key);
	return 0;
}

int luks_verify_key(struct luks *luks, const struct secret *key)
{
	int r = crypt_volume_key_verify(luks->cd, key->data, key->size);

	return r < 0 ? -EPERM : 0;
}

static struct json_object *keyslot(const struct luks *luks, int slot)
{
	_cleanup_free_ char *number = str_printf("%d", slot);

	return get(get(luks->metadata, "keyslots"), number);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_kdf(struct strbuf *b, struct json_object *kdf)
{
	_cleanup_strv_ struct strv lines = STRV_NULL;

	json_object_object_foreach(kdf, name, value)
		strv_addf(&lines, "%s=%s\n", name, json_object_get_string(value));
	qsort(lines.items, lines.n_items, sizeof(*lines.items), by_text);
	for (size_t i = 0; i < lines.n_items; i++)
		strbuf_add(b, lines.items[i]);
}

bool luks_slot_is_of_another_tool(const struct luks *luks, int slot)
{
	struct crypt_device *cd = luks->cd;

	for (int token = 0; token < crypt_token_max(CRYPT_LUKS2); token++) {
		const char *type = NULL;

		if (crypt_token_status(cd, token, &type) > CRYPT_TOKEN_INACTIVE &&
		    crypt_token_is_assigned(cd, token, slot) == 0 && !starts_with(type, "eyrie-"))
			return true;
	}
	return false;
}

bool luks_slot_is_cheap(const struct luks *luks, int slot)
{
	struct crypt_pbkdf_type kdf;

	return crypt_keyslot_status(luks->cd, slot) >= CRYPT_SLOT_ACTIVE &&
	       crypt_keyslot_get_pbkdf(luks->cd, slot, &kdf) == 0 &&
	       streq(kdf.type, luks_least_kdf.type) &&
	       kdf.iterations == luks_least_kdf.iterations && !luks_slot_is_of_another_tool(luks, slot);
}

static bool is_for_passphrases(const struct luks *luks, int slot)
{
	crypt_keyslot_info status = crypt_keyslot_status(luks->cd, slot);

	return (status == CRYPT_SLOT_ACTIVE || status == CRYPT_SLOT_ACTIVE_LAST) &&
	       crypt_keyslot_get_priority(luks->cd, slot) != CRYPT_SLOT_PRIORITY_IGNORE &&
	       !luks_slot_is_cheap(luks, slot);
}

int luks_next_passphrase_slot(const struct luks *luks, int slot)
{
	while (++slot < crypt_keyslot_max(CRYPT_LUKS2))
		if (is_for_passphrases(luks, slot))
			return slot;
	return -ENOENT;
}

bool luks_has_slot(const struct luks *luks, int slot)
{
	return keyslot(luks, slot) != NULL;
}

int luks_fingerprint(const struct luks *luks, int slot, char ret[static LUKS_FINGERPRINT_SIZE])
{
	_cleanup_close_ int fd = open(luks->path, O_RDONLY | O_CLOEXEC);
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	_cleanup_free_ char *area = NULL;
	struct json_object *kdf = get(keyslot(luks, slot), "kdf");
	uint64_t offset, length;

	if (fd < 0)
		return -errno;
	if (!kdf || crypt_keyslot_area(luks->cd, slot, &offset, &length) < 0 || length > 16 * MIB)
		return -ENOENT;
	area = mem_alloc(length);
	if (pread(fd, area, length, (off_t)offset) != (ssize_t)length)
		return -EIO;
	strbuf_add_bytes(&b, area, length);
	add_kdf(&b, kdf);
	return data_hash(b.data, b.size, ret);
}
