/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "order.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "test.h"

const char *order_fails;
size_t order_left = ORDER_NO_END;
static struct strv lines;

void order_begin(void)
{
	strv_deinit(&lines);
	order_fails = NULL;
	order_left = ORDER_NO_END;
}

static void note(const char *format, va_list ap) _printf_(1, 0);

static void note(const char *format, va_list ap)
{
	_cleanup_free_ char *line = str_vprintf(format, ap);

	strv_add(&lines, line);
}

void order_note(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	note(format, ap);
	va_end(ap);
}

static bool is_like(const char *line, const char *begin)
{
	size_t n = strlen(begin);

	if (n && begin[n - 1] == '$')
		return strlen(line) == n - 1 && strncmp(line, begin, n - 1) == 0;
	return strncmp(line, begin, n) == 0;
}

/* The first line from `from` on that is like it, or their number. */
static size_t find(size_t from, const char *begin)
{
	while (from < lines.n_items && !is_like(lines.items[from], begin))
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

/* Notes a call; true when it is to fail. */
static bool note_call(const char *format, ...) _printf_(1, 2);

static bool note_call(const char *format, ...)
{
	va_list ap;
	bool fails;

	va_start(ap, format);
	note(format, ap);
	va_end(ap);
	fails = (order_fails && is_like(lines.items[lines.n_items - 1], order_fails)) || !order_left;
	order_left -= order_left && order_left != ORDER_NO_END;
	errno = fails ? EIO : errno;
	return fails;
}

static const char *shorten(const char *path)
{
	const char *rest = starts_with(path, test_folder());

	return rest && *rest == '/' ? rest + 1 : path;
}

static bool note_fd(const char *call, int fd)
{
	_cleanup_free_ char *link = str_printf("/proc/self/fd/%d", fd);
	char path[PATH_MAX];
	ssize_t n = readlink(link, path, sizeof(path) - 1);

	path[n < 0 ? 0 : n] = '\0';
	return note_call("%s %s", call, shorten(path));
}

/* The program's own come before those of the C library. No test looks at what is on a disk. */

int fsync(int fd)
{
	return note_fd("fsync", fd) ? -1 : 0;
}

int syncfs(int fd)
{
	return note_fd("syncfs", fd) ? -1 : 0;
}

/* Nothing is really frozen. */
int ioctl(int fd, unsigned long request, ...)
{
	void *argument;
	va_list ap;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	if (request == FIFREEZE || request == FITHAW)
		return note_fd(request == FIFREEZE ? "freeze" : "thaw", fd) ? -1 : 0;
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

int rename(const char *from, const char *to)
{
	if (note_call("rename %s %s", shorten(from), shorten(to)))
		return -1;
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlink(const char *path)
{
	if (note_call("unlink %s", shorten(path)))
		return -1;
	return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int remove(const char *path)
{
	if (note_call("remove %s", shorten(path)))
		return -1;
	if (syscall(SYS_unlinkat, AT_FDCWD, path, 0) == 0)
		return 0;
	return errno != EISDIR ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
