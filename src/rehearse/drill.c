/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/drill.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "rehearse/folder.h"
#include "rehearse/machine.h"

#define PROMPTS_MAX 6	/* then it asks for ever, and is left alone */
#define OFF_SECONDS 240 /* to switch itself off once everything was reported */

/* What systemd-cryptsetup asks on the console, whichever disk is first. */
static const char *const boot_prompts[] = { "enter passphrase for disk" };
static const char *const install_prompts[] = { "Passphrase for the disks: ",
					       "The same again: " };

#define BOOT_SETTLE    600u
#define INSTALL_SETTLE 100u

/* Lines after which nothing good can come, in the words of firmware, kernel and systemd. */
static const struct {
	const char *text, *meaning;
} dead_ends[] = {
	{ "Kernel panic - not syncing", "the kernel panicked" },
	{ "BdsDxe: No bootable option", "the firmware found nothing to boot" },
	{ "UEFI Interactive Shell", "the firmware found nothing to boot" },
	{ "You are in emergency mode", "it ended in emergency mode" },
	{ "Entering emergency mode", "it ended in emergency mode" },
	{ "Cannot open access to console, the root account is locked",
	  "it ended in emergency mode" },
	{ "Press Enter for emergency shell", "it ended in the initramfs' emergency shell" },
};

/* One drill while it runs. */
struct session {
	const struct drill_context *context;
	const struct drill *drill;
	struct vm *vm;
	char *folder;
	struct console_prompt prompts[2];
	struct console console;
	struct report report;
	struct strbuf report_line;
	const char *dead_end;
	char *said;   /* the last line of the console when the report ended */
	bool cutting; /* the power will fail: no phases are told */
	int64_t begun, phase_begun;
	int64_t started; /* this machine */
	int64_t up;	 /* when its appliance was */
	struct drill_outcome *outcome;
};

static void session_deinit(struct session *s)
{
	(void)vm_free(s->vm);
	closep(&s->console.log);
	console_deinit(&s->console);
	report_deinit(&s->report);
	strbuf_deinit(&s->report_line);
	free(s->said);
	if (s->folder)
		folder_remove(s->folder);
	free(s->folder);
}

static double seconds_since(int64_t then)
{
	return (double)(vm_now() - then) / 1000.0;
}

static void end_phase(struct session *s, const char *name)
{
	struct drill_outcome *o = s->outcome;

	if (s->cutting || o->n_phases == ARRAY_SIZE(o->phases))
		return;
	o->phases[o->n_phases++] =
		(struct drill_phase){ name, seconds_since(s->phase_begun) };
	s->phase_begun = vm_now();
}

static unsigned n_prompts(const struct session *s)
{
	unsigned n = 0;

	for (size_t i = 0; i < s->console.n_prompts; i++)
		n += s->console.prompts[i].n_answered;
	return n;
}

/* what the machine is made of */

static void add_install(const struct session *s, struct machine *m)
{
	const struct drill_context *c = s->context;

	machine_add_appliance(m, c->appliance, c->cargo);
	machine_add_disk(m, c->tarball, "tarball", "raw", true);
	FOR_EACH_DISK(disk, c->layout)
	{
		_cleanup_free_ char *file = str_printf("%s/%s.img", c->disks, disk->name);

		machine_add_disk(m, file, disk->name, "raw", false);
	}
}

static int add_boot(const struct session *s, struct machine *m, struct diag *diag)
{
	const struct drill_context *c = s->context;
	_cleanup_free_ char *path = str_printf("%s/drill-report.sh", c->libexec);
	_cleanup_strbuf_ struct strbuf script = STRBUF_NULL;
	int r = file_read(path, &script);

	if (r)
		return diag_error(diag, r, "cannot read %s: %s", path, strerror(-r));
	machine_add_script(m, script.data, s->drill->whole ? "off" : "stay",
			   s->drill->whole);
	FOR_EACH_DISK(disk, c->layout)
	{
		_cleanup_free_ char *file = str_printf("%s/%s.img", c->disks, disk->name);

		if (r == 0 && !strv_has(&s->drill->without, disk->name))
			r = machine_add_overlay(m, c->runner, file, disk->name, s->folder,
						diag);
	}
	return r;
}

