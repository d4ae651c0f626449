/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Runs one script in a virtual machine and ends with its status; what the console shows
 * goes to stdout.
 *
 *   lab --tarball TAR [OPTION]... SCRIPT                in the appliance
 *   lab --tarball TAR [OPTION]... --boot FOLDER SCRIPT  in a machine that a rehearsal kept
 *
 * The script is /cargo/run, beside it are the --file's and the --package (as eyrie.deb). A
 * --disk is made, sparse, when it is not there; writes to an --overlay are thrown away, and
 * so are those to the disks of --boot. A script that ends with status 90 is run again, in the
 * machine started once more with all that was written so far; with 91 the disks of --pull are
 * not there for that start. A machine of --boot that asks for its passphrase more than once fails.
 *
 * A --answer TEXT=WORDS has WORDS typed at its console once TEXT stands there as a prompt; its
 * passphrase, when WORDS are none. They are given in this order, each once, and all of them.
 */

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/file.h"
#include "layout/layout.h"
#include "rehearse/appliance.h"
#include "rehearse/console.h"
#include "rehearse/drill.h"
#include "rehearse/folder.h"
#include "rehearse/machine.h"

#define EXIT_LAB  125 /* it was the lab that failed, not the script */
#define AGAIN	  90
#define PULLED	  91
#define TIMEOUT	  1800
#define DISK_SIZE (1 * GIB)
#define SETTLE	  600u
#define FAULTS_MAX 2 /* of the emulator, in one start */

struct lab {
	const char *cache, *tarball, *package, *boot, *script;
	struct strv disks, overlays, files, without, pull, answers;
	size_t n_answered;	/* of `answers` */
	char *prompt;		/* the answer that is due, and to what */
	struct secret *answer;
	uint64_t timeout;
	bool clock;
	bool bios; /* the machine of --boot starts by one */
	bool emulator_fault; /* vm_tells_emulator_fault() */
	bool fell;	     /* to that */
	int64_t started; /* the machine */
	struct runner runner;
	struct diag diag;
	char *folder;
	struct machine machine;
	size_t n_disks; /* of it, those that are pulled too; 0: none was pulled yet */
	struct vm *vm;
	struct secret *passphrase;
	struct report report;
};

static void lab_deinit(struct lab *lab)
{
	(void)vm_free(lab->vm);
	machine_deinit(&lab->machine);
	(void)secret_free(lab->passphrase);
	(void)secret_free(lab->answer);
	free(lab->prompt);
	report_deinit(&lab->report);
	if (lab->folder)
		folder_remove(lab->folder);
	free(lab->folder);
	strv_deinit(&lab->disks);
	strv_deinit(&lab->overlays);
	strv_deinit(&lab->files);
	strv_deinit(&lab->without);
	strv_deinit(&lab->pull);
	strv_deinit(&lab->answers);
	diag_deinit(&lab->diag);
}

/* disks */

/* "NAME=FILE:SIZE" in its parts; the size is optional. */
static int split_disk(struct lab *lab, const char *text, char **ret_name, char **ret_file,
		      uint64_t *ret_size)
{
	const char *file = strchr(text, '='), *size = file ? strrchr(file, ':') : NULL;

	if (!file || (size && str_to_size(size + 1, ret_size)))
		return diag_error(&lab->diag, -EINVAL, "'%s' is not NAME=FILE[:SIZE]",
				  text);
	*ret_name = str_printf("%.*s", (int)(file - text), text);
	file++;
	*ret_file = size ? str_printf("%.*s", (int)(size - file), file) : str_dup(file);
	return 0;
}

static int add_disk(struct lab *lab, const char *text, bool overlay)
{
	_cleanup_free_ char *name = NULL, *file = NULL;
	uint64_t size = DISK_SIZE;
	struct vm_disk disk;
	int r = split_disk(lab, text, &name, &file, &size);

	if (r)
		return r;
	disk = (struct vm_disk){ .file = file, .serial = name, .format = "raw" };
	if (overlay)
		return machine_add_overlay(&lab->machine, &lab->runner, &disk, lab->folder,
					   &lab->diag);
	if (access(file, F_OK) < 0) {
		_cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

		if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
			return diag_error(&lab->diag, -errno, "cannot make %s: %m", file);
	}
	machine_add_disk(&lab->machine, &disk);
	return 0;
}

static int add_disks(struct lab *lab)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < lab->disks.n_items; i++)
		r = add_disk(lab, lab->disks.items[i], false);
	for (size_t i = 0; r == 0 && i < lab->overlays.n_items; i++)
		r = add_disk(lab, lab->overlays.items[i], true);
	return r;
}

