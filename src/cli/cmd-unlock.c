/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "cli/cli.h"
#include "keys/set.h"

static const char *const states[] = {
	[MEMBER_CLOSED] = "closed",
	[MEMBER_OPEN] = "opens",
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

static void warn_of_changed(struct cli *cli, const struct set *set)
{
	for (size_t i = 0; i < set->n_members; i++)
		if (set->members[i].by_passphrase)
			diag_warning(&cli->diag, "'%s' opens by the passphrase only: another tool "
				     "changed its key slots", set->members[i].name);
}

static enum cli_exit run_unlock(struct cli *cli)
{
	_cleanup_(secret_freep) struct secret *passphrase = NULL;
	_cleanup_set_ struct set set = {};
	int r;

	if (!cli->options.test || !(cli->options.members.n_items + cli->n_args)) {
		(void)diag_error(&cli->diag, -EINVAL,
				 "unlock can only try a passphrase: --test --member PATH...");
		return CLI_USAGE;
	}
	luks_read_only();
	for (size_t i = 0; i < cli->options.members.n_items; i++)
		set_add(&set, cli->options.members.items[i]);
	for (size_t i = 0; i < cli->n_args; i++)
		set_add(&set, cli->args[i]);
	if (cli_ask_passphrase(cli, /* twice= */ false, &passphrase))
		return CLI_REFUSED;
	r = set_unlock(&set, passphrase);
	if (cli->options.json)
		show_json(&set, r == SET_WRONG);
	else if (!cli->options.quiet)
		show_text(&set);
	warn_of_changed(cli, &set);
	if (r == SET_WRONG)
		(void)diag_error(&cli->diag, -EPERM, "the passphrase is wrong");
	else if (r)
		(void)diag_error(&cli->diag, r, "there is no member to try");
	return r || set_count(&set, MEMBER_OPEN) < set.n_members ? CLI_FAILED : CLI_OK;
}

const struct cli_command cmd_unlock = {
	.name = "unlock",
	.synopsis = "[PATH...]",
	.summary = "Try a passphrase on the members of a set; needs no root",
	.n_args_max = 64,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(TEST) | CLI_TAKES(MEMBER) | CLI_TAKES(PASSPHRASE) |
		 CLI_TAKES(QUIET),
	.run = run_unlock,
};
