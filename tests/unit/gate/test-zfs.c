/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/zfs.h"

#include "test.h"

#define LINE(name, property, value) name "\t" property "\t" value "\n"
#define DATASET(name, root, status, location, canmount, mountpoint, mounted)                   \
	LINE(name, "encryptionroot", root)                                                     \
	LINE(name, "keystatus", status)                                                        \
	LINE(name, "keyformat", "passphrase")                                                  \
	LINE(name, "keylocation", location)                                                    \
	LINE(name, "canmount", canmount)                                                       \
	LINE(name, "mountpoint", mountpoint)                                                   \
	LINE(name, "mounted", mounted)

static const char nest[] =
	DATASET("nest", "nest", "unavailable", "prompt", "on", "none", "no")
	DATASET("nest/pg", "nest", "unavailable", "none", "on", "/var/lib/postgresql", "no")
	DATASET("nest/www", "nest/www", "available", "file:///k", "on", "/srv/w\tw", "yes")
	DATASET("nest/old", "nest", "unavailable", "none", "off", "/old", "no")
	DATASET("nest/disk", "nest", "unavailable", "none", "-", "-", "-")
	DATASET("nest/plain", "-", "none", "none", "on", "/plain", "yes");

static void test_parse(void **state)
{
	struct zfs_state zfs = {};
	const struct zfs_dataset *dataset;

	(void)state;
	assert_int_equal(zfs_parse(nest, &zfs.datasets), 0);
	assert_int_equal(zfs.datasets.n_items, 6);
	dataset = zfs_dataset(&zfs, "nest/pg");
	assert_string_equal(dataset->root, "nest");
	assert_int_equal(dataset->key, KEY_MISSING);
	assert_true(dataset->mounts);
	assert_false(dataset->mounted);
	dataset = zfs_dataset(&zfs, "nest/www");
	assert_int_equal(dataset->key, KEY_LOADED);
	assert_string_equal(dataset->mountpoint, "/srv/w\tw");
	assert_string_equal(dataset->keylocation, "file:///k");
	assert_false(zfs_dataset(&zfs, "nest")->mounts);
	assert_false(zfs_dataset(&zfs, "nest/old")->mounts);
	assert_false(zfs_dataset(&zfs, "nest/disk")->mounts);
	assert_null(zfs_dataset(&zfs, "nest/plain")->root);
	assert_null(zfs_dataset(&zfs, "nes"));
	zfs = (struct zfs_state){ .datasets = zfs.datasets };
	for (size_t i = 0; i < 6; i++) {
		struct zfs_dataset *one = (struct zfs_dataset *)zfs.datasets.items + i;

		free(one->name), free(one->root), free(one->keyformat);
		free(one->keylocation), free(one->mountpoint);
	}
	free(zfs.datasets.items);
}

static void test_parse_of_what_is_no_answer(void **state)
{
	struct zfs_state *zfs = mem_alloc(sizeof(*zfs));

	(void)state;
	assert_int_equal(zfs_parse("nest\tkeystatus\n", &zfs->datasets), -EINVAL);
	assert_int_equal(zfs_parse("", &zfs->datasets), 0);
	zfs_state_free(zfs);
}

/* what is run */

static const char *said;
static int status;
static char *ran;
static bool had_secret;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strv_ struct strv words = STRV_NULL;

	(void)runner;
	for (const char *const *w = command->argv; *w; w++)
		strv_add(&words, *w);
	free(ran);
	ran = strv_join(&words, " ");
	had_secret = command->secret;
	*ret_output = str_dup(said);
	*ret_errors = str_dup("zfs says no");
	return streq(command->argv[0], "zpool") ? 0 : status;
}

static void test_read(void **state)
{
	struct runner runner = { .start = start };
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = NULL, *gone = NULL;

	(void)state;
	said = nest;
	status = 0;
	assert_int_equal(zfs_read(&runner, "nest", &zfs, NULL), 0);
	assert_true(zfs->exists && zfs->imported);
	assert_non_null(strstr(ran, "zfs get -Hp -r -t filesystem,volume -o name,property,value "));
	status = 1;
	assert_int_equal(zfs_read(&runner, "nest/gone", &gone, NULL), 0);
	assert_true(!gone->exists && gone->imported);
	assert_string_equal(ran, "zpool list -H -o name nest");
}

/* Stopped, or out of time: a gate that is open must not close for that. */
static void test_no_answer(void **state)
{
	struct runner runner = { .start = start };
	_cleanup_(zfs_state_freep) struct zfs_state *zfs = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	said = "";
	status = -ETIMEDOUT;
	assert_int_equal(zfs_read(&runner, "nest", &zfs, &diag), -ETIMEDOUT);
	assert_non_null(strstr(test_only_finding(&diag), "zfs does not say what nest is: "));
	status = -EINTR;
	assert_int_equal(zfs_read(&runner, "nest", &zfs, NULL), -EINTR);
	assert_null(zfs);
}

/* The passphrase goes through a pipe and is no word of the command. */
static void test_load_key(void **state)
{
	struct runner runner = { .start = start };
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	_cleanup_strv_ struct strv roots = STRV_NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	bool opens = false;

	(void)state;
	memcpy(secret->data, "tenletters", secret->size = 10);
	said = "";
	status = 0;
	strv_add(&roots, "nest");
	zfs_try_passphrase(&runner, &roots, secret, &opens);
	assert_true(opens);
	assert_string_equal(ran, "zfs load-key -L prompt nest");
	assert_true(had_secret);
	status = 255;
	zfs_try_passphrase(&runner, &roots, secret, &opens);
	assert_false(opens);
	assert_int_equal(zfs_load_key(&runner, "nest", &diag), -EIO);
	assert_string_equal(ran, "zfs load-key nest");
	assert_non_null(strstr(test_only_finding(&diag), "zfs says no"));
	free(ran);
	ran = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_of_what_is_no_answer),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_load_key),
	};

	return cmocka_run_group_tests_name("zfs", tests, NULL, NULL);
}
