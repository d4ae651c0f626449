/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The units that hold, compared word for word. */

#include "gate/units.h"

#include "gate/mark.h"
#include "test.h"

#define HEADER "# Made by eyrie-gate-generator: eyrie-gate(8).\n"

static struct held_gate *add_gate(struct held *held, const char *name, enum gate_hold hold)
{
	struct held_gate *gate = list_add(&held->gates, &record_held_gate);

	gate->name = str_dup(name);
	gate->hold = hold;
	strv_add(&gate->roots, name);
	return gate;
}

static void add_unit(struct held_gate *gate, const char *name)
{
	struct held_unit *unit = list_add(&gate->units, &record_held_unit);

	unit->name = str_dup(name);
}

static void add_mount(struct held_gate *gate, const char *dataset, const char *path)
{
	struct held_mount *mount = list_add(&gate->mounts, &record_held_mount);

	mount->dataset = str_dup(dataset);
	mount->path = str_dup(path);
}

static void expect(const struct list *files, const char *path, const char *wanted)
{
	const struct unit_file *all = files->items;

	for (size_t i = 0; i < files->n_items; i++) {
		if (!streq(all[i].path, path))
			continue;
		if (wanted)
			assert_string_equal(all[i].text, wanted);
		else
			assert_null(all[i].text);
		return;
	}
	fail_msg("there is no %s", path);
}

static void test_units(void **state)
{
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	struct held_gate *gate = add_gate(held, "nest", GATE_BY_MOUNTS);
	struct list files = {};

	(void)state;
	add_unit(gate, "nginx.service");
	add_mount(gate, "nest/w w", "/srv/w w%-");
	gate = add_gate(held, "cellar/a-b", GATE_LISTED);
	add_unit(gate, "nginx.service");
	units_make(held, &files);
	assert_int_equal(files.n_items, 4);
	expect(&files, "normal/nginx.service.d/50-eyrie-gate.conf",
	       HEADER "[Unit]\n"
	       "After=eyrie-gate.service\n"
	       "After=srv-w\\x20w\\x25\\x2d.mount\n"
	       "# Run 'eyrie unlock nest'\n"
	       "ConditionPathExists=/run/eyrie/gate/nest\n"
	       "# Run 'eyrie unlock cellar/a-b'\n"
	       "ConditionPathExists=/run/eyrie/gate/cellar+a-b\n");
	expect(&files, "early/srv-w\\x20w\\x25\\x2d.mount",
	       HEADER "[Unit]\n"
	       "Description=/srv/w w%%-, which needs the key of nest\n"
	       "Documentation=man:eyrie-gate(8)\n"
	       "# Run 'eyrie unlock nest'\n"
	       "ConditionFileNotEmpty=/run/eyrie/gate/nest\n"
	       "DefaultDependencies=no\n"
	       "Conflicts=umount.target\n"
	       "Before=umount.target\n"
	       "\n"
	       "[Mount]\n"
	       "What=nest/w w\n"
	       "Where=/srv/w w%%-\n"
	       "Type=zfs\n"
	       "Options=zfsutil\n");
	expect(&files, "early/zfs-load-key@nest.service", NULL);
	expect(&files, "early/zfs-load-key@cellar-a\\x2db.service", NULL);
	list_deinit(&files, &record_unit_file);
}

/* Wanted, never required: a gate that fails must not lead to emergency mode. */
static void test_boot(void **state)
{
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	struct list files = {};

	(void)state;
	add_gate(held, "nest", GATE_BOOT);
	units_make(held, &files);
	expect(&files, "normal/local-fs.target.d/50-eyrie-gate.conf",
	       HEADER "[Unit]\n"
	       "Wants=eyrie-gate-boot.service\n"
	       "After=eyrie-gate-boot.service\n");
	list_deinit(&files, &record_unit_file);
}

static void expect_text(char *text, const char *wanted)
{
	_cleanup_free_ char *owned = text;

	assert_string_equal(owned, wanted);
}

/* As systemd-escape(1) has them. */
static void test_escaping(void **state)
{
	(void)state;
	expect_text(unit_of_path("/var//lib/a.b/"), "var-lib-a.b");
	expect_text(unit_of_path("/.hidden"), "\\x2ehidden");
	expect_text(unit_of_path("/"), "-");
	expect_text(unit_instance("nest/pg_1:2"), "nest-pg_1:2");
	expect_text(mark_path("nest/pg"), "/run/eyrie/gate/nest+pg");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_boot),
		cmocka_unit_test(test_escaping),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
