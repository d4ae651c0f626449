/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A virtual machine: QEMU, started from a value, that dies with us.
 *
 * Its first serial port is the console, the second one carries reports, QMP steers it.
 * Disks are virtio-blk, NVMe or USB, with a serial, so that the guest finds them at
 * VM_VIRTIO_ID SERIAL, VM_NVME_ID SERIAL or VM_USB_ID SERIAL VM_USB_UNIT. It has no network. Writes are
 * not flushed on the host: a machine that is cut off loses only what the guest had not yet written.
 */

#include "base/run.h"

enum vm_accel {
	VM_TCG,
	VM_KVM,
};

enum vm_bus {
	VM_VIRTIO,
	VM_NVME,
	VM_USB,
};

struct vm_disk {
	const char *file;
	const char *serial; /* 20 characters at most, no two alike */
	const char *format; /* raw or qcow2 */
	bool read_only;
	enum vm_bus bus;
	uint64_t sector_size; /* logical and physical; 0: 512 bytes */
};

#define VM_VIRTIO_ID "/dev/disk/by-id/virtio-"
#define VM_NVME_ID "/dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_"
#define VM_USB_ID "/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_"
#define VM_USB_UNIT "-0:0"
#define VM_USB_CONTROLLER "qemu-xhci,id=usb,p2=15,p3=15"

struct vm_config {
	const char *folder; /* for sockets and firmware variables; of this machine alone */
	const char *kernel; /* NULL: firmware and whatever loader the disks have */
	bool bios;	    /* SeaBIOS instead of UEFI */
	const char *initrd;
	const char *cmdline;
	const struct vm_disk *disks;
	size_t n_disks;
	bool usb; /* it has a controller, for disks of now and later ones */
	const struct strv *smbios; /* OEM strings (type 11), or NULL */
	uint64_t memory;	   /* bytes; 0: VM_MEMORY */
	enum vm_accel accel;
};

#define VM_MEMORY (2 * GIB)

struct vm {
	struct process *process;
	int report;
	int qmp;
	char *folder;
	struct strbuf errors; /* what QEMU itself said */
	unsigned n_plugged;
};

/* -ENOENT when QEMU or the firmware is not installed; the diag names the package. */
int vm_start(struct runner *runner, const struct vm_config *config, struct vm **ret,
	     struct diag *diag);
struct vm *vm_free(struct vm *vm); /* cut off first */
DEFINE_CLEANUP(struct vm *, vm_free)

/*
 * Wait `ms` at most until the machine says something, and add it. 1 when it is off and all
 * that it said was read, else 0; -EINTR after SIGINT or SIGTERM to us.
 */
int vm_wait(struct vm *vm, int ms, struct strbuf *console, struct strbuf *report);
int vm_type(struct vm *vm, const struct secret *line); /* and a newline */

int vm_cut(struct vm *vm, struct diag *diag); /* as if the power failed */

/* While it runs, the disk appears. */
int vm_plug(struct vm *vm, const struct vm_disk *disk, struct diag *diag);

/* A raw file that is a blank disk, sparse; what was in it is gone. */
int vm_blank_disk(const char *file, uint64_t size, struct diag *diag);

/* A qcow2 file `overlay` that takes the writes to the raw file `base`. */
int vm_overlay(struct runner *runner, const char *base, const char *overlay,
	       struct diag *diag);

/*
 * The accelerator that works here. KVM is believed only after the appliance's kernel and
 * initrd came up with it; the answer is kept in `cache` for this boot of the host.
 */
enum vm_accel vm_find_accel(struct runner *runner, const char *appliance,
			    const char *cache);

/*
 * A line of the console that tells of a fault of the emulator and not of what it runs: before QEMU
 * 8.1 (deba78709a, "accel/tcg: Always lock pages before translation") TCG can run the breakpoint
 * that Linux puts over an instruction while it changes it after that is gone, and the kernel dies
 * of it. The machine has to be started again.
 */
bool vm_tells_emulator_fault(const char *line);

const char *vm_disk_driver(const struct vm_disk *disk); /* QEMU's name of it */
const char *vm_disk_bus(const struct vm_disk *disk);	/* what it is plugged into, or NULL: any slot */
const char *const *vm_accel_arguments(enum vm_accel accel);
unsigned vm_processors(void); /* those that this process may use, 4 at most */

/* The installed firmware: code and the template of its variables, or -ENOENT. */
int vm_find_firmware(const char **ret_code, const char **ret_variables, struct diag *diag);

int64_t vm_now(void); /* milliseconds of the monotonic clock */
