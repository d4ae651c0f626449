/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/unitfile.h"

#include <sys/stat.h>

#include "base/file.h"
#include "gate/find.h"
#include "test.h"

static const char *root;

static void put(const char *path, const char *text)
{
	_cleanup_free_ char *full = str_printf("%s%s", root, path);

	assert_int_equal(file_replace(full, text, 0644, NULL), 0);
}

static void put_link(const char *path, const char *target)
{
	_cleanup_free_ char *full = str_printf("%s%s", root, path);
	_cleanup_free_ char *folder = str_printf("%.*s", (int)(strrchr(full, '/') - full), full);

	assert_int_equal(file_make_folder(folder, NULL), 0);
	assert_int_equal(symlink(target, full), 0);
}

static void expect_words(const struct strv *have, const char *wanted)
{
	_cleanup_free_ char *all = strv_join(have, " | ");

	assert_string_equal(all, wanted);
}

static const struct unit *get(const struct unit_list *units, const char *name)
{
	const struct unit *unit = unit_list_find(units, name);

	assert_non_null(unit);
	return unit;
}

static struct unit_list *read_all(void)
{
	struct unit_list *units = mem_alloc(sizeof(*units));

	unit_files_read(root, units);
	return units;
}

static void test_values(void **state)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;

	(void)state;
	root = test_folder();
	put("/usr/lib/systemd/system/db@.service",
	    "[Unit]\nRequiresMountsFor=/etc/db/%I \\\n /srv/db/%I\nBindsTo=db-%i.slice x.slice\n"
	    "[Service]\nExecStart=/bin/db --data /srv/%i --name=%n\n"
	    "StateDirectory=one:alias two/three\nWorkingDirectory=-%S/w\n");
	put("/usr/lib/systemd/system/odd.service",
	    "# RequiresMountsFor=/no\n; RequiresMountsFor=/no\nRequiresMountsFor = \"/srv/my data\" "
	    "/srv/a\\x20b /x%%y\nno equals sign\n=\n%\nExecStart=/bin/odd %");
	put("/etc/systemd/system/odd.service.d/more.conf", "[Unit]\nRequires=db@1.service\n");
	put("/etc/systemd/system/odd.service.d/note.txt", "[Unit]\nRequires=no.service\n");
	put_link("/etc/systemd/system/odd.service.wants/db@a\\x2db-c.service",
		 "../../../../usr/lib/systemd/system/db@.service");
	put_link("/etc/systemd/system/odd.service.wants/db@\\x2.service",
		 "../../../../usr/lib/systemd/system/db@.service");
	units = read_all();
	assert_non_null(unit_list_find(units, "db@\\x2.service"));
	expect_words(&get(units, "db@.service")->mounts_for,
		     "/etc/db | /srv/db | /var/lib/one | /var/lib/two/three | /var/lib/w");
	expect_words(&get(units, "db@.service")->requires, "x.slice");
	assert_string_equal(get(units, "db@.service")->exec, "/bin/db --data /srv/* --name=*");
	expect_words(&get(units, "db@a\\x2db-c.service")->mounts_for,
		     "/etc/db/a-b/c | /srv/db/a-b/c | /var/lib/one | /var/lib/two/three | /var/lib/w");
	expect_words(&get(units, "db@a\\x2db-c.service")->wanted_by, "odd.service");
	expect_words(&get(units, "odd.service")->mounts_for, "/srv/my data | /srv/a b | /x%y");
	expect_words(&get(units, "odd.service")->requires, "db@1.service");
	assert_string_equal(get(units, "odd.service")->exec, "/bin/odd *");
}

