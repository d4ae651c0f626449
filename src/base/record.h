/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Records: plain structs described by a table.
 *
 * The layout and the observed machine are values. Each of their structs has one `struct
 * record` that names its fields; from it come the YAML reader and writer, the JSON form, the
 * destructor and the list in eyrie.yaml(5). A field that is not in the table does not exist.
 */

#include <json-c/json.h>

#include "base/diag.h"

enum field_type {
	FIELD_STRING,  /* char * */
	FIELD_BOOL,    /* bool */
	FIELD_NUMBER,  /* uint64_t */
	FIELD_SIZE,    /* uint64_t, bytes, written "512MiB" */
	FIELD_CHOICE,  /* unsigned, an index into `choices` */
	FIELD_STRINGS, /* struct strv */
	FIELD_RECORD,  /* an embedded struct */
	FIELD_RECORDS, /* struct list of structs */
};

struct record;

struct list {
	void *items;
	size_t n_items;
};

enum field_flags {
	FIELD_REQUIRED = 1 << 0,
	FIELD_KEY = 1 << 1, /* of a record in a list: the list is a map in YAML, by this field */
	FIELD_PAIRS = 1 << 2, /* FIELD_RECORDS of {name, value}: a map of scalars in YAML */
};

struct field {
	const char *name;
	enum field_type type;
	size_t offset;
	unsigned flags;
	const char *const *choices;	/* FIELD_CHOICE: NULL-terminated */
	const struct record *record;	/* FIELD_RECORD, FIELD_RECORDS */
	const char *fallback;		/* the default as a scalar, or NULL: zero */
	const char *help;		/* one sentence for the man page */
};

struct record {
	const char *name;
	size_t size;
	const struct field *fields;
	size_t n_fields;
	const char *shorthand; /* the field that a scalar in the place of the map sets, or NULL */
};

#define RECORD(type, table)                                                                    \
	{                                                                                      \
		.name = #type, .size = sizeof(struct type), .fields = (table),                 \
		.n_fields = ARRAY_SIZE(table),                                                 \
	}

/* A pair of texts, and the record of it: properties. */
struct pair {
	char *name;
	char *value;
};

extern const struct record record_pair;
const char *pair_get(const struct list *pairs, const char *name); /* NULL when absent */
void pair_set(struct list *pairs, const char *name, const char *value);

/* `field` of the struct at `at`, as a pointer of its own type. */
void *field_of(const struct field *field, void *at);
const struct field *record_key(const struct record *record); /* the FIELD_KEY, or NULL */
const struct field *record_field(const struct record *record, const char *name, size_t length);

/* Set a scalar field from text: -EINVAL when the text is not of its type, -ERANGE. */
int field_set(const struct field *field, void *at, const char *text);
char *field_get(const struct field *field, const void *at); /* its text; NULL when unset */
const char *field_wants(const struct field *field);	      /* "a size such as 512MiB" */

void *list_add(struct list *list, const struct record *record); /* a new zeroed last item */
void *list_at(const struct list *list, const struct record *record, size_t i);

void list_deinit(struct list *list, const struct record *record);

#define FOR_EACH_ITEM(type, item, list)                                                        \
	for (type *item = (list)->items; item && item < (type *)(list)->items + (list)->n_items; \
	     item++)

void record_defaults(const struct record *record, void *at);
void record_deinit(const struct record *record, void *at);
void record_copy(const struct record *record, void *to, const void *from); /* `to` is blank */
bool record_equal(const struct record *record, const void *a, const void *b);

struct json_object *record_to_json(const struct record *record, const void *at);
/* Into a blank struct. Unknown names and wrong types are errors, all of them named. */
int record_from_json(const struct record *record, void *at, struct json_object *json,
		     struct diag *diag);
