/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes: a layout that reads back as itself, or findings that all have a place in the text. */

#include "fuzz.h"
#include "layout/layout.h"

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static void expect_place(const struct diag_item *item, const char *text)
{
	unsigned n_lines = 2; /* what is missing at the end is missed on the line after it */

	if (!item->file)
		return;
	for (; *text; text++)
		n_lines += strchr("\n\r\x85\xa8\xa9", *text) != NULL; /* and NEL, LS, PS */
	expect(item->line >= 1 && item->line <= n_lines && item->column >= 1);
	expect(item->column <= strlen(item->excerpt) + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = str_printf("%.*s", (int)size, (const char *)data);
	_cleanup_(layout_freep) struct layout *layout = NULL, *back = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = layout_parse("fuzz", text, &layout, &diag);

	for (size_t i = 0; i < diag.n_items; i++)
		expect_place(&diag.items[i], text);
	expect(r ? diag.n_errors > 0 && !layout : diag.n_errors == 0 && layout);
	if (layout) {
		_cleanup_free_ char *dump = layout_dump(layout);

		expect(layout_parse("dump", dump, &back, NULL) == 0);
		expect(record_equal(&record_layout, layout, back));
	}
	return 0;
}
