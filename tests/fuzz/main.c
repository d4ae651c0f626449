/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Replay each file of the corpus folders that are given: crashers of the past stay away. */

#include <dirent.h>
#include <stdio.h>

#include "base/file.h"
#include "fuzz.h"

static bool replay(const char *path)
{
	_cleanup_strbuf_ struct strbuf data = STRBUF_NULL;
	_cleanup_free_ uint8_t *exact = NULL;

	if (file_read(path, &data))
		return false;
	/* No byte more than libFuzzer gives, so that a sanitizer sees what reads beyond. */
	exact = mem_alloc(data.size);
	memcpy(exact, data.data, data.size);
	(void)LLVMFuzzerTestOneInput(exact, data.size);
	return true;
}

static unsigned replay_folder(const char *folder, unsigned n)
{
	struct dirent **entries;
	int n_entries = scandir(folder, &entries, NULL, alphasort);

	for (int i = 0; i < n_entries; i++) {
		_cleanup_free_ char *path = str_printf("%s/%s", folder, entries[i]->d_name);

		if (*entries[i]->d_name != '.')
			printf("%sok %u - %s\n", replay(path) ? "" : "not ", ++n,
			       entries[i]->d_name);
		fflush(stdout);
		free(entries[i]);
	}
	if (n_entries >= 0)
		free(entries);
	return n;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		n = replay_folder(argv[i], n);
	printf("1..%u\n", n);
	return n ? 0 : 1;
}
