/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/rehearse.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/file.h"
#include "rehearse/appliance.h"
#include "rehearse/folder.h"
#include "rehearse/machine.h"

#define PASSPHRASE_SIZE 20u

#define MENU_WAIT	5u /* seconds at least: a drill presses a key in the boot menu */
#define EMULATED_WAIT	3 /* times: emulation is slow, and the host may be busy */

/* A passphrase of a rehearsal guards nothing: its KDF may cost a few milliseconds. */
#define KDF_MEMORY     (32 * MIB)
#define KDF_ITERATIONS 4u

struct rehearsal {
	struct runner *runner;
	const struct rehearse_options *options;
	struct layout *layout; /* adapted */
	struct diag *diag;
	struct secret *passphrase;
	struct drills drills;
	char *folder;  /* disks and what belongs to them */
	char *cut;     /* disks whose power is cut */
	char *scratch; /* removed in any case */
	char *appliance;
	char *logs;
	char *cargo;
	enum vm_accel accel;
	double work; /* seconds that the ordinary installation took */
};

static void rehearsal_deinit(struct rehearsal *r)
{
	if (r->scratch)
		folder_remove(r->scratch);
	(void)layout_free(r->layout);
	(void)secret_free(r->passphrase);
	drills_deinit(&r->drills);
	free(r->folder);
	free(r->cut);
	free(r->scratch);
	free(r->appliance);
	free(r->logs);
	free(r->cargo);
}

/* the layout */

struct layout *rehearse_adapt(const struct layout *layout, enum vm_accel accel)
{
	struct layout *copy = mem_alloc(sizeof(*copy));
	struct layout_disk *disks;

	record_copy(&record_layout, copy, layout);
	disks = copy->disks.items;
	for (size_t i = 0; i < copy->disks.n_items; i++) {
		char *path = machine_disk_path(&disks[i]);

		free(disks[i].path);
		disks[i].path = path;
		if (!disks[i].size)
			disks[i].size = REHEARSE_DISK_SIZE;
	}
	copy->encryption.kdf.type = KDF_ARGON2ID;
	copy->encryption.kdf.memory = KDF_MEMORY;
	copy->encryption.kdf.iterations = KDF_ITERATIONS;
	copy->boot.timeout = MAX_OF(copy->boot.timeout, MENU_WAIT);
	if (accel == VM_TCG) {
		copy->boot.device_timeout *= EMULATED_WAIT;
		copy->boot.window *= EMULATED_WAIT;
	}
	if (layout_has_system(layout)) {
		layout_drop_source(copy);
		str_set(&copy->system.tarball, VM_VIRTIO_ID "tarball");
	}
	return copy;
}

/* files of the rehearsal */

static int make_passphrase(struct rehearsal *r)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	unsigned char bytes[PASSPHRASE_SIZE];
	struct secret *secret = secret_new();

	if (!secret)
		return diag_error(r->diag, -ENOMEM, "no memory for a passphrase");
	r->passphrase = secret;
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return diag_error(r->diag, -EIO, "no random numbers to be had");
	for (size_t i = 0; i < sizeof(bytes); i++)
		secret->data[i] = letters[bytes[i] & 63];
	secret->size = sizeof(bytes);
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

/* The one place where a passphrase is in a file: that of the rehearsal, next to its disks.
 */
static int write_passphrase(struct rehearsal *r)
{
	_cleanup_free_ char *path = str_printf("%s/passphrase", r->folder);
	_cleanup_close_ int fd = -1;
	int q;

	(void)unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	q = fd < 0 ? -errno : fd_write_all(fd, r->passphrase->data, r->passphrase->size);
	return q ? diag_error(r->diag, q, "cannot write %s: %s", path, strerror(-q)) : 0;
}

static int make_disk(struct rehearsal *r, const struct layout_disk *disk)
{
	_cleanup_free_ char *path = str_printf("%s/%s.img", r->folder, disk->name);

	return machine_make_disk(disk, path, r->diag);
}

static int write_file(struct rehearsal *r, const char *folder, const char *name,
		      const char *text, mode_t mode)
{
	_cleanup_free_ char *path = str_printf("%s/%s", folder, name);

	return file_replace(path, text, mode, r->diag);
}

static int make_files(struct rehearsal *r)
{
	_cleanup_free_ char *text = layout_dump(r->layout);
	int q = make_passphrase(r);

	if (q == 0)
		q = write_passphrase(r);
	if (q == 0)
		q = write_file(r, r->folder, "layout.yaml", text, 0644);
	FOR_EACH_DISK(disk, r->layout)
	if (q == 0)
		q = make_disk(r, disk);
	return q;
}

