/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How things look on the terminal. */

#include <stdio.h>

#include "cli/cli.h"

static const char *const level_names[] = { "error", "warning", "note" };

static void view_excerpt(const struct diag_item *item)
{
	fprintf(stderr, "    %s\n    ", item->excerpt);
	for (unsigned i = 1; i < item->column; i++)
		fputc(item->excerpt[i - 1] == '\t' ? '\t' : ' ', stderr);
	fprintf(stderr, "^\n");
}

static void view_finding(const struct diag_item *item)
{
	if (item->file)
		fprintf(stderr, "%s:%u:%u: %s: %s\n", item->file, item->line, item->column,
			level_names[item->level], item->text);
	else
		fprintf(stderr, "eyrie: %s: %s\n", level_names[item->level], item->text);
	if (!is_empty(item->excerpt))
		view_excerpt(item);
	if (item->hint)
		fprintf(stderr, "    -> %s\n", item->hint);
}

void view_findings(const struct diag *diag, bool quiet)
{
	for (size_t i = 0; i < diag->n_items; i++)
		if (!quiet || diag->items[i].level == DIAG_ERROR)
			view_finding(&diag->items[i]);
}

struct json_object *view_findings_json(const struct diag *diag)
{
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < diag->n_items; i++) {
		const struct diag_item *item = &diag->items[i];
		struct json_object *json = json_object_new_object();

		json_object_object_add(json, "level",
				       json_object_new_string(level_names[item->level]));
		json_object_object_add(json, "text", json_object_new_string(item->text));
		if (item->hint)
			json_object_object_add(json, "hint", json_object_new_string(item->hint));
		if (item->file) {
			json_object_object_add(json, "file", json_object_new_string(item->file));
			json_object_object_add(json, "line", json_object_new_int64(item->line));
			json_object_object_add(json, "column",
					       json_object_new_int64(item->column));
		}
		json_object_array_add(array, json);
	}
	return array;
}

static void view_details(const char *details, FILE *out)
{
	_cleanup_strv_ struct strv lines = STRV_NULL;

	strv_split(&lines, details, "\n");
	for (size_t i = 0; i < lines.n_items; i++)
		fprintf(out, "     %s\n", lines.items[i]);
}

void view_plan(const struct plan *plan, FILE *out)
{
	size_t i = 0;

	FOR_EACH_ITEM(struct step, step, &plan->steps)
	{
		fprintf(out, "%3zu. %s\n", ++i, step->text);
		if (!is_empty(step->details))
			view_details(step->details, out);
		if (step->destroys)
			fprintf(out, "     DESTROYS %s\n", step->destroys);
		if (step->consent_missing)
			fprintf(out, "     only with --wipe %s\n", step->disk);
	}
}

void view_json(struct json_object *json, FILE *out)
{
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(json);
}
