/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/run.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/file.h"

#define PATH_FIXED "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

char *run_find(const char *program)
{
	_cleanup_strv_ struct strv folders = STRV_NULL;

	if (strchr(program, '/'))
		return access(program, X_OK) == 0 ? str_dup(program) : NULL;
	strv_split(&folders, PATH_FIXED, ":");
	for (size_t i = 0; i < folders.n_items; i++) {
		_cleanup_free_ char *path = str_printf("%s/%s", folders.items[i], program);

		if (access(path, X_OK) == 0)
			return take_ptr(path);
	}
	return NULL;
}

#define STOP_SECONDS 5u /* between asking a program to end and killing it */

static int interrupt_pipe[2] = { -1, -1 };
static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
	int saved = errno;

	(void)signal_number;
	interrupted = 1;
	(void)!write(interrupt_pipe[1], "", 1);
	errno = saved;
}

void run_catch_interrupts(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

	if (interrupt_pipe[0] >= 0 || pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &action, NULL);
}

bool run_interrupted(void)
{
	return interrupted;
}

void run_resume(void)
{
	char bytes[16];

	interrupted = 0;
	while (interrupt_pipe[0] >= 0 && read(interrupt_pipe[0], bytes, sizeof(bytes)) > 0)
		;
}

int run_interrupt_fd(void)
{
	return interrupt_pipe[0];
}

enum { PIPE_IN, PIPE_OUT, PIPE_ERR, N_PIPES };

struct child {
	pid_t pid;
	int fds[N_PIPES]; /* our ends; -1 when closed or not piped */
	struct strbuf output, errors;
	bool cut; /* there was more than `output` takes */
	struct secret *secret; /* where stdout goes instead, or NULL */
	const char *input;
	size_t input_size;
};

static void child_deinit(struct child *child)
{
	for (int i = 0; i < N_PIPES; i++)
		closep(&child->fds[i]);
	strbuf_deinit(&child->output);
	strbuf_deinit(&child->errors);
}

static int bind(const char *root, const char *folder, const char *type)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s%s", root, folder);
	return mount(type ? type : folder, path, type, type ? 0 : MS_BIND | MS_REC, NULL);
}

/* Another root with what programs expect there, in mounts that end with the program. */
static int enter_root(const char *root)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    bind(root, "/dev", NULL) < 0 || bind(root, "/proc", NULL) < 0 ||
	    bind(root, "/sys", NULL) < 0 || bind(root, "/run", "tmpfs") < 0 ||
	    bind(root, "/tmp", "tmpfs") < 0)
		return -1;
	return chroot(root) < 0 ? -1 : chdir("/");
}

/* It converses there and is not controlled by it: a program in a group of its own could not be. */
static int use_terminal(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY);

	return fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0 ? -1 : 0;
}

/* After fork: only async-signal-safe calls and exec. Exit 127 means "could not be started". */
static _Noreturn void exec_child(const struct command *c, int in, int out, int err)
{
	_cleanup_strv_ struct strv environment = STRV_NULL;
	sigset_t none;

	if (!(c->flags & RUN_VISIBLE)) /* the terminal serves its foreground group only */
		(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGINT, SIG_DFL);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (in >= 0)
		(void)dup2(in, STDIN_FILENO);
	if (out >= 0)
		(void)dup2(out, STDOUT_FILENO);
	if (err >= 0)
		(void)dup2(err, STDERR_FILENO);
	if (c->terminal && use_terminal(c->terminal) < 0)
		goto failed;
	(void)close_range(3, ~0U, 0);

	if (c->root && enter_root(c->root) < 0)
		goto failed;
	if (c->folder && chdir(c->folder) < 0)
		goto failed;

	strv_add_all(&environment, "PATH=" PATH_FIXED, "LC_ALL=C", "TERM=dumb", "HOME=/root",
		     "DEBIAN_FRONTEND=noninteractive", NULL);
	for (const char *const *e = c->environment; e && *e; e++)
		strv_add(&environment, *e);
	(void)setenv("PATH", PATH_FIXED, 1);
	(void)execvpe(c->argv[0], (char *const *)c->argv, environment.items);
failed:
	(void)dprintf(STDERR_FILENO, "%s: %s\n", c->argv[0], strerror(errno));
	_exit(127);
}

