/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A serial console, read as a person would: prompts are recognised and answered.
 *
 * Bytes and the time go in, so that it is tested without a machine. What a terminal would
 * make of them (colours, cursor, backspaces) is taken out first. A prompt may come in
 * pieces, and a kernel message may end its line; neither hides it.
 *
 * A prompt counts when it is answered. systemd asks on behalf of several disks at once and
 * withdraws the questions that one answer has settled: such a prompt ends its own line
 * before anybody typed, within milliseconds. So a prompt is answered only when it has stood
 * for its `settle` time, and the same prompt drawn again meanwhile is the same prompt.
 */

#include "base/secret.h"

struct console_prompt {
	const char *text; /* what it contains */
	const struct secret *answer;
	unsigned settle; /* milliseconds */
	unsigned n_answered;
	unsigned n_withdrawn;
};

enum console_escape {
	CONSOLE_TEXT,
	CONSOLE_ESCAPE,
	CONSOLE_CHARSET, /* one more byte */
	CONSOLE_CSI,
	CONSOLE_OSC,
	CONSOLE_OSC_ESCAPE,
};

struct console {
	struct console_prompt *prompts;
	size_t n_prompts;
	int log; /* gets the text, or -1 */
	void (*on_line)(void *context,
			const char *line); /* each line when it ends, or NULL */
	void *context;

	/* its own */
	enum console_escape escape;
	bool returned;	    /* a carriage return that may turn out to end the line */
	struct strbuf line; /* as it stands on the screen */
	struct strbuf held; /* what a prompt's line was before a kernel message ended it */
	char *last;	    /* the last line that was not blank */
	struct console_prompt *standing; /* on the screen and not answered */
	int64_t since;
	size_t told; /* bytes of `line` that on_line() had with an earlier line */
	size_t from; /* in `line`, behind the prompt that was answered */
};

void console_init(struct console *console, struct console_prompt *prompts,
		  size_t n_prompts);
void console_deinit(struct console *console);

/* `now` is in milliseconds. */
void console_feed(struct console *console, const char *data, size_t size, int64_t now);

/* The prompt whose time has come, at most once for each; the caller types its answer. */
const struct console_prompt *console_due(struct console *console, int64_t now);

/* Milliseconds until console_due() may have something to say, or -1. */
int console_delay(const struct console *console, int64_t now);

/* The last line on the screen, for a person who wonders where it stopped. Never NULL. */
const char *console_last_line(const struct console *console);
