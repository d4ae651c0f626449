/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Gates on datasets that cannot have one, and what is said of each. */

#include "gate/check.h"
#include "test.h"

/* What zfs get answers, and the gate that somebody put on `name`. */
static int check(const char *name, const char *answer, enum gate_hold hold, struct diag *diag)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = mem_alloc(sizeof(*state));
	const struct gate gate = { .name = (char *)name, .hold = hold };
	struct list gates = { .items = (void *)&gate, .n_items = 1 };
	struct held_gate held = {};
	int r;

	state->name = str_dup(name);
	state->imported = true;
	assert_int_equal(zfs_parse(answer, &state->datasets), 0);
	held_from_zfs(&gates, &gate, state, &held);
	r = check_gate(&gate, state, &held, diag);
	record_deinit(&record_held_gate, &held);
	return r;
}

#define DATASET(name, root, status, location)                                                  \
	name "\tencryptionroot\t" root "\n" name "\tkeystatus\t" status "\n"                      \
	name "\tkeyformat\tpassphrase\n" name "\tkeylocation\t" location "\n"                     \
	name "\tcanmount\ton\n" name "\tmountpoint\t/" name "\n" name "\tmounted\tno\n"
#define NEST DATASET("nest", "nest", "unavailable", "prompt")
#define PLAIN DATASET("plain", "-", "none", "none")

static void test_a_root_is_good(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(check("nest", NEST, GATE_BY_MOUNTS, &diag), 0);
	assert_int_equal(diag.n_items, 0);
}

static void test_no_such_dataset(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(check("nest/gone", NEST, GATE_BY_MOUNTS, &diag), -ENOENT);
	assert_string_equal(test_only_finding(&diag), "there is no dataset nest/gone");
}

static void test_not_encrypted(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(check("plain", PLAIN, GATE_BY_MOUNTS, &diag), -EINVAL);
	assert_non_null(strstr(test_only_finding(&diag), "plain is not encrypted"));
}

/* The one to name is told. */
static void test_key_of_another(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(check("nest/pg", NEST DATASET("nest/pg", "nest", "unavailable", "none"),
			       GATE_BY_MOUNTS, &diag), -EINVAL);
	assert_string_equal(test_only_finding(&diag),
			    "nest/pg has no key of its own: it inherits that of nest");
	assert_non_null(strstr(diag.items[0].hint, "'nest'"));
}

/* With hold: boot the network comes after what waits for it. */
static void test_key_on_the_network(void **state)
{
	static const char answer[] =
		DATASET("nest", "nest", "unavailable", "https://keys.example/nest");
	_cleanup_diag_ struct diag refused = DIAG_NULL, noted = DIAG_NULL;

	(void)state;
	assert_int_equal(check("nest", answer, GATE_BOOT, &refused), -EINVAL);
	assert_non_null(strstr(test_only_finding(&refused), "the network comes later"));
	assert_int_equal(check("nest", answer, GATE_BY_MOUNTS, &noted), 0);
	assert_non_null(strstr(test_only_finding(&noted), "fetched when the network is there"));
}

/* Bytes that nobody can type have to be there when the boot waits for them. */
static void test_key_that_nobody_types(void **state)
{
#define RAW(location)                                                                          \
	"nest\tencryptionroot\tnest\nnest\tkeystatus\tunavailable\nnest\tkeyformat\traw\n"         \
	"nest\tkeylocation\t" location "\nnest\tcanmount\ton\nnest\tmountpoint\t/nest\n"
	static const char *const away[] = { RAW("file:///nowhere/key"), RAW("file:///proc/version"),
					    RAW("prompt") };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(away); i++) {
		_cleanup_diag_ struct diag diag = DIAG_NULL;

		assert_int_equal(check("nest", away[i], GATE_BOOT, &diag), -EINVAL);
		assert_non_null(strstr(test_only_finding(&diag), "has to be on the root file system"));
		assert_int_equal(check("nest", away[i], GATE_BY_MOUNTS, NULL), 0);
	}
	assert_int_equal(check("nest", RAW("file:///etc/passwd"), GATE_BOOT, NULL), 0);
	assert_int_equal(check("nest", DATASET("nest", "nest", "unavailable", "file:///nowhere/key"),
			       GATE_BOOT, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_root_is_good),
		cmocka_unit_test(test_no_such_dataset),
		cmocka_unit_test(test_not_encrypted),
		cmocka_unit_test(test_key_of_another),
		cmocka_unit_test(test_key_on_the_network),
		cmocka_unit_test(test_key_that_nobody_types),
	};

	return cmocka_run_group_tests_name("gate/check", tests, NULL, NULL);
}
