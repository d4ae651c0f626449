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

static char *mapping_path(const struct heal *heal, const struct member *member)
{
	return str_printf("/dev/mapper/%s", opening_member(&heal->opening, member)->mapping);
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

/* While the pool runs on all of them, none can have gone apart from the others. */
static bool is_running_whole(const struct heal *heal)
{
	return heal->opening.set.n_members == heal->opening.config.members.n_items &&
	       all_in_use(&heal->opening.set);
}

static int open_by_passphrase(struct heal *heal)
{
	struct set *set = &heal->opening.set;
	int r = heal->passphrase ? 0 : cli_ask_passphrase(heal->cli, false, &heal->passphrase);

	if (r)
		return r;
	r = set_unlock(set, heal->passphrase);
	if (r == SET_WRONG)
		return diag_error(&heal->cli->diag, -EPERM, "the passphrase is wrong, or was changed "
				  "while a member was away");
	if (r == SET_ORPHANS && is_running_whole(heal)) {
		set_adopt(set, heal->passphrase);
		if (set_count(set, MEMBER_OPEN) == set->n_members)
			return 0;
	}
	if (r == SET_ORPHANS) {
		(void)diag_error(&heal->cli->diag, -ENOKEY, "the passphrase is right, but another tool took "
				 "from each member here what it knew of the set");
		diag_hint(&heal->cli->diag, "start the machine with all of its members, and the same "
			  "passphrase on each; then eyrie heal makes them a set again");
		return -ENOKEY;
	}
	return r ? diag_error(&heal->cli->diag, r, "there is no member to open") : 0;
}

/* From the beginning: who is there, and who takes part. */
static int look(struct heal *heal)
{
	struct opening *o = &heal->opening;

	set_deinit(&o->set);
	free(take_ptr(o->known));
	(void)opening_add_arrivals(o);
	if (opening_find_used(o))
		return -EIO;
	if (opening_is_used(o))
		return 0;
	(void)diag_error(&heal->cli->diag, -ENODEV, "the pool %s runs on none of the members that "
			 "eyrie opened", o->config.pool);
	diag_hint(&heal->cli->diag, "zpool status %s shows on what; heal knows /dev/mapper/ names "
		  "of " CLI_UNLOCK_FILE, o->config.pool);
	return -ENODEV;
}

/* Who is late can only be compared with somebody who takes part. */
static bool knows_who_runs(const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].in_use && set->members[i].state == MEMBER_OPEN)
			return true;
	return false;
}

static bool can_ask(const struct heal *heal)
{
	return heal->cli->options.passphrase_file || cli_can_ask();
}

/*
 * The members may have been opened by the key that is kept. What is typed now must open those that run:
 * every other member is given a slot for it, mistyped or of before as it may be.
 */
static int ask_beside_the_key(struct heal *heal)
{
	_cleanup_set_ struct set running = {};
	const struct set *set = &heal->opening.set;
	int r = cli_ask_passphrase(heal->cli, false, &heal->passphrase);

	if (r)
		return r;
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].in_use && set->members[i].state == MEMBER_OPEN)
			set_add(&running, set->members[i].path);
	r = set_unlock(&running, heal->passphrase);
	if (r == 0 || r == SET_ORPHANS) /* right either way; what they knew of the set is made again */
		return 0;
	heal->passphrase = secret_free(heal->passphrase);
	(void)diag_error(&heal->cli->diag, -EPERM, "the passphrase does not open the members that the "
			 "pool runs on; nothing was changed");
	diag_hint(&heal->cli->diag, "run eyrie heal again, and type the one of the last start");
	return -EPERM;
}

/* Those that the kept key does not open, if there is somebody to ask. */
static int open_rest(struct heal *heal)
{
	struct set *set = &heal->opening.set;
	bool closed = false;
	int r;

	for (size_t i = 0; i < set->n_members; i++)
		closed |= set->members[i].state == MEMBER_CLOSED && set->members[i].luks;
	if (!closed || !can_ask(heal))
		return 0;
	r = ask_beside_the_key(heal);
	if (r == 0)
		(void)set_unlock(set, heal->passphrase);
	return r;
}

static int open_set(struct heal *heal)
{
	struct opening *o = &heal->opening;
	int r;

	if (heal->passphrase || !open_by_keyring(heal)) {
		r = open_by_passphrase(heal);
	} else if (knows_who_runs(&o->set)) {
		r = open_rest(heal);
	} else { /* the key is of an older set: it opens only who was away */
		r = look(heal);
		r = r ? r : open_by_passphrase(heal);
	}
	if (r || knows_who_runs(&o->set))
		return r;
	(void)diag_error(&heal->cli->diag, -EKEYREJECTED, "no member on which the pool runs can be "
			 "opened, so that nobody can be compared with them");
	opening_say_who_is_missing(o);
	return -EKEYREJECTED;
}

/* mending */

