/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "layout/layout.h"

/*
 * Where each value of a file stands: findings that come after reading need it. Positions are
 * looked up by a path of keys with tabs between (names of datasets hold slashes); a path that
 * the file does not have answers with its nearest parent.
 */
struct yaml_source;

int yaml_read(const char *name, const char *text, const struct record *record, void *at,
	      struct yaml_source **ret_source, struct diag *diag);

/* Point the newest finding of `diag` at the value at `path`. */
void yaml_place(const struct yaml_source *source, struct diag *diag, const char *path);

struct yaml_source *yaml_source_free(struct yaml_source *source);
DEFINE_CLEANUP(struct yaml_source *, yaml_source_free)

/* `at` as YAML; what equals the default is left out. */
char *yaml_write(const struct record *record, const void *at);