static int start_machine(struct session *s, struct diag *diag)
{
	_cleanup_(machine_deinit) struct machine m = {};
	int r = 0;

	if (s->drill->kind == DRILL_INSTALL)
		add_install(s, &m);
	else
		r = add_boot(s, &m, diag);
	return r ? r
		 : machine_start(&m, s->context->runner, s->folder, s->context->accel,
				 &s->vm, diag);
}

/* conversing with it */

static void on_line(void *context, const char *line)
{
	struct session *s = context;

	for (size_t i = 0; i < ARRAY_SIZE(dead_ends) && !s->dead_end; i++)
		if (strstr(line, dead_ends[i].text))
			s->dead_end = dead_ends[i].meaning;
	if (s->context->on_line)
		s->context->on_line(s->context->context, line);
}

static void set_prompts(struct session *s, const char *const *texts, size_t n,
			unsigned settle)
{
	int log = s->console.log;

	for (size_t i = 0; i < n; i++)
		s->prompts[i] = (struct console_prompt){
			.text = texts[i],
			.answer = s->context->passphrase,
			.settle = settle,
		};
	console_init(&s->console, s->prompts, n);
	s->console.log = log;
	s->console.on_line = on_line;
	s->console.context = s;
}

static void take_report_line(struct session *s, char *line)
{
	bool was_up = s->report.up;

	str_trim_end(line);
	if (report_add(&s->report, line) || s->console.log < 0)
		return;
	(void)dprintf(s->console.log, "\n== reported: %s\n", line);
	if (s->report.done && !s->said)
		s->said = str_dup(console_last_line(&s->console));
	if (s->report.up && !was_up) {
		s->up = vm_now();
		end_phase(s, "to the appliance");
	}
}

static void take_report(struct session *s, const struct strbuf *bytes)
{
	for (size_t i = 0; i < bytes->size; i++) {
		_cleanup_free_ char *line = NULL;

		if (bytes->data[i] != '\n') {
			strbuf_add_bytes(&s->report_line, &bytes->data[i], 1);
			continue;
		}
		line = strbuf_take(&s->report_line);
		take_report_line(s, line);
	}
}

static void answer(struct session *s)
{
	const struct console_prompt *prompt;

	if (n_prompts(s) >= PROMPTS_MAX)
		return;
	prompt = console_due(&s->console, vm_now());
	if (!prompt)
		return;
	if (n_prompts(s) == 1)
		end_phase(s, "to the passphrase");
	(void)vm_type(s->vm, prompt->answer);
}

/* One round of reading and answering, until `deadline` at most. As vm_wait(). */
static int take_turn(struct session *s, int64_t deadline)
{
	_cleanup_strbuf_ struct strbuf console = STRBUF_NULL, report = STRBUF_NULL;
	int64_t now = vm_now();
	int delay = console_delay(&s->console, now);
	int64_t wait = MIN_OF(MAX_OF(deadline - now, 0), 1000);
	int r;

	r = vm_wait(s->vm, (int)(delay < 0 ? wait : MIN_OF(wait, delay)), &console,
		    &report);
	if (console.size)
		console_feed(&s->console, console.data, console.size, vm_now());
	take_report(s, &report);
	answer(s);
	return r;
}

/* Until the machine is off, everything was said, or the time is over. */
static int converse(struct session *s, bool until_off, int64_t deadline)
{
	while (vm_now() < deadline) {
		int r = take_turn(s, deadline);

		if (r)
			return r;
		if (s->dead_end || (s->report.done && !until_off))
			return 0;
	}
	return 0;
}

/* what came of it */

