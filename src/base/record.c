/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/record.h"

static const struct field pair_fields[] = {
	{ .name = "name", .type = FIELD_STRING, .offset = offsetof(struct pair, name),
	  .flags = FIELD_KEY },
	{ .name = "value", .type = FIELD_STRING, .offset = offsetof(struct pair, value) },
};

const struct record record_pair = RECORD(pair, pair_fields);

const char *pair_get(const struct list *pairs, const char *name)
{
	const struct pair *items = pairs->items;

	for (size_t i = 0; i < pairs->n_items; i++)
		if (streq(items[i].name, name))
			return items[i].value;
	return NULL;
}

void pair_set(struct list *pairs, const char *name, const char *value)
{
	struct pair *items = pairs->items, *pair;

	for (size_t i = 0; i < pairs->n_items; i++)
		if (streq(items[i].name, name)) {
			str_set(&items[i].value, value);
			return;
		}
	pair = list_add(pairs, &record_pair);
	pair->name = str_dup(name);
	pair->value = str_dup(value);
}

void *field_of(const struct field *field, void *at)
{
	return (char *)at + field->offset;
}

static const void *field_in(const struct field *field, const void *at)
{
	return (const char *)at + field->offset;
}

const struct field *record_key(const struct record *record)
{
	for (size_t i = 0; i < record->n_fields; i++)
		if (record->fields[i].flags & FIELD_KEY)
			return &record->fields[i];
	return NULL;
}

const struct field *record_field(const struct record *record, const char *name, size_t length)
{
	for (size_t i = 0; i < record->n_fields; i++)
		if (strlen(record->fields[i].name) == length &&
		    memcmp(record->fields[i].name, name, length) == 0)
			return &record->fields[i];
	return NULL;
}

static int set_bool(bool *target, const char *text)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(text, words[i])) {
			*target = i & 1;
			return 0;
		}
	return -EINVAL;
}

static int set_choice(const struct field *field, unsigned *target, const char *text)
{
	for (unsigned i = 0; field->choices[i]; i++)
		if (streq(text, field->choices[i])) {
			*target = i;
			return 0;
		}
	return -EINVAL;
}

int field_set(const struct field *field, void *at, const char *text)
{
	void *target = field_of(field, at);

	switch (field->type) {
	case FIELD_STRING:
		str_set(target, text);
		return 0;
	case FIELD_BOOL:
		return set_bool(target, text);
	case FIELD_NUMBER:
		return str_to_u64(text, target);
	case FIELD_SIZE:
		return str_to_size(text, target);
	case FIELD_CHOICE:
		return set_choice(field, target, text);
	default:
		return -EINVAL;
	}
}

char *field_get(const struct field *field, const void *at)
{
	const void *source = field_in(field, at);

	switch (field->type) {
	case FIELD_STRING:
		return str_dup(*(char *const *)source);
	case FIELD_BOOL:
		return str_dup(*(const bool *)source ? "true" : "false");
	case FIELD_NUMBER:
		return str_printf("%llu", (unsigned long long)*(const uint64_t *)source);
	case FIELD_SIZE:
		return str_from_size(*(const uint64_t *)source);
	case FIELD_CHOICE:
		return str_dup(field->choices[*(const unsigned *)source]);
	default:
		return NULL;
	}
}

const char *field_wants(const struct field *field)
{
	switch (field->type) {
	case FIELD_BOOL:
		return "true or false";
	case FIELD_NUMBER:
		return "a whole number";
	case FIELD_SIZE:
		return "a size such as 512MiB";
	case FIELD_STRINGS:
		return "a list of words, [one, two]";
	case FIELD_RECORD:
		return "a map";
	case FIELD_RECORDS:
		return field->flags & FIELD_PAIRS || record_key(field->record) ? "a map" : "a list";
	default:
		return "a text";
	}
}

void *list_add(struct list *list, const struct record *record)
{
	list->items = mem_grow(list->items, list->n_items, record->size);
	return list_at(list, record, list->n_items++);
}

void *list_at(const struct list *list, const struct record *record, size_t i)
{
	return (char *)list->items + i * record->size;
}

void record_defaults(const struct record *record, void *at)
{
	for (size_t i = 0; i < record->n_fields; i++) {
		const struct field *field = &record->fields[i];

		if (field->type == FIELD_RECORD)
			record_defaults(field->record, field_of(field, at));
		else if (field->fallback)
			(void)field_set(field, at, field->fallback);
	}
}

void list_deinit(struct list *list, const struct record *record)
{
	for (size_t i = 0; i < list->n_items; i++)
		record_deinit(record, list_at(list, record, i));
	free(list->items);
	*list = (struct list){};
}

void record_deinit(const struct record *record, void *at)
{
	for (size_t i = 0; i < record->n_fields; i++) {
		const struct field *field = &record->fields[i];
		void *target = field_of(field, at);

		if (field->type == FIELD_STRING)
			str_set(target, NULL);
		else if (field->type == FIELD_STRINGS)
			strv_deinit(target);
		else if (field->type == FIELD_RECORD)
			record_deinit(field->record, target);
		else if (field->type == FIELD_RECORDS)
			list_deinit(target, field->record);
	}
}

static void copy_strings(struct strv *to, const struct strv *from)
{
	for (size_t i = 0; i < from->n_items; i++)
		strv_add(to, from->items[i]);
}