/* what the appliance does, as a disk */

/* A USB disk is found seconds after its controller was. One that never comes is told by the installation. */
static char *make_run(const struct layout *layout)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, "#!/bin/sh\n"
		       "# What the appliance runs: the target's own package, then the installation.\n"
		       "set -e\n"
		       "udevadm wait --settle --timeout=60");
	FOR_EACH_DISK(disk, layout)
		strbuf_printf(&b, " %s", disk->path);
	strbuf_add(&b, " || true\n"
		       "dpkg-deb -x /cargo/eyrie.deb /\n"
		       "ldconfig\n"
		       "exec eyrie install /cargo/layout.yaml --deb /cargo/eyrie.deb --yes\n");
	return strbuf_take(&b);
}

static int copy_package(struct rehearsal *r, const char *into)
{
	_cleanup_free_ char *to = str_printf("%s/eyrie.deb", into);

	if (access(r->options->package, R_OK) < 0)
		return diag_error(r->diag, -errno, "cannot read the package %s: %s",
				  r->options->package, strerror(errno));
	return run_words(r->runner, r->diag, "cp", "--", r->options->package, to, NULL);
}

static int make_cargo(struct rehearsal *r)
{
	_cleanup_free_ char *folder = str_printf("%s/cargo", r->scratch);
	_cleanup_free_ char *text = layout_dump(r->layout), *script = make_run(r->layout);
	int q = file_make_folder(folder, r->diag);

	r->cargo = str_printf("%s/cargo.img", r->scratch);
	if (q == 0)
		q = write_file(r, folder, "layout.yaml", text, 0644);
	if (q == 0)
		q = write_file(r, folder, "run", script, 0755);
	if (q == 0)
		q = copy_package(r, folder);
	return q ? q : cargo_make(r->runner, folder, r->cargo, r->diag);
}

static int find_appliance(struct rehearsal *r)
{
	int q = appliance_make(r->runner, r->options->libexec, r->options->cache,
			       r->options->tarball, &r->appliance, r->diag);

	if (q)
		return q;
	r->accel = vm_find_accel(r->runner, r->appliance, r->options->cache);
	return run_interrupted() ? -EINTR : 0;
}

/* folders */

/*
 * Kept disks that were there before are made anew: they belong to the passphrase beside
 * them. Without --keep all is in the scratch folder, in /var/tmp since disks are large.
 */
static int make_folders(struct rehearsal *r)
{
	const char *tmp = getenv("TMPDIR");
	_cleanup_free_ char *scratch =
		str_printf("%s/eyrie-rehearsal-XXXXXX", is_empty(tmp) ? "/var/tmp" : tmp);
	int q;

	if (!mkdtemp(scratch))
		return diag_error(r->diag, -errno, "cannot make the folder %s: %s", scratch,
				  strerror(errno));
	r->scratch = take_ptr(scratch);
	r->folder = r->options->keep ? str_dup(r->options->keep)
				     : str_printf("%s/kept", r->scratch);
	r->logs = str_printf("%s/logs", r->folder);
	r->cut = str_printf("%s/cut", r->folder);
	q = file_make_folder(r->options->cache, r->diag);
	if (q == 0 && r->options->n_cuts)
		q = file_make_folder(r->cut, r->diag);
	return q ? q : file_make_folder(r->logs, r->diag);
}

/* the script */

static const char script_head[] = "#!/bin/sh\n"
				  "# Boots the rehearsed machine on this terminal. Its "
				  "passphrase is in the file beside it.\n"
				  "#   boot [--without NAME]... [--write]\n"
				  "# Without --write the changes are thrown away. Ctrl-A X "
				  "switches the machine off.\n"
				  "set -eu\n"
				  "cd \"$(dirname \"$(readlink -f \"$0\")\")\"\n";

