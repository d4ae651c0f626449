/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/zfs.h"

#define AT(type, member) .offset = offsetof(struct type, member)

static const char *const key_choices[] = { "none", "unavailable", "available", NULL };

static const struct field dataset_fields[] = {
	{ "name", FIELD_STRING, AT(zfs_dataset, name) },
	{ "encryptionroot", FIELD_STRING, AT(zfs_dataset, root) },
	{ "keystatus", FIELD_CHOICE, AT(zfs_dataset, key), .choices = key_choices },
	{ "keyformat", FIELD_STRING, AT(zfs_dataset, keyformat) },
	{ "keylocation", FIELD_STRING, AT(zfs_dataset, keylocation) },
	{ "mounts", FIELD_BOOL, AT(zfs_dataset, mounts) },
	{ "mountpoint", FIELD_STRING, AT(zfs_dataset, mountpoint) },
	{ "mounted", FIELD_BOOL, AT(zfs_dataset, mounted) },
};
static const struct record record_zfs_dataset = RECORD(zfs_dataset, dataset_fields);

/* In the order in which they are asked for. */
#define PROPERTIES "encryptionroot,keystatus,keyformat,keylocation,canmount,mountpoint,mounted"
enum { P_ROOT, P_STATUS, P_FORMAT, P_LOCATION, P_CANMOUNT, P_MOUNTPOINT, P_MOUNTED, N_P };

static const char *const properties[] = {
	"encryptionroot", "keystatus", "keyformat", "keylocation",
	"canmount", "mountpoint", "mounted",
};

static bool is_set(const char *value)
{
	return !is_empty(value) && !streq(value, "-");
}

static void take_property(struct zfs_dataset *dataset, const char *property, const char *value)
{
	if (streq(property, properties[P_ROOT]) && is_set(value))
		str_set(&dataset->root, value);
	else if (streq(property, properties[P_STATUS]))
		dataset->key = streq(value, "available")   ? KEY_LOADED :
			       streq(value, "unavailable") ? KEY_MISSING :
							     KEY_NONE;
	else if (streq(property, properties[P_FORMAT]))
		str_set(&dataset->keyformat, value);
	else if (streq(property, properties[P_LOCATION]))
		str_set(&dataset->keylocation, value);
	else if (streq(property, properties[P_CANMOUNT]))
		dataset->mounts = streq(value, "on");
	else if (streq(property, properties[P_MOUNTPOINT]))
		str_set(&dataset->mountpoint, value);
	else if (streq(property, properties[P_MOUNTED]))
		dataset->mounted = streq(value, "yes");
}

/* "NAME<TAB>PROPERTY<TAB>VALUE"; a value may hold anything but a newline. */
static int parse_line(char *line, struct list *datasets)
{
	char *property = strchr(line, '\t'), *value = property ? strchr(property + 1, '\t') : NULL;
	struct zfs_dataset *dataset;

	if (!value)
		return -EINVAL;
	*property++ = '\0';
	*value++ = '\0';
	dataset = datasets->n_items ?
			  list_at(datasets, &record_zfs_dataset, datasets->n_items - 1) :
			  NULL;
	if (!dataset || !streq(dataset->name, line)) {
		dataset = list_add(datasets, &record_zfs_dataset);
		dataset->name = str_dup(line);
	}
	take_property(dataset, property, value);
	return 0;
}

int zfs_parse(const char *text, struct list *datasets)
{
	_cleanup_free_ char *copy = str_dup(text);
	char *rest = copy, *line;
	int r = 0;

	while (r == 0 && (line = strsep(&rest, "\n")))
		if (*line)
			r = parse_line(line, datasets);
	for (size_t i = 0; i < datasets->n_items; i++) {
		struct zfs_dataset *dataset = list_at(datasets, &record_zfs_dataset, i);

		dataset->mounts &= dataset->mountpoint && *dataset->mountpoint == '/';
	}
	return r;
}

/* It answered that there is no such thing; else it did not come to an answer. */
static bool says_no(int r)
{
	return r == -EIO;
}

static int no_answer(const char *program, const char *name, int r, struct diag *diag)
{
	if (r == -ENOENT)
		return diag_error(diag, r, "cannot start '%s': it is not installed", program);
	return diag_error(diag, r, "%s does not say what %s is: %s", program, name, strerror(-r));
}