static char *why_not_done(const struct session *s)
{
	const char *last = console_last_line(&s->console);

	if (s->dead_end)
		return str_printf("%s; its last line was: %s", s->dead_end, last);
	if (process_has_ended(s->vm->process))
		return str_printf(
			"the machine switched itself off before it was up; its last "
			"line was: %s",
			last);
	return str_printf("the machine %s within %u s; its last line was: %s",
			  s->drill->kind == DRILL_INSTALL ? "did not finish"
			  : n_prompts(s) ? "took the passphrase but did not come up"
					 : "did not ask for the passphrase",
			  s->drill->deadline, last);
}

/* What a program said last is why it failed, most often. */
static char *with_last_words(const struct session *s, char *reason)
{
	char *longer;

	if (!reason || s->drill->kind != DRILL_INSTALL || is_empty(s->said))
		return reason;
	longer = str_printf("%s; its last line was: %s", reason, s->said);
	free(reason);
	return longer;
}

static void judge(struct session *s, bool off)
{
	char *reason = NULL;

	if (!s->report.done)
		reason = why_not_done(s);
	if (!reason)
		reason =
			with_last_words(s, drill_judge(s->drill, &s->report, n_prompts(s)));
	if (!reason && s->drill->whole && !off)
		reason = str_printf("the machine did not switch itself off within %u s",
				    OFF_SECONDS);
	s->outcome->reason = reason;
	s->outcome->verdict = reason ? DRILL_FAILED : DRILL_PASSED;
	s->outcome->seconds = seconds_since(s->begun);
}

/* A machine begins, and what the last one said is forgotten. */
static int start_session(struct session *s, struct diag *diag)
{
	console_deinit(&s->console);
	report_deinit(&s->report);
	strbuf_deinit(&s->report_line);
	free(s->said);
	s->report = (struct report)REPORT_NULL;
	s->report_line = (struct strbuf)STRBUF_NULL;
	s->said = NULL;
	s->dead_end = NULL;
	s->up = 0;
	s->started = vm_now();
	if (s->drill->kind == DRILL_INSTALL)
		set_prompts(s, install_prompts, ARRAY_SIZE(install_prompts),
			    INSTALL_SETTLE);
	else
		set_prompts(s, boot_prompts, ARRAY_SIZE(boot_prompts), BOOT_SETTLE);
	return start_machine(s, diag);
}

/* power cuts */

/*
 * The moment of a cut, milliseconds after the appliance is up. Multiples of the golden
 * ratio, modulo 1, are spread evenly however many are taken; the seed says where they
 * begin.
 */
