/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Growing strings and string vectors.
 *
 * Running out of memory ends the program with a message (mem_* and all of this file): a few
 * kilobytes of text that cannot be had are no condition from which a disk tool can go on, and
 * every step is written so that stopping anywhere is safe.
 */

#include <stdarg.h>

#include "base/util.h"

void *mem_alloc(size_t size);			       /* zeroed */
void *mem_grow(void *items, size_t n, size_t item_size); /* room for n + 1 items, new one zeroed */

/* text */

char *str_dup(const char *s); /* NULL gives NULL */
char *str_lower(const char *s); /* a copy with a to z in the place of A to Z; NULL gives NULL */
char *str_printf(const char *format, ...) _printf_(1, 2);
char *str_vprintf(const char *format, va_list ap) _printf_(1, 0);
void str_set(char **target, const char *value); /* frees what was there */
void str_trim_end(char *s);			/* removes trailing white space in place */

/* growing text */

struct strbuf {
	char *data; /* NUL-terminated once anything was added, else NULL */
	size_t size;
	size_t room;
};

#define STRBUF_NULL                                                                            \
	{                                                                                      \
	}

void strbuf_add(struct strbuf *b, const char *s);
void strbuf_add_bytes(struct strbuf *b, const void *data, size_t size);
void strbuf_printf(struct strbuf *b, const char *format, ...) _printf_(2, 3);
char *strbuf_take(struct strbuf *b); /* never NULL */
void strbuf_deinit(struct strbuf *b);

#define _cleanup_strbuf_ _cleanup_(strbuf_deinit)

/* vectors of text, counted and NULL-terminated so that `items` is an argv */

struct strv {
	char **items;
	size_t n_items;
};

#define STRV_NULL                                                                              \
	{                                                                                      \
	}

void strv_add(struct strv *v, const char *s);
void strv_addf(struct strv *v, const char *format, ...) _printf_(2, 3);
void strv_add_all(struct strv *v, ...) _sentinel_;
bool strv_has(const struct strv *v, const char *s);
char *strv_join(const struct strv *v, const char *separator);
void strv_split(struct strv *v, const char *s, const char *separators); /* empty parts dropped */
void strv_deinit(struct strv *v);

#define _cleanup_strv_ _cleanup_(strv_deinit)

/* numbers and sizes */

int str_to_u64(const char *s, uint64_t *ret); /* -EINVAL, -ERANGE */

/*
 * A size: digits, an optional fraction is not allowed, and one of the suffixes B, K, KiB, M,
 * MiB, G, GiB, T, TiB (powers of 1024). -EINVAL for anything else (kB, MB … are refused rather
 * than guessed), -ERANGE when it does not fit.
 */
int str_to_size(const char *s, uint64_t *ret);
char *str_from_size(uint64_t size);	  /* exact, the largest unit that divides: "512MiB" */
char *str_size_for_people(uint64_t size); /* rounded to three digits: "3.64 TiB" */

/* The name in `names` (n of them) nearest to `s`, or NULL when none is near enough to be meant. */
const char *str_nearest(const char *s, const char *const *names, size_t n);
