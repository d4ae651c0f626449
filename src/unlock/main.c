/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * eyrie-unlock CONFIG: in the initramfs, from power to an imported pool.
 *
 * Waits for the first member, asks for the passphrase until it is right, opens every member that
 * is there or comes within the window, and imports the one pool that the configuration names by
 * its GUID: never one-legged because a leg was late, never stuck because it is dead, and never
 * two legs at once that each ran without the other.
 */

#include <stdio.h>

#include "keys/journal.h"
#include "unlock/ask.h"
#include "unlock/native.h"
#include "unlock/opening.h"

#define PATIENCE_MS 5000   /* silence before saying what is waited for */
#define LATE_MS	    300000 /* for members without which the pool is not imported */

static void say(void *context, const char *line)
{
	(void)context;
	printf("eyrie: %s\n", line);
	(void)fflush(stdout);
}

static bool is_any_there(struct opening *o)
{
	_cleanup_free_ char *present = NULL;

	if (!o->config.native)
		return opening_add_arrivals(o) > 0;
	present = native_names(o, true);
	return *present;
}

static void wait_for_first(struct opening *o)
{
	int64_t begun = opening_clock();
	bool said = false;

	while (!is_any_there(o)) {
		if (!said && opening_clock() - begun > PATIENCE_MS) {
			_cleanup_free_ char *missing = o->config.native ? native_names(o, false) :
									  opening_names(o, false);

			opening_say(o, "no disk of this machine is there yet; waiting for %s",
				    missing);
			said = true;
		}
		opening_pause();
	}
}

static int ask(struct opening *o, const char *present, bool wrong, struct secret *passphrase)
{
	const struct asker asker = { .run = o->run, .root = "", .console = "/dev/console" };
	_cleanup_free_ char *question =
		str_printf("%sPlease enter passphrase for disk set %s (%s):",
			   wrong ? "Wrong passphrase. " : "", o->config.host, present);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = ask_passphrase(&asker, question, passphrase, &diag);

	if (r)
		say(NULL, diag.items[0].text);
	return r;
}

static void open_members(struct opening *o)
{
	bool wrong = false;

	for (;;) {
		_cleanup_(secret_freep) struct secret *passphrase = secret_new();
		_cleanup_free_ char *present = NULL;
		int r;

		(void)opening_add_arrivals(o);
		present = opening_names(o, true);
		if (ask(o, present, wrong, passphrase)) {
			opening_pause();
			continue;
		}
		(void)opening_add_arrivals(o);
		r = opening_unlock(o, passphrase);
		if (r == 0) {
			opening_share(o, passphrase);
			return;
		}
		wrong = r == SET_WRONG;
		for (size_t i = 0; i < o->set.n_members; i++)
			if (o->set.members[i].why)
				opening_say(o, "%s: %s",
					    opening_member(o, &o->set.members[i])->name,
					    o->set.members[i].why);
	}
}

/*
 * A vdev may need more members than came within the window, as a raidz does whose disks start one after
 * the other: those that come are taken in.
 */
static int import(struct opening *o)
{
	int64_t end = opening_clock() + LATE_MS;
	int r = opening_import(o);

	while (r && opening_take_late(o, end))
		r = opening_import(o);
	return r;
}

static int open_machine(struct opening *o)
{
	size_t n;
	int r;

	wait_for_first(o);
	open_members(o);
	journal_compare(&o->set);
	n = opening_activate_all(o);
	opening_begin(o);
	(void)opening_say_blemishes(o);
	opening_say_who_is_missing(o);
	if (!n)
		return -ENODEV;
	r = import(o);
	if (r)
		return r;
	opening_joined(o);
	opening_keep_key(o);
	return 0;
}

/*
 * Not enough of it may be there yet: whoever comes late may complete it. Where nobody is missing, and it
 * is not imported all the same, a person has to look.
 */
static int import_native(struct opening *o)
{
	int64_t begun = opening_clock();
	int r;

	native_wait(o);
	while ((r = native_import(o))) {
		_cleanup_free_ char *missing = native_names(o, false);

		opening_say(o, "the pool %s is not imported; missing: %s", o->config.pool,
			    *missing ? missing : "nothing that is known");
		if (!*missing && opening_clock() - begun > PATIENCE_MS)
			return r;
		native_wait(o);
		opening_pause();
	}
	return 0;
}

/*
 * Only an imported pool tells whether a passphrase is right. It is asked for first all the same:
 * while somebody types, members come.
 */
static int open_native(struct opening *o)
{
	bool imported = false;

	wait_for_first(o);
	for (;;) {
		_cleanup_(secret_freep) struct secret *passphrase = secret_new();
		_cleanup_free_ char *present = native_names(o, true);

		if (ask(o, present, imported, passphrase)) {
			opening_pause();
			continue;
		}
		if (!imported && import_native(o))
			return -EIO;
		imported = true;
		if (native_load_key(o, passphrase) == 0)
			return 0;
	}
}

int main(int argc, char **argv)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_opening_ struct opening o = { .say = say };
	struct runner run;

	secret_harden_process();
	if (argc != 2) {
		fprintf(stderr, "usage: eyrie-unlock CONFIG\n");
		return 2;
	}
	if (unlock_config_read(argv[1], &o.config, &diag)) {
		say(NULL, diag.items[0].text);
		return 1;
	}
	runner_init(&run);
	o.run = &run;
	luks_read_only();
	return (o.config.native ? open_native(&o) : open_machine(&o)) ? 1 : 0;
}
