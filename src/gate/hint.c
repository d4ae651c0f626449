/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/hint.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "gate/units.h"

#define NAMES_MAX 4u /* more would push the login prompt off the screen */

const char *const gate_states[] = {
	[GATE_UNKNOWN] = "unknown", [GATE_MISSING] = "missing", [GATE_CLOSED] = "closed",
	[GATE_OPENING] = "opening", [GATE_OPEN] = "open",	[GATE_OVERDUE] = "overdue",
};

static void add_units(struct strbuf *b, const struct held_gate *gate)
{
	size_t n = 0;

	FOR_EACH_UNIT(unit, gate)
		if (!unit->asleep && n++ < NAMES_MAX)
			strbuf_printf(b, "%s%s", n > 1 ? ", " : "; waiting for it: ", unit->name);
	if (n > NAMES_MAX)
		strbuf_printf(b, " and %zu more", n - NAMES_MAX);
}

char *hint_make(const struct held_gate *gate, enum gate_state state, const struct strv *further)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	if (state == GATE_OPEN || state == GATE_OPENING || state == GATE_UNKNOWN)
		return NULL;
	strbuf_printf(&b, "%s is %s", gate->name,
		      state == GATE_MISSING ? "not there: no disk of it is, or its pool is not "
					      "imported" :
		      state == GATE_OVERDUE ? "locked, and the machine went on without it" :
					      "locked");
	if (state != GATE_OVERDUE)
		add_units(&b, gate);
	for (size_t i = 0; i < further->n_items; i++)
		strbuf_printf(&b, "\n%s", further->items[i]);
	strbuf_printf(&b, "\nRun 'eyrie unlock %s'\n", gate->name);
	return strbuf_take(&b);
}

/* getty expands backslashes. */
static char *escape(const char *text)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (; *text; text++)
		strbuf_add_bytes(&b, *text == '\\' ? "\\\\" : text, *text == '\\' ? 2 : 1);
	return strbuf_take(&b);
}

void hint_tell_console(const char *text)
{
	/* A serial line that nobody reads must not hold up who opens gates. */
	_cleanup_close_ int fd =
		open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, "\r\n");
	for (; *text; text++)
		strbuf_add_bytes(&b, *text == '\n' ? "\r\n" : text, *text == '\n' ? 2 : 1);
	if (fd >= 0)
		(void)fd_write_all(fd, b.data, b.size);
}

int hint_show(struct runner *run_by, const char *text, bool loud, struct diag *diag)
{
	const char *const again[] = { "agetty", "--reload", NULL };
	_cleanup_strbuf_ struct strbuf old = STRBUF_NULL;
	_cleanup_free_ char *escaped = escape(text);
	int r = 0;

	(void)file_read(GATE_ISSUE, &old);
	if (!loud && streq(old.data ? old.data : "", escaped))
		return 0;
	if (*text)
		r = file_replace(GATE_ISSUE, escaped, 0644, diag);
	else if (unlink(GATE_ISSUE) < 0 && errno != ENOENT)
		r = diag_error(diag, -errno, "cannot remove %s: %m", GATE_ISSUE);
	if (*text || old.size)
		(void)run(run_by, &(struct command){ .argv = again, .flags = RUN_OPTIONAL }, NULL);
	if (*text && loud)
		hint_tell_console(text);
	return r;
}
