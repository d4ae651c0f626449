/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/vm.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "base/file.h"

#define QEMU	      "qemu-system-x86_64"
#define CONNECT_MS    20000
#define QMP_MS	      20000
#define N_PORTS	      4 /* free slots to plug into */
#define PROBE_MS      15000
#define PROBE_MARKER  "eyrie: the appliance is alive"
#define REPORT_SOCKET "report.sock"
#define QMP_SOCKET    "qmp.sock"

static const struct {
	const char *code, *variables;
} firmware[] = {
	{ "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
	{ "/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd" },
	{ "/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
	{ "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
};

int vm_find_firmware(const char **ret_code, const char **ret_variables, struct diag *diag)
{
	for (size_t i = 0; i < ARRAY_SIZE(firmware); i++) {
		if (access(firmware[i].code, R_OK) < 0 ||
		    access(firmware[i].variables, R_OK) < 0)
			continue;
		*ret_code = firmware[i].code;
		*ret_variables = firmware[i].variables;
		return 0;
	}
	(void)diag_error(diag, -ENOENT,
			 "no UEFI firmware for virtual machines is installed");
	diag_hint(diag, "apt install ovmf");
	return -ENOENT;
}

int64_t vm_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

unsigned vm_processors(void)
{
	return (unsigned)MIN_OF(run_count_processors(), (size_t)4);
}

bool vm_tells_emulator_fault(const char *line)
{
	return strstr(line, "Oops: int3:") != NULL;
}

const char *const *vm_accel_arguments(enum vm_accel accel)
{
	static const char *const arguments[][5] = {
		[VM_TCG] = { "-accel", "tcg,thread=multi", "-cpu", "max", NULL },
		[VM_KVM] = { "-accel", "kvm", "-cpu", "host", NULL },
	};

	return arguments[accel];
}

/* disks: the same two objects on the command line and in QMP */

static void json_set(struct json_object *object, const char *key, const char *value)
{
	json_object_object_add(object, key, json_object_new_string(value));
}

static struct json_object *disk_node(const struct vm_disk *disk, const char *node)
{
	_cleanup_free_ char *path = realpath(disk->file, NULL);
	struct json_object *object = json_object_new_object();
	struct json_object *file = json_object_new_object();
	struct json_object *cache = json_object_new_object();

	json_object_object_add(cache, "no-flush", json_object_new_boolean(true));
	json_set(file, "driver", "file");
	json_set(file, "filename", path ? path : disk->file);
	json_set(file, "discard", "unmap");
	json_set(object, "driver", disk->format);
	json_set(object, "node-name", node);
	json_set(object, "discard", "unmap");
	json_set(object, "detect-zeroes", disk->read_only ? "off" : "unmap");
	json_object_object_add(object, "read-only",
			       json_object_new_boolean(disk->read_only));
	json_object_object_add(object, "cache", cache);
	json_object_object_add(object, "file", file);
	return object;
}

static const struct {
	const char *driver, *bus;
} buses[] = {
	[VM_VIRTIO] = { "virtio-blk-pci", NULL },
	[VM_NVME] = { "nvme", NULL },
	[VM_USB] = { "usb-storage", "usb.0" },
};

const char *vm_disk_driver(const struct vm_disk *disk)
{
	return buses[disk->bus].driver;
}

const char *vm_disk_bus(const struct vm_disk *disk)
{
	return buses[disk->bus].bus;
}

/* `slot`: for a disk that is on no bus of its own; NULL: any. */
static struct json_object *disk_device(const struct vm_disk *disk, const char *node,
				       const char *slot)
{
	const char *bus = vm_disk_bus(disk) ?: slot;
	static const char *const sectors[] = { "logical_block_size", "physical_block_size" };
	struct json_object *object = json_object_new_object();

	json_set(object, "driver", vm_disk_driver(disk));
	json_set(object, "drive", node);
	json_set(object, "serial", disk->serial);
	json_set(object, "id", disk->serial);
	if (bus)
		json_set(object, "bus", bus);
	for (size_t i = 0; disk->sector_size && i < ARRAY_SIZE(sectors); i++)
		json_object_object_add(object, sectors[i],
				       json_object_new_uint64(disk->sector_size));
	return object;
}

static char *disk_node_name(const struct vm_disk *disk)
{
	return str_printf("node-%s", disk->serial);
}

/* An option whose value is JSON; takes the object. */
static void add_json(struct strv *argv, const char *option, struct json_object *object)
{
	strv_add(argv, option);
	strv_add(argv,
		 json_object_to_json_string_ext(object, JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(object);
}

static void add_disks(struct strv *argv, const struct vm_config *config)
{
	if (config->usb)
		strv_add_all(argv, "-device", VM_USB_CONTROLLER, NULL);
	for (size_t i = 0; i < config->n_disks; i++) {
		_cleanup_free_ char *node = disk_node_name(&config->disks[i]);

		add_json(argv, "-blockdev", disk_node(&config->disks[i], node));
		add_json(argv, "-device", disk_device(&config->disks[i], node, NULL));
	}
	for (unsigned i = 0; i < N_PORTS; i++) {
		strv_add(argv, "-device");
		strv_addf(argv, "pcie-root-port,id=port%u,chassis=%u,slot=%u", i, i + 1,
			  i + 1);
	}
}

/* the command line */

static int copy_file(const char *from, const char *to)
{
	_cleanup_close_ int in = open(from, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n;

	if (in < 0 || out < 0)
		return -errno;
	do
		n = sendfile(out, in, NULL, 1 << 20);
	while (n > 0);
	return n < 0 ? -errno : 0;
}

static int add_firmware(struct strv *argv, const struct vm_config *config,
			struct diag *diag)
{
	_cleanup_free_ char *copy = str_printf("%s/variables.fd", config->folder);
	const char *code, *variables;
	int r = vm_find_firmware(&code, &variables, diag);

	if (r)
		return r;
	r = copy_file(variables, copy);
	if (r)
		return diag_error(diag, r, "cannot write %s: %s", copy, strerror(-r));
	strv_add(argv, "-drive");
	strv_addf(argv, "if=pflash,format=raw,unit=0,readonly=on,file=%s", code);
	strv_add_all(argv, "-drive", "if=pflash,format=raw,unit=1,file=variables.fd", NULL);
	return 0;
}

/* Each in a file of its own: QEMU takes a value's commas for its own, and limits its
 * length. */
static int add_smbios(struct strv *argv, const struct vm_config *config, struct diag *diag)
{
	for (size_t i = 0; config->smbios && i < config->smbios->n_items; i++) {
		_cleanup_free_ char *path = str_printf("%s/smbios-%zu", config->folder, i);
		int r = file_replace(path, config->smbios->items[i], 0600, diag);

		if (r)
			return r;
		strv_add(argv, "-smbios");
		strv_addf(argv, "type=11,path=smbios-%zu", i);
	}
	return 0;
}

static void add_base(struct strv *argv, const struct vm_config *config)
{
	uint64_t memory = config->memory ? config->memory : VM_MEMORY;

	/* Without graphics SeaBIOS, and so GRUB, speaks on the serial port. */
	strv_add_all(argv, QEMU, "-machine", config->bios ? "q35,graphics=off" : "q35",
		     "-nodefaults", "-display", "none", "-nic", "none", "-no-reboot", NULL);
	for (const char *const *a = vm_accel_arguments(config->accel); *a; a++)
		strv_add(argv, *a);
	strv_add(argv, "-smp");
	strv_addf(argv, "%u", vm_processors());
	strv_add(argv, "-m");
	strv_addf(argv, "%lluM", (unsigned long long)(memory / MIB));
	strv_add_all(argv, "-chardev", "stdio,id=console,signal=off", "-serial",
		     "chardev:console", "-chardev", "socket,id=report,path=" REPORT_SOCKET,
		     "-serial", "chardev:report", "-chardev",
		     "socket,id=qmp,path=" QMP_SOCKET, "-mon", "chardev=qmp,mode=control",
		     NULL);
}

static int make_argv(struct strv *argv, const struct vm_config *config, struct diag *diag)
{
	int r = 0;

	add_base(argv, config);
	if (config->kernel)
		strv_add_all(argv, "-kernel", config->kernel, "-initrd", config->initrd,
			     "-append", config->cmdline, NULL);
	else if (!config->bios)
		r = add_firmware(argv, config, diag);
	if (r == 0)
		r = add_smbios(argv, config, diag);
	add_disks(argv, config);
	return r;
}

/* starting */

/*
 * A listening socket in `folder`. It is reached through /proc, since a socket's path may
 * have 107 bytes only; QEMU is started in the folder for the same reason.
 */
static int listen_in(const char *folder, const char *name)
{
	_cleanup_close_ int at = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (at < 0 || fd < 0)
		return -errno;
	(void)unlinkat(at, name, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
		       at, name);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 1) < 0)
		return -errno;
	return take_fd(&fd);
}

static void drain(int *fd, struct strbuf *into)
{
	char chunk[16384];
	ssize_t n = *fd >= 0 ? read(*fd, chunk, sizeof(chunk)) : -1;

	if (n > 0)
		strbuf_add_bytes(into, chunk, (size_t)n);
	if (*fd >= 0 && (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
		closep(fd);
		*fd = -1;
	}
}

static int failed_to_start(struct vm *vm, struct diag *diag)
{
	drain(&vm->process->errors, &vm->errors);
	if (process_has_ended(vm->process) && vm->process->status == 127) {
		(void)diag_error(diag, -ENOENT,
				 "cannot start '" QEMU "': it is not installed");
		diag_hint(diag, "apt install qemu-system-x86");
		return -ENOENT;
	}
	if (vm->errors.data)
		str_trim_end(vm->errors.data);
	return diag_error(diag, -EIO, "the virtual machine did not start: %s",
			  vm->errors.data ? vm->errors.data : "QEMU says nothing");
}

static int accept_from(struct vm *vm, int listener, int *ret, struct diag *diag)
{
	struct pollfd fds[] = {
		{ .fd = listener, .events = POLLIN },
		{ .fd = vm->process->ended, .events = POLLIN },
		{ .fd = run_interrupt_fd(), .events = POLLIN },
	};
	int fd;

	(void)poll(fds, ARRAY_SIZE(fds), CONNECT_MS);
	if (run_interrupted())
		return -EINTR;
	if (!fds[0].revents)
		return failed_to_start(vm, diag);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return diag_error(diag, -errno, "cannot talk to QEMU: %s", strerror(errno));
	*ret = fd;
	return 0;
}

static int qmp_call(struct vm *vm, const char *execute, struct json_object *arguments,
		    struct diag *diag);

static int launch(struct runner *runner, const struct vm_config *config, struct vm *vm,
		  const struct strv *argv, struct diag *diag)
{
	_cleanup_close_ int report = listen_in(config->folder, REPORT_SOCKET);
	_cleanup_close_ int qmp = listen_in(config->folder, QMP_SOCKET);
	const struct command command = {
		.argv = (const char *const *)argv->items,
		.folder = config->folder,
	};
	int r;

	if (report < 0 || qmp < 0)
		return diag_error(diag, MIN_OF(report, qmp),
				  "cannot make a socket in %s: %s", config->folder,
				  strerror(-MIN_OF(report, qmp)));
	r = process_start(runner, &command, &vm->process, diag);
	if (r == 0)
		r = accept_from(vm, report, &vm->report, diag);
	if (r == 0)
		r = accept_from(vm, qmp, &vm->qmp, diag);
	return r ? r : qmp_call(vm, "qmp_capabilities", NULL, diag);
}

int vm_start(struct runner *runner, const struct vm_config *config, struct vm **ret,
	     struct diag *diag)
{
	_cleanup_strv_ struct strv argv = STRV_NULL;
	_cleanup_(vm_freep) struct vm *vm = mem_alloc(sizeof(*vm));
	int r;

	vm->report = vm->qmp = -1;
	vm->folder = str_dup(config->folder);
	r = file_make_folder(config->folder, diag);
	if (r == 0)
		r = make_argv(&argv, config, diag);
	if (r == 0)
		r = launch(runner, config, vm, &argv, diag);
	if (r)
		return r;
	*ret = take_ptr(vm);
	return 0;
}

struct vm *vm_free(struct vm *vm)
{
	if (!vm)
		return NULL;
	(void)process_free(vm->process);
	closep(&vm->report);
	closep(&vm->qmp);
	strbuf_deinit(&vm->errors);
	free(vm->folder);
	free(vm);
	return NULL;
}

/* conversing */

int vm_wait(struct vm *vm, int ms, struct strbuf *console, struct strbuf *report)
{
	struct process *process = vm->process;
	struct pollfd fds[] = {
		{ .fd = process->output, .events = POLLIN },
		{ .fd = vm->report, .events = POLLIN },
		{ .fd = process->errors, .events = POLLIN },
		{ .fd = run_interrupt_fd(), .events = POLLIN },
		{ .fd = process->ended, .events = POLLIN },
	};
	bool silent = process->output < 0 && vm->report < 0;

	if (silent && process_has_ended(process))
		return 1;
	if (!silent) /* what it said is read to its end before that */
		fds[4].fd = -1;
	if (poll(fds, ARRAY_SIZE(fds), ms) < 0 && errno != EINTR)
		return -errno;
	if (run_interrupted())
		return -EINTR;
	if (fds[0].revents)
		drain(&process->output, console);
	if (fds[1].revents)
		drain(&vm->report, report);
	if (fds[2].revents)
		drain(&process->errors, &vm->errors);
	return 0;
}

int vm_type(struct vm *vm, const struct secret *line)
{
	int r = fd_write_all(vm->process->input, line->data, line->size);

	return r ? r : fd_write_all(vm->process->input, "\n", 1);
}

/* QMP */

/* The next line within the time, or NULL. One byte at a time: answers are short and rare.
 */
static char *qmp_line(struct vm *vm)
{
	_cleanup_strbuf_ struct strbuf line = STRBUF_NULL;
	struct pollfd fd = { .fd = vm->qmp, .events = POLLIN };
	char c;

	while (poll(&fd, 1, QMP_MS) > 0 && read(vm->qmp, &c, 1) == 1) {
		if (c == '\n')
			return strbuf_take(&line);
		strbuf_add_bytes(&line, &c, 1);
	}
	return NULL;
}

static int qmp_answer(struct vm *vm, const char *execute, struct diag *diag)
{
	for (;;) {
		_cleanup_free_ char *line = qmp_line(vm);
		struct json_object *answer, *error, *text = NULL;
		bool done;
		int r = 0;

		if (!line)
			return diag_error(diag, -EIO, "QEMU does not answer to '%s'",
					  execute);
		answer = json_tokener_parse(line);
		done = json_object_object_get_ex(answer, "return", NULL);
		if (json_object_object_get_ex(answer, "error", &error)) {
			(void)json_object_object_get_ex(error, "desc", &text);
			r = diag_error(diag, -EIO, "QEMU refuses '%s': %s", execute,
				       text ? json_object_get_string(text) : line);
		}
		(void)json_object_put(answer);
		if (done || r)
			return r;
	}
}

/* Takes `arguments`. */
static int qmp_call(struct vm *vm, const char *execute, struct json_object *arguments,
		    struct diag *diag)
{
	struct json_object *call = json_object_new_object();
	_cleanup_free_ char *line = NULL;
	int r;

	json_set(call, "execute", execute);
	if (arguments)
		json_object_object_add(call, "arguments", arguments);
	line = str_printf("%s\n", json_object_to_json_string_ext(call, 0));
	(void)json_object_put(call);
	r = fd_write_all(vm->qmp, line, strlen(line));
	if (r)
		return diag_error(diag, r, "cannot talk to QEMU: %s", strerror(-r));
	return qmp_answer(vm, execute, diag);
}

int vm_cut(struct vm *vm, struct diag *diag)
{
	int r = qmp_call(vm, "quit", NULL, diag);

	if (r == 0)
		process_stop(vm->process, 10);
	return r;
}

int vm_plug(struct vm *vm, const struct vm_disk *disk, struct diag *diag)
{
	_cleanup_free_ char *node = disk_node_name(disk);
	_cleanup_free_ char *port = str_printf("port%u", vm->n_plugged % N_PORTS);
	int r;

	r = qmp_call(vm, "blockdev-add", disk_node(disk, node), diag);
	if (r)
		return r;
	r = qmp_call(vm, "device_add", disk_device(disk, node, port), diag);
	if (r == 0)
		vm->n_plugged++;
	return r;
}

int vm_blank_disk(const char *file, uint64_t size, struct diag *diag)
{
	_cleanup_close_ int fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return diag_error(diag, -errno, "cannot make the disk %s: %s", file,
				  strerror(errno));
	return 0;
}

int vm_overlay(struct runner *runner, const char *base, const char *overlay,
	       struct diag *diag)
{
	_cleanup_free_ char *path = realpath(base, NULL);

	if (!path)
		return diag_error(diag, -errno, "cannot find %s: %s", base,
				  strerror(errno));
	return run_words(runner, diag, "qemu-img", "create", "-q", "-f", "qcow2", "-F",
			 "raw", "-b", path, overlay, NULL);
}

/* the probe */

static bool probe_says(struct vm *vm)
{
	_cleanup_strbuf_ struct strbuf console = STRBUF_NULL, report = STRBUF_NULL;
	int64_t deadline = vm_now() + PROBE_MS;

	while (vm_now() < deadline) {
		int r = vm_wait(vm, 200, &console, &report);

		if (console.data && strstr(console.data, PROBE_MARKER))
			return true;
		if (r)
			return false;
	}
	return false;
}

static bool probe_kvm(struct runner *runner, const char *appliance, const char *folder)
{
	_cleanup_free_ char *kernel = str_printf("%s/vmlinuz", appliance);
	_cleanup_free_ char *initrd = str_printf("%s/initrd", appliance);
	_cleanup_(vm_freep) struct vm *vm = NULL;
	const struct vm_config config = {
		.folder = folder,
		.kernel = kernel,
		.initrd = initrd,
		.cmdline = "console=ttyS0 quiet panic=-1 eyrie.probe",
		.memory = 512 * MIB,
		.accel = VM_KVM,
	};

	return vm_start(runner, &config, &vm, NULL) == 0 && probe_says(vm);
}

/* The name of the answer: this boot of the host, this appliance. */
static char *probe_key(const char *appliance, const char *cache)
{
	_cleanup_free_ char *boot = file_read_line("/proc/sys/kernel/random/boot_id");
	const char *slash = strrchr(appliance, '/');

	return str_printf("%s/accel-%s-%s", cache, boot ? boot : "unknown",
			  slash ? slash + 1 : appliance);
}

enum vm_accel vm_find_accel(struct runner *runner, const char *appliance, const char *cache)
{
	_cleanup_free_ char *key = probe_key(appliance, cache), *known = NULL;
	_cleanup_free_ char *folder = str_printf("%s/probe", cache);
	bool works;

	if (access("/dev/kvm", R_OK | W_OK) < 0)
		return VM_TCG;
	known = file_read_line(key);
	if (known)
		return streq(known, "kvm") ? VM_KVM : VM_TCG;
	works = probe_kvm(runner, appliance, folder);
	if (!run_interrupted())
		(void)file_replace(key, works ? "kvm\n" : "tcg\n", 0644, NULL);
	return works ? VM_KVM : VM_TCG;
}