/* To the end of the list, beyond those that the machine has. */
static void pull_disks(struct lab *lab)
{
	struct machine *m = &lab->machine;
	size_t n = 0;

	lab->n_disks = m->n_disks;
	for (size_t i = 0; i < m->n_disks; i++) {
		struct vm_disk disk = m->disks[i];

		if (strv_has(&lab->pull, disk.serial))
			continue;
		m->disks[i] = m->disks[n];
		m->disks[n++] = disk;
	}
	m->n_disks = n;
}

/* what it runs */

static int copy(struct lab *lab, const char *file, const char *folder, const char *name)
{
	const char *slash = strrchr(file, '/');
	_cleanup_free_ char *to = str_printf("%s/%s", folder,
					     name    ? name
					     : slash ? slash + 1
						     : file);

	return run_words(&lab->runner, &lab->diag, "cp", "-L", "--", file, to, NULL);
}

static int make_cargo(struct lab *lab, char **ret)
{
	_cleanup_free_ char *folder = str_printf("%s/cargo", lab->folder);
	_cleanup_free_ char *run = str_printf("%s/run", folder);
	_cleanup_free_ char *image = str_printf("%s/cargo.img", lab->folder);
	int r = file_make_folder(folder, &lab->diag);

	if (r == 0)
		r = copy(lab, lab->script, folder, "run");
	if (r == 0 && chmod(run, 0755) < 0)
		r = diag_error(&lab->diag, -errno, "cannot write %s: %m", run);
	if (r == 0 && lab->package)
		r = copy(lab, lab->package, folder, "eyrie.deb");
	for (size_t i = 0; r == 0 && i < lab->files.n_items; i++)
		r = copy(lab, lab->files.items[i], folder, NULL);
	if (r == 0)
		r = cargo_make(&lab->runner, folder, image, &lab->diag);
	if (r == 0)
		*ret = take_ptr(image);
	return r;
}

/* The first newline ends what the firmware and its boot menu left on that line. */
static const char boot_script[] = "mkdir -p /cargo\n"
				  "mount -o ro /dev/disk/by-id/virtio-cargo /cargo\n"
				  "stty -F /dev/ttyS1 raw -echo\n"
				  "/cargo/run </dev/null >/dev/ttyS0 2>&1\n"
				  "printf '\\n{\"exit\":%s}\\n' $? >/dev/ttyS1\n"
				  "systemctl poweroff --no-block\n";

static int read_passphrase(struct lab *lab)
{
	_cleanup_free_ char *path = str_printf("%s/passphrase", lab->boot);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int r;

	lab->passphrase = secret_new();
	lab->answer = secret_new();
	r = fd < 0 ? -errno : secret_read(lab->passphrase, fd, /* line= */ false);
	return r ? diag_error(&lab->diag, r, "cannot read %s: %s", path, strerror(-r)) : 0;
}

static int add_kept(struct lab *lab)
{
	_cleanup_free_ char *path = str_printf("%s/layout.yaml", lab->boot);
	_cleanup_(layout_freep) struct layout *layout = NULL;
	int r = layout_read(path, &layout, &lab->diag);

	if (r == 0)
		r = read_passphrase(lab);
	if (r)
		return r;
	FOR_EACH_DISK(disk, layout)
	{
		_cleanup_free_ char *file = str_printf("%s/%s.img", lab->boot, disk->name);
		struct vm_disk kept = machine_disk(disk, file, "raw");

		if (r == 0 && !strv_has(&lab->without, disk->name))
			r = machine_add_overlay(&lab->machine, &lab->runner, &kept, lab->folder,
						&lab->diag);
	}
	lab->machine.bios = layout->firmware == FIRMWARE_BIOS || lab->bios;
	machine_add_script(&lab->machine, boot_script, "", true);
	return r;
}

static int gather(struct lab *lab, enum vm_accel *ret_accel)
{
	_cleanup_free_ char *appliance = NULL, *cargo = NULL;
	int r = appliance_make(&lab->runner, LAB_LIBEXEC, lab->cache, lab->tarball,
			       &appliance, &lab->diag);

	if (r == 0)
		r = make_cargo(lab, &cargo);
	if (r)
		return r;
	*ret_accel = vm_find_accel(&lab->runner, appliance, lab->cache);
	if (!lab->boot) {
		machine_add_appliance(&lab->machine, appliance, cargo);
		return add_disks(lab);
	}
	/* After the machine's own: a BIOS starts from its first disk. */
	r = add_kept(lab);
	if (r == 0)
		machine_add_disk(&lab->machine, &(struct vm_disk){ .file = cargo, .serial = "cargo",
								   .format = "raw",
								   .read_only = true });
	return r ? r : add_disks(lab);
}

/* conversing */

