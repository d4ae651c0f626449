/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unlock/opening.h"

#include <libcryptsetup.h>
#include <time.h>

#include "keys/journal.h"
#include "keys/keyring.h"

#define TICK_MS 200

int64_t opening_clock(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void opening_pause(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = TICK_MS * 1000000L }, NULL);
}

void opening_deinit(struct opening *o)
{
	record_deinit(&record_unlock_config, &o->config);
	set_deinit(&o->set);
	free(o->known);
}

void opening_say(const struct opening *o, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	va_start(ap, format);
	line = str_vprintf(format, ap);
	va_end(ap);
	o->say(o->context, line);
}

static void say_diag(const struct opening *o, const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++)
		o->say(o->context, diag->items[i].text);
}

static const struct unlock_member *configured(const struct opening *o, size_t i)
{
	return list_at((struct list *)&o->config.members, &record_unlock_member, i);
}

const struct unlock_member *opening_member(const struct opening *o, const struct member *member)
{
	return configured(o, o->known[member - o->set.members]);
}

static bool is_added(const struct opening *o, size_t i)
{
	for (size_t k = 0; k < o->set.n_members; k++)
		if (o->known[k] == i)
			return true;
	return false;
}

size_t opening_add_arrivals(struct opening *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->config.members.n_items; i++) {
		_cleanup_free_ char *path =
			str_printf("/dev/disk/by-uuid/%s", configured(o, i)->uuid);

		if (is_added(o, i) || access(path, R_OK) < 0)
			continue;
		o->known = mem_grow(o->known, o->set.n_members, sizeof(*o->known));
		o->known[o->set.n_members] = i;
		set_add(&o->set, path);
		n++;
	}
	return n;
}

char *opening_names(const struct opening *o, bool present)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	for (size_t i = 0; i < o->config.members.n_items; i++)
		if (is_added(o, i) == present)
			strv_add(&names, configured(o, i)->name);
	return strv_join(&names, ", ");
}

static bool is_complete(const struct opening *o)
{
	return o->set.n_members == o->config.members.n_items;
}

/* What they knew of the set is gone, and with it who was absent when. */
static void adopt(struct opening *o, const struct secret *passphrase)
{
	_cleanup_free_ char *missing = opening_names(o, false);

	set_adopt(&o->set, passphrase);
	if (!is_complete(o))
		opening_say(o, "another tool took from the members what they knew of their set, and "
			    "that %s is absent cannot be noted: do not start this machine from it "
			    "alone", missing);
}

/* It is there, and its header could not be read yet. */
static bool is_unread(const struct opening *o, size_t i)
{
	for (size_t k = 0; k < o->set.n_members; k++)
		if (o->known[k] == i)
			return o->set.members[k].state == MEMBER_CLOSED && !o->set.members[k].luks;
	return false;
}

/* Names of those who may still come; NULL: nobody. */
static char *who_may_come(const struct opening *o)
{
	_cleanup_strv_ struct strv names = STRV_NULL;

	for (size_t i = 0; i < o->config.members.n_items; i++)
		if (!is_added(o, i) || is_unread(o, i))
			strv_add(&names, configured(o, i)->name);
	return names.n_items ? strv_join(&names, ", ") : NULL;
}

int opening_unlock(struct opening *o, const struct secret *passphrase)
{
	int r = set_unlock(&o->set, passphrase);
	int64_t end = opening_clock() + (int64_t)o->config.window * 1000;
	bool said = false;

	while ((r == 0 || r == SET_ORPHANS) && opening_clock() < end) {
		_cleanup_free_ char *missing = who_may_come(o);

		if (!missing)
			break;
		if (!said)
			opening_say(o, "waiting %llu s for %s",
				    (unsigned long long)o->config.window, missing);
		said = true;
		if (opening_add_arrivals(o) + set_load(&o->set))
			r = set_unlock(&o->set, passphrase);
		else
			opening_pause();
	}
	if (r != SET_ORPHANS)
		return r;
	adopt(o, passphrase);
	return 0;
}

/* What a person can do about one that stays closed. */
static void say_way_out(const struct opening *o, const struct member *member)
{
	const char *name = opening_member(o, member)->name;

	if (member->state == MEMBER_DIVERGED)
		opening_say(o, "to give up what only %s has: eyrie heal --discard %s", name, name);
	if (member_is_stale(member))
		opening_say(o, "to take it in with the header that it has: eyrie apply, then eyrie heal, while "
			    "the machine runs; what only %s wrote is given up then", name);
}

