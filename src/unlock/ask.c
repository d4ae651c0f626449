/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unlock/ask.h"

#include <fcntl.h>
#include <stdio.h>
#include <termios.h>

#define SYSTEMD "/run/systemd/system"
#define ASKPASS "/lib/cryptsetup/askpass"

static bool is_there(const struct asker *asker, const char *path)
{
	_cleanup_free_ char *full = str_printf("%s%s", asker->root, path);

	return access(full, F_OK) == 0;
}

/* A program that prints the answer. */
static int ask_program(const struct asker *asker, const char *const *argv, const char *terminal,
		       struct secret *passphrase, struct diag *diag)
{
	return run(asker->run,
		   &(struct command){ .argv = argv, .terminal = terminal,
				      .deadline = RUN_FOREVER, .ret_secret = passphrase },
		   diag);
}

static bool has_systemd(const struct asker *asker)
{
	return is_there(asker, SYSTEMD);
}

static int ask_systemd(const struct asker *asker, const char *question,
		       struct secret *passphrase, struct diag *diag)
{
	const char *const argv[] = { "systemd-ask-password", "--timeout=0", "--no-tty", "--id=eyrie",
				     "--icon=drive-harddisk", question, NULL };

	return ask_program(asker, argv, NULL, passphrase, diag);
}

static bool has_askpass(const struct asker *asker)
{
	return is_there(asker, ASKPASS);
}

/* Without a terminal as its stdin it would print the answer there instead of on its stdout. */
static int ask_askpass(const struct asker *asker, const char *question,
		       struct secret *passphrase, struct diag *diag)
{
	_cleanup_free_ char *spaced = str_printf("%s ", question);
	const char *const argv[] = { ASKPASS, spaced, NULL };

	return ask_program(asker, argv, asker->console, passphrase, diag);
}

static bool has_plymouth(const struct asker *asker)
{
	const char *const argv[] = { "plymouth", "--ping", NULL };

	return run(asker->run, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL }, NULL) == 0;
}

/* Its themes add the colon where there is one. */
static int ask_plymouth(const struct asker *asker, const char *question,
			struct secret *passphrase, struct diag *diag)
{
	_cleanup_free_ char *prompt =
		str_printf("--prompt=%.*s", (int)(strlen(question) - 1), question);
	const char *const argv[] = { "plymouth", "ask-for-password", prompt, NULL };

	return ask_program(asker, argv, NULL, passphrase, diag);
}

static bool has_console(const struct asker *asker)
{
	(void)asker;
	return true;
}

/* A line without echo, edited as the terminal does it: backspace, ^U. */
static int read_line(int fd, const char *question, struct secret *passphrase)
{
	struct termios before, silent;
	int r;

	if (tcgetattr(fd, &before) < 0)
		return -errno;
	silent = before;
	silent.c_iflag |= ICRNL | IUTF8;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ICANON | ECHONL;
	if (tcsetattr(fd, TCSAFLUSH, &silent) < 0)
		return -errno;
	(void)dprintf(fd, "%s ", question);
	r = secret_read(passphrase, fd, /* line= */ true);
	(void)tcsetattr(fd, TCSAFLUSH, &before);
	return r;
}

static int ask_console(const struct asker *asker, const char *question,
		       struct secret *passphrase, struct diag *diag)
{
	_cleanup_close_ int fd = open(asker->console, O_RDWR | O_NOCTTY | O_CLOEXEC);
	int r = fd < 0 ? -errno : read_line(fd, question, passphrase);

	if (r == 0 || r == -ENODATA)
		return 0;
	return diag_error(diag, r, "cannot ask on %s: %s", asker->console, strerror(-r));
}

/*
 * The first that works is used. systemd and askpass come before plymouth since both hand the
 * question to it as well, and to who else may answer: agents, and whoever came in over the
 * network and writes to askpass' fifo.
 */
static const struct {
	bool (*works)(const struct asker *asker);
	int (*ask)(const struct asker *asker, const char *question, struct secret *passphrase,
		   struct diag *diag);
} ways[] = {
	{ has_systemd, ask_systemd },
	{ has_askpass, ask_askpass },
	{ has_plymouth, ask_plymouth },
	{ has_console, ask_console },
};

int ask_passphrase(const struct asker *asker, const char *question, struct secret *passphrase,
		   struct diag *diag)
{
	size_t i = 0;
	int r;

	while (!ways[i].works(asker))
		i++;
	r = ways[i].ask(asker, question, passphrase, diag);
	if (r == 0 && !passphrase->size)
		r = diag_error(diag, -ENODATA, "an empty passphrase opens nothing");
	return r;
}
