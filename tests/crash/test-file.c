/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * file_replace() killed at any moment leaves the old file or the new one, whole; and running it
 * again works. The moments: before and after every system call, by ptrace, and random ones.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/file.h"
#include "test.h"

#define SIZE (256 * KIB)

static char *text_of(char letter)
{
	char *text = mem_alloc(SIZE + 1);

	memset(text, letter, SIZE);
	return text;
}

static char letter_in(const char *path)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	assert_int_equal(file_read(path, &b), 0);
	assert_int_equal(b.size, SIZE);
	for (size_t i = 1; i < SIZE; i++)
		assert_int_equal(b.data[i], b.data[0]);
	return b.data[0];
}

static _Noreturn void replace_traced(const char *path, const char *text)
{
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	(void)raise(SIGSTOP);
	_exit(file_replace(path, text, 0644, NULL) ? 1 : 0);
}

/* Let it make `n` stops at system calls, then kill it. True when it had ended before. */
static bool kill_at(const char *path, const char *text, unsigned n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		replace_traced(path, text);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (unsigned i = 0; i < n && WIFSTOPPED(status); i++) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
	if (WIFEXITED(status)) {
		assert_int_equal(WEXITSTATUS(status), 0);
		return true;
	}
	(void)kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return false;
}

static void test_at_every_system_call(void **state)
{
	_cleanup_free_ char *old = text_of('a'), *new = text_of('b');
	const char *path = test_path("at/every/call");
	unsigned n_old = 0, n_new = 0, n = 0;
	bool ended = false;

	(void)state;
	for (; !ended; n++) {
		char found;

		assert_int_equal(file_replace(path, old, 0644, NULL), 0);
		ended = kill_at(path, new, n);
		found = letter_in(path);
		assert_true(found == 'a' || found == 'b');
		n_old += found == 'a';
		n_new += found == 'b';
		assert_true(found == 'a' || n_new > 0);
		/* once the new one is there, it stays */
		assert_false(n_new && found == 'a');
	}
	print_message("# %u moments: the old file %u times, the new one %u times\n", n, n_old, n_new);
	assert_true(n_old > 10 && n_new > 3);
}

/* The first time: no file, or the whole one. */
static void test_of_a_file_that_is_not_there(void **state)
{
	_cleanup_free_ char *new = text_of('b');
	unsigned n = 0, n_none = 0;
	bool ended = false;

	(void)state;
	for (; !ended; n++) {
		_cleanup_free_ char *name = str_printf("first/%u/file", n);
		const char *path = test_path(name);

		ended = kill_at(path, new, n);
		if (access(path, F_OK) == 0)
			assert_int_equal(letter_in(path), 'b');
		else
			n_none++;
		assert_int_equal(file_replace(path, new, 0644, NULL), 0);
		assert_int_equal(letter_in(path), 'b');
	}
	assert_true(n_none > 10 && n_none < n);
}

static void test_at_random_moments(void **state)
{
	_cleanup_free_ char *a = text_of('a'), *b = text_of('b');
	const char *path = test_path("random");

	(void)state;
	assert_int_equal(file_replace(path, a, 0644, NULL), 0);
	for (int i = 0; i < 100; i++) {
		unsigned wait = 0;
		pid_t pid = fork();
		int status;

		if (pid == 0)
			for (;;) {
				(void)file_replace(path, a, 0644, NULL);
				(void)file_replace(path, b, 0644, NULL);
			}
		(void)!getrandom(&wait, sizeof(wait), 0);
		(void)usleep(wait % 20000);
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		(void)letter_in(path);
	}
	assert_int_equal(file_replace(path, b, 0644, NULL), 0);
	assert_int_equal(letter_in(path), 'b');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_at_every_system_call),
		cmocka_unit_test(test_of_a_file_that_is_not_there),
		cmocka_unit_test(test_at_random_moments),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
