/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/held.h"

#include "base/file.h"

#define AT(type, member) .offset = offsetof(struct type, member)

static const char *const hold_choices[] = { "by-mounts", "listed", "all", "boot", NULL };

static const struct field mount_fields[] = {
	{ "dataset", FIELD_STRING, AT(held_mount, dataset) },
	{ "path", FIELD_STRING, AT(held_mount, path) },
};
const struct record record_held_mount = RECORD(held_mount, mount_fields);

static const struct field unit_fields[] = {
	{ "name", FIELD_STRING, AT(held_unit, name) },
	{ "why", FIELD_STRING, AT(held_unit, why) },
	{ "asleep", FIELD_BOOL, AT(held_unit, asleep) },
};
const struct record record_held_unit = RECORD(held_unit, unit_fields);

static const struct field gate_fields[] = {
	{ "name", FIELD_STRING, AT(held_gate, name) },
	{ "hold", FIELD_CHOICE, AT(held_gate, hold), .choices = hold_choices },
	{ "policy", FIELD_STRING, AT(held_gate, policy) },
	{ "roots", FIELD_STRINGS, AT(held_gate, roots) },
	{ "mounts", FIELD_RECORDS, AT(held_gate, mounts), .record = &record_held_mount },
	{ "units", FIELD_RECORDS, AT(held_gate, units), .record = &record_held_unit },
};
const struct record record_held_gate = RECORD(held_gate, gate_fields);

static const struct field held_fields[] = {
	{ "gates", FIELD_RECORDS, AT(held, gates), .record = &record_held_gate },
};
const struct record record_held = RECORD(held, held_fields);

/* Names and paths go into units: what a unit cannot hold is no work of sync. */
static int check(const struct held *held, const char *path, struct diag *diag)
{
	FOR_EACH_HELD(gate, held)
	{
		if (!gate->name || strpbrk(gate->name, "\n%"))
			return diag_error(diag, -EINVAL, "%s has a gate without a name", path);
		FOR_EACH_MOUNT(mount, gate)
			if (!mount->dataset || !mount->path || *mount->path != '/' ||
			    strchr(mount->dataset, '\n') || strchr(mount->path, '\n'))
				return diag_error(diag, -EINVAL, "%s has a mount without a path",
						  path);
		FOR_EACH_UNIT(unit, gate)
			if (is_empty(unit->name) || strpbrk(unit->name, "/\n") ||
			    *unit->name == '.')
				return diag_error(diag, -EINVAL, "%s has a unit without a name",
						  path);
	}
	return 0;
}

int held_read(const char *path, struct held **ret, struct diag *diag)
{
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct json_object *json;
	int r = file_read(path, &text);

	if (r == -ENOENT) {
		*ret = take_ptr(held);
		return 0;
	}
	if (r)
		return diag_error(diag, r, "cannot read %s: %s", path, strerror(-r));
	json = json_tokener_parse(text.data ? text.data : "");
	r = json ? record_from_json(&record_held, held, json, diag) :
		   diag_error(diag, -EINVAL, "%s is not JSON", path);
	json_object_put(json);
	if (r == 0)
		r = check(held, path, diag);
	if (r) {
		diag_hint(diag, "eyrie gate sync writes it anew");
		return r;
	}
	*ret = take_ptr(held);
	return 0;
}

