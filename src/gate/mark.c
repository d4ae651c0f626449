/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/mark.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#include "base/file.h"

static const char *const texts[] = {
	[MARK_OVERDUE] = "",
	[MARK_OPENING] = "opening\n",
	[MARK_STARTED] = "started\n",
	[MARK_OPEN] = "open\n",
};

int mark_lock(int *ret_fd, struct diag *diag)
{
	int r = file_make_folder(GATE_RUN, diag);

	return r ? r : file_lock(GATE_RUN "/.lock", ret_fd, diag);
}

static char *path_of(const char *prefix, const char *name)
{
	char *path = str_printf("%s/%s%s", GATE_RUN, prefix, name);

	for (char *s = path + strlen(GATE_RUN) + 1; *s; s++)
		if (*s == '/')
			*s = '+';
	return path;
}

char *mark_path(const char *name)
{
	return path_of("", name);
}

enum mark mark_get(const char *name)
{
	_cleanup_free_ char *path = mark_path(name);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;

	if (file_read(path, &text))
		return MARK_NONE;
	for (enum mark mark = MARK_OVERDUE; mark <= MARK_OPEN; mark++)
		if (streq(text.data ? text.data : "", texts[mark]))
			return mark;
	return MARK_OPENING;
}

static int remove_file(const char *path, struct diag *diag)
{
	if (unlink(path) < 0 && errno != ENOENT)
		return diag_error(diag, -errno, "cannot remove %s: %m", path);
	return 0;
}

int mark_set(const char *name, enum mark mark, struct diag *diag)
{
	_cleanup_free_ char *path = mark_path(name);

	return mark == MARK_NONE ? remove_file(path, diag) :
				   file_replace(path, texts[mark], 0644, diag);
}

int64_t mark_age(const char *name)
{
	_cleanup_free_ char *path = mark_path(name);
	struct timespec now; /* time() may be a tick behind what a file gets */
	struct stat st;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return stat(path, &st) < 0 || st.st_mtime > now.tv_sec ? INT64_MAX :
								  now.tv_sec - st.st_mtime;
}

bool mark_is_locked(const char *name)
{
	_cleanup_free_ char *path = path_of(".locked-", name);

	return access(path, F_OK) == 0;
}

bool mark_is_locked_in(const char *name, const char *gate)
{
	_cleanup_free_ char *at = str_dup(name);

	while (is_below(at, gate)) {
		if (mark_is_locked(at))
			return true;
		*strrchr(at, '/') = '\0';
	}
	return mark_is_locked(gate);
}

int mark_set_locked(const char *name, bool locked, struct diag *diag)
{
	_cleanup_free_ char *path = path_of(".locked-", name);

	return locked ? file_replace(path, "", 0644, diag) : remove_file(path, diag);
}

int mark_unlock_all(const char *name, struct diag *diag)
{
	_cleanup_free_ char *first = path_of(".locked-", name);
	const char *prefix = strrchr(first, '/') + 1;
	DIR *dir = opendir(GATE_RUN);
	struct dirent *entry;
	int r = 0;

	while (dir && r == 0 && (entry = readdir(dir))) {
		const char *rest = starts_with(entry->d_name, prefix);

		if (rest && (!*rest || *rest == '+') && unlinkat(dirfd(dir), entry->d_name, 0) < 0)
			r = diag_error(diag, -errno, "cannot remove %s/%s: %m", GATE_RUN,
				       entry->d_name);
	}
	if (dir)
		(void)closedir(dir);
	return r;
}

int64_t mark_since(const char *name, int64_t now)
{
	_cleanup_free_ char *path = path_of(".since-", name);
	_cleanup_free_ char *line = file_read_line(path), *text = NULL;

	if (line)
		return strtoll(line, NULL, 10);
	text = str_printf("%lld\n", (long long)now);
	(void)file_replace(path, text, 0644, NULL);
	return now;
}

void mark_forget_since(const char *name)
{
	_cleanup_free_ char *path = path_of(".since-", name);

	(void)unlink(path);
}

void mark_ran(const char *name, struct strv *units)
{
	_cleanup_free_ char *path = path_of(".ran-", name);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	_cleanup_strv_ struct strv lines = STRV_NULL;

	if (file_read(path, &text) || !text.size)
		return;
	strv_split(&lines, text.data, "\n");
	for (size_t i = 0; i < lines.n_items; i++)
		if (!strv_has(units, lines.items[i]))
			strv_add(units, lines.items[i]);
}

int mark_set_ran(const char *name, const struct strv *units, struct diag *diag)
{
	_cleanup_free_ char *path = path_of(".ran-", name);
	_cleanup_free_ char *text = strv_join(units, "\n");

	return units->n_items ? file_replace(path, text, 0644, diag) : remove_file(path, diag);
}
