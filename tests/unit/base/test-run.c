/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/run.h"
#include "test.h"

#define SHELL(script) (const char *const[]){ "sh", "-c", script, NULL }

static struct runner runner;

static int setup(void **state)
{
	(void)state;
	runner_init(&runner);
	return 0;
}

/* stdout of a shell script that succeeds */
static char *output_of(const char *script)
{
	char *output = NULL;

	assert_int_equal(run(&runner, &(struct command){ .argv = SHELL(script),
							 .ret_output = &output }, NULL), 0);
	return output;
}

static void test_exit_status(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(run_words(&runner, &diag, "true", NULL), 0);
	assert_int_equal(diag.n_items, 0);
	assert_int_equal(run(&runner, &(struct command){
				 .argv = SHELL("echo out; echo why >&2; exit 3") }, &diag), -EIO);
	assert_int_equal(diag.n_items, 1);
	assert_non_null(strstr(diag.items[0].text, "exit status 3:\nwhy"));
}

/* Of what a program says the last lines are shown; all of it when they are few. */
static void test_tail_of_errors(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(run(&runner, &(struct command){ .argv = SHELL(
				 "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line$i >&2; done; "
				 "exit 1") }, &diag), -EIO);
	assert_null(strstr(diag.items[0].text, "line2\n"));
	assert_non_null(strstr(diag.items[0].text, "line5\n"));
	assert_non_null(strstr(diag.items[0].text, "line12"));
}

static void test_killed(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_true(run(&runner, &(struct command){ .argv = SHELL("kill -9 $$") }, &diag) < 0);
	assert_int_equal(diag.n_errors, 1);
}

static void test_missing_program(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ char *found = run_find("sh"), *lost = run_find("eyrie-no-such-program");

	(void)state;
	assert_int_equal(run_words(&runner, &diag, "eyrie-no-such-program", "x", NULL), -ENOENT);
	assert_string_equal(test_only_finding(&diag),
			    "cannot start 'eyrie-no-such-program': it is not installed");
	assert_non_null(found);
	assert_null(lost);
}

static void test_optional_is_silent(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	const char *const missing[] = { "eyrie-no-such-program", NULL };

	(void)state;
	assert_int_equal(run(&runner, &(struct command){ .argv = SHELL("exit 1"),
							 .flags = RUN_OPTIONAL }, &diag), -EIO);
	assert_int_equal(run(&runner, &(struct command){ .argv = missing,
							 .flags = RUN_OPTIONAL }, &diag), -ENOENT);
	assert_int_equal(diag.n_items, 0);
}

static void test_output(void **state)
{
	_cleanup_free_ char *output = output_of("echo one; echo no >&2; printf two");
	_cleanup_free_ char *nothing = output_of("echo no >&2");

	(void)state;
	assert_string_equal(output, "one\ntwo");
	assert_string_equal(nothing, "");
}

/* More than a pipe holds, both ways at once. */
static void test_input_and_much_output(void **state)
{
	_cleanup_free_ char *text = mem_alloc(MIB + 1), *output = NULL;

	(void)state;
	memset(text, 'x', MIB);
	assert_int_equal(run(&runner, &(struct command){ .argv = SHELL("cat; echo end"),
							 .input = text, .ret_output = &output },
			     NULL), 0);
	assert_int_equal(strlen(output), MIB + 4);
	assert_string_equal(output + MIB, "end\n");
}

static void test_output_is_bounded(void **state)
{
	const char *const much[] = { "head", "-c", "48M", "/dev/zero", NULL };
	_cleanup_free_ char *output = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(run(&runner, &(struct command){ .argv = much, .ret_output = &output }, &diag),
			 -EFBIG);
	assert_null(output);
	assert_string_equal(test_only_finding(&diag), "'head -c 48M /dev/zero' says more than 32 MiB");
	assert_int_equal(run(&runner, &(struct command){ .argv = much }, NULL), 0);
}

/* Somebody with so many processes that none can be added. */
static void test_too_many_processes(void **state)
{
	const struct rlimit none = {};
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (setrlimit(RLIMIT_NPROC, &none) < 0 || (geteuid() == 0 && setuid(65533) < 0))
			_exit(77);
		_exit(run_words(&runner, NULL, "true", NULL) == -ENOMEM ? 0 : 1);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A program that does not read what it is given is no failure. */
static void test_input_that_nobody_reads(void **state)
{
	_cleanup_free_ char *text = mem_alloc(MIB + 1);

	(void)state;
	memset(text, 'x', MIB);
	assert_int_equal(run(&runner, &(struct command){ .argv = SHELL("exit 0"), .input = text },
			     NULL), 0);
}

static void test_no_input_is_an_end_of_file(void **state)
{
	_cleanup_free_ char *output = output_of("cat; echo done");

	(void)state;
	assert_string_equal(output, "done\n");
}

/* By pipe, whole, and neither in argv nor in the environment of the program. */
static void test_secret(void **state)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	_cleanup_free_ char *output = NULL;

	(void)state;
	memcpy(secret->data, "s3cr\0t\n", 7);
	secret->size = 7;
	assert_int_equal(run(&runner, &(struct command){
				 .argv = SHELL("od -An -c; cat /proc/$$/cmdline /proc/$$/environ | "
					       "tr '\\0' ' '"),
				 .secret = secret, .ret_output = &output }, NULL), 0);
	assert_non_null(strstr(output, "s   3   c   r  \\0   t  \\n\n"));
	assert_null(strstr(output, "s3cr"));
}