static int is_imported(struct runner *run_by, const char *name, bool *ret, struct diag *diag)
{
	_cleanup_free_ char *pool = str_printf("%.*s", (int)strcspn(name, "/"), name);
	_cleanup_free_ char *output = NULL;
	const char *const argv[] = { "zpool", "list", "-H", "-o", "name", pool, NULL };
	int r = run(run_by, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL,
					       .ret_output = &output }, NULL);

	if (r && !says_no(r))
		return no_answer("zpool", pool, r, diag);
	*ret = r == 0;
	return 0;
}

int zfs_read(struct runner *run_by, const char *name, struct zfs_state **ret, struct diag *diag)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = mem_alloc(sizeof(*state));
	_cleanup_free_ char *output = NULL;
	const char *const argv[] = { "zfs", "get", "-Hp", "-r", "-t", "filesystem,volume", "-o",
				     "name,property,value", PROPERTIES, name, NULL };
	int r;

	state->name = str_dup(name);
	r = run(run_by, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL,
					   .ret_output = &output }, NULL);
	if (r && !says_no(r))
		return no_answer("zfs", name, r, diag);
	state->exists = state->imported = r == 0;
	if (r)
		r = is_imported(run_by, name, &state->imported, diag);
	if (r)
		return r;
	if (state->exists && zfs_parse(output, &state->datasets))
		return diag_error(diag, -EINVAL, "zfs get says what nobody expects");
	*ret = take_ptr(state);
	return 0;
}

struct json_object *zfs_state_to_json(const struct zfs_state *state)
{
	struct json_object *json = json_object_new_object(), *all = json_object_new_array();

	FOR_EACH_DATASET(dataset, state)
		json_object_array_add(all, record_to_json(&record_zfs_dataset, dataset));
	json_object_object_add(json, "name", json_object_new_string(state->name));
	json_object_object_add(json, "datasets", all);
	return json;
}

struct zfs_state *zfs_state_free(struct zfs_state *state)
{
	if (!state)
		return NULL;
	list_deinit(&state->datasets, &record_zfs_dataset);
	free(state->name);
	free(state);
	return NULL;
}

const struct zfs_dataset *zfs_dataset(const struct zfs_state *state, const char *name)
{
	FOR_EACH_DATASET(dataset, state)
		if (streq(dataset->name, name))
			return dataset;
	return NULL;
}

const char *zfs_key_file(const struct zfs_dataset *root)
{
	return root && root->keylocation ? starts_with(root->keylocation, "file://") : NULL;
}

bool zfs_is_typed(const struct zfs_dataset *root, bool file)
{
	if (!root || !root->keyformat || streq(root->keyformat, "passphrase"))
		return true;
	return streq(root->keylocation, "prompt") && (!streq(root->keyformat, "raw") || file);
}

/* doing */

int zfs_load_key(struct runner *run_by, const char *root, struct diag *diag)
{
	_cleanup_diag_ struct diag why = DIAG_NULL;
	int r = run_words(run_by, &why, "zfs", "load-key", root, NULL);

	return r ? diag_error(diag, r, "%s", why.items[0].text) : 0;
}

/* zfs load-key -L prompt ROOT: keylocation may be a file. */
struct load_words {
	const char *argv[6];
};

/* What it costs is the key derivation, of each root its own. */
void zfs_try_passphrase(struct runner *run_by, const struct strv *roots,
			const struct secret *passphrase, bool *opens)
{
	size_t n = roots->n_items;
	_cleanup_free_ struct load_words *words = mem_alloc((n + 1) * sizeof(*words));
	_cleanup_free_ struct command *commands = mem_alloc((n + 1) * sizeof(*commands));
	_cleanup_free_ int *results = mem_alloc((n + 1) * sizeof(*results));

	for (size_t i = 0; i < n; i++) {
		words[i] = (struct load_words){ { "zfs", "load-key", "-L", "prompt",
						  roots->items[i], NULL } };
		commands[i] = (struct command){ .argv = words[i].argv, .secret = passphrase };
	}
	run_all(run_by, commands, n, results);
	for (size_t i = 0; i < n; i++)
		opens[i] = results[i] == 0;
}

int zfs_unload_key(struct runner *run_by, const char *root, struct diag *diag)
{
	return run_words(run_by, diag, "zfs", "unload-key", root, NULL);
}

int zfs_mount(struct runner *run_by, const char *dataset, struct diag *diag)
{
	return run_words(run_by, diag, "zfs", "mount", dataset, NULL);
}

int zfs_unmount(struct runner *run_by, const char *dataset, struct diag *diag)
{
	return run_words(run_by, diag, "zfs", "unmount", dataset, NULL);
}

int zfs_import(struct runner *run_by, const char *pool, struct diag *diag)
{
	return run_words(run_by, diag, "zpool", "import", "-N", pool, NULL);
}
