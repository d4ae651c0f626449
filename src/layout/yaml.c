/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * YAML to records and back, driven by their tables.
 *
 * libfyaml parses; here a node is set against a field. All findings of a file are collected:
 * one wrong key must not hide the next. Anchors, aliases and merge keys are resolved by the
 * library.
 */

#include "layout/yaml.h"

#include <ctype.h>
#include <libfyaml.h>
#include <limits.h>

struct yaml_source {
	char *name;
	char *text;
	struct fy_document *document;
};

struct reader {
	struct yaml_source *source;
	struct diag *diag;
	size_t n_findings;
};

static void document_freep(struct fy_document **document)
{
	fy_document_destroy(*document);
}

/* Lines end as YAML has it: LF, CR, or both. */
static char *line_of(const char *text, unsigned line)
{
	for (unsigned i = 1; i < line; i++) {
		text += strcspn(text, "\r\n");
		text += text[0] == '\r' && text[1] == '\n' ? 2 : *text ? 1 : 0;
	}
	return str_printf("%.*s", (int)strcspn(text, "\r\n"), text);
}

static void place_at(const struct yaml_source *source, struct diag *diag, unsigned line,
		     unsigned column)
{
	_cleanup_free_ char *excerpt = line_of(source->text, line);

	/* Whoever shows it points into the excerpt. */
	column = MIN_OF(column, (unsigned)strlen(excerpt) + 1);
	diag_place(diag, source->name, line, column, excerpt);
}

/* The first token of a node: a map of block style has its own mark on its first key. */
static const struct fy_mark *node_mark(struct fy_node *node)
{
	struct fy_node_pair *pair;
	struct fy_token *token;

	switch (fy_node_get_type(node)) {
	case FYNT_SCALAR:
		token = fy_node_get_scalar_token(node);
		return token ? fy_token_start_mark(token) : NULL;
	case FYNT_MAPPING:
		pair = fy_node_mapping_get_by_index(node, 0);
		return pair ? node_mark(fy_node_pair_key(pair)) : NULL;
	case FYNT_SEQUENCE:
		return fy_node_sequence_item_count(node) > 0 ?
			       node_mark(fy_node_sequence_get_by_index(node, 0)) :
			       NULL;
	}
	return NULL;
}

/* Of the pair in a map whose value the node is; NULL when it is none. */
static struct fy_node *key_of(struct fy_node *node)
{
	struct fy_node *parent = fy_node_get_parent(node);
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while (fy_node_is_mapping(parent) && (pair = fy_node_mapping_iterate(parent, &iterator)))
		if (fy_node_pair_value(pair) == node)
			return fy_node_pair_key(pair);
	return NULL;
}

/* An empty map or list has no token: it is where its key is. */
static void place_node(const struct yaml_source *source, struct diag *diag, struct fy_node *node)
{
	for (; node; node = fy_node_get_parent(node)) {
		const struct fy_mark *mark = node_mark(node);
		struct fy_node *key = mark ? NULL : key_of(node);

		mark = key ? node_mark(key) : mark;
		if (!mark)
			continue;
		place_at(source, diag, (unsigned)mark->line + 1, (unsigned)mark->column + 1);
		return;
	}
	place_at(source, diag, 1, 1);
}

static void finding(struct reader *reader, struct fy_node *node, const char *format, ...)
	_printf_(3, 4);

static void finding(struct reader *reader, struct fy_node *node, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)diag_verror(reader->diag, 0, format, ap);
	va_end(ap);
	reader->n_findings++;
	place_node(reader->source, reader->diag, node);
}

static char *scalar_text(struct fy_node *node)
{
	size_t size;
	const char *text;

	if (!node || !fy_node_is_scalar(node))
		return NULL;
	text = fy_node_get_scalar(node, &size);
	return text ? str_printf("%.*s", (int)size, text) : str_dup("");
}

static void read_record(struct reader *reader, const struct record *record, void *at,
			struct fy_node *node, const struct field *key);

static void unknown_key(struct reader *reader, const struct record *record,
			struct fy_node *node, const char *key)
{
	const char *names[64];
	const char *nearest;
	size_t n = 0;

