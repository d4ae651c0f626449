/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/users.h"

#include <sys/stat.h>

#include "base/file.h"
#include "test.h"

static void expect_unit(const char *cgroup, const char *wanted)
{
	_cleanup_free_ char *unit = users_unit(cgroup);

	if (wanted)
		assert_string_equal(unit, wanted);
	else
		assert_null(unit);
}

static void test_unit(void **state)
{
	(void)state;
	expect_unit("0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n",
		    "postgresql@17-main.service");
	expect_unit("0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope");
	expect_unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n",
		    "user@1000.service");
	expect_unit("0::/\n", NULL);
	expect_unit("", NULL);
}

/* A folder that looks like /proc; /dev/shm is another file system than /tmp or /. */
static void test_find(void **state)
{
	const char *proc = test_path("proc");
	_cleanup_(users_deinit) struct users users = {};
	_cleanup_strv_ struct strv paths = STRV_NULL;
	_cleanup_free_ char *one = str_printf("%s/17", proc);
	_cleanup_free_ char *fds = str_printf("%s/17/fd", proc);
	_cleanup_free_ char *fd = str_printf("%s/17/fd/3", proc);
	_cleanup_free_ char *comm = str_printf("%s/17/comm", proc);
	_cleanup_free_ char *cgroup = str_printf("%s/17/cgroup", proc);
	_cleanup_free_ char *other = str_printf("%s/18", proc);
	_cleanup_free_ char *cwd = str_printf("%s/18/cwd", proc);
	struct stat shm, root;

	(void)state;
	if (stat("/dev/shm", &shm) < 0 || stat("/dev", &root) < 0 || shm.st_dev == root.st_dev)
		skip();
	assert_int_equal(file_make_folder(fds, NULL) | file_make_folder(other, NULL), 0);
	assert_int_equal(symlink("/dev/shm", fd) | symlink("/", cwd), 0);
	test_write(comm, "postgres\n", 9);
	test_write(cgroup, "0::/system.slice/db.service\n", 28);
	strv_add_all(&paths, "/dev/shm", "/nowhere", NULL);
	assert_int_equal(users_find(proc, &paths, &users), 0);
	assert_int_equal(users.n_items, 1);
	assert_int_equal(users.items[0].pid, 17);
	assert_string_equal(users.items[0].name, "postgres");
	assert_string_equal(users.items[0].unit, "db.service");
	assert_string_equal(users.items[0].what, "/dev/shm");
}

/* Where nothing is mounted everybody would be found. */
static void test_find_where_nothing_is_mounted(void **state)
{
	_cleanup_(users_deinit) struct users users = {};
	_cleanup_strv_ struct strv paths = STRV_NULL;

	(void)state;
	strv_add(&paths, test_folder());
	assert_int_equal(users_find("/proc", &paths, &users), 0);
	assert_int_equal(users.n_items, 0);
	assert_int_equal(users_find("/nowhere", &paths, &users), -ENOENT);
}

static void expect_mounts(const char *file, bool passing, const char *wanted)
{
	_cleanup_strv_ struct strv datasets = STRV_NULL, paths = STRV_NULL, lines = STRV_NULL;
	_cleanup_free_ char *all = NULL;

	strv_add_all(&datasets, "nest/www", "nest/www/a", NULL);
	strv_add_all(&paths, "/srv/w w", "/srv/w w/a", NULL);
	users_mounts(file, &datasets, &paths, passing, &lines);
	all = strv_join(&lines, "; ");
	assert_string_equal(all, wanted);
}

/* Those that ZFS cannot unmount, or would not unload the key for; containers take their own away. */
static void test_mounts(void **state)
{
	static const char text[] =
		"22 1 0:20 / / rw - ext4 /dev/sda1 rw\n"
		"30 22 0:30 / /srv/w\\040w rw - zfs nest/www rw\n"
		"31 30 0:31 / /srv/w\\040w/a rw - zfs nest/www/a rw\n"
		"32 30 0:32 / /srv/w\\040w/.zfs/snapshot/s rw - zfs nest/www@s rw\n"
		"33 30 0:20 /x /srv/w\\040w/bind rw - ext4 /dev/sda1 rw\n"
		"34 22 0:31 / /mnt rw - zfs nest/www/a rw\n"
		"35 22 0:35 / /srv/w\\040wx rw - tmpfs tmpfs rw\n"
		"36 30 0:36 / /srv/w\\040w/c rw - overlay overlay rw\n"
		"37 30 0:37 / /srv/w\\040w/old rw - zfs nest/old rw\n";
	const char *file = test_path("mountinfo");

	(void)state;
	test_write(file, text, strlen(text));
	expect_mounts(file, false, "/dev/sda1 on /srv/w w/bind; nest/www/a on /mnt; nest/old on "
		      "/srv/w w/old");
	expect_mounts(file, true, "/dev/sda1 on /srv/w w/bind; nest/www/a on /mnt; overlay on "
		      "/srv/w w/c; nest/old on /srv/w w/old");
	expect_mounts("/nowhere", true, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unit),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_find_where_nothing_is_mounted),
		cmocka_unit_test(test_mounts),
	};

	return cmocka_run_group_tests_name("users", tests, NULL, NULL);
}
