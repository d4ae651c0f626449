/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* eyrie unlock --test: a passphrase against members; NAME: gate-work.c; else unlock-machine.c. */

#include <stdio.h>

#include "cli/gate-work.h"
#include "cli/unlock.h"
#include "keys/journal.h"

static const char *const states[] = {
	[MEMBER_CLOSED] = "closed",
	[MEMBER_OPEN] = "opens",
	[MEMBER_DIVERGED] = "went apart",
	[MEMBER_FOREIGN] = "foreign",
	[MEMBER_UNUSABLE] = "unusable",
};

static void show_text(const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++) {
		const struct member *member = &set->members[i];

		printf("%s: %s%s%s\n", member->path, states[member->state],
		       member->why ? ": " : "", member->why ? member->why : "");
	}
}

static void show_json(const struct set *set, bool wrong)
{
	struct json_object *json = json_object_new_object(), *all = json_object_new_array();

	for (size_t i = 0; i < set->n_members; i++) {
		const struct member *member = &set->members[i];
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "path", json_object_new_string(member->path));
		json_object_object_add(one, "name", json_object_new_string(member->name));
		json_object_object_add(one, "state",
				       json_object_new_string(states[member->state]));
		if (member->why)
			json_object_object_add(one, "why", json_object_new_string(member->why));
		json_object_array_add(all, one);
	}
	json_object_object_add(json, "wrong-passphrase", json_object_new_boolean(wrong));
	json_object_object_add(json, "members", all);
	view_json(json, stdout);
}

void unlock_show(const struct cli *cli, const struct set *set, bool wrong)
{
	if (cli->options.json)
		show_json(set, wrong);
	else if (!cli->options.quiet)
		show_text(set);
}

static void warn_of_changed(struct cli *cli, const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].by_passphrase)
			diag_warning(&cli->diag, "'%s' opens by the passphrase only: another tool "
				     "changed its key slots; eyrie heal mends it",
				     set->members[i].name);
}

static enum cli_exit tell_result(struct cli *cli, const struct set *set, int r)
{
	size_t n_open = set_count(set, MEMBER_OPEN);

	if (r == 0 && n_open == set->n_members)
		return CLI_OK;
	if (r == SET_WRONG) {
		(void)diag_error(&cli->diag, -EPERM, "the passphrase is wrong");
	} else if (r == SET_ORPHANS) {
		(void)diag_error(&cli->diag, -ENOKEY, "the passphrase is right, but these members know of no "
				 "set in which they open each other");
		diag_hint(&cli->diag, "with unlock: shared or keystore they never do, and cryptsetup open "
			  "--test-passphrase tries each; with unlock: peer eyrie heal makes the set anew");
	} else if (r) {
		(void)diag_error(&cli->diag, r, "there is no member to try");
	} else {
		(void)diag_error(&cli->diag, -EIO, "%zu of %zu members do not open, or not together",
				 set->n_members - n_open, set->n_members);
	}
	return CLI_FAILED;
}

static enum cli_exit try_passphrase(struct cli *cli)
{
	_cleanup_(secret_freep) struct secret *passphrase = NULL;
	_cleanup_set_ struct set set = {};
	int r;

	luks_read_only();
	for (size_t i = 0; i < cli->options.members.n_items; i++)
		set_add(&set, cli->options.members.items[i]);
	for (size_t i = 0; i < cli->n_args; i++)
		set_add(&set, cli->args[i]);
	if (cli_ask_passphrase(cli, /* twice= */ false, &passphrase))
		return CLI_REFUSED;
	r = set_unlock(&set, passphrase);
	if (r == 0)
		journal_compare(&set);
	unlock_show(cli, &set, r == SET_WRONG);
	warn_of_changed(cli, &set);
	return tell_result(cli, &set, r);
}

static enum cli_exit run_unlock(struct cli *cli)
{
	bool has_members = cli->options.members.n_items > 0;

	if (cli->options.test && has_members + cli->n_args)
		return try_passphrase(cli);
	if (cli->options.test || has_members || cli->n_args > 1) {
		(void)diag_error(&cli->diag, -EINVAL,
				 "eyrie unlock [NAME], or eyrie unlock --test --member PATH...");
		return CLI_USAGE;
	}
	if (cli->n_args && geteuid() == 0 && gate_is_name(cli, cli->args[0]))
		return gate_unlock(cli, cli->args[0]);
	return unlock_machine(cli, cli->n_args ? cli->args[0] : NULL);
}

const struct cli_command cmd_unlock = {
	.name = "unlock",
	.synopsis = "[NAME|SET]",
	.summary = "One passphrase opens a pool, a dataset, or all members of the root pool",
	.n_args_max = 64,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(TEST) | CLI_TAKES(MEMBER) | CLI_TAKES(PASSPHRASE) |
		 CLI_TAKES(QUIET) | CLI_TAKES(VERBOSE),
	.run = run_unlock,
};