static int open_pipes(int pipes[N_PIPES][2])
{
	for (int i = 0; i < N_PIPES; i++)
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

static int child_start(struct child *child, const struct command *c)
{
	int pipes[N_PIPES][2] = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
	bool visible = c->flags & RUN_VISIBLE;
	int r = visible ? 0 : open_pipes(pipes);

	if (r == 0) {
		child->pid = fork();
		if (child->pid == 0)
			exec_child(c, pipes[PIPE_IN][0], pipes[PIPE_OUT][1], pipes[PIPE_ERR][1]);
		if (child->pid < 0)
			r = errno == EAGAIN ? -ENOMEM : -errno; /* see run() */
		else if (!visible)
			(void)setpgid(child->pid, child->pid); /* whichever of us is first */
	}
	for (int i = 0; i < N_PIPES; i++) {
		closep(&pipes[i][i == PIPE_IN ? 0 : 1]);
		child->fds[i] = pipes[i][i == PIPE_IN ? 1 : 0];
		if (child->fds[i] >= 0)
			(void)fcntl(child->fds[i], F_SETFL, O_NONBLOCK);
	}
	if (r == 0 && !visible) {
		child->input = c->secret ? c->secret->data : c->input;
		child->input_size = c->secret ? c->secret->size : c->input ? strlen(c->input) : 0;
	}
	return r;
}

static void child_feed(struct child *child)
{
	ssize_t n = write(child->fds[PIPE_IN], child->input, child->input_size);

	if (n > 0) {
		child->input += n;
		child->input_size -= (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		child->input_size = 0;
	}
}

/* Straight into locked memory; what does not fit is dropped. */
static void child_drain_secret(struct child *child, struct secret *into)
{
	size_t room = into->room - into->size;
	char rest;
	ssize_t n = read(child->fds[PIPE_OUT], room ? into->data + into->size : &rest,
			 room ? room : 1);

	if (n > 0 && room)
		into->size += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		closep(&child->fds[PIPE_OUT]), child->fds[PIPE_OUT] = -1;
	while (n == 0 && into->size && into->data[into->size - 1] == '\n')
		into->data[--into->size] = '\0';
}

static void child_drain(struct child *child, int which, struct strbuf *into)
{
	char chunk[16384];
	ssize_t n = read(child->fds[which], chunk, sizeof(chunk));

	if (n > 0 && into->size < RUN_OUTPUT_MAX)
		strbuf_add_bytes(into, chunk, (size_t)n);
	else if (n > 0)
		child->cut |= which == PIPE_OUT;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		closep(&child->fds[which]), child->fds[which] = -1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Feed and drain until both outputs are closed. -ETIMEDOUT at the deadline, -EINTR. */
static int child_converse(struct child *child, int64_t deadline)
{
	while (child->fds[PIPE_OUT] >= 0 || child->fds[PIPE_ERR] >= 0) {
		struct pollfd fds[N_PIPES + 1] = {
			{ .fd = child->fds[PIPE_IN], .events = POLLOUT },
			{ .fd = child->fds[PIPE_OUT], .events = POLLIN },
			{ .fd = child->fds[PIPE_ERR], .events = POLLIN },
			{ .fd = interrupt_pipe[0], .events = POLLIN },
		};
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return -ETIMEDOUT;
		if (!child->input_size && child->fds[PIPE_IN] >= 0) {
			closep(&child->fds[PIPE_IN]);
			child->fds[PIPE_IN] = fds[PIPE_IN].fd = -1;
		}
		if (poll(fds, N_PIPES + 1, (int)MIN_OF(left, 1000)) < 0 && errno != EINTR)
			return -errno;
		if (interrupted)
			return -EINTR;
		if (fds[PIPE_IN].revents)
			child_feed(child);
		if (fds[PIPE_OUT].revents)
			child->secret ? child_drain_secret(child, child->secret) :
					child_drain(child, PIPE_OUT, &child->output);
		if (fds[PIPE_ERR].revents)
			child_drain(child, PIPE_ERR, &child->errors);
	}
	return 0;
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* True when it has ended, and waits `ms` at most for it; the process stays to be reaped. */
static bool has_ended(pid_t pid, int64_t ms)
{
	int64_t deadline = now_ms() + ms;

	for (;;) {
		siginfo_t info = { .si_pid = 0 };

		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		    info.si_pid)
			return true;
		if (now_ms() >= deadline)
			return false;
		(void)poll(NULL, 0, 20);
	}
}

/* The whole group, since a program's own children hold what it held. */
static void stop_group(pid_t pid, unsigned seconds)
{
	if (seconds) {
		(void)kill(-pid, SIGTERM);
		(void)has_ended(pid, (int64_t)seconds * 1000);
	}
	(void)kill(-pid, SIGKILL);
}

static int child_end(struct child *child, const struct command *c, int64_t deadline,
		     char **ret_output, char **ret_errors)
{
	int r = child_converse(child, deadline), status;

	if (r)
		stop_group(child->pid, STOP_SECONDS);
	status = reap(child->pid);
	*ret_output = strbuf_take(&child->output);
	*ret_errors = strbuf_take(&child->errors);
	return r ? r : status == 0 && child->cut && c->ret_output ? -EFBIG : status;
}

static int64_t deadline_of(const struct command *c)
{
	return now_ms() + (int64_t)(c->deadline ? c->deadline : RUN_DEADLINE) * 1000;
}

static int start_really(struct runner *runner, const struct command *c, char **ret_output,
			char **ret_errors)
{
	_cleanup_(child_deinit) struct child child = { .fds = { -1, -1, -1 },
						       .secret = c->ret_secret };
	int64_t deadline = deadline_of(c);
	int r = interrupted ? -EINTR : child_start(&child, c);

	(void)runner;
	return r ? r : child_end(&child, c, deadline, ret_output, ret_errors);
}

void runner_init(struct runner *runner)
{
	*runner = (struct runner){ .start = start_really };
}

/* The last lines of what a program said: enough to act on, short enough to read. */
static const char *tail(const char *text)
{
	const char *at = text + strlen(text);

	for (int lines = 0; at > text && lines < 8; at--)
		lines += at[-1] == '\n' && at[0] != '\0';
	return at > text ? at + 1 : at;
}

static int failure(const struct command *c, const char *words, int status, char *errors,
		   struct diag *diag)
{
	if (status == 127 || status == -ENOENT) {
		if (c->flags & RUN_OPTIONAL)
			return -ENOENT;
		return diag_error(diag, -ENOENT, "cannot start '%s': it is not installed",
				  c->argv[0]);
	}
	if (c->flags & RUN_OPTIONAL)
		return status < 0 ? status : -EIO;
	str_trim_end(errors);
	if (status == -ETIMEDOUT)
		return diag_error(diag, status, "'%s' did not end in time and was stopped", words);
	if (status == -EFBIG)
		return diag_error(diag, status, "'%s' says more than %d MiB", words,
				  (int)(RUN_OUTPUT_MAX / MIB));
	if (status < 0)
		return diag_error(diag, status, "'%s' was stopped: %s", words, strerror(-status));
	return diag_error(diag, -EIO, "'%s' failed with exit status %d%s%s", words, status,
			  *errors ? ":\n" : "", tail(errors));
}

static char *command_words(const struct command *c)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;

	for (const char *const *a = c->argv; *a; a++)
		strv_add(&argv, *a);
	return strv_join(&argv, " ");
}

int run(struct runner *runner, const struct command *c, struct diag *diag)
{
	_cleanup_free_ char *output = NULL, *errors = NULL, *words = command_words(c);
	int status;

	if (runner->log)
		runner->log(runner->context, words);

	status = runner->start(runner, c, &output, &errors);
	if (!errors)
		errors = str_dup("");
	if (status)
		return failure(c, words, status, is_empty(errors) && output ? output : errors,
			       diag);
	if (c->ret_output)
		*c->ret_output = output ? take_ptr(output) : str_dup("");
	return 0;
}

/* One of those that run side by side. */
struct side {
	struct child child;
	int64_t deadline;
	int r; /* it did not start */
};

/* Its input is small enough for the pipe: nobody else feeds it before it is its turn to be waited for. */
static void side_begin(struct runner *runner, struct side *side, const struct command *c)
{
	_cleanup_free_ char *words = command_words(c);

	if (runner->log)
		runner->log(runner->context, words);
	*side = (struct side){ .child.fds = { -1, -1, -1 }, .deadline = deadline_of(c) };
	side->r = interrupted ? -EINTR : child_start(&side->child, c);
	if (side->r)
		return;
	if (side->child.input_size)
		child_feed(&side->child);
	if (!side->child.input_size) /* a program may read until its input ends */
		closep(&side->child.fds[PIPE_IN]), side->child.fds[PIPE_IN] = -1;
}

static int side_end(struct side *side, const struct command *c)
{
	_cleanup_free_ char *output = NULL, *errors = NULL;
	int r = side->r ? side->r : child_end(&side->child, c, side->deadline, &output, &errors);

	child_deinit(&side->child);
	return r > 0 ? failure(c, "", r, errors, NULL) : r;
}

size_t run_count_processors(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? 1 : (size_t)CPU_COUNT(&set);
}

void run_all(struct runner *runner, const struct command *commands, size_t n, int *results)
{
	size_t n_sides = runner->start == start_really ? MIN_OF(n, run_count_processors()) : 0;
	_cleanup_free_ struct side *sides = mem_alloc((n_sides + 1) * sizeof(*sides));

	for (size_t i = 0; i < n_sides; i++)
		side_begin(runner, &sides[i], &commands[i]);
	for (size_t i = 0; i < n; i++) {
		struct side *side = n_sides ? &sides[i % n_sides] : NULL;

		results[i] = side ? side_end(side, &commands[i]) :
				    run(runner, &commands[i], NULL);
		if (side && i + n_sides < n)
			side_begin(runner, side, &commands[i + n_sides]);
	}
}

int run_words(struct runner *runner, struct diag *diag, const char *program, ...)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;
	const char *word;
	va_list ap;

	strv_add(&argv, program);
	va_start(ap, program);
	while ((word = va_arg(ap, const char *)))
		strv_add(&argv, word);
	va_end(ap);
	return run(runner, &(struct command){ .argv = (const char *const *)argv.items }, diag);
}

int process_start(struct runner *runner, const struct command *c, struct process **ret,
		  struct diag *diag)
{
	_cleanup_(child_deinit) struct child child = { .fds = { -1, -1, -1 } };
	_cleanup_(process_freep) struct process *process = mem_alloc(sizeof(*process));
	_cleanup_free_ char *words = NULL;
	int r;

	*process = (struct process){ .ended = -1, .input = -1, .output = -1, .errors = -1 };
	words = command_words(c);
	if (runner->log)
		runner->log(runner->context, words);
	r = child_start(&child, c);
	if (r)
		return diag_error(diag, r, "cannot start '%s': %s", c->argv[0], strerror(-r));
	process->pid = child.pid;
	process->input = take_fd(&child.fds[PIPE_IN]);
	process->output = take_fd(&child.fds[PIPE_OUT]);
	process->errors = take_fd(&child.fds[PIPE_ERR]);
	process->ended = pidfd_open(process->pid, 0);
	if (process->ended < 0)
		return diag_error(diag, -errno, "cannot watch '%s': %s", c->argv[0],
				  strerror(errno));
	*ret = take_ptr(process);
	return 0;
}

bool process_has_ended(struct process *process)
{
	if (!process->pid)
		return true;
	if (!has_ended(process->pid, 0))
		return false;
	process->status = reap(process->pid);
	process->pid = 0;
	return true;
}

void process_stop(struct process *process, unsigned seconds)
{
	if (process_has_ended(process))
		return;
	stop_group(process->pid, seconds);
	process->status = reap(process->pid);
	process->pid = 0;
}

struct process *process_free(struct process *process)
{
	if (!process)
		return NULL;
	process_stop(process, 0);
	closep(&process->ended);
	closep(&process->input);
	closep(&process->output);
	closep(&process->errors);
	free(process);
	return NULL;
}
