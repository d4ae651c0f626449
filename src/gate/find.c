/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/find.h"

#include <fnmatch.h>

#define GATE_UNIT "eyrie-gate.service"

/*
 * Who opens the gate: a person who logs in and types. Each with its part in that; fnmatch(3)
 * patterns.
 */
static const struct {
	const char *pattern, *part;
} needed[] = {
	{ "getty@*.service", "the login on the console" },
	{ "serial-getty@*.service", "the login on the console" },
	{ "console-getty.service", "the login on the console" },
	{ "ssh.service", "the login over the network" },
	{ "sshd.service", "the login over the network" },
	{ "ssh.socket", "the login over the network" },
	{ "sshd.socket", "the login over the network" },
	{ "ssh@*.service", "the login over the network" },
	{ "sshd@*.service", "the login over the network" },
	{ "sshd-*.service", "the login over the network" },
	{ "dropbear*", "the login over the network" },
	{ "networking.service", "the network of who logs in" },
	{ "network.service", "the network of who logs in" },
	{ "NetworkManager*", "the network of who logs in" },
	{ "ifup@*.service", "the network of who logs in" },
	{ "ifupdown*", "the network of who logs in" },
	{ "wpa_supplicant*", "the network of who logs in" },
	{ "dhcpcd*", "the network of who logs in" },
	{ "dhclient*", "the network of who logs in" },
	{ "connman.service", "the network of who logs in" },
	{ "iwd.service", "the network of who logs in" },
	{ "sssd*", "the accounts of who logs in" },
	{ "nslcd*", "the accounts of who logs in" },
	{ "winbind*", "the accounts of who logs in" },
	{ "systemd-*", "systemd itself" },
	{ "dbus*", "systemctl, by which services start" },
	{ "user@*.service", "the session of who logs in" },
	{ "user-runtime-dir@*.service", "the session of who logs in" },
	{ "zfs-*", "the import of the pool" },
	{ "eyrie-*", "the gate itself" },
	{ "emergency.service", "the rescue shell" },
	{ "rescue.service", "the rescue shell" },
	{ "plymouth*", "the question on the screen" },
};

/* Beside those, what `hold: all` leaves alone: further network, clock, and what logs. */
static const char *const left_alone[] = {
	"network*", "ifup*", "dhcp*", "connman*", "iwd*",
	"wg-quick@*", "openvpn*", "tailscaled*", "strongswan*", "frr*", "bird*", "nftables*", "iptables*", "ufw*", "firewalld*", "polkit*", "rsyslog*",
	"chrony*", "ntp*", "keyboard-setup*", "console-setup*", "apparmor*", "auditd*",
	"kmod-*", "mdmonitor*", "modprobe@*", "udev*", "grub-*", "e2scrub*", "smartd*", "zed*",
	"quotaon*", "rc-local*", "cloud-init*",
};

static bool is_needed(const char *unit, const char **ret_part)
{
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		if (fnmatch(needed[i].pattern, unit, 0) != 0)
			continue;
		*ret_part = needed[i].part;
		return true;
	}
	return false;
}

static bool is_left_alone(const char *unit)
{
	const char *part;

	for (size_t i = 0; i < ARRAY_SIZE(left_alone); i++)
		if (fnmatch(left_alone[i], unit, 0) == 0)
			return true;
	return is_needed(unit, &part);
}

static bool has_kind(const char *unit, const char *kind)
{
	const char *dot = strrchr(unit, '.');

	return dot && streq(dot + 1, kind);
}

/* cycles */

/* On which units the gate's own unit waits, and through which: a walk back from it. */
struct walk {
	struct strv units; /* in the order of the walk */
	size_t *from;	   /* index of the one that needs it */
};

static void walk_deinit(struct walk *walk)
{
	strv_deinit(&walk->units);
	free(walk->from);
}

static void walk_add(struct walk *walk, const char *unit, size_t from)
{
	if (strv_has(&walk->units, unit))
		return;
	walk->from = mem_grow(walk->from, walk->units.n_items, sizeof(*walk->from));
	walk->from[walk->units.n_items] = from;
	strv_add(&walk->units, unit);
}

