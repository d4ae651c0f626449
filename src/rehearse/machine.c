/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rehearse/machine.h"

#include <libfdisk.h>

#define APPLIANCE_MEMORY (3 * GIB)

void machine_deinit(struct machine *m)
{
	strv_deinit(&m->files);
	strv_deinit(&m->serials);
	strv_deinit(&m->smbios);
	free(m->disks);
	free(m->kernel);
	free(m->initrd);
}

/* disks */

/*
 * What has a driver of its own in an initramfs is of its kind. All others, ata- too, are virtio: a disk
 * of QEMU's AHCI cannot be plugged in while the machine runs.
 */
static const struct {
	const char *part;	    /* of its path in the layout */
	const char *before, *after; /* its name in the guest's path */
} buses[] = {
	[VM_VIRTIO] = { "", VM_VIRTIO_ID, "" },
	[VM_NVME] = { "/nvme", VM_NVME_ID, "" },
	[VM_USB] = { "/usb-", VM_USB_ID, VM_USB_UNIT },
};

static enum vm_bus bus_of(const struct layout_disk *disk)
{
	enum vm_bus bus = ARRAY_SIZE(buses) - 1;

	while (!strstr(disk->path, buses[bus].part))
		bus--;
	return bus;
}

struct vm_disk machine_disk(const struct layout_disk *disk, const char *file, const char *format)
{
	return (struct vm_disk){
		.file = file,
		.serial = disk->name,
		.format = format,
		.bus = bus_of(disk),
		.sector_size = disk->sector_size,
	};
}

char *machine_disk_path(const struct layout_disk *disk)
{
	enum vm_bus bus = bus_of(disk);

	if (layout_is_partition(disk))
		return str_printf(LAYOUT_BY_PARTLABEL "%s", disk->name);
	return str_printf("%s%s%s", buses[bus].before, disk->name, buses[bus].after);
}

#define TABLE_SIZE (2 * MIB) /* in front and behind */

/* A GPT with one partition, which is of that size and has the name of the disk. */
static int make_table(const struct layout_disk *disk, const char *file)
{
	struct fdisk_context *fdisk = fdisk_new_context();
	struct fdisk_partition *partition = fdisk_new_partition();
	unsigned sector = disk->sector_size ? (unsigned)disk->sector_size : 512;
	int r;

	(void)fdisk_disable_dialogs(fdisk, 1);
	(void)fdisk_save_user_sector_size(fdisk, sector, sector);
	(void)fdisk_partition_set_name(partition, disk->name);
	(void)fdisk_partition_set_start(partition, MIB / sector);
	(void)fdisk_partition_set_size(partition, disk->size / sector);
	(void)fdisk_partition_partno_follow_default(partition, 1);
	r = fdisk_assign_device(fdisk, file, /* readonly= */ 0);
	if (r == 0)
		r = fdisk_create_disklabel(fdisk, "gpt");
	if (r == 0)
		r = fdisk_add_partition(fdisk, partition, NULL);
	if (r == 0)
		r = fdisk_write_disklabel(fdisk);
	if (r == 0)
		r = fdisk_deassign_device(fdisk, /* nosync= */ 1);
	fdisk_unref_partition(partition);
	fdisk_unref_context(fdisk);
	return r;
}

int machine_make_disk(const struct layout_disk *disk, const char *file, struct diag *diag)
{
	int r;

	if (!layout_is_partition(disk))
		return vm_blank_disk(file, disk->size, diag);
	r = vm_blank_disk(file, disk->size + TABLE_SIZE, diag);
	if (r)
		return r;
	r = make_table(disk, file);
	return r ? diag_error(diag, r, "cannot partition %s: %s", file, strerror(-r)) : 0;
}

void machine_add_disk(struct machine *m, const struct vm_disk *disk)
{
	struct vm_disk *added;

	strv_add(&m->files, disk->file);
	strv_add(&m->serials, disk->serial);
	m->disks = mem_grow(m->disks, m->n_disks, sizeof(*m->disks));
	added = &m->disks[m->n_disks++];
	*added = *disk;
	added->file = m->files.items[m->files.n_items - 1];
	added->serial = m->serials.items[m->serials.n_items - 1];
	m->usb |= disk->bus == VM_USB;
}

int machine_add_overlay(struct machine *m, struct runner *runner, const struct vm_disk *disk,
			const char *folder, struct diag *diag)
{
	_cleanup_free_ char *overlay = str_printf("%s/%s.qcow2", folder, disk->serial);
	struct vm_disk over = *disk;
	int r = vm_overlay(runner, disk->file, overlay, diag);

	over.file = overlay;
	over.format = "qcow2";
	if (r == 0)
		machine_add_disk(m, &over);
	return r;
}

void machine_add_appliance(struct machine *m, const char *appliance, const char *cargo)
{
	_cleanup_free_ char *root = str_printf("%s/root.img", appliance);

	m->kernel = str_printf("%s/vmlinuz", appliance);
	m->initrd = str_printf("%s/initrd", appliance);
	m->cmdline = "console=ttyS0 quiet panic=-1";
	m->memory = APPLIANCE_MEMORY;
	machine_add_disk(m, &(struct vm_disk){ .file = root, .serial = "root", .format = "raw",
					       .read_only = true });
	machine_add_disk(m, &(struct vm_disk){ .file = cargo, .serial = "cargo", .format = "raw",
					       .read_only = true });
}

/* what systemd in the machine is told from outside */

