/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A LUKS2 header as it lies on the disk, read without libcryptsetup: crypt_load() mends a
 * damaged copy, and observing must not write. Format: LUKS2 On-Disk Format Specification 1.1.1,
 * chapter 2; all integers are big-endian.
 */

#include <endian.h>
#include <fcntl.h>
#include <openssl/evp.h>

#include "base/file.h"
#include "observe/observe.h"

struct header {
	char magic[6];
	uint16_t version;
	uint64_t size; /* of this copy, JSON area included */
	uint64_t seqid;
	char label[48];
	char checksum_algorithm[32];
	uint8_t salt[64];
	char uuid[40];
	char subsystem[48];
	uint64_t offset; /* of this copy on the device */
	char padding[184];
	uint8_t checksum[64];
	char padding_end[7 * 512];
} __attribute__((packed));

_Static_assert(sizeof(struct header) == 4096, "binary header of LUKS2 is 4096 bytes");

static const char magic_primary[6] = { 'L', 'U', 'K', 'S', '\xba', '\xbe' };
static const char magic_secondary[6] = { 'S', 'K', 'U', 'L', '\xba', '\xbe' };

#define HEADER_SIZE_MIN (16 * KIB)
#define HEADER_SIZE_MAX (4 * MIB)

static bool checksum_matches(uint8_t *area, size_t size)
{
	struct header *header = (struct header *)area;
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint8_t expected[64];
	unsigned n = 0;
	char name[33] = {};
	const EVP_MD *md;

	memcpy(name, header->checksum_algorithm, sizeof(header->checksum_algorithm));
	md = EVP_get_digestbyname(name);
	if (!md)
		return false;
	memcpy(expected, header->checksum, sizeof(expected));
	memset(header->checksum, 0, sizeof(header->checksum));
	return EVP_Digest(area, size, digest, &n, md, NULL) && n <= sizeof(expected) &&
	       memcmp(digest, expected, n) == 0;
}

/* The copy at `offset`, or NULL when it is not there or not whole. */
static uint8_t *read_copy(int fd, uint64_t offset, const char magic[static 6], size_t *ret_size)
{
	_cleanup_free_ uint8_t *area = NULL;
	struct header header;
	uint64_t size;

	if (pread(fd, &header, sizeof(header), (off_t)offset) != sizeof(header) ||
	    memcmp(header.magic, magic, sizeof(header.magic)) != 0 ||
	    be16toh(header.version) != 2 || be64toh(header.offset) != offset)
		return NULL;
	size = be64toh(header.size);
	if (size < HEADER_SIZE_MIN || size > HEADER_SIZE_MAX || size & (size - 1))
		return NULL;
	area = mem_alloc(size);
	if (pread(fd, area, size, (off_t)offset) != (ssize_t)size ||
	    !checksum_matches(area, size))
		return NULL;
	*ret_size = size;
	return take_ptr(area);
}

/* Where the secondary copy may be when the primary one cannot say: every size there is. */
static uint8_t *find_secondary(int fd, size_t *ret_size)
{
	for (uint64_t offset = HEADER_SIZE_MIN; offset <= HEADER_SIZE_MAX; offset *= 2) {
		uint8_t *area = read_copy(fd, offset, magic_secondary, ret_size);

		if (area)
			return area;
	}
	return NULL;
}

static bool has_magic(int fd)
{
	char magic[6];

	return pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	       memcmp(magic, magic_primary, sizeof(magic)) == 0;
}

static struct json_object *object_in(struct json_object *json, const char *name)
{
	struct json_object *object = NULL;

	return json_object_object_get_ex(json, name, &object) &&
			       json_object_is_type(object, json_type_object) ?
		       object :
		       NULL;
}

static uint64_t peer_generation(struct json_object *tokens)
{
	json_object_object_foreach(tokens, number, token) {
		struct json_object *type = NULL, *generation = NULL;

		(void)number;
		if (json_object_object_get_ex(token, "type", &type) &&
		    streq(json_object_get_string(type), "eyrie-peer") &&
		    json_object_object_get_ex(token, "generation", &generation))
			return json_object_get_uint64(generation);
	}
	return 0;
}

/* The slot that the eyrie-keyfile token names. */
static uint64_t key_slot(struct json_object *tokens)
{
	json_object_object_foreach(tokens, number, token) {
		struct json_object *type = NULL, *slots = NULL, *slot = NULL;
		uint64_t value;

		(void)number;
		if (!json_object_object_get_ex(token, "type", &type) ||
		    !streq(json_object_get_string(type), "eyrie-keyfile") ||
		    !json_object_object_get_ex(token, "keyslots", &slots) ||
		    !json_object_is_type(slots, json_type_array))
			continue;
		slot = json_object_array_get_idx(slots, 0);
		if (slot && str_to_u64(json_object_get_string(slot), &value) == 0)
			return value;
	}
	return 0;
}

static void read_metadata(const uint8_t *area, size_t size, struct observed_luks *luks)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *json, *keyslots, *tokens;

	json = json_tokener_parse_ex(tokener, (const char *)area + sizeof(struct header),
				     (int)(size - sizeof(struct header)));
	keyslots = object_in(json, "keyslots");
	tokens = object_in(json, "tokens");
	luks->n_keyslots = keyslots ? (uint64_t)json_object_object_length(keyslots) : 0;
	luks->generation = tokens ? peer_generation(tokens) : 0;
	luks->key_slot = tokens ? key_slot(tokens) : 0;
	json_object_put(json);
	json_tokener_free(tokener);
}

static char *fixed_text(const char *text, size_t size)
{
	return *text ? str_printf("%.*s", (int)size, text) : NULL;
}

void observe_luks(const char *node, struct observed_luks *luks)
{
	_cleanup_close_ int fd = open(node, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *primary = NULL, *secondary = NULL;
	size_t size = 0;
	const struct header *header;

	if (fd < 0)
		return;
	primary = read_copy(fd, 0, magic_primary, &size);
	secondary = primary ? read_copy(fd, size, magic_secondary, &size) :
			      find_secondary(fd, &size);
	if (!primary && !secondary) {
		luks->state = has_magic(fd) ? LUKS_UNREADABLE : LUKS_NONE;
		return;
	}
	luks->state = !primary	 ? LUKS_PRIMARY_DAMAGED :
		      !secondary ? LUKS_SECONDARY_DAMAGED :
				   LUKS_WHOLE;
	header = (const struct header *)(primary ? primary : secondary);
	luks->uuid = fixed_text(header->uuid, sizeof(header->uuid));
	luks->label = fixed_text(header->label, sizeof(header->label));
	luks->subsystem = fixed_text(header->subsystem, sizeof(header->subsystem));
	read_metadata((const uint8_t *)header, size, luks);
}
