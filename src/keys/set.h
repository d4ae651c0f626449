/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A set of members that open each other.
 *
 * One slow key derivation on whichever member is tried first gives its volume key; that opens
 * its box; the set key in it opens every other member in milliseconds. Hints in the clear
 * (struct token) say only what to try first; what is believed comes from a box.
 */

#include "keys/box.h"
#include "keys/luks.h"

#define SET_TOKEN "eyrie-peer"

enum member_state {
	MEMBER_CLOSED,	  /* not tried, or did not open */
	MEMBER_OPEN,	  /* its volume key is known, and it belongs to the set */
	MEMBER_DIVERGED,  /* so far open, but it and the others went on without each other */
	MEMBER_FOREIGN,	  /* the set does not know it */
	MEMBER_UNUSABLE,  /* its header cannot be read, or is not acceptable */
};

/* The token as it lies in the clear: hints for order and speed. */
struct token {
	uint64_t version;
	char *set;
	uint64_t generation;
	uint64_t passphrase_slot;
	char *passphrase_fingerprint; /* luks_fingerprint() */
	uint64_t set_key_slot;
	uint64_t box_slot;
	char *body; /* what the box vouches for */
};

struct member {
	char *path;
	char *name; /* by its box; the path until then */
	struct luks *luks;
	struct token token;
	bool has_token;
	enum member_state state;
	struct secret *key; /* its volume key when it is open */
	char *why;	    /* not open, for a person */
	bool by_passphrase; /* the set key did not open it: to be mended */
	struct box *box;    /* its own, when that differs from the set's; journal.h */
	bool in_use;	    /* the caller's word: the pool runs on it now */
	bool behind;	    /* it was away while others went on; journal.h */
	bool has_history;   /* what it took part in is known: */
	struct list history;
	struct list before; /* what that was before journal_begin() */
	bool noted;	    /* and may not be any more */
};

struct set {
	struct member *members;
	size_t n_members;
	struct box *box;     /* of the member that opened first; NULL before */
	char *body;	     /* what it vouches for */
	struct list history; /* of those that go on; journal.h */
	bool outdated;	     /* a newer member refuses the passphrase that opened this box */
};

/*
 * What another tool did to an open member, or what a change of the set that it missed left; NULL
 * when nothing has to be mended. Reads its passphrase slot.
 */
const char *member_blemish(const struct set *set, const struct member *member);

/* Closed, as its header is that of before a change of the set: of a copy, or from a backup of it. */
bool member_is_stale(const struct member *member);

/*
 * The next slot after `slot` that a passphrase may open beside the token's: of a second administrator, of
 * a recovery key, of a change that was cut. -ENOENT.
 */
int member_further_slot(const struct member *member, int slot);

void set_add(struct set *set, const char *path);
void set_deinit(struct set *set);
#define _cleanup_set_ _cleanup_(set_deinit)

/*
 * Read every member's header that was not read yet, and return how many were. Those that cannot be used
 * say why; those that could not be read now are MEMBER_CLOSED without `luks`, and are read again the next
 * time.
 */
size_t set_load(struct set *set);

/*
 * Open what can be opened. 0: at least one member is open and the set is known; SET_WRONG: the
 * passphrase is wrong, or that of before a change which the newest member took part in: one intact
 * slot settles that for all of its set, but for further slots that members have; SET_ORPHANS: it is
 * right, but nobody whom it opens knows the set; -ENODEV: there is no member to try.
 *
 * May be called again when further members were added. `passphrase` may be NULL once the box is
 * known, but a member that another tool changed, or that took part in a newer change, opens by the
 * passphrase alone.
 */
enum { SET_WRONG = 1, SET_ORPHANS = 2 };
int set_unlock(struct set *set, const struct secret *passphrase);

/*
 * After SET_ORPHANS, when nobody else will come: those that the passphrase opens are the set.
 * Another tool took their boxes (reencryption does), and a machine must boot all the same.
 */
void set_adopt(struct set *set, const struct secret *passphrase);

/* As set_unlock() with the set key itself, for a machine that runs. */
int set_unlock_by_key(struct set *set, const struct secret *set_key);

/*
 * The box that a token names, opened with the volume key. NULL when there is none that is whole
 * and is about this very member.
 */
struct box *set_open_box(struct luks *luks, const struct token *token, const struct secret *key);

size_t set_count(const struct set *set, enum member_state state);
