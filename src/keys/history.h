/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What a member took part in. An epoch is a run of starts of the machine with the same members
 * absent; its id is random. A history is a list of epochs, the newest last.
 *
 * Member A descends from member B when B's newest epoch is in A's history: then B was merely
 * away, and ZFS brings it up to date. When neither descends from the other, each ran without
 * the other: they have diverged, and nothing may merge them unasked. (DRBD compares its
 * generation identifiers alike: DRBD User's Guide, "Generation identifiers".)
 *
 * The empty history is that of a set which never started with a member absent. Every history
 * descends from it.
 */

#include "base/record.h"

#define HISTORY_MAX	 16u /* epochs; older ones are dropped, and who knows only those diverged */

struct epoch {
	char *id;	    /* 16 hex digits, random */
	uint64_t time;	    /* of the last start in it: seconds since 1970 by the machine's clock */
	struct strv absent; /* UUIDs of the LUKS2 headers of who was not there; kept of the newest */
};

extern const struct record record_epoch;

enum kinship {
	KIN_SAME,
	KIN_BEHIND,   /* `a` was away, `b` went on */
	KIN_AHEAD,    /* the other way round */
	KIN_DIVERGED, /* each went on without the other */
};

enum kinship history_compare(const struct list *a, const struct list *b);
const struct epoch *history_newest(const struct list *history); /* NULL when it is empty */

char *history_new_id(void); /* NULL when the kernel gives no random bytes */
void history_add(struct list *history, const char *id, uint64_t time, const struct strv *absent);

/* The newest epoch goes on: it has the same members absent. Its time is noted. */
bool history_go_on(struct list *history, uint64_t time, const struct strv *absent);

void history_copy(struct list *to, const struct list *from); /* what was in `to` is freed */
