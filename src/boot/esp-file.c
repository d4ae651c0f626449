/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/esp-file.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>

#include "base/file.h"

/* Compare with what the medium holds, not with what is still in memory. */
static int read_back(const char *source, const char *copy)
{
	_cleanup_close_ int fd = open(copy, O_RDONLY | O_CLOEXEC);
	char expected[HASH_HEX_SIZE], found[HASH_HEX_SIZE];
	int r;

	if (fd < 0)
		return -errno;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	r = file_hash(source, expected);
	if (r == 0)
		r = fd_hash(fd, UINT64_MAX, found);
	if (r)
		return r;
	return streq(expected, found) ? 0 : -EIO;
}

/*
 * rename() over another file on FAT leaves the slot of that name in the folder with the old file's
 * clusters until the inode is written, which fsync() of the folder does not do: the file comes first.
 */
static int commit(const char *aside, const char *copy, int fd)
{
	_cleanup_free_ char *path = str_dup(copy);

	if (rename(aside, copy) < 0 || fsync(fd) < 0)
		return -errno;
	return file_sync_folder(dirname(path));
}

static int copy_aside(const char *source, int from, const char *aside, int to)
{
	int r = fd_copy(from, to);

	if (r == 0 && fsync(to) < 0)
		r = -errno;
	return r ? r : read_back(source, aside);
}

int esp_file_copy(const char *esp, const char *source, const char *name, struct diag *diag)
{
	_cleanup_free_ char *copy = str_printf("%s/%s", esp, name);
	_cleanup_free_ char *aside = str_printf("%s" ESP_FILE_ASIDE, copy);
	_cleanup_close_ int from = open(source, O_RDONLY | O_CLOEXEC), to = -1;
	int r;

	if (from < 0)
		return diag_error(diag, -errno, "cannot read %s: %m", source);
	to = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	r = to < 0 ? -errno : copy_aside(source, from, aside, to);
	if (r == 0)
		r = commit(aside, copy, to);
	if (r) {
		(void)unlink(aside);
		return diag_error(diag, r, "cannot put %s on the EFI system partition: %s",
				  source, strerror(-r));
	}
	return 0;
}

bool esp_file_is_same(const char *source, const char *copy)
{
	char a[HASH_HEX_SIZE], b[HASH_HEX_SIZE];

	return file_hash(source, a) == 0 && file_hash(copy, b) == 0 && streq(a, b);
}
