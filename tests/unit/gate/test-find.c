/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/find.h"

#include "test.h"

#define UNIT(name, rest) "Id=" name "\nLoadState=loaded\nActiveState=inactive\n" rest "\n"
#define BOOTS "WantedBy=multi-user.target\n"

static const char machine[] =
	UNIT("eyrie-gate.service", BOOTS "After=zfs-import.target\n")
	UNIT("zfs-import.target", "After=early.service\n")
	UNIT("early.service", "Requires=deeper.service\nRequiresMountsFor=/srv/early\n")
	UNIT("deeper.service", "")
	UNIT("db@1.service", "WantedBy=db.service\nRequiresMountsFor=/var/lib/db/1 /run/db\n")
	UNIT("db.service", BOOTS)
	UNIT("app.service", BOOTS "Requires=db@1.service\n")
	UNIT("web.service", BOOTS "ExecStart={ path=/bin/web ; argv[]=/bin/web --root=/srv/www ; }\n")
	UNIT("other.service", BOOTS "ExecStart={ path=/bin/o ; argv[]=/bin/o /srv/wwwx ; }\n")
	UNIT("web.socket", "WantedBy=sockets.target\nTriggers=web.service\n")
	UNIT("cron.service", BOOTS)
	UNIT("ssh.service", BOOTS)
	UNIT("getty@tty1.service", "WantedBy=getty.target\n")
	UNIT("networking.service", BOOTS)
	"Id=gone.service\nLoadState=not-found\nRequiresMountsFor=/var/lib/db\n";

static struct unit_list *units(void)
{
	_cleanup_free_ char *copy = str_dup(machine);
	struct unit_list *list = mem_alloc(sizeof(*list));

	assert_int_equal(systemd_parse(copy, list), 0);
	FOR_EACH_SYSTEMD_UNIT(unit, list)
	{
		if (streq(unit->name, "db@1.service"))
			strv_add(&unit->required_by, "app.service");
		if (streq(unit->name, "web.service"))
			strv_add(&unit->triggered_by, "web.socket");
	}
	return list;
}

static struct held_gate *with_mounts(const char *first, const char *second)
{
	struct held_gate *held = mem_alloc(sizeof(*held));
	const char *const paths[] = { first, second };

	held->name = str_dup("nest");
	for (size_t i = 0; i < ARRAY_SIZE(paths) && paths[i]; i++) {
		struct held_mount *mount = list_add(&held->mounts, &record_held_mount);

		mount->dataset = str_dup("nest/x");
		mount->path = str_dup(paths[i]);
	}
	return held;
}

static void held_gate_freep(struct held_gate **held)
{
	record_deinit(&record_held_gate, *held);
	free(*held);
}

static char *names(const struct held_gate *held)
{
	_cleanup_strv_ struct strv all = STRV_NULL;

	FOR_EACH_UNIT(unit, held)
		strv_add(&all, unit->name);
	return strv_join(&all, " ");
}

/* What a gate of this YAML holds. */
static int look(const char *yaml, struct held_gate *held, struct diag *diag)
{
	_cleanup_(gates_freep) struct gates *gates = NULL;
	_cleanup_(unit_list_freep) struct unit_list *list = units();

	assert_int_equal(gates_parse("g", yaml, &gates, NULL), 0);
	return find_units(gates->gates.items, list, held, diag);
}

static void expect(const char *yaml, struct held_gate *held, const char *wanted)
{
	_cleanup_free_ char *is = NULL;

	assert_int_equal(look(yaml, held, NULL), 0);
	is = names(held);
	assert_string_equal(is, wanted);
}

static void test_by_mounts(void **state)
{
	_cleanup_(held_gate_freep) struct held_gate *held =
		with_mounts("/var/lib/db", "/srv/www");
	const struct held_unit *first;

	(void)state;
	expect("gates: { nest: }\n", held,
	       "app.service db@1.service web.service web.socket");
	first = held->units.items;
	assert_string_equal(first[0].why, "requires db@1.service");
	assert_string_equal(first[1].why, "needs /var/lib/db/1, on nest/x");
	assert_string_equal(first[2].why, "its command line names /srv/www");
	assert_string_equal(first[3].why, "starts web.service");
}

