/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Diagnostics: what a person must read, collected below the command line and printed by it.
 *
 * A function that can fail takes a `struct diag *`, adds what it knows and returns 0 or a
 * negative errno, which its callers pass on unchanged. Findings are collected, never printed,
 * so that all of them are shown at once and every front end words them alike. Every entry
 * point accepts NULL where the caller wants no text.
 */

#include "base/str.h"

enum diag_level {
	DIAG_ERROR,
	DIAG_WARNING,
	DIAG_NOTE,
};

struct diag_item {
	enum diag_level level;
	char *text;
	char *hint; /* what to do next, or NULL */

	/* where in a file; file is NULL when it is not about one */
	char *file;
	unsigned line;	 /* from 1 */
	unsigned column; /* from 1 */
	char *excerpt;	 /* the offending line, without its newline */
};

struct diag {
	struct diag_item *items;
	size_t n_items;
	size_t n_errors;
};

#define DIAG_NULL                                                                              \
	{                                                                                      \
	}

/* Add an error and return `r`, so that a failure is one line: return diag_error(d, -EIO, …). */
int diag_error(struct diag *diag, int r, const char *format, ...) _printf_(3, 4);
int diag_verror(struct diag *diag, int r, const char *format, va_list ap) _printf_(3, 0);
void diag_warning(struct diag *diag, const char *format, ...) _printf_(2, 3);
void diag_note(struct diag *diag, const char *format, ...) _printf_(2, 3);

/* Add to the item that was added last. */
void diag_hint(struct diag *diag, const char *format, ...) _printf_(2, 3);
void diag_place(struct diag *diag, const char *file, unsigned line, unsigned column,
		const char *excerpt);

/* Put "context: " before the newest item: who was being worked on when it went wrong. */
void diag_context(struct diag *diag, const char *format, ...) _printf_(2, 3);

void diag_deinit(struct diag *diag);

#define _cleanup_diag_ _cleanup_(diag_deinit)
