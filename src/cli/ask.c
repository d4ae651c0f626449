/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Questions to the person at the terminal. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>

#include "cli/cli.h"

bool cli_can_ask(void)
{
	return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

char *cli_ask(const char *question, const char *proposal)
{
	_cleanup_free_ char *line = NULL;
	size_t room = 0;

	fprintf(stderr, "%s%s%s%s: ", question, proposal ? " [" : "", proposal ? proposal : "",
		proposal ? "]" : "");
	if (getline(&line, &room, stdin) < 0)
		return NULL;
	str_trim_end(line);
	return *line || !proposal ? take_ptr(line) : str_dup(proposal);
}

static struct termios terminal_before;

static void restore_terminal(int signal_number)
{
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
	(void)signal(signal_number, SIG_DFL);
	(void)raise(signal_number);
}

/* A line without echo; a signal while it is typed leaves the terminal as it was. */
static int ask_secret(const char *question, struct secret *secret)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct sigaction old[ARRAY_SIZE(ends)];
	const struct sigaction restore = { .sa_handler = restore_terminal };
	struct termios silent;
	int r;

	if (tcgetattr(STDIN_FILENO, &terminal_before) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		(void)sigaction(ends[i], &restore, &old[i]);
	silent = terminal_before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ICANON | ECHONL;
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	fprintf(stderr, "%s", question);
	r = secret_read(secret, STDIN_FILENO, /* line= */ true);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		(void)sigaction(ends[i], &old[i], NULL);
	return r;
}

static int read_file(struct cli *cli, const char *path, struct secret *secret)
{
	_cleanup_close_ int opened = -1;
	bool is_stdin = streq(path, "-");
	int r;

	if (!is_stdin) {
		opened = open(path, O_RDONLY | O_CLOEXEC);
		if (opened < 0)
			return diag_error(&cli->diag, -errno, "cannot open %s: %m", path);
	}
	r = secret_read(secret, is_stdin ? STDIN_FILENO : opened, /* line= */ is_stdin);
	if (r)
		return diag_error(&cli->diag, r, "cannot read a passphrase from %s: %s", path,
				  r == -ENODATA ? "it is empty" : strerror(-r));
	return 0;
}

static int ask_twice(struct cli *cli, const char *what, bool twice, struct secret *secret)
{
	_cleanup_(secret_freep) struct secret *again = secret_new();
	_cleanup_free_ char *question = str_printf("Passphrase for %s: ", what);
	int r = ask_secret(question, secret);

	if (r == -ENODATA)
		return diag_error(&cli->diag, r, "an empty passphrase protects nothing");
	if (r == 0 && twice)
		r = ask_secret("The same again: ", again);
	if (r)
		return diag_error(&cli->diag, r, "no passphrase was given: %s", strerror(-r));
	if (twice && !secret_equal(secret, again)) {
		(void)diag_error(&cli->diag, -EINVAL, "the two passphrases differ");
		diag_hint(&cli->diag, "nothing was touched; run again");
		return -EINVAL;
	}
	return 0;
}

/* From `file`, or of the person; `option` is what to give where nobody can be asked. */
static int get_secret(struct cli *cli, const char *file, const char *what, const char *option,
		      bool twice, struct secret **ret)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	int r;

	if (file) {
		r = read_file(cli, file, secret);
	} else if (cli_can_ask()) {
		r = ask_twice(cli, what, twice, secret);
	} else {
		r = diag_error(&cli->diag, -ENOTTY,
			       "a passphrase for %s is needed, and there is no terminal to ask on",
			       what);
		diag_hint(&cli->diag, "give %s", option);
	}
	if (r)
		return r;
	*ret = take_ptr(secret);
	return 0;
}

int cli_ask_passphrase(struct cli *cli, bool twice, struct secret **ret)
{
	return get_secret(cli, cli->options.passphrase_file, "the disks",
			  "--passphrase-file FILE, or - for stdin", twice, ret);
}

int cli_ask_passphrase_of(struct cli *cli, const char *what, struct secret **ret)
{
	return get_secret(cli, cli->options.passphrase_file, what,
			  "--passphrase-file FILE, or - for stdin", /* twice= */ false, ret);
}

int cli_ask_key(struct cli *cli, const char *root, bool twice, struct secret **ret)
{
	_cleanup_free_ char *option = str_printf("--key-file %s=FILE", root);
	_cleanup_free_ char *begin = str_printf("%s=", root);
	const char *file = NULL;

	for (size_t i = 0; i < cli->options.key_files.n_items && !file; i++)
		file = starts_with(cli->options.key_files.items[i], begin);
	return get_secret(cli, file, root, option, twice, ret);
}
