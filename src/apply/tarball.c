/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A root tarball of Debian, by mmdebstrap(1). */

#include <libgen.h>
#include <stdio.h>

#include "apply/internal.h"

/* What the machine needs to boot, to be looked after and to be reached. */
static const char *const packages_always[] = {
	"zfsutils-linux", "zfs-zed",
	"systemd", "systemd-boot-efi", "udev", "dbus", "kmod", "zstd", "login", "passwd",
	"util-linux", "iproute2", "procps", "cryptsetup-bin", "dosfstools", "e2fsprogs", "mdadm",
	"libfyaml0", "libsmartcols1", "libfdisk1", "libjson-c5", "libmount1", "libblkid1",
	"libcryptsetup12", "tzdata", NULL,
};

/* By suite: what was renamed or split. */
static const struct {
	const char *suite;
	const char *packages;
} packages_of_suite[] = {
	{ "trixie", "systemd-cryptsetup,systemd-boot-tools,libssl3t64" },
	{ "bookworm", "cryptsetup,systemd-boot,libssl3" },
};

/* Who starts the services, and asks for addresses. */
static const struct {
	const char *packages, *dhcp;
} inits[] = {
	[INIT_SYSTEMD] = { "systemd-sysv", NULL },
	[INIT_OPENRC] = { "sysvinit-core,openrc", "dhcpcd" },
};

/* Who makes the initramfs, and the program of it that other packages start. */
static const struct {
	const char *packages, *program;
} initramfs[] = {
	[INITRAMFS_DRACUT] = { "zfs-dracut,dracut", "dracut" },
	[INITRAMFS_TOOLS] = { "zfs-initramfs,initramfs-tools", "update-initramfs" },
};

#define KERNEL_AHEAD "linux-base"
#define KERNEL "linux-image-amd64,linux-headers-amd64,zfs-dkms"
#define MAKE_DEADLINE (4 * 3600u)

char *tarball_packages(const struct layout *layout, const struct tarball_options *options)
{
	_cleanup_strv_ struct strv all = STRV_NULL;

	for (const char *const *p = packages_always; *p; p++)
		strv_add(&all, *p);
	strv_add(&all, initramfs[layout->boot.initramfs].packages);
	strv_add(&all, inits[layout->system.init].packages);
	if (layout->system.network == NETWORK_DHCP && inits[layout->system.init].dhcp)
		strv_add(&all, inits[layout->system.init].dhcp);
	for (size_t i = 0; i < ARRAY_SIZE(packages_of_suite); i++)
		if (streq(packages_of_suite[i].suite, layout->system.suite))
			strv_add(&all, packages_of_suite[i].packages);
	if (layout_boots_bios(layout))
		strv_add(&all, "grub-pc-bin,grub2-common");
	strv_add(&all, options->zfs_modules ? KERNEL_AHEAD : KERNEL);
	if (layout->system.keyboard)
		strv_add(&all, "console-setup,kbd");
	if (layout->system.root_keys.n_items)
		strv_add(&all, "openssh-server");
	for (size_t i = 0; i < layout->system.packages.n_items; i++)
		strv_add(&all, layout->system.packages.items[i]);
	return strv_join(&all, ",");
}

/* Modules that were built ahead, and the kernel that they were built for. */
static void add_modules_hooks(struct strv *argv, const char *modules, const char *folder)
{
	strv_addf(argv, "--essential-hook=copy-in %s %s/linux-image.deb /var/cache", modules,
		  folder);
	strv_add(argv, "--essential-hook=chroot \"$1\" dpkg --install /var/cache/zfs-modules.deb");
	strv_add(argv, "--customize-hook=chroot \"$1\" dpkg --install /var/cache/linux-image.deb");
	strv_add(argv, "--customize-hook=rm \"$1\"/var/cache/*.deb");
}

/*
 * zfs-dracut refuses to make an initramfs for a kernel without zfs.ko, and would leave dpkg
 * half configured; any other image would be made in vain. So `program` does nothing until eyrie
 * has written its configuration.
 */
static void add_hooks(struct strv *argv, const char *program,
		      const struct tarball_options *options)
{
	_cleanup_free_ char *folder = options->zfs_modules ? str_dup(options->zfs_modules) : NULL;

	strv_addf(argv, "--essential-hook=printf '#!/bin/sh\\n' >\"$1\"/usr/local/sbin/%s "
		  "&& chmod 755 \"$1\"/usr/local/sbin/%s", program, program);
	if (folder)
		add_modules_hooks(argv, options->zfs_modules, dirname(folder));
	strv_addf(argv, "--customize-hook=rm \"$1\"/usr/local/sbin/%s", program);
}

int tarball_make(struct runner *run_by, const struct layout *layout,
		 const struct tarball_options *options, const char *path, struct diag *diag)
{
	_cleanup_free_ char *packages = tarball_packages(layout, options);
	_cleanup_free_ char *aside = str_printf("%s.new", path);
	_cleanup_strv_ struct strv argv = STRV_NULL;
	int r;

	strv_add_all(&argv, "mmdebstrap", "--variant=apt", "--format=tar",
		     "--components=main,contrib",
		     "--aptopt=APT::Install-Recommends \"false\"", NULL);
	strv_addf(&argv, "--include=%s", packages);
	add_hooks(&argv, initramfs[layout->boot.initramfs].program, options);
	strv_add_all(&argv, layout->system.suite, aside, NULL);
	r = run(run_by, &(struct command){ .argv = (const char *const *)argv.items,
					   .flags = options->visible ? RUN_VISIBLE : 0,
					   .deadline = MAKE_DEADLINE }, diag);
	if (r == 0 && rename(aside, path) < 0)
		r = diag_error(diag, -errno, "cannot write %s: %m", path);
	if (r)
		(void)unlink(aside);
	return r;
}
