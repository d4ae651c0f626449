/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One key slot on each of many devices, opened side by side. */

#include "keys/luks.h"

struct slot_try {
	struct luks *luks; /* loaded; each device once */
	int slot;
	const struct secret *passphrase;
	struct secret *key; /* what the slot holds; NULL: it did not open, for any reason */
};

/*
 * For cheap slots, whose milliseconds would add up one after the other; slow ones would only take
 * each other's memory.
 */
void slots_open(struct slot_try *tries, size_t n);
