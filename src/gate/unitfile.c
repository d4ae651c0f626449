/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/unitfile.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"

/* systemd.unit(5), "Unit File Load Path"; who is in front hides those behind. */
static const char *const folders[] = {
	"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system",
	"/usr/lib/systemd/system",
};

/* What a gate may hold, and what is between it and who needs it. */
static const char *const kinds[] = { ".service", ".socket", ".path", ".timer", ".target" };

enum where {
	W_PATH,	    /* of a mount that it needs */
	W_STATE,    /* names below /var/lib, and so on */
	W_CACHE,
	W_LOGS,
	W_REQUIRES,
	W_AFTER,
	W_BEFORE,
	W_TRIGGERS,
	W_EXEC,
};

/* What systemd makes RequiresMountsFor= of, and whom a unit needs or starts. */
static const struct {
	const char *key;
	enum where where;
} keys[] = {
	{ "RequiresMountsFor", W_PATH },
	{ "WantsMountsFor", W_PATH },
	{ "WorkingDirectory", W_PATH },
	{ "RootDirectory", W_PATH },
	{ "RootImage", W_PATH },
	{ "PathExists", W_PATH },
	{ "PathChanged", W_PATH },
	{ "PathModified", W_PATH },
	{ "DirectoryNotEmpty", W_PATH },
	{ "ListenStream", W_PATH },
	{ "ListenDatagram", W_PATH },
	{ "ListenFIFO", W_PATH },
	{ "StateDirectory", W_STATE },
	{ "CacheDirectory", W_CACHE },
	{ "LogsDirectory", W_LOGS },
	{ "Requires", W_REQUIRES },
	{ "BindsTo", W_REQUIRES },
	{ "After", W_AFTER },
	{ "Before", W_BEFORE },
	{ "Service", W_TRIGGERS },
	{ "Unit", W_TRIGGERS },
	{ "ExecStart", W_EXEC },
};

static const char *const prefixes[] = {
	[W_STATE] = "/var/lib/",
	[W_CACHE] = "/var/cache/",
	[W_LOGS] = "/var/log/",
};

/* names */

static const char *kind_of(const char *name)
{
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && i < ARRAY_SIZE(kinds); i++)
		if (streq(dot, kinds[i]))
			return dot;
	return NULL;
}

/* "17-main" of "postgresql@17-main.service", "" of a template; NULL: it is neither. */
static char *instance_of(const char *name)
{
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	return at && dot > at ? str_printf("%.*s", (int)(dot - at - 1), at + 1) : NULL;
}

static char *template_of(const char *name)
{
	const char *at = strchr(name, '@');

	return str_printf("%.*s@%s", (int)(at - name), name, strrchr(name, '.'));
}

#define ESCAPE_SIZE 4 /* bytes of "\x20" */

/* The byte that is escaped at `text`, or '\0'. */
static char escaped(const char *text)
{
	unsigned c = 0;

	if (text[0] == '\\' && text[1] == 'x' && isxdigit((unsigned char)text[2]) &&
	    isxdigit((unsigned char)text[3]))
		(void)sscanf(text + 2, "%2x", &c);
	return (char)c;
}

/* The other way round from unit_of_path(). */
static char *unescape(const char *text)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (; *text; text++) {
		char c = escaped(text);

		if (c) {
			strbuf_add_bytes(&b, &c, 1);
			text += ESCAPE_SIZE - 1;
		} else {
			strbuf_add_bytes(&b, *text == '-' ? "/" : text, 1);
		}
	}
	return b.size ? strbuf_take(&b) : str_dup("");
}

#define OPEN "*" /* in the place of what only the manager knows, or a template leaves open */

/* With its specifiers, systemd.unit(5). */
static char *expand(const char *text, const char *name)
{
	static const char *const places[] = { ['S'] = "/var/lib", ['C'] = "/var/cache",
					      ['L'] = "/var/log", ['t'] = "/run", ['E'] = "/etc" };
	_cleanup_free_ char *instance = instance_of(name);
	_cleanup_free_ char *plain = unescape(instance ? instance : "");
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (; *text; text++) {
		unsigned char c = *text == '%' ? (unsigned char)text[1] : 0;
		const char *is = c < ARRAY_SIZE(places) ? places[c] : NULL;

		if (*text != '%') {
			strbuf_add_bytes(&b, text, 1);
			continue;
		}
		text++;
		if (c == '%')
			is = "%";
		else if (c == 'i' && !is_empty(instance))
			is = instance;
		else if (c == 'I' && !is_empty(instance))
			is = plain;
		strbuf_add(&b, is ? is : OPEN);
		if (!c)
			break;
	}
	return b.size ? strbuf_take(&b) : str_dup("");
}

