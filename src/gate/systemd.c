/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/systemd.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define AT(type, member) .offset = offsetof(struct type, member)

/* As systemctl show names them. */
static const struct field unit_fields[] = {
	{ "Id", FIELD_STRING, AT(unit, name) },
	{ "LoadState", FIELD_STRING, AT(unit, load) },
	{ "ActiveState", FIELD_STRING, AT(unit, active) },
	{ "UnitFileState", FIELD_STRING, AT(unit, file_state) },
	{ "Job", FIELD_STRING, AT(unit, job) },
	{ "ConditionResult", FIELD_BOOL, AT(unit, condition) },
	{ "RequiresMountsFor", FIELD_STRINGS, AT(unit, mounts_for) },
	{ "WantedBy", FIELD_STRINGS, AT(unit, wanted_by) },
	{ "RequiredBy", FIELD_STRINGS, AT(unit, required_by) },
	{ "TriggeredBy", FIELD_STRINGS, AT(unit, triggered_by) },
	{ "Triggers", FIELD_STRINGS, AT(unit, triggers) },
	{ "Requires", FIELD_STRINGS, AT(unit, requires) },
	{ "After", FIELD_STRINGS, AT(unit, after) },
	{ "Before", FIELD_STRINGS, AT(unit, before) },
	{ "ConsistsOf", FIELD_STRINGS, AT(unit, consists_of) },
	{ "ExecStart", FIELD_STRING, AT(unit, exec) },
};
static const struct record record_unit = RECORD(unit, unit_fields);

#define TRIED	   "ConditionTimestampMonotonic"
#define PROPERTIES                                                                             \
	"Id,LoadState,ActiveState,UnitFileState,Job,ConditionResult,RequiresMountsFor,"        \
	"WantedBy,RequiredBy,BoundBy,TriggeredBy,Triggers,Requires,BindsTo,After,ConsistsOf,"  \
	"ExecStart,"                                                                           \
	TRIED

bool systemd_runs(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

/* There may be several, and each may go on. */
static void add_exec(struct unit *unit, const char *separator, const char *text)
{
	char *longer = str_printf("%s%s%s", unit->exec ? unit->exec : "",
				  unit->exec ? separator : "", text);

	free(unit->exec);
	unit->exec = longer;
}

static void take_words(struct unit *unit, const char *name, const char *value)
{
	/* Those that bind harder need it as well. */
	const char *as = streq(name, "BoundBy") ? "RequiredBy" :
			 streq(name, "BindsTo") ? "Requires" :
						  name;
	const struct field *field = record_field(&record_unit, as, strlen(as));

	if (streq(name, "ExecStart"))
		add_exec(unit, " ; ", value);
	else if (field && field->type == FIELD_STRINGS)
		strv_split(field_of(field, unit), value, " ");
	else if (field)
		(void)field_set(field, unit, value);
	else if (streq(name, TRIED))
		unit->tried = !streq(value, "0") && *value;
}

/* The value of a line that begins with a property which was asked for, or NULL. */
static char *value_of(char *line)
{
	size_t n = strcspn(line, "="), length;

	for (const char *s = PROPERTIES; line[n] && *s; s += length + (s[length] == ',')) {
		length = strcspn(s, ",");
		if (length == n && memcmp(s, line, n) == 0)
			return line + n + 1;
	}
	return NULL;
}

/*
 * An empty line is between two units, and both it and any other text may be in a command line, whose
 * newlines systemctl prints as they are.
 */
int systemd_parse(char *text, struct unit_list *list)
{
	struct unit *unit = NULL;
	bool between = true;
	char *line;

	while ((line = strsep(&text, "\n"))) {
		char *value = value_of(line);

		if (!value && !*line) {
			between = true;
			continue;
		}
		if (!value && !unit)
			return -EINVAL;
		if (value && between)
			unit = list_add(&list->units, &record_unit);
		between = false;
		if (!value) {
			add_exec(unit, " ", line);
			continue;
		}
		value[-1] = '\0';
		take_words(unit, line, value);
	}
	for (size_t i = 0; i < list->units.n_items; i++)
		if (!((struct unit *)list_at(&list->units, &record_unit, i))->name)
			return -EINVAL;
	return 0;
}

/* A template stands for its instances, which systemctl finds by a pattern. */
static void add_name(struct strv *argv, const char *name)
{
	const char *open = strstr(name, "@.");

	if (open)
		strv_addf(argv, "%.*s@*%s", (int)(open - name), name, open + 1);
	else
		strv_add(argv, name);
}

/* Of the units that these arguments name, beside those that are in `list`. */
static int show(struct runner *run_by, const struct strv *names, struct unit_list *list,
		struct diag *diag)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;
	_cleanup_free_ char *output = NULL;
	int r;

	strv_add_all(&argv, "systemctl", "show", "--all", "--property=" PROPERTIES, "--", NULL);
	for (size_t i = 0; i < names->n_items; i++)
		add_name(&argv, names->items[i]);
	r = run(run_by, &(struct command){ .argv = (const char *const *)argv.items,
					   .ret_output = &output }, diag);
	if (r == 0 && output && systemd_parse(output, list))
		r = diag_error(diag, -EINVAL, "systemctl show says what nobody expects");
	return r;
}

