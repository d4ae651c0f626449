/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/drill.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/file.h"
#include "rehearse/folder.h"
#include "rehearse/machine.h"

#define FAULTS_MAX  2	/* of the emulator, in one drill */
#define PROMPTS_MAX 12	/* then it asks for ever, and is left alone */
#define OFF_SECONDS 240 /* to switch itself off once everything was reported */

/* What a boot menu says until a key is pressed, and a key by which it goes down. */
static const struct menu {
	const char *waits, *down;
} menus[] = { [false] = { "Boot in ", "j" }, /* systemd-boot */
	      [true] = { "executed automatically in ", "v" } /* GRUB, on a BIOS */ };

/* What systemd-cryptsetup asks on the console, whichever disk is first. */
static const char *const boot_prompts[] = { "enter passphrase for disk" };
static const char *const install_prompts[] = { "Passphrase for ",
					       "The same again: " };

#define BOOT_SETTLE    600u
#define INSTALL_SETTLE 100u

/* Lines after which nothing good can come, in the words of firmware, kernel and systemd. */
static const struct {
	const char *text, *meaning;
} dead_ends[] = {
	{ "Kernel panic - not syncing", "the kernel panicked" },
	{ "BdsDxe: No bootable option", "the firmware found nothing to boot" },
	{ "No bootable device.", "the firmware found nothing to boot" },
	{ "Entering rescue mode...", "GRUB found no /boot" },
	{ "UEFI Interactive Shell", "the firmware found nothing to boot" },
	{ "You are in emergency mode", "it ended in emergency mode" },
	{ "Entering emergency mode", "it ended in emergency mode" },
	{ "Cannot open access to console, the root account is locked",
	  "it ended in emergency mode" },
	{ "Press Enter for emergency shell", "it ended in the initramfs' emergency shell" },
	{ "Dropping to debug shell.", "it ended in the initramfs' emergency shell" },
	{ "Enter 'help' for a list of built-in commands.",
	  "it ended in the initramfs' emergency shell" },
};

/* One drill while it runs. */
struct session {
	const struct drill_context *context;
	const struct drill *drill;
	const struct drill_start *start; /* NULL: an installation */
	struct machine machine;
	struct vm *vm;
	char *folder;
	struct console_prompt prompts[2];
	struct console console;
	struct report report;
	struct strbuf report_line;
	enum { MENU_UNSEEN, MENU_WAITING, MENU_DONE } menu;
	const char *dead_end;
	bool emulator_fault; /* it came to that by */
	unsigned n_faults;   /* so far in this drill */
	char *said;   /* the last line of the console when the report ended */
	bool cutting; /* the power will fail: no phases are told */
	int64_t begun, phase_begun;
	int64_t started; /* this machine */
	int64_t up;	 /* when its appliance was, or the machine itself */
	int64_t plug_at; /* when a disk comes, or 0 */
	struct drill_outcome *outcome;
};

static void session_deinit(struct session *s)
{
	(void)vm_free(s->vm);
	machine_deinit(&s->machine);
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
	machine_add_disk(m, &(struct vm_disk){ .file = c->tarball, .serial = "tarball",
					       .format = "raw", .read_only = true });
	FOR_EACH_DISK(disk, c->layout)
	{
		_cleanup_free_ char *file = str_printf("%s/%s.img", c->disks, disk->name);
		struct vm_disk added = machine_disk(disk, file, "raw");

		machine_add_disk(m, &added);
	}
}

static char *overlay_of(const struct session *s, const char *disk)
{
	return str_printf("%s/%s.qcow2", s->folder, disk);
}

/* Every start of a drill writes to the same ones. */
static int make_overlays(const struct session *s, struct diag *diag)
{
	int r = 0;

	FOR_EACH_DISK(disk, s->context->layout)
	{
		_cleanup_free_ char *file = str_printf("%s/%s.img", s->context->disks, disk->name);
		_cleanup_free_ char *overlay = overlay_of(s, disk->name);

		if (r == 0)
			r = vm_overlay(s->context->runner, file, overlay, diag);
	}
	return r;
}