/* values */

/* The folder above what is open: who needs /srv/%i needs /srv. */
static void cut(char *path)
{
	char *end = strstr(path, OPEN);

	if (!end)
		return;
	while (end > path && *end != '/')
		end--;
	*end = '\0';
}

/* "-" before a folder: it may be missing; "a:b" is a and a link b to it. systemd.exec(5) */
static void add_path(struct unit *unit, const char *prefix, const char *word)
{
	_cleanup_free_ char *path = NULL;

	word += *word == '-';
	path = prefix ? str_printf("%s%.*s", prefix, (int)strcspn(word, ":"), word) :
			str_dup(word);
	cut(path);
	if (*path == '/' && !strv_has(&unit->mounts_for, path))
		strv_add(&unit->mounts_for, path);
}

static void add_name(struct strv *names, const char *name)
{
	if (*name && !strstr(name, OPEN))
		strv_add(names, name);
}

static void add_exec(struct unit *unit, const char *line)
{
	char *longer = str_printf("%s%s%s", unit->exec ? unit->exec : "", unit->exec ? " ; " : "",
				  line);

	free(unit->exec);
	unit->exec = longer;
}

/* Words, of which one with spaces is quoted or has them as \x20. */
static void split(struct strv *words, const char *text)
{
	while (*(text += strspn(text, " \t"))) {
		_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
		char quote = '\0';

		for (; *text && (quote || !strchr(" \t", *text)); text++)
			if (*text == quote) {
				quote = '\0';
			} else if (!quote && strchr("\"'", *text)) {
				quote = *text;
			} else if (escaped(text) == ' ') {
				strbuf_add(&b, " ");
				text += ESCAPE_SIZE - 1;
			} else {
				strbuf_add_bytes(&b, text, 1);
			}
		strv_add(words, b.data ? b.data : "");
	}
}

static void take(struct unit *unit, enum where where, const char *value)
{
	_cleanup_strv_ struct strv words = STRV_NULL;

	if (where == W_EXEC) {
		_cleanup_free_ char *text = expand(value, unit->name);

		add_exec(unit, text);
		return;
	}
	split(&words, value);
	for (size_t i = 0; i < words.n_items; i++) {
		_cleanup_free_ char *word = expand(words.items[i], unit->name);

		switch (where) {
		case W_REQUIRES:
			add_name(&unit->requires, word);
			break;
		case W_AFTER:
			add_name(&unit->after, word);
			break;
		case W_BEFORE:
			add_name(&unit->before, word);
			break;
		case W_TRIGGERS:
			add_name(&unit->triggers, word);
			break;
		default:
			add_path(unit, where == W_PATH ? NULL : prefixes[where], word);
		}
	}
}

static void take_line(struct unit *unit, char *line)
{
	char *value = strchr(line, '=');

	if (!value || *line == '#' || *line == ';')
		return;
	*value++ = '\0';
	str_trim_end(line);
	value += strspn(value, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (streq(keys[i].key, line))
			take(unit, keys[i].where, value);
}

/* A backslash at its end joins a line with the next one. */
void unit_file_parse(struct unit *unit, char *text)
{
	_cleanup_strbuf_ struct strbuf whole = STRBUF_NULL;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		size_t n;

		str_trim_end(line);
		n = strlen(line);
		if (n && line[n - 1] == '\\') {
			line[n - 1] = ' ';
			strbuf_add(&whole, line);
			continue;
		}
		strbuf_add(&whole, line + (whole.size ? 0 : strspn(line, " \t")));
		take_line(unit, whole.data);
		strbuf_deinit(&whole);
		whole = (struct strbuf)STRBUF_NULL;
	}
}

/* files */

/* A pipe of that name would wait for a writer. */
static bool read_file(const char *path, struct unit *unit)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || file_read(path, &text))
		return false;
	if (text.size)
		unit_file_parse(unit, text.data);
	return text.size > 0; /* an empty one masks, as a link to /dev/null does */
}

static void read_drop_ins(const char *root, const char *name, struct unit *unit)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *folder = str_printf("%s%s/%s.d", root, folders[i], name);
		DIR *dir = opendir(folder);
		struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			_cleanup_free_ char *path = str_printf("%s/%s", folder, entry->d_name);
			const char *dot = strrchr(entry->d_name, '.');

			if (*entry->d_name != '.' && streq(dot, ".conf"))
				(void)read_file(path, unit);
		}
		if (dir)
			(void)closedir(dir);
	}
}

