/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Members that are there and do not take part: back into the pool, without losing anything. */

#include <stdio.h>

#include "apply/lock.h"
#include "cli/cli.h"
#include "keys/enroll.h"
#include "keys/journal.h"
#include "keys/keyring.h"
#include "observe/observe.h"
#include "unlock/opening.h"

struct heal {
	struct cli *cli;
	struct opening opening;
	struct secret *passphrase; /* NULL: the key from the keyring was enough so far */
	struct strv joined, discarded, mended;
};

static void say(void *context, const char *line)
{
	struct heal *heal = context;

	diag_note(&heal->cli->diag, "%s", line);
}

/* who is in use */

/* Paths of the pool's devices that it reads and writes now. */
static int devices_in_use(struct heal *heal, struct strv *ret)
{
	const char *const list[] = { "zpool", "list", "-HpPv", "-o", "name,health",
				     heal->opening.config.pool, NULL };
	_cleanup_strv_ struct strv rows = STRV_NULL;
	_cleanup_free_ char *output = NULL;
	int r = run(&heal->cli->run, &(struct command){ .argv = list, .ret_output = &output },
		    &heal->cli->diag);

	if (r)
		return r;
	strv_split(&rows, output, "\n");
	for (size_t i = 0; i < rows.n_items; i++) {
		_cleanup_strv_ struct strv columns = STRV_NULL;

		strv_split(&columns, rows.items[i], "\t");
		if (columns.n_items > 1 && *columns.items[0] == '/' &&
		    (streq(columns.items[columns.n_items - 1], "ONLINE") ||
		     streq(columns.items[columns.n_items - 1], "DEGRADED")))
			strv_add(ret, columns.items[0]);
	}
	return 0;
}

static char *mapping_path(const struct heal *heal, const struct member *member)
{
	return str_printf("/dev/mapper/%s", opening_member(&heal->opening, member)->mapping);
}

static int mark_in_use(struct heal *heal)
{
	_cleanup_strv_ struct strv devices = STRV_NULL;
	struct set *set = &heal->opening.set;
	int r = devices_in_use(heal, &devices);

	for (size_t i = 0; r == 0 && i < set->n_members; i++) {
		_cleanup_free_ char *path = mapping_path(heal, &set->members[i]);

		set->members[i].in_use = strv_has(&devices, path);
	}
	return r;
}

static bool all_in_use(const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (!set->members[i].in_use)
			return false;
	return true;
}

/* opening */

static bool open_by_keyring(struct heal *heal)
{
	_cleanup_(secret_freep) struct secret *key = NULL;

	return keyring_get(heal->opening.config.set, &key) == 0 &&
	       set_unlock_by_key(&heal->opening.set, key) == 0;
}

static int open_by_passphrase(struct heal *heal)
{
	int r = heal->passphrase ? 0 : cli_ask_passphrase(heal->cli, false, &heal->passphrase);

	if (r)
		return r;
	r = set_unlock(&heal->opening.set, heal->passphrase);
	if (r == SET_WRONG)
		return diag_error(&heal->cli->diag, -EPERM, "the passphrase is wrong");
	if (r == SET_ORPHANS) {
		(void)diag_error(&heal->cli->diag, -ENOKEY, "the passphrase is right, but another tool took "
				 "from each member here what it knew of the set");
		diag_hint(&heal->cli->diag, "one more member of it has to be plugged in");
		return -ENOKEY;
	}
	return r ? diag_error(&heal->cli->diag, r, "there is no member to open") : 0;
}

static int open_set(struct heal *heal)
{
	if (!heal->passphrase && open_by_keyring(heal))
		return 0;
	return open_by_passphrase(heal);
}

/* Again from the beginning: what is on the members has changed. */
static int open_again(struct heal *heal)
{
	struct opening *o = &heal->opening;

	set_deinit(&o->set);
	free(take_ptr(o->known));
	(void)opening_add_arrivals(o);
	return mark_in_use(heal) ? -EIO : open_by_passphrase(heal);
}

/* mending */