static void walk_all(struct walk *walk, const struct unit_list *units)
{
	walk_add(walk, GATE_UNIT, 0);
	for (size_t i = 0; i < walk->units.n_items; i++) {
		const struct unit *unit = unit_list_find(units, walk->units.items[i]);

		for (size_t k = 0; unit && k < unit->requires.n_items; k++)
			walk_add(walk, unit->requires.items[k], i);
		for (size_t k = 0; unit && k < unit->after.n_items; k++)
			walk_add(walk, unit->after.items[k], i);
	}
}

/* "a, which waits for b, which waits for c"; NULL when the gate does not need it. */
static char *way_to(const struct walk *walk, const char *unit)
{
	_cleanup_strv_ struct strv way = STRV_NULL;
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	size_t at = walk->units.n_items;

	for (size_t i = 0; i < walk->units.n_items; i++)
		if (streq(walk->units.items[i], unit))
			at = i;
	if (at == walk->units.n_items)
		return NULL;
	for (; at; at = walk->from[at])
		strv_add(&way, walk->units.items[at]);
	strbuf_add(&b, GATE_UNIT);
	for (size_t i = way.n_items; i-- > 0;)
		strbuf_printf(&b, "%s %s", i + 1 == way.n_items ? " waits for" :
			      ", which waits for", way.items[i]);
	return strbuf_take(&b);
}

static int refuse_cycle(const struct gate *gate, const struct walk *walk, const char *unit,
			struct diag *diag)
{
	_cleanup_free_ char *way = way_to(walk, unit);
	const char *part;

	if (is_needed(unit, &part)) {
		(void)diag_error(diag, -ELOOP, "the gate %s cannot hold %s: it is %s", gate->name,
				 unit, part);
		diag_hint(diag, "%s would wait for the key of %s, the key for who types 'eyrie "
			  "unlock %s', and they for %s", unit, gate->name, gate->name, unit);
		return -ELOOP;
	}
	if (!way)
		return 0;
	(void)diag_error(diag, -ELOOP, "the gate %s cannot hold %s: the gate waits for it",
			 gate->name, unit);
	diag_hint(diag, "%s, which would wait for the key of %s, for which %s waits", way,
		  gate->name, GATE_UNIT);
	return -ELOOP;
}

/* finding */

struct finder {
	const struct gate *gate;
	const struct unit_list *units;
	struct held_gate *held;
	struct walk walk;
	struct diag *diag;
	int r;
};

static bool take(struct finder *f, const char *unit, const char *format, ...)
	_printf_(3, 4);

static bool is_asleep(const struct finder *f, const char *name)
{
	const struct unit *unit = unit_list_find(f->units, name);

	return unit && !unit->wanted_by.n_items && !unit->required_by.n_items &&
	       !unit->triggered_by.n_items && !strv_has(&f->gate->services, name);
}

static bool take(struct finder *f, const char *name, const char *format, ...)
{
	bool boot = f->gate->hold == GATE_BOOT;
	struct held_unit *unit;
	va_list ap;
	int r;

	if (held_has_unit(f->held, name) || strv_has(&f->gate->except, name))
		return false;
	/* What is needed comes after a boot that waits, and nobody asked to hold it by itself. */
	r = refuse_cycle(f->gate, &f->walk, name, boot ? NULL : f->diag);
	if (r) {
		f->r = boot ? f->r : r;
		return false;
	}
	unit = list_add(&f->held->units, &record_held_unit);
	unit->name = str_dup(name);
	unit->asleep = is_asleep(f, name);
	va_start(ap, format);
	unit->why = str_vprintf(format, ap);
	va_end(ap);
	return true;
}

/* A path in a command line ends where a word does. */
static bool names_path(const char *text, const char *path)
{
	size_t n = strlen(path);

	for (const char *s = text; s && (s = strstr(s, path)); s += n)
		if ((s == text || strchr(" =:\"'", s[-1])) &&
		    (!s[n] || strchr("/ ;\"':", s[n])))
			return true;
	return false;
}

