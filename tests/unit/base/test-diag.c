/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/diag.h"
#include "test.h"

static void test_levels_are_counted(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(diag_error(&diag, -EIO, "no %s", "way"), -EIO);
	diag_warning(&diag, "careful");
	diag_note(&diag, "by the way");
	assert_int_equal(diag.n_items, 3);
	assert_int_equal(diag.n_errors, 1);
	assert_string_equal(diag.items[0].text, "no way");
	assert_int_equal(diag.items[1].level, DIAG_WARNING);
	assert_int_equal(diag.items[2].level, DIAG_NOTE);
}

static void test_hint_place_context_go_to_the_newest(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	(void)diag_error(&diag, 0, "first");
	(void)diag_error(&diag, 0, "second");
	diag_hint(&diag, "do %d", 1);
	diag_hint(&diag, "do %d", 2);
	diag_place(&diag, "file", 3, 4, "the line");
	diag_context(&diag, "disk '%s'", "left");
	assert_null(diag.items[0].hint);
	assert_null(diag.items[0].file);
	assert_string_equal(diag.items[0].text, "first");
	assert_string_equal(diag.items[1].hint, "do 2");
	assert_string_equal(diag.items[1].file, "file");
	assert_string_equal(diag.items[1].excerpt, "the line");
	assert_string_equal(diag.items[1].text, "disk 'left': second");
}

static void test_nowhere_to_put_it(void **state)
{
	_cleanup_diag_ struct diag empty = DIAG_NULL;

	(void)state;
	assert_int_equal(diag_error(NULL, -ENOENT, "%s", "x"), -ENOENT);
	diag_warning(NULL, "x");
	diag_hint(NULL, "x");
	diag_place(NULL, "x", 1, 1, "x");
	diag_context(NULL, "x");
	diag_hint(&empty, "x");
	diag_context(&empty, "x");
	assert_int_equal(empty.n_items, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels_are_counted),
		cmocka_unit_test(test_hint_place_context_go_to_the_newest),
		cmocka_unit_test(test_nowhere_to_put_it),
	};

	return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
