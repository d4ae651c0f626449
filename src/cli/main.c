/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "cli/cli.h"
#include "config.h"

static const struct cli_command *const commands[] = {
	&cmd_init, &cmd_plan, &cmd_apply, &cmd_install, &cmd_rehearse,
	&cmd_unlock, &cmd_lock, &cmd_gate, &cmd_heal, &cmd_boot, &cmd_observe, &cmd_tarball,
};

enum option_type { OPTION_FLAG, OPTION_TEXT, OPTION_MANY };

static const struct option_info {
	const char *name;
	char letter;
	const char *argument;
	const char *help;
	enum option_type type;
	size_t offset;
} options[] = {
#define FLAG(id, member, name, letter, help)                                                   \
	{ name, letter, NULL, help, OPTION_FLAG, offsetof(struct cli_options, member) },
#define TEXT(id, member, name, letter, argument, help)                                         \
	{ name, letter, argument, help, OPTION_TEXT, offsetof(struct cli_options, member) },
#define MANY(id, member, name, letter, argument, help)                                         \
	{ name, letter, argument, help, OPTION_MANY, offsetof(struct cli_options, member) },
	CLI_OPTIONS(FLAG, TEXT, MANY)
#undef FLAG
#undef TEXT
#undef MANY
};

#define GETOPT_FIRST   2000

static void help(void)
{
	printf("Usage: eyrie COMMAND [OPTION...] [ARGUMENT...]\n\n"
	       "An encrypted, mirrored ZFS root that asks for one passphrase once.\n\nCommands:\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-9s %-12s %s\n", commands[i]->name, commands[i]->synopsis,
		       commands[i]->summary);
	printf("\neyrie COMMAND --help tells more; so do eyrie(8) and eyrie.yaml(5). eyrie --version says "
	       "which one this is.\n");
}

static void help_command(const struct cli_command *command)
{
	printf("Usage: eyrie %s [OPTION...] %s\n\n%s.\n\nOptions:\n", command->name,
	       command->synopsis, command->summary);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		_cleanup_free_ char *left = NULL;

		if (!(command->takes & UINT64_C(1) << i))
			continue;
		left = str_printf("--%s%s%s", options[i].name, options[i].argument ? " " : "",
				  options[i].argument ? options[i].argument : "");
		if (options[i].letter)
			printf("  -%c, %-24s %s\n", options[i].letter, left, options[i].help);
		else
			printf("      %-24s %s\n", left, options[i].help);
	}
	printf("  -h, %-24s %s\n", "--help", "this text");
}

static const struct cli_command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (streq(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static enum cli_exit unknown_command(const char *name)
{
	const char *names[ARRAY_SIZE(commands)];
	const char *nearest;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		names[i] = commands[i]->name;
	nearest = str_nearest(name, names, ARRAY_SIZE(commands));
	fprintf(stderr, "eyrie: there is no command '%s'%s%s%s\n", name,
		nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	fprintf(stderr, "Try 'eyrie --help'.\n");
	return CLI_USAGE;
}

static void set_option(struct cli *cli, const struct option_info *option, const char *argument)
{
	void *at = (char *)&cli->options + option->offset;

	if (option->type == OPTION_FLAG)
		*(bool *)at = true;
	else if (option->type == OPTION_TEXT)
		*(const char **)at = argument;
	else
		strv_add(at, argument);
}

static const struct option_info *option_of(int c)
{
	if (c >= GETOPT_FIRST)
		return &options[c - GETOPT_FIRST];
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].letter == c)
			return &options[i];
	return NULL;
}

/* Options of this command only: another one's is refused, not ignored. */
static int parse(struct cli *cli, int argc, char **argv, enum cli_exit *ret_exit)
{
	struct option table[ARRAY_SIZE(options) + 2] = {};
	_cleanup_strbuf_ struct strbuf letters = STRBUF_NULL;
	size_t n = 0;
	int c;

	strbuf_add(&letters, "h");
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!(cli->command->takes & UINT64_C(1) << i))
			continue;
		table[n++] = (struct option){ .name = options[i].name,
					      .has_arg = options[i].argument != NULL,
					      .val = GETOPT_FIRST + (int)i };
		if (options[i].letter)
			strbuf_printf(&letters, "%c%s", options[i].letter,
				      options[i].argument ? ":" : "");
	}
	table[n++] = (struct option){ .name = "help", .val = 'h' };

	while ((c = getopt_long(argc, argv, letters.data, table, NULL)) >= 0) {
		if (c == 'h') {
			help_command(cli->command);
			*ret_exit = CLI_OK;
			return 1;
		}
		if (c == '?') {
			fprintf(stderr, "Try 'eyrie %s --help'.\n", cli->command->name);
			*ret_exit = CLI_USAGE;
			return 1;
		}
		set_option(cli, option_of(c), optarg);
	}
	cli->args = argv + optind;
	cli->n_args = (size_t)(argc - optind);
	return 0;
}