static size_t gather(struct heal *heal, struct enroll_member *members)
{
	const struct set *set = &heal->opening.set;
	size_t n = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		const struct member *member = &set->members[i];

		if (member->state == MEMBER_OPEN || member->state == MEMBER_DIVERGED)
			members[n++] = (struct enroll_member){
				member->path, opening_member(&heal->opening, member)->name,
				member->key
			};
	}
	return n;
}

static int mend(struct heal *heal)
{
	struct opening *o = &heal->opening;
	_cleanup_free_ struct enroll_member *members =
		mem_alloc(o->set.n_members * sizeof(*members));
	size_t n = gather(heal, members);
	int r;

	if (!opening_say_blemishes(o))
		return 0;
	if (!heal->passphrase && !heal->cli->options.passphrase_file && !cli_can_ask())
		return 0; /* said; a person has to do it */
	r = heal->passphrase ? 0 : cli_ask_passphrase(heal->cli, false, &heal->passphrase);
	if (r == 0)
		r = set_enroll(members, n, o->config.set, heal->passphrase, ENROLL_KEEP_ABSENT,
			       &heal->cli->diag);
	for (size_t i = 0; r == 0 && i < n; i++)
		strv_add(&heal->mended, members[i].name);
	return r ? r : open_again(heal);
}

/* joining */

static int bring_online(struct heal *heal, const struct member *member)
{
	_cleanup_free_ char *path = mapping_path(heal, member);
	const struct unlock_config *config = &heal->opening.config;
	struct content content = {};
	int r = content_probe(path, &content);

	if (r == 0 && !streq(content.uuid, config->pool_guid))
		r = diag_error(&heal->cli->diag, -EINVAL, "%s holds no part of the pool %s", path,
			       config->pool);
	else if (r)
		(void)diag_error(&heal->cli->diag, r, "cannot read %s: %s", path, strerror(-r));
	if (r == 0)
		r = run_words(&heal->cli->run, &heal->cli->diag, "zpool", "online", config->pool,
			      content.sub_uuid, NULL);
	content_deinit(&content);
	return r;
}

/* Its data is given up: the others fill it again as a new disk. */
static int refill(struct heal *heal, const struct member *member)
{
	_cleanup_free_ char *path = mapping_path(heal, member);
	int r = run_words(&heal->cli->run, &heal->cli->diag, "zpool", "labelclear", "-f", path,
			  NULL);

	return r ? r : run_words(&heal->cli->run, &heal->cli->diag, "zpool", "replace",
				 heal->opening.config.pool, path, NULL);
}

static bool is_discarded(const struct heal *heal, const struct member *member)
{
	return strv_has(&heal->cli->options.discards,
			opening_member(&heal->opening, member)->name);
}

/* From here on a member that diverged and is discarded is one that knows nothing. */
static int take_discards(struct heal *heal)
{
	struct set *set = &heal->opening.set;
	size_t n = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		if (!is_discarded(heal, member))
			continue;
		if (member->state != MEMBER_DIVERGED)
			return diag_error(&heal->cli->diag, -EINVAL,
					  "'%s' did not go apart from the others: nothing to discard",
					  opening_member(&heal->opening, member)->name);
		member->state = MEMBER_OPEN;
		member->behind = true;
		member->box = box_free(member->box);
		n++;
	}
	if (n == heal->cli->options.discards.n_items)
		return 0;
	return diag_error(&heal->cli->diag, -EINVAL, "--discard names a member that is not there");
}

static int join_one(struct heal *heal, struct member *member)
{
	const char *name = opening_member(&heal->opening, member)->name;
	bool discarded = is_discarded(heal, member);
	int r = opening_activate(&heal->opening, member);

	if (r)
		return diag_error(&heal->cli->diag, r, "'%s' does not join", name);
	r = discarded ? refill(heal, member) : bring_online(heal, member);
	if (r == 0)
		strv_add(discarded ? &heal->discarded : &heal->joined, name);
	return r;
}

static int join(struct heal *heal)
{
	struct opening *o = &heal->opening;
	int r = 0;

	if (all_in_use(&o->set))
		return 0;
	opening_begin(o);
	for (size_t i = 0; i < o->set.n_members; i++) {
		struct member *member = &o->set.members[i];
		int failed = member->state == MEMBER_OPEN && !member->in_use ?
				     join_one(heal, member) :
				     0;

		r = r ? r : failed;
	}
	if (r == 0)
		opening_joined(o);
	return r;
}

