/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Gates: what waits for the keys of which natively encrypted datasets. They are `gates:` of
 * the layout, or /etc/eyrie/gate.yaml of a machine that eyrie did not install.
 */

#include "layout/yaml.h"

#define GATE_FILE "/etc/eyrie/gate.yaml"

enum gate_hold {
	GATE_BY_MOUNTS,
	GATE_LISTED,
	GATE_ALL,
	GATE_BOOT,
};

enum gate_prompt {
	GATE_HINT,
	GATE_CONSOLE,
};

enum gate_then {
	GATE_FAIL,
	GATE_CONTINUE,
};

struct gate {
	char *name; /* of a pool or dataset */
	unsigned hold; /* enum gate_hold */
	struct strv services;
	struct strv except; /* services; and datasets, whose names have slashes */
	unsigned prompt; /* enum gate_prompt */
	char *wait;	 /* seconds, or forever; gate_wait() */
	unsigned then;	 /* enum gate_then */
	bool share_passphrase;
};

struct gates {
	struct list gates; /* of struct gate */
};

extern const struct record record_gate, record_gates;

/*
 * Read, fill in the defaults, check. After 0: names are names of datasets and differ, services
 * end with what systemd.unit(5) has them end with, and no combination is one that cannot work.
 */
int gates_read(const char *path, struct gates **ret, struct diag *diag);
int gates_parse(const char *name, const char *text, struct gates **ret, struct diag *diag);
int gates_check(struct list *gates, const struct yaml_source *source, struct diag *diag);
char *gates_dump(const struct gates *gates);

struct gates *gates_free(struct gates *gates);
DEFINE_CLEANUP(struct gates *, gates_free)

bool gate_is_dataset(const char *name); /* zfs(8), "Dataset names"; no snapshot, no bookmark */

#define GATE_FOREVER UINT32_MAX
int gate_wait(const struct gate *gate, uint64_t *ret); /* seconds; -EINVAL */

/* Why a gate cannot be held where OpenRC starts the services, or NULL. */
const char *gate_without_systemd(const struct gate *gate);

/* "prompt: hint, wait: forever, then: fail": what who watches goes by. */
char *gate_policy(const struct gate *gate);

/*
 * The gate that the dataset belongs to: the one with the longest name above it that does not
 * except it, or NULL.
 */
const struct gate *gate_of(const struct list *gates, const char *dataset);

/* A gate excepts it, and it belongs to none. */
bool gate_is_excepted(const struct list *gates, const char *dataset);

#define FOR_EACH_GATE(each, list)                                                              \
	for (struct gate *each = (list)->items;                                                \
	     each && each < (struct gate *)(list)->items + (list)->n_items; each++)