void opening_say_who_is_missing(const struct opening *o)
{
	for (size_t i = 0; i < o->set.n_members; i++) {
		const struct member *member = &o->set.members[i];

		if (member->state == MEMBER_OPEN)
			continue;
		opening_say(o, "%s stays closed: %s", opening_member(o, member)->name,
			    member->why ? member->why : "nothing opens it");
		say_way_out(o, member);
	}
	for (size_t i = 0; i < o->config.members.n_items; i++)
		if (!is_added(o, i))
			opening_say(o, "%s did not come: %s", configured(o, i)->name,
				    configured(o, i)->disk);
}

size_t opening_say_blemishes(const struct opening *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->set.n_members; i++) {
		const struct member *member = &o->set.members[i];
		const char *blemish = member->state == MEMBER_OPEN || member->state == MEMBER_DIVERGED ?
					      member_blemish(&o->set, member) :
					      NULL;

		if (blemish)
			opening_say(o, "%s: %s; eyrie heal mends it", opening_member(o, member)->name,
				    blemish);
		n += blemish && member->state == MEMBER_OPEN;
	}
	return n;
}

static void leave_out(struct member *member, char *why)
{
	member->state = MEMBER_CLOSED;
	free(member->why);
	member->why = why;
}

int opening_activate(struct opening *o, struct member *member)
{
	const char *mapping = opening_member(o, member)->mapping;
	int r = crypt_activate_by_volume_key(member->luks->cd, mapping, member->key->data,
					     member->key->size, 0);

	if (r == 0 || (r == -EEXIST && luks_has_mapping(member->luks, mapping)))
		return 0;
	leave_out(member, r == -EEXIST ?
			  str_printf("/dev/mapper/%s is open already, and is not of %s", mapping,
				     member->path) :
			  str_printf("it cannot be activated: %s", strerror(-r)));
	return r;
}

void opening_deactivate(struct opening *o, const struct member *member)
{
	(void)crypt_deactivate(NULL, opening_member(o, member)->mapping);
}

size_t opening_activate_all(struct opening *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->set.n_members; i++)
		if (o->set.members[i].state == MEMBER_OPEN)
			n += opening_activate(o, &o->set.members[i]) == 0;
	return n;
}

static bool *who_is_open(const struct opening *o)
{
	bool *is_open = mem_alloc(o->set.n_members * sizeof(*is_open));

	for (size_t i = 0; i < o->set.n_members; i++)
		is_open[i] = o->set.members[i].state == MEMBER_OPEN;
	return is_open;
}

/* The import takes whatever is active. */
static void deactivate_who_is_out(struct opening *o, const bool *was_open)
{
	for (size_t i = 0; i < o->set.n_members; i++)
		if (was_open[i] && o->set.members[i].state != MEMBER_OPEN)
			opening_deactivate(o, &o->set.members[i]);
}

/* Who cannot note that it joins has no part in the import. */
void opening_begin(struct opening *o)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ bool *was_open = who_is_open(o);
	int r = journal_begin(&o->set, (uint64_t)time(NULL), &diag);

	deactivate_who_is_out(o, was_open);
	if (r == 0)
		return;
	say_diag(o, &diag);
	opening_say(o, "that members are absent could not be noted everywhere: should they run "
		    "without these, eyrie may not see that they went apart");
}

/* It may have been imported by a person meanwhile, and then runs without those that are absent. */
static bool is_imported(const struct opening *o)
{
	_cleanup_free_ char *guids = NULL;
	_cleanup_strv_ struct strv lines = STRV_NULL;
	const char *const argv[] = { "zpool", "list", "-H", "-o", "guid", NULL };

	if (run(o->run, &(struct command){ .argv = argv, .ret_output = &guids,
					   .flags = RUN_OPTIONAL }, NULL))
		return true;
	strv_split(&lines, guids, "\n");
	return strv_has(&lines, o->config.pool_guid);
}

static void take_back(struct opening *o)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	if (is_imported(o) || journal_take_back(&o->set, &diag) == 0)
		return;
	say_diag(o, &diag);
	opening_say(o, "it stays noted that members are absent, though nothing ran without them");
}

/*
 * -f: this pool by its GUID belongs to this machine, whoever had it last. However long it takes: a log to
 * be replayed, or what was destroyed when the power went.
 */
int opening_import(struct opening *o)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	const char *const argv[] = { "zpool", "import", "-N", "-f", "-o", "cachefile=none",
				     "-d", "/dev/mapper", o->config.pool_guid, NULL };
	int r = run(o->run, &(struct command){ .argv = argv, .deadline = RUN_FOREVER }, &diag);

	say_diag(o, &diag);
	if (r)
		take_back(o);
	return r;
}