void record_copy(const struct record *record, void *to, const void *from)
{
	for (size_t i = 0; i < record->n_fields; i++) {
		const struct field *field = &record->fields[i];
		const void *source = field_in(field, from);
		void *target = field_of(field, to);

		switch (field->type) {
		case FIELD_STRING:
			str_set(target, *(char *const *)source);
			break;
		case FIELD_BOOL:
			*(bool *)target = *(const bool *)source;
			break;
		case FIELD_NUMBER:
		case FIELD_SIZE:
			*(uint64_t *)target = *(const uint64_t *)source;
			break;
		case FIELD_CHOICE:
			*(unsigned *)target = *(const unsigned *)source;
			break;
		case FIELD_STRINGS:
			copy_strings(target, source);
			break;
		case FIELD_RECORD:
			record_copy(field->record, target, source);
			break;
		case FIELD_RECORDS:
			for (size_t k = 0; k < ((const struct list *)source)->n_items; k++)
				record_copy(field->record, list_add(target, field->record),
					    list_at(source, field->record, k));
			break;
		}
	}
}

bool record_equal(const struct record *record, const void *a, const void *b)
{
	struct json_object *x = record_to_json(record, a), *y = record_to_json(record, b);
	bool equal = json_object_equal(x, y);

	json_object_put(x);
	json_object_put(y);
	return equal;
}

static struct json_object *strings_to_json(const struct strv *strings)
{
	struct json_object *json = json_object_new_array();

	for (size_t i = 0; i < strings->n_items; i++)
		json_object_array_add(json, json_object_new_string(strings->items[i]));
	return json;
}

static struct json_object *pairs_to_json(const struct list *list)
{
	struct json_object *json = json_object_new_object();
	const struct pair *pairs = list->items;

	for (size_t i = 0; i < list->n_items; i++)
		json_object_object_add(json, pairs[i].name,
				       pairs[i].value ? json_object_new_string(pairs[i].value) :
							NULL);
	return json;
}

static struct json_object *list_to_json(const struct list *list, const struct record *record)
{
	struct json_object *json = json_object_new_array();

	for (size_t i = 0; i < list->n_items; i++)
		json_object_array_add(json, record_to_json(record, list_at(list, record, i)));
	return json;
}

static struct json_object *field_to_json(const struct field *field, const void *at)
{
	const void *source = field_in(field, at);

	switch (field->type) {
	case FIELD_STRING:
		return *(char *const *)source ? json_object_new_string(*(char *const *)source) :
						NULL;
	case FIELD_BOOL:
		return json_object_new_boolean(*(const bool *)source);
	case FIELD_NUMBER:
	case FIELD_SIZE:
		return json_object_new_uint64(*(const uint64_t *)source);
	case FIELD_CHOICE:
		return json_object_new_string(field->choices[*(const unsigned *)source]);
	case FIELD_STRINGS:
		return strings_to_json(source);
	case FIELD_RECORD:
		return record_to_json(field->record, source);
	case FIELD_RECORDS:
		return field->flags & FIELD_PAIRS ? pairs_to_json(source) :
						    list_to_json(source, field->record);
	}
	return NULL;
}

struct json_object *record_to_json(const struct record *record, const void *at)
{
	struct json_object *json = json_object_new_object();

	for (size_t i = 0; i < record->n_fields; i++)
		json_object_object_add(json, record->fields[i].name,
				       field_to_json(&record->fields[i], at));
	return json;
}

static int strings_from_json(struct strv *strings, struct json_object *json)
{
	if (!json_object_is_type(json, json_type_array))
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(json); i++) {
		struct json_object *item = json_object_array_get_idx(json, i);

		if (!json_object_is_type(item, json_type_string))
			return -EINVAL;
		strv_add(strings, json_object_get_string(item));
	}
	return 0;
}

static int list_from_json(const struct field *field, struct list *list, struct json_object *json,
			  struct diag *diag)
{
	int r = 0;

	if (field->flags & FIELD_PAIRS) {
		if (!json_object_is_type(json, json_type_object))
			return -EINVAL;
		json_object_object_foreach(json, name, value)
			pair_set(list, name, json_object_get_string(value));
		return 0;
	}
	if (!json_object_is_type(json, json_type_array))
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(json); i++) {
		int q = record_from_json(field->record, list_add(list, field->record),
					 json_object_array_get_idx(json, i), diag);

		r = r ? r : q;
	}
	return r;
}

static int field_from_json(const struct field *field, void *at, struct json_object *json,
			   struct diag *diag)
{
	void *target = field_of(field, at);

	if (!json)
		return 0;
	switch (field->type) {
	case FIELD_BOOL:
		if (!json_object_is_type(json, json_type_boolean))
			return -EINVAL;
		*(bool *)target = json_object_get_boolean(json);
		return 0;
	case FIELD_NUMBER:
	case FIELD_SIZE:
		if (!json_object_is_type(json, json_type_int))
			return -EINVAL;
		*(uint64_t *)target = json_object_get_uint64(json);
		return 0;
	case FIELD_STRINGS:
		return strings_from_json(target, json);
	case FIELD_RECORD:
		return record_from_json(field->record, target, json, diag);
	case FIELD_RECORDS:
		return list_from_json(field, target, json, diag);
	default:
		if (!json_object_is_type(json, json_type_string))
			return -EINVAL;
		return field_set(field, at, json_object_get_string(json));
	}
}

int record_from_json(const struct record *record, void *at, struct json_object *json,
		     struct diag *diag)
{
	int r = 0;

	if (!json_object_is_type(json, json_type_object))
		return diag_error(diag, -EINVAL, "%s is not an object", record->name);
	json_object_object_foreach(json, name, value) {
		const struct field *field = record_field(record, name, strlen(name));

		if (!field)
			r = diag_error(diag, -EINVAL, "%s has no field '%s'", record->name, name);
		else if (field_from_json(field, at, value, diag))
			r = diag_error(diag, -EINVAL, "%s of %s is not %s", name, record->name,
				       field_wants(field));
	}
	return r;
}