/* Who went apart keeps what it says of itself, until that was decided. */
static size_t gather(struct heal *heal, struct enroll_member *members)
{
	const struct set *set = &heal->opening.set;
	size_t n = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		const struct member *member = &set->members[i];

		if (member->state == MEMBER_OPEN)
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
	if (!heal->passphrase && !can_ask(heal))
		return 0; /* said; a person has to do it */
	r = heal->passphrase ? 0 : ask_beside_the_key(heal);
	if (r == 0)
		r = set_enroll(members, n, o->config.set, heal->passphrase, ENROLL_KEEP_ABSENT,
			       &heal->cli->diag);
	for (size_t i = 0; r == 0 && i < n; i++)
		strv_add(&heal->mended, members[i].name);
	if (r)
		return r;
	keyring_forget(o->config.set);
	r = look(heal);
	return r ? r : open_set(heal);
}

/* joining */

static bool is_blank(const struct content *content)
{
	return !content->type && !content->table && !content->ambiguous;
}

/* A cache and a spare do not say of which pool they are; a spare is online when ZFS takes it. */
static void take_in_aside(struct heal *heal, const char *guid)
{
	(void)run(&heal->cli->run, &(struct command){
			.argv = (const char *const[]){ "zpool", "online", heal->opening.config.pool,
						       guid, NULL },
			.flags = RUN_OPTIONAL }, NULL);
}

/* Brought up to date by the others; filled anew, when there is nothing on it any more. */
static int take_in(struct heal *heal, const struct member *member)
{
	_cleanup_free_ char *path = mapping_path(heal, member);
	const struct unlock_config *config = &heal->opening.config;
	struct content content = {};
	int r = content_probe(path, &content);

	if (r)
		(void)diag_error(&heal->cli->diag, r, "cannot read %s: %s", path, strerror(-r));
	else if (is_blank(&content))
		r = run_words(&heal->cli->run, &heal->cli->diag, "zpool", "replace", config->pool,
			      path, NULL);
	else if (streq(content.uuid, config->pool_guid))
		r = run_words(&heal->cli->run, &heal->cli->diag, "zpool", "online", config->pool,
			      content.sub_uuid, NULL);
	else if (streq(content.type, "zfs_member") && !content.uuid && content.sub_uuid)
		take_in_aside(heal, content.sub_uuid);
	else
		r = diag_error(&heal->cli->diag, -EINVAL, "%s holds no part of the pool %s", path,
			       config->pool);
	content_deinit(&content);
	return r;
}

static bool is_discarded(const struct heal *heal, const struct member *member)
{
	return strv_has(&heal->cli->options.discards,
			opening_member(&heal->opening, member)->name);
}

/* A disk that came back under another name has a mapping of the one that went. */
static int activate(struct heal *heal, struct member *member)
{
	opening_deactivate(&heal->opening, member);
	return opening_activate(&heal->opening, member);
}

/* The data goes first: until then the member says that it went apart, and nothing merges it. */
static int clear(struct heal *heal, struct member *member)
{
	const char *name = opening_member(&heal->opening, member)->name;
	_cleanup_free_ char *path = mapping_path(heal, member);
	struct content content = {};
	int r;

	if (strv_has(&heal->discarded, name))
		return 0;
	r = activate(heal, member);
	if (r == 0)
		r = content_probe(path, &content);
	if (r)
		r = diag_error(&heal->cli->diag, r, "'%s' cannot be read: %s", name, strerror(-r));
	else if (!is_blank(&content))
		r = run_words(&heal->cli->run, &heal->cli->diag, "zpool", "labelclear", "-f", path,
			      NULL);
	content_deinit(&content);
	if (r == 0)
		strv_add(&heal->discarded, name);
	return r;
}

static const struct member *member_named(const struct heal *heal, const char *name)
{
	const struct set *set = &heal->opening.set;

	for (size_t i = 0; i < set->n_members; i++)
		if (streq(opening_member(&heal->opening, &set->members[i])->name, name))
			return &set->members[i];
	return NULL;
}

/* All of them before anything goes. */
static int check_discards(struct heal *heal)
{
	const struct strv *names = &heal->cli->options.discards;
	int r = 0;

	for (size_t i = 0; i < names->n_items; i++) {
		const char *name = names->items[i];
		const struct member *member = member_named(heal, name);

		if (!member)
			r = diag_error(&heal->cli->diag, -EINVAL,
				       "--discard %s: no member of that name is there", name);
		else if (member->state != MEMBER_DIVERGED && !strv_has(&heal->discarded, name))
			r = diag_error(&heal->cli->diag, -EINVAL,
				       "'%s' did not go apart from the others: nothing to discard", name);
	}
	return r;
}

