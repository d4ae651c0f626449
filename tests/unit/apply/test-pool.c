/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The words that zpool(8) makes a pool of, and finds one by. */

#include <sched.h>
#include <sys/mount.h>

#include "apply/internal.h"
#include "test.h"

static char *ran; /* the first program */

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	_cleanup_strv_ struct strv words = STRV_NULL;

	(void)runner;
	*ret_output = *ret_errors = NULL;
	for (const char *const *word = command->argv; *word; word++)
		strv_add(&words, *word);
	if (!ran)
		ran = strv_join(&words, " ");
	return 0;
}

/* vdevs_of VDEVS: what `zpool create` gets behind the name of the pool. */
static const char *vdevs_of(const char *vdevs)
{
	static const struct step create = { .kind = STEP_POOL_CREATE };
	_cleanup_free_ char *text = str_printf(
		TEST_HEAD "disks:\n"
		"  a: { path: /dev/sda }\n  b: { path: /dev/sdb }\n  c: { path: /dev/sdc }\n"
		"  d: { path: /dev/sdd }\n  e: { path: /dev/sde }\n  f: { path: /dev/sdf }\n"
		"pool: { name: tank, vdevs: [%s] }\n" TEST_DATASETS, vdevs);
	_cleanup_(layout_freep) struct layout *layout = test_layout(text);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct runner runner = { .start = start };
	struct apply_context cxt = { .layout = layout, .run = &runner, .target = "",
				     .diag = &diag };
	const char *behind;

	free(ran);
	ran = NULL;
	assert_int_equal(apply_POOL_CREATE(&cxt, &create), 0);
	assert_non_null(starts_with(ran, "zpool create -f "));
	behind = strstr(ran, " tank ");
	assert_non_null(behind);
	return behind + strlen(" tank ");
}

#define D(name) "/dev/mapper/tank-" name

/* A mirror that stands behind the word log is a log, and no mirror of data. */
static void test_order_of_classes(void **state)
{
	(void)state;
	assert_string_equal(vdevs_of("mirror: [a, b], mirror: [c, d], mirror: [e, f]"),
			    "mirror " D("a") " " D("b") " mirror " D("c") " " D("d") " mirror "
			    D("e") " " D("f"));
	assert_string_equal(vdevs_of("mirror: [a, b], log: [c, d], mirror: [e, f]"),
			    "mirror " D("a") " " D("b") " mirror " D("e") " " D("f") " log mirror "
			    D("c") " " D("d"));
	assert_string_equal(vdevs_of("spare: [a], cache: [b], log: [c, d], raidz1: [e, f]"),
			    "raidz1 " D("e") " " D("f") " log mirror " D("c") " " D("d")
			    " cache " D("b") " spare " D("a"));
}

static void test_class_said_once(void **state)
{
	(void)state;
	assert_string_equal(vdevs_of("cache: [a], mirror: [b, c], cache: [d, e], spare: [f]"),
			    "mirror " D("b") " " D("c") " cache " D("a") " " D("d") " " D("e")
			    " spare " D("f"));
	assert_string_equal(vdevs_of("log: [a, b], mirror: [c, d], log: [e, f]"),
			    "mirror " D("c") " " D("d") " log mirror " D("a") " " D("b") " mirror "
			    D("e") " " D("f"));
	assert_string_equal(vdevs_of("special: [a, b], mirror: [c, d], special: [e, f]"),
			    "mirror " D("c") " " D("d") " special mirror " D("a") " " D("b")
			    " mirror " D("e") " " D("f"));
}

static int import_pool(char *guid, struct diag *diag)
{
	const struct step import = { .kind = STEP_POOL_IMPORT, .value = guid };
	_cleanup_(layout_freep) struct layout *layout = test_layout(
		TEST_HEAD "disks:\n"
		"  a: { path: /dev/sda }\n  b: { path: /dev/sdb }\n  c: { path: /dev/sdc }\n"
		"pool: { name: tank, vdevs: [mirror: [a, b, c]] }\n" TEST_DATASETS);
	struct runner runner = { .start = start };
	struct apply_context cxt = { .layout = layout, .run = &runner, .target = "", .diag = diag };

	free(ran);
	ran = NULL;
	return apply_POOL_IMPORT(&cxt, &import);
}

/* Without a place zpool would look on every disk there is. */
static void test_import_nowhere(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(import_pool(NULL, &diag), -ENODEV);
	assert_string_equal(test_only_finding(&diag), "no disk of the pool tank is there");
	assert_null(ran);
}

/* A foreign pool of the same name may be on another mapping. */
static void test_import_places(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/dev/mapper", "tmpfs", 0, NULL))
		skip();
	test_write(D("a"), "", 0);
	test_write(D("c"), "", 0);
	test_write("/dev/mapper/foreign", "", 0);
	assert_int_equal(import_pool(NULL, &diag), 0);
	assert_string_equal(ran, "zpool import -f -N -o cachefile=none -d " D("a") " -d " D("c")
				 " tank");
	assert_int_equal(import_pool("17", &diag), 0);
	assert_string_equal(ran, "zpool import -f -N -o cachefile=none -d " D("a") " -d " D("c")
				 " 17");
	assert_int_equal(umount("/dev/mapper"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_classes),
		cmocka_unit_test(test_class_said_once),
		cmocka_unit_test(test_import_nowhere),
		cmocka_unit_test(test_import_places),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(ran);
	return failed;
}
