/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/finding.h"

void finding(struct checker *c, const char *path, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)diag_verror(c->diag, 0, format, ap);
	va_end(ap);
	c->n_findings++;
	yaml_place(c->source, c->diag, path);
}
