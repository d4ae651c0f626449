/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/enroll.h"

#include <libcryptsetup.h>
#include <sys/random.h>

#include "keys/commit.h"
#include "keys/set.h"
#include "keys/token.h"

#define VOLUME_KEY_MAX 128u

struct enrolled {
	struct commit commit;
	struct luks *luks;
	struct secret *key;
	struct box *old; /* what it had, or NULL */
	int named;	 /* passphrase slot by its token, or -1 */
	bool intact;	 /* and nobody changed it since */
	int opened;	 /* slot of the passphrase that was given; negative: it had none */
};

static void token_deinit(struct token *token)
{
	record_deinit(&record_token, token);
}

/* A slot for the passphrase, as slow as those that the member has. */
static int add_passphrase(struct luks *luks, const struct secret *key,
			  const struct secret *passphrase)
{
	struct crypt_pbkdf_type kdf = {};
	int r = 0;

	for (int slot = 0; slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (crypt_keyslot_get_pbkdf(luks->cd, slot, &kdf) == 0 && kdf.max_memory_kb) {
			kdf.flags |= CRYPT_PBKDF_NO_BENCHMARK;
			r = crypt_set_pbkdf_type(luks->cd, &kdf);
			break;
		}
	return r ? r : crypt_keyslot_add_by_volume_key(luks->cd, CRYPT_ANY_SLOT, key->data,
						       key->size, passphrase->data,
						       passphrase->size);
}

static int try_slot(struct enrolled *e, int slot, const struct secret *passphrase)
{
	size_t size = VOLUME_KEY_MAX;
	int r = crypt_volume_key_get(e->luks->cd, slot, e->key->data, &size, passphrase->data,
				     passphrase->size);

	e->key->size = size;
	return r;
}

/* Its volume key: nothing is changed before every member opened. */
static int open_member(struct enrolled *e, const struct enroll_member *want,
		       const struct secret *passphrase, struct diag *diag)
{
	_cleanup_(token_deinit) struct token token = {};
	int r = luks_load(want->path, &e->luks, diag);
	bool has_token = r == 0 && token_read(e->luks, &token);

	if (r)
		return r;
	e->named = has_token ? (int)token.passphrase_slot : -1;
	e->intact = has_token && token_slot_is_intact(&token, e->luks);
	e->key = secret_new();
	e->opened = has_token ? try_slot(e, e->named, passphrase) : -EPERM;
	if (e->opened < 0)
		e->opened = try_slot(e, CRYPT_ANY_SLOT, passphrase);
	if (e->opened < 0 && !want->key)
		return diag_error(diag, e->opened, "the passphrase does not open '%s'", want->name);
	if (e->opened < 0) {
		memcpy(e->key->data, want->key->data, want->key->size);
		e->key->size = want->key->size;
	}
	e->old = has_token ? set_open_box(e->luks, &token, e->key) : NULL;
	return 0;
}

/* The passphrase opens it from here on; what was read of its header is read again. */
static int let_in(struct enrolled *e, const struct enroll_member *want,
		  const struct secret *passphrase, struct diag *diag)
{
	int slot = add_passphrase(e->luks, e->key, passphrase);

	if (slot < 0)
		return diag_error(diag, slot, "the passphrase does not open '%s', and cannot be added to it",
				  want->name);
	e->luks = luks_free(e->luks);
	e->commit.passphrase_slot = slot;
	return luks_load(want->path, &e->luks, diag);
}

/*
 * The passphrase that was given is the one of the set when a token names its slot, whatever another tool
 * did to that. Else it is a further one, as a recovery key: what is intact by the tokens stays what it is.
 */
static bool is_of_the_set(const struct enrolled *all, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].opened >= 0 && all[i].opened == all[i].named)
			return true;
	return false;
}

static int prepare(struct enrolled *e, const struct enroll_member *want, bool of_the_set,
		   const struct secret *passphrase, struct diag *diag)
{
	int r = 0;

	e->commit.passphrase_slot = e->opened;
	if (e->opened < 0)
		r = let_in(e, want, passphrase, diag);
	if (!of_the_set && e->intact)
		e->commit.passphrase_slot = e->named;
	e->commit.name = want->name;
	e->commit.luks = e->luks;
	e->commit.key = e->key;
	return r;
}

static int random_key(struct secret **ret)
{
	_cleanup_(secret_freep) struct secret *key = secret_new();

	if (getrandom(key->data, BOX_KEY_SIZE, 0) != (ssize_t)BOX_KEY_SIZE)
		return -EIO;
	key->size = BOX_KEY_SIZE;
	*ret = take_ptr(key);
	return 0;
}

static struct secret *copy_key(const struct secret *key)
{
	struct secret *copy = secret_new();

	memcpy(copy->data, key->data, key->size);
	copy->size = key->size;
	return copy;
}

