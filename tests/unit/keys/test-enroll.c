/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A set that changes while a member is away, or that another tool changed. */

#include "set-world.h"

static void enroll_without(const struct world *world, size_t from, size_t n)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	struct enroll_member members[WORLD_N];

	passphrase->size = strlen(WORLD_RIGHT);
	memcpy(passphrase->data, WORLD_RIGHT, passphrase->size);
	for (size_t i = 0; i < n; i++)
		members[i] = (struct enroll_member){ world->paths[from + i],
						     world->names[from + i] };
	assert_int_equal(set_enroll(members, n, WORLD_SET_ID, passphrase, ENROLL_KEEP_ABSENT,
				    NULL), 0);
}

static void test_previous_key_opens_who_returns(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 3);
	enroll_without(*state, 0, 2);
	assert_int_equal(world_unlock(*state, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set.box->generation, 2);
	assert_non_null(set.box->previous_key);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
	assert_false(set.members[2].by_passphrase);
	assert_true(box_member(set.box, set.members[2].luks->uuid)->previous);
	assert_false(box_member(set.box, set.members[0].luks->uuid)->previous);
}

static void test_two_changes_while_one_is_away(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 4);
	enroll_without(*state, 0, 3);
	enroll_without(*state, 0, 2);
	assert_int_equal(world_unlock(*state, &set, 4, WORLD_RIGHT), 0);
	assert_int_equal(set.box->generation, 3);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 4);
	assert_false(set.members[2].by_passphrase);
	assert_false(set.members[3].by_passphrase);
}

static void test_all_together_need_no_previous_key(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 3);
	enroll_without(*state, 0, 2);
	enroll_without(*state, 0, 3);
	assert_int_equal(world_unlock(*state, &set, 3, WORLD_RIGHT), 0);
	assert_null(set.box->previous_key);
	assert_int_equal(set.box->members.n_items, 3);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 3);
}

static void test_who_is_not_kept_is_a_stranger(void **state)
{
	_cleanup_set_ struct set set = {};

	world_enroll(*state, 0, 3);
	world_enroll(*state, 0, 2);
	assert_int_equal(world_unlock(*state, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	assert_int_equal(set.members[2].state, MEMBER_FOREIGN);
}

/* Another tool gave a member another passphrase; its volume key is known by the set key. */
static void test_who_has_another_passphrase_gets_this_one(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	_cleanup_set_ struct set set = {}, alone = {};
	struct enroll_member members[2];
	struct crypt_device *cd = NULL;

	passphrase->size = strlen(WORLD_RIGHT);
	memcpy(passphrase->data, WORLD_RIGHT, passphrase->size);
	world_enroll(world, 0, 2);
	assert_int_equal(crypt_init(&cd, world->paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &world_kdf), 0);
	assert_true(crypt_keyslot_change_by_passphrase(cd, 0, 0, WORLD_RIGHT, strlen(WORLD_RIGHT),
						       "another", 7) >= 0);
	crypt_free(cd);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	assert_int_equal(set_count(&set, MEMBER_OPEN), 2);
	for (size_t i = 0; i < 2; i++)
		members[i] = (struct enroll_member){ world->paths[i], world->names[i],
						     set.members[i].key };
	assert_int_equal(set_enroll(members, 2, WORLD_SET_ID, passphrase, ENROLL_KEEP_ABSENT,
				    NULL), 0);
	assert_int_equal(world_unlock(world, &alone, 1, WORLD_RIGHT), 0);
	assert_null(member_blemish(&alone, &alone.members[0]));
	/* What somebody chose for it since is not taken away unasked. */
	assert_true(world_opens(world->paths[0], "another"));
	assert_true(member_further_slot(&alone.members[0], -1) == 0);
}

/* As heal does: by what the set key opened, and with what a person typed. */
static int mend(const struct world *world, size_t n, const char *text)
{
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(text);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct enroll_member members[WORLD_N];
	_cleanup_set_ struct set set = {};

	assert_int_equal(world_unlock(world, &set, n, WORLD_RIGHT), 0);
	for (size_t i = 0; i < n; i++)
		members[i] = (struct enroll_member){ world->paths[i], world->names[i],
						     set.members[i].key };
	return set_enroll(members, n, WORLD_SET_ID, passphrase, ENROLL_KEEP_ABSENT, &diag);
}

/* One member has it beside its own: nobody loses the passphrase of the set for that. */
static void test_a_further_passphrase_takes_no_place(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};
	int slot;

	world_enroll(world, 0, 3);
	slot = world_add_passphrase(world->paths[0], "recovery");
	assert_int_equal(mend(world, 3, "recovery"), 0);
	assert_int_equal(world_unlock(world, &set, 3, WORLD_RIGHT), 0);
	assert_int_equal(set.box->generation, 2);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(set.members[i].token.passphrase_slot, 0);
		assert_null(member_blemish(&set, &set.members[i]));
		assert_true(world_opens(world->paths[i], WORLD_RIGHT));
		assert_true(world_opens(world->paths[i], "recovery"));
	}
	assert_int_equal(member_further_slot(&set.members[0], -1), slot);
}

