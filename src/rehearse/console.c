/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/console.h"

#include <ctype.h>

#include "base/file.h"

void console_init(struct console *console, struct console_prompt *prompts, size_t n_prompts)
{
	*console =
		(struct console){ .prompts = prompts, .n_prompts = n_prompts, .log = -1 };
}

void console_deinit(struct console *console)
{
	strbuf_deinit(&console->line);
	strbuf_deinit(&console->held);
	free(console->last);
	console->last = NULL;
}

static void strbuf_cut(struct strbuf *b, size_t size)
{
	if (!b->data)
		return;
	b->size = size;
	b->data[size] = '\0';
}

static const char *text_of(const struct strbuf *b)
{
	return b->data ? b->data : "";
}

/* "[   12.345678] ", as the kernel begins what it says. */
static bool is_stamp(const char *s)
{
	const char *digits;

	if (*s++ != '[')
		return false;
	while (*s == ' ')
		s++;
	for (digits = s; isdigit((unsigned char)*s); s++)
		;
	if (s == digits || *s++ != '.')
		return false;
	for (digits = s; isdigit((unsigned char)*s); s++)
		;
	return s - digits == 6 && s[0] == ']';
}

/* Where somebody else's message begins in a line, or NULL. */
static char *foreign_part(char *line)
{
	static const char *const beginnings[] = { "[  OK  ]",	 "[FAILED]", "[DEPEND]",
						  "[ TIME ]",	 "[ SKIP ]", "<46>",
						  "systemd[1]: " };

	for (char *s = line; *s; s++) {
		if (is_stamp(s))
			return s;
		for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
			if (starts_with(s, beginnings[i]))
				return s;
	}
	return NULL;
}

/* A question still waits at its end: nothing was said after it on its line. */
static bool ends_as_prompt(const char *line)
{
	static const char hint[] = "(press TAB for no echo)";
	size_t n = strlen(line);

	while (n && line[n - 1] == ' ')
		n--;
	if (!n)
		return false;
	return line[n - 1] == ':' ||
	       (n >= sizeof(hint) - 1 &&
		strncmp(line + n - (sizeof(hint) - 1), hint, sizeof(hint) - 1) == 0);
}

static void look_for_prompt(struct console *c, int64_t now)
{
	if (c->from >= c->line.size)
		return;
	for (size_t i = 0; i < c->n_prompts; i++) {
		if (!strstr(c->line.data + c->from, c->prompts[i].text))
			continue;
		if (c->standing != &c->prompts[i])
			c->since = now;
		c->standing = &c->prompts[i];
		return;
	}
}

static void tell_line(struct console *c)
{
	const char *line = text_of(&c->line) + MIN_OF(c->told, c->line.size);

	if (c->on_line)
		c->on_line(c->context, line);
	if (line[strspn(line, " \t")])
		str_set(&c->last, line);
}

/*
 * The line ended. With a prompt in it, either the question was answered or withdrawn, or
 * somebody else's message ended it: then what stood before the message goes on standing.
 */
static void end_line(struct console *c)
{
	char *foreign = c->line.data ? foreign_part(c->line.data) : NULL;

	tell_line(c);
	if (foreign && (foreign > c->line.data || c->held.size)) {
		strbuf_cut(&c->line, (size_t)(foreign - c->line.data));
		if (c->line.size) {
			strbuf_cut(&c->held, 0);
			strbuf_add_bytes(&c->held, c->line.data, c->line.size);
		}
		strbuf_cut(&c->line, 0);
		strbuf_add(&c->line, text_of(&c->held));
		c->told = c->line.size;
		return;
	}
	if (c->standing && ends_as_prompt(text_of(&c->line))) {
		c->standing->n_withdrawn++;
		c->standing = NULL;
	}
	c->told = c->from = 0;
	strbuf_cut(&c->line, 0);
	strbuf_cut(&c->held, 0);
}

/* UTF-8 goes through untouched; what is left of the control characters moves the cursor. */
static void put_text(struct console *c, char byte, struct strbuf *log)
{
	bool returned = c->returned;

	c->returned = false;
	if (byte == '\r') {
		c->returned = true;
	} else if (byte == '\n') {
		strbuf_add_bytes(log, "\n", 1);
		end_line(c);
	} else if (byte == '\b') {
		strbuf_cut(&c->line, c->line.size ? c->line.size - 1 : 0);
	} else if (byte == '\t' || (unsigned char)byte >= ' ') {
		if (returned) {
			strbuf_add_bytes(log, "\n", 1);
			strbuf_cut(&c->line, 0);
		}
		strbuf_add_bytes(log, &byte, 1);
		strbuf_add_bytes(&c->line, &byte, 1);
	}
}

/* The cursor goes elsewhere: firmware and boot menus draw so. */
static void jump(struct console *c, struct strbuf *log)
{
	if (!c->line.size || c->standing)
		return;
	strbuf_add_bytes(log, "\n", 1);
	end_line(c);
}

static void put_byte(struct console *c, char byte, struct strbuf *log)
{
	switch (c->escape) {
	case CONSOLE_TEXT:
		if (byte == '\033')
			c->escape = CONSOLE_ESCAPE;
		else
			put_text(c, byte, log);
		break;
	case CONSOLE_ESCAPE:
		c->escape = byte == '['		     ? CONSOLE_CSI
			    : byte == ']'	     ? CONSOLE_OSC
			    : strchr("()*+#%", byte) ? CONSOLE_CHARSET
						     : CONSOLE_TEXT;
		break;
	case CONSOLE_CHARSET:
		c->escape = CONSOLE_TEXT;
		break;
	case CONSOLE_CSI:
		if (byte < '@' || byte > '~')
			break;
		c->escape = CONSOLE_TEXT;
		if (byte == 'H' || byte == 'J')
			jump(c, log);
		break;
	case CONSOLE_OSC:
		c->escape = byte == '\a'     ? CONSOLE_TEXT
			    : byte == '\033' ? CONSOLE_OSC_ESCAPE
					     : CONSOLE_OSC;
		break;
	case CONSOLE_OSC_ESCAPE:
		c->escape = CONSOLE_TEXT;
		break;
	}
}

void console_feed(struct console *console, const char *data, size_t size, int64_t now)
{
	_cleanup_strbuf_ struct strbuf log = STRBUF_NULL;

	for (size_t i = 0; i < size; i++) {
		put_byte(console, data[i], &log);
		if (console->escape == CONSOLE_TEXT && strchr(": )", data[i]))
			look_for_prompt(console, now);
	}
	look_for_prompt(console, now);
	if (console->log >= 0 && log.size)
		(void)fd_write_all(console->log, log.data, log.size);
}

const struct console_prompt *console_due(struct console *console, int64_t now)
{
	struct console_prompt *prompt = console->standing;

	if (!prompt || now - console->since < prompt->settle)
		return NULL;
	console->standing = NULL;
	console->from = console->line.size;
	prompt->n_answered++;
	return prompt;
}

int console_delay(const struct console *console, int64_t now)
{
	int64_t left;

	if (!console->standing)
		return -1;
	left = console->since + console->standing->settle - now;
	return left > 0 ? (int)left : 0;
}

const char *console_last_line(const struct console *console)
{
	const char *line = text_of(&console->line);

	if (line[strspn(line, " \t")])
		return line;
	return console->last ? console->last : "";
}