/* With --clock each line begins with the seconds since its machine was started. */
static void show_line(void *context, const char *line)
{
	struct lab *lab = context;

	lab->emulator_fault |= vm_tells_emulator_fault(line);
	lab->fell |= lab->emulator_fault && strstr(line, "Kernel panic");
	if (lab->clock)
		(void)printf("[%.3f] ", (double)(vm_now() - lab->started) / 1000);
	(void)printf("%s\n", line);
	(void)fflush(stdout);
}

static void take_report(struct lab *lab, struct strbuf *report)
{
	char *newline;

	while (report->size && (newline = memchr(report->data, '\n', report->size))) {
		size_t used = (size_t)(newline + 1 - report->data);

		*newline = '\0';
		(void)report_add(&lab->report, report->data);
		report->size -= used;
		memmove(report->data, newline + 1, report->size + 1);
	}
}

enum { PROMPT_PASSPHRASE, PROMPT_ANSWER, N_PROMPTS };

/* What its console is asked for next; the words of the answer are the lab's. */
static void set_prompts(struct lab *lab, struct console *console)
{
	size_t size;
	const char *answer;

	console->n_prompts = lab->passphrase ? PROMPT_ANSWER : PROMPT_PASSPHRASE;
	if (!lab->passphrase || lab->n_answered == lab->answers.n_items)
		return;
	answer = lab->answers.items[lab->n_answered];
	size = strcspn(answer, "=");
	free(lab->prompt);
	lab->prompt = str_printf("%.*s", (int)size, answer);
	answer += size + 1;
	lab->answer->size = MIN_OF(strlen(answer), SECRET_MAX);
	memcpy(lab->answer->data, answer, lab->answer->size);
	console->prompts[PROMPT_ANSWER] = (struct console_prompt){
		.text = lab->prompt,
		.answer = *answer ? lab->answer : lab->passphrase,
		.settle = SETTLE,
	};
	console->n_prompts = N_PROMPTS;
}

/* Until the machine is off; 1 when it is. */
static int converse(struct lab *lab, struct console *console)
{
	_cleanup_strbuf_ struct strbuf report = STRBUF_NULL;
	int64_t deadline = vm_now() + (int64_t)lab->timeout * 1000;
	int r = 0;

	while (r == 0 && !lab->fell && vm_now() < deadline) {
		_cleanup_strbuf_ struct strbuf said = STRBUF_NULL;
		const struct console_prompt *prompt;

		r = vm_wait(lab->vm, 200, &said, &report);
		if (said.size)
			console_feed(console, said.data, said.size, vm_now());
		take_report(lab, &report);
		prompt = console_due(console, vm_now());
		if (!prompt)
			continue;
		(void)vm_type(lab->vm, prompt->answer);
		if (lab->clock)
			show_line(lab, "== typed");
		if (prompt != &console->prompts[PROMPT_ANSWER])
			continue;
		lab->n_answered++;
		set_prompts(lab, console);
	}
	return r;
}

static int run_machine(struct lab *lab, enum vm_accel accel)
{
	struct console_prompt prompts[N_PROMPTS] = {
		[PROMPT_PASSPHRASE] = { .text = "enter passphrase for disk",
					.answer = lab->passphrase,
					.settle = SETTLE },
	};
	size_t n_answered = lab->n_answered;
	struct console console;
	int r = machine_start(&lab->machine, &lab->runner, lab->folder, accel, &lab->vm,
			      &lab->diag);

	if (r)
		return r;
	console_init(&console, prompts, 0);
	set_prompts(lab, &console);
	console.on_line = show_line;
	console.context = lab;
	lab->started = vm_now();
	r = converse(lab, &console);
	console_deinit(&console);
	if (lab->fell)
		lab->n_answered = n_answered;
	if (r < 0 || lab->fell)
		return MIN_OF(r, 0);
	if (lab->passphrase && prompts[PROMPT_PASSPHRASE].n_answered != 1)
		return diag_error(&lab->diag, -EIO, "the passphrase was asked for %u times",
				  prompts[PROMPT_PASSPHRASE].n_answered);
	if (lab->report.failure)
		return diag_error(&lab->diag, -EIO, "%s", lab->report.failure);
	if (lab->report.exit < 0)
		return diag_error(&lab->diag, -EIO, "the script did not end%s",
				  r ? "; the machine is off" : " in time");
	return lab->report.exit;
}

static void forget_machine(struct lab *lab)
{
	lab->vm = vm_free(lab->vm);
	report_deinit(&lab->report);
	lab->report = (struct report)REPORT_NULL;
	lab->emulator_fault = lab->fell = false;
}

/* Until the emulator is not at fault; as run_machine(). */
static int insist(struct lab *lab, enum vm_accel accel)
{
	int r = run_machine(lab, accel);

	for (int i = 0; i < FAULTS_MAX && r == 0 && lab->fell; i++) {
		forget_machine(lab);
		r = run_machine(lab, accel);
	}
	return lab->fell ? EXIT_LAB : r;
}