static int add_boot(const struct session *s, struct machine *m, struct diag *diag)
{
	const struct drill_context *c = s->context;
	const struct drill_start *start = s->start;
	_cleanup_free_ char *path = str_printf("%s/drill-report.sh", c->libexec);
	_cleanup_free_ char *words = str_printf("%s %zu %s", start->whole ? "off" : "stay",
						start - s->drill->starts + 1,
						start->task ? start->task : "");
	_cleanup_strbuf_ struct strbuf script = STRBUF_NULL;
	int r = file_read(path, &script);

	if (r)
		return diag_error(diag, r, "cannot read %s: %s", path, strerror(-r));
	m->bios = start->bios;
	machine_add_script(m, script.data, words, start->whole);
	FOR_EACH_DISK(disk, c->layout)
	{
		_cleanup_free_ char *overlay = overlay_of(s, disk->name);
		struct vm_disk added = machine_disk(disk, overlay, "qcow2");

		m->usb |= added.bus == VM_USB;
		if (!strv_has(&start->without, disk->name))
			machine_add_disk(m, &added);
	}
	return 0;
}

static int start_machine(struct session *s, struct diag *diag)
{
	int r = 0;

	machine_deinit(&s->machine);
	s->machine = (struct machine){};
	if (!s->start)
		add_install(s, &s->machine);
	else
		r = add_boot(s, &s->machine, diag);
	return r ? r
		 : machine_start(&s->machine, s->context->runner, s->folder, s->context->accel,
				 &s->vm, diag);
}

static int plug(struct session *s, struct diag *diag)
{
	_cleanup_free_ char *overlay = overlay_of(s, s->start->plug);
	struct vm_disk disk = machine_disk(layout_disk(s->context->layout, s->start->plug), overlay,
					   "qcow2");

	s->plug_at = 0;
	(void)dprintf(s->console.log, "\n== plugged: %s\n", s->start->plug);
	return vm_plug(s->vm, &disk, diag);
}

/* conversing with it */

static void on_line(void *context, const char *line)
{
	struct session *s = context;

	if (s->menu == MENU_UNSEEN && s->start && strstr(line, menus[s->start->bios].waits))
		s->menu = MENU_WAITING;
	s->emulator_fault |= s->context->accel == VM_TCG && vm_tells_emulator_fault(line);
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
		end_phase(s, s->start ? "to come up" : "to the appliance");
		if (s->start && s->start->when == PLUG_WHEN_UP)
			s->plug_at = s->up;
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

static void type_words(struct session *s, const char *words)
{
	_cleanup_(secret_freep) struct secret *line = secret_new();

	line->size = strlen(words);
	memcpy(line->data, words, line->size);
	(void)vm_type(s->vm, line);
}

/* Once: what is typed after the menu goes to whoever asks next. */
static void choose_entry(struct session *s)
{
	if (!s->start || !s->start->second_entry || s->menu != MENU_WAITING)
		return;
	s->menu = MENU_DONE;
	type_words(s, menus[s->start->bios].down);
}

/* Wrong ones first, where the drill has them. */
static void answer(struct session *s)
{
	const struct console_prompt *prompt;
	unsigned n;

	if (n_prompts(s) >= PROMPTS_MAX)
		return;
	prompt = console_due(&s->console, vm_now());
	if (!prompt)
		return;
	n = n_prompts(s);
	if (n == 1)
		end_phase(s, "to the passphrase");
	if (s->start && n <= s->start->n_wrong) {
		type_words(s, "wrong");
		return;
	}
	(void)vm_type(s->vm, prompt->answer);
	if (s->start && s->start->when == PLUG_AFTER_PASSPHRASE && !s->plug_at)
		s->plug_at = vm_now() + PLUG_SECONDS * 1000;
}

/* One round of reading and answering, until `deadline` at most. As vm_wait(). */
static int take_turn(struct session *s, int64_t deadline, struct diag *diag)
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
	choose_entry(s);
	answer(s);
	if (r == 0 && s->plug_at && vm_now() >= s->plug_at)
		r = plug(s, diag);
	return r;
}

/* Until the machine is off, everything was said, or the time is over. */
static int converse(struct session *s, bool until_off, int64_t deadline, struct diag *diag)
{
	while (vm_now() < deadline) {
		int r = take_turn(s, deadline, diag);

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
			  !s->start	 ? "did not finish"
			  : n_prompts(s) ? "took the passphrase but did not come up"
					 : "did not ask for the passphrase",
			  s->drill->deadline, last);
}

/* What a program said last is why it failed, most often. */
static char *with_last_words(const struct session *s, char *reason)
{
	char *longer;

	if (!reason || s->start || is_empty(s->said))
		return reason;
	longer = str_printf("%s; its last line was: %s", reason, s->said);
	free(reason);
	return longer;
}

