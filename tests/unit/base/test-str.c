/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/str.h"
#include "test.h"

static void test_u64(void **state)
{
	uint64_t value = 7;

	(void)state;
	assert_int_equal(str_to_u64("0", &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(str_to_u64("18446744073709551615", &value), 0);
	assert_true(value == UINT64_MAX);
	assert_int_equal(str_to_u64("18446744073709551616", &value), -ERANGE);
	assert_int_equal(str_to_u64("99999999999999999999999", &value), -ERANGE);
	for (const char *const *bad = (const char *const[]){ "", "-1", "+1", " 1", "1 ", "1x", "0x1",
							      NULL }; *bad; bad++)
		assert_int_equal(str_to_u64(*bad, &value), -EINVAL);
	assert_true(value == UINT64_MAX); /* untouched on failure */
}

static void test_size_is_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {
		{ "0", 0 },	      { "512", 512 },	      { "512B", 512 },
		{ "1K", KIB },	      { "3KiB", 3 * KIB },    { "512MiB", 512 * MIB },
		{ "512M", 512 * MIB }, { "4G", 4 * GIB },      { "4GiB", 4 * GIB },
		{ "2T", 2048 * GIB }, { "2TiB", 2048 * GIB }, { "16777215TiB", 16777215 * (GIB << 10) },
	};
	uint64_t size = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(str_to_size(good[i].text, &size), 0);
		assert_true(size == good[i].size);
	}
}

static void test_size_is_refused(void **state)
{
	static const char *const bad[] = { "",	   "MiB",  "1kB",  "1MB",    "1GB", "1.5GiB", "-1GiB",
					   "1 GiB", "1gib", "1iB", "1GiB ", " 1GiB", "1PiB", "0x10" };
	uint64_t size = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(str_to_size(bad[i], &size), -EINVAL);
	assert_int_equal(str_to_size("16777216TiB", &size), -ERANGE);
	assert_int_equal(str_to_size("18446744073709551616", &size), -ERANGE);
	assert_int_equal(size, 42);
}

static void test_size_round_trip(void **state)
{
	uint64_t sizes[] = { 0, 1, 511, 512, KIB, MIB - 1, MIB, 3 * GIB, GIB << 10, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *text = str_from_size(sizes[i]);
		uint64_t back = 1;

		assert_int_equal(str_to_size(text, &back), 0);
		assert_true(back == sizes[i]);
	}
}

static void test_size_takes_the_largest_unit(void **state)
{
	_cleanup_free_ char *a = str_from_size(512 * MIB), *b = str_from_size(1536 * MIB);
	_cleanup_free_ char *c = str_from_size(2048 * GIB), *d = str_from_size(1000);

	(void)state;
	assert_string_equal(a, "512MiB");
	assert_string_equal(b, "1536MiB");
	assert_string_equal(c, "2TiB");
	assert_string_equal(d, "1000B");
}

