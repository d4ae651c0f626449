/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The state of keys without starting a program: zfs load-key raises no event, so somebody has to
 * look again and again, and that must cost nothing. libzfs is asked where it can be loaded at
 * run time; where it cannot, -ENOSYS, and zfs(8) is asked less often.
 */

#include "gate/zfs.h"

struct keystatus;

int keystatus_open(struct keystatus **ret);
struct keystatus *keystatus_free(struct keystatus *k);
DEFINE_CLEANUP(struct keystatus *, keystatus_free)

/* -ENOENT: there is no such dataset now; else an enum key_status. */
int keystatus_get(struct keystatus *k, const char *dataset);
