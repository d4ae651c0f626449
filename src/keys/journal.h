/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who ran without whom, noted in the boxes. ZFS merges two legs of a mirror that each ran
 * alone without a word, and what one of them wrote is gone (openzfs/zfs#14640); so every start
 * with a member absent is noted on those present before the pool is imported, and histories
 * are compared before a member is activated.
 *
 *	journal_compare()   after set_unlock(), again when members arrived
 *	journal_begin()	    before the import
 *	journal_take_back() when it failed
 *	journal_joined()    when the pool runs on every open member
 *
 * A member M that was behind joins in three writes, and power may fail after each. The others get
 * two epochs, "join" and "go on"; M gets "join"; and after the import M gets "go on". So M is an
 * ancestor of the others until the pool ran on it; and whatever M does without them, or they
 * without M, is a branch of its own that starts at an epoch which the other side knows.
 */

#include "keys/set.h"

/*
 * Settle who goes on: those in use, else the one that was used last and all that do not
 * contradict it. What does is MEMBER_DIVERGED and says why, and is never one in use; who was away is
 * `behind`.
 */
void journal_compare(struct set *set);

/* Members of the set that are not open: their UUIDs. */
void journal_absent(const struct set *set, struct strv *uuids);

/*
 * Before an import: note on the open members who is absent, and that who was behind joins; `now`
 * in seconds since 1970. A member that was behind and cannot note it is closed and says why. 0
 * when those who go on have it noted, or when there is nothing to note.
 */
int journal_begin(struct set *set, uint64_t now, struct diag *diag);

/*
 * Nothing was written since: each has the history again that it had before journal_begin(). Those that
 * were behind first: with a join that nobody else knows of they would have diverged.
 */
int journal_take_back(struct set *set, struct diag *diag);

/* The pool runs on every open member: from here on they have one history. */
int journal_joined(struct set *set, struct diag *diag);
