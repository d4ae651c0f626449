/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A set key in the kernel: where it is found, and when it is gone. */

#include <linux/keyctl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "keys/keyring.h"
#include "test.h"

#define OTHER_ID "0f0e0d0c-0b0a-4908-8706-0504030201ff"

static struct secret *secret_of(const char *text)
{
	struct secret *secret = secret_new();

	secret->size = strlen(text);
	memcpy(secret->data, text, secret->size);
	return secret;
}

static int put(const char *text, unsigned seconds)
{
	_cleanup_(secret_freep) struct secret *key = secret_of(text);

	return keyring_put(TEST_ID, key, seconds);
}

static bool holds(const char *text)
{
	_cleanup_(secret_freep) struct secret *want = secret_of(text), *key = NULL;

	return keyring_get(TEST_ID, &key) == 0 && secret_equal(key, want);
}

static bool is_absent(const char *set_id)
{
	_cleanup_(secret_freep) struct secret *key = NULL;

	return keyring_get(set_id, &key) == -ENOKEY;
}

static int forget(void **state)
{
	(void)state;
	keyring_forget(TEST_ID);
	return 0;
}

static void test_what_was_put_is_there(void **state)
{
	(void)state;
	assert_true(is_absent(TEST_ID));
	assert_int_equal(put("falcon", 0), 0);
	assert_true(holds("falcon"));
	assert_true(is_absent(OTHER_ID));
}

static void test_the_last_one_counts(void **state)
{
	(void)state;
	assert_int_equal(put("falcon", 0), 0);
	assert_int_equal(put("kestrel", 0), 0);
	assert_true(holds("kestrel"));
	keyring_forget(TEST_ID);
	assert_true(is_absent(TEST_ID));
}

static void test_forgetting_what_is_not_there(void **state)
{
	(void)state;
	keyring_forget(OTHER_ID);
	assert_true(is_absent(OTHER_ID));
}

/* As a unit of systemd has it: a session keyring of its own that leads nowhere. */
static int run_apart(bool (*check)(void))
{
	pid_t child = fork();
	int status = -1;

	assert_true(child >= 0);
	if (child == 0) {
		bool apart = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0;

		_exit(!apart || !check());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static bool holds_falcon(void)
{
	return holds("falcon");
}

static bool replaces_it(void)
{
	return put("kestrel", 1000) == 0 && holds("kestrel");
}

static bool forgets_it(void)
{
	keyring_forget(TEST_ID);
	return is_absent(TEST_ID);
}

static void test_another_session_of_the_user(void **state)
{
	(void)state;
	assert_int_equal(put("falcon", 1000), 0);
	assert_int_equal(run_apart(holds_falcon), 0);
	assert_int_equal(run_apart(replaces_it), 0);
	assert_true(holds("kestrel"));
	assert_int_equal(run_apart(forgets_it), 0);
	assert_true(is_absent(TEST_ID));
}

static void test_its_time_is_over(void **state)
{
	(void)state;
	assert_int_equal(put("falcon", 1), 0);
	for (int i = 0; i < 600 && !is_absent(TEST_ID); i++)
		(void)usleep(50000);
	assert_true(is_absent(TEST_ID));
	assert_int_equal(put("falcon", 0), 0);
	assert_true(holds("falcon"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, forget, forget)
	const struct CMUnitTest tests[] = {
		TEST(test_what_was_put_is_there),
		TEST(test_the_last_one_counts),
		TEST(test_forgetting_what_is_not_there),
		TEST(test_another_session_of_the_user),
		TEST(test_its_time_is_over),
	};
	int r = put("probe", 1);

	if (r == -ENOSYS || r == -EPERM || r == -EACCES) {
		printf("1..0 # SKIP the kernel gives no keyring here: %s\n", strerror(-r));
		return 0;
	}
	return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