/*
 * A pool of thousands of volumes has as many devices, of which nobody here wants to know; mounts
 * are asked for by themselves, and missed where there are too many of them to be told.
 */
static int show_all(struct runner *run_by, struct unit_list *list, struct diag *diag)
{
	_cleanup_strv_ struct strv kinds = STRV_NULL, mounts = STRV_NULL;
	int r;

	strv_add_all(&kinds, "*.service", "*.socket", "*.path", "*.timer", "*.target", NULL);
	strv_add(&mounts, "*.mount");
	r = show(run_by, &kinds, list, diag);
	if (r)
		return r;
	r = show(run_by, &mounts, list, NULL);
	if (r == 0 || r == -EFBIG)
		return 0;
	return diag_error(diag, r, "systemctl does not say which mounts there are");
}

int systemd_show(struct runner *run_by, const struct strv *names, struct unit_list **ret,
		 struct diag *diag)
{
	_cleanup_(unit_list_freep) struct unit_list *list = mem_alloc(sizeof(*list));
	int r = 0;

	if (!names)
		r = show_all(run_by, list, diag);
	else if (names->n_items)
		r = show(run_by, names, list, diag);
	if (r)
		return r;
	*ret = take_ptr(list);
	return 0;
}

bool systemd_has_failed(struct runner *run_by)
{
	_cleanup_free_ char *output = NULL;
	const char *const argv[] = { "systemctl", "show", "--value", "--property=NFailedUnits", NULL };

	return run(run_by, &(struct command){ .argv = argv, .ret_output = &output }, NULL) ||
	       !starts_with(output, "0\n");
}

struct unit_list *unit_list_free(struct unit_list *list)
{
	if (list)
		list_deinit(&list->units, &record_unit);
	free(list);
	return NULL;
}

struct unit *unit_list_add(struct unit_list *list, const char *name)
{
	struct unit *unit = list_add(&list->units, &record_unit);

	unit->name = str_dup(name);
	return unit;
}

struct unit *unit_list_find(const struct unit_list *list, const char *name)
{
	FOR_EACH_SYSTEMD_UNIT(unit, list)
		if (streq(unit->name, name))
			return unit;
	return NULL;
}

int systemd_do(struct runner *run_by, const char *verb, bool block, const struct strv *units,
	       struct diag *diag)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;

	if (!units->n_items)
		return 0;
	strv_add_all(&argv, "systemctl", verb, NULL);
	if (!block)
		strv_add(&argv, "--no-block");
	strv_add(&argv, "--");
	for (size_t i = 0; i < units->n_items; i++)
		add_name(&argv, units->items[i]);
	return run(run_by, &(struct command){ .argv = (const char *const *)argv.items }, diag);
}

int systemd_reload(struct runner *run_by, struct diag *diag)
{
	return run_words(run_by, diag, "systemctl", "daemon-reload", NULL);
}

void systemd_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	size_t size;

	if (is_empty(path) || strlen(path) >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (*path == '@')
		address.sun_path[0] = '\0';
	size = offsetof(struct sockaddr_un, sun_path) + strlen(path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
			     (const struct sockaddr *)&address, (socklen_t)size);
}
