/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Numbers that only look random (splitmix64): the same seed gives the same case again. */

#include <stdbool.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 … n - 1 */
static inline unsigned random_below(struct random *r, unsigned n)
{
	return (unsigned)(random_next(r) % n);
}

/* true once in n times */
static inline bool random_one_in(struct random *r, unsigned n)
{
	return random_below(r, n) == 0;
}
