/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/text.h"

#include <ctype.h>

#include "layout/gate.h"
#include "plan/name.h"
#include "unlock/config.h"

#define HEADER "# Written by eyrie; eyrie.yaml(5) says what from.\n"

char *boot_cmdline(const struct layout *layout)
{
	const char *further = layout->boot.cmdline;

	/* The pool's bootfs decides which dataset. */
	return str_printf("root=zfs:AUTO%s%s", is_empty(further) ? "" : " ",
			  further ? further : "");
}

char *boot_loader_conf(const struct layout *layout)
{
	return str_printf(HEADER "timeout %llu\nconsole-mode keep\n",
			  (unsigned long long)layout->boot.timeout);
}

char *boot_kernel_folder(const char *version, const char *hash)
{
	return str_printf("eyrie/%s-%s", version, hash);
}

char *boot_entry_name(const char *version, const char *hash)
{
	return str_printf("eyrie-%s-%s.conf", version, hash);
}

char *boot_entry(const struct layout *layout, const char *version, const char *hash)
{
	_cleanup_free_ char *folder = boot_kernel_folder(version, hash);
	_cleanup_free_ char *cmdline = boot_cmdline(layout);

	return str_printf(HEADER "title %s, kernel %s\nsort-key eyrie\nversion %s\n"
			  "linux /%s/linux\ninitrd /%s/initrd\noptions %s\n",
			  layout->host, version, version, folder, folder, cmdline);
}

static struct observed_partition *partition_of(const struct observed *have,
					       const struct layout_disk *want, enum role role)
{
	struct observed_disk *disk = observed_disk(have, want->path);

	return disk ? find_partition(disk, role, want->name) : NULL;
}

char *boot_crypttab(const struct layout *layout, const struct observed *have)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, HEADER "# name, device, key, options: crypttab(5)\n");
	FOR_EACH_DISK(want, layout)
	{
		struct observed_partition *member = partition_of(have, want, ROLE_MEMBER);
		_cleanup_free_ char *mapping = name_mapping(layout, want->name);

		/* With unlock: peer no stock tool opens them: eyrie-unlock does. */
		if (member && member->luks.uuid && layout->encryption.unlock == UNLOCK_SHARED)
			strbuf_printf(&b, "%s UUID=%s none luks,noauto,x-initrd.attach,"
				      "x-systemd.device-timeout=%llus\n", mapping,
				      member->luks.uuid,
				      (unsigned long long)layout->boot.device_timeout);
	}
	FOR_EACH_DISK(want, layout)
	{
		struct observed_partition *swap = partition_of(have, want, ROLE_SWAP);

		if (swap && role_wanted(layout, ROLE_SWAP))
			strbuf_printf(&b, "swap-%s PARTUUID=%s /dev/urandom swap,plain,cipher=%s,"
				      "size=%llu,nofail,x-systemd.device-timeout=%llus\n",
				      want->name, swap->uuid, layout->encryption.cipher,
				      (unsigned long long)layout->encryption.key_size,
				      (unsigned long long)layout->boot.device_timeout);
	}
	return strbuf_take(&b);
}

static char *describe_disk(const struct observed *have, const struct layout_disk *want)
{
	const struct observed_disk *disk = observed_disk(have, want->path);
	const char *model = disk && disk->model ? disk->model : "disk";
	const char *serial = disk && disk->serial ? disk->serial : "unknown";

	return str_printf("%s, serial %s", model, serial);
}

char *boot_unlock_conf(const struct layout *layout, const struct observed *have)
{
	const struct observed_pool *pool = observed_pool(have, layout->pool.name);
	struct unlock_config config = { .host = str_dup(layout->host),
					.set = str_dup(layout->id),
					.pool = str_dup(layout->pool.name),
					.pool_guid = str_dup(pool ? pool->guid : NULL),
					.window = layout->boot.window };
	struct json_object *json;
	char *text;

	(void)layout_rejoin(layout, &config.rejoin);
	FOR_EACH_GATE(gate, &layout->gates)
		config.share |= gate->share_passphrase;
	FOR_EACH_DISK(want, layout)
	{
		struct observed_partition *partition = partition_of(have, want, ROLE_MEMBER);
		struct unlock_member *member;

		if (!partition || !partition->luks.uuid)
			continue;
		member = list_add(&config.members, &record_unlock_member);
		member->uuid = str_dup(partition->luks.uuid);
		member->name = str_dup(want->name);
		member->mapping = name_mapping(layout, want->name);
		member->disk = describe_disk(have, want);
	}
	json = record_to_json(&record_unlock_config, &config);
	text = str_printf("%s\n", json_object_to_json_string_ext(json, JSON_C_TO_STRING_PRETTY));
	json_object_put(json);
	record_deinit(&record_unlock_config, &config);
	return text;
}

