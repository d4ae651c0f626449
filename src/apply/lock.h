/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/diag.h"

/*
 * One eyrie at a time works on the disks of a machine. Taken before observing, so that nothing
 * changes between what was seen and what is done; it goes with the process, however that ends.
 * lock_take() waits for another one: a package's hook or a disk that was plugged in may have
 * started it, and nobody can foresee that.
 */
int lock_take(int *ret_fd, struct diag *diag);
bool lock_is_taken(void); /* at this moment: for a word to who will wait */
