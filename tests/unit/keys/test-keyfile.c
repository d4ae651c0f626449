/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The key device's key in members, beside what else opens them. */

#include <libcryptsetup.h>
#include <sys/random.h>

#include "keys/keyfile.h"
#include "observe/observe.h"
#include "set-world.h"

#define N 2

static struct secret *text_secret(const char *text)
{
	struct secret *secret = secret_new();

	secret->size = strlen(text);
	memcpy(secret->data, text, secret->size);
	return secret;
}

static struct secret *random_key(void)
{
	struct secret *key = secret_new();

	key->size = KEYFILE_SIZE;
	assert_int_equal(getrandom(key->data, key->size, 0), KEYFILE_SIZE);
	return key;
}

static void name_members(const struct world *world, struct keyfile_member members[static N])
{
	for (size_t i = 0; i < N; i++)
		members[i] = (struct keyfile_member){ world->paths[i], world->names[i] };
}

static int enroll(const struct world *world, const char *passphrase, const struct secret *key)
{
	_cleanup_(secret_freep) struct secret *secret = text_secret(passphrase);
	struct keyfile_member members[N];

	name_members(world, members);
	return keyfile_enroll(members, N, secret, key, NULL);
}

static int take_away(const struct world *world,
		     int (*remove)(const struct keyfile_member *, size_t, const struct secret *,
				   struct diag *))
{
	_cleanup_(secret_freep) struct secret *secret = text_secret(WORLD_RIGHT);
	struct keyfile_member members[N];

	name_members(world, members);
	return remove(members, N, secret, NULL);
}

static unsigned n_slots(const struct luks *luks)
{
	unsigned n = 0;

	for (int slot = 0; slot < 32; slot++)
		n += crypt_keyslot_status(luks->cd, slot) >= CRYPT_SLOT_ACTIVE;
	return n;
}

/* By slots, the token's alone for the key: the number of slots, and whether each way opens. */
static void expect(const struct world *world, unsigned n, const struct secret *key, bool by_key)
{
	for (size_t i = 0; i < N; i++) {
		_cleanup_(luks_freep) struct luks *luks = NULL;
		struct observed_partition seen = {};
		int slot;

		observe_luks(world->paths[i], &seen.luks);
		assert_int_equal(luks_load(world->paths[i], &luks, NULL), 0);
		slot = keyfile_slot(luks);
		assert_int_equal(n_slots(luks), n);
		assert_int_equal(slot > 0, by_key);
		assert_int_equal(seen.luks.key_slot, by_key ? (uint64_t)slot : 0);
		record_deinit(&record_observed_partition, &seen);
		if (by_key)
			assert_int_equal(crypt_activate_by_passphrase(luks->cd, NULL, slot,
								      key->data, key->size, 0),
					 slot);
		else
			assert_true(crypt_activate_by_passphrase(luks->cd, NULL, CRYPT_ANY_SLOT,
								 key->data, key->size, 0) < 0);
		assert_true(crypt_activate_by_passphrase(luks->cd, NULL, CRYPT_ANY_SLOT,
							 WORLD_RIGHT, strlen(WORLD_RIGHT), 0) >=
			    0);
	}
}

static void test_added_and_taken_away(void **state)
{
	_cleanup_(secret_freep) struct secret *key = random_key();

	assert_int_equal(enroll(*state, WORLD_RIGHT, key), 0);
	expect(*state, 2, key, true);
	assert_int_equal(take_away(*state, keyfile_remove), 0);
	expect(*state, 1, key, false);
}

static void test_twice_is_once(void **state)
{
	_cleanup_(secret_freep) struct secret *key = random_key();

	assert_int_equal(enroll(*state, WORLD_RIGHT, key), 0);
	assert_int_equal(enroll(*state, WORLD_RIGHT, key), 0);
	expect(*state, 2, key, true);
}

/* The slot of the key before goes, and no further one is left behind. */
static void test_another_key_takes_the_place(void **state)
{
	_cleanup_(secret_freep) struct secret *old = random_key(), *key = random_key();

	assert_int_equal(enroll(*state, WORLD_RIGHT, old), 0);
	assert_int_equal(enroll(*state, WORLD_RIGHT, key), 0);
	expect(*state, 2, key, true);
	assert_int_equal(take_away(*state, keyfile_remove), 0);
	expect(*state, 1, old, false);
}

static void test_wrong_passphrase_changes_nothing(void **state)
{
	_cleanup_(secret_freep) struct secret *key = random_key();

	assert_true(enroll(*state, "wrong", key) < 0);
	expect(*state, 1, key, false);
}

/* A slot of a run that was interrupted before its token goes with the next run. */
static void test_slot_without_a_token_goes(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *key = random_key(), *lost = random_key();

	for (size_t i = 0; i < N; i++) {
		_cleanup_(luks_freep) struct luks *luks = NULL;

		assert_int_equal(luks_load(world->paths[i], &luks, NULL), 0);
		assert_int_equal(crypt_set_pbkdf_type(luks->cd, &luks_least_kdf), 0);
		assert_true(crypt_keyslot_add_by_passphrase(luks->cd, 5, WORLD_RIGHT,
							    strlen(WORLD_RIGHT), lost->data,
							    lost->size) == 5);
	}
	assert_int_equal(enroll(world, WORLD_RIGHT, key), 0);
	expect(world, 2, key, true);
}

/* From peer to keystore and back: each way in is there until it is taken away by name. */
static void test_moving_from_peers_and_back(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *key = random_key();
	_cleanup_set_ struct set set = {}, again = {}, gone = {};

	world_enroll(world, 0, N);
	assert_int_equal(enroll(world, WORLD_RIGHT, key), 0);
	expect(world, 4, key, true);
	assert_int_equal(world_unlock(world, &set, N, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), N);
	assert_int_equal(take_away(world, peers_remove), 0);
	expect(world, 2, key, true);
	assert_true(world_unlock(world, &gone, N, WORLD_RIGHT) != 0);
	/* A new set does not take the key device's slot for a left-over of its own. */
	world_enroll(world, 0, N);
	expect(world, 4, key, true);
	assert_int_equal(take_away(world, keyfile_remove), 0);
	expect(world, 3, key, false);
	assert_int_equal(world_unlock(world, &again, N, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&again, MEMBER_OPEN), N);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_added_and_taken_away),
		TEST(test_twice_is_once),
		TEST(test_another_key_takes_the_place),
		TEST(test_wrong_passphrase_changes_nothing),
		TEST(test_slot_without_a_token_goes),
		TEST(test_moving_from_peers_and_back),
	};

	return cmocka_run_group_tests_name("keyfile", tests, NULL, NULL);
}