/* Masks, aliases, who is in front; what is no file; triggers. */
static void test_files(void **state)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;

	(void)state;
	root = test_path("files");
	put("/usr/lib/systemd/system/a.service", "RequiresMountsFor=/lib\n");
	put("/etc/systemd/system/a.service", "RequiresMountsFor=/etc\n");
	put("/usr/lib/systemd/system/b.service", "RequiresMountsFor=/b\n");
	put_link("/etc/systemd/system/b.service", "/dev/null");
	put("/usr/lib/systemd/system/c.service", "RequiresMountsFor=/c\n");
	put("/etc/systemd/system/c.service", "");
	put("/usr/lib/systemd/system/d.service", "Requires=a.service\n");
	put_link("/etc/systemd/system/alias.service", "../../../usr/lib/systemd/system/d.service");
	put_link("/etc/systemd/system/gone.service", "nowhere");
	put("/usr/lib/systemd/system/e.socket", "ListenStream=/run/e\nListenStream=80\n");
	put("/usr/lib/systemd/system/e.service", "[Service]\n");
	put("/usr/lib/systemd/system/f.path", "PathExists=/srv/f\nUnit=e.service\n");
	put("/usr/lib/systemd/system/g.timer", "OnCalendar=daily\n");
	put("/usr/lib/systemd/system/h.target", "After=a.service\n");
	put("/usr/lib/systemd/system/i.service", "Before=h.target\n");
	put("/usr/lib/systemd/system/j.mount", "Where=/j\n");
	{
		_cleanup_free_ char *pipe = str_printf("%s/etc/systemd/system/p.service", root);

		assert_int_equal(mkfifo(pipe, 0644), 0);
	}
	units = read_all();
	expect_words(&get(units, "a.service")->mounts_for, "/etc");
	expect_words(&get(units, "a.service")->required_by, "d.service");
	assert_string_equal(get(units, "b.service")->load, "masked");
	assert_string_equal(get(units, "c.service")->load, "masked");
	assert_string_equal(get(units, "p.service")->load, "masked");
	assert_string_equal(get(units, "gone.service")->load, "masked");
	assert_null(unit_list_find(units, "alias.service"));
	assert_null(unit_list_find(units, "j.mount"));
	expect_words(&get(units, "g.timer")->triggers, "g.service");
	expect_words(&get(units, "h.target")->after, "a.service | i.service");
	assert_int_equal(get(units, "h.target")->triggers.n_items, 0);
	expect_words(&get(units, "e.socket")->mounts_for, "/run/e");
	expect_words(&get(units, "e.service")->triggered_by, "e.socket | f.path");
}

/* A database that was just unpacked is held before its package starts it. */
static void test_held(void **state)
{
	_cleanup_(unit_list_freep) struct unit_list *units = NULL;
	struct gate gate = { .name = str_dup("nest") };
	struct held_gate held = { .name = str_dup("nest") };
	struct held_mount *mount = list_add(&held.mounts, &record_held_mount);
	const struct held_unit *all;

	(void)state;
	root = test_path("held");
	mount->dataset = str_dup("nest/db");
	mount->path = str_dup("/srv/db");
	put("/usr/lib/systemd/system/db@.service", "RequiresMountsFor=/srv/db/%i\n");
	put("/usr/lib/systemd/system/new.service", "ExecStart=/bin/new -d /srv/db\n");
	put("/usr/lib/systemd/system/user.service", "Requires=new.service\n");
	put("/usr/lib/systemd/system/other.service", "ExecStart=/bin/other\n");
	put_link("/etc/systemd/system/multi-user.target.wants/new.service",
		 "../../../../usr/lib/systemd/system/new.service");
	units = read_all();
	assert_int_equal(find_units(&gate, units, &held, NULL), 0);
	assert_int_equal(held.units.n_items, 3);
	all = held.units.items;
	for (size_t i = 0; i < held.units.n_items; i++)
		assert_int_equal(all[i].asleep, streq(all[i].name, "db@.service") ||
							streq(all[i].name, "user.service"));
	assert_true(held_has_unit(&held, "db@17-main.service"));
	assert_true(held_has_unit(&held, "user.service"));
	assert_false(held_has_unit(&held, "other.service"));
	record_deinit(&record_held_gate, &held);
	record_deinit(&record_gate, &gate);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests_name("unitfile", tests, NULL, NULL);
}
