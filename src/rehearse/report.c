/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a rehearsed machine says about itself: the output of stock tools, read with json-c.
 */

#include <json-c/json.h>

#include "rehearse/drill.h"

/* The value of a key when it is there and of that type: the guest may say anything. */
static struct json_object *value_at(struct json_object *object, const char *key,
				    enum json_type type)
{
	struct json_object *value;

	if (!json_object_is_type(object, json_type_object) ||
	    !json_object_object_get_ex(object, key, &value) ||
	    !json_object_is_type(value, type))
		return NULL;
	return value;
}

static const char *text_at(struct json_object *object, const char *key)
{
	struct json_object *value = value_at(object, key, json_type_string);

	return value ? json_object_get_string(value) : NULL;
}

static struct json_object *array_item(struct json_object *object, const char *key, size_t i)
{
	struct json_object *array = value_at(object, key, json_type_array);

	if (!array || i >= json_object_array_length(array))
		return NULL;
	return json_object_array_get_idx(array, i);
}

/* Leaves of the tree are members; what is above them only sums up. */
static void count_members(struct report *report, struct json_object *vdevs)
{
	json_object_object_foreach(vdevs, name, vdev)
	{
		struct json_object *children = value_at(vdev, "vdevs", json_type_object);
		const char *state = text_at(vdev, "state");

		if (children) {
			count_members(report, children);
			continue;
		}
		report->n_members++;
		if (streq(state, "ONLINE") || streq(state, "AVAIL"))
			report->n_healthy++;
		else
			strv_add(&report->unhealthy, name);
	}
}

/* findmnt -J */
static void read_root(struct report *report, struct json_object *value)
{
	str_set(&report->root, text_at(array_item(value, "filesystems", 0), "source"));
}

/* zpool status -j: the pool that the root is in, which was told before. */
static void read_pool(struct report *report, struct json_object *value)
{
	static const char *const classes[] = { "vdevs", "special", "logs", "l2cache", "spares" };
	struct json_object *pools = value_at(value, "pools", json_type_object);

	if (!pools)
		return;
	json_object_object_foreach(pools, name, pool)
	{
		if (json_object_object_length(pools) > 1 &&
		    (!report->root || !is_or_is_below(report->root, name)))
			continue;
		str_set(&report->pool, name);
		str_set(&report->health, text_at(pool, "state"));
		for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
			struct json_object *vdevs = value_at(pool, classes[i], json_type_object);

			if (vdevs)
				count_members(report, vdevs);
		}
	}
}

/* systemctl list-units --failed --output=json */
static void read_failed(struct report *report, struct json_object *value)
{
	if (!json_object_is_type(value, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		const char *unit = text_at(json_object_array_get_idx(value, i), "unit");

		if (unit)
			strv_add(&report->failed, unit);
	}
}

static void read_seen(struct report *report, struct json_object *value)
{
	str_set(&report->seen, json_object_get_string(value));
}

static void read_mapped(struct report *report, struct json_object *value)
{
	str_set(&report->mapped, json_object_get_string(value));
}

static void read_jobs(struct report *report, struct json_object *value)
{
	str_set(&report->jobs, json_object_get_string(value));
}

static void read_done(struct report *report, struct json_object *value)
{
	report->done = json_object_get_boolean(value);
}

static void read_up(struct report *report, struct json_object *value)
{
	report->up = json_object_get_boolean(value);
}

static void read_exit(struct report *report, struct json_object *value)
{
	report->exit = json_object_get_int(value);
	report->done = true;
}

static void read_failure(struct report *report, struct json_object *value)
{
	str_set(&report->failure, json_object_get_string(value));
	report->done = true;
}

static const struct {
	const char *key;
	void (*read)(struct report *report, struct json_object *value);
} readers[] = {
	{ "root", read_root },	     { "pool", read_pool }, { "failed", read_failed },
	{ "done", read_done },	     { "up", read_up },	    { "exit", read_exit },
	{ "failure", read_failure }, { "seen", read_seen },
	{ "mapped", read_mapped },   { "jobs", read_jobs },
};

int report_add(struct report *report, const char *line)
{
	struct json_object *object = json_tokener_parse(line), *value;
	int r = -EBADMSG;

	if (!json_object_is_type(object, json_type_object)) {
		(void)json_object_put(object);
		return -EBADMSG;
	}
	for (size_t i = 0; i < ARRAY_SIZE(readers); i++) {
		if (!json_object_object_get_ex(object, readers[i].key, &value))
			continue;
		readers[i].read(report, value);
		r = 0;
	}
	(void)json_object_put(object);
	return r;
}

void report_deinit(struct report *report)
{
	free(report->failure);
	free(report->root);
	free(report->pool);
	free(report->health);
	free(report->seen);
	free(report->mapped);
	free(report->jobs);
	strv_deinit(&report->unhealthy);
	strv_deinit(&report->failed);
}
