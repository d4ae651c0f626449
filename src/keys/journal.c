/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/journal.h"

#include <time.h>

#include "keys/commit.h"
#include "keys/token.h"

/*
 * A body that is equal to the one that the set's box vouches for needs no box of its own: by
 * accident two members that ran apart never have the same. It spares one key derivation for
 * each member. Who writes headers on purpose can destroy the data anyway.
 */
static bool shares_box(const struct set *set, const struct member *member)
{
	return member->has_token && streq(member->token.body, set->body);
}

static bool is_candidate(const struct member *member)
{
	return member->state == MEMBER_OPEN || member->state == MEMBER_DIVERGED;
}

static const struct list nothing;

/* NULL: its box cannot be read. */
static const struct list *history_of(const struct member *member)
{
	return member->has_history ? &member->history : NULL;
}

static void know(struct member *member, const struct list *history)
{
	history_copy(&member->history, history);
	member->has_history = true;
}

static void read_history(const struct set *set, struct member *member)
{
	if (shares_box(set, member)) {
		know(member, &set->box->history);
		return;
	}
	if (!member->box && member->has_token)
		member->box = set_open_box(member->luks, &member->token, member->key);
	if (member->box)
		know(member, &member->box->history);
}

static uint64_t last_used(const struct list *history)
{
	const struct epoch *newest = history_newest(history);

	return newest ? newest->time : 0;
}

/* Whether `a` has the better claim: it is in use, descends from `b`, or was used later. */
static bool precedes(const struct member *a, const struct member *b)
{
	const struct list *of_a = history_of(a), *of_b = b ? history_of(b) : NULL;
	enum kinship kin;

	if (!b)
		return of_a || a->in_use;
	if (a->in_use != b->in_use)
		return a->in_use;
	if (!of_b || !of_a)
		return of_a && !of_b;
	kin = history_compare(of_a, of_b);
	return kin == KIN_AHEAD || (kin == KIN_DIVERGED && last_used(of_a) > last_used(of_b));
}

static const struct member *choose(const struct set *set)
{
	const struct member *best = NULL;

	for (size_t i = 0; i < set->n_members; i++)
		if (is_candidate(&set->members[i]) && precedes(&set->members[i], best))
			best = &set->members[i];
	return best;
}

static char *date_of(uint64_t seconds)
{
	char text[32] = "at an unknown time";
	struct tm at;
	time_t when = (time_t)seconds;

	if (seconds && localtime_r(&when, &at))
		(void)strftime(text, sizeof(text), "on %F at %H:%M", &at);
	return str_dup(text);
}

static void set_apart(const struct set *set, struct member *member, const struct list *own)
{
	_cleanup_free_ char *theirs = date_of(last_used(&set->history));
	_cleanup_free_ char *its = date_of(own ? last_used(own) : 0);

	member->state = MEMBER_DIVERGED;
	free(member->why);
	if (own)
		member->why = str_printf("it ran without the others, last %s, and they without it, "
					 "last %s; merging them would lose what one side wrote", its,
					 theirs);
	else
		member->why = str_printf("its box cannot be read, and the others ran without it, "
					 "last %s: what it did meanwhile is not known", theirs);
}

/*
 * Those in use go on whatever anybody says. What they do not know of, they did not take part in:
 * a member that is ahead of them ran without them, as they do without it.
 */
static bool is_apart(const struct set *set, const struct member *member, bool in_use)
{
	const struct list *own = history_of(member);
	const struct epoch *newest = history_newest(&set->history);
	enum kinship kin;

	if (member->in_use)
		return false;
	if (!own)
		return newest && strv_has(&newest->absent, member->luks->uuid);
	kin = history_compare(own, &set->history);
	return kin == KIN_DIVERGED || (kin == KIN_AHEAD && in_use);
}

/*
 * Who is late in a machine that runs is, whatever it knows. One that another tool took its box from may be
 * ahead as well: at a start ZFS tells which side is newer, and nothing can be noted on it.
 */
static bool is_behind(const struct set *set, const struct member *member, bool in_use)
{
	const struct list *own = history_of(member);

	if (in_use && !member->in_use)
		return true;
	return own ? history_compare(own, &set->history) != KIN_SAME : !member->by_passphrase;
}

static void judge(const struct set *set, struct member *member, bool in_use)
{
	const struct list *own = history_of(member);

	if (is_apart(set, member, in_use)) {
		set_apart(set, member, own);
		return;
	}
	member->state = MEMBER_OPEN;
	str_set(&member->why, NULL);
	member->behind = is_behind(set, member, in_use);
}

void journal_compare(struct set *set)
{
	const struct member *first;
	const struct list *history;

	if (!set->box)
		return;
	for (size_t i = 0; i < set->n_members; i++)
		if (is_candidate(&set->members[i]) && !set->members[i].has_history)
			read_history(set, &set->members[i]);
	first = choose(set);
	if (!first)
		return;
	history = history_of(first);
	history_copy(&set->history, history ? history : &nothing);
	for (size_t i = 0; i < set->n_members; i++)
		if (is_candidate(&set->members[i]))
			judge(set, &set->members[i], first->in_use);
}

static bool is_open(const struct set *set, const char *uuid)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].state == MEMBER_OPEN &&
		    streq(set->members[i].luks->uuid, uuid))
			return true;
	return false;
}

