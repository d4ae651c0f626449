/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Which way a question goes, and a person at a terminal who is asked the plain one. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/file.h"
#include "test.h"
#include "unlock/ask.h"

#define QUESTION "Please enter passphrase for disk set falcon (left, right):"

/* a recorder in the place of other programs */

static struct strv started;
static bool plymouth_runs;
static const char *terminal;

static int start(struct runner *runner, const struct command *command, char **ret_output,
		 char **ret_errors)
{
	bool ping = streq(command->argv[1], "--ping");
	_cleanup_free_ char *words = str_dup("");

	(void)runner;
	for (const char *const *word = command->argv; *word; word++) {
		char *longer = str_printf("%s[%s]", words, *word);

		free(words);
		words = longer;
	}
	if (!ping) {
		strv_add(&started, words);
		assert_non_null(command->ret_secret);
		assert_int_equal(command->deadline, RUN_FOREVER);
		memcpy(command->ret_secret->data, "pass", 4);
		command->ret_secret->size = 4;
		terminal = command->terminal;
	}
	*ret_output = NULL;
	*ret_errors = NULL;
	return ping && !plymouth_runs ? 1 : 0;
}

static struct runner recorder = { .start = start };

static void expect_way(const char *wanted)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	const struct asker asker = { &recorder, test_folder(), "/dev/console" };

	assert_int_equal(ask_passphrase(&asker, QUESTION, passphrase, NULL), 0);
	assert_int_equal(passphrase->size, 4);
	assert_int_equal(started.n_items, 1);
	assert_string_equal(started.items[0], wanted);
	strv_deinit(&started);
}

/* What is put there first loses against what is put there later. */
static void test_order(void **state)
{
	(void)state;
	plymouth_runs = true;
	expect_way("[plymouth][ask-for-password]"
		   "[--prompt=Please enter passphrase for disk set falcon (left, right)]");
	assert_null(terminal);

	assert_int_equal(file_make_folder(test_path("lib/cryptsetup"), NULL), 0);
	test_write(test_path("lib/cryptsetup/askpass"), "", 0);
	expect_way("[/lib/cryptsetup/askpass][" QUESTION " ]");
	assert_string_equal(terminal, "/dev/console");

	assert_int_equal(file_make_folder(test_path("run/systemd/system"), NULL), 0);
	expect_way("[systemd-ask-password][--timeout=0][--no-tty][--id=eyrie]"
		   "[--icon=drive-harddisk][" QUESTION "]");
	assert_null(terminal);
}

/* a person at the other end of a pseudo terminal */

static const struct asker nothing_else = { &recorder, "/nowhere", NULL };

/* Type once the question stands, and read what the terminal shows up to its newline. */
static int be_a_person(int master, const char *types)
{
	_cleanup_strbuf_ struct strbuf seen = STRBUF_NULL;
	char byte;

	while (read(master, &byte, 1) == 1) {
		strbuf_add_bytes(&seen, &byte, 1);
		if (streq(seen.data, QUESTION " "))
			(void)fd_write_all(master, types, strlen(types));
		if (byte == '\n')
			return streq(seen.data, QUESTION " \r\n") ? 0 : 1;
	}
	return 2;
}

static int ask_person(const char *types, struct secret *passphrase, struct diag *diag)
{
	_cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_close_ int slave = -1; /* kept open, so that the terminal outlives the question */
	struct asker asker = nothing_else;
	struct termios after;
	pid_t person;
	int r, status;

	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	asker.console = ptsname(master);
	slave = open(asker.console, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	person = fork();
	if (person == 0)
		_exit(be_a_person(master, types));
	r = ask_passphrase(&asker, QUESTION, passphrase, diag);
	assert_int_equal(waitpid(person, &status, 0), person);
	assert_int_equal(status, 0);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_true(after.c_lflag & ECHO);
	return r;
}

static void expect_answer(const char *types, const char *wanted)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();

	plymouth_runs = false;
	assert_int_equal(ask_person(types, passphrase, NULL), 0);
	assert_int_equal(passphrase->size, strlen(wanted));
	assert_memory_equal(passphrase->data, wanted, strlen(wanted));
}

static void test_console(void **state)
{
	(void)state;
	expect_answer("correct horse\n", "correct horse");
	expect_answer("carriage return\r", "carriage return");
	expect_answer("all wrong\x15right\n", "right");
	expect_answer("one letteer\x7f\x7fr\n", "one letter");
	expect_answer("na\xc3\xafvet\xc3\xa9\x7f" "e\n", "na\xc3\xafvete");
}

static void test_empty_line(void **state)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(ask_person("\n", passphrase, &diag), -ENODATA);
	assert_string_equal(test_only_finding(&diag), "an empty passphrase opens nothing");
}

static void test_no_console(void **state)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct asker asker = nothing_else;

	(void)state;
	plymouth_runs = false;
	asker.console = "/nowhere/console";
	assert_int_equal(ask_passphrase(&asker, QUESTION, passphrase, &diag), -ENOENT);
	assert_non_null(starts_with(test_only_finding(&diag), "cannot ask on /nowhere/console: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_console),
		cmocka_unit_test(test_empty_line),
		cmocka_unit_test(test_no_console),
	};

	return cmocka_run_group_tests_name("ask", tests, NULL, NULL);
}