	for (size_t i = 0; i < record->n_fields && n < ARRAY_SIZE(names); i++)
		names[n++] = record->fields[i].name;
	nearest = str_nearest(key, names, n);
	finding(reader, node, "unknown key '%s'", key);
	if (nearest)
		diag_hint(reader->diag, "did you mean '%s'?", nearest);
	else
		diag_hint(reader->diag, "eyrie.yaml(5) lists all keys");
}

static void read_strings(struct reader *reader, const struct field *field, struct strv *strings,
			 struct fy_node *node)
{
	for (int i = 0; i < fy_node_sequence_item_count(node); i++) {
		struct fy_node *item = fy_node_sequence_get_by_index(node, i);
		_cleanup_free_ char *text = scalar_text(item);

		if (text)
			strv_add(strings, text);
		else
			finding(reader, item, "'%s' wants %s", field->name, field_wants(field));
	}
}

static void read_pairs(struct reader *reader, const struct field *field, struct list *list,
		       struct fy_node *node)
{
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while ((pair = fy_node_mapping_iterate(node, &iterator))) {
		_cleanup_free_ char *name = scalar_text(fy_node_pair_key(pair));
		_cleanup_free_ char *value = scalar_text(fy_node_pair_value(pair));

		if (name && value)
			pair_set(list, name, value);
		else
			finding(reader, fy_node_pair_key(pair), "'%s' wants name: value",
				field->name);
	}
}

/* A list of records that have a key is a map in YAML: the key, then the rest of the record. */
static void read_keyed(struct reader *reader, const struct field *field, struct list *list,
		       struct fy_node *node)
{
	const struct field *key = record_key(field->record);
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while ((pair = fy_node_mapping_iterate(node, &iterator))) {
		_cleanup_free_ char *name = scalar_text(fy_node_pair_key(pair));
		struct fy_node *value = fy_node_pair_value(pair);
		void *item;

		if (!name) {
			finding(reader, fy_node_pair_key(pair), "a name is wanted here");
			continue;
		}
		item = list_add(list, field->record);
		record_defaults(field->record, item);
		(void)field_set(key, item, name);
		read_record(reader, field->record, item, value, key);
	}
}

static void read_list(struct reader *reader, const struct field *field, struct list *list,
		      struct fy_node *node)
{
	for (int i = 0; i < fy_node_sequence_item_count(node); i++) {
		void *item = list_add(list, field->record);

		record_defaults(field->record, item);
		read_record(reader, field->record, item, fy_node_sequence_get_by_index(node, i),
			    NULL);
	}
}

static void read_scalar(struct reader *reader, const struct field *field, void *at,
			struct fy_node *node)
{
	_cleanup_free_ char *text = scalar_text(node);
	_cleanup_strbuf_ struct strbuf choices = STRBUF_NULL;
	int r = text ? field_set(field, at, text) : -EINVAL;

	if (!r)
		return;
	if (r == -ERANGE) {
		finding(reader, node, "'%s: %s' is too large", field->name, text);
		return;
	}
	if (field->type != FIELD_CHOICE) {
		finding(reader, node, "'%s' wants %s", field->name, field_wants(field));
		return;
	}
	for (size_t i = 0; field->choices[i]; i++)
		strbuf_printf(&choices, "%s%s", i ? ", " : "", field->choices[i]);
	finding(reader, node, "'%s' wants one of: %s", field->name, choices.data);
}

static bool is_null(struct fy_node *node)
{
	_cleanup_free_ char *text = scalar_text(node);

	return text && (!*text || streq(text, "~") || streq(text, "null"));
}

/* The one value that stands for a map, under the name of the map. */
static void read_shorthand(struct reader *reader, const struct field *field, void *at,
			   struct fy_node *node)
{
	const char *name = field->record->shorthand;
	struct field value = *record_field(field->record, name, strlen(name));

	value.name = field->name;
	read_scalar(reader, &value, at, node);
}