/* From here on a member that went apart and is discarded is one that knows nothing. */
static int take_discards(struct heal *heal)
{
	struct set *set = &heal->opening.set;
	int r = check_discards(heal);

	if (r)
		return r;
	for (size_t i = 0; i < set->n_members; i++) {
		struct member *member = &set->members[i];

		if (!is_discarded(heal, member))
			continue;
		r = member->in_use && strv_has(&heal->discarded, member->name) ?
			    0 :
			    clear(heal, member);
		if (r)
			return r;
		if (member->in_use)
			continue;
		member->state = MEMBER_OPEN;
		member->behind = true;
		member->box = box_free(member->box);
		member->has_history = false;
		list_deinit(&member->history, &record_epoch);
	}
	return 0;
}

static bool is_late(const struct member *member)
{
	return member->state == MEMBER_OPEN && !member->in_use;
}

static int join_one(struct heal *heal, struct member *member)
{
	const char *name = opening_member(&heal->opening, member)->name;
	int r = take_in(heal, member);

	if (r == 0 && !is_discarded(heal, member))
		strv_add(&heal->joined, name);
	return r;
}

static bool is_whole(const struct heal *heal)
{
	_cleanup_strv_ struct strv absent = STRV_NULL;

	journal_absent(&heal->opening.set, &absent);
	return !absent.n_items;
}

/* The pool runs on it, and it lost what it took part in. */
static bool has_behind(const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].state == MEMBER_OPEN && set->members[i].behind)
			return true;
	return false;
}

/* Who dropped out of the pool since the start is noted, too. */
static int join(struct heal *heal)
{
	struct opening *o = &heal->opening;
	int r = 0;

	if (all_in_use(&o->set) && is_whole(heal) && !has_behind(&o->set))
		return 0;
	for (size_t i = 0; i < o->set.n_members; i++)
		if (is_late(&o->set.members[i]) && activate(heal, &o->set.members[i]))
			r = diag_error(&heal->cli->diag, -EIO, "'%s' does not join: %s",
				       opening_member(o, &o->set.members[i])->name,
				       o->set.members[i].why);
	opening_begin(o);
	for (size_t i = 0; i < o->set.n_members; i++) {
		int failed = is_late(&o->set.members[i]) ? join_one(heal, &o->set.members[i]) : 0;

		r = r ? r : failed;
	}
	opening_joined(o);
	return r;
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

static int settle(struct heal *heal)
{
	journal_compare(&heal->opening.set);
	return take_discards(heal);
}

static int heal_machine(struct heal *heal)
{
	struct opening *o = &heal->opening;
	size_t n_mended = heal->mended.n_items;
	int r = look(heal);

	/* Without a person to ask, only who is late is looked at. */
	if (r || (all_in_use(&o->set) && !can_ask(heal)))
		return r;
	r = open_set(heal);
	if (r == 0)
		r = settle(heal);
	if (r == 0)
		r = mend(heal);
	if (r == 0 && heal->mended.n_items > n_mended)
		r = settle(heal);
	if (r == 0)
		r = join(heal);
	opening_say_who_is_missing(o);
	if (r)
		return r;
	if (is_whole(heal))
		keyring_forget(o->config.set);
	else if (heal->mended.n_items)
		opening_keep_key(o);
	return 0;
}

/* A person has to do something about it. A stranger is nobody's fault here, and eyrie apply decides on it. */
static bool is_unfinished(const struct set *set, const struct member *member)
{
	if (member->state == MEMBER_OPEN)
		return member_blemish(set, member);
	return member->state != MEMBER_FOREIGN && (member->why || !member->in_use);
}

static bool is_finished(const struct heal *heal)
{
	const struct set *set = &heal->opening.set;

	for (size_t i = 0; i < set->n_members; i++)
		if (is_unfinished(set, &set->members[i]))
			return false;
	return true;
}

/* Of a change that was cut, or of somebody who wants it: both look the same. */
static void say_further_slots(const struct heal *heal)
{
	const struct set *set = &heal->opening.set;

	for (size_t i = 0; i < set->n_members; i++) {
		const struct member *member = &set->members[i];
		int slot = member->state == MEMBER_OPEN ? member_further_slot(member, -1) : -1;

		for (; slot >= 0; slot = member_further_slot(member, slot)) {
			if (luks_slot_is_of_another_tool(member->luks, slot))
				continue;
			diag_note(&heal->cli->diag, "'%s' has a further passphrase, in key slot %d",
				  opening_member(&heal->opening, member)->name, slot);
			diag_hint(&heal->cli->diag, "when nobody needs it: cryptsetup luksKillSlot %s %d",
				  member->path, slot);
		}
	}
}

/* Disks of one controller come one after another, while the first of them is taken in. */
static int heal_all(struct heal *heal)
{
	int r;

	do
		r = heal_machine(heal);
	while (r == 0 && opening_add_arrivals(&heal->opening));
	return r;
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
	if (lock_take(&lock, &cli->diag) == 0 && heal_all(&heal) == 0) {
		say_further_slots(&heal);
		result = is_finished(&heal) ? CLI_OK : CLI_FAILED;
	}
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
