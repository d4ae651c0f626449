/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Loop devices over files in test_folder(); gone when the program ends. */

#include "test.h"

bool loops_work(void); /* root, and the kernel gives one; else "1..0 # SKIP" was said */

/* A new file of `size` bytes, full of holes, and the device over it. */
const char *loop_new(const char *name, uint64_t size);
const char *loop_over(const char *path, bool read_only);
void loop_detach(const char *node);

/*
 * Tell the kernel where the partitions of `node` are, as it finds out by itself where it reads
 * partition tables (this one may have no EFI_PARTITION). False when there are none.
 */
bool loop_scan(const char *node);
