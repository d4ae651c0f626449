/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The console matcher, fed with what systemd, the kernel and firmware really print. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/mman.h>

#include "rehearse/console.h"

#define START  "\033[!p\033]104\a\033[?7h\033[0;1;39m"
#define PROMPT "Please enter passphrase for disk luks-left (left): (press TAB for no echo) "
#define OTHER                                                                              \
	"Please enter passphrase for disk luks-right (right): (press TAB for no echo) "

static struct console_prompt prompts[] = {
	{ .text = "enter passphrase for disk", .settle = 500 },
	{ .text = "The same again: ", .settle = 100 },
};

static struct console console;

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(prompts); i++)
		prompts[i].n_answered = prompts[i].n_withdrawn = 0;
	console_init(&console, prompts, ARRAY_SIZE(prompts));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	console_deinit(&console);
	return 0;
}

static void feed(const char *text, int64_t now)
{
	console_feed(&console, text, strlen(text), now);
}

static void test_prompt_is_answered_once(void **state)
{
	(void)state;
	feed(START PROMPT, 1000);
	assert_null(console_due(&console, 1499));
	assert_int_equal(console_delay(&console, 1400), 100);
	assert_ptr_equal(console_due(&console, 1500), &prompts[0]);
	assert_null(console_due(&console, 9000));
	assert_int_equal(console_delay(&console, 9000), -1);
	feed("\b\b\b***********\r\n", 9100);
	assert_null(console_due(&console, 99999));
	assert_int_equal(prompts[0].n_answered, 1);
	assert_int_equal(prompts[0].n_withdrawn, 0);
}

/* A read may end anywhere, in an escape sequence too. */
static void test_prompt_in_single_bytes(void **state)
{
	static const char text[] = START PROMPT;

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		console_feed(&console, &text[i], 1, 0);
	assert_ptr_equal(console_due(&console, 500), &prompts[0]);
	assert_string_equal(console_last_line(&console), PROMPT);
}

/* systemd asks for each disk and takes back what the first answer settled. */
static void test_withdrawn_prompt_is_none(void **state)
{
	(void)state;
	feed(START PROMPT, 0);
	assert_non_null(console_due(&console, 600));
	feed("\r\n" START OTHER, 900);
	feed("\r\n", 905);
	assert_null(console_due(&console, 5000));
	assert_int_equal(prompts[0].n_answered, 1);
	assert_int_equal(prompts[0].n_withdrawn, 1);
}

/* A wrong passphrase: the same question stands again, and that counts. */
static void test_second_prompt_counts(void **state)
{
	(void)state;
	feed(PROMPT, 0);
	assert_non_null(console_due(&console, 600));
	feed("\r\n" PROMPT, 3000);
	assert_non_null(console_due(&console, 3600));
	assert_int_equal(prompts[0].n_answered, 2);
}

static void test_redrawn_prompt_is_the_same(void **state)
{
	(void)state;
	feed(PROMPT, 0);
	feed("\r\033[K" PROMPT, 300);
	assert_non_null(console_due(&console, 500));
	feed("\r\033[K" PROMPT, 700);
	assert_null(console_due(&console, 5000));
	assert_int_equal(prompts[0].n_answered, 1);
}

/* The kernel writes on whatever line the cursor is. */
static void test_kernel_message_after_prompt(void **state)
{
	(void)state;
	feed(PROMPT, 0);
	feed("[   20.400614] virtio_blk virtio1: [vdb] 1 blocks\r\n", 100);
	feed("[   20.400700]  vdb: vdb1 vdb2\r\n", 101);
	assert_non_null(console_due(&console, 600));
	assert_int_equal(prompts[0].n_withdrawn, 0);
}

static void test_kernel_message_in_prompt(void **state)
{
	(void)state;
	feed("Please enter pass[   20.400614] vdb: vdb1\r\nphrase for disk left: ", 0);
	assert_non_null(console_due(&console, 600));
}

static void test_ordinary_line_is_no_prompt(void **state)
{
	(void)state;
	feed("Nobody had to enter passphrases for this\r\n", 0);
	assert_null(console_due(&console, 5000));
}

static void test_two_prompts(void **state)
{
	(void)state;
	feed("The same again: ", 0);
	assert_ptr_equal(console_due(&console, 100), &prompts[1]);
	feed("\r\n" PROMPT, 200);
	assert_ptr_equal(console_due(&console, 700), &prompts[0]);
}

static void note_line(void *context, const char *line)
{
	strbuf_add(context, line);
	strbuf_add(context, "|");
}

static void test_lines_are_told_once(void **state)
{
	_cleanup_strbuf_ struct strbuf lines = STRBUF_NULL;

	(void)state;
	console.on_line = note_line;
	console.context = &lines;
	feed("half[    1.000001] kernel\r\n[    1.000002] more\r\nrest\r\nnext\r\n", 0);
	assert_string_equal(lines.data,
			    "half[    1.000001] kernel|[    1.000002] more|rest|next|");
}

static void test_log_is_plain_text(void **state)
{
	_cleanup_close_ int fd = memfd_create("log", MFD_CLOEXEC);
	char text[64] = "";

	(void)state;
	console.log = fd;
	feed("\033[2J\033[01;01H\033[0;1;31mred\033[0m\r\ntwo\r\n\033]0;title\033\\three",
	     0);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "red\ntwo\nthree");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_prompt_is_answered_once),
		TEST(test_prompt_in_single_bytes),
		TEST(test_withdrawn_prompt_is_none),
		TEST(test_second_prompt_counts),
		TEST(test_redrawn_prompt_is_the_same),
		TEST(test_kernel_message_after_prompt),
		TEST(test_kernel_message_in_prompt),
		TEST(test_ordinary_line_is_no_prompt),
		TEST(test_two_prompts),
		TEST(test_lines_are_told_once),
		TEST(test_log_is_plain_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