static void read_field(struct reader *reader, const struct field *field, void *at,
		       struct fy_node *node)
{
	void *target = field_of(field, at);
	const char *shorthand = field->type == FIELD_RECORD ? field->record->shorthand : NULL;
	bool pairs = field->flags & FIELD_PAIRS;
	bool keyed = field->type == FIELD_RECORDS && !pairs && record_key(field->record);
	enum fy_node_type wanted = field->type == FIELD_STRINGS	     ? FYNT_SEQUENCE :
				   field->type == FIELD_RECORD	     ? FYNT_MAPPING :
				   field->type != FIELD_RECORDS	     ? FYNT_SCALAR :
				   pairs || keyed		     ? FYNT_MAPPING :
								       FYNT_SEQUENCE;

	if (shorthand && node && fy_node_is_scalar(node) && !is_null(node))
		read_shorthand(reader, field, target, node);
	else if (!node || fy_node_get_type(node) != wanted)
		finding(reader, node, "'%s' wants %s", field->name, field_wants(field));
	else if (field->type == FIELD_STRINGS)
		read_strings(reader, field, target, node);
	else if (field->type == FIELD_RECORD)
		read_record(reader, field->record, target, node, NULL);
	else if (pairs)
		read_pairs(reader, field, target, node);
	else if (keyed)
		read_keyed(reader, field, target, node);
	else if (field->type == FIELD_RECORDS)
		read_list(reader, field, target, node);
	else
		read_scalar(reader, field, at, node);
}

/* `key` is the field that the name in front of this map has set already, or NULL. */
static void read_record(struct reader *reader, const struct record *record, void *at,
			struct fy_node *node, const struct field *key)
{
	bool seen[64] = {};
	struct fy_node_pair *pair;
	void *iterator = NULL;

	if (node && !fy_node_is_mapping(node) && !is_null(node)) {
		finding(reader, node, "a map is wanted here");
		return;
	}
	while (node && fy_node_is_mapping(node) &&
	       (pair = fy_node_mapping_iterate(node, &iterator))) {
		_cleanup_free_ char *name = scalar_text(fy_node_pair_key(pair));
		const struct field *field =
			name ? record_field(record, name, strlen(name)) : NULL;

		if (!field || field == key) {
			unknown_key(reader, record, fy_node_pair_key(pair), name ? name : "?");
			continue;
		}
		seen[field - record->fields] = true;
		read_field(reader, field, at, fy_node_pair_value(pair));
	}
	for (size_t i = 0; i < record->n_fields; i++)
		if (record->fields[i].flags & FIELD_REQUIRED && !seen[i])
			finding(reader, node, "the key '%s' is missing", record->fields[i].name);
}

/* The parser's own findings: bad syntax, duplicate keys. */
static int syntax_errors(struct reader *reader, struct fy_diag *errors)
{
	struct fy_diag_error *error;
	void *iterator = NULL;

	while ((error = fy_diag_errors_iterate(errors, &iterator))) {
		(void)diag_error(reader->diag, 0, "%s", error->msg);
		place_at(reader->source, reader->diag, (unsigned)MAX_OF(error->line, 1),
			 (unsigned)MAX_OF(error->column, 1));
		reader->n_findings++;
	}
	return reader->n_findings ? -EINVAL : 0;
}

/* Bytes of the character at `s` in UTF-8 (RFC 3629), 0 when it is none. */
static size_t utf8_size(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;
	uint32_t value = n > 1 ? *s & (0x7fu >> n) : *s;

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (s[i] & 0x3f);
	}
	return n && value >= least[n] && value <= 0x10ffff && (value & ~0x7ffu) != 0xd800 ? n : 0;
}

/* libfyaml 0.7 does not come back from a directive that is not UTF-8. */
static int check_encoding(struct reader *reader)
{
	const char *s = reader->source->text;
	unsigned line = 1, column = 1;
	size_t n;

	for (; *s && (n = utf8_size((const unsigned char *)s)); s += n) {
		line += *s == '\n';
		column = *s == '\n' ? 1 : column + 1;
	}
	if (!*s)
		return 0;
	(void)diag_error(reader->diag, 0, "this is not UTF-8");
	place_at(reader->source, reader->diag, line, column);
	return -EINVAL;
}