/* NULL when it is as it must be. */
static char *judge(const struct session *s, bool off)
{
	char *reason;

	if (!s->report.done)
		reason = why_not_done(s);
	else if (s->start)
		reason = drill_judge_start(s->start, &s->report, n_prompts(s));
	else
		reason = drill_judge_install(&s->report);
	if (s->report.done)
		reason = with_last_words(s, reason);
	if (!reason && s->start && s->start->whole && !off)
		reason = str_printf("the machine did not switch itself off within %u s",
				    OFF_SECONDS);
	return reason;
}

/* Of several starts, the one that went wrong is named. */
static void conclude(struct session *s, char *reason)
{
	if (reason && s->drill->n_starts > 1)
		s->outcome->reason = str_printf("start %zu: %s", s->start - s->drill->starts + 1,
						reason);
	else
		s->outcome->reason = str_dup(reason);
	free(reason);
	s->outcome->verdict = s->outcome->reason ? DRILL_FAILED : DRILL_PASSED;
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
	s->menu = MENU_UNSEEN;
	s->dead_end = NULL;
	s->emulator_fault = false;
	s->up = s->plug_at = 0;
	s->started = vm_now();
	if (!s->start)
		set_prompts(s, install_prompts, ARRAY_SIZE(install_prompts),
			    INSTALL_SETTLE);
	else
		set_prompts(s, boot_prompts, ARRAY_SIZE(boot_prompts), BOOT_SETTLE);
	return start_machine(s, diag);
}

/* Nothing that was rehearsed had a part in it: whoever asks starts the machine again. */
static bool fell_to_emulator(struct session *s)
{
	if (!s->dead_end || !s->emulator_fault || s->n_faults == FAULTS_MAX)
		return false;
	s->n_faults++;
	s->vm = vm_free(s->vm);
	(void)dprintf(s->console.log, "\n== a fault of the emulator: started again\n");
	return true;
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
			r = machine_make_disk(disk, file, diag);
	}
	return r;
}

/* Until `moment` after the appliance came up. As vm_wait(). */
static int converse_until(struct session *s, int64_t moment, struct diag *diag)
{
	int64_t deadline = s->started + (int64_t)s->drill->deadline * 1000;

	while (vm_now() < (s->up ? s->up + moment : deadline)) {
		int r = take_turn(s, s->up ? s->up + moment : deadline, diag);

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
	int r;

	do {
		r = start_session(s, diag);
		if (r == 0)
			r = converse_until(s, moment, diag);
	} while (r >= 0 && fell_to_emulator(s));
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

/*
 * From power on to the end of the report, and of the machine where that belongs to it. As
 * vm_wait().
 */
static int run_once(struct session *s, struct diag *diag)
{
	int r;

	do {
		r = start_session(s, diag);
		if (r == 0)
			r = converse(s, false, s->started + (int64_t)s->drill->deadline * 1000,
				     diag);
	} while (r >= 0 && fell_to_emulator(s));
	if (r == 0 && s->report.done) {
		s->outcome->work = seconds_since(s->up);
		end_phase(s, s->start ? "to come up" : "to install");
		if (!s->start || s->start->whole) {
			r = converse(s, true, vm_now() + OFF_SECONDS * 1000, diag);
			end_phase(s, "to switch off");
		}
	}
	return r;
}

static void note_errors(const struct session *s)
{
	if (s->vm && s->vm->errors.size)
		(void)dprintf(s->console.log, "\n== QEMU: %s\n", s->vm->errors.data);
}

static int run_install(struct session *s, struct diag *diag)
{
	int r = s->drill->n_cuts ? cut_powers(s, diag) : 0;

	if (r == 0 && !s->vm)
		r = run_once(s, diag);
	if (r < 0)
		return r;
	note_errors(s);
	conclude(s, judge(s, r == 1));
	return 0;
}

static int run_starts(struct session *s, struct diag *diag)
{
	char *reason = NULL;
	int r = make_overlays(s, diag);

	for (size_t i = 0; r == 0 && !reason && i < s->drill->n_starts; i++) {
		s->start = &s->drill->starts[i];
		(void)dprintf(s->console.log, "\n== start %zu\n", i + 1);
		r = run_once(s, diag);
		if (r < 0)
			return r;
		reason = judge(s, r == 1);
		note_errors(s);
		s->vm = vm_free(s->vm);
		r = 0;
	}
	if (r == 0)
		conclude(s, reason);
	return r;
}

static int run_session(struct session *s, struct diag *diag)
{
	return s->drill->kind == DRILL_INSTALL ? run_install(s, diag) : run_starts(s, diag);
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
