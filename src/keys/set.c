/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/set.h"

#include "keys/slots.h"
#include "keys/token.h"

#define ANY_SLOT -1 /* CRYPT_ANY_SLOT */
#define ORPHAN	 "it does not know its set"
#define STALE	 "it is a stale copy, or was away when the set changed"

void set_add(struct set *set, const char *path)
{
	struct member *member;

	set->members = mem_grow(set->members, set->n_members, sizeof(*set->members));
	member = &set->members[set->n_members++];
	member->path = str_dup(path);
	member->name = str_dup(path);
}

void set_deinit(struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		record_deinit(&record_token, &member->token);
		member->luks = luks_free(member->luks);
		member->key = secret_free(member->key);
		free(member->path);
		free(member->name);
		free(member->why);
		member->box = box_free(member->box);
		list_deinit(&member->history, &record_epoch);
		list_deinit(&member->before, &record_epoch);
	}
	free(set->members);
	free(set->body);
	set->box = box_free(set->box);
	list_deinit(&set->history, &record_epoch);
	*set = (struct set){};
}

size_t set_count(const struct set *set, enum member_state state)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n_members; i++)
		n += set->members[i].state == state;
	return n;
}

/* A disk that could not be read, or was gone in the middle of it, is read again; what is no header stays none. */
static bool is_lasting(int r)
{
	return r == -EINVAL || r == -EBADMSG || r == -ENOTSUP;
}

static void member_load(struct member *member)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = luks_load(member->path, &member->luks, &diag);

	if (r) {
		member->state = is_lasting(r) ? MEMBER_UNUSABLE : MEMBER_CLOSED;
		str_set(&member->why, diag.items[diag.n_items - 1].text);
		return;
	}
	str_set(&member->why, NULL);
	member->has_token = token_read(member->luks, &member->token);
}

size_t set_load(struct set *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		if (member->luks || member->state != MEMBER_CLOSED)
			continue;
		member_load(member);
		n += member->luks != NULL;
	}
	return n;
}

/* first contact */

enum answer {
	ANSWER_OPENED,
	ANSWER_WRONG,	/* an intact slot refused: that settles it */
	ANSWER_UNKNOWN, /* it did not open, and why cannot be said */
};

static bool slot_is_intact(const struct member *member)
{
	return member->has_token && token_slot_is_intact(&member->token, member->luks);
}

int member_further_slot(const struct member *member, int slot)
{
	do
		slot = luks_next_passphrase_slot(member->luks, slot);
	while (member->has_token && slot == (int)member->token.passphrase_slot);
	return slot;
}

static int try_slot(struct member *member, int slot, const struct secret *passphrase)
{
	return luks_slot_key(member->luks, slot, passphrase->data, passphrase->size, &member->key);
}

static int try_further_slots(struct member *member, const struct secret *passphrase)
{
	int r = LUKS_WRONG;

	for (int slot = member_further_slot(member, -1); slot >= 0 && r;
	     slot = member_further_slot(member, slot))
		r = try_slot(member, slot, passphrase);
	return r ? LUKS_WRONG : 0;
}

/* `refused`: by an intact slot of another member of its set. */
static enum answer try_passphrase(struct member *member, const struct secret *passphrase, bool refused)
{
	bool intact = slot_is_intact(member);
	int slot = intact ? (int)member->token.passphrase_slot : ANY_SLOT;
	int r = intact && refused ? LUKS_WRONG : try_slot(member, slot, passphrase);

	if (intact && r == LUKS_WRONG)
		r = try_further_slots(member, passphrase);
	if (r == 0)
		return ANSWER_OPENED;
	return intact && r == LUKS_WRONG ? ANSWER_WRONG : ANSWER_UNKNOWN;
}

struct box *set_open_box(struct luks *luks, const struct token *token, const struct secret *key)
{
	_cleanup_(secret_freep) struct secret *sealed = NULL;
	struct box *box = NULL;

