/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "order.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "test.h"

static struct strv lines;

void order_begin(void)
{
	strv_deinit(&lines);
}

void order_note(const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	va_start(ap, format);
	line = str_vprintf(format, ap);
	va_end(ap);
	strv_add(&lines, line);
}

/* The first line from `from` on that begins so, or their number. */
static size_t find(size_t from, const char *begin)
{
	while (from < lines.n_items && !starts_with(lines.items[from], begin))
		from++;
	return from;
}

bool order_has(const char *begin)
{
	return find(0, begin) < lines.n_items;
}

void order_print(void)
{
	for (size_t i = 0; i < lines.n_items; i++)
		print_message("# %s\n", lines.items[i]);
}

void order_expect(const char *first, ...)
{
	const char *begin = first;
	size_t at = 0;
	va_list ap;

	va_start(ap, first);
	for (; begin; begin = va_arg(ap, const char *)) {
		at = find(at, begin);
		if (at == lines.n_items)
			order_print();
		if (at == lines.n_items)
			fail_msg("no '%s', or not in this order", begin);
		at++;
	}
	va_end(ap);
}

static const char *shorten(const char *path)
{
	const char *rest = starts_with(path, test_folder());

	return rest && *rest == '/' ? rest + 1 : path;
}

static void note_fd(const char *call, int fd)
{
	_cleanup_free_ char *link = str_printf("/proc/self/fd/%d", fd);
	char path[PATH_MAX];
	ssize_t n = readlink(link, path, sizeof(path) - 1);

	path[n < 0 ? 0 : n] = '\0';
	order_note("%s %s", call, shorten(path));
}

/* The program's own come before those of the C library. */

int fsync(int fd)
{
	note_fd("fsync", fd);
	return (int)syscall(SYS_fsync, fd);
}

int syncfs(int fd)
{
	note_fd("syncfs", fd);
	return (int)syscall(SYS_syncfs, fd);
}

int rename(const char *from, const char *to)
{
	order_note("rename %s %s", shorten(from), shorten(to));
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	order_note("unlink %s", shorten(path));
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int remove(const char *path)
{
	order_note("remove %s", shorten(path));
	if (syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0)
		return 0;
	return errno != EISDIR ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
