/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * In which order a program makes things durable. Linked into a test, fsync(), syncfs(), rename(),
 * unlink(), remove(), freezing and thawing of the code under test leave a line each, below test_folder()
 * without it:
 *
 *	fsync boot/initrd.img-6.1.new
 *	rename boot/initrd.img-6.1.new boot/initrd.img-6.1
 *
 * Lines are told by their beginnings, or as a whole by a '$' at the end.
 */

#include "base/diag.h"

void order_begin(void); /* forget what was noted */
void order_note(const char *format, ...) _printf_(1, 2);

/* Fails the test unless there are such lines in this order; the last is NULL. */
void order_expect(const char *first, ...) _sentinel_;
bool order_has(const char *begin);

/* Such calls fail with EIO and do nothing; NULL: none does. */
extern const char *order_fails;

/* So many go well, and then each fails, as if the power had failed: nothing more becomes durable. */
#define ORDER_NO_END SIZE_MAX
extern size_t order_left;
void order_print(void);