	if (luks_slot_key(luks, (int)token->box_slot, key->data, key->size, &sealed) ||
	    box_open(sealed, token->body, &box))
		return NULL;
	if (!box_member(box, luks->uuid))
		box = box_free(box);
	return box;
}

/* The box of a member whose volume key is known. NULL when it has none that is whole. */
static struct box *open_box(const struct member *member)
{
	return member->has_token ? set_open_box(member->luks, &member->token, member->key) : NULL;
}

static void close_member(struct member *member, enum member_state state, const char *why)
{
	member->key = secret_free(member->key);
	member->state = state;
	str_set(&member->why, why);
}

static void accept(const struct set *set, struct member *member)
{
	member->state = MEMBER_OPEN;
	str_set(&member->name, box_member(set->box, member->luks->uuid)->name);
	str_set(&member->why, NULL);
}

/* the others */

static bool try_set_key(const struct box *box, const struct box_member *known,
			struct member *member)
{
	const struct secret *keys[] = { known->previous ? box->previous_key : box->set_key,
					known->previous ? box->set_key : box->previous_key };

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (keys[i] && luks_slot_key(member->luks, (int)known->set_key_slot,
					     keys[i]->data, keys[i]->size, &member->key) == 0)
			return true;
	return false;
}

/* A closed member that the set key is to open, as its box has it; NULL for all others. */
static const struct box_member *ordinary_other(const struct set *set,
					       const struct member *member)
{
	const struct box_member *known;

	if (member->state != MEMBER_CLOSED || !member->luks)
		return NULL;
	known = box_member(set->box, member->luks->uuid);
	return known && !known->previous ? known : NULL;
}

/* What opens in the ordinary way, all at once; the rest is looked at one by one. */
static void try_set_keys(struct set *set)
{
	_cleanup_free_ struct slot_try *tries = mem_alloc(set->n_members * sizeof(*tries));
	_cleanup_free_ struct member **members = mem_alloc(set->n_members * sizeof(*members));
	size_t n = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];
		const struct box_member *known = ordinary_other(set, member);

		if (!known)
			continue;
		members[n] = member;
		tries[n++] = (struct slot_try){ member->luks, (int)known->set_key_slot,
						set->box->set_key, NULL };
	}
	slots_open(tries, n);
	for (size_t i = 0; i < n; i++) {
		members[i]->key = tries[i].key;
		if (members[i]->key)
			accept(set, members[i]);
	}
}

/* What the machine runs by is nothing that who comes late decides. */
static bool is_running(const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].in_use)
			return true;
	return false;
}

static uint64_t claimed_generation(const struct member *member)
{
	return member->has_token ? member->token.generation : 0;
}

/* By its own word it took part in a change that the box does not know. */
static bool claims_newer(const struct set *set, const struct member *member)
{
	char id[UUID_STR_LEN];

	uuid_unparse_lower(set->box->set, id);
	return member->has_token && streq(member->token.set, id) &&
	       claimed_generation(member) > set->box->generation;
}

/*
 * A stock tool may have changed a member: its own slot still counts, and costs one more KDF. Its
 * box tells whether it is of this generation; a newer one is handed to the caller.
 */
static struct box *open_by_passphrase(struct set *set, struct member *member,
				      const struct secret *passphrase)
{
	_cleanup_(box_freep) struct box *box = NULL;
	enum answer answer = passphrase ? try_passphrase(member, passphrase, false) : ANSWER_UNKNOWN;

	if (answer != ANSWER_OPENED) {
		set->outdated |= answer == ANSWER_WRONG && claims_newer(set, member) &&
				 !is_running(set);
		close_member(member, MEMBER_CLOSED,
			     passphrase ? "neither the set key nor the passphrase opens it" :
					  "the set key does not open it, and no passphrase was given");
		return NULL;
	}
	box = open_box(member);
	if (box && box->generation > set->box->generation)
		return take_ptr(box);
	if (box && box->generation < set->box->generation) {
		close_member(member, MEMBER_CLOSED, STALE);
		return NULL;
	}
	member->by_passphrase = true;
	accept(set, member);
	return NULL;
}

