/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What changes the headers of members, cut at each write to them: before it, and in its middle.
 * Whatever is left, the passphrase opens each member alone and the set together, and the same
 * change done again comes to its end. That the disk keeps the order of writes is taken for granted:
 * libcryptsetup waits for each copy of a header (fsync) before it writes the other.
 */

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "keys/journal.h"
#include "keys/keyfile.h"
#include "set-world.h"

#define N 2u

static struct world *world;
static struct secret *passphrase, *key;
static long writes_left = -1; /* negative: never cut */
static bool is_torn;

/* libcryptsetup's, too. */
ssize_t write(int fd, const void *data, size_t size)
{
	if (writes_left == 0) {
		if (is_torn)
			(void)syscall(SYS_write, fd, data, size / 2);
		(void)kill(getpid(), SIGKILL);
	}
	if (writes_left > 0)
		writes_left--;
	return syscall(SYS_write, fd, data, size);
}

static int enroll(size_t n)
{
	const struct enroll_member members[N] = {
		{ world->paths[0], world->names[0], NULL },
		{ world->paths[1], world->names[1], NULL },
	};

	return set_enroll(members, n, WORLD_SET_ID, passphrase, ENROLL_KEEP_ABSENT, NULL);
}

static int change(int (*f)(const struct keyfile_member *, size_t, const struct secret *,
			   struct diag *))
{
	const struct keyfile_member members[N] = {
		{ world->paths[0], world->names[0] },
		{ world->paths[1], world->names[1] },
	};

	return f(members, N, passphrase, NULL);
}

static int add_key(const struct keyfile_member *members, size_t n, const struct secret *opens,
		   struct diag *diag)
{
	return keyfile_enroll(members, n, opens, key, diag);
}

/* A start of the machine with so many of its members. */
static int start(size_t n)
{
	_cleanup_set_ struct set set = {};
	int r = world_unlock(world, &set, n, WORLD_RIGHT);

	if (r)
		return r;
	journal_compare(&set);
	r = journal_begin(&set, 1, NULL);
	return r ? r : journal_joined(&set, NULL);
}

static int do_nothing(void) { return 0; }
static int do_enroll(void) { return enroll(N); }
static int do_enroll_alone(void) { return enroll(1); }
static int do_add_key(void) { return change(add_key); }
static int do_remove_key(void) { return change(keyfile_remove); }
static int do_remove_peers(void) { return change(peers_remove); }
static int do_start_alone(void) { return start(1); }
static int do_start(void) { return start(N); }

static int do_enroll_and_add_key(void)
{
	int r = do_enroll();

	return r ? r : do_add_key();
}

static int do_enroll_and_start_alone(void)
{
	int r = do_enroll();

	return r ? r : do_start_alone();
}

static const struct scene {
	const char *name;
	int (*before)(void), (*change)(void);
	bool is_set; /* from beginning to end: whatever is cut, the members know each other */
} scenes[] = {
	{ "a set is made", do_nothing, do_enroll, false },
	{ "a set is made anew", do_enroll, do_enroll, true },
	{ "a set is made anew while a member is away", do_enroll, do_enroll_alone, true },
	{ "members get the key device's key", do_enroll, do_add_key, true },
	{ "the key device's key goes", do_enroll_and_add_key, do_remove_key, true },
	{ "members open each other no more", do_enroll_and_add_key, do_remove_peers, false },
	{ "a start without a member", do_enroll, do_start_alone, true },
	{ "a member joins again", do_enroll_and_start_alone, do_start, true },
};

/* As stock tools do; libcryptsetup mends the copy of the header that is torn. */
static void expect_passphrase(const char *path)
{
	struct crypt_device *cd = NULL;

	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_true(crypt_activate_by_passphrase(cd, NULL, CRYPT_ANY_SLOT, WORLD_RIGHT,
						 strlen(WORLD_RIGHT), 0) >= 0);
	crypt_free(cd);
}

static void expect_all_open(const struct scene *scene)
{
	_cleanup_set_ struct set set = {};
	int r = world_unlock(world, &set, N, WORLD_RIGHT);

	if (!scene->is_set && r == SET_ORPHANS)
		return;
	assert_int_equal(r, 0);
	if (scene->is_set)
		assert_int_equal(set_count(&set, MEMBER_OPEN), N);
}

/* True when it was cut. */
static bool cut(const struct scene *scene, long at, bool torn)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		writes_left = at;
		is_torn = torn;
		_exit(scene->change() ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

static char *copies[2 * N]; /* as they were formatted, and before the change */

static void copy_all(char *const from[static N], char *const to[static N])
{
	for (size_t i = 0; i < N; i++)
		world_copy(from[i], to[i]);
}

static void test_scene(void **state)
{
	const struct scene *scene = *state;
	bool was_cut = true;
	long n = 0;

	copy_all(copies, world->paths);
	assert_int_equal(scene->before(), 0);
	copy_all(world->paths, copies + N);
	for (; was_cut; n++)
		for (int torn = 0; torn <= 1; torn++) {
			copy_all(copies + N, world->paths);
			was_cut = cut(scene, n, torn);
			for (size_t i = 0; i < N; i++)
				expect_passphrase(world->paths[i]);
			expect_all_open(scene);
			assert_int_equal(scene->change(), 0);
			expect_all_open(scene);
		}
	assert_true(n > 1);
	print_message("# %s: %ld writes\n", scene->name, n - 1);
}

static int setup(void **state)
{
	void *made = NULL;
	int r = world_setup(&made);

	(void)state;
	world = made;
	passphrase = world_secret(WORLD_RIGHT);
	key = world_secret("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
	for (size_t i = 0; i < 2 * N; i++)
		copies[i] = str_printf("%s/copy-%zu", world->folder, i);
	copy_all(world->paths, copies);
	return r;
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * N; i++) {
		(void)unlink(copies[i]);
		free(copies[i]);
	}
	key = secret_free(key);
	passphrase = secret_free(passphrase);
	return world_teardown((void **)&world);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_SIZE(scenes)];

	for (size_t i = 0; i < ARRAY_SIZE(scenes); i++)
		tests[i] = (struct CMUnitTest){ .name = scenes[i].name, .test_func = test_scene,
						.initial_state = (void *)&scenes[i] };
	return cmocka_run_group_tests_name("keys", tests, setup, teardown);
}
