/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * eyrie-unlock CONFIG: in the initramfs, from power to an imported pool.
 *
 * Waits for the first member, asks for the passphrase until it is right, opens every member that
 * is there or comes within the window, and imports the one pool that the configuration names by
 * its GUID: never one-legged because a leg was late, never stuck because it is dead.
 */

#include <libcryptsetup.h>
#include <stdio.h>
#include <time.h>

#include "base/run.h"
#include "keys/set.h"
#include "unlock/ask.h"
#include "unlock/config.h"

#define TICK_MS	     200
#define PATIENCE_MS  5000 /* silence before saying what is waited for */

struct unlock {
	struct unlock_config config;
	struct runner run;
	struct set set;
	size_t *known; /* index of the configured member of each member of the set */
};

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_a_tick(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = TICK_MS * 1000000L }, NULL);
}

static void say(const char *format, ...) _printf_(1, 2);

static void say(const char *format, ...)
{
	va_list ap;

	printf("eyrie: ");
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
	printf("\n");
	(void)fflush(stdout);
}

static const struct unlock_member *configured(const struct unlock *u, size_t i)
{
	return list_at(&u->config.members, &record_unlock_member, i);
}

static bool is_added(const struct unlock *u, size_t i)
{
	for (size_t k = 0; k < u->set.n_members; k++)
		if (u->known[k] == i)
			return true;
	return false;
}

/* Members whose device appeared since the last look. Their number is returned. */
static size_t add_arrivals(struct unlock *u)
{
	size_t n = 0;

	for (size_t i = 0; i < u->config.members.n_items; i++) {
		_cleanup_free_ char *path =
			str_printf("/dev/disk/by-uuid/%s", configured(u, i)->uuid);

		if (is_added(u, i) || access(path, R_OK) < 0)
			continue;
		u->known = mem_grow(u->known, u->set.n_members, sizeof(*u->known));
		u->known[u->set.n_members] = i;
		set_add(&u->set, path);
		n++;
	}
	return n;
}

static char *names(const struct unlock *u, bool present)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	for (size_t i = 0; i < u->config.members.n_items; i++)
		if (is_added(u, i) == present)
			strv_add(&names, configured(u, i)->name);
	return strv_join(&names, ", ");
}

static void wait_for_first(struct unlock *u)
{
	int64_t begun = now_ms();
	bool said = false;

	while (!add_arrivals(u)) {
		if (!said && now_ms() - begun > PATIENCE_MS) {
			_cleanup_free_ char *missing = names(u, false);

			say("no disk of this machine is there yet; waiting for %s", missing);
			said = true;
		}
		pause_a_tick();
	}
}

static int ask(struct unlock *u, bool wrong, struct secret *passphrase)
{
	const struct asker asker = { .run = &u->run, .root = "", .console = "/dev/console" };
	_cleanup_free_ char *present = names(u, true);
	_cleanup_free_ char *question =
		str_printf("%sPlease enter passphrase for disk set %s (%s):",
			   wrong ? "Wrong passphrase. " : "", u->config.host, present);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = ask_passphrase(&asker, question, passphrase, &diag);

	if (r)
		say("%s", diag.items[0].text);
	return r;
}

static void open_first(struct unlock *u)
{
	bool wrong = false;

	for (;;) {
		_cleanup_(secret_freep) struct secret *passphrase = secret_new();

		(void)add_arrivals(u);
		if (ask(u, wrong, passphrase)) {
			pause_a_tick();
			continue;
		}
		(void)add_arrivals(u);
		if (set_unlock(&u->set, passphrase) == 0)
			return;
		wrong = true;
		for (size_t i = 0; i < u->set.n_members; i++)
			if (u->set.members[i].why)
				say("%s: %s", configured(u, u->known[i])->name,
				    u->set.members[i].why);
	}
}

/* Late is not dead: the window begins when the first member opened. */
static void wait_for_others(struct unlock *u)
{
	int64_t end = now_ms() + (int64_t)u->config.window * 1000;
	bool said = false;

	while (u->set.n_members < u->config.members.n_items && now_ms() < end) {
		if (!said) {
			_cleanup_free_ char *missing = names(u, false);

			say("waiting %llu s for %s", (unsigned long long)u->config.window, missing);
			said = true;
		}
		if (add_arrivals(u))
			(void)set_unlock(&u->set, NULL);
		else
			pause_a_tick();
	}
}

static int activate(struct unlock *u, size_t i)
{
	struct member *member = &u->set.members[i];

	return crypt_activate_by_volume_key(member->luks->cd, configured(u, u->known[i])->mapping,
					    member->key->data, member->key->size, 0);
}

static size_t activate_all(struct unlock *u)
{
	size_t n = 0;

	for (size_t i = 0; i < u->set.n_members; i++) {
		const struct member *member = &u->set.members[i];
		const char *name = configured(u, u->known[i])->name;
		int r;

		if (member->state != MEMBER_OPEN) {
			say("%s stays closed: %s", name, member->why ? member->why : "unknown");
			continue;
		}
		if (member->by_passphrase)
			say("%s opened by the passphrase only: another tool changed its key slots",
			    name);
		r = activate(u, i);
		if (r == 0 || r == -EEXIST)
			n++;
		else
			say("%s cannot be activated: %s", name, strerror(-r));
	}
	for (size_t i = 0; i < u->config.members.n_items; i++)
		if (!is_added(u, i))
			say("%s did not come: %s", configured(u, i)->name, configured(u, i)->disk);
	return n;
}

/* -f: this pool by its GUID belongs to this machine, whoever had it last. */
static int import_pool(struct unlock *u)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = run_words(&u->run, &diag, "zpool", "import", "-N", "-f", "-o", "cachefile=none",
			  "-d", "/dev/mapper", u->config.pool_guid, NULL);

	if (r)
		say("%s", diag.items[0].text);
	return r;
}

int main(int argc, char **argv)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct unlock u = {};

	secret_harden_process();
	if (argc != 2) {
		fprintf(stderr, "usage: eyrie-unlock CONFIG\n");
		return 2;
	}
	if (unlock_config_read(argv[1], &u.config, &diag)) {
		say("%s", diag.items[0].text);
		return 1;
	}
	runner_init(&u.run);
	luks_read_only();
	wait_for_first(&u);
	open_first(&u);
	wait_for_others(&u);
	if (!activate_all(&u) || import_pool(&u))
		return 1;
	set_deinit(&u.set);
	return 0;
}
