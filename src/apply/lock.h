/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/diag.h"

/*
 * One eyrie at a time works on the disks of a machine. Taken before observing, so that nothing
 * changes between what was seen and what is done; it goes with the process, however that ends.
 * `wait`: for the other one to end; else -EBUSY at once.
 */
int lock_take(bool wait, int *ret_fd, struct diag *diag);
