/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loop.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/run.h"

static struct strv nodes;
static pid_t owner;

static int quietly(const char *const *argv, char **ret_output)
{
	struct runner runner;

	runner_init(&runner);
	return run(&runner, &(struct command){ .argv = argv, .flags = RUN_OPTIONAL,
					       .ret_output = ret_output }, NULL);
}

void loop_detach(const char *node)
{
	(void)quietly((const char *const[]){ "losetup", "--detach", node, NULL }, NULL);
}

static void clean_up(void)
{
	for (size_t i = 0; i < nodes.n_items && owner == getpid(); i++)
		loop_detach(nodes.items[i]);
	strv_deinit(&nodes);
}

static char *attach(const char *path, bool read_only)
{
	char *node = NULL;

	if (quietly((const char *const[]){ "losetup", "--find", "--show", "--partscan", path,
					   read_only ? "--read-only" : NULL, NULL }, &node))
		return NULL;
	str_trim_end(node);
	return node;
}

const char *loop_over(const char *path, bool read_only)
{
	_cleanup_free_ char *node = attach(path, read_only);

	assert_non_null(node);
	if (!owner)
		(void)atexit(clean_up);
	owner = getpid();
	strv_add(&nodes, node);
	return nodes.items[nodes.n_items - 1];
}

const char *loop_new(const char *name, uint64_t size)
{
	const char *path = test_path(name);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return loop_over(path, false);
}

bool loops_work(void)
{
	_cleanup_free_ char *node = NULL;

	test_write(test_path("probe"), "", 0);
	assert_int_equal(truncate(test_path("probe"), MIB), 0);
	node = geteuid() ? NULL : attach(test_path("probe"), false);
	if (node)
		loop_detach(node);
	else
		printf("1..0 # SKIP wants root and loop devices\n");
	return node;
}

bool loop_scan(const char *node)
{
	return quietly((const char *const[]){ "partx", "--update", node, NULL }, NULL) == 0;
}
