/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Stock tools open a member by the handler, as it was built, while the key is in the keyring. */

#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "base/run.h"
#include "keys/enroll.h"
#include "keys/keyring.h"
#include "keys/set.h"
#include "luks-image.h"

#define N_MEMBERS 2
#define HANDLER	  "libcryptsetup-token-eyrie-peer.so"

static struct runner runner;
static const char *paths[N_MEMBERS];

static struct secret *secret_of(const char *text)
{
	struct secret *secret = secret_new();

	secret->size = strlen(text);
	memcpy(secret->data, text, secret->size);
	return secret;
}

static void make_set(void)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_of("falcon");
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct enroll_member members[N_MEMBERS];

	for (int i = 0; i < N_MEMBERS; i++) {
		_cleanup_free_ char *name = str_printf("%d.img", i);

		paths[i] = test_path(name);
		luks_image_member(paths[i], "falcon");
		members[i] = (struct enroll_member){ paths[i], paths[i] };
	}
	assert_int_equal(set_enroll(members, N_MEMBERS, TEST_ID, passphrase, 0, &diag), 0);
}

/* The key of the set, which the passphrase gives. */
static struct secret *set_key(void)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_of("falcon");
	_cleanup_set_ struct set set = {};

	set_add(&set, paths[0]);
	assert_int_equal(set_unlock(&set, passphrase), 0);
	return take_ptr(set.box->set_key);
}

static int setup(void **state)
{
	(void)state;
	keyring_forget(TEST_ID);
	make_set();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	keyring_forget(TEST_ID);
	return 0;
}

static void put_key(void)
{
	_cleanup_(secret_freep) struct secret *key = set_key();

	assert_int_equal(keyring_put(TEST_ID, key, 0), 0);
}

/* The slot that a token of ours opened, or what libcryptsetup said. */
static int activate_by_token(const char *path)
{
	struct crypt_device *cd = NULL;
	int r;

	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	r = crypt_activate_by_token(cd, NULL, CRYPT_ANY_TOKEN, NULL, 0);
	crypt_free(cd);
	return r;
}

/* cryptsetup open --test-passphrase; NULL: by a token or not at all. */
static bool stock_opens(const char *path, const char *passphrase)
{
	const char *const by_token[] = { "cryptsetup", "open", "--test-passphrase",
					 "--token-only", path, NULL };
	const char *const asking[] = { "cryptsetup", "open", "--test-passphrase", path, NULL };

	return run(&runner, &(struct command){ .argv = passphrase ? asking : by_token,
					       .flags = RUN_OPTIONAL, .input = passphrase },
		   NULL) == 0;
}

static void test_key_in_the_keyring(void **state)
{
	(void)state;
	put_key();
	for (int i = 0; i < N_MEMBERS; i++) {
		assert_int_equal(activate_by_token(paths[i]), 1); /* not by the passphrase's */
		assert_true(stock_opens(paths[i], NULL));
	}
}

static void test_the_slow_slot_is_not_tried(void **state)
{
	struct crypt_device *cd = NULL;

	(void)state;
	assert_int_equal(crypt_init(&cd, paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_token_is_assigned(cd, 0, 0), -ENOENT);
	assert_int_equal(crypt_token_is_assigned(cd, 0, 1), 0);
	assert_int_equal(crypt_token_is_assigned(cd, 0, 2), 0);
	crypt_free(cd);
}

static void test_no_key(void **state)
{
	(void)state;
	assert_int_equal(activate_by_token(paths[0]), -ENOENT);
	assert_false(stock_opens(paths[0], NULL));
	assert_true(stock_opens(paths[0], "falcon"));
	assert_false(stock_opens(paths[0], "kestrel"));
}

static void test_key_that_is_not_the_right_one(void **state)
{
	_cleanup_(secret_freep) struct secret *key = secret_of("of a generation before");

	(void)state;
	assert_int_equal(keyring_put(TEST_ID, key, 0), 0);
	assert_int_equal(activate_by_token(paths[0]), -EPERM);
	assert_false(stock_opens(paths[0], NULL));
	assert_true(stock_opens(paths[0], "falcon"));
}

static void test_dump(void **state)
{
	_cleanup_free_ char *said = NULL;

	(void)state;
	assert_int_equal(run(&runner, &(struct command){
		.argv = (const char *const[]){ "cryptsetup", "luksDump", paths[0], NULL },
		.flags = RUN_OPTIONAL, .ret_output = &said }, NULL), 0);
	assert_non_null(strstr(said, "set:        " TEST_ID "\n"));
	assert_non_null(strstr(said, "generation: 1\n"));
	assert_non_null(strstr(said, "set key:    slot 1\n"));
}

static int import(const char *json)
{
	struct crypt_device *cd = NULL;
	int r;

	assert_int_equal(crypt_init(&cd, paths[0]), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	r = crypt_token_json_set(cd, CRYPT_ANY_TOKEN, json);
	crypt_free(cd);
	return r;
}

static void test_what_is_no_token_of_ours(void **state)
{
#define TOKEN(version, rest)                                                                   \
	"{ \"type\": \"eyrie-peer\", \"keyslots\": [], \"version\": " version ", "              \
	"\"set\": \"" TEST_ID "\", \"generation\": 1, \"passphrase\": 0, \"set-key\": 1, "      \
	"\"box\": 2" rest " }"

	(void)state;
	assert_true(import(TOKEN("1", ", \"body\": \"{}\"")) >= 0);
	assert_int_equal(import(TOKEN("1", "")), -EINVAL);
	assert_int_equal(import(TOKEN("2", ", \"body\": \"{}\"")), -EINVAL);
	assert_int_equal(import(TOKEN("1", ", \"body\": \"{}\", \"more\": 1")), -EINVAL);
	assert_int_equal(import("{ \"type\": \"eyrie-peer\", \"keyslots\": [] }"), -EINVAL);
}

/*
 * In a mount namespace of this program, the handler is the only one where libcryptsetup looks:
 * no other one is asked, and nothing has to be installed.
 */
static bool install_handler(const char *built)
{
	_cleanup_free_ char *command = str_printf("cp %s %s/" HANDLER, built, test_folder());
	const char *folder = crypt_token_external_path();

	assert_non_null(folder);
	assert_int_equal(system(command), 0);
	if (unshare(CLONE_NEWNS | (geteuid() ? CLONE_NEWUSER : 0)) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(test_folder(), folder, NULL, MS_BIND, NULL) < 0) {
		printf("1..0 # SKIP cannot bind the handler to %s: %s\n", folder,
		       strerror(errno));
		return false;
	}
	return true;
}

static bool keyring_works(void)
{
	_cleanup_(secret_freep) struct secret *key = secret_of("probe");
	int r = keyring_put(TEST_ID, key, 1);

	if (r)
		printf("1..0 # SKIP the kernel gives no keyring here: %s\n", strerror(-r));
	return r == 0;
}

int main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_key_in_the_keyring),
		TEST(test_the_slow_slot_is_not_tried),
		TEST(test_no_key),
		TEST(test_key_that_is_not_the_right_one),
		TEST(test_dump),
		TEST(test_what_is_no_token_of_ours),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test-unlock-token-handler HANDLER\n");
		return 2;
	}
	runner_init(&runner);
	if (!install_handler(argv[1]) || !keyring_works())
		return 0;
	return cmocka_run_group_tests_name("token-handler", tests, NULL, NULL);
}