char *boot_gates(const struct layout *layout)
{
	const struct gates gates = { .gates = layout->gates };
	_cleanup_free_ char *text = gates_dump(&gates);

	return str_printf(HEADER "%s", text);
}

char *boot_fstab(const struct layout *layout)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	unsigned long long timeout = layout->boot.device_timeout;

	strbuf_add(&b, HEADER "# The root and everything else of the pool is mounted by ZFS.\n");
	if (layout->swap.on == SWAP_VOLUME)
		strbuf_printf(&b, "/dev/zvol/%s/" LAYOUT_SWAP_VOLUME " none swap discard,nofail,"
			      "x-systemd.device-timeout=%llus 0 0\n", layout->pool.name, timeout);
	FOR_EACH_DISK(want, layout)
		if (layout->swap.on == SWAP_PARTITION)
			strbuf_printf(&b, "/dev/mapper/swap-%s none swap discard,nofail,"
				      "x-systemd.device-timeout=%llus 0 0\n", want->name, timeout);
	return strbuf_take(&b);
}

/*
 * Not host-only: the image is made in a chroot of an installer, and a machine whose disks move
 * to another one has to boot there. Every storage and keyboard driver is in it; network,
 * graphics and sound are not.
 */
char *boot_dracut_conf(const struct layout *layout)
{
	bool peer = layout->encryption.unlock == UNLOCK_PEER;

	return str_printf(
		HEADER
		"hostonly=\"no\"\n"
		"hostonly_cmdline=\"no\"\n"
		"compress=\"zstd -3 -T0\"\n"
		"%s"
		"dracutmodules=\" systemd systemd-initrd systemd-udevd systemd-journald"
		" systemd-ask-password systemd-modules-load systemd-sysctl systemd-tmpfiles"
		" %s dracut-systemd dm crypt zfs rootfs-block udev-rules base"
		" fs-lib shutdown usrmount terminfo \"\n"
		"add_drivers+=\" =drivers/ata =drivers/block =drivers/message/fusion"
		" =drivers/mmc =drivers/nvme =drivers/scsi =drivers/ufs =drivers/usb/host"
		" =drivers/usb/storage =drivers/virtio =drivers/hid =drivers/input/keyboard"
		" =drivers/input/serio =drivers/pci/controller =drivers/hv =drivers/xen"
		" =arch/x86/crypto dm_crypt xts ecb cbc aes_generic sha256_generic"
		" sha512_generic algif_skcipher algif_hash vfat nls_ascii nls_cp437 \"\n",
		peer ? "" : "install_items+=\" /etc/crypttab " BOOT_INITRD_DROPIN " \"\n",
		peer ? "eyrie" : "systemd-cryptsetup");
}

/*
 * Every storage driver, as with dracut. Swap has a new key at every boot, so there is nothing to
 * resume from, and nobody shall wait for it.
 */
char *boot_initramfs_tools_conf(const struct layout *layout)
{
	(void)layout;
	return str_dup(HEADER "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\nRESUME=none\n");
}

/* systemd.unit(5), "String escaping for inclusion in unit names". */
static char *unit_escape(const char *s)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (; *s; s++)
		if (isalnum((unsigned char)*s) || strchr(":_.", *s))
			strbuf_add_bytes(&b, s, 1);
		else
			strbuf_printf(&b, "\\x%02x", (unsigned char)*s);
	return strbuf_take(&b);
}

char *boot_initrd_dropin(const struct layout *layout)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, HEADER
		   "# Members are noauto in crypttab: the initramfs opens them, for it reads this,\n"
		   "# and the running system does not wait for a dead disk a second time.\n"
		   "[Unit]\n");
	FOR_EACH_DISK(want, layout)
	{
		_cleanup_free_ char *mapping = name_mapping(layout, want->name);
		_cleanup_free_ char *escaped = unit_escape(mapping);

		strbuf_printf(&b, "Wants=systemd-cryptsetup@%s.service\n", escaped);
	}
	return strbuf_take(&b);
}
