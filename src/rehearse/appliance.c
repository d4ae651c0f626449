/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/appliance.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#define APPLIANCE_SECONDS 1800u
#define CARGO_ROOM	  (16 * MIB) /* beside the files */

int appliance_make(struct runner *runner, const char *libexec, const char *cache,
		   const char *tarball, char **ret, struct diag *diag)
{
	_cleanup_free_ char *script = str_printf("%s/appliance.sh", libexec);
	_cleanup_free_ char *path = NULL;
	const char *const argv[] = { script, "image", cache, tarball, NULL };
	int r;

	r = run(runner,
		&(struct command){
			.argv = argv, .deadline = APPLIANCE_SECONDS, .ret_output = &path },
		diag);
	if (r)
		return r;
	str_trim_end(path);
	*ret = take_ptr(path);
	return 0;
}

static uint64_t size_of_files(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	uint64_t size = 0;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
			size += (uint64_t)st.st_size;
	if (dir)
		closedir(dir);
	return size;
}

int cargo_make(struct runner *runner, const char *folder, const char *image,
	       struct diag *diag)
{
	_cleanup_free_ char *size = str_printf(
		"%lluM", (unsigned long long)((size_of_files(folder) + CARGO_ROOM) / MIB));

	return run_words(runner, diag, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal",
			 "-d", folder, image, size, NULL);
}