/* Who was active already may be the one that others went on without. */
static void compare_again(struct opening *o)
{
	_cleanup_free_ bool *was_open = who_is_open(o);

	journal_compare(&o->set);
	deactivate_who_is_out(o, was_open);
}

bool opening_take_late(struct opening *o, int64_t end)
{
	_cleanup_free_ char *missing = who_may_come(o);

	if (!missing)
		return false;
	opening_say(o, "the pool %s is not imported without %s: waiting for more disks", o->config.pool,
		    missing);
	while (opening_clock() < end) {
		if (opening_add_arrivals(o) + set_load(&o->set)) {
			(void)set_unlock(&o->set, NULL);
			compare_again(o);
			(void)opening_activate_all(o);
			opening_begin(o);
			return true;
		}
		opening_pause();
	}
	return false;
}

/* Of a device that the pool reads, writes, or holds ready as a spare. */
static bool is_healthy(const char *health)
{
	static const char *const words[] = { "ONLINE", "DEGRADED", "AVAIL", "INUSE" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(health, words[i]))
			return true;
	return false;
}

/* Paths of the pool's devices that it uses now. */
static int list_used(const struct opening *o, struct strv *ret)
{
	const char *const list[] = { "zpool", "list", "-HpPv", "-o", "name,health",
				     o->config.pool, NULL };
	_cleanup_strv_ struct strv rows = STRV_NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	_cleanup_free_ char *output = NULL;
	int r = run(o->run, &(struct command){ .argv = list, .ret_output = &output }, &diag);

	say_diag(o, &diag);
	if (r)
		return r;
	strv_split(&rows, output, "\n");
	for (size_t i = 0; i < rows.n_items; i++) {
		_cleanup_strv_ struct strv columns = STRV_NULL;
		const char *health;

		strv_split(&columns, rows.items[i], "\t");
		health = columns.n_items > 1 ? columns.items[columns.n_items - 1] : NULL;
		if (health && *columns.items[0] == '/' && is_healthy(health))
			strv_add(ret, columns.items[0]);
	}
	return 0;
}

int opening_find_used(struct opening *o)
{
	_cleanup_strv_ struct strv devices = STRV_NULL;
	int r = list_used(o, &devices);

	for (size_t i = 0; r == 0 && i < o->set.n_members; i++) {
		struct member *member = &o->set.members[i];
		_cleanup_free_ char *path =
			str_printf("/dev/mapper/%s", opening_member(o, member)->mapping);

		member->in_use = strv_has(&devices, path);
	}
	return r;
}

bool opening_is_used(const struct opening *o)
{
	for (size_t i = 0; i < o->set.n_members; i++)
		if (o->set.members[i].in_use)
			return true;
	return false;
}

/* That ZFS was told to leave a member offline, or cannot use it, is as if it were not there. */
static size_t leave_unused_out(struct opening *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->set.n_members; i++) {
		struct member *member = &o->set.members[i];

		if (member->state != MEMBER_OPEN || member->in_use)
			continue;
		leave_out(member, str_printf("the pool does not use it: zpool status %s",
					     o->config.pool));
		opening_say(o, "%s has no part: %s", opening_member(o, member)->name, member->why);
		n++;
	}
	return n;
}

void opening_joined(struct opening *o)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	bool known = opening_find_used(o) == 0 && opening_is_used(o);
	size_t n_left_out = known ? leave_unused_out(o) : 0;

	if (journal_joined(&o->set, &diag))
		say_diag(o, &diag);
	if (n_left_out)
		opening_begin(o);
}

void opening_share(const struct opening *o, const struct secret *passphrase)
{
	int r = o->config.share ? keyring_put(KEYRING_SHARED, passphrase, KEYRING_SHARED_SECONDS) :
				  0;

	if (r)
		opening_say(o, "the passphrase cannot be kept for gates: %s", strerror(-r));
}

void opening_keep_key(const struct opening *o)
{
	_cleanup_strv_ struct strv absent = STRV_NULL;
	char set_id[UUID_STR_LEN];
	int r;

	journal_absent(&o->set, &absent);
	if (!absent.n_items || !o->config.rejoin || !o->set.box->set_key)
		return;
	uuid_unparse_lower(o->set.box->set, set_id);
	r = keyring_put(set_id, o->set.box->set_key,
			(unsigned)MIN_OF(o->config.rejoin, UINT32_MAX));
	if (r)
		opening_say(o, "a member that comes late will not join by itself: %s",
			    strerror(-r));
}