static const char script_body[] =
	"\n"
	"usage() {\n"
	"\techo \"usage: $0 [--without NAME]... [--write]; disks: $disks\" >&2\n"
	"\texit 2\n"
	"}\n"
	"\n"
	"without='' write=''\n"
	"while [ $# -gt 0 ]; do\n"
	"\tcase $1 in\n"
	"\t--write) write=yes ;;\n"
	"\t--without)\n"
	"\t\t[ $# -gt 1 ] || usage\n"
	"\t\tcase \" $disks \" in *\" $2 \"*) ;; *) usage ;; esac\n"
	"\t\twithout=\"$without $2 \"\n"
	"\t\tshift ;;\n"
	"\t*) usage ;;\n"
	"\tesac\n"
	"\tshift\n"
	"done\n"
	"\n"
	"work=$(mktemp -d)\n"
	"trap 'rm -rf \"$work\"' EXIT\n"
	"trap 'exit 130' INT TERM HUP\n"
	"[ -z \"$variables\" ] || cp \"$variables\" \"$work/variables.fd\"\n"
	"echo 'io.systemd.boot.kernel-cmdline-extra=console=ttyS0' >\"$work/smbios\"\n"
	"set --\n"
	"for disk in $disks; do\n"
	"\tcase $without in *\" $disk \"*) continue ;; esac\n"
	"\tfile=$PWD/$disk.img format=raw\n"
	"\tif [ -z \"$write\" ]; then\n"
	"\t\tqemu-img create -q -f qcow2 -F raw -b \"$file\" \"$work/$disk.qcow2\"\n"
	"\t\tfile=$work/$disk.qcow2 format=qcow2\n"
	"\tfi\n"
	"\tset -- \"$@\" -drive "
	"\"if=none,id=$disk,format=$format,discard=unmap,file=$file\" \\\n"
	"\t\t-device \"$(device \"$disk\"),drive=$disk,serial=$disk\"\n"
	"done\n"
	"echo \"The passphrase is: $(cat passphrase)\"\n"
	"[ -z \"$variables\" ] ||\n"
	"\tset -- -drive \"if=pflash,format=raw,unit=0,readonly=on,file=$firmware\" \\\n"
	"\t\t-drive \"if=pflash,format=raw,unit=1,file=$work/variables.fd\" \"$@\"\n"
	"# shellcheck disable=SC2086 # $accel and $usb are several words\n"
	"qemu-system-x86_64 -machine \"$machine\" $accel $usb -smp \"$processors\" -m \"$memory\" \\\n"
	"\t-nodefaults -display none -nic none -no-reboot -serial mon:stdio \\\n"
	"\t-smbios \"type=11,path=$work/smbios\" \"$@\"\n";

static void add_devices(struct strbuf *b, const struct layout *layout)
{
	bool usb = false;

	FOR_EACH_DISK(disk, layout)
		usb |= machine_disk(disk, NULL, NULL).bus == VM_USB;
	strbuf_printf(b, "usb='%s'\n", usb ? "-device " VM_USB_CONTROLLER : "");
	strbuf_add(b, "\ndevice() {\n\tcase $1 in\n");
	FOR_EACH_DISK(disk, layout)
	{
		const struct vm_disk virtual = machine_disk(disk, NULL, NULL);

		strbuf_printf(b, "\t%s) echo %s", disk->name, vm_disk_driver(&virtual));
		if (vm_disk_bus(&virtual))
			strbuf_printf(b, ",bus=%s", vm_disk_bus(&virtual));
		if (virtual.sector_size)
			strbuf_printf(b, ",logical_block_size=%llu,physical_block_size=%llu",
				      (unsigned long long)virtual.sector_size,
				      (unsigned long long)virtual.sector_size);
		strbuf_add(b, " ;;\n");
	}
	strbuf_add(b, "\tesac\n}\n");
}

char *rehearse_boot_script(const struct layout *layout, enum vm_accel accel)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	const char *code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
	const char *variables = "/usr/share/OVMF/OVMF_VARS_4M.fd";
	const char *space = "";

	(void)vm_find_firmware(&code, &variables, NULL);
	strbuf_add(&b, script_head);
	strbuf_add(&b, "disks=\"");
	FOR_EACH_DISK(disk, layout)
	{
		strbuf_printf(&b, "%s%s", space, disk->name);
		space = " ";
	}
	strbuf_add(&b, "\"\naccel=\"");
	space = "";
	for (const char *const *a = vm_accel_arguments(accel); *a; a++, space = " ")
		strbuf_printf(&b, "%s%s", space, *a);
	strbuf_printf(&b, "\"\nprocessors=%u memory=%lluM\n", vm_processors(),
		      (unsigned long long)(VM_MEMORY / MIB));
	if (layout_boots_uefi(layout))
		strbuf_printf(&b, "machine=q35\nfirmware=%s\nvariables=%s\n", code, variables);
	else
		strbuf_add(&b, "machine=q35,graphics=off variables=''\n");
	add_devices(&b, layout);
	strbuf_add(&b, script_body);
	return strbuf_take(&b);
}

static int write_boot_script(struct rehearsal *r)
{
	_cleanup_free_ char *text = rehearse_boot_script(r->layout, r->accel);

	return write_file(r, r->folder, "boot", text, 0755);
}

