/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "base/file.h"
#include "base/secret.h"
#include "test.h"

/* The read end of a pipe that holds `data` and has ended. */
static int pipe_of(const void *data, size_t size)
{
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fd_write_all(pipes[1], data, size), 0);
	(void)close(pipes[1]);
	return pipes[0];
}

static int read_of(const void *data, size_t size, bool line, struct secret *secret)
{
	_cleanup_close_ int fd = pipe_of(data, size);

	return secret_read(secret, fd, line);
}

static void test_read_everything(void **state)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();

	(void)state;
	assert_int_equal(read_of("a b\nc\n", 6, false, secret), 0);
	assert_int_equal(secret->size, 5);
	assert_memory_equal(secret->data, "a b\nc", 5);
	assert_int_equal(read_of("x\0y", 3, false, secret), 0);
	assert_int_equal(secret->size, 3);
	assert_memory_equal(secret->data, "x\0y", 3);
}

/* What comes after the line stays for whoever reads next. */
static void test_read_line(void **state)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	_cleanup_close_ int fd = pipe_of("first\nsecond", 12);

	(void)state;
	assert_int_equal(secret_read(secret, fd, true), 0);
	assert_int_equal(secret->size, 5);
	assert_memory_equal(secret->data, "first", 5);
	assert_int_equal(secret_read(secret, fd, true), 0);
	assert_int_equal(secret->size, 6);
	assert_memory_equal(secret->data, "second", 6);
}

static void test_nothing_is_an_error(void **state)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();

	(void)state;
	assert_int_equal(read_of("", 0, false, secret), -ENODATA);
	assert_int_equal(read_of("\n", 1, false, secret), -ENODATA);
	assert_int_equal(read_of("\n", 1, true, secret), -ENODATA);
	assert_int_equal(read_of("\nx", 2, true, secret), -ENODATA);
	assert_int_equal(secret_read(secret, -1, false), -EBADF);
}

static void test_room(void **state)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	char data[SECRET_MAX + 1];

	(void)state;
	memset(data, 'k', sizeof(data));
	assert_int_equal(read_of(data, SECRET_MAX - 1, false, secret), 0);
	assert_int_equal(secret->size, SECRET_MAX - 1);
	assert_int_equal(read_of(data, SECRET_MAX + 1, false, secret), -EMSGSIZE);
	assert_int_equal(read_of(data, SECRET_MAX + 1, true, secret), -EMSGSIZE);
}

static void test_equal(void **state)
{
	_cleanup_(secret_freep) struct secret *a = secret_new(), *b = secret_new();

	(void)state;
	assert_true(secret_equal(a, b));
	(void)read_of("falcon", 6, false, a);
	assert_false(secret_equal(a, b));
	(void)read_of("falcoN", 6, false, b);
	assert_false(secret_equal(a, b));
	(void)read_of("falco", 5, false, b);
	assert_false(secret_equal(a, b));
	(void)read_of("falcon", 6, false, b);
	assert_true(secret_equal(a, b));
	assert_null(secret_free(NULL));
}

static void test_released_and_taken_back(void **state)
{
	struct secret *secret = secret_new();
	size_t size = 0;
	char *data;

	(void)state;
	(void)read_of("falcon", 6, false, secret);
	data = secret_release(secret, &size);
	assert_int_equal(size, 6);
	assert_memory_equal(data, "falcon", 6);
	secret = secret_adopt(data, size);
	assert_int_equal(secret->size, 6);
	assert_null(secret_free(secret));
}

/* Of the mapping that holds the secret, as the kernel lists its flags: "dd" is no core dump. */
static void test_left_out_of_core_dumps(void **state)
{
	_cleanup_(secret_freep) struct secret *secret = secret_new();
	FILE *maps = fopen("/proc/self/smaps", "re");
	bool ours = false, left_out = false;
	char line[512];

	(void)state;
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;

		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			ours = (unsigned long)secret->data >= from &&
			       (unsigned long)secret->data < to;
		else if (ours && starts_with(line, "VmFlags:"))
			left_out = strstr(line, " dd") != NULL;
	}
	(void)fclose(maps);
	assert_true(left_out);
}

static void test_hardened_process(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct rlimit core;

		secret_harden_process();
		(void)getrlimit(RLIMIT_CORE, &core);
		_exit(prctl(PR_GET_DUMPABLE) != 0 || core.rlim_cur != 0 || core.rlim_max != 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_everything),
		cmocka_unit_test(test_read_line),
		cmocka_unit_test(test_nothing_is_an_error),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_released_and_taken_back),
		cmocka_unit_test(test_left_out_of_core_dumps),
		cmocka_unit_test(test_hardened_process),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