static const struct box *newest_box(const struct enrolled *all, size_t n)
{
	const struct box *newest = NULL;

	for (size_t i = 0; i < n; i++)
		if (all[i].old && (!newest || all[i].old->generation > newest->generation))
			newest = all[i].old;
	return newest;
}

static bool is_given(const struct enrolled *all, size_t n, const char *uuid)
{
	for (size_t i = 0; i < n; i++)
		if (streq(all[i].luks->uuid, uuid))
			return true;
	return false;
}

/* Members of the set before that are not here now. */
static void keep_absent(struct box *box, const struct box *old, const struct enrolled *all,
			size_t n)
{
	for (size_t i = 0; i < old->members.n_items; i++) {
		const struct box_member *member = &((struct box_member *)old->members.items)[i];

		if (!is_given(all, n, member->uuid))
			box_copy_member(box, member);
	}
}

static bool place_is_taken(const struct box *box)
{
	for (size_t i = 0; i < box->members.n_items; i++)
		if (((struct box_member *)box->members.items)[i].previous)
			return true;
	return false;
}

/* A new set key, and the one before for those who are absent. */
static int choose_keys(struct box *box, const struct box *old)
{
	if (!box->members.n_items)
		return random_key(&box->set_key);
	if (place_is_taken(box)) {
		box->set_key = copy_key(old->set_key);
		box->previous_key = copy_key(old->previous_key);
		return 0;
	}
	for (size_t i = 0; i < box->members.n_items; i++)
		((struct box_member *)box->members.items)[i].previous = true;
	box->previous_key = copy_key(old->set_key);
	return random_key(&box->set_key);
}

static void describe(struct box *box, const struct enrolled *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct box_member *member = box_add_member(box);

		member->uuid = str_dup(all[i].luks->uuid);
		member->name = str_dup(all[i].commit.name);
		member->passphrase_slot = (uint64_t)all[i].commit.passphrase_slot;
		member->set_key_slot = (uint64_t)all[i].commit.set_key_slot;
	}
}

static int commit_all(struct enrolled *all, size_t n, struct box *box, struct diag *diag)
{
	static const struct list none = {};
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = commit_set_key(&all[i].commit, box->set_key, diag);
	if (r)
		return r;
	describe(box, all, n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		history_copy(&box->history, all[i].old ? &all[i].old->history : &none);
		r = commit_box(&all[i].commit, box, diag);
	}
	return r;
}

/*
 * The slot of the passphrase that the others have no more: as it was when the set was made. One that somebody
 * changed since may have the newer one.
 */
static bool is_outdated(const struct enrolled *e)
{
	return e->opened < 0 && e->intact && e->old &&
	       box_member(e->old, e->luks->uuid)->passphrase_slot == (uint64_t)e->named &&
	       e->named != e->commit.passphrase_slot;
}

/* The passphrase was changed on another member: what it was opens none of them from here on. */
static int forget_outdated(struct enrolled *all, size_t n, struct diag *diag)
{
	for (size_t i = 0; i < n; i++) {
		int r;

		if (!is_outdated(&all[i]))
			continue;
		r = crypt_keyslot_destroy(all[i].luks->cd, all[i].named);
		if (r < 0)
			return diag_error(diag, r, "'%s': the slot of the passphrase of before cannot be "
					  "removed", all[i].commit.name);
	}
	return 0;
}

static int enroll_all(struct enrolled *all, const struct enroll_member *members, size_t n,
		      const char *set_id, const struct secret *passphrase, unsigned flags,
		      struct diag *diag)
{
	_cleanup_(box_freep) struct box *box = box_new();
	const struct box *old;
	bool of_the_set;
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = open_member(&all[i], &members[i], passphrase, diag);
	if (r == 0 && uuid_parse(set_id, box->set) < 0)
		r = diag_error(diag, -EINVAL, "'%s' is not a UUID", set_id);
	of_the_set = is_of_the_set(all, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = prepare(&all[i], &members[i], of_the_set, passphrase, diag);
	if (r)
		return r;
	old = newest_box(all, n);
	if (old && flags & ENROLL_KEEP_ABSENT)
		keep_absent(box, old, all, n);
	box->generation = (old ? old->generation : 0) + 1;
	if (choose_keys(box, old))
		return diag_error(diag, -EIO, "the kernel gives no random bytes");
	r = commit_all(all, n, box, diag);
	return r ? r : forget_outdated(all, n, diag);
}

int set_enroll(const struct enroll_member *members, size_t n, const char *set_id,
	       const struct secret *passphrase, unsigned flags, struct diag *diag)
{
	_cleanup_free_ struct enrolled *all = mem_alloc(n * sizeof(*all));
	int r = enroll_all(all, members, n, set_id, passphrase, flags, diag);

	for (size_t i = 0; i < n; i++) {
		all[i].luks = luks_free(all[i].luks);
		all[i].key = secret_free(all[i].key);
		all[i].old = box_free(all[i].old);
	}
	return r;
}
