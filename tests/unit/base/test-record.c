/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/record.h"
#include "test.h"

/* A record with a field of every type. */

enum colour { RED, GREEN };

struct inner {
	char *name;
	uint64_t weight;
};

struct outer {
	char *text;
	bool flag;
	uint64_t number;
	uint64_t size;
	unsigned colour;
	struct strv words;
	struct inner one;
	struct list many; /* of struct inner */
	struct list pairs;
};

static const char *const colours[] = { "red", "green", NULL };

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field inner_fields[] = {
	{ "name", FIELD_STRING, AT(inner, name), FIELD_KEY },
	{ "weight", FIELD_NUMBER, AT(inner, weight), .fallback = "7" },
};
static const struct record record_inner = RECORD(inner, inner_fields);

static const struct field outer_fields[] = {
	{ "text", FIELD_STRING, AT(outer, text), .fallback = "nest" },
	{ "flag", FIELD_BOOL, AT(outer, flag), .fallback = "true" },
	{ "number", FIELD_NUMBER, AT(outer, number) },
	{ "size", FIELD_SIZE, AT(outer, size), .fallback = "1GiB" },
	{ "colour", FIELD_CHOICE, AT(outer, colour), .choices = colours, .fallback = "green" },
	{ "words", FIELD_STRINGS, AT(outer, words) },
	{ "one", FIELD_RECORD, AT(outer, one), .record = &record_inner },
	{ "many", FIELD_RECORDS, AT(outer, many), .record = &record_inner },
	{ "pairs", FIELD_RECORDS, AT(outer, pairs), FIELD_PAIRS, .record = &record_pair },
};
static const struct record record_outer = RECORD(outer, outer_fields);

static void outer_deinit(struct outer *outer)
{
	record_deinit(&record_outer, outer);
}

static void fill(struct outer *outer)
{
	struct inner *inner;

	record_defaults(&record_outer, outer);
	outer->number = UINT64_MAX;
	outer->colour = RED;
	strv_add_all(&outer->words, "a", "b c", "", NULL);
	inner = list_add(&outer->many, &record_inner);
	inner->name = str_dup("first");
	inner = list_add(&outer->many, &record_inner);
	inner->weight = 3;
	pair_set(&outer->pairs, "x", "1");
	pair_set(&outer->pairs, "eyrie:set", "2");
}

static int parse(const char *text, struct outer *outer, struct diag *diag)
{
	struct json_object *json = json_tokener_parse(text);
	int r;

	assert_non_null(json);
	r = record_from_json(&record_outer, outer, json, diag);
	json_object_put(json);
	return r;
}

static void test_defaults(void **state)
{
	_cleanup_(outer_deinit) struct outer outer = {};

	(void)state;
	record_defaults(&record_outer, &outer);
	assert_string_equal(outer.text, "nest");
	assert_true(outer.flag);
	assert_int_equal(outer.number, 0);
	assert_true(outer.size == GIB);
	assert_int_equal(outer.colour, GREEN);
	assert_int_equal(outer.one.weight, 7);
	assert_int_equal(outer.many.n_items, 0);
}

static void test_json_round_trip(void **state)
{
	_cleanup_(outer_deinit) struct outer outer = {}, back = {};
	struct json_object *json;

	(void)state;
	fill(&outer);
	json = record_to_json(&record_outer, &outer);
	assert_int_equal(parse(json_object_to_json_string(json), &back, NULL), 0);
	json_object_put(json);
	assert_true(record_equal(&record_outer, &outer, &back));
	assert_true(back.number == UINT64_MAX);
	assert_int_equal(back.words.n_items, 3);
	assert_string_equal(pair_get(&back.pairs, "eyrie:set"), "2");
	assert_null(((struct inner *)back.many.items)[1].name);
}

static void test_copy_is_deep(void **state)
{
	_cleanup_(outer_deinit) struct outer outer = {}, copy = {};

	(void)state;
	fill(&outer);
	record_copy(&record_outer, &copy, &outer);
	assert_true(record_equal(&record_outer, &outer, &copy));
	pair_set(&copy.pairs, "x", "changed");
	assert_string_equal(pair_get(&outer.pairs, "x"), "1");
	assert_false(record_equal(&record_outer, &outer, &copy));
}

/* Whatever single field is changed, the records are not equal any more. */
static void test_equal_sees_every_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(outer_fields); i++) {
		_cleanup_(outer_deinit) struct outer a = {}, b = {};

		fill(&a);
		fill(&b);
		switch (outer_fields[i].type) {
		case FIELD_STRINGS:
			strv_add(&b.words, "more");
			break;
		case FIELD_RECORD:
			b.one.weight++;
			break;
		case FIELD_RECORDS:
			(void)list_add(field_of(&outer_fields[i], &b), outer_fields[i].record);
			if (outer_fields[i].flags & FIELD_PAIRS)
				str_set(&((struct pair *)b.pairs.items)[2].name, "new");
			break;
		default:
			assert_int_equal(field_set(&outer_fields[i], &b,
						   i == 4 ? "green" : i == 1 ? "false" : "5"), 0);
		}
		assert_false(record_equal(&record_outer, &a, &b));
	}
}