static int64_t cut_moment(const struct drill_context *context, unsigned number)
{
	uint64_t x = context->seed + UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	x += (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
	return (int64_t)((double)(x >> 11) * 0x1p-53 * context->work * 1000);
}

static int blank_disks(const struct drill_context *c, struct diag *diag)
{
	int r = 0;

	FOR_EACH_DISK(disk, c->layout)
	{
		_cleanup_free_ char *file = str_printf("%s/%s.img", c->disks, disk->name);

		if (r == 0)
			r = vm_blank_disk(file, disk->size, diag);
	}
	return r;
}

/* Until `moment` after the appliance came up. As vm_wait(). */
static int converse_until(struct session *s, int64_t moment)
{
	int64_t deadline = s->started + (int64_t)s->drill->deadline * 1000;

	while (vm_now() < (s->up ? s->up + moment : deadline)) {
		int r = take_turn(s, s->up ? s->up + moment : deadline);

		if (r || s->report.done)
			return r;
	}
	return 0;
}

static bool has_ended_well(const struct session *s)
{
	return s->report.done && !s->report.exit && !s->report.failure;
}

/*
 * Start the installation, and cut the power at `moment` if it has not ended before. What
 * the guest has written so far stays; what it held in memory, and every request that it had
 * not sent yet, is lost: a drive that keeps its promises, without the power to keep more.
 * Without a machine afterwards, all is well; else it went wrong by itself, and is judged.
 */
static int cut_once(struct session *s, int64_t moment, struct diag *diag)
{
	int r = start_session(s, diag);

	if (r == 0)
		r = converse_until(s, moment);
	if (r < 0)
		return r;
	if (r == 0 && s->up && !s->report.done)
		r = vm_cut(s->vm, diag);
	else if (!has_ended_well(s))
		return 0;
	s->vm = vm_free(s->vm);
	return MIN_OF(r, 0);
}

/*
 * One cut that falls into an installation: when that ends before the cut, it begins anew
 * with blank disks, and after that earlier each time.
 */
static int cut_power(struct session *s, unsigned number, struct diag *diag)
{
	int64_t moment = cut_moment(s->context, number - 1);
	bool blank = false;
	int r = cut_once(s, moment, diag);

	while (r == 0 && !s->vm && s->report.done) {
		(void)dprintf(s->console.log,
			      "\n== done before cut %u: blank disks again\n", number);
		r = blank_disks(s->context, diag);
		moment = blank ? moment / 2 : moment;
		blank = true;
		if (r == 0)
			r = cut_once(s, moment, diag);
	}
	if (r == 0 && !s->vm)
		(void)dprintf(s->console.log, "\n== cut %u of %u, after %.1f s\n", number,
			      s->drill->n_cuts, (double)moment / 1000);
	return r;
}

static int cut_powers(struct session *s, struct diag *diag)
{
	int r = blank_disks(s->context, diag);

	(void)dprintf(s->console.log, "== seed %llu\n",
		      (unsigned long long)s->context->seed);
	s->cutting = true;
	for (unsigned i = 0; r == 0 && !s->vm && i < s->drill->n_cuts; i++)
		r = cut_power(s, i + 1, diag);
	s->cutting = false;
	end_phase(s, "to the last cut");
	return r;
}

/* From power on to the end of the report, and of the machine where that belongs to it. */
static int run_whole(struct session *s, struct diag *diag)
{
	bool install = s->drill->kind == DRILL_INSTALL;
	int r = start_session(s, diag);

	if (r == 0)
		r = converse(s, false, s->started + (int64_t)s->drill->deadline * 1000);
	if (r == 0 && s->report.done) {
		s->outcome->work = seconds_since(s->up);
		end_phase(s, install ? "to install" : "to come up");
		if (install || s->drill->whole) {
			r = converse(s, true, vm_now() + OFF_SECONDS * 1000);
			end_phase(s, "to switch off");
		}
	}
	return r;
}

static int run_session(struct session *s, struct diag *diag)
{
	int r = s->drill->n_cuts ? cut_powers(s, diag) : 0;

	if (r == 0 && !s->vm)
		r = run_whole(s, diag);
	if (r < 0)
		return r;
	if (s->vm->errors.size)
		(void)dprintf(s->console.log, "\n== QEMU: %s\n", s->vm->errors.data);
	judge(s, r == 1);
	return 0;
}

static int open_log(struct session *s, struct diag *diag)
{
	char *path = str_printf("%s/%s.log", s->context->logs, s->drill->name);

	for (char *c = strrchr(path, '/'); *c; c++)
		if (*c == ' ')
			*c = '-';
	s->outcome->log = path;
	s->console.log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (s->console.log < 0)
		return diag_error(diag, -errno, "cannot write %s: %s", path,
				  strerror(errno));
	return 0;
}

int drill_run(const struct drill_context *context, const struct drill *drill,
	      struct drill_outcome *ret, struct diag *diag)
{
	_cleanup_(session_deinit) struct session s = {
		.context = context,
		.drill = drill,
		.console = { .log = -1 },
		.report = REPORT_NULL,
		.outcome = ret,
	};
	int r;

	*ret = (struct drill_outcome){};
	s.begun = s.phase_begun = vm_now();
	s.folder = str_printf("%s/drill", context->scratch);
	folder_remove(s.folder);
	r = file_make_folder(s.folder, diag);
	if (r == 0)
		r = open_log(&s, diag);
	return r ? r : run_session(&s, diag);
}
