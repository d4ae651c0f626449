/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Names and marks by which the objects of a set are recognised.
 *
 * A partition is "eyrie-ROLE-DISK", and "eyrie-new-ROLE-DISK" until its content was read back.
 * GUIDs of the partition table and of partitions are UUIDs of version 8 (RFC 9562) that begin
 * with eight bytes of SHA-256 over the set id; the rest is random. A LUKS2 header has the
 * subsystem "eyrie:SET-ID" and the label "HOST-DISK", "eyrie-new-DISK" until it holds a pool.
 * Where the disk is a partition, of whose table nothing is eyrie's, that header is the only mark: it is
 * new while it has no key slot, and its label becomes "eyrie-member-DISK".
 * Datasets carry eyrie:set, inherited from the root dataset of the pool; the partition of a
 * pool without LUKS is new until that pool was made. The two md arrays, what is on them and
 * nothing else have UUIDs that follow from the set id: the same mark, and a hash.
 */

#include <uuid/uuid.h>

#include "layout/layout.h"
#include "observe/observed.h"

#define NAME_SET_PROPERTY "eyrie:set"
#define NAME_STATE_PROPERTY "eyrie:state"
#define NAME_UNLOCK_PROPERTY "eyrie:unlock" /* how the system on the root dataset opens its disks */
#define NAME_IMAGES_PROPERTY "eyrie:images" /* boot id of the start in which its images were made */
#define NAME_EMPTY_SNAPSHOT "empty"

#define NAME_CLONE_SNAPSHOT "eyrie-" /* then the name of the boot environment cloned from it */

/* Values of eyrie:state; the two with ':' are followed by the SHA-256 of the source. */
#define STATE_NEW "new"
#define STATE_POPULATING "populating"
#define STATE_UNPACKED "unpacked:"
#define STATE_CONFIGURED "configured:"
#define STATE_DONE "done:"
#define STATE_CLONING "cloning" /* of a boot environment that no menu has yet */

enum role {
	ROLE_ESP,
	ROLE_BIOS,
	ROLE_BOOT,
	ROLE_KEY,
	ROLE_SWAP,
	ROLE_MEMBER,
	ROLE_DATA, /* of a pool without LUKS */
	ROLE_MAX,
};

struct role_info {
	const char *name;
	const char *title; /* for people */
	const char *type;  /* GUID of the partition type */
	bool has_content;  /* and so is marked new until that was read back */
	bool has_array;	   /* partitions of all disks make one md array */
};

/* Types: Discoverable Partitions Specification (ESP), libfdisk's list (the others). */
extern const struct role_info roles[ROLE_MAX];

/*
 * On a disk of that name: whole ones of the root's pool have all that boots them, others only data. A
 * partition is its own, and has no other.
 */
bool role_wanted(const struct layout *layout, const char *disk, enum role role);
enum role role_of_pool(const struct layout *layout, const struct layout_pool *pool);
size_t role_count(const struct layout *layout, enum role role); /* disks that have one */
uint64_t role_size(const struct layout *layout, enum role role); /* 0 for what is left over */
bool role_wants_array(const struct layout *layout, enum role role);

char *name_partition(enum role role, const char *disk);
char *name_partition_new(enum role role, const char *disk);
char *name_mapping(const struct layout *layout, const char *disk); /* under /dev/mapper */
char *name_array(enum role role);			  /* as md knows it, and under /dev/md */
char *name_array_uuid(const char *set_id, enum role role);
char *name_inside_uuid(const char *set_id, enum role role); /* of what is on the array */
char *name_key_label(const struct layout *layout);
#define NAME_KEY_LABEL_NEW "eyrie-new-key"
#define NAME_KEY_MAPPING   "keyfile" /* under /dev/mapper, as in the article */
char *name_subsystem(const struct layout *layout);
char *name_label(const struct layout *layout, const char *disk);
char *name_label_new(const char *disk);
char *name_dataset(const struct layout_pool *pool, const char *name); /* NULL: the pool itself */

/* Put the set's mark over the first half of a random UUID. */
void name_mark_uuid(const char *set_id, uuid_t uuid);
bool name_uuid_is_marked(const char *set_id, const char *uuid);

/*
 * The partition of a role, new or settled, or NULL. Of a disk that is a partition itself: that one, as a
 * member when its header is of this set and this disk; whose it is without LUKS, nothing on it says.
 */
struct observed_partition *find_partition(const struct layout *layout, const struct observed_disk *disk,
					  enum role role, const char *name);
bool partition_is_new(const struct observed_partition *partition);

/* It carries no signature at all: what is new and has no mark yet. */
bool partition_is_blank(const struct observed_partition *partition);
