/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/lane.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/file.h"

/* What a lane tells: a step begins or ends, or a finding. One record of JSON on a line. */
enum told { TOLD_BEGIN, TOLD_END, TOLD_FINDING };

struct message {
	unsigned what; /* enum told */
	uint64_t step;
	uint64_t milliseconds;
	uint64_t level;
	char *text;
	char *hint;
};

static const char *const told_names[] = { "begin", "end", "finding", NULL };

#define AT(member) .offset = offsetof(struct message, member)

static const struct field message_fields[] = {
	{ "what", FIELD_CHOICE, AT(what), .choices = told_names },
	{ "step", FIELD_NUMBER, AT(step) },
	{ "milliseconds", FIELD_NUMBER, AT(milliseconds) },
	{ "level", FIELD_NUMBER, AT(level) },
	{ "text", FIELD_STRING, AT(text) },
	{ "hint", FIELD_STRING, AT(hint) },
};
static const struct record record_message = RECORD(message, message_fields);

struct lane {
	const char *disk;
	pid_t pid;
	int fd;
	struct strbuf unread;
};

/* in the lane */

struct teller {
	int fd;
	const struct step *steps;
};

static void tell(int fd, const struct message *message)
{
	struct json_object *json = record_to_json(&record_message, message);
	_cleanup_free_ char *line = str_printf(
		"%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));

	(void)fd_write_all(fd, line, strlen(line));
	json_object_put(json);
}

static void tell_begin(void *context, const struct step *step)
{
	const struct teller *teller = context;

	tell(teller->fd, &(struct message){ .what = TOLD_BEGIN,
					    .step = (uint64_t)(step - teller->steps) });
}

static void tell_end(void *context, const struct step *step, double seconds)
{
	const struct teller *teller = context;

	tell(teller->fd, &(struct message){ .what = TOLD_END,
					    .step = (uint64_t)(step - teller->steps),
					    .milliseconds = (uint64_t)(seconds * 1000) });
}

static void tell_findings(int fd, const struct diag *diag)
{
	for (size_t i = 0; i < diag->n_items; i++)
		tell(fd, &(struct message){ .what = TOLD_FINDING,
					    .level = diag->items[i].level,
					    .text = diag->items[i].text,
					    .hint = diag->items[i].hint });
}

/* A record lock belongs to one process and ends with it, however it ends. */
static void take_turn(int turn, bool take)
{
	struct flock lock = { .l_type = take ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET };

	while (fcntl(turn, F_SETLKW, &lock) < 0 && errno == EINTR)
		;
}

static _Noreturn void lane_main(const struct apply_context *cxt, const char *disk,
				const struct step *steps, size_t n, int fd, int turn)
{
	struct diag diag = DIAG_NULL;
	struct teller teller = { .fd = fd, .steps = steps };
	const struct apply_events events = { tell_begin, tell_end, &teller };
	struct apply_context own = *cxt;
	int r = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	own.diag = &diag;
	own.events = &events;
	for (size_t i = 0; r == 0 && i < n; i++) {
		bool alone = steps[i].kind == STEP_LUKS_FORMAT;

		if (!streq(steps[i].disk, disk))
			continue;
		if (alone)
			take_turn(turn, true);
		r = apply_step(&own, &steps[i]);
		if (alone)
			take_turn(turn, false);
	}
	tell_findings(fd, &diag);
	_exit(r ? 1 : 0);
}

/* in the parent */

static void hear_finding(struct diag *diag, const struct message *message)
{
	if (message->level == DIAG_ERROR)
		(void)diag_error(diag, 0, "%s", message->text);
	else if (message->level == DIAG_WARNING)
		diag_warning(diag, "%s", message->text);
	else
		diag_note(diag, "%s", message->text);
	if (message->hint)
		diag_hint(diag, "%s", message->hint);
}

static void hear(struct apply_context *cxt, const struct step *steps, const char *line)
{
	struct json_object *json = json_tokener_parse(line);
	struct message message = {};

	if (json && record_from_json(&record_message, &message, json, NULL) == 0) {
		const struct apply_events *events = cxt->events;

		if (message.what == TOLD_FINDING)
			hear_finding(cxt->diag, &message);
		else if (events && message.what == TOLD_BEGIN)
			events->begin(events->context, &steps[message.step]);
		else if (events)
			events->end(events->context, &steps[message.step],
				    (double)message.milliseconds / 1000);
	}
	record_deinit(&record_message, &message);
	json_object_put(json);
}

/* False when the lane has nothing more to say. */
static bool lane_listen(struct apply_context *cxt, struct lane *lane, const struct step *steps)
{
	char chunk[4096];
	ssize_t n = read(lane->fd, chunk, sizeof(chunk));
	char *newline;

	if (n <= 0)
		return n < 0 && errno == EINTR;
	strbuf_add_bytes(&lane->unread, chunk, (size_t)n);
	while ((newline = strchr(lane->unread.data, '\n'))) {
		size_t used = (size_t)(newline + 1 - lane->unread.data);

		*newline = '\0';
		hear(cxt, steps, lane->unread.data);
		lane->unread.size -= used;
		memmove(lane->unread.data, newline + 1, lane->unread.size + 1);
	}
	return true;
}

static void listen_to_all(struct apply_context *cxt, struct lane *lanes, size_t n_lanes,
			  const struct step *steps)
{
	_cleanup_free_ struct pollfd *fds = mem_alloc(n_lanes * sizeof(*fds));
	size_t n_open = n_lanes;

	for (size_t i = 0; i < n_lanes; i++)
		fds[i] = (struct pollfd){ .fd = lanes[i].fd, .events = POLLIN };
	while (n_open) {
		if (poll(fds, n_lanes, -1) < 0)
			continue;
		for (size_t i = 0; i < n_lanes; i++) {
			if (!fds[i].revents || lane_listen(cxt, &lanes[i], steps))
				continue;
			fds[i].fd = -1;
			n_open--;
		}
	}
}

static int lane_start(struct apply_context *cxt, struct lane *lane, const struct step *steps,
		      size_t n, int turn)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return diag_error(cxt->diag, -errno, "cannot make a pipe: %m");
	lane->pid = fork();
	if (lane->pid == 0)
		lane_main(cxt, lane->disk, steps, n, pipes[1], turn);
	(void)close(pipes[1]);
	lane->fd = pipes[0];
	return lane->pid < 0 ? diag_error(cxt->diag, -errno, "cannot start a process: %m") : 0;
}

