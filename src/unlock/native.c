/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unlock/native.h"

static char *path_of(const struct unlock_member *member)
{
	return str_printf("/dev/disk/by-partuuid/%s", member->uuid);
}

static bool is_there(const struct unlock_member *member)
{
	_cleanup_free_ char *path = path_of(member);

	return access(path, R_OK) == 0;
}

static void find_names(const struct opening *o, bool present, struct strv *names)
{
	FOR_EACH_ITEM(struct unlock_member, member, &o->config.members)
		if (is_there(member) == present)
			strv_add(names, member->name);
}

char *native_names(const struct opening *o, bool present)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	find_names(o, present, &names);
	return strv_join(&names, ", ");
}

static size_t count_missing(const struct opening *o)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	find_names(o, false, &names);
	return names.n_items;
}

void native_wait(const struct opening *o)
{
	int64_t end = opening_clock() + (int64_t)o->config.window * 1000;

	if (count_missing(o)) {
		_cleanup_free_ char *missing = native_names(o, false);

		opening_say(o, "waiting %llu s for %s", (unsigned long long)o->config.window,
			    missing);
	}
	while (count_missing(o) && opening_clock() < end)
		opening_pause();
	FOR_EACH_ITEM(struct unlock_member, member, &o->config.members)
		if (!is_there(member))
			opening_say(o, "%s did not come: %s", member->name, member->disk);
}

/* -f: this pool by its GUID belongs to this machine, whoever had it last. */
int native_import(const struct opening *o)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r;

	strv_add_all(&argv, "zpool", "import", "-N", "-f", "-o", "cachefile=none", NULL);
	FOR_EACH_ITEM(struct unlock_member, member, &o->config.members)
	{
		_cleanup_free_ char *path = path_of(member);

		if (is_there(member))
			strv_add_all(&argv, "-d", path, NULL);
	}
	strv_add(&argv, o->config.pool_guid);
	r = run(o->run, &(struct command){ .argv = (const char *const *)argv.items,
					   .deadline = RUN_FOREVER }, &diag);
	for (size_t i = 0; i < diag.n_items; i++)
		opening_say(o, "%s", diag.items[i].text);
	return r;
}

static bool is_locked(const struct opening *o)
{
	_cleanup_free_ char *status = NULL;
	const char *const argv[] = { "zfs", "get", "-Hp", "-o", "value", "keystatus",
				     o->config.pool, NULL };

	if (run(o->run, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL,
					   .ret_output = &status }, NULL))
		return true;
	str_trim_end(status);
	return !streq(status, "available");
}

int native_load_key(const struct opening *o, const struct secret *passphrase)
{
	const char *const argv[] = { "zfs", "load-key", "-L", "prompt", o->config.pool, NULL };
	int r;

	if (!is_locked(o))
		return 0;
	r = run(o->run, &(struct command){ .argv = argv, .secret = passphrase,
					   .flags = RUN_OPTIONAL }, NULL);
	return r == -EIO ? -EKEYREJECTED : r;
}
