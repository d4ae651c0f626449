/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as the file of an instance: paths that it needs begin with '/', names are not empty. */

#include "fuzz.h"
#include "gate/unitfile.h"

static void expect(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = str_printf("%.*s", (int)size, (const char *)data);
	_cleanup_(unit_list_freep) struct unit_list *list = mem_alloc(sizeof(*list));
	struct unit *unit = unit_list_add(list, "a@b\\x2dc-d.service");

	unit_file_parse(unit, text);
	for (size_t i = 0; i < unit->mounts_for.n_items; i++)
		expect(*unit->mounts_for.items[i] == '/');
	for (size_t i = 0; i < unit->requires.n_items; i++)
		expect(*unit->requires.items[i]);
	return 0;
}
