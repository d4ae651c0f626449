/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The members of the configured machine on their way into its pool: found, opened, compared,
 * activated, imported or brought online. The initramfs and the running system do the same with
 * them; they differ in whom they ask and how long they wait.
 */

#include "base/run.h"
#include "keys/set.h"
#include "unlock/config.h"

struct opening {
	struct unlock_config config;
	struct runner *run;
	struct set set;
	size_t *known; /* index of the configured member of each member of the set */
	void (*say)(void *context, const char *line); /* words for a person, no newline */
	void *context;
};

int64_t opening_clock(void); /* milliseconds, monotonic */
void opening_pause(void);    /* between two looks */

void opening_deinit(struct opening *o);
#define _cleanup_opening_ _cleanup_(opening_deinit)

void opening_say(const struct opening *o, const char *format, ...) _printf_(2, 3);

/* Members whose device appeared since the last look. Their number is returned. */
size_t opening_add_arrivals(struct opening *o);
char *opening_names(const struct opening *o, bool present); /* "left, right" */
const struct unlock_member *opening_member(const struct opening *o, const struct member *member);

/*
 * Open the members. Late is not dead: from the first one that opens on, others may come for the
 * window. 0 when some are open, else what set_unlock() returned; SET_WRONG also when one that came
 * refuses the passphrase because it took part in a newer change.
 */
int opening_unlock(struct opening *o, const struct secret *passphrase);

/* Names who stays closed, and why, and who did not come. */
void opening_say_who_is_missing(const struct opening *o);
size_t opening_say_blemishes(const struct opening *o); /* how many of those that are open have one */

/* 0 also when it is active already, by its mapping. One that cannot be is not open any more, and says why. */
int opening_activate(struct opening *o, struct member *member);
size_t opening_activate_all(struct opening *o); /* how many are */
void opening_deactivate(struct opening *o, const struct member *member);

/*
 * After journal_compare(), and when those that are open are active: note on them who will run and who
 * is absent, before the pool runs.
 */
void opening_begin(struct opening *o);

/*
 * This pool, by its GUID, from the mappings; nothing is mounted. When it fails, what opening_begin() noted
 * is taken back.
 */
int opening_import(struct opening *o);

/*
 * The pool could not be imported with those that are there: wait until `end` (opening_clock()) for a member
 * that is missing, and open it by the set key. False: nobody came.
 */
bool opening_take_late(struct opening *o, int64_t end);

/* Which members the imported pool reads and writes: `in_use`. */
int opening_find_used(struct opening *o);
bool opening_is_used(const struct opening *o); /* any of them */

/*
 * The pool is imported: those that it uses have one history from here on. Others are noted as absent
 * and are not open any more.
 */
void opening_joined(struct opening *o);

/* While members are absent, the set key waits for them in root's keyring. */
void opening_keep_key(const struct opening *o);

/* For gates that share it, where the configuration says so: in root's keyring for a while. */
void opening_share(const struct opening *o, const struct secret *passphrase);