void journal_absent(const struct set *set, struct strv *uuids)
{
	const struct box_member *members = set->box->members.items;

	for (size_t i = 0; i < set->box->members.n_items; i++)
		if (!is_open(set, members[i].uuid))
			strv_add(uuids, members[i].uuid);
}

/*
 * Who missed a change keeps its own generation, with the keys of then: it does not know the passphrase
 * of now, and must not be asked as if it did.
 */
static struct box *box_of(const struct set *set, const struct member *member)
{
	return member->box && member->box->generation != set->box->generation ? member->box :
										 set->box;
}

/*
 * What is written comes from the box, whose own history stays the one that its body has; the
 * fingerprint stays what it was when the slot was made.
 */
static int write_history(struct set *set, struct member *member, const struct list *history,
			 struct diag *diag)
{
	struct box *box = box_of(set, member);
	const struct box_member *known = box_member(box, member->luks->uuid);
	const struct commit commit = { .name = member->name, .luks = member->luks,
				       .key = member->key,
				       .passphrase_slot = (int)known->passphrase_slot,
				       .set_key_slot = (int)known->set_key_slot,
				       .fingerprint = member->token.passphrase_fingerprint,
				       .history_only = true };
	const struct list own = box->history;
	int r;

	if (member->by_passphrase || !member->has_token)
		return diag_error(diag, -EUCLEAN, "'%s' was changed by another tool and cannot note "
				  "who is absent", member->name);
	member->noted = true;
	box->history = *history;
	r = commit_box(&commit, box, diag);
	box->history = own;
	if (r == 0)
		know(member, history);
	return r;
}

/* The history of the set on every open member that is, or is not, behind. */
static int write_all(struct set *set, bool behind, struct diag *diag)
{
	int result = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];
		int r;

		if (member->state != MEMBER_OPEN || member->behind != behind)
			continue;
		r = write_history(set, member, &set->history, diag);
		result = result ? result : r;
	}
	return result;
}

static bool has_behind(const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].state == MEMBER_OPEN && set->members[i].behind)
			return true;
	return false;
}

static int note_join(struct set *set, struct member *member, const char *join, uint64_t now)
{
	static const struct strv nobody = STRV_NULL;
	struct list history = {};
	int r;

	history_copy(&history, &member->history);
	history_add(&history, join, now, &nobody);
	r = write_history(set, member, &history, NULL);
	list_deinit(&history, &record_epoch);
	return r;
}

/* `r`: whether those who go on could note the join. True when somebody has to stay away. */
static bool join_behind(struct set *set, const char *join, uint64_t now, int r)
{
	bool closed = false;

	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		if (member->state != MEMBER_OPEN || !member->behind ||
		    (r == 0 && note_join(set, member, join, now) == 0))
			continue;
		member->state = MEMBER_CLOSED;
		str_set(&member->why, "it was away, and that it joins again cannot be noted on it");
		closed = true;
	}
	return closed;
}

static int begin_alone(struct set *set, uint64_t now, const struct strv *absent, struct diag *diag)
{
	_cleanup_free_ char *id = NULL;

	if (!history_go_on(&set->history, now, absent)) {
		id = history_new_id();
		if (!id)
			return diag_error(diag, -EIO, "the kernel gives no random bytes");
		history_add(&set->history, id, now, absent);
	}
	return write_all(set, /* behind= */ false, diag);
}

/* Who stays away is absent: what is not known of it must not pass for nothing. */
static int begin_without(struct set *set, uint64_t now, struct diag *diag)
{
	_cleanup_strv_ struct strv absent = STRV_NULL;

	journal_absent(set, &absent);
	return begin_alone(set, now, &absent, diag);
}

static int begin_join(struct set *set, uint64_t now, const struct strv *absent, struct diag *diag)
{
	static const struct strv nobody = STRV_NULL;
	_cleanup_free_ char *join = history_new_id(), *go_on = history_new_id();
	int r, q = 0;

	if (!join || !go_on)
		return diag_error(diag, -EIO, "the kernel gives no random bytes");
	history_add(&set->history, join, now, &nobody);
	history_add(&set->history, go_on, now, absent);
	r = write_all(set, /* behind= */ false, diag);
	if (join_behind(set, join, now, r))
		q = begin_without(set, now, r ? NULL : diag);
	return r ? r : q;
}

/* One whose history is not known is from here on one that never went on without the others. */
static void remember(struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		history_copy(&member->before, &member->history);
		member->noted = false;
	}
}

int journal_begin(struct set *set, uint64_t now, struct diag *diag)
{
	_cleanup_strv_ struct strv absent = STRV_NULL;

	remember(set);
	journal_absent(set, &absent);
	if (has_behind(set))
		return begin_join(set, now, &absent, diag);
	return absent.n_items ? begin_alone(set, now, &absent, diag) : 0;
}

static int take_back(struct set *set, bool behind, struct diag *diag)
{
	int result = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];
		int r;

		if (!member->noted || member->behind != behind)
			continue;
		r = write_history(set, member, &member->before, diag);
		member->noted = r != 0;
		result = result ? result : r;
	}
	return result;
}

int journal_take_back(struct set *set, struct diag *diag)
{
	int r = take_back(set, /* behind= */ true, diag);

	return r ? r : take_back(set, /* behind= */ false, diag);
}

int journal_joined(struct set *set, struct diag *diag)
{
	int r = write_all(set, /* behind= */ true, diag);

	for (size_t i = 0; r == 0 && i < set->n_members; i++)
		set->members[i].behind = false;
	return r;
}
