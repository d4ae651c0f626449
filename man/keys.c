/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Prints the KEYS section of eyrie.yaml(5), or with "gates" of eyrie-gate(8), in scdoc(5), from
 * the schema that the reader uses.
 */

#include <stdio.h>

#include "layout/gate.h"
#include "layout/layout.h"

static void print_escaped(const char *text)
{
	for (; *text; text++) {
		if (strchr("_*#\\`", *text))
			putchar('\\');
		putchar(*text);
	}
}

static void print_kind(const struct field *field)
{
	if (field->type != FIELD_CHOICE) {
		printf("%s", field_wants(field));
		return;
	}
	for (size_t i = 0; field->choices[i]; i++)
		printf("%s%s", i ? " or " : "", field->choices[i]);
}

static void print_fields(const struct record *record, const char *prefix);

static void print_field(const struct field *field, const char *prefix)
{
	_cleanup_free_ char *name = str_printf("%s%s", prefix, field->name);
	bool keyed = field->type == FIELD_RECORDS && !(field->flags & FIELD_PAIRS);
	const char *member = !keyed ? "" : record_key(field->record) ? ".NAME" : "[]";

	printf("*%s*: ", name);
	print_kind(field);
	if (field->flags & FIELD_REQUIRED)
		printf("; required");
	if (field->fallback)
		printf("; default *%s*", field->fallback);
	printf("\n\t");
	print_escaped(field->help);
	printf("\n\n");
	if (field->record && !(field->flags & FIELD_PAIRS)) {
		_cleanup_free_ char *below = str_printf("%s%s.", name, member);

		print_fields(field->record, below);
	}
}

static void print_fields(const struct record *record, const char *prefix)
{
	for (size_t i = 0; i < record->n_fields; i++)
		if (!(record->fields[i].flags & FIELD_KEY))
			print_field(&record->fields[i], prefix);
}

int main(int argc, char **argv)
{
	bool gates = argc > 1 && streq(argv[1], "gates");

	printf("\n# KEYS\n\n");
	print_fields(gates ? &record_gates : &record_layout, "");
	return 0;
}