static enum cli_exit verify(const struct cli *cli)
{
	const struct cli_command *command = cli->command;

	if (cli->n_args < command->n_args_min || cli->n_args > command->n_args_max) {
		fprintf(stderr, "Usage: eyrie %s [OPTION...] %s\n", command->name,
			command->synopsis);
		return CLI_USAGE;
	}
	if (cli->options.target && (*cli->options.target != '/' || !cli->options.target[1])) {
		fprintf(stderr, "eyrie: --target is the path of a folder, and not the root that runs: '%s'\n",
			cli->options.target);
		return CLI_USAGE;
	}
	if (command->needs & CLI_NEEDS_ROOT && geteuid() != 0) {
		fprintf(stderr, "eyrie: %s works on disks and needs root: sudo eyrie %s ...\n",
			command->name, command->name);
		return CLI_REFUSED;
	}
	return CLI_OK;
}

static void log_program(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "  $ %s\n", line);
}

/* What was printed is there, or it did not end well. */
static enum cli_exit finish_output(enum cli_exit status)
{
	errno = 0;
	if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE) /* who read had enough */
		return status;
	fprintf(stderr, "eyrie: error: cannot write the output: %s\n", strerror(errno ? errno : EIO));
	return status == CLI_OK || status == CLI_PENDING ? CLI_FAILED : status;
}

static enum cli_exit run_command(struct cli *cli)
{
	enum cli_exit status = verify(cli);

	if (status != CLI_OK)
		return status;
	runner_init(&cli->run);
	if (cli->options.verbose)
		cli->run.log = log_program;
	status = cli->command->run(cli);
	view_findings(&cli->diag, cli->options.quiet);
	diag_deinit(&cli->diag);
	strv_deinit(&cli->options.wipe);
	strv_deinit(&cli->options.debs);
	strv_deinit(&cli->options.overwrites);
	strv_deinit(&cli->options.discards);
	strv_deinit(&cli->options.key_files);
	strv_deinit(&cli->options.disks);
	strv_deinit(&cli->options.drills);
	strv_deinit(&cli->options.members);
	return status;
}

int main(int argc, char **argv)
{
	static char self[] = "eyrie";
	struct cli cli = {};
	enum cli_exit status;

	secret_harden_process();
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc < 2 || streq(argv[1], "--help") || streq(argv[1], "-h") || streq(argv[1], "help")) {
		help();
		return finish_output(argc < 2 ? CLI_USAGE : CLI_OK);
	}
	if (streq(argv[1], "--version")) {
		printf("eyrie " EYRIE_VERSION "\n");
		return finish_output(CLI_OK);
	}
	cli.command = find_command(argv[1]);
	if (!cli.command)
		return unknown_command(argv[1]);
	argv[1] = self; /* what getopt_long(3) begins its messages with */
	if (parse(&cli, argc - 1, argv + 1, &status))
		return finish_output(status);
	return finish_output(run_command(&cli));
}
