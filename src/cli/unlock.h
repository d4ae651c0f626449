/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "cli/cli.h"
#include "keys/set.h"

/*
 * What eyrie-unlock does in the initramfs, in a running system or a rescue shell: the machine
 * that CLI_UNLOCK_FILE names, or the set whose disks are there. `set` is its id, or the
 * beginning of it; NULL when there is but one.
 */
enum cli_exit unlock_machine(struct cli *cli, const char *set);

/* Each member with its state, as text or JSON. */
void unlock_show(const struct cli *cli, const struct set *set, bool wrong);