static void test_size_for_people(void **state)
{
	static const struct {
		uint64_t size;
		const char *text;
	} cases[] = {
		{ 0, "0 B" },
		{ 1023, "1023 B" },
		{ KIB, "1.00 KiB" },
		{ 512 * MIB, "512 MiB" },
		{ 8 * GIB, "8.00 GiB" },
		{ UINT64_C(4000787030016), "3.64 TiB" },
		{ 15 * GIB + 300 * MIB, "15.3 GiB" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = str_size_for_people(cases[i].size);

		assert_string_equal(text, cases[i].text);
	}
}

static void test_nearest(void **state)
{
	static const char *const names[] = { "mountpoint", "properties", "size", "disks" };

	(void)state;
	assert_string_equal(str_nearest("mountpont", names, 4), "mountpoint");
	assert_string_equal(str_nearest("mount-point", names, 4), "mountpoint");
	assert_string_equal(str_nearest("disk", names, 4), "disks");
	assert_string_equal(str_nearest("sise", names, 4), "size");
	assert_null(str_nearest("encryption", names, 4));
	assert_null(str_nearest("x", names, 0));
	assert_null(str_nearest("", names, 4));
}

/* Longer than the table of distances: no answer, and nothing is written beyond it. */
static void test_nearest_of_long_words(void **state)
{
	char s[200], t[200];
	const char *names[] = { t };

	(void)state;
	memset(s, 'a', sizeof(s) - 1);
	memset(t, 'a', sizeof(t) - 1);
	s[199] = t[199] = '\0';
	assert_null(str_nearest(s, names, 1));
	t[63] = '\0';
	assert_null(str_nearest("mirror", names, 1));
}

static void test_strv_is_an_argv(void **state)
{
	_cleanup_strv_ struct strv v = STRV_NULL;

	(void)state;
	strv_add(&v, "one");
	strv_addf(&v, "%d", 2);
	strv_add_all(&v, "three", "four", NULL);
	assert_int_equal(v.n_items, 4);
	assert_null(v.items[4]);
	assert_string_equal(v.items[1], "2");
	assert_true(strv_has(&v, "three"));
	assert_false(strv_has(&v, "thre"));
}

static void test_strv_join(void **state)
{
	_cleanup_strv_ struct strv v = STRV_NULL;
	_cleanup_free_ char *empty = strv_join(&v, ","), *joined = NULL;

	(void)state;
	assert_string_equal(empty, "");
	strv_add_all(&v, "a", "", "c", NULL);
	joined = strv_join(&v, ", ");
	assert_string_equal(joined, "a, , c");
}

static void test_strv_split(void **state)
{
	_cleanup_strv_ struct strv v = STRV_NULL;

	(void)state;
	strv_split(&v, ",,a, bc,,d,", ", ");
	assert_int_equal(v.n_items, 3);
	assert_string_equal(v.items[0], "a");
	assert_string_equal(v.items[1], "bc");
	assert_string_equal(v.items[2], "d");
	strv_deinit(&v);
	strv_split(&v, "", ",");
	strv_split(&v, ",,,", ",");
	assert_int_equal(v.n_items, 0);
}

static void test_strbuf(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	_cleanup_free_ char *nothing = strbuf_take(&b), *text = NULL;

	(void)state;
	assert_string_equal(nothing, "");
	for (int i = 0; i < 1000; i++)
		strbuf_printf(&b, "%d,", i);
	assert_int_equal(b.size, strlen(b.data));
	strbuf_add_bytes(&b, "x\0y", 3);
	assert_memory_equal(b.data + b.size - 3, "x\0y", 4);
	text = strbuf_take(&b);
	assert_null(b.data);
	assert_int_equal(strncmp(text, "0,1,2,", 6), 0);
}

static void test_str_set(void **state)
{
	_cleanup_free_ char *s = NULL;

	(void)state;
	str_set(&s, "one");
	str_set(&s, s); /* its own value: copied before it is freed */
	assert_string_equal(s, "one");
	str_set(&s, NULL);
	assert_null(s);
	assert_null(str_dup(NULL));
}

static void test_lower(void **state)
{
	_cleanup_free_ char *lower = str_lower("C12A7328-F81f-@[`{");

	(void)state;
	assert_string_equal(lower, "c12a7328-f81f-@[`{");
	assert_null(str_lower(NULL));
}

static void test_trim_end(void **state)
{
	char text[] = " a b \t\r\n", blank[] = " \n";

	(void)state;
	str_trim_end(text);
	assert_string_equal(text, " a b");
	str_trim_end(blank);
	assert_string_equal(blank, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),
		cmocka_unit_test(test_size_is_read),
		cmocka_unit_test(test_size_is_refused),
		cmocka_unit_test(test_size_round_trip),
		cmocka_unit_test(test_size_takes_the_largest_unit),
		cmocka_unit_test(test_size_for_people),
		cmocka_unit_test(test_nearest),
		cmocka_unit_test(test_nearest_of_long_words),
		cmocka_unit_test(test_strv_is_an_argv),
		cmocka_unit_test(test_strv_join),
		cmocka_unit_test(test_strv_split),
		cmocka_unit_test(test_strbuf),
		cmocka_unit_test(test_str_set),
		cmocka_unit_test(test_lower),
		cmocka_unit_test(test_trim_end),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