/* libfyaml 0.7 can crash on a mistake behind a key that is marked so, which nobody needs here. */
static int check_keys(struct reader *reader)
{
	unsigned line = 1;

	for (const char *s = reader->source->text; s; line++) {
		const char *first = s + strspn(s, " \t-");

		if (*first == '?' && (!first[1] || strchr(" \t\r\n", first[1]))) {
			(void)diag_error(reader->diag, 0, "keys are written without '?'");
			place_at(reader->source, reader->diag, line, (unsigned)(first - s) + 1);
			return -EINVAL;
		}
		s = strchr(s, '\n');
		s = s ? s + 1 : NULL;
	}
	return 0;
}

int yaml_read(const char *name, const char *text, const struct record *record, void *at,
	      struct yaml_source **ret_source, struct diag *diag)
{
	_cleanup_(yaml_source_freep) struct yaml_source *source = mem_alloc(sizeof(*source));
	struct reader reader = { .source = source, .diag = diag };
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_RESOLVE_DOCUMENT };
	struct fy_diag *errors;
	struct fy_node *root;

	source->name = str_dup(name);
	source->text = str_dup(text);
	if (check_encoding(&reader) || check_keys(&reader))
		return -EINVAL;
	cfg.diag = errors = fy_diag_create(&(struct fy_diag_cfg){ .level = FYET_ERROR,
								  .module_mask = UINT_MAX });
	fy_diag_set_collect_errors(errors, true);
	source->document = fy_document_build_from_string(&cfg, source->text, FY_NT);
	if (!source->document && !syntax_errors(&reader, errors))
		finding(&reader, NULL, "the file is empty");
	fy_diag_destroy(errors);
	if (reader.n_findings)
		return -EINVAL;

	root = fy_document_root(source->document);
	record_defaults(record, at);
	if (!root || is_null(root))
		finding(&reader, NULL, "the file is empty");
	else
		read_record(&reader, record, at, root, NULL);
	*ret_source = take_ptr(source);
	return reader.n_findings ? -EINVAL : 0;
}

/* By the text of the key: libfyaml's own lookup takes it for YAML, and complains where it is none. */
static struct fy_node *value_of(struct fy_node *node, const char *name)
{
	struct fy_node_pair *pair;
	void *iterator = NULL;

	while ((pair = fy_node_mapping_iterate(node, &iterator))) {
		_cleanup_free_ char *key = scalar_text(fy_node_pair_key(pair));

		if (streq(key, name))
			return fy_node_pair_value(pair);
	}
	return NULL;
}

void yaml_place(const struct yaml_source *source, struct diag *diag, const char *path)
{
	_cleanup_strv_ struct strv keys = STRV_NULL;
	struct fy_node *node = fy_document_root(source->document);

	strv_split(&keys, path, "\t");
	for (size_t i = 0; i < keys.n_items; i++) {
		struct fy_node *next = NULL;
		uint64_t index;

		if (fy_node_is_mapping(node))
			next = value_of(node, keys.items[i]);
		else if (fy_node_is_sequence(node) && str_to_u64(keys.items[i], &index) == 0)
			next = fy_node_sequence_get_by_index(node, (int)index);
		if (!next)
			break;
		node = next;
	}
	place_node(source, diag, node);
}

struct yaml_source *yaml_source_free(struct yaml_source *source)
{
	if (!source)
		return NULL;
	document_freep(&source->document);
	free(source->name);
	free(source->text);
	free(source);
	return NULL;
}

/* writing */

/* Without quotes only what nobody could take for anything else: libfyaml quotes too little. */
static bool is_plain(const char *text)
{
	if (!isalnum((unsigned char)*text) && *text != '/')
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("/._-", *text))
			return false;
	return true;
}

