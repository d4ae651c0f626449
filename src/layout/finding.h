/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the rules across fields find, each at its place in the file. */

#include "layout/yaml.h"

struct checker {
	struct layout *layout; /* NULL: gates by themselves */
	const struct yaml_source *source;
	struct diag *diag;
	size_t n_findings;
};

/* An error about the value at `path`, whose keys are separated by tabs: names hold slashes. */
void finding(struct checker *c, const char *path, const char *format, ...) _printf_(3, 4);
