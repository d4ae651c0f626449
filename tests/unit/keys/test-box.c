/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The box keeps to the test vectors of docs/peer-format.md. */

#include <stdio.h>

#include "base/file.h"
#include "keys/box.h"
#include "test.h"

#define INDENT "    "
#define COLUMN 20 /* where values begin */

static void read_document(struct strbuf *ret)
{
	_cleanup_free_ char *path = str_printf("%s/docs/peer-format.md", getenv("EYRIE_SOURCE"));

	assert_int_equal(file_read(path, ret), 0);
}

/* The nth vector: from its first line, which is that of the set. */
static const char *vector(const char *document, int n)
{
	const char *at = strstr(document, "\n" INDENT "set   ");

	while (n-- && at)
		at = strstr(at + 1, "\n" INDENT "set   ");
	assert_non_null(at);
	return at + 1;
}

/* A value and the lines that go on with it, joined; NULL when this vector does not have it. */
static char *value(const char *at, const char *name)
{
	struct strbuf joined = STRBUF_NULL;
	bool ours = false;

	while (starts_with(at, INDENT)) {
		const char *end = strchr(at, '\n'), *called = at + strlen(INDENT);

		if (*called != ' ')
			ours = starts_with(called, name) &&
			       starts_with(called + strlen(name), "  ");
		if (ours)
			strbuf_add_bytes(&joined, at + COLUMN, (size_t)(end - at) - COLUMN);
		at = end + 1;
	}
	return joined.data;
}

static struct secret *from_hex(const char *hex)
{
	struct secret *secret = secret_new();

	for (; hex[0] && hex[1]; hex += 2) {
		unsigned byte;

		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		secret->data[secret->size++] = (char)byte;
	}
	return secret;
}

static struct secret *key_of(const char *at, const char *name)
{
	_cleanup_free_ char *hex = value(at, name);

	return hex ? from_hex(hex) : NULL;
}

static void read_box(const char *at, struct box *box)
{
	_cleanup_free_ char *set = value(at, "set"), *generation = value(at, "generation");

	assert_int_equal(uuid_parse(set, box->set), 0);
	box->generation = strtoull(generation, NULL, 10);
	box->set_key = key_of(at, "set key");
	box->previous_key = key_of(at, "previous key");
}

static void same_key(const struct secret *a, const struct secret *b)
{
	assert_int_equal(!a, !b);
	if (a)
		assert_true(secret_equal(a, b));
}

static void check(int n)
{
	_cleanup_(box_freep) struct box *box = box_new(), *back = NULL;
	_cleanup_(secret_freep) struct secret *want = NULL, *sealed = NULL;
	_cleanup_strbuf_ struct strbuf document = STRBUF_NULL;
	_cleanup_free_ char *body = NULL;
	const char *at;

	read_document(&document);
	at = vector(document.data, n);
	read_box(at, box);
	body = value(at, "body");
	want = key_of(at, "box");
	assert_int_equal(box_seal(box, body, &sealed), 0);
	assert_int_equal(sealed->size, BOX_SIZE);
	assert_true(secret_equal(sealed, want));

	assert_int_equal(box_open(want, body, &back), 0);
	assert_int_equal(uuid_compare(back->set, box->set), 0);
	assert_int_equal(back->generation, box->generation);
	same_key(back->set_key, box->set_key);
	same_key(back->previous_key, box->previous_key);
	assert_non_null(box_member(back, "4f6c0f0b-6d0e-4c63-9d6b-0a52f1f4a7c1"));
	if (box->previous_key)
		assert_true(box_member(back, "c2b1d9d4-31f4-4e07-8f0e-5b7a3c7d9e22")->previous);
}

static void test_vector_with_a_previous_key(void **state)
{
	(void)state;
	check(0);
}

static void test_vector_without_one(void **state)
{
	(void)state;
	check(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vector_with_a_previous_key),
		cmocka_unit_test(test_vector_without_one),
	};

	return cmocka_run_group_tests_name("box", tests, NULL, NULL);
}