static void find_by_mount(struct finder *f, const struct unit *unit,
			  const struct held_mount *mount)
{
	for (size_t i = 0; i < unit->mounts_for.n_items; i++)
		if (is_or_is_below(unit->mounts_for.items[i], mount->path)) {
			(void)take(f, unit->name, "needs %s, on %s", unit->mounts_for.items[i],
				   mount->dataset);
			return;
		}
	if (unit->exec && names_path(unit->exec, mount->path))
		(void)take(f, unit->name, "its command line names %s", mount->path);
}

static bool is_holdable(const struct unit *unit)
{
	static const char *const kinds[] = { "service", "socket", "path", "timer" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (has_kind(unit->name, kinds[i]))
			return streq(unit->load, "loaded");
	return false;
}

static void find_all_by_mounts(struct finder *f)
{
	FOR_EACH_SYSTEMD_UNIT(unit, f->units)
		FOR_EACH_MOUNT(mount, f->held)
			if (is_holdable(unit))
				find_by_mount(f, unit, mount);
}

static bool starts_by_itself(const struct unit *unit)
{
	static const char *const targets[] = { "multi-user.target", "graphical.target",
					       "timers.target", "sockets.target", "paths.target" };

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++)
		if (strv_has(&unit->wanted_by, targets[i]) ||
		    strv_has(&unit->required_by, targets[i]))
			return true;
	return false;
}

/* What the gate or its needs wait for is no finding here: nobody asked for it by name. */
static void find_everything(struct finder *f)
{
	FOR_EACH_SYSTEMD_UNIT(unit, f->units)
	{
		if (!is_holdable(unit) || !starts_by_itself(unit) || is_left_alone(unit->name) ||
		    strv_has(&f->walk.units, unit->name))
			continue;
		(void)take(f, unit->name, "starts by itself");
	}
}

/* A unit that is skipped counts as started for who requires it: so those are held, too. */
static void find_followers(struct finder *f)
{
	for (size_t i = 0; i < f->held->units.n_items; i++) {
		const struct held_unit *held = list_at(&f->held->units, &record_held_unit, i);
		_cleanup_free_ char *name = str_dup(held->name); /* the list moves as it grows */
		const struct unit *unit = unit_list_find(f->units, name);

		for (size_t k = 0; unit && k < unit->required_by.n_items; k++)
			if (!has_kind(unit->required_by.items[k], "target"))
				(void)take(f, unit->required_by.items[k], "requires %s", name);
		for (size_t k = 0; unit && k < unit->triggered_by.n_items; k++)
			if (!has_kind(unit->triggered_by.items[k], "timer"))
				(void)take(f, unit->triggered_by.items[k], "starts %s", name);
	}
}

static int by_name(const void *a, const void *b)
{
	const struct held_unit *x = a, *y = b;

	return strcmp(x->name, y->name);
}

int find_units(const struct gate *gate, const struct unit_list *units, struct held_gate *held,
	       struct diag *diag)
{
	struct finder f = { .gate = gate, .units = units, .held = held, .diag = diag };

	walk_all(&f.walk, units);
	for (size_t i = 0; i < gate->services.n_items; i++)
		(void)take(&f, gate->services.items[i], "is listed");
	if (gate->hold != GATE_LISTED)
		find_all_by_mounts(&f);
	if (gate->hold == GATE_ALL)
		find_everything(&f);
	find_followers(&f);
	if (held->units.n_items)
		qsort(held->units.items, held->units.n_items, sizeof(struct held_unit), by_name);
	walk_deinit(&f.walk);
	return f.r;
}

/* An instance has the name of its template; where units are not known nobody can tell. */
void find_misspelt(const struct gate *gate, const struct unit_list *units, struct diag *diag)
{
	for (size_t i = 0; units->units.n_items && i < gate->services.n_items; i++) {
		const char *name = gate->services.items[i];
		const struct unit *unit = unit_list_find(units, name);

		if (strchr(name, '@') || (unit && !streq(unit->load, "not-found")))
			continue;
		diag_warning(diag, "the gate %s lists %s, and systemd knows no such unit now",
			     gate->name, name);
		diag_hint(diag, "it is held as soon as there is one; systemctl list-unit-files shows "
			  "how they are written, and systemctl show --property=Id %s what an alias stands "
			  "for, which is what has to be listed", name);
	}
}

