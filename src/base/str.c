/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/str.h"

#include <ctype.h>
#include <stdio.h>

static void *mem_check(void *p)
{
	if (!p) {
		static const char text[] = "eyrie: out of memory; it is safe to run again\n";

		(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
		_exit(71); /* EX_OSERR of sysexits(3) */
	}
	return p;
}

void *mem_alloc(size_t size)
{
	return mem_check(calloc(1, size ? size : 1));
}

void *mem_grow(void *items, size_t n, size_t item_size)
{
	char *grown = mem_check(reallocarray(items, n + 1, item_size));

	memset(grown + n * item_size, 0, item_size);
	return grown;
}

char *str_dup(const char *s)
{
	return s ? mem_check(strdup(s)) : NULL;
}

char *str_lower(const char *s)
{
	char *copy = str_dup(s);

	for (char *c = copy; c && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return copy;
}

char *str_vprintf(const char *format, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, format, ap) < 0)
		s = NULL;
	return mem_check(s);
}

char *str_printf(const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	s = str_vprintf(format, ap);
	va_end(ap);
	return s;
}

void str_set(char **target, const char *value)
{
	char *copy = str_dup(value);

	free(*target);
	*target = copy;
}

void str_trim_end(char *s)
{
	size_t n = strlen(s);

	while (n && isspace((unsigned char)s[n - 1]))
		s[--n] = '\0';
}

void strbuf_add_bytes(struct strbuf *b, const void *data, size_t size)
{
	if (b->room - b->size < size + 1) {
		b->room = MAX_OF(b->room * 2, b->size + size + 64);
		b->data = mem_check(realloc(b->data, b->room));
	}
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
	b->data[b->size] = '\0';
}

void strbuf_add(struct strbuf *b, const char *s)
{
	strbuf_add_bytes(b, s, strlen(s));
}

void strbuf_printf(struct strbuf *b, const char *format, ...)
{
	_cleanup_free_ char *s = NULL;
	va_list ap;

	va_start(ap, format);
	s = str_vprintf(format, ap);
	va_end(ap);
	strbuf_add(b, s);
}

char *strbuf_take(struct strbuf *b)
{
	char *data;

	strbuf_add_bytes(b, "", 0);
	data = b->data;
	*b = (struct strbuf)STRBUF_NULL;
	return data;
}

void strbuf_deinit(struct strbuf *b)
{
	free(b->data);
	*b = (struct strbuf)STRBUF_NULL;
}

static void strv_take(struct strv *v, char *s)
{
	v->items = mem_check(reallocarray(v->items, v->n_items + 2, sizeof(*v->items)));
	v->items[v->n_items++] = s;
	v->items[v->n_items] = NULL;
}

void strv_add(struct strv *v, const char *s)
{
	strv_take(v, str_dup(s));
}

void strv_addf(struct strv *v, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	strv_take(v, str_vprintf(format, ap));
	va_end(ap);
}

void strv_add_all(struct strv *v, ...)
{
	const char *s;
	va_list ap;

	va_start(ap, v);
	while ((s = va_arg(ap, const char *)))
		strv_add(v, s);
	va_end(ap);
}

bool strv_has(const struct strv *v, const char *s)
{
	for (size_t i = 0; i < v->n_items; i++)
		if (streq(v->items[i], s))
			return true;
	return false;
}

char *strv_join(const struct strv *v, const char *separator)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (size_t i = 0; i < v->n_items; i++) {
		if (i)
			strbuf_add(&b, separator);
		strbuf_add(&b, v->items[i]);
	}
	return strbuf_take(&b);
}

void strv_split(struct strv *v, const char *s, const char *separators)
{
	while (*(s += strspn(s, separators))) {
		size_t n = strcspn(s, separators);

		strv_addf(v, "%.*s", (int)n, s);
		s += n;
	}
}

void strv_deinit(struct strv *v)
{
	for (size_t i = 0; i < v->n_items; i++)
		free(v->items[i]);
	free(v->items);
	*v = (struct strv)STRV_NULL;
}

int str_to_u64(const char *s, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (!isdigit((unsigned char)*s))
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*s - '0'), &value))
			return -ERANGE;
	}
	*ret = value;
	return 0;
}

static const struct {
	const char *suffix;
	unsigned shift;
} size_units[] = {
	{ "TiB", 40 }, { "GiB", 30 }, { "MiB", 20 }, { "KiB", 10 }, { "B", 0 },
	{ "T", 40 },   { "G", 30 },   { "M", 20 },   { "K", 10 },   { "", 0 },
};

int str_to_size(const char *s, uint64_t *ret)
{
	size_t n_digits = strspn(s, "0123456789");
	_cleanup_free_ char *digits = str_printf("%.*s", (int)n_digits, s);
	uint64_t value;
	int r;

	r = str_to_u64(digits, &value);
	if (r)
		return r;

	for (size_t i = 0; i < ARRAY_SIZE(size_units); i++) {
		if (!streq(s + n_digits, size_units[i].suffix))
			continue;
		if (value > UINT64_MAX >> size_units[i].shift)
			return -ERANGE;
		*ret = value << size_units[i].shift;
		return 0;
	}
	return -EINVAL;
}

char *str_from_size(uint64_t size)
{
	for (size_t i = 0; i < 5; i++) {
		uint64_t unit = UINT64_C(1) << size_units[i].shift;

		if (size >= unit && size % unit == 0)
			return str_printf("%llu%s", (unsigned long long)(size / unit),
					  size_units[i].suffix);
	}
	return str_dup("0B");
}

char *str_size_for_people(uint64_t size)
{
	for (size_t i = 0; i < 4; i++) {
		double value = (double)size / (double)(UINT64_C(1) << size_units[i].shift);

		if (value < 1)
			continue;
		return str_printf("%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value,
				  size_units[i].suffix);
	}
	return str_printf("%llu B", (unsigned long long)size);
}

/* Levenshtein distance, for words of a schema: both are short. */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(b), row[64];

	if (n >= ARRAY_SIZE(row))
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			size_t above = row[j];
			size_t best = MIN_OF(row[j - 1], above) + 1;

			row[j] = MIN_OF(best, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[n];
}

const char *str_nearest(const char *s, const char *const *names, size_t n)
{
	const char *nearest = NULL;
	size_t best = strlen(s) / 3 + 2;

	for (size_t i = 0; i < n; i++) {
		size_t d = distance(s, names[i]);

		if (d < best) {
			best = d;
			nearest = names[i];
		}
	}
	return nearest;
}
