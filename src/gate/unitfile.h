/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What unit files say, for when systemd cannot be asked: while it reads them itself, and calls
 * its generators. That is at every start, and again before a package starts what it brought.
 * It is less than systemd knows: nothing that another generator makes is in it.
 */

#include "gate/systemd.h"

/*
 * The services, sockets and paths of the system at `root`, "" for this one. A template stands for
 * its instances under its own name, "a@.service". What cannot be read is left out.
 */
void unit_files_read(const char *root, struct unit_list *ret);
void unit_file_parse(struct unit *unit, char *text); /* adds what one file says; writes in `text` */
