/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The marks of gates, files in GATE_RUN: what is held has the condition that the mark of its gate is
 * there, and a mount that it is not empty.
 *
 *   NAME          "opening": the datasets are mounted, and not everybody was started yet
 *   NAME          "started": only what failed for want of them was not started yet
 *   NAME          "open"
 *   NAME          empty: the wait is over, and it goes on without the data
 *   .locked-NAME  somebody locked it, a gate or what is in one: a key that is a file, or on the
 *                 network, is left where it is
 *   .since-NAME   since when it is waited for, until it is open: who watches may be started anew
 *   .ran-NAME     units that ran then, one on each line: they start when it is opened
 *
 * '/' of a name is '+' there, which is in no name of a dataset.
 */

#include "base/diag.h"

#define GATE_RUN "/run/eyrie/gate"

enum mark {
	MARK_NONE,
	MARK_OVERDUE,
	MARK_OPENING,
	MARK_STARTED,
	MARK_OPEN,
};

int mark_lock(int *ret_fd, struct diag *diag); /* waits; closing the descriptor ends it */

char *mark_path(const char *name); /* its path */
enum mark mark_get(const char *name);
int mark_set(const char *name, enum mark mark, struct diag *diag); /* MARK_NONE: it goes */

int64_t mark_age(const char *name); /* seconds since it was set; INT64_MAX: nobody knows */

bool mark_is_locked(const char *name);
bool mark_is_locked_in(const char *name, const char *gate); /* it, what it is in, or the gate */
int mark_set_locked(const char *name, bool locked, struct diag *diag);
int mark_unlock_all(const char *name, struct diag *diag); /* at and below it */

/* Milliseconds of CLOCK_BOOTTIME: those that are noted, or `now`, which is noted. */
int64_t mark_since(const char *name, int64_t now);
void mark_forget_since(const char *name);

void mark_ran(const char *name, struct strv *units); /* adds to them */
int mark_set_ran(const char *name, const struct strv *units, struct diag *diag); /* none: it goes */
