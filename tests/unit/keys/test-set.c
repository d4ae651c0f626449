/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A set of members on image files: enrolled, opened, and opened when something is wrong. */

#include <fcntl.h>
#include <libcryptsetup.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/file.h"
#include "keys/commit.h"
#include "keys/journal.h"
#include "set-world.h"

static void test_one_passphrase_opens_all(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 4);
	assert_int_equal(world_unlock(*state, &set, 4, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 4);
	assert_string_equal(set.members[2].name, "disk2");
	assert_int_equal(set.box->generation, 1);
	assert_false(set.members[3].by_passphrase);
	assert_int_equal(luks_verify_key(set.members[3].luks, set.members[3].key), 0);
}

static void test_trying_writes_nothing(void **state)
{
	const struct world *world = *state;
	char before[HASH_HEX_SIZE], after[HASH_HEX_SIZE];
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	/* A damaged second copy is what libcryptsetup would mend at once. */
	world_write_at(world->paths[0], 16384, 512, 0);
	assert_int_equal(file_hash(world->paths[0], before), 0);
	luks_read_only();
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(file_hash(world->paths[0], after), 0);
	assert_string_equal(before, after);
}

static void test_wrong_passphrase_is_settled_by_one(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 3);
	assert_int_equal(world_unlock(*state, &set, 3, "wrong"), SET_WRONG);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 0);
	assert_null(set.box);
	/* The same members with the right one, as after a typing error. */
	assert_int_equal(world_unlock(*state, &set, 0, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
}

#define SECOND "of another administrator"

static void test_further_passphrase_opens(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {}, by_first = {};

	world_enroll(world, 0, 3);
	for (size_t i = 0; i < 2; i++)
		(void)world_add_passphrase(world->paths[i], SECOND);
	assert_int_equal(world_unlock(world, &set, 3, SECOND), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
	assert_null(member_blemish(&set, &set.members[0]));
	assert_true(member_further_slot(&set.members[0], -1) > 0);
	assert_true(member_further_slot(&set.members[2], -1) < 0);
	assert_int_equal(world_unlock(world, &by_first, 3, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&by_first, MEMBER_OPEN), 3);
}

/* As after a change that was cut when its passphrase had but a slot. */
static void test_further_passphrase_of_one_opens(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	(void)world_add_passphrase(world->paths[2], SECOND);
	assert_int_equal(world_unlock(world, &set, 3, "wrong"), SET_WRONG);
	assert_int_equal(world_unlock(world, &set, 0, SECOND), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
}

/* Who asked that a slot is left alone is not answered by it. */
static void test_ignored_slot_is_left_alone(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};
	struct crypt_device *cd = NULL;
	int slot;

	world_enroll(world, 0, 2);
	slot = world_add_passphrase(world->paths[0], SECOND);
	assert_int_equal(crypt_init(&cd, world->paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_keyslot_set_priority(cd, slot, CRYPT_SLOT_PRIORITY_IGNORE), 0);
	crypt_free(cd);
	assert_int_equal(world_unlock(world, &set, 2, SECOND), SET_WRONG);
}

static void test_damaged_slot_hides_nothing(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	world_write_at(world->paths[0], 32768, WORLD_AREA, 0xa5);
	assert_int_equal(world_unlock(world, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
}

static void test_both_headers_gone(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	world_write_at(world->paths[1], 0, 32768, 0);
	assert_int_equal(world_unlock(world, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(set.members[1].state, MEMBER_UNUSABLE);
	assert_non_null(set.members[1].why);
}

static void test_member_of_another_set(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 2);
	world_enroll(*state, 2, 2); /* the same passphrase: two machines of one owner */
	assert_int_equal(world_unlock(*state, &set, 4, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(set_count(&set, MEMBER_FOREIGN), 2);
}

static void test_member_that_was_never_enrolled(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 1, 2); /* the first one has a passphrase slot only */
	assert_int_equal(world_unlock(*state, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set.members[0].state, MEMBER_FOREIGN);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

static void test_stale_copy_of_a_member_comes_first(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	world_copy(world->paths[0], world->paths[3]);
	world_enroll(world, 0, 3); /* a newer generation, which the copy does not have */
	world_copy(world->paths[3], world->paths[0]);
	assert_int_equal(world_unlock(world, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set.box->generation, 2);
	assert_int_equal(set.members[1].state, MEMBER_OPEN);
	assert_int_equal(set.members[2].state, MEMBER_OPEN);
	assert_true(member_is_stale(&set.members[0]));
	assert_false(member_is_stale(&set.members[1]));
	/* As apply does: from here on it is one that was away. */
	world_enroll(world, 0, 3);
	set_deinit(&set);
	assert_int_equal(world_unlock(world, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
}

#define NEW "new one"

static void change_passphrase(const char *path)
{
	struct crypt_device *cd = NULL;

	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &world_kdf), 0);
	assert_true(crypt_keyslot_change_by_passphrase(cd, 0, 0, WORLD_RIGHT, strlen(WORLD_RIGHT),
						       NEW, strlen(NEW)) >= 0);
	crypt_free(cd);
}

/* While all others are away. */
static void enroll_one(const struct world *world, size_t i, const char *set_id, const char *text)
{
	const struct enroll_member member = { world->paths[i], world->names[i], NULL };
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(text);

	assert_int_equal(set_enroll(&member, 1, set_id, passphrase, ENROLL_KEEP_ABSENT, NULL), 0);
}

/* The passphrase of member 1 changes, as luksChangeKey and eyrie heal do it, and 0 is away. */
static void change_without_the_first(const struct world *world)
{
	change_passphrase(world->paths[1]);
	enroll_one(world, 1, WORLD_SET_ID, NEW);
}

static void test_who_missed_a_change_comes_first(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	change_without_the_first(world);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), SET_WRONG);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 0);
	assert_int_equal(world_unlock(world, &set, 0, NEW), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(set.box->generation, 2);
}

static void test_who_took_part_in_a_change_comes_late(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	change_without_the_first(world);
	assert_int_equal(world_unlock(world, &set, 1, WORLD_RIGHT), 0);
	set_add(&set, world->paths[1]);
	assert_int_equal(world_unlock(world, &set, 0, WORLD_RIGHT), SET_WRONG);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 0);
	assert_null(set.box);
	assert_int_equal(world_unlock(world, &set, 0, NEW), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

/* It joins, and still does not know the passphrase of now: the next start must not ask it first. */
static void test_who_missed_a_change_joins(void **state)
{
	const struct world *world = *state;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set alone = {};

	world_enroll(world, 0, 2);
	change_without_the_first(world);
	set_add(&alone, world->paths[1]);
	assert_int_equal(world_unlock(world, &alone, 0, NEW), 0);
	journal_compare(&alone);
	assert_int_equal(journal_begin(&alone, 1, &diag), 0);
	for (uint64_t now = 2; now < 5; now++) {
		_cleanup_set_ struct set set = {};

		assert_int_equal(world_unlock(world, &set, 2, NEW), 0);
		assert_int_equal(set.members[0].token.generation, 1);
		journal_compare(&set);
		assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
		assert_int_equal(journal_begin(&set, now, &diag), 0);
		assert_int_equal(journal_joined(&set, &diag), 0);
	}
}

/* heal after luksChangeKey of one: the passphrase of before opens none of them. */
static void test_passphrase_of_before_is_gone(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(NEW), *key = NULL;
	struct enroll_member members[2] = {};
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	change_passphrase(world->paths[1]);
	set_add(&set, world->paths[1]);
	set_add(&set, world->paths[0]);
	assert_int_equal(world_unlock(world, &set, 0, NEW), 0);
	for (size_t i = 0; i < 2; i++)
		members[i] = (struct enroll_member){ set.members[i].path, world->names[1 - i],
						     set.members[i].key };
	assert_int_equal(set_enroll(members, 2, WORLD_SET_ID, passphrase, ENROLL_KEEP_ABSENT, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_(luks_freep) struct luks *luks = NULL;

		assert_int_equal(luks_load(world->paths[i], &luks, NULL), 0);
		assert_int_not_equal(luks_slot_key(luks, CRYPT_ANY_SLOT, WORLD_RIGHT,
						   strlen(WORLD_RIGHT), &key), 0);
		assert_int_equal(luks_slot_key(luks, CRYPT_ANY_SLOT, NEW, strlen(NEW), &key), 0);
		key = secret_free(key);
	}
}

/* What cannot be read is read again, with no prompt of its own; what is no header is not. */
static void test_unread_for_a_while(void **state)
{
	const struct world *world = *state;
	_cleanup_free_ char *away = str_printf("%s/away", world->folder);
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	assert_int_equal(rename(world->paths[1], away), 0);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set.members[1].state, MEMBER_CLOSED);
	assert_non_null(set.members[1].why);
	assert_int_equal(set_load(&set), 0);
	assert_int_equal(rename(away, world->paths[1]), 0);
	assert_int_equal(set_load(&set), 1);
	assert_int_equal(set_unlock(&set, NULL), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

/* The slot of the new set key, as it is before any token is written. */
static void add_set_key(const char *path, const struct secret *set_key)
{
	_cleanup_(secret_freep) struct secret *key = secret_new();
	_cleanup_(luks_freep) struct luks *luks = NULL;
	struct commit commit = { .name = "disk", .key = key };
	size_t size = 64;

	assert_int_equal(luks_load(path, &luks, NULL), 0);
	assert_true(crypt_volume_key_get(luks->cd, CRYPT_ANY_SLOT, key->data, &size, WORLD_RIGHT,
					 strlen(WORLD_RIGHT)) >= 0);
	key->size = size;
	commit.luks = luks;
	assert_int_equal(commit_set_key(&commit, set_key, NULL), 0);
}

/* Of `n` members the first one got as far as its token. */
static void cut_change(const struct world *world, size_t n)
{
	_cleanup_set_ struct set first = {};

	world_enroll(world, 0, n);
	for (size_t i = 1; i < n; i++) {
		_cleanup_free_ char *copy = str_printf("%s/before%zu", world->folder, i);

		world_copy(world->paths[i], copy);
	}
	world_enroll(world, 0, n);
	assert_int_equal(world_unlock(world, &first, 1, WORLD_RIGHT), 0);
	for (size_t i = 1; i < n; i++) {
		_cleanup_free_ char *copy = str_printf("%s/before%zu", world->folder, i);

		world_copy(copy, world->paths[i]);
		(void)unlink(copy);
		add_set_key(world->paths[i], first.box->set_key);
	}
}

/*
 * A change of three was cut when one of them had its token; a start without that one notes who is absent.
 * Its set key still opens the others afterwards, which went on without it.
 */
static void test_start_in_the_middle_of_a_change(void **state)
{
	const struct world *world = *state;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_set_ struct set two = {}, all = {};

	cut_change(world, 3);
	set_add(&two, world->paths[1]);
	set_add(&two, world->paths[2]);
	assert_int_equal(world_unlock(world, &two, 0, WORLD_RIGHT), 0);
	journal_compare(&two);
	assert_int_equal(journal_begin(&two, 1, &diag), 0);
	set_deinit(&two);
	assert_int_equal(world_unlock(world, &all, 3, WORLD_RIGHT), 0);
	journal_compare(&all);
	assert_int_equal(set_count(&all, MEMBER_OPEN), 3);
	assert_true(all.members[0].behind);
	assert_false(all.members[1].behind);
}

/* The passphrase of before is a further one on who missed the change: it does not start what is stale. */
static void test_further_passphrase_of_before_a_change(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	(void)world_add_passphrase(world->paths[0], SECOND);
	change_without_the_first(world);
	assert_int_equal(world_unlock(world, &set, 2, SECOND), SET_WRONG);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 0);
	assert_int_equal(world_unlock(world, &set, 0, NEW), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

/* It knows nothing of its set any more, and neither of the change. */
static void test_orphan_missed_a_change(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set both = {}, late = {};

	world_enroll(world, 0, 2);
	world_take_slots(world->paths[0], 1, 2);
	change_without_the_first(world);
	assert_int_equal(world_unlock(world, &both, 2, WORLD_RIGHT), SET_WRONG);
	assert_int_equal(world_unlock(world, &late, 1, WORLD_RIGHT), SET_ORPHANS);
	set_add(&late, world->paths[1]);
	assert_int_equal(world_unlock(world, &late, 0, WORLD_RIGHT), SET_WRONG);
	assert_int_equal(world_unlock(world, &late, 0, NEW), 0);
	assert_int_equal(late.members[1].state, MEMBER_OPEN);
}

/* Its set went on without it, and it without them: what runs is what the passphrase is asked for. */
static void test_who_runs_is_asked_first(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	change_without_the_first(world);
	set_add(&set, world->paths[0]);
	set_add(&set, world->paths[1]);
	set.members[0].in_use = true;
	assert_int_equal(world_unlock(world, &set, 0, WORLD_RIGHT), 0);
	assert_int_equal(set.members[0].state, MEMBER_OPEN);
	assert_int_equal(set.members[1].state, MEMBER_CLOSED);
}

static void test_newer_box_comes_late(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	enroll_one(world, 1, WORLD_SET_ID, WORLD_RIGHT);
	assert_int_equal(world_unlock(world, &set, 1, WORLD_RIGHT), 0);
	set_add(&set, world->paths[1]);
	assert_int_equal(world_unlock(world, &set, 0, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(set.box->generation, 2);
}

/* Another machine's disk, and its owner has another passphrase. */
static void test_refusal_of_another_set(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	change_passphrase(world->paths[0]);
	enroll_one(world, 0, "0d7f4a52-6a3b-4d0f-9a52-2f4b8d1e7c35", NEW);
	world_enroll(world, 1, 2);
	assert_int_equal(world_unlock(world, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(set.members[0].state, MEMBER_FOREIGN);
}

static void test_passphrase_changed_by_a_stock_tool(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	change_passphrase(world->paths[0]);
	/* The old one still opens by the other member, and that opens this one. */
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

static void test_set_key_slot_killed(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};
	struct crypt_device *cd = NULL;

	world_enroll(world, 0, 2);
	assert_int_equal(crypt_init(&cd, world->paths[1]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_keyslot_destroy(cd, 1), 0);
	crypt_free(cd);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_true(set.members[1].by_passphrase);
}

/* The set key is in the keyring, and nobody is asked at first. */
static void test_passphrase_comes_after_the_set_key(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(WORLD_RIGHT);
	_cleanup_set_ struct set first = {}, set = {};

	world_enroll(world, 0, 2);
	world_take_slots(world->paths[1], 1, 1);
	assert_int_equal(world_unlock(world, &first, 1, WORLD_RIGHT), 0);
	for (size_t i = 0; i < 2; i++)
		set_add(&set, world->paths[i]);
	assert_int_equal(set_unlock_by_key(&set, first.box->set_key), 0);
	assert_int_equal(set.members[1].state, MEMBER_CLOSED);
	assert_non_null(strstr(set.members[1].why, "no passphrase was given"));
	assert_int_equal(set_unlock(&set, passphrase), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
}

static void test_box_taken_by_a_stock_tool(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set both = {}, alone = {};

	world_enroll(world, 0, 2);
	world_take_slots(world->paths[0], 1, 2);
	assert_int_equal(world_unlock(world, &both, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&both, MEMBER_OPEN), 2);
	assert_true(both.members[0].by_passphrase);
	assert_non_null(member_blemish(&both, &both.members[0]));
	assert_null(member_blemish(&both, &both.members[1]));
	assert_int_equal(world_unlock(world, &alone, 1, "wrong"), SET_WRONG);
	assert_int_equal(world_unlock(world, &alone, 0, WORLD_RIGHT), SET_ORPHANS);
}

static void test_set_key_slot_taken_from_the_first(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	world_take_slots(world->paths[0], 1, 1);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_false(set.members[0].by_passphrase);
	assert_non_null(member_blemish(&set, &set.members[0]));
	assert_null(member_blemish(&set, &set.members[1]));
}

static void test_orphan_opens_when_nobody_else_comes(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(WORLD_RIGHT);
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	world_take_slots(world->paths[0], 1, 2);
	assert_int_equal(world_unlock(world, &set, 1, WORLD_RIGHT), SET_ORPHANS);
	set_adopt(&set, passphrase);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 1);
	assert_int_equal(luks_verify_key(set.members[0].luks, set.members[0].key), 0);
}

static void test_late_member_needs_no_passphrase(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 3);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	set_add(&set, world->paths[2]);
	assert_int_equal(set_unlock(&set, NULL), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
}

static void test_enrolling_again_leaves_no_old_slots(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};
	struct crypt_device *cd = NULL;
	int n = 0;

	for (int i = 0; i < 5; i++)
		world_enroll(world, 0, 2);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set.box->generation, 5);
	assert_int_equal(crypt_init(&cd, world->paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	for (int slot = 0; slot < 32; slot++)
		n += crypt_keyslot_status(cd, slot) >= CRYPT_SLOT_ACTIVE;
	crypt_free(cd);
	assert_int_equal(n, 3); /* passphrase, set key, box */
}

/* Another cipher, of the same length, for all key slots, and a checksum that says so. */
static void forge(const char *path, off_t offset)
{
	enum { SIZE = 16384, CHECKSUM = 448 };
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	_cleanup_free_ char *area = mem_alloc(SIZE + 1);
	char hex[HASH_HEX_SIZE], *at = area + 4096;

	assert_int_equal(pread(fd, area, SIZE, offset), SIZE);
	while ((at = strstr(at, "aes-xts-plain64")))
		memcpy(at, "cipher_null-ecb", 15);
	memset(area + CHECKSUM, 0, 64);
	assert_int_equal(data_hash(area, SIZE, hex), 0);
	for (int i = 0; i < 32; i++) {
		unsigned byte = 0;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		area[CHECKSUM + i] = (char)byte;
	}
	assert_int_equal(pwrite(fd, area, SIZE, offset), SIZE);
}

static void test_null_cipher_is_refused(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};

	world_enroll(world, 0, 2);
	forge(world->paths[1], 0);
	forge(world->paths[1], 16384);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set.members[1].state, MEMBER_UNUSABLE);
	assert_non_null(strstr(set.members[1].why, "cipher"));
	assert_int_equal(set.members[0].state, MEMBER_OPEN);
}

static void test_box_vouches_for_its_body(void **state)
{
	_cleanup_(box_freep) struct box *box = box_new(), *back = NULL;
	_cleanup_(secret_freep) struct secret *sealed = NULL;
	_cleanup_free_ char *body = NULL, *other = NULL;
	struct box_member *member = box_add_member(box);

	(void)state;
	member->uuid = str_dup("1234");
	member->name = str_dup("left");
	box->generation = 7;
	box->set_key = secret_new();
	memset(box->set_key->data, 0x5a, BOX_KEY_SIZE);
	box->set_key->size = BOX_KEY_SIZE;
	assert_int_equal(uuid_parse(WORLD_SET_ID, box->set), 0);
	body = box_body(box);
	assert_int_equal(box_seal(box, body, &sealed), 0);
	assert_int_equal(box_open(sealed, body, &back), 0);
	assert_int_equal(back->generation, 7);
	assert_non_null(box_member(back, "1234"));
	assert_true(secret_equal(back->set_key, box->set_key));
	assert_null(back->previous_key);
	other = str_printf("%s ", body);
	back = box_free(back);
	assert_int_equal(box_open(sealed, other, &back), -EBADMSG);
	sealed->data[8] = 2; /* a version of tomorrow */
	assert_int_equal(box_open(sealed, body, &back), -EBADMSG);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_one_passphrase_opens_all),
		TEST(test_wrong_passphrase_is_settled_by_one),
		TEST(test_further_passphrase_opens),
		TEST(test_further_passphrase_of_one_opens),
		TEST(test_ignored_slot_is_left_alone),
		TEST(test_damaged_slot_hides_nothing),
		TEST(test_both_headers_gone),
		TEST(test_member_of_another_set),
		TEST(test_member_that_was_never_enrolled),
		TEST(test_stale_copy_of_a_member_comes_first),
		TEST(test_who_missed_a_change_comes_first),
		TEST(test_who_missed_a_change_joins),
		TEST(test_unread_for_a_while),
		TEST(test_passphrase_of_before_is_gone),
		TEST(test_start_in_the_middle_of_a_change),
		TEST(test_who_took_part_in_a_change_comes_late),
		TEST(test_further_passphrase_of_before_a_change),
		TEST(test_orphan_missed_a_change),
		TEST(test_who_runs_is_asked_first),
		TEST(test_newer_box_comes_late),
		TEST(test_refusal_of_another_set),
		TEST(test_passphrase_changed_by_a_stock_tool),
		TEST(test_set_key_slot_killed),
		TEST(test_passphrase_comes_after_the_set_key),
		TEST(test_box_taken_by_a_stock_tool),
		TEST(test_set_key_slot_taken_from_the_first),
		TEST(test_orphan_opens_when_nobody_else_comes),
		TEST(test_late_member_needs_no_passphrase),
		TEST(test_enrolling_again_leaves_no_old_slots),
		TEST(test_null_cipher_is_refused),
		cmocka_unit_test(test_box_vouches_for_its_body),
		TEST(test_trying_writes_nothing), /* last: it ends all writing */
	};

	return cmocka_run_group_tests_name("set", tests, NULL, NULL);
}
