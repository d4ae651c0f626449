/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What systemd says of its units, and what it is told to do with them. */

#include "base/record.h"
#include "base/run.h"

struct unit {
	char *name;
	char *load, *active, *file_state;
	char *job; /* NULL or empty: none waits or runs */
	bool condition; /* what it said the last time that somebody started the unit */
	bool tried;	/* somebody did */
	struct strv mounts_for, wanted_by, required_by, triggered_by, triggers;
	struct strv requires, after;
	struct strv consists_of; /* who is stopped with it */
	struct strv before; /* of a file alone: systemd turns it around itself */
	char *exec; /* command lines */
};

struct unit_list {
	struct list units; /* of struct unit */
};

#define FOR_EACH_SYSTEMD_UNIT(each, list)                                                      \
	for (struct unit *each = (list)->units.items;                                          \
	     each && each < (struct unit *)(list)->units.items + (list)->units.n_items; each++)

bool systemd_runs(void);

/*
 * All units of systemd that start, are mounted or group others; or those in `names` when it is
 * not NULL.
 */
int systemd_show(struct runner *run, const struct strv *names, struct unit_list **ret,
		 struct diag *diag);
bool systemd_has_failed(struct runner *run); /* any unit, or it does not say */
int systemd_parse(char *text, struct unit_list *list); /* what systemctl show printed */

struct unit_list *unit_list_free(struct unit_list *list);
DEFINE_CLEANUP(struct unit_list *, unit_list_free)
struct unit *unit_list_add(struct unit_list *list, const char *name);
struct unit *unit_list_find(const struct unit_list *list, const char *name);

/* systemctl VERB [--no-block] UNIT... of all `units`, in one call; none: nothing is run. */
int systemd_do(struct runner *run, const char *verb, bool block, const struct strv *units,
	       struct diag *diag);
int systemd_reload(struct runner *run, struct diag *diag);

/* To $NOTIFY_SOCKET, sd_notify(3); nothing where there is none. */
void systemd_notify(const char *state);