static void test_listed_and_except(void **state)
{
	_cleanup_(held_gate_freep) struct held_gate *listed = with_mounts("/var/lib/db", NULL);
	_cleanup_(held_gate_freep) struct held_gate *except = with_mounts("/var/lib/db", NULL);

	(void)state;
	expect("gates: { nest: { hold: listed, services: [cron] } }\n", listed, "cron.service");
	expect("gates: { nest: { services: [cron], except: [app] } }\n", except,
	       "cron.service db@1.service");
}

static void test_all(void **state)
{
	_cleanup_(held_gate_freep) struct held_gate *held = with_mounts(NULL, NULL);

	(void)state;
	expect("gates: { nest: { hold: all } }\n", held,
	       "app.service cron.service db.service other.service web.service web.socket");
}

/* For a boot that goes on because the pool is not there; that never takes what the way in needs. */
static void test_boot_holds_by_mounts(void **state)
{
	_cleanup_(held_gate_freep) struct held_gate *held = with_mounts("/var/lib/db", "/srv/early");

	(void)state;
	expect("gates: { nest: { hold: boot } }\n", held, "app.service db@1.service");
}

/* Who unlocks needs it: the way around is spelled out, and it is not held. */
static void test_cycles(void **state)
{
	static const struct {
		const char *service, *text, *way;
	} cases[] = {
		{ "ssh", "the gate nest cannot hold ssh.service: it is the login over the network",
		  "ssh.service would wait for the key of nest, the key for who types 'eyrie unlock "
		  "nest', and they for ssh.service" },
		{ "networking", "the gate nest cannot hold networking.service: it is the network of who "
		  "logs in", "networking.service would wait for the key of nest, the key for who types "
		  "'eyrie unlock nest', and they for networking.service" },
		{ "deeper", "the gate nest cannot hold deeper.service: the gate waits for it",
		  "eyrie-gate.service waits for zfs-import.target, which waits for early.service, "
		  "which waits for deeper.service, which would wait for the key of nest, for which "
		  "eyrie-gate.service waits" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(held_gate_freep) struct held_gate *held = with_mounts(NULL, NULL);
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		_cleanup_free_ char *yaml =
			str_printf("gates: { nest: { services: [%s] } }\n", cases[i].service);

		assert_int_equal(look(yaml, held, &diag), -ELOOP);
		assert_string_equal(test_only_finding(&diag), cases[i].text);
		assert_string_equal(diag.items[0].hint, cases[i].way);
		assert_int_equal(held->units.n_items, 0);
	}
}

static void test_a_cycle_by_a_mount(void **state)
{
	_cleanup_(held_gate_freep) struct held_gate *held = with_mounts("/srv", NULL);
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(look("gates: { nest: }\n", held, &diag), -ELOOP);
	assert_string_equal(test_only_finding(&diag),
			    "the gate nest cannot hold early.service: the gate waits for it");
}

static void test_misspelt(void **state)
{
	_cleanup_(gates_freep) struct gates *gates = NULL;
	_cleanup_(unit_list_freep) struct unit_list *list = units(), *none = mem_alloc(sizeof(*none));
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	assert_int_equal(gates_parse("g", "gates: { nest: { services: [wep, web, \"x@1\"] } }\n",
				     &gates, NULL), 0);
	find_misspelt(gates->gates.items, none, &diag);
	assert_int_equal(diag.n_items, 0);
	find_misspelt(gates->gates.items, list, &diag);
	assert_string_equal(test_only_finding(&diag),
			    "the gate nest lists wep.service, and systemd knows no such unit now");
	assert_int_equal(diag.n_errors, 0);
}

static struct held_gate *add_gate(struct held *held, const char *name, const char *path)
{
	struct held_gate *gate = list_add(&held->gates, &record_held_gate);
	struct held_mount *mount = list_add(&gate->mounts, &record_held_mount);

	gate->name = str_dup(name);
	mount->dataset = str_dup(name);
	mount->path = str_dup(path);
	return gate;
}

/* Inside another gate's mounts is fine, but not for whom the boot waits, and not both ways. */
static void test_nesting(void **state)
{
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	_cleanup_diag_ struct diag boot = DIAG_NULL, circle = DIAG_NULL;
	struct held_mount *wal;

	(void)state;
	(void)add_gate(held, "nest", "/srv");
	(void)add_gate(held, "nest/pg", "/srv/pg");
	assert_int_equal(find_bad_nesting(held, NULL), 0);
	held_gate(held, "nest/pg")->hold = GATE_BOOT;
	assert_int_equal(find_bad_nesting(held, &boot), -EINVAL);
	assert_string_equal(test_only_finding(&boot),
			    "the boot waits for nest/pg, whose /srv/pg is mounted inside nest, for "
			    "which it does not wait");
	held_gate(held, "nest/pg")->hold = GATE_BY_MOUNTS;
	wal = list_add(&held_gate(held, "nest")->mounts, &record_held_mount);
	wal->dataset = str_dup("nest/wal");
	wal->path = str_dup("/srv/pg/wal");
	assert_int_equal(find_bad_nesting(held, &circle), -EINVAL);
	assert_string_equal(test_only_finding(&circle),
			    "nest and nest/pg wait for each other: /srv/pg/wal is mounted inside "
			    "nest/pg, and /srv/pg inside nest");
}

static void expect_mount(const char *path, const char *wanted, enum diag_level level)
{
	_cleanup_(held_gate_freep) struct held_gate *held = with_mounts(path, NULL);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = find_bad_mounts(held, &diag);

	assert_int_equal(r, wanted && level == DIAG_ERROR ? -EINVAL : 0);
	if (!wanted) {
		assert_int_equal(diag.n_items, 0);
		return;
	}
	assert_non_null(strstr(test_only_finding(&diag), wanted));
	assert_int_equal(diag.items[0].level, level);
}

static void test_bad_mounts(void **state)
{
	(void)state;
	expect_mount("/etc/ssh", "what PAM and sshd read", DIAG_ERROR);
	expect_mount("/", "is the root", DIAG_ERROR);
	expect_mount("/usr", "every program", DIAG_ERROR);
	expect_mount("/usr/lib/x86_64-linux-gnu/security", "what PAM and sshd start", DIAG_ERROR);
	expect_mount("/usr/lib/openssh", "what PAM and sshd start", DIAG_ERROR);
	expect_mount("/var", "the journal", DIAG_ERROR);
	expect_mount("/run/sshd", "sshd's own", DIAG_ERROR);
	expect_mount("/home", "/home waits for the key of nest", DIAG_WARNING);
	expect_mount("/home/ann", "/home/ann waits", DIAG_WARNING);
	expect_mount("/var/lib/postgresql", NULL, DIAG_NOTE);
	expect_mount("/usr/local", NULL, DIAG_NOTE);
	expect_mount("/homes", NULL, DIAG_NOTE);
}

static void test_unknown(void **state)
{
	_cleanup_(held_gate_freep) struct held_gate *held = with_mounts(NULL, NULL);
	_cleanup_(unit_list_freep) struct unit_list *list = units();
	_cleanup_strv_ struct strv unknown = STRV_NULL;
	_cleanup_free_ char *all = NULL;

	(void)state;
	((struct held_unit *)list_add(&held->units, &record_held_unit))->name =
		str_dup("cron.service");
	find_unknown(list, held, &unknown);
	all = strv_join(&unknown, " ");
	assert_string_equal(all, "db.service app.service web.service other.service");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_mounts),
		cmocka_unit_test(test_listed_and_except),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_boot_holds_by_mounts),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_misspelt),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_a_cycle_by_a_mount),
		cmocka_unit_test(test_bad_mounts),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests_name("find", tests, NULL, NULL);
}