/* A change that was cut when the second member had a slot for it: its token says which one counts. */
static void test_a_change_that_was_cut_goes_on(void **state)
{
	const struct world *world = *state;
	_cleanup_set_ struct set set = {};
	int slot;

	world_enroll(world, 0, 2);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	slot = world_add_passphrase(world->paths[1], "new");
	assert_true(crypt_keyslot_change_by_passphrase(set.members[0].luks->cd, 0, 0, WORLD_RIGHT,
						       strlen(WORLD_RIGHT), "new", 3) >= 0);
	set_deinit(&set);
	assert_int_equal(mend(world, 2, "new"), 0);
	assert_int_equal(world_unlock(world, &set, 2, "new"), 0);
	assert_int_equal(set.members[1].token.passphrase_slot, slot);
	assert_int_equal(member_further_slot(&set.members[1], -1), 0);
}

/* The one that cannot be opened comes last: the first is as it was. */
static void test_nothing_is_done_unless_all_open(void **state)
{
	const struct world *world = *state;
	_cleanup_(secret_freep) struct secret *passphrase = world_secret("new");
	_cleanup_set_ struct set set = {};
	struct enroll_member members[2] = {};

	world_enroll(world, 0, 2);
	assert_int_equal(world_unlock(world, &set, 2, WORLD_RIGHT), 0);
	for (size_t i = 0; i < 2; i++)
		members[i] = (struct enroll_member){ world->paths[i], world->names[i],
						     i ? NULL : set.members[i].key };
	assert_int_not_equal(set_enroll(members, 2, WORLD_SET_ID, passphrase, 0, NULL), 0);
	assert_false(world_opens(world->paths[0], "new"));
}

/* As systemd-cryptenroll makes it: as cheap as ours, and named by a token. */
static void test_a_recovery_key_stays(void **state)
{
	const struct world *world = *state;
	struct crypt_device *cd = NULL;
	int slot;

	world_enroll(world, 0, 2);
	assert_int_equal(crypt_init(&cd, world->paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &luks_least_kdf), 0);
	slot = crypt_keyslot_add_by_passphrase(cd, CRYPT_ANY_SLOT, WORLD_RIGHT, strlen(WORLD_RIGHT),
					       "recovery", 8);
	assert_true(slot > 2);
	assert_true(crypt_token_json_set(cd, CRYPT_ANY_TOKEN,
					 "{\"type\":\"systemd-recovery\",\"keyslots\":[\"3\"]}") >= 0);
	crypt_free(cd);
	world_enroll(world, 0, 2);
	assert_int_equal(crypt_init(&cd, world->paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_keyslot_status(cd, slot), CRYPT_SLOT_ACTIVE);
	crypt_free(cd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_previous_key_opens_who_returns),
		TEST(test_two_changes_while_one_is_away),
		TEST(test_all_together_need_no_previous_key),
		TEST(test_who_is_not_kept_is_a_stranger),
		TEST(test_who_has_another_passphrase_gets_this_one),
		TEST(test_a_further_passphrase_takes_no_place),
		TEST(test_a_change_that_was_cut_goes_on),
		TEST(test_nothing_is_done_unless_all_open),
		TEST(test_a_recovery_key_stays),
	};

	return cmocka_run_group_tests_name("enroll", tests, NULL, NULL);
}