static int lane_end(struct apply_context *cxt, struct lane *lane)
{
	int status = 0;

	(void)close(lane->fd);
	strbuf_deinit(&lane->unread);
	if (lane->pid <= 0)
		return -EIO;
	while (waitpid(lane->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		return WEXITSTATUS(status) ? -EIO : 0;
	return diag_error(cxt->diag, -EINTR, "the work on disk '%s' was stopped by signal %d",
			  lane->disk, WTERMSIG(status));
}

static size_t distinct_disks(const struct step *steps, size_t n, struct lane *lanes)
{
	size_t n_lanes = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < n_lanes && !streq(lanes[k].disk, steps[i].disk))
			k++;
		if (k == n_lanes)
			lanes[n_lanes++] = (struct lane){ .disk = steps[i].disk, .fd = -1 };
	}
	return n_lanes;
}

int lanes_run(struct apply_context *cxt, const struct step *steps, size_t n)
{
	_cleanup_free_ struct lane *lanes = mem_alloc(n * sizeof(*lanes));
	_cleanup_close_ int turn = memfd_create("eyrie-turn", MFD_CLOEXEC);
	size_t n_lanes = distinct_disks(steps, n, lanes), n_started = 0;
	int r = 0;

	while (r == 0 && n_started < n_lanes)
		r = lane_start(cxt, &lanes[n_started++], steps, n, turn);
	listen_to_all(cxt, lanes, n_started, steps);
	for (size_t i = 0; i < n_started; i++) {
		int q = lane_end(cxt, &lanes[i]);

		r = r ? r : q;
	}
	return r;
}
