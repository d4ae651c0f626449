/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"

static char folder[] = "/tmp/eyrie-test-XXXXXX";
static pid_t owner;
static struct strv paths;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	if (owner != getpid())
		return;
	(void)nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	strv_deinit(&paths);
}

const char *test_folder(void)
{
	if (owner)
		return folder;
	assert_non_null(mkdtemp(folder));
	owner = getpid();
	(void)atexit(clean_up);
	return folder;
}

const char *test_path(const char *name)
{
	strv_addf(&paths, "%s/%s", test_folder(), name);
	return paths.items[paths.n_items - 1];
}

size_t test_count(const char *name)
{
	DIR *dir = opendir(test_path(name));
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir)))
		n += *entry->d_name != '.';
	if (dir)
		closedir(dir);
	return n;
}

void test_write(const char *path, const void *data, size_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, data, size), 0);
}

char *test_hash(const char *path)
{
	char hash[HASH_HEX_SIZE];

	assert_int_equal(file_hash(path, hash), 0);
	return str_dup(hash);
}

const char *test_only_finding(const struct diag *diag)
{
	if (diag->n_items > 1)
		fail_msg("a second finding: %s", diag->items[1].text);
	return diag->n_items ? diag->items[0].text : NULL;
}

struct layout *test_layout(const char *text)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct layout *layout = NULL;

	if (layout_parse("test.yaml", text, &layout, &diag))
		fail_msg("%s, in:\n%s", diag.items[0].text, text);
	return layout;
}