/* NULL, or the newer box that this member turned out to have. */
static struct box *open_other(struct set *set, struct member *member,
			      const struct secret *passphrase)
{
	const struct box_member *known = box_member(set->box, member->luks->uuid);

	if (!known) {
		close_member(member, MEMBER_FOREIGN, "it is not a member of this set");
		return NULL;
	}
	if (!try_set_key(set->box, known, member))
		return open_by_passphrase(set, member, passphrase);
	accept(set, member);
	return NULL;
}

static void forget_but(struct set *set, const struct member *newer)
{
	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		if (member != newer &&
		    (member->state == MEMBER_OPEN || member->state == MEMBER_FOREIGN))
			close_member(member, MEMBER_CLOSED, "its box is that of an older set");
	}
	set->box = box_free(set->box);
}

/* From here on the set is what this member's box says. */
static void believe(struct set *set, struct member *member, struct box *box)
{
	forget_but(set, member);
	set->box = box;
	str_set(&set->body, member->token.body);
	accept(set, member);
}

static void open_others(struct set *set, const struct secret *passphrase)
{
	set->outdated = false;
	try_set_keys(set);
	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];
		struct box *newer = NULL;

		if (member->state == MEMBER_CLOSED && member->luks)
			newer = open_other(set, member, passphrase);
		if (!newer)
			continue;
		/* Generations only grow, so that this comes to an end. */
		believe(set, member, newer);
		try_set_keys(set);
		i = (size_t)-1;
	}
	if (set->outdated)
		forget_but(set, NULL);
}

/*
 * A box that no other member confirms while others are there may be that of a stale copy: the
 * next member that opens with a newer generation takes its place.
 */
static bool is_confirmed(const struct set *set)
{
	return set->n_members == 1 || set_count(set, MEMBER_OPEN) > 1 ||
	       set_count(set, MEMBER_UNUSABLE) == set->n_members - 1;
}

/*
 * Try one member. 0 when the set is confirmed; SET_WRONG when an intact slot refused; -EAGAIN when
 * the next member has to be asked.
 */
static int unlock_with(struct set *set, struct member *member, const struct secret *passphrase,
		       bool refused)
{
	_cleanup_(box_freep) struct box *box = NULL;
	enum answer answer = try_passphrase(member, passphrase, refused);

	if (answer == ANSWER_WRONG)
		return SET_WRONG;
	if (answer != ANSWER_OPENED)
		return -EAGAIN;
	box = open_box(member);
	if (!box || (set->box && box->generation <= set->box->generation)) {
		close_member(member, MEMBER_CLOSED, box ? STALE : ORPHAN);
		return -EAGAIN;
	}
	believe(set, member, take_ptr(box));
	open_others(set, passphrase);
	return !set->outdated && is_confirmed(set) ? 0 : -EAGAIN;
}

static bool is_orphan(const struct member *member)
{
	return member->state == MEMBER_CLOSED && streq(member->why, ORPHAN);
}

bool member_is_stale(const struct member *member)
{
	return member->state == MEMBER_CLOSED && streq(member->why, STALE);
}

/* One that is older than who refused is of before a change. */
static bool has_orphans(const struct set *set, uint64_t refused)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (is_orphan(&set->members[i]) && claimed_generation(&set->members[i]) >= refused)
			return true;
	return false;
}

static int by_generation(const void *a, const void *b)
{
	const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
	uint64_t of_x = claimed_generation(x), of_y = claimed_generation(y);

	if (x->in_use != y->in_use)
		return x->in_use ? -1 : 1;
	return of_x != of_y ? (of_x < of_y ? 1 : -1) : (x > y) - (x < y);
}

/* Who missed a change does not know the passphrase of now; who is in use does, whatever came. */
static struct member **newest_first(const struct set *set)
{
	struct member **order = mem_alloc(set->n_members * sizeof(*order));