static char *base64(const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	size_t size = strlen(text);

	for (size_t i = 0; i < size; i += 3) {
		uint32_t bits = 0;
		char out[4];

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 | (i + k < size ? (unsigned char)text[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			out[k] = i + k > size ? '=' : digits[bits >> (18 - 6 * k) & 63];
		strbuf_add_bytes(&b, out, sizeof(out));
	}
	return strbuf_take(&b);
}

static void add_credential(struct machine *m, const char *name, const char *text)
{
	_cleanup_free_ char *encoded = base64(text);

	strv_addf(&m->smbios, "io.systemd.credential.binary:%s=%s", name, encoded);
}

/*
 * A small target of its own keeps a drill short that needs no services; the initramfs'
 * systemd does not read systemd.unit= and systemd.wants=.
 */
static char *script_unit(const char *word, bool whole)
{
	return str_printf("[Unit]\n"
			  "Description=Report to the rehearsal\n"
			  "DefaultDependencies=no\n"
			  "ConditionPathExists=!/etc/initrd-release\n"
			  "Requires=sysinit.target\n"
			  "Wants=zfs-mount.service\n"
			  "After=sysinit.target zfs-mount.service local-fs.target %s\n"
			  "[Service]\n"
			  "Type=exec\n"
			  "LoadCredential=eyrie-report\n"
			  "ExecStart=/bin/sh %%d/eyrie-report %s\n",
			  whole ? "multi-user.target" : "", word);
}

/*
 * OpenRC reads no credentials: systemd in the initramfs puts the script on the root for it, with a
 * service that runs it last.
 */
#define PUT_UNIT                                                                           \
	"[Unit]\nDescription=The report to the rehearsal, for OpenRC\n"                     \
	"DefaultDependencies=no\n"                                                          \
	"ConditionPathExists=/etc/initrd-release\n"                                         \
	"ConditionPathExists=/sysroot/usr/sbin/openrc\n"                                    \
	"After=initrd-root-fs.target\n"                                                     \
	"Before=initrd-parse-etc.service initrd-cleanup.service\n"                          \
	"[Service]\nType=oneshot\n"                                                         \
	"LoadCredential=eyrie-report\nLoadCredential=eyrie-service\n"                       \
	"ExecStart=/bin/cp %d/eyrie-report /run/eyrie-report\n"                             \
	"ExecStart=/bin/cp %d/eyrie-service /sysroot/etc/init.d/eyrie-drill\n"              \
	"ExecStart=/bin/chmod 755 /sysroot/etc/init.d/eyrie-drill\n"                        \
	"ExecStart=/bin/ln -sf /etc/init.d/eyrie-drill /sysroot/etc/runlevels/default/\n"

/* `openrc` is what enters the runlevel: several services want to be the last one in it. */
static char *openrc_service(const char *word)
{
	return str_printf("#!/sbin/openrc-run\n"
			  "depend() { after \"*\"; }\n"
			  "report() {\n"
			  "\twhile pidof openrc >/dev/null; do sleep 1; done\n"
			  "\tsh /run/eyrie-report %s\n"
			  "}\n"
			  "start() { report & }\n", word);
}

#define SCRIPT_TARGET                                                                      \
	"[Unit]\nDescription=Rehearsal\nRequires=eyrie-drill.service\n"                    \
	"After=eyrie-drill.service\nAllowIsolate=yes\n"

/* A rehearsal has no network, and what wants one shall not fail for that. */
static void add_offline(struct machine *m)
{
	static const char *const waits[] = { "systemd-networkd-wait-online.service",
					     "NetworkManager-wait-online.service" };

	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		_cleanup_free_ char *name = str_printf("systemd.unit-dropin.%s", waits[i]);

		add_credential(m, name, "[Service]\nExecStart=\nExecStart=/bin/true\n");
	}
}

void machine_add_script(struct machine *m, const char *script, const char *word, bool whole)
{
	_cleanup_free_ char *unit = script_unit(word, whole), *service = openrc_service(word);

	add_credential(m, "eyrie-report", script);
	add_credential(m, "systemd.extra-unit.eyrie-drill.service", unit);
	add_credential(m, "systemd.extra-unit.eyrie-drill.target", SCRIPT_TARGET);
	add_credential(m, "eyrie-service", service);
	add_credential(m, "systemd.extra-unit.eyrie-drill-put.service", PUT_UNIT);
	add_credential(m, "systemd.unit-dropin.initrd.target",
		       "[Unit]\nWants=eyrie-drill-put.service\n");
	add_offline(m);
	/*
	 * A getty would hang up the console under whoever reports on it. Last, since GRUB sees the
	 * last string only.
	 */
	strv_addf(&m->smbios,
		  "io.systemd.boot.kernel-cmdline-extra=console=ttyS0 quiet "
		  "systemd.show_status=error systemd.mask=serial-getty@ttyS0.service %s",
		  whole ? "systemd.wants=eyrie-drill.service"
			: "systemd.unit=eyrie-drill.target");
}

int machine_start(const struct machine *m, struct runner *runner, const char *folder,
		  enum vm_accel accel, struct vm **ret, struct diag *diag)
{
	const struct vm_config config = {
		.folder = folder,
		.kernel = m->kernel,
		.initrd = m->initrd,
		.cmdline = m->cmdline,
		.bios = m->bios,
		.usb = m->usb,
		.disks = m->disks,
		.n_disks = m->n_disks,
		.smbios = &m->smbios,
		.memory = m->memory,
		.accel = accel,
	};

	return vm_start(runner, &config, ret, diag);
}
