/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The box: what a member of a set knows of the set, readable with that member's own volume key.
 * docs/peer-format.md is its specification.
 *
 * Everything that is believed is in the box, or is text whose SHA-256 is in the box.
 */

#include <uuid/uuid.h>

#include "base/record.h"
#include "base/secret.h"
#include "keys/history.h"

#define BOX_SIZE	 208u /* bytes */
#define BOX_KEY_SIZE	 64u  /* bytes of a set key */
#define BOX_MEMBERS_MAX 64u

/* A member as the set knows it. */
struct box_member {
	char *uuid; /* of its LUKS2 header */
	char *name; /* of the disk in the layout */
	uint64_t passphrase_slot;
	uint64_t set_key_slot;
	bool previous; /* it was absent at the last change: the previous set key opens it */
};

struct box {
	uuid_t set;
	uint64_t generation;	      /* grows with every change of passphrase or membership */
	struct secret *set_key;	      /* BOX_KEY_SIZE bytes */
	struct secret *previous_key; /* the set key before, or NULL */
	struct list members;	      /* of struct box_member */
	struct list history;	      /* of struct epoch: what the holder took part in */
};

struct box *box_new(void);
struct box *box_free(struct box *box);
DEFINE_CLEANUP(struct box *, box_free)

const struct box_member *box_member(const struct box *box, const char *uuid);
struct box_member *box_add_member(struct box *box);
void box_copy_member(struct box *box, const struct box_member *member);

/* The text beside the box, and the BOX_SIZE bytes that vouch for it. */
char *box_body(const struct box *box);
int box_seal(const struct box *box, const char *body, struct secret **ret);

/*
 * -EBADMSG when the bytes are no box of a version that is known here, or the body is not the
 * one that they vouch for.
 */
int box_open(const struct secret *sealed, const char *body, struct box **ret);