/* `below`: and so is all below it. */
static const struct {
	const char *path, *part;
	bool below;
} never[] = {
	{ "/", "is the root" },
	{ "/etc", "holds the accounts, and what PAM and sshd read", true },
	{ "/usr", "holds every program" },
	{ "/usr/bin", "holds every program", true },
	{ "/usr/sbin", "holds every program", true },
	{ "/usr/lib", "holds every program, and what PAM and sshd start", true },
	{ "/usr/libexec", "holds what PAM and sshd start", true },
	{ "/run", "holds the state of systemd" },
	{ "/run/sshd", "is sshd's own" },
	{ "/var", "holds the journal, and what PAM and dbus write" },
	{ "/boot", "holds the kernel", true },
	{ "/dev", "holds every device", true },
	{ "/proc", "is the kernel's", true },
	{ "/sys", "is the kernel's", true },
};

static int refuse_mount(const struct held_mount *mount, struct diag *diag)
{
	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		if (!streq(mount->path, never[i].path) &&
		    !(never[i].below && is_or_is_below(mount->path, never[i].path)))
			continue;
		(void)diag_error(diag, -EINVAL, "%s, on %s, cannot wait for a key: it %s",
				 mount->path, mount->dataset, never[i].part);
		diag_hint(diag, "nobody could log in to unlock it");
		return -EINVAL;
	}
	return 0;
}

int find_bad_mounts(const struct held_gate *held, struct diag *diag)
{
	int r = 0;

	FOR_EACH_MOUNT(mount, held)
	{
		int q = refuse_mount(mount, diag);

		r = r ? r : q;
		if (!is_or_is_below(mount->path, "/home") && !is_or_is_below(mount->path, "/root"))
			continue;
		diag_warning(diag, "%s waits for the key of %s", mount->path, held->name);
		diag_hint(diag, "until then whoever lives there logs in without a home: no "
			  "settings, and no ssh by a key in ~/.ssh/authorized_keys; keep an account "
			  "that lives elsewhere");
	}
	return r;
}

/* A mount of `inner` that lies in one of `outer`, or NULL. */
static const struct held_mount *mount_inside(const struct held_gate *inner,
					     const struct held_gate *outer)
{
	FOR_EACH_MOUNT(mount, inner)
		FOR_EACH_MOUNT(other, outer)
			if (is_or_is_below(mount->path, other->path) &&
			    !streq(mount->path, other->path))
				return mount;
	return NULL;
}

static int refuse_nesting(const struct held_gate *inner, const struct held_gate *outer,
			  struct diag *diag)
{
	const struct held_mount *mount = mount_inside(inner, outer);
	const struct held_mount *back = mount_inside(outer, inner);

	if (mount && inner->hold == GATE_BOOT && outer->hold != GATE_BOOT) {
		(void)diag_error(diag, -EINVAL, "the boot waits for %s, whose %s is mounted inside "
				 "%s, for which it does not wait", inner->name, mount->path,
				 outer->name);
		diag_hint(diag, "hold: boot for both, or for neither");
		return -EINVAL;
	}
	if (mount && back && inner < outer) {
		(void)diag_error(diag, -EINVAL, "%s and %s wait for each other: %s is mounted inside "
				 "%s, and %s inside %s", inner->name, outer->name, mount->path,
				 outer->name, back->path, inner->name);
		diag_hint(diag, "one gate for both, or other mount points");
		return -EINVAL;
	}
	return 0;
}

int find_bad_nesting(const struct held *held, struct diag *diag)
{
	int r = 0;

	FOR_EACH_HELD(inner, held)
		FOR_EACH_HELD(outer, held)
		{
			int q = inner == outer ? 0 : refuse_nesting(inner, outer, diag);

			r = r ? r : q;
		}
	return r;
}

void find_unknown(const struct unit_list *units, const struct held_gate *held, struct strv *ret)
{
	FOR_EACH_SYSTEMD_UNIT(unit, units)
		if (has_kind(unit->name, "service") && streq(unit->load, "loaded") &&
		    starts_by_itself(unit) && !is_left_alone(unit->name) &&
		    !held_has_unit(held, unit->name))
			strv_add(ret, unit->name);
}
