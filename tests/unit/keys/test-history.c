/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/history.h"

#include "test.h"

/* A start with these absent. */
static void note(struct list *history, uint64_t time, const char *absent)
{
	_cleanup_strv_ struct strv who = STRV_NULL;
	_cleanup_free_ char *id = history_new_id();

	strv_split(&who, absent, " ");
	if (!history_go_on(history, time, &who))
		history_add(history, id, time, &who);
}

static void test_never_alone_is_an_ancestor_of_all(void **state)
{
	struct list none = {}, some = {};

	(void)state;
	assert_int_equal(history_compare(&none, &none), KIN_SAME);
	note(&some, 1, "b");
	assert_int_equal(history_compare(&none, &some), KIN_BEHIND);
	assert_int_equal(history_compare(&some, &none), KIN_AHEAD);
	list_deinit(&some, &record_epoch);
}

static void test_each_alone_has_diverged(void **state)
{
	struct list a = {}, b = {};

	(void)state;
	note(&a, 1, "b");
	note(&b, 2, "a");
	assert_int_equal(history_compare(&a, &b), KIN_DIVERGED);
	list_deinit(&b, &record_epoch);
	history_copy(&b, &a);
	assert_int_equal(history_compare(&a, &b), KIN_SAME);
	note(&b, 3, "a");
	assert_int_equal(history_compare(&a, &b), KIN_BEHIND);
	note(&a, 4, "");
	assert_int_equal(history_compare(&a, &b), KIN_DIVERGED);
	list_deinit(&a, &record_epoch);
	list_deinit(&b, &record_epoch);
}

static void test_the_same_absence_is_one_epoch(void **state)
{
	struct list a = {};

	(void)state;
	note(&a, 1, "b c");
	note(&a, 2, "c b");
	assert_int_equal(a.n_items, 1);
	assert_int_equal(history_newest(&a)->time, 2);
	note(&a, 3, "b");
	assert_int_equal(a.n_items, 2);
	assert_int_equal(((struct epoch *)a.items)[0].absent.n_items, 0);
	list_deinit(&a, &record_epoch);
}

static void test_oldest_are_dropped(void **state)
{
	struct list a = {}, old = {}, recent = {};

	(void)state;
	note(&a, 1, "b");
	history_copy(&old, &a);
	for (int i = 0; i < 7; i++) {
		note(&a, 2, "c");
		note(&a, 2, "b");
	}
	history_copy(&recent, &a);
	assert_int_equal(history_compare(&old, &a), KIN_BEHIND);
	note(&a, 3, "c");
	assert_int_equal(a.n_items, HISTORY_MAX);
	assert_int_equal(history_compare(&old, &a), KIN_BEHIND);
	note(&a, 3, "b");
	assert_int_equal(a.n_items, HISTORY_MAX);
	assert_int_equal(history_compare(&old, &a), KIN_DIVERGED);
	assert_int_equal(history_compare(&recent, &a), KIN_BEHIND);
	list_deinit(&a, &record_epoch);
	list_deinit(&old, &record_epoch);
	list_deinit(&recent, &record_epoch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_alone_is_an_ancestor_of_all),
		cmocka_unit_test(test_each_alone_has_diverged),
		cmocka_unit_test(test_the_same_absence_is_one_epoch),
		cmocka_unit_test(test_oldest_are_dropped),
	};

	return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
