/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Many slots at once give what each of them gives alone. */

#include <sched.h>
#include <sys/wait.h>

#include "keys/slots.h"
#include "luks-image.h"

#define N 7 /* more than a share for each processor */

static struct luks *devices[N];
static struct secret *passphrases[N];

static struct secret *secret_of(const char *text)
{
	struct secret *secret = secret_new();

	secret->size = strlen(text);
	memcpy(secret->data, text, secret->size);
	return secret;
}

static int setup(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	for (int i = 0; i < N; i++) {
		_cleanup_free_ char *name = str_printf("%d.img", i);

		passphrases[i] = secret_of(name);
		luks_image_member(test_path(name), name);
		assert_int_equal(luks_load(test_path(name), &devices[i], &diag), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < N; i++) {
		devices[i] = luks_free(devices[i]);
		passphrases[i] = secret_free(passphrases[i]);
	}
	return 0;
}

/* The volume key of the ith device, or that there is none for it. */
static void check(struct slot_try *try, int i, bool opens)
{
	if (opens)
		assert_int_equal(luks_verify_key(devices[i], try->key), 0);
	else
		assert_null(try->key);
	try->key = secret_free(try->key);
}

static void test_each_gets_its_own(void **state)
{
	struct slot_try tries[N];

	(void)state;
	for (int i = 0; i < N; i++)
		tries[i] = (struct slot_try){ devices[i], 0, passphrases[i], NULL };
	for (size_t n = 0; n <= N; n++) {
		slots_open(tries, n);
		for (int i = 0; i < (int)n; i++)
			check(&tries[i], i, true);
	}
	assert_int_equal(waitpid(-1, NULL, 0), -1); /* nobody is left behind */
}

static void test_one_that_does_not_open(void **state)
{
	struct slot_try tries[N];

	(void)state;
	for (int i = 0; i < N; i++)
		tries[i] = (struct slot_try){ devices[i], 0, passphrases[i], NULL };
	tries[1].passphrase = passphrases[2];
	tries[4].slot = 3; /* there is none */
	slots_open(tries, N);
	for (int i = 0; i < N; i++)
		check(&tries[i], i, i != 1 && i != 4);
}

static void test_one_processor(void **state)
{
	struct slot_try tries[N];
	cpu_set_t all, one;
	int first = 0;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	while (!CPU_ISSET(first, &all))
		first++;
	CPU_ZERO(&one);
	CPU_SET(first, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	for (int i = 0; i < N; i++)
		tries[i] = (struct slot_try){ devices[i], 0, passphrases[i], NULL };
	slots_open(tries, N);
	for (int i = 0; i < N; i++)
		check(&tries[i], i, true);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_gets_its_own),
		cmocka_unit_test(test_one_that_does_not_open),
		cmocka_unit_test(test_one_processor),
	};

	return cmocka_run_group_tests_name("slots", tests, setup, teardown);
}
