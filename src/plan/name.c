/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/name.h"

#include <stdio.h>

#include "base/file.h"

const struct role_info roles[ROLE_MAX] = {
	[ROLE_ESP] = { "esp", "EFI system partition", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
		       true },
	[ROLE_BIOS] = { "bios", "BIOS boot partition", "21686148-6449-6E6F-744E-656564454649",
			false },
	[ROLE_BOOT] = { "boot", "/boot partition", "A19D880F-05FC-4D3B-A006-743F0F84911E", true,
			true },
	[ROLE_KEY] = { "key", "key device", "A19D880F-05FC-4D3B-A006-743F0F84911E", true, true },
	[ROLE_SWAP] = { "swap", "swap", "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F", false },
	[ROLE_MEMBER] = { "member", "member of the pool", "CA7D7CCB-63ED-4C53-861C-1742536059CC",
			  true },
	[ROLE_DATA] = { "data", "partition for a pool", "6A898CC3-1DD2-11B2-99A6-080020736631",
			true },
};

#define NEW_PREFIX "eyrie-new-"

bool role_wanted(const struct layout *layout, const char *disk, enum role role)
{
	bool member = layout_is_member(layout, disk) && !layout_is_partition(layout_disk(layout, disk));

	switch (role) {
	case ROLE_ESP:
		return member && layout_boots_uefi(layout);
	case ROLE_BIOS:
	case ROLE_BOOT:
		return member && layout_boots_bios(layout);
	case ROLE_KEY:
		return member && layout_key_size(layout) > 0;
	case ROLE_SWAP:
		return member && layout->swap.on == SWAP_PARTITION;
	default:
		return role == role_of_pool(layout, layout_pool_of(layout, disk, NULL));
	}
}

enum role role_of_pool(const struct layout *layout, const struct layout_pool *pool)
{
	return layout_has_luks(layout, pool) ? ROLE_MEMBER : ROLE_DATA;
}

size_t role_count(const struct layout *layout, enum role role)
{
	size_t n = 0;

	FOR_EACH_DISK(disk, layout)
		n += role_wanted(layout, disk->name, role);
	return n;
}

/* A key device that only keeps its room has no array. */
bool role_wants_array(const struct layout *layout, enum role role)
{
	if (role == ROLE_KEY)
		return layout->encryption.unlock == UNLOCK_KEYSTORE;
	return roles[role].has_array && layout_boots_bios(layout);
}

uint64_t role_size(const struct layout *layout, enum role role)
{
	return role == ROLE_ESP	 ? layout->boot.esp_size :
	       role == ROLE_BIOS ? layout->boot.bios_size :
	       role == ROLE_BOOT ? layout->boot.size :
	       role == ROLE_KEY	 ? layout_key_size(layout) :
	       role == ROLE_SWAP ? layout->swap.size :
				   0;
}

char *name_partition(enum role role, const char *disk)
{
	return str_printf("eyrie-%s-%s", roles[role].name, disk);
}

char *name_partition_new(enum role role, const char *disk)
{
	return roles[role].has_content ? str_printf(NEW_PREFIX "%s-%s", roles[role].name, disk) :
					 name_partition(role, disk);
}

char *name_mapping(const struct layout *layout, const char *disk)
{
	return str_printf("%s-%s", layout->pool.name, disk);
}

char *name_subsystem(const struct layout *layout)
{
	return str_printf("eyrie:%s", layout->id);
}

char *name_label(const struct layout *layout, const char *disk)
{
	if (layout_is_partition(layout_disk(layout, disk)))
		return name_partition(ROLE_MEMBER, disk);
	/* LUKS2 has room for 47 characters; the disk is what must stay readable. */
	return str_printf("%.*s-%s", (int)(46 - strlen(disk)), layout->host, disk);
}

char *name_label_new(const char *disk)
{
	return str_printf(NEW_PREFIX "%s", disk);
}

char *name_dataset(const struct layout_pool *pool, const char *name)
{
	return name ? str_printf("%s/%s", pool->name, name) : str_dup(pool->name);
}

char *name_array(enum role role)
{
	return str_printf("eyrie-%s", roles[role].name);
}

/* One UUID for each use: the mark of the set, and a hash of set and use. */
static char *derived_uuid(const char *set_id, const char *use, enum role role)
{
	_cleanup_free_ char *text = str_printf("%s %s %s", set_id, use, roles[role].name);
	char hash[HASH_HEX_SIZE], unparsed[UUID_STR_LEN];
	uuid_t uuid;

	(void)data_hash(text, strlen(text), hash);
	for (size_t i = 0; i < sizeof(uuid); i++) {
		unsigned byte = 0;

		(void)sscanf(hash + 2 * i, "%2x", &byte);
		uuid[i] = (unsigned char)byte;
	}
	name_mark_uuid(set_id, uuid);
	uuid_unparse_lower(uuid, unparsed);
	return str_dup(unparsed);
}

char *name_array_uuid(const char *set_id, enum role role)
{
	return derived_uuid(set_id, "array", role);
}

char *name_inside_uuid(const char *set_id, enum role role)
{
	return derived_uuid(set_id, "inside", role);
}

char *name_key_label(const struct layout *layout)
{
	return str_printf("%.*s-key", 43, layout->host);
}

void name_mark_uuid(const char *set_id, uuid_t uuid)
{
	char hash[HASH_HEX_SIZE];

	(void)data_hash(set_id, strlen(set_id), hash);
	for (size_t i = 0; i < 8; i++) {
		unsigned byte = 0;

		(void)sscanf(hash + 2 * i, "%2x", &byte);
		uuid[i] = (unsigned char)byte;
	}
	uuid[6] = (unsigned char)((uuid[6] & 0x0f) | 0x80); /* version 8 */
	uuid[8] = (unsigned char)((uuid[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */
}

bool name_uuid_is_marked(const char *set_id, const char *uuid)
{
	uuid_t given, marked;

	if (!uuid || uuid_parse(uuid, given) < 0)
		return false;
	uuid_copy(marked, given);
	name_mark_uuid(set_id, marked);
	return uuid_compare(given, marked) == 0;
}

/* Its header says that it is the member of that disk. */
static bool is_member_of(const struct layout *layout, const struct observed_luks *luks, const char *name)
{
	_cleanup_free_ char *subsystem = name_subsystem(layout);
	_cleanup_free_ char *label = name_partition(ROLE_MEMBER, name);
	_cleanup_free_ char *label_new = name_label_new(name);

	return streq(luks->subsystem, subsystem) &&
	       (streq(luks->label, label) || streq(luks->label, label_new));
}

struct observed_partition *find_partition(const struct layout *layout, const struct observed_disk *disk,
					  enum role role, const char *name)
{
	_cleanup_free_ char *settled = name_partition(role, name);
	_cleanup_free_ char *fresh = name_partition_new(role, name);
	struct observed_partition *partition = disk->partitions.items;

	if (disk->on)
		return partition && (role == ROLE_DATA || (role == ROLE_MEMBER &&
				     is_member_of(layout, &partition->luks, name))) ? partition : NULL;
	partition = observed_partition(disk, settled);
	return partition ? partition : observed_partition(disk, fresh);
}

bool partition_is_new(const struct observed_partition *partition)
{
	if (partition->bare)
		return partition->luks.label && starts_with(partition->luks.label, NEW_PREFIX) &&
		       !partition->luks.n_keyslots;
	return starts_with(partition->name, NEW_PREFIX);
}

bool partition_is_blank(const struct observed_partition *partition)
{
	return !partition->unreadable && !partition->content && !partition->table &&
	       partition->luks.state == LUKS_NONE;
}
