/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/diag.h"

static void add(struct diag *diag, enum diag_level level, const char *format, va_list ap)
{
	struct diag_item *item;

	if (!diag)
		return;
	diag->items = mem_grow(diag->items, diag->n_items, sizeof(*diag->items));
	item = &diag->items[diag->n_items++];
	item->level = level;
	item->text = str_vprintf(format, ap);
	diag->n_errors += level == DIAG_ERROR;
}

static struct diag_item *newest(struct diag *diag)
{
	return diag && diag->n_items ? &diag->items[diag->n_items - 1] : NULL;
}

int diag_verror(struct diag *diag, int r, const char *format, va_list ap)
{
	add(diag, DIAG_ERROR, format, ap);
	return r;
}

int diag_error(struct diag *diag, int r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(diag, DIAG_ERROR, format, ap);
	va_end(ap);
	return r;
}

void diag_warning(struct diag *diag, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(diag, DIAG_WARNING, format, ap);
	va_end(ap);
}

void diag_note(struct diag *diag, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(diag, DIAG_NOTE, format, ap);
	va_end(ap);
}

void diag_hint(struct diag *diag, const char *format, ...)
{
	struct diag_item *item = newest(diag);
	va_list ap;

	if (!item)
		return;
	free(item->hint);
	va_start(ap, format);
	item->hint = str_vprintf(format, ap);
	va_end(ap);
}

void diag_place(struct diag *diag, const char *file, unsigned line, unsigned column,
		const char *excerpt)
{
	struct diag_item *item = newest(diag);

	if (!item)
		return;
	str_set(&item->file, file);
	str_set(&item->excerpt, excerpt);
	item->line = line;
	item->column = column;
}

void diag_context(struct diag *diag, const char *format, ...)
{
	struct diag_item *item = newest(diag);
	_cleanup_free_ char *context = NULL, *text = NULL;
	va_list ap;

	if (!item)
		return;
	va_start(ap, format);
	context = str_vprintf(format, ap);
	va_end(ap);
	text = str_printf("%s: %s", context, item->text);
	str_set(&item->text, text);
}

void diag_deinit(struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++) {
		free(diag->items[i].text);
		free(diag->items[i].hint);
		free(diag->items[i].file);
		free(diag->items[i].excerpt);
	}
	free(diag->items);
	*diag = (struct diag)DIAG_NULL;
}