char *held_dump(const struct held *held)
{
	struct json_object *json = record_to_json(&record_held, held);
	char *text = str_printf("%s\n", json_object_to_json_string_ext(
						json, JSON_C_TO_STRING_PRETTY |
							      JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(json);
	return text;
}

struct held *held_free(struct held *held)
{
	if (held)
		record_deinit(&record_held, held);
	free(held);
	return NULL;
}

struct held_gate *held_gate(const struct held *held, const char *name)
{
	FOR_EACH_HELD(gate, held)
		if (streq(gate->name, name))
			return gate;
	return NULL;
}

/* "a@.service" of "a@b.service"; NULL: it is no instance. */
static char *template_of(const char *name)
{
	const char *at = strchr(name, '@'), *dot = strrchr(name, '.');

	return at && dot > at ? str_printf("%.*s%s", (int)(at + 1 - name), name, dot) : NULL;
}

bool held_has_unit(const struct held_gate *gate, const char *name)
{
	_cleanup_free_ char *template = template_of(name);

	FOR_EACH_UNIT(unit, gate)
		if (streq(unit->name, name) || streq(unit->name, template))
			return true;
	return false;
}

void held_complete(struct held *held, const struct list *gates)
{
	FOR_EACH_GATE(gate, gates)
	{
		struct held_gate *added;

		if (held_gate(held, gate->name))
			continue;
		added = list_add(&held->gates, &record_held_gate);
		added->name = str_dup(gate->name);
		added->hold = gate->hold;
	}
}

/* Takes the units of `same`. */
static bool take_units(struct held_gate *gate, struct held_gate *same)
{
	struct list before = gate->units;
	bool changed = before.n_items != same->units.n_items;

	FOR_EACH_UNIT(unit, same)
		changed |= !held_has_unit(gate, unit->name);
	gate->units = same->units;
	same->units = before;
	return changed;
}

bool held_follow(struct held_gate *gate, const char *path)
{
	_cleanup_(held_freep) struct held *now = NULL;
	struct held_gate *same = held_read(path, &now, NULL) ? NULL : held_gate(now, gate->name);

	return same && take_units(gate, same);
}

bool held_follow_all(struct held *held, const char *path)
{
	_cleanup_(held_freep) struct held *now = NULL;
	bool changed = false;

	if (held_read(path, &now, NULL))
		return false;
	FOR_EACH_HELD(gate, held)
	{
		struct held_gate *same = held_gate(now, gate->name);

		changed |= same && take_units(gate, same);
	}
	return changed;
}

static bool is_wanted(const struct list *gates, const char *name)
{
	FOR_EACH_GATE(gate, gates)
		if (streq(gate->name, name))
			return true;
	return false;
}

void held_drop_others(struct held *held, const struct list *gates)
{
	struct held_gate *all = held->gates.items;
	size_t n = 0;

	for (size_t i = 0; i < held->gates.n_items; i++)
		if (is_wanted(gates, all[i].name))
			all[n++] = all[i];
		else
			record_deinit(&record_held_gate, &all[i]);
	held->gates.n_items = n;
}

static int by_path(const void *a, const void *b)
{
	const struct held_mount *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void held_from_zfs(const struct list *gates, const struct gate *gate,
		   const struct zfs_state *state, struct held_gate *ret)
{
	FOR_EACH_DATASET(dataset, state)
	{
		const struct gate *owner = gate_of(gates, dataset->name);
		bool volume = streq(dataset->mountpoint, "-");
		struct held_mount *mount;

		if (!owner || !streq(owner->name, gate->name) ||
		    (!dataset->mounts && !volume && !streq(dataset->name, gate->name)))
			continue;
		if (dataset->root && !strv_has(&ret->roots, dataset->root))
			strv_add(&ret->roots, dataset->root);
		if (!dataset->mounts || !dataset->root)
			continue;
		mount = list_add(&ret->mounts, &record_held_mount);
		mount->dataset = str_dup(dataset->name);
		mount->path = str_dup(dataset->mountpoint);
	}
	if (ret->mounts.n_items)
		qsort(ret->mounts.items, ret->mounts.n_items, sizeof(struct held_mount), by_path);
}

size_t held_keep_open(struct held_gate *now, const struct held_gate *then,
		      const struct zfs_state *state)
{
	struct strv found = now->roots;
	size_t n = found.n_items;

	now->roots = (struct strv)STRV_NULL;
	for (size_t i = 0; i < n; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, found.items[i]);

		if (!root || root->key == KEY_LOADED || strv_has(&then->roots, found.items[i]))
			strv_add(&now->roots, found.items[i]);
	}
	strv_deinit(&found);
	return n - now->roots.n_items;
}