/* the drills */

static bool is_wanted(const struct rehearsal *r, const struct drill *drill)
{
	const struct strv *only = r->options->only;

	if (drill->kind == DRILL_INSTALL)
		return true;
	if (only && only->n_items)
		return strv_has(only, drill->name);
	return r->options->all || !drill->on_request;
}

int rehearse_check_names(const struct layout *layout, const struct strv *only, unsigned n_cuts,
			 struct diag *diag)
{
	_cleanup_(drills_deinit) struct drills drills = {};
	_cleanup_strv_ struct strv names = STRV_NULL;
	_cleanup_free_ char *known = NULL;
	int r = 0;

	drills_make(layout, &drills);
	if (n_cuts)
		drills_add_cuts(&drills, layout, n_cuts);
	for (size_t i = 0; i < drills.n_items; i++)
		strv_add(&names, drills.items[i].name);
	known = strv_join(&names, ", ");
	for (size_t i = 0; i < only->n_items; i++) {
		if (strv_has(&names, only->items[i]))
			continue;
		r = diag_error(diag, -EINVAL, "there is no drill '%s'", only->items[i]);
		diag_hint(diag, "the drills of this layout: %s", known);
	}
	return r;
}

static void tell_end(struct rehearsal *r, const struct drill *drill,
		     const struct drill_outcome *outcome)
{
	const struct rehearse_watch *watch = &r->options->watch;

	if (outcome->verdict == DRILL_FAILED) {
		(void)diag_error(r->diag, -EIO, "drill '%s': %s", drill->name,
				 outcome->reason);
		if (r->options->keep)
			diag_hint(r->diag, "its console is in %s", outcome->log);
		else
			diag_hint(r->diag,
				  "--keep DIR leaves the disks and what its console said");
	}
	if (watch->ends)
		watch->ends(watch->context, drill, outcome);
}

static int run_drill(struct rehearsal *r, const struct drill *drill, bool *passed)
{
	const struct rehearse_watch *watch = &r->options->watch;
	_cleanup_(drill_outcome_deinit) struct drill_outcome outcome = {};
	bool cut = drill->n_cuts || drill->after_cuts;
	const struct drill_context context = {
		.runner = r->runner,
		.layout = r->layout,
		.appliance = r->appliance,
		.libexec = r->options->libexec,
		.disks = cut ? r->cut : r->folder,
		.scratch = r->scratch,
		.logs = r->logs,
		.cargo = r->cargo,
		.tarball = r->options->tarball,
		.passphrase = r->passphrase,
		.accel = r->accel,
		.work = r->work,
		.seed = r->options->seed,
		.on_line = watch->line,
		.context = watch->context,
	};
	int q;

	if (watch->begins)
		watch->begins(watch->context, drill);
	q = drill_run(&context, drill, &outcome, r->diag);
	if (q)
		return q;
	tell_end(r, drill, &outcome);
	if (drill->kind == DRILL_INSTALL && !cut)
		r->work = outcome.work;
	*passed = outcome.verdict == DRILL_PASSED;
	return 0;
}

static int run_drills(struct rehearsal *r)
{
	bool stopped = false, all = true;

	for (size_t i = 0; i < r->drills.n_items; i++) {
		const struct drill *drill = &r->drills.items[i];
		bool passed = false;
		int q;

		if (stopped || !is_wanted(r, drill)) {
			tell_end(r, drill, &(struct drill_outcome){});
			continue;
		}
		q = run_drill(r, drill, &passed);
		if (q)
			return q;
		all = all && passed;
		stopped = !passed &&
			  (drill->kind == DRILL_INSTALL || !r->options->keep_going);
	}
	return all ? 0 : -EIO;
}

int rehearse(struct runner *runner, const struct layout *layout,
	     const struct rehearse_options *options, struct diag *diag)
{
	_cleanup_(rehearsal_deinit) struct rehearsal r = {
		.runner = runner,
		.options = options,
		.diag = diag,
	};
	int q;

	run_catch_interrupts();
	drills_make(layout, &r.drills);
	if (options->n_cuts)
		drills_add_cuts(&r.drills, layout, options->n_cuts);
	q = make_folders(&r);
	if (q == 0)
		q = find_appliance(&r);
	if (q)
		return q;
	r.layout = rehearse_adapt(layout, r.accel);
	q = make_files(&r);
	if (q == 0)
		q = make_cargo(&r);
	if (q == 0 && options->keep)
		q = write_boot_script(&r);
	return q ? q : run_drills(&r);
}