/* A text in quotes is what JSON calls a string. */
static struct fy_node *quoted_node(struct fy_document *document, const char *text)
{
	struct json_object *json = json_object_new_string(text);
	char *quoted = str_dup(
		json_object_to_json_string_ext(json, JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(json);
	return fy_node_build_from_malloc_string(document, quoted, FY_NT);
}

static struct fy_node *text_node(struct fy_document *document, const char *text)
{
	return is_plain(text) ? fy_node_create_scalar_copy(document, text, FY_NT) :
				quoted_node(document, text);
}

static struct fy_node *record_node(struct fy_document *document, const struct record *record,
				   const void *at, const struct field *key);

static void append(struct fy_document *document, struct fy_node *map, const char *name,
		   struct fy_node *value)
{
	(void)fy_node_mapping_append(map, text_node(document, name), value);
}

static struct fy_node *list_node(struct fy_document *document, const struct field *field,
				 const struct list *list)
{
	const struct field *key = record_key(field->record);
	struct fy_node *node = key ? fy_node_create_mapping(document) :
				     fy_node_create_sequence(document);
	const struct pair *pairs = list->items;

	for (size_t i = 0; i < list->n_items; i++) {
		const void *item = list_at(list, field->record, i);
		_cleanup_free_ char *name = key ? field_get(key, item) : NULL;

		if (field->flags & FIELD_PAIRS)
			append(document, node, name, text_node(document, pairs[i].value));
		else if (key)
			append(document, node, name,
			       record_node(document, field->record, item, key));
		else
			(void)fy_node_sequence_append(
				node, record_node(document, field->record, item, NULL));
	}
	return node;
}

static struct fy_node *strings_node(struct fy_document *document, const struct strv *strings)
{
	struct fy_node *node = fy_node_create_sequence(document);

	for (size_t i = 0; i < strings->n_items; i++)
		(void)fy_node_sequence_append(node, text_node(document, strings->items[i]));
	return node;
}

static struct fy_node *field_node(struct fy_document *document, const struct field *field,
				  const void *at)
{
	const void *source = (const char *)at + field->offset;
	_cleanup_free_ char *text = NULL;

	switch (field->type) {
	case FIELD_STRINGS:
		return strings_node(document, source);
	case FIELD_RECORD:
		return record_node(document, field->record, source, NULL);
	case FIELD_RECORDS:
		return list_node(document, field, source);
	default:
		text = field_get(field, at);
		return text ? text_node(document, text) : NULL;
	}
}

/* A field that the reader would give the same value without being told. */
static bool is_default(const struct field *field, const void *at)
{
	const void *source = (const char *)at + field->offset;

	switch (field->type) {
	case FIELD_STRINGS:
		return ((const struct strv *)source)->n_items == 0;
	case FIELD_RECORDS:
		return ((const struct list *)source)->n_items == 0;
	case FIELD_RECORD:
		return false;
	default: {
		_cleanup_free_ char *blank = mem_alloc(field->offset + sizeof(uint64_t));
		_cleanup_free_ char *ours = field_get(field, at), *theirs = NULL;
		bool same;

		if (field->fallback)
			(void)field_set(field, blank, field->fallback);
		theirs = field_get(field, blank);
		same = streq(ours, theirs);
		if (field->type == FIELD_STRING)
			str_set(field_of(field, blank), NULL);
		return same;
	}
	}
}

static struct fy_node *record_node(struct fy_document *document, const struct record *record,
				   const void *at, const struct field *key)
{
	struct fy_node *node = fy_node_create_mapping(document);

	for (size_t i = 0; i < record->n_fields; i++) {
		const struct field *field = &record->fields[i];
		struct fy_node *value;

		if (field == key || is_default(field, at))
			continue;
		value = field_node(document, field, at);
		if (value && fy_node_is_mapping(value) && fy_node_mapping_is_empty(value))
			fy_node_free(value);
		else if (value)
			append(document, node, field->name, value);
	}
	return node;
}

char *yaml_write(const struct record *record, const void *at)
{
	_cleanup_(document_freep) struct fy_document *document = fy_document_create(NULL);

	fy_document_set_root(document, record_node(document, record, at, NULL));
	return fy_emit_document_to_string(document, FYECF_MODE_BLOCK | FYECF_WIDTH_INF);
}
