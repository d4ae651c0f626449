/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/units.h"

#include <ctype.h>

#include "gate/mark.h"

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field file_fields[] = {
	{ "path", FIELD_STRING, AT(unit_file, path) },
	{ "text", FIELD_STRING, AT(unit_file, text) },
};
const struct record record_unit_file = RECORD(unit_file, file_fields);

#define HEADER "# Made by eyrie-gate-generator: eyrie-gate(8).\n"

char *unit_instance(const char *name)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (const char *s = name; *s; s++)
		if (*s == '/')
			strbuf_add(&b, "-");
		else if (isalnum((unsigned char)*s) || *s == ':' || *s == '_' ||
			 (*s == '.' && s != name))
			strbuf_add_bytes(&b, s, 1);
		else
			strbuf_printf(&b, "\\x%02x", (unsigned char)*s);
	return strbuf_take(&b);
}

char *unit_of_path(const char *path)
{
	_cleanup_strbuf_ struct strbuf clean = STRBUF_NULL;
	_cleanup_strv_ struct strv parts = STRV_NULL;

	strv_split(&parts, path, "/");
	for (size_t i = 0; i < parts.n_items; i++)
		strbuf_printf(&clean, "%s%s", i ? "/" : "", parts.items[i]);
	return clean.size ? unit_instance(clean.data) : str_dup("-");
}

/* '%' begins a specifier. */
static char *unit_quote(const char *s)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (; *s; s++)
		strbuf_add_bytes(&b, *s == '%' ? "%%" : s, *s == '%' ? 2 : 1);
	return strbuf_take(&b);
}

static struct unit_file *add(struct list *files, char *path, char *text)
{
	struct unit_file *file = list_add(files, &record_unit_file);

	file->path = path;
	file->text = text;
	return file;
}

static struct unit_file *find(struct list *files, const char *path)
{
	struct unit_file *all = files->items;

	for (size_t i = 0; i < files->n_items; i++)
		if (streq(all[i].path, path))
			return &all[i];
	return NULL;
}

static void append(struct unit_file *file, char *text)
{
	char *longer = str_printf("%s%s", file->text, text);

	free(file->text);
	free(text);
	file->text = longer;
}

/* So that it is stopped before its data is unmounted, when the machine goes down. */
static void add_order(struct unit_file *file, const struct held_gate *gate)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	FOR_EACH_MOUNT(mount, gate)
	{
		_cleanup_free_ char *name = unit_of_path(mount->path);

		strbuf_printf(&b, "%s%s.mount", b.size ? " " : "After=", name);
	}
	if (b.size)
		append(file, str_printf("%s\n", b.data));
}

/* Of a unit that several gates hold there is one file, with a condition for each. */
static void add_held(struct list *files, const struct held_gate *gate, const char *unit)
{
	_cleanup_free_ char *path = str_printf("normal/%s.d/50-eyrie-gate.conf", unit);
	_cleanup_free_ char *mark = mark_path(gate->name);
	struct unit_file *file = find(files, path);

	if (!file)
		file = add(files, take_ptr(path),
			   str_dup(HEADER "[Unit]\nAfter=eyrie-gate.service\n"));
	add_order(file, gate);
	append(file, str_printf("# Run 'eyrie unlock %s'\nConditionPathExists=%s\n", gate->name,
				mark));
}

/*
 * In front of what zfs-mount-generator makes of the same dataset, whose BindsTo on the unit that
 * loads the key unmounts what was opened by hand (zfs#12418).
 */
static void add_mount(struct list *files, const struct held_gate *gate,
		      const struct held_mount *mount)
{
	_cleanup_free_ char *name = unit_of_path(mount->path);
	_cleanup_free_ char *mark = mark_path(gate->name);
	_cleanup_free_ char *where = unit_quote(mount->path);
	_cleanup_free_ char *what = unit_quote(mount->dataset);

	add(files, str_printf("early/%s.mount", name),
	    str_printf(HEADER
		       "[Unit]\n"
		       "Description=%s, which needs the key of %s\n"
		       "Documentation=man:eyrie-gate(8)\n"
		       "# Run 'eyrie unlock %s'\n"
		       "ConditionFileNotEmpty=%s\n"
		       "DefaultDependencies=no\n"
		       "Conflicts=umount.target\n"
		       "Before=umount.target\n"
		       "\n"
		       "[Mount]\n"
		       "What=%s\n"
		       "Where=%s\n"
		       "Type=zfs\n"
		       "Options=zfsutil\n",
		       where, gate->name, gate->name, mark, what, where));
}

static void add_masks(struct list *files, const struct held_gate *gate)
{
	for (size_t i = 0; i < gate->roots.n_items; i++) {
		_cleanup_free_ char *instance = unit_instance(gate->roots.items[i]);

		add(files, str_printf("early/zfs-load-key@%s.service", instance), NULL);
	}
}

void units_make(const struct held *held, struct list *files)
{
	bool boot = false;

	FOR_EACH_HELD(gate, held)
	{
		boot |= gate->hold == GATE_BOOT;
		FOR_EACH_UNIT(unit, gate)
			add_held(files, gate, unit->name);
		FOR_EACH_MOUNT(mount, gate)
			add_mount(files, gate, mount);
		add_masks(files, gate);
	}
	if (boot)
		add(files, str_dup("normal/local-fs.target.d/50-eyrie-gate.conf"),
		    str_dup(HEADER "[Unit]\nWants=eyrie-gate-boot.service\n"
				   "After=eyrie-gate-boot.service\n"));
}
