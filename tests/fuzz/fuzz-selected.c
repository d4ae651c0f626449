/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes as LoaderEntrySelected: what comes out is a name of a file, and so is a hash in it. */

#include "boot/text.h"
#include "fuzz.h"
#include "observe/observe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *name = entry_selected(data, size);
	_cleanup_free_ char *hash = boot_entry_hash(name, "6.1");

	if (name && (!*name || strchr(name, '/')))
		abort();
	if (hash && (!*hash || strpbrk(hash, "/.-")))
		abort();
	return 0;
}
