/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/history.h"

#include <sys/random.h>

#define AT(member) .offset = offsetof(struct epoch, member)

static const struct field epoch_fields[] = {
	{ "id", FIELD_STRING, AT(id) },
	{ "time", FIELD_NUMBER, AT(time) },
	{ "absent", FIELD_STRINGS, AT(absent) },
};
const struct record record_epoch = RECORD(epoch, epoch_fields);

static struct epoch *epoch_at(const struct list *history, size_t i)
{
	return list_at((struct list *)history, &record_epoch, i);
}

const struct epoch *history_newest(const struct list *history)
{
	return history->n_items ? epoch_at(history, history->n_items - 1) : NULL;
}

/* Whether the newest epoch of `other` is in `history`. */
static bool descends(const struct list *history, const struct list *other)
{
	const struct epoch *newest = history_newest(other);

	for (size_t i = 0; newest && i < history->n_items; i++)
		if (streq(epoch_at(history, i)->id, newest->id))
			return true;
	return !newest;
}

enum kinship history_compare(const struct list *a, const struct list *b)
{
	if (descends(a, b))
		return descends(b, a) ? KIN_SAME : KIN_AHEAD;
	return descends(b, a) ? KIN_BEHIND : KIN_DIVERGED;
}

static bool same_members(const struct strv *a, const struct strv *b)
{
	if (a->n_items != b->n_items)
		return false;
	for (size_t i = 0; i < a->n_items; i++)
		if (!strv_has(b, a->items[i]))
			return false;
	return true;
}

char *history_new_id(void)
{
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
		return NULL;
	return str_printf("%016llx", (unsigned long long)bits);
}

/* The list without its oldest epochs, so that one more fits. */
static void make_room(struct list *history)
{
	struct list kept = {};

	if (history->n_items < HISTORY_MAX)
		return;
	for (size_t i = history->n_items - HISTORY_MAX + 1; i < history->n_items; i++)
		record_copy(&record_epoch, list_add(&kept, &record_epoch), epoch_at(history, i));
	list_deinit(history, &record_epoch);
	*history = kept;
}

void history_add(struct list *history, const char *id, uint64_t time, const struct strv *absent)
{
	struct epoch *epoch;

	make_room(history);
	if (history->n_items)
		strv_deinit(&epoch_at(history, history->n_items - 1)->absent);
	epoch = list_add(history, &record_epoch);
	epoch->id = str_dup(id);
	epoch->time = time;
	for (size_t i = 0; i < absent->n_items; i++)
		strv_add(&epoch->absent, absent->items[i]);
}

bool history_go_on(struct list *history, uint64_t time, const struct strv *absent)
{
	struct epoch *newest = history->n_items ? epoch_at(history, history->n_items - 1) : NULL;

	if (!newest || !same_members(&newest->absent, absent))
		return false;
	newest->time = time;
	return true;
}

void history_copy(struct list *to, const struct list *from)
{
	struct list copy = {};

	for (size_t i = 0; i < from->n_items; i++)
		record_copy(&record_epoch, list_add(&copy, &record_epoch), epoch_at(from, i));
	list_deinit(to, &record_epoch);
	*to = copy;
}
