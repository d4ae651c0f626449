/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Ownership and small helpers that every file uses.
 *
 * What a function owns carries `_cleanup_(…p)`; what it hands over passes through take_ptr()
 * or take_fd(). Destructors accept NULL and return NULL, so `x = x_free(x)` leaves no dangling
 * pointer.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define _cleanup_(f)	  __attribute__((cleanup(f)))
#define _printf_(a, b)	  __attribute__((format(printf, a, b)))
#define _nonnull_(...)	  __attribute__((nonnull(__VA_ARGS__)))
#define _unused_	  __attribute__((unused))
#define _sentinel_	  __attribute__((sentinel))

#define ARRAY_SIZE(a)	  (sizeof(a) / sizeof((a)[0]))
#define MIN_OF(a, b)	  ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b)	  ((a) > (b) ? (a) : (b))

#define KIB		  (UINT64_C(1) << 10)
#define MIB		  (UINT64_C(1) << 20)
#define GIB		  (UINT64_C(1) << 30)

#define take_ptr(p)                                                                            \
	({                                                                                     \
		__typeof__(p) *taken_from = &(p);                                              \
		__typeof__(p) taken = *taken_from;                                             \
		*taken_from = NULL;                                                            \
		taken;                                                                         \
	})

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define _cleanup_free_	_cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Defines f##p(), the form that _cleanup_() wants, of a destructor f(). */
#define DEFINE_CLEANUP(type, f)                                                                \
	static inline void f##p(type *p)                                                       \
	{                                                                                      \
		if (*p)                                                                        \
			f(*p);                                                                 \
	}

static inline bool streq(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static inline const char *starts_with(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

/* Of paths, and of datasets; `folder` ends without a slash. */
static inline bool is_below(const char *path, const char *folder)
{
	const char *rest = starts_with(path, folder);

	return rest && *rest == '/';
}

static inline bool is_or_is_below(const char *path, const char *folder)
{
	return streq(path, folder) || is_below(path, folder);
}

static inline bool is_empty(const char *s)
{
	return !s || !*s;
}