	for (size_t i = 0; i < set->n_members; i++)
		order[i] = &set->members[i];
	qsort(order, set->n_members, sizeof(*order), by_generation);
	return order;
}

/* A member with an intact slot of a set of which another one refused gives the same answer, by that slot. */
static bool is_refused(const struct member *member, bool intact, const struct strv *refused)
{
	return intact && member->has_token && strv_has(refused, member->token.set);
}

static bool is_to_try(const struct member *member, bool intact, const struct strv *refused)
{
	if (member->state != MEMBER_CLOSED || !member->luks)
		return false;
	if (is_refused(member, intact, refused) && member_further_slot(member, -1) < 0)
		return false;
	return slot_is_intact(member) == intact;
}

static int unlock_first(struct set *set, const struct secret *passphrase)
{
	_cleanup_free_ struct member **order = newest_first(set);
	_cleanup_strv_ struct strv refused = STRV_NULL;
	uint64_t newest = 0;
	size_t n_tried = 0;

	for (int intact = 1; intact >= 0; intact--)
		for (size_t i = 0; i < set->n_members; i++) {
			int r;

			if (!is_to_try(order[i], intact, &refused))
				continue;
			n_tried++;
			r = unlock_with(set, order[i], passphrase,
					is_refused(order[i], intact, &refused));
			if (r == 0)
				return 0;
			if (r != SET_WRONG)
				continue;
			strv_add(&refused, order[i]->token.set);
			newest = MAX_OF(newest, order[i]->token.generation);
		}
	if (set->box)
		return 0;
	return has_orphans(set, newest) ? SET_ORPHANS : n_tried ? SET_WRONG : -ENODEV;
}

int set_unlock(struct set *set, const struct secret *passphrase)
{
	set_load(set);
	if (!set->box)
		return passphrase ? unlock_first(set, passphrase) : -EINVAL;
	open_others(set, passphrase);
	return set->outdated ? SET_WRONG : 0;
}

void set_adopt(struct set *set, const struct secret *passphrase)
{
	set->box = box_new();
	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];
		struct box_member *known;

		if (!is_orphan(member) || try_passphrase(member, passphrase, false) != ANSWER_OPENED)
			continue;
		known = box_add_member(set->box);
		known->uuid = str_dup(member->luks->uuid);
		known->name = str_dup(member->name);
		member->by_passphrase = true;
		accept(set, member);
	}
}

/* The hint says which slot to try; the box says whether the set is this one. */
static bool open_first_by_key(struct set *set, struct member *member,
			      const struct secret *set_key)
{
	struct box *box;

	if (member->state != MEMBER_CLOSED || !member->has_token ||
	    luks_slot_key(member->luks, (int)member->token.set_key_slot, set_key->data,
			  set_key->size, &member->key))
		return false;
	box = open_box(member);
	if (!box) {
		close_member(member, MEMBER_CLOSED, ORPHAN);
		return false;
	}
	believe(set, member, box);
	open_others(set, NULL);
	return true;
}

int set_unlock_by_key(struct set *set, const struct secret *set_key)
{
	set_load(set);
	for (size_t i = 0; i < set->n_members; i++)
		if (open_first_by_key(set, &set->members[i], set_key))
			return 0;
	return SET_WRONG;
}

const char *member_blemish(const struct set *set, const struct member *member)
{
	const struct box_member *known = box_member(set->box, member->luks->uuid);

	if (member->by_passphrase)
		return "another tool changed its key slots, and only the passphrase opened it";
	if (!slot_is_intact(member))
		return "its passphrase slot was changed or damaged, and may not open it alone";
	if (known->previous)
		return "the set was changed while it was away";
	if (!luks_has_slot(member->luks, (int)known->set_key_slot))
		return "another tool changed its key slots, and no other member opens it";
	if (member->box && member->box->generation != set->box->generation)
		return "it was not reached by the last change of the set";
	return NULL;
}
