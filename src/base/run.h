/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The only starter of other programs.
 *
 * A program gets an argument vector (never a shell line), a fixed environment (PATH, LC_ALL=C,
 * what the command names and nothing else), its own process group, closed descriptors and a
 * deadline. Its output is bounded; when it fails, the last lines of what it said on stderr go
 * into the diag beside the command itself.
 */

#include <sys/types.h>

#include <limits.h>

#include "base/secret.h"

#define RUN_OUTPUT_MAX (32 * MIB) /* zfs get of 40000 datasets */

enum run_flags {
	RUN_OPTIONAL = 1 << 0, /* a failure is the caller's to word: no diag */
	RUN_VISIBLE = 1 << 1,  /* stdin and stdout are the terminal's: an interactive program */
};

struct command {
	const char *const *argv;	/* argv[0] is looked up in PATH */
	const char *const *environment; /* further NAME=value, NULL-terminated; or NULL */
	const char *root; /* chroot before exec, with /dev, /proc, /sys; or NULL */
	const char *folder;		/* chdir before exec, or NULL */
	const char *input;		/* text for stdin, or NULL */
	const struct secret *secret;	/* secret for stdin, or NULL; not together with input */
	const char *terminal; /* stdin and stderr of a program that asks there, or NULL */
	unsigned deadline;		/* seconds; 0 means RUN_DEADLINE */
	unsigned flags;
	char **ret_output; /* stdout, NUL-terminated; NULL: stdout goes where stderr goes */
	struct secret *ret_secret; /* stdout without newlines at its end, instead */
};

#define RUN_DEADLINE 600u
#define RUN_FOREVER  UINT_MAX

/*
 * The seam to the real world: a test puts its own `start` here. `start` returns the exit
 * status (0 to 255), or a negative errno when the program could not be started, was killed or
 * passed its deadline (-ETIMEDOUT). `log` gets one line for each program, when it is not NULL.
 */
struct runner {
	int (*start)(struct runner *runner, const struct command *command, char **ret_output,
		     char **ret_errors);
	void (*log)(void *context, const char *line);
	void *context;
};

void runner_init(struct runner *runner); /* the real one */

/*
 * 0 when the program exits with 0; -ENOENT when it is not installed, -ETIMEDOUT, -EINTR after
 * SIGINT or SIGTERM to us, -EFBIG when `ret_output` would have lost something, -EIO when it exits
 * with anything else. Never -EAGAIN, by which callers mean what they wait for: too many processes are
 * -ENOMEM.
 */
int run(struct runner *runner, const struct command *command, struct diag *diag);

/*
 * run() of each, so many of them at a time as there are processors for us; what they say is dropped,
 * and `results` has what run() would return. Those that an interrupt stopped, or kept from being started,
 * have -EINTR.
 */
void run_all(struct runner *runner, const struct command *commands, size_t n, int *results);

size_t run_count_processors(void); /* that this process may use */

/* run() of just these words, the last one NULL. */
int run_words(struct runner *runner, struct diag *diag, const char *program, ...) _sentinel_;

/* The full path of a program in the fixed PATH, or NULL. */
char *run_find(const char *program);

/*
 * From here on the first SIGINT, SIGTERM or SIGHUP does not end us: whatever run() waits for is
 * stopped and it returns -EINTR, so that callers undo what they hold. The second one ends us.
 */
void run_catch_interrupts(void);
bool run_interrupted(void);

/* Who undoes runs to its end: programs start again. The next signal ends us. */
void run_resume(void);
int run_interrupt_fd(void); /* to poll: readable once interrupted; -1 when none is caught */

/*
 * A program that runs beside us and that we converse with. It dies with us.
 * The descriptors are our ends of its standard streams, non-blocking; whoever closes one sets
 * it to -1. `input` and `secret` of the command are not used, nor is its deadline.
 */
struct process {
	pid_t pid; /* 0 once it has ended */
	int ended; /* to poll: readable when it has ended */
	int input, output, errors;
	int status; /* once ended: exit status, or -EINTR when a signal ended it */
};

int process_start(struct runner *runner, const struct command *command, struct process **ret,
		  struct diag *diag);
bool process_has_ended(struct process *process);

/* Ask it to end, wait `seconds` at most, then kill it with all that it started. */
void process_stop(struct process *process, unsigned seconds);
struct process *process_free(struct process *process); /* stopped first */
DEFINE_CLEANUP(struct process *, process_free)