static int run_machines(struct lab *lab, enum vm_accel accel)
{
	int r = insist(lab, accel);

	while (r == AGAIN || r == PULLED) {
		forget_machine(lab);
		if (r == PULLED)
			pull_disks(lab);
		else if (lab->n_disks)
			lab->machine.n_disks = lab->n_disks;
		r = insist(lab, accel);
	}
	if (r == 0 && lab->n_answered < lab->answers.n_items)
		return diag_error(&lab->diag, -EIO, "'%s' was not asked for", lab->prompt);
	return r;
}

/* the command line */

enum {
	OPTION_CACHE,
	OPTION_TARBALL,
	OPTION_PACKAGE,
	OPTION_BOOT,
	OPTION_WITHOUT,
	OPTION_PULL,
	OPTION_DISK,
	OPTION_OVERLAY,
	OPTION_FILE,
	OPTION_ANSWER,
	OPTION_TIMEOUT,
	OPTION_CLOCK,
	OPTION_BIOS,
};

static const struct option options[] = {
	{ "cache", required_argument, NULL, OPTION_CACHE },
	{ "tarball", required_argument, NULL, OPTION_TARBALL },
	{ "package", required_argument, NULL, OPTION_PACKAGE },
	{ "boot", required_argument, NULL, OPTION_BOOT },
	{ "without", required_argument, NULL, OPTION_WITHOUT },
	{ "pull", required_argument, NULL, OPTION_PULL },
	{ "disk", required_argument, NULL, OPTION_DISK },
	{ "overlay", required_argument, NULL, OPTION_OVERLAY },
	{ "file", required_argument, NULL, OPTION_FILE },
	{ "answer", required_argument, NULL, OPTION_ANSWER },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "clock", no_argument, NULL, OPTION_CLOCK },
	{ "bios", no_argument, NULL, OPTION_BIOS },
	{},
};

static int take_option(struct lab *lab, int option)
{
	const char **const texts[] = {
		[OPTION_CACHE] = &lab->cache,
		[OPTION_TARBALL] = &lab->tarball,
		[OPTION_PACKAGE] = &lab->package,
		[OPTION_BOOT] = &lab->boot,
	};
	struct strv *const lists[] = {
		[OPTION_WITHOUT] = &lab->without,
		[OPTION_PULL] = &lab->pull,
		[OPTION_DISK] = &lab->disks,
		[OPTION_OVERLAY] = &lab->overlays,
		[OPTION_FILE] = &lab->files,
		[OPTION_ANSWER] = &lab->answers,
	};

	if (option == OPTION_BIOS) {
		lab->bios = true;
		return 0;
	}
	if (option == OPTION_CLOCK) {
		lab->clock = true;
		return 0;
	}
	if (option == OPTION_TIMEOUT)
		return str_to_u64(optarg, &lab->timeout);
	if (option < 0 || option > OPTION_TIMEOUT)
		return -EINVAL;
	if (option < OPTION_WITHOUT)
		*texts[option] = optarg;
	else
		strv_add(lists[option], optarg);
	return 0;
}

static int take_options(struct lab *lab, int argc, char **argv)
{
	int option, r = 0;

	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		r = take_option(lab, option);
	for (size_t i = 0; r == 0 && i < lab->answers.n_items; i++)
		r = strchr(lab->answers.items[i], '=') ? 0 : -EINVAL;
	if (r || optind + 1 != argc || !lab->tarball) {
		fprintf(stderr, "usage: lab --tarball TAR [--cache FOLDER] [--package DEB] "
				"[--boot FOLDER [--without NAME]...] [--pull NAME]... "
				"[--disk NAME=FILE[:SIZE]]... [--overlay NAME=FILE]... "
				"[--file PATH]... [--answer TEXT=WORDS]... [--timeout SECONDS] [--clock] [--bios] SCRIPT\n");
		return -EINVAL;
	}
	lab->script = argv[optind];
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_(lab_deinit) struct lab lab = {
		.cache = "/var/tmp/eyrie-lab",
		.timeout = TIMEOUT,
		.folder = str_dup("/var/tmp/eyrie-lab-XXXXXX"),
		.report = REPORT_NULL,
	};
	enum vm_accel accel = VM_TCG;
	int r;

	runner_init(&lab.runner);
	if (!mkdtemp(lab.folder) || take_options(&lab, argc, argv))
		return EXIT_LAB;
	run_catch_interrupts();
	r = file_make_folder(lab.cache, &lab.diag);
	if (r == 0)
		r = gather(&lab, &accel);
	if (r == 0)
		r = run_machines(&lab, accel);
	for (size_t i = 0; i < lab.diag.n_items; i++)
		fprintf(stderr, "lab: %s\n", lab.diag.items[i].text);
	return r < 0 ? EXIT_LAB : r;
}