static bool is_whole(const struct heal *heal)
{
	_cleanup_strv_ struct strv absent = STRV_NULL;

	journal_absent(&heal->opening.set, &absent);
	return !absent.n_items;
}

/* what came of it */

static struct json_object *json_names(const struct strv *names)
{
	struct json_object *json = json_object_new_array();

	for (size_t i = 0; i < names->n_items; i++)
		json_object_array_add(json, json_object_new_string(names->items[i]));
	return json;
}

static void show(struct heal *heal)
{
	const struct {
		const char *name, *text;
		const struct strv *who;
	} lists[] = {
		{ "mended", "mended", &heal->mended },
		{ "joined", "back in the pool, which brings it up to date", &heal->joined },
		{ "discarded", "given up, and filled again from the others", &heal->discarded },
	};
	struct json_object *json = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		_cleanup_free_ char *names = strv_join(lists[i].who, ", ");

		json_object_object_add(json, lists[i].name, json_names(lists[i].who));
		if (lists[i].who->n_items && !heal->cli->options.json && !heal->cli->options.quiet)
			printf("%s: %s\n", names, lists[i].text);
	}
	if (heal->cli->options.json)
		view_json(json_object_get(json), stdout);
	json_object_put(json);
}

static int heal_machine(struct heal *heal)
{
	struct opening *o = &heal->opening;
	int r;

	(void)opening_add_arrivals(o);
	r = mark_in_use(heal);
	/* Without a person to ask, only who is late is looked at. */
	if (r || (all_in_use(&o->set) && !cli_can_ask() && !heal->cli->options.passphrase_file))
		return r;
	r = open_set(heal);
	if (r == 0) {
		journal_compare(&o->set);
		r = mend(heal);
	}
	if (r)
		return r;
	journal_compare(&o->set);
	r = take_discards(heal);
	if (r == 0)
		r = join(heal);
	opening_say_who_is_missing(o);
	if (r == 0 && is_whole(heal))
		keyring_forget(o->config.set);
	return r;
}

static bool stays_apart(const struct heal *heal)
{
	return set_count(&heal->opening.set, MEMBER_DIVERGED) > 0;
}

static enum cli_exit run_heal(struct cli *cli)
{
	struct heal heal = { .cli = cli,
			     .opening = { .run = &cli->run, .say = say } };
	_cleanup_close_ int lock = -1;
	enum cli_exit result = CLI_FAILED;

	heal.opening.context = &heal;
	if (unlock_config_read(CLI_UNLOCK_FILE, &heal.opening.config, &cli->diag)) {
		diag_hint(&cli->diag, "heal is for a machine with unlock: peer that runs");
		return CLI_REFUSED;
	}
	if (heal.opening.config.native) {
		(void)diag_error(&cli->diag, -EINVAL, "the members of this machine are no LUKS devices");
		diag_hint(&cli->diag, "zpool online %s brings back what ZFS did not by itself",
			  heal.opening.config.pool);
		opening_deinit(&heal.opening);
		return CLI_REFUSED;
	}
	if (lock_take(&lock, &cli->diag) == 0 && heal_machine(&heal) == 0)
		result = stays_apart(&heal) ? CLI_FAILED : CLI_OK;
	show(&heal);
	opening_deinit(&heal.opening);
	(void)secret_free(heal.passphrase);
	strv_deinit(&heal.joined);
	strv_deinit(&heal.discarded);
	strv_deinit(&heal.mended);
	return result;
}

const struct cli_command cmd_heal = {
	.name = "heal",
	.synopsis = "",
	.summary = "Members that came late or were changed by other tools: back into the set",
	.takes = CLI_TAKES(JSON) | CLI_TAKES(DISCARD) | CLI_TAKES(PASSPHRASE) | CLI_TAKES(QUIET) |
		 CLI_TAKES(VERBOSE),
	.needs = CLI_NEEDS_ROOT,
	.run = run_heal,
};