/* A program that asks there: what it answers with still comes through the pipe. */
static void test_terminal(void **state)
{
	_cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	_cleanup_free_ char *output = NULL;
	char said[16] = "";

	(void)state;
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	assert_int_equal(run(&runner, &(struct command){
				 .argv = SHELL("test -t 0 && test -t 2 && echo asked >&2; "
					       "test -t 1 || echo pipe"),
				 .terminal = ptsname(master), .ret_output = &output }, NULL), 0);
	assert_string_equal(output, "pipe\n");
	assert_true(read(master, said, sizeof(said) - 1) > 0);
	assert_string_equal(said, "asked\r\n");
}

static void test_environment_is_fixed(void **state)
{
	const char *const further[] = { "EYRIE_FURTHER=2", NULL };
	_cleanup_free_ char *output = NULL;

	(void)state;
	(void)setenv("EYRIE_LEAK", "1", 1);
	(void)setenv("LD_PRELOAD", "", 1);
	assert_int_equal(run(&runner, &(struct command){
				 .argv = (const char *const[]){ "env", NULL },
				 .environment = further, .ret_output = &output }, NULL), 0);
	assert_non_null(strstr(output, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"));
	assert_non_null(strstr(output, "LC_ALL=C\n"));
	assert_non_null(strstr(output, "EYRIE_FURTHER=2\n"));
	assert_null(strstr(output, "EYRIE_LEAK"));
	assert_null(strstr(output, "LD_PRELOAD"));
	(void)unsetenv("LD_PRELOAD");
}

/* Not even those without close-on-exec. */
static void test_descriptors_are_closed(void **state)
{
	_cleanup_close_ int low = open("/dev/null", O_RDONLY), high = fcntl(low, F_DUPFD, 200);
	_cleanup_free_ char *output = output_of("ls /proc/$$/fd | tr '\\n' ' '");

	(void)state;
	assert_true(low >= 0 && high >= 200);
	assert_non_null(starts_with(output, "0 1 2 "));
	assert_null(strstr(output, "200"));
}

static void test_folder_is_entered(void **state)
{
	_cleanup_free_ char *output = NULL;

	(void)state;
	assert_int_equal(run(&runner, &(struct command){ .argv = SHELL("pwd"),
							 .folder = "/usr/lib",
							 .ret_output = &output }, NULL), 0);
	assert_string_equal(output, "/usr/lib\n");
}

/* With all that it started. */
static void test_deadline(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ char *script =
		str_printf("sleep 600 & echo $! >%s; wait", test_path("child"));
	const char *const argv[] = { "sh", "-c", script, NULL };
	_cleanup_free_ char *pid = NULL;
	bool gone = false;

	(void)state;
	assert_int_equal(run(&runner, &(struct command){ .argv = argv, .deadline = 1 }, &diag),
			 -ETIMEDOUT);
	assert_non_null(strstr(test_only_finding(&diag), "did not end in time"));
	pid = file_read_line(test_path("child"));
	assert_non_null(pid);
	for (int i = 0; i < 100 && !gone; i++) {
		_cleanup_free_ char *path = str_printf("/proc/%s/stat", pid);
		_cleanup_free_ char *stat = file_read_line(path);

		gone = !stat || strstr(stat, ") Z ");
		(void)poll(NULL, 0, gone ? 0 : 50);
	}
	assert_true(gone);
}

/* A program that does not end when it is asked to. */
static void test_deadline_of_a_stubborn_one(void **state)
{
	(void)state;
	assert_int_equal(run(&runner, &(struct command){
				 .argv = SHELL("trap '' TERM; while :; do sleep 1; done"),
				 .deadline = 1 }, NULL), -ETIMEDOUT);
}

/* In a process of its own, which interrupts itself. */
static int interrupted_run(void)
{
	pid_t self = getpid(), helper;
	int r;

	run_catch_interrupts();
	helper = fork();
	if (helper == 0) {
		(void)poll(NULL, 0, 300);
		(void)kill(self, SIGINT);
		_exit(0);
	}
	r = run_words(&runner, NULL, "sleep", "600", NULL);
	(void)waitpid(helper, NULL, 0);
	if (r != -EINTR || !run_interrupted())
		return 1;
	/* What is started afterwards does not go on either. */
	return run_words(&runner, NULL, "sleep", "600", NULL) == -EINTR ? 0 : 2;
}

static void test_interrupt(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0)
		_exit(interrupted_run());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void keep_line(void *context, const char *line)
{
	strv_add(context, line);
}

static void test_log(void **state)
{
	_cleanup_strv_ struct strv lines = STRV_NULL;
	struct runner logged;

	(void)state;
	runner_init(&logged);
	logged.log = keep_line;
	logged.context = &lines;
	assert_int_equal(run_words(&logged, NULL, "true", "a", "b", NULL), 0);
	assert_int_equal(lines.n_items, 1);
	assert_string_equal(lines.items[0], "true a b");
}

/* More of them than there are processors anywhere; each gets its own input. */
static void test_all(void **state)
{
	enum { N = 300 };
	const char *const missing[] = { "eyrie-no-such-program", NULL };
	const char *const script[] = {
		"sh", "-c", "read -r word && echo \"$word\" >&2 && test \"$word\" = right", NULL
	};
	_cleanup_free_ struct command *commands = mem_alloc(N * sizeof(*commands));
	_cleanup_free_ int *results = mem_alloc(N * sizeof(*results));

	(void)state;
	for (size_t i = 0; i < N; i++)
		commands[i] = (struct command){
			.argv = script,
			.input = i % 3 ? "right\n" : "wrong\n",
		};
	commands[7] = (struct command){ .argv = missing };
	run_all(&runner, commands, N, results);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(results[i], i == 7 ? -ENOENT : i % 3 ? 0 : -EIO);
	run_all(&runner, commands, 0, results);
}

/* Each reads its input to the end, and waits there for the other one. */
static void test_all_at_once(void **state)
{
	char folder[] = "/tmp/eyrie-test-XXXXXX";
	const char *const script[] = {
		"sh", "-c",
		"own=$(cat) && cd \"${own%/*}\" && touch \"${own##*/}\" && "
		"for i in $(seq 100); do [ $(ls | wc -l) = 2 ] && exit 0; sleep 0.1; done; exit 1", NULL
	};
	_cleanup_free_ char *one = NULL, *other = NULL;
	struct command commands[2] = {};
	int results[2];

	(void)state;
	if (run_count_processors() < 2)
		skip();
	assert_non_null(mkdtemp(folder));
	one = str_printf("%s/one", folder);
	other = str_printf("%s/other", folder);
	commands[0] = (struct command){ .argv = script, .input = one };
	commands[1] = (struct command){ .argv = script, .input = other };
	run_all(&runner, commands, 2, results);
	(void)unlink(one);
	(void)unlink(other);
	(void)rmdir(folder);
	assert_int_equal(results[0], 0);
	assert_int_equal(results[1], 0);
}

static int record_start(struct runner *recorder, const struct command *command,
			char **ret_output, char **ret_errors)
{
	strv_add(recorder->context, command->argv[0]);
	*ret_output = str_dup("recorded");
	*ret_errors = str_dup("");
	return 0;
}

/* The seam: nothing is started. */
static void test_recorder(void **state)
{
	_cleanup_strv_ struct strv started = STRV_NULL;
	_cleanup_free_ char *output = NULL;
	struct runner recorder = { .start = record_start, .context = &started };
	const char *const argv[] = { "zpool", "destroy", NULL };

	(void)state;
	assert_int_equal(run(&recorder, &(struct command){ .argv = argv, .ret_output = &output },
			     NULL), 0);
	assert_string_equal(output, "recorded");
	assert_string_equal(started.items[0], "zpool");
}

static void test_process(void **state)
{
	_cleanup_(process_freep) struct process *process = NULL;
	char text[16] = "";
	struct pollfd fd;

	(void)state;
	assert_int_equal(process_start(&runner, &(struct command){ .argv = SHELL(
					   "read line; echo got $line; exit 5") }, &process, NULL),
			 0);
	assert_false(process_has_ended(process));
	assert_int_equal(fd_write_all(process->input, "egg\n", 4), 0);
	fd = (struct pollfd){ .fd = process->output, .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 10000), 1);
	assert_int_equal(read(process->output, text, sizeof(text) - 1), 8);
	assert_string_equal(text, "got egg\n");
	fd = (struct pollfd){ .fd = process->ended, .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 10000), 1);
	assert_true(process_has_ended(process));
	assert_int_equal(process->status, 5);
	assert_true(process_has_ended(process));
}

static void test_process_is_stopped(void **state)
{
	_cleanup_(process_freep) struct process *process = NULL;
	pid_t pid;

	(void)state;
	assert_int_equal(process_start(&runner, &(struct command){ .argv = SHELL(
					   "trap '' TERM; echo up; while :; do sleep 1; done") },
				       &process, NULL), 0);
	pid = process->pid;
	process_stop(process, 0);
	assert_int_equal(process->status, -EINTR);
	assert_int_equal(process->pid, 0);
	assert_int_equal(kill(pid, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_tail_of_errors),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_missing_program),
		cmocka_unit_test(test_optional_is_silent),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_input_and_much_output),
		cmocka_unit_test(test_output_is_bounded),
		cmocka_unit_test(test_too_many_processes),
		cmocka_unit_test(test_input_that_nobody_reads),
		cmocka_unit_test(test_no_input_is_an_end_of_file),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_environment_is_fixed),
		cmocka_unit_test(test_descriptors_are_closed),
		cmocka_unit_test(test_folder_is_entered),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_deadline_of_a_stubborn_one),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_recorder),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_process_is_stopped),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* as eyrie's main() does */
	return cmocka_run_group_tests_name("run", tests, setup, NULL);
}