static void test_unknown_names_are_all_named(void **state)
{
	_cleanup_(outer_deinit) struct outer outer = {};
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(parse("{\"txt\": \"x\", \"number\": 1, \"one\": {\"nme\": 2}, \"z\": null}",
			       &outer, &diag), -EINVAL);
	assert_string_equal(diag.items[0].text, "outer has no field 'txt'");
	assert_string_equal(diag.items[1].text, "inner has no field 'nme'");
	assert_string_equal(diag.items[diag.n_items - 1].text, "outer has no field 'z'");
}

static void test_wrong_types(void **state)
{
	static const char *const bad[] = {
		"{\"text\": 1}",       "{\"flag\": \"yes\"}",  "{\"number\": \"1\"}",
		"{\"number\": 1.5}",   "{\"size\": \"1GiB\"}", "{\"colour\": \"blue\"}",
		"{\"colour\": 0}",     "{\"words\": \"a\"}",   "{\"words\": {}}",
		"{\"one\": []}",       "{\"one\": \"x\"}",     "{\"many\": {}}",
		"{\"many\": [1]}",     "{\"many\": [null]}",   "{\"pairs\": []}",
		"[]",		       "1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(outer_deinit) struct outer outer = {};
		_cleanup_diag_ struct diag diag = DIAG_NULL;

		if (parse(bad[i], &outer, &diag) != -EINVAL || !diag.n_errors)
			fail_msg("taken: %s", bad[i]);
	}
}

/* Numbers that a machine cannot have, and lists with holes: refused, or read as nothing. */
static void test_json_corners(void **state)
{
	static const char *const texts[] = { "{\"number\": -1}", "{\"words\": [null]}",
					     "{\"words\": [1, {}]}", "{\"pairs\": {\"a\": null}}",
					     "{\"pairs\": {\"a\": [1]}}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_(outer_deinit) struct outer outer = {}, copy = {};
		struct json_object *json;

		if (parse(texts[i], &outer, NULL))
			continue;
		for (size_t k = 0; k < outer.words.n_items; k++)
			assert_non_null(outer.words.items[k]);
		assert_int_equal(outer.number, 0);
		record_copy(&record_outer, &copy, &outer);
		json = record_to_json(&record_outer, &copy);
		json_object_put(json);
	}
}

static void test_null_is_unset(void **state)
{
	_cleanup_(outer_deinit) struct outer outer = {};

	(void)state;
	assert_int_equal(parse("{\"text\": null, \"many\": null, \"one\": null}", &outer, NULL), 0);
	assert_null(outer.text);
	assert_int_equal(outer.many.n_items, 0);
}

static void test_field_texts(void **state)
{
	_cleanup_(outer_deinit) struct outer outer = {};
	static const struct {
		size_t field;
		const char *good, *text, *bad;
	} cases[] = {
		{ 1, "yes", "true", "ja" },	   { 1, "off", "false", "TRUE" },
		{ 2, "12", "12", "twelve" },	   { 3, "1024MiB", "1GiB", "1GB" },
		{ 4, "green", "green", "Green" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct field *field = &outer_fields[cases[i].field];
		_cleanup_free_ char *text = NULL;

		assert_int_equal(field_set(field, &outer, cases[i].good), 0);
		assert_int_equal(field_set(field, &outer, cases[i].bad), -EINVAL);
		text = field_get(field, &outer);
		assert_string_equal(text, cases[i].text);
		assert_non_null(field_wants(field));
	}
	assert_int_equal(field_set(&outer_fields[2], &outer, "99999999999999999999"), -ERANGE);
	assert_int_equal(field_set(&outer_fields[5], &outer, "x"), -EINVAL);
}

static void test_lookups(void **state)
{
	(void)state;
	assert_ptr_equal(record_field(&record_outer, "size", 4), &outer_fields[3]);
	assert_null(record_field(&record_outer, "siz", 3));
	assert_null(record_field(&record_outer, "sizes", 5));
	assert_ptr_equal(record_key(&record_inner), &inner_fields[0]);
	assert_null(record_key(&record_outer));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_json_round_trip),
		cmocka_unit_test(test_copy_is_deep),
		cmocka_unit_test(test_equal_sees_every_field),
		cmocka_unit_test(test_unknown_names_are_all_named),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_json_corners),
		cmocka_unit_test(test_null_is_unset),
		cmocka_unit_test(test_field_texts),
		cmocka_unit_test(test_lookups),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