/* systemd.socket(5), systemd.path(5), systemd.timer(5): the service of its name. */
static void complete_trigger(struct unit *unit)
{
	const char *kind = kind_of(unit->name);

	if (!unit->triggers.n_items && !streq(kind, ".service") && !streq(kind, ".target"))
		strv_addf(&unit->triggers, "%.*s.service", (int)(kind - unit->name), unit->name);
}

static void read_unit(const char *root, const char *path, const char *name,
		      struct unit_list *list)
{
	_cleanup_free_ char *instance = instance_of(name), *template = NULL;
	struct unit *unit;

	if (unit_list_find(list, name))
		return;
	unit = unit_list_add(list, name);
	str_set(&unit->load, read_file(path, unit) ? "loaded" : "masked");
	if (!is_empty(instance)) {
		template = template_of(name);
		read_drop_ins(root, template, unit);
	}
	read_drop_ins(root, name, unit);
	complete_trigger(unit);
}

/* A link to a unit of another name is that unit's alias, and no unit by itself. */
static bool is_alias(const char *path, const char *name)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;

	return slash && kind_of(slash + 1) && !streq(slash + 1, name);
}

static void read_folder(const char *root, const char *folder, struct unit_list *list)
{
	_cleanup_free_ char *full = str_printf("%s%s", root, folder);
	DIR *dir = opendir(full);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *path = str_printf("%s/%s", full, entry->d_name);

		if (*entry->d_name != '.' && kind_of(entry->d_name) &&
		    !is_alias(path, entry->d_name))
			read_unit(root, path, entry->d_name, list);
	}
	if (dir)
		(void)closedir(dir);
}

/* who wants whom */

static void add_wish(const char *root, const char *path, const char *name, const char *by,
		     bool requires, struct unit_list *list)
{
	_cleanup_free_ char *instance = instance_of(name);
	struct unit *unit;

	if (!is_empty(instance))
		read_unit(root, path, name, list);
	unit = unit_list_find(list, name);
	if (unit)
		strv_add(requires ? &unit->required_by : &unit->wanted_by, by);
}

static void read_wishes(const char *root, const char *folder, const char *name,
			struct unit_list *list)
{
	_cleanup_free_ char *full = str_printf("%s%s/%s", root, folder, name);
	const char *dot = strrchr(name, '.');
	_cleanup_free_ char *by = str_printf("%.*s", (int)(dot - name), name);
	bool requires = streq(dot, ".requires");
	DIR *dir = opendir(full);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *path = str_printf("%s/%s", full, entry->d_name);

		if (*entry->d_name != '.' && kind_of(entry->d_name))
			add_wish(root, path, entry->d_name, by, requires, list);
	}
	if (dir)
		(void)closedir(dir);
}

static void read_all_wishes(const char *root, const char *folder, struct unit_list *list)
{
	_cleanup_free_ char *full = str_printf("%s%s", root, folder);
	DIR *dir = opendir(full);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		const char *dot = strrchr(entry->d_name, '.');

		if (*entry->d_name != '.' && (streq(dot, ".wants") || streq(dot, ".requires")))
			read_wishes(root, folder, entry->d_name, list);
	}
	if (dir)
		(void)closedir(dir);
}

static void turn_around(struct unit_list *list)
{
	FOR_EACH_SYSTEMD_UNIT(unit, list)
	{
		for (size_t i = 0; i < unit->requires.n_items; i++) {
			struct unit *needed = unit_list_find(list, unit->requires.items[i]);

			if (needed && !strv_has(&needed->required_by, unit->name))
				strv_add(&needed->required_by, unit->name);
		}
		for (size_t i = 0; i < unit->before.n_items; i++) {
			struct unit *later = unit_list_find(list, unit->before.items[i]);

			if (later)
				strv_add(&later->after, unit->name);
		}
		for (size_t i = 0; i < unit->triggers.n_items; i++) {
			struct unit *started = unit_list_find(list, unit->triggers.items[i]);

			if (started)
				strv_add(&started->triggered_by, unit->name);
		}
	}
}

void unit_files_read(const char *root, struct unit_list *list)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		read_folder(root, folders[i], list);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		read_all_wishes(root, folders[i], list);
	turn_around(list);
}
