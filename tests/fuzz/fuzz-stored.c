/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as the list of an environment's kernels: each is the name of a folder, and comes back so. */

#include "boot/store.h"
#include "fuzz.h"
#include "observe/observe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = str_printf("%.*s", (int)size, (const char *)data), *again = NULL;
	struct observed_stored stored = {}, same = {};

	stored_parse(text, &stored);
	FOR_EACH_ITEM(struct observed_kernel, kernel, &stored.kernels)
		if (!*kernel->version || strpbrk(kernel->version, "/ \n") ||
		    strlen(kernel->hash) != KERNEL_HASH_SIZE - 1)
			abort();
	again = store_list(stored.options ? stored.options : "", &stored.kernels);
	stored_parse(again, &same);
	if (same.kernels.n_items != stored.kernels.n_items)
		abort();
	record_deinit(&record_observed_stored, &stored);
	record_deinit(&record_observed_stored, &same);
	return 0;
}
