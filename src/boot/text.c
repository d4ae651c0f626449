/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/text.h"

#include <ctype.h>

#include "base/file.h"
#include "keys/keyfile.h"
#include "layout/gate.h"
#include "layout/paths.h"
#include "observe/observe.h"
#include "plan/name.h"
#include "unlock/config.h"

#define HEADER BOOT_HEADER "\n"
#define TRIES  3
#define BEFORE "~before"
#define SEAL_SIZE 16 /* hex digits of SHA-256 over all but the first line */

static char *seal_of(const char *text)
{
	const char *rest = text + strcspn(text, "\n");
	char hash[HASH_HEX_SIZE];

	(void)data_hash(rest, strlen(rest), hash);
	return str_printf("%.*s", SEAL_SIZE, hash);
}

char *boot_seal(char *text)
{
	_cleanup_free_ char *owned = text, *seal = seal_of(text);

	if (!starts_with(text, BOOT_HEADER))
		return take_ptr(owned);
	return str_printf(BOOT_HEADER " %s%s", seal, text + strcspn(text, "\n"));
}

bool boot_is_sealed(const char *text)
{
	_cleanup_free_ char *seal = seal_of(text);
	const char *at = starts_with(text, BOOT_HEADER);

	return at && *at == ' ' && strncmp(at + 1, seal, SEAL_SIZE) == 0 && at[1 + SEAL_SIZE] == '\n';
}

char *boot_options(const struct layout *layout)
{
	/* Else systemd of the initramfs starts the one that it finds in the root. */
	const char *init = layout->system.init == INIT_OPENRC ? "init=/sbin/init" : "";
	const char *further = layout->boot.cmdline ? layout->boot.cmdline : "";

	return str_printf("%s%s%s", init, *init && *further ? " " : "", further);
}

/* AUTO: the pool's bootfs decides which dataset. */
static char *make_cmdline(const struct environment *environment, const char *options)
{
	return str_printf("root=zfs:%s%s%s", environment ? environment->dataset : "AUTO",
			  is_empty(options) ? "" : " ", options ? options : "");
}

char *boot_cmdline(const struct layout *layout, const struct environment *environment)
{
	_cleanup_free_ char *options = boot_options(layout);

	return make_cmdline(environment, options);
}

char *boot_loader_conf(const struct layout *layout)
{
	return boot_seal(str_printf(HEADER "timeout %llu\nconsole-mode keep\n",
				    (unsigned long long)layout->boot.timeout));
}

static int by_version(const void *a, const void *b)
{
	const struct observed_kernel *const *x = a, *const *y = b;

	return strverscmp((*y)->version, (*x)->version);
}

/* In the order of the menu; the caller frees the array. */
static const struct observed_kernel **sort_kernels(const struct list *kernels, size_t *ret_n)
{
	const struct observed_kernel **sorted =
		mem_alloc(MAX_OF(kernels->n_items, 1) * sizeof(*sorted));
	size_t n = 0;

	FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
		if (kernel->has_zfs)
			sorted[n++] = kernel;
	if (n)
		qsort(sorted, n, sizeof(*sorted), by_version);
	*ret_n = n;
	return sorted;
}

/*
 * The one lever that systemd-boot has for whoever owns the machine from outside, a hypervisor or a
 * management board: kernel parameters in an OEM string of SMBIOS. smbios(1) of GRUB gives the last
 * of these strings.
 */
#define GRUB_EXTRA                                                                             \
	"set extra=\n"                                                                         \
	"if smbios --type 11 --get-string 4 --set oem; then\n"                                 \
	"\tregexp --set=1:extra '^io\\.systemd\\.boot\\.kernel-cmdline-extra=(.*)$' \"$oem\"\n"  \
	"fi\n"

/* Kernel parameters in GRUB's language, in which $ ; { } and others mean something. */
static char *quote_for_grub(const char *cmdline)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	bool quoted = false;

	for (const char *s = cmdline; *s; s++) {
		quoted ^= *s == '"';
		if (strchr(quoted ? "$" : "$;{}|&<>#", *s))
			strbuf_add(&b, "\\");
		strbuf_add_bytes(&b, s, 1);
	}
	return strbuf_take(&b);
}

static void add_grub_entry(struct strbuf *b, const struct layout *layout,
			   const struct boot_choice *choice, const struct observed_kernel *kernel)
{
	const struct environment *environment = choice->environment;
	const char *name = environment ? environment->name : "";
	_cleanup_free_ char *plain = make_cmdline(environment, choice->options);
	_cleanup_free_ char *cmdline = quote_for_grub(plain);
	_cleanup_free_ char *folder =
		choice->stored ?
			str_printf("/" STORE_FOLDER "/%s-%s", kernel->version, kernel->hash) :
			str_dup("");
	_cleanup_free_ char *end = choice->stored ? str_dup("") : str_printf("-%s", kernel->version);

	strbuf_printf(b, "menuentry '%s, %s%skernel %s' --id '%s%s%s' {\n"
		      "\tlinux %s/vmlinuz%s %s $extra\n\tinitrd %s/initrd.img%s\n}\n",
		      layout->host, name, environment ? ", " : "", kernel->version, name,
		      environment ? "-" : "", kernel->version, folder, end, cmdline, folder, end);
}

static size_t add_grub_entries(struct strbuf *b, const struct layout *layout,
			       const struct boot_choice *choice)
{
	size_t n;
	_cleanup_free_ const struct observed_kernel **sorted = sort_kernels(choice->kernels, &n);

	for (size_t i = 0; i < n; i++)
		add_grub_entry(b, layout, choice, sorted[i]);
	return n;
}

char *boot_grub_config(const struct layout *layout, const struct boot_choice *choices,
		       size_t n_choices)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL, entries = STRBUF_NULL;
	_cleanup_free_ char *uuid = name_inside_uuid(layout->id, ROLE_BOOT);
	size_t n = 0;

	for (size_t i = 0; i < n_choices; i++)
		n += add_grub_entries(&entries, layout, &choices[i]);
	strbuf_printf(&b, HEADER "set timeout=%llu\nset default=0\n",
		      (unsigned long long)layout->boot.timeout);
	if (n > 1) {
		strbuf_add(&b, "set fallback=\"");
		for (size_t i = 1; i < n; i++)
			strbuf_printf(&b, "%s%zu", i > 1 ? " " : "", i);
		strbuf_add(&b, "\"\n");
	}
	strbuf_printf(&b, "search --no-floppy --fs-uuid --set=root %s\n", uuid);
	strbuf_add(&b, "insmod smbios\ninsmod regexp\n" GRUB_EXTRA);
	if (entries.size)
		strbuf_add(&b, entries.data);
	return boot_seal(strbuf_take(&b));
}

char *boot_kernel_folder(const char *version, const char *hash)
{
	return str_printf("eyrie/%s-%s", version, hash);
}

char *boot_entry_name(const struct environment *environment, const char *version,
		      const char *hash)
{
	return str_printf("eyrie-%s%s%s-%s.conf", environment ? environment->name : "",
			  environment ? "-" : "", version, hash);
}

char *boot_entry_sort_key(const struct environment *environment)
{
	return environment && !environment->active ? str_printf("eyrie-%s", environment->name) :
						     str_dup("eyrie");
}

char *boot_entry_counted(const char *name)
{
	return str_printf("%.*s+%u.conf", (int)(strlen(name) - strlen(".conf")), name, TRIES);
}

static char *make_entry(const struct layout *layout, const struct environment *environment,
			const char *version, const char *hash, const char *before)
{
	_cleanup_free_ char *folder = boot_kernel_folder(version, hash);
	_cleanup_free_ char *cmdline = boot_cmdline(layout, environment);
	_cleanup_free_ char *sort_key = boot_entry_sort_key(environment);

	return boot_seal(str_printf(
		HEADER "title %s%s%s, kernel %s%s\nsort-key %s\nversion %s%s\n"
		"linux /%s/linux\ninitrd /%s/initrd\noptions %s\n",
		layout->host, environment ? ", " : "", environment ? environment->name : "", version,
		*before ? " as before" : "", sort_key, version, before, folder, folder, cmdline));
}

char *boot_entry(const struct layout *layout, const struct environment *environment,
		 const char *version, const char *hash)
{
	return make_entry(layout, environment, version, hash, "");
}

char *boot_entry_before(const struct layout *layout, const struct environment *environment,
			const char *version, const char *hash)
{
	return make_entry(layout, environment, version, hash, BEFORE);
}

char *boot_version_before(const char *version)
{
	return str_printf("%s" BEFORE, version);
}

bool boot_version_is_before(const char *version)
{
	size_t n = strlen(version);

	return n > strlen(BEFORE) && streq(version + n - strlen(BEFORE), BEFORE);
}

static char *version_line(const char *entry)
{
	const char *line = strstr(entry, "\nversion ");

	if (!line)
		return NULL;
	line += strlen("\nversion ");
	return str_printf("%.*s", (int)strcspn(line, "\n"), line);
}

bool boot_entry_is_before(const char *entry)
{
	_cleanup_free_ char *version = version_line(entry);

	return version && boot_version_is_before(version);
}

char *boot_version_plain(const char *version)
{
	size_t n = strlen(version) - (boot_version_is_before(version) ? strlen(BEFORE) : 0);

	return str_printf("%.*s", (int)n, version);
}

char *boot_entry_version(const char *entry)
{
	_cleanup_free_ char *version = version_line(entry);

	return version ? boot_version_plain(version) : NULL;
}

/* "eyrie-[ENVIRONMENT-]VERSION-HASH.conf"; boot loaders write names in lower case. */
char *boot_entry_hash(const char *file, const char *version)
{
	const char *hash = file ? strrchr(file, '-') : NULL;
	size_t n = version ? strlen(version) : 0;
	size_t n_hash = hash ? strcspn(hash + 1, ".") : 0;

	if (!n || !n_hash || !starts_with(file, "eyrie-") || !streq(hash + 1 + n_hash, ".conf") ||
	    (size_t)(hash - file) < strlen("eyrie-") + n || hash[-(ptrdiff_t)n - 1] != '-' ||
	    strncasecmp(hash - n, version, n) != 0)
		return NULL;
	return str_printf("%.*s", (int)n_hash, hash + 1);
}

bool boot_came_up(const char *running, const char *started_by, const char *version,
		  const char *hash)
{
	_cleanup_free_ char *started = boot_entry_hash(started_by, running);

	return streq(version, running) && (!started_by || streq(hash, started));
}

char *boot_entry_resorted(const char *entry, const char *sort_key)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (const char *line = entry; *line;) {
		size_t n = strcspn(line, "\n");

		if (starts_with(line, "sort-key "))
			strbuf_printf(&b, "sort-key %s", sort_key);
		else
			strbuf_add_bytes(&b, line, n);
		strbuf_add(&b, "\n");
		line += n + (line[n] == '\n');
	}
	return boot_is_sealed(entry) ? boot_seal(strbuf_take(&b)) : strbuf_take(&b);
}

char *boot_entry_folder(const char *entry)
{
	const char *line = strstr(entry, "\nlinux /"), *from = line ? line + strlen("\nlinux /") : NULL;
	size_t n = from ? strcspn(from, "\n") : 0;

	while (n && from[n - 1] != '/')
		n--;
	return n > 1 ? str_printf("%.*s", (int)n - 1, from) : NULL;
}

static struct observed_partition *partition_of(const struct layout *layout, const struct observed *have,
					       const struct layout_disk *want, enum role role)
{
	struct observed_disk *disk = observed_disk(have, want->path);

	return disk ? find_partition(layout, disk, role, want->name) : NULL;
}

/*
 * Members are noauto: the initramfs opens them, for its initrd.target wants them, and nothing in
 * the running system waits for one a second time. Neither does anything for the key device.
 */
static void add_member(struct strbuf *b, const struct layout *layout, const char *disk,
		       const struct observed_luks *luks)
{
	_cleanup_free_ char *mapping = name_mapping(layout, disk);
	bool by_key = layout->encryption.unlock == UNLOCK_KEYSTORE && luks->key_slot;

	strbuf_printf(b, "%s UUID=%s %s luks,noauto,x-initrd.attach,", mapping, luks->uuid,
		      by_key ? "/dev/mapper/" NAME_KEY_MAPPING : "none");
	if (by_key)
		strbuf_printf(b, "keyfile-size=%u,key-slot=%llu,", KEYFILE_SIZE,
			      (unsigned long long)luks->key_slot);
	strbuf_printf(b, "x-systemd.device-timeout=%llus\n",
		      (unsigned long long)layout->boot.device_timeout);
}

/* From its legs eyrie-key-device makes an array, half a minute after they came at the latest. */
#define KEY_DEVICE_ARRAY 30 /* seconds */

static void add_key_device(struct strbuf *b, const struct layout *layout)
{
	_cleanup_free_ char *uuid = name_inside_uuid(layout->id, ROLE_KEY);

	strbuf_printf(b, NAME_KEY_MAPPING " UUID=%s none luks,noauto,x-initrd.attach,"
		      "x-systemd.device-timeout=%llus\n", uuid,
		      (unsigned long long)layout->boot.device_timeout + KEY_DEVICE_ARRAY);
}

char *boot_crypttab(const struct layout *layout, const struct observed *have)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, HEADER "# name, device, key, options: crypttab(5)\n");
	if (layout->encryption.unlock == UNLOCK_KEYSTORE)
		add_key_device(&b, layout);
	FOR_EACH_DISK(want, layout)
	{
		struct observed_partition *member = partition_of(layout, have, want, ROLE_MEMBER);

		/* With unlock: peer no stock tool opens them: eyrie-unlock does. */
		if (member && member->luks.uuid && layout->encryption.unlock != UNLOCK_PEER)
			add_member(&b, layout, want->name, &member->luks);
	}
	FOR_EACH_DISK(want, layout)
	{
		struct observed_partition *swap = partition_of(layout, have, want, ROLE_SWAP);
		/* As udev writes it in /dev/disk/by-partuuid. */
		_cleanup_free_ char *uuid = str_lower(swap ? swap->uuid : NULL);

		if (swap && role_wanted(layout, want->name, ROLE_SWAP))
			strbuf_printf(&b, "swap-%s PARTUUID=%s /dev/urandom swap,plain,cipher=%s,"
				      "size=%llu,nofail,x-systemd.device-timeout=%llus\n",
				      want->name, uuid, layout->encryption.cipher,
				      (unsigned long long)layout->encryption.key_size,
				      (unsigned long long)layout->boot.device_timeout);
	}
	return strbuf_take(&b);
}

/* HOMEHOST: arrays are ours by their UUID, whatever the host is called today. */
char *boot_mdadm_conf(const struct layout *layout)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, HEADER "HOMEHOST <ignore>\nMAILADDR root\n");
	for (enum role role = 0; role < ROLE_MAX; role++) {
		_cleanup_free_ char *name = name_array(role);
		_cleanup_free_ char *uuid = NULL;

		if (!role_wants_array(layout, role))
			continue;
		uuid = name_array_uuid(layout->id, role);
		for (char *c = uuid; *c; c++)
			*c = *c == '-' ? ':' : *c;
		strbuf_printf(&b, "ARRAY /dev/md/%s metadata=1.2 UUID=%s\n", name, uuid);
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
					.native = !layout_has_luks(layout, &layout->pool),
					.window = layout->boot.window };
	enum role role = role_of_pool(layout, &layout->pool);
	struct json_object *json;
	char *text;

	(void)layout_rejoin(layout, &config.rejoin);
	FOR_EACH_GATE(gate, &layout->gates)
		config.share |= gate->share_passphrase;
	FOR_EACH_DISK(want, layout)
	{
		struct observed_partition *partition = partition_of(layout, have, want, role);
		const char *uuid = !partition ? NULL : config.native ? partition->uuid :
								       partition->luks.uuid;
		struct unlock_member *member;

		if (!uuid || !layout_is_member(layout, want->name))
			continue;
		member = list_add(&config.members, &record_unlock_member);
		member->uuid = str_lower(uuid);
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

/*
 * Nothing waits for it. udev starts a degraded array after 30 s, so the timeout of a device that
 * comes no more is none of those by which the root is opened.
 */
static void add_boot(struct strbuf *b, const struct layout *layout)
{
	_cleanup_free_ char *uuid = name_inside_uuid(layout->id, ROLE_BOOT);

	strbuf_printf(b, "UUID=%s /boot %s noatime,nofail,x-systemd.device-timeout=%llus 0 2\n",
		      uuid, layout->boot.filesystem == BOOT_EXT2 ? "ext2" : "ext4",
		      MAX_OF((unsigned long long)layout->boot.device_timeout, 90ULL));
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
	if (role_wants_array(layout, ROLE_BOOT))
		add_boot(&b, layout);
	if (layout->swap.on == SWAP_VOLUME)
		strbuf_printf(&b, "/dev/zvol/%s/" LAYOUT_SWAP_VOLUME " none swap discard,nofail,"
			      "x-systemd.device-timeout=%llus 0 0\n", layout->pool.name, timeout);
	FOR_EACH_DISK(want, layout)
		if (role_wanted(layout, want->name, ROLE_SWAP))
			strbuf_printf(&b, "/dev/mapper/swap-%s none swap discard,nofail,"
				      "x-systemd.device-timeout=%llus 0 0\n", want->name, timeout);
	return strbuf_take(&b);
}

/* Suspending to memory stays as it is. */
char *boot_sleep_conf(const struct layout *layout)
{
	const char *why = layout->swap.on == SWAP_VOLUME ?
		"# Swap lies in the pool, and a pool that is imported before an image of memory goes\n"
		"# on with it is lost.\n" :
		"# Swap has a new key at every start: an image in it could not be read again.\n";

	return str_printf(HEADER "%s[Sleep]\nAllowHibernation=no\nAllowHybridSleep=no\n"
			  "AllowSuspendThenHibernate=no\n", why);
}

/*
 * Where systemd-cryptsetup opens the members. A dracut of its earlier days has it in the module crypt. The
 * whole crypttab is for a system that has these files without eyrie's package.
 */
#define STOCK_ITEMS                                                            \
	"install_items+=\" " PATH_INITRD_DROPIN " \"\n"                         \
	"install_items+=\" " PATH_IMPORT_UNIT " " PATH_IMPORT_DROPIN " \"\n"
#define IS_MODULE(name) "compgen -G \"$dracutbasedir/modules.d/??" name "\" >/dev/null"
#define STOCK_MODULES                                                          \
	"! " IS_MODULE("systemd-cryptsetup")                                   \
	" || dracutmodules+=\" systemd-cryptsetup \"\n"                         \
	"# The lines of crypttab that say x-initrd.attach.\n"                  \
	"if " IS_MODULE("eyrie-crypttab") "; then\n"                           \
	"\tdracutmodules+=\" eyrie-crypttab \"\n"                              \
	"else\n"                                                               \
	"\tinstall_items+=\" " PATH_CRYPTTAB " \"\n"                           \
	"fi\n"

/*
 * A root without systemd has none for its initramfs either. eyrie-unlock is a hook there, and
 * nothing else asks for a shell; what opens members in the other ways is systemd's, and no image is
 * better than one that opens none.
 */
#define HAS_SYSTEMD                                                            \
	"[[ -x \"${dracutsysrootdir-}/usr/lib/systemd/systemd\" ||"              \
	" -x \"${dracutsysrootdir-}/lib/systemd/systemd\" ]]"
#define PLAIN_MODULES                                                          \
	"# Without systemd there is a hook in the place of its units.\n"        \
	HAS_SYSTEMD " ||\n"                                                    \
	"\tdracutmodules=\" $(basename \"$(realpath \"${dracutsysrootdir-}/bin/sh\")\")" \
	" dm crypt zfs eyrie rootfs-block udev-rules base fs-lib shutdown usrmount terminfo \"\n"
#define WANTS_SYSTEMD                                                          \
	HAS_SYSTEMD " || {\n"                                                  \
	"\techo \"50-eyrie.conf: unlock: shared and keystore want systemd;"     \
	" unlock: peer does without it\" >&2\n"                                \
	"\texit 1\n}\n"

/*
 * Not host-only: the image is made in a chroot of an installer, and a machine whose disks move
 * to another one has to boot there. Every storage and keyboard driver is in it; network,
 * graphics and sound are not.
 */
char *boot_dracut_conf(const struct layout *layout)
{
	static const struct {
		const char *items, *modules, *further;
	} by[] = {
		[UNLOCK_SHARED] = { STOCK_ITEMS, "", WANTS_SYSTEMD STOCK_MODULES },
		[UNLOCK_PEER] = { "", " eyrie", PLAIN_MODULES },
		[UNLOCK_KEYSTORE] = { STOCK_ITEMS, " mdraid eyrie-keystore",
				      WANTS_SYSTEMD STOCK_MODULES },
		[UNLOCK_NATIVE] = { "", " eyrie", PLAIN_MODULES },
	};
	unsigned unlock = layout->encryption.unlock;

	return str_printf(
		HEADER
		"hostonly=\"no\"\n"
		"hostonly_cmdline=\"no\"\n"
		"compress=\"zstd -3 -T0\"\n"
		"%s"
		"dracutmodules=\" systemd systemd-initrd systemd-udevd systemd-journald"
		" systemd-ask-password systemd-modules-load systemd-sysctl systemd-tmpfiles"
		"%s dracut-systemd dm crypt zfs rootfs-block udev-rules base"
		" fs-lib shutdown usrmount terminfo \"\n"
		"%s"
		"add_drivers+=\" =drivers/ata =drivers/block =drivers/message/fusion"
		" =drivers/mmc =drivers/nvme =drivers/scsi =drivers/ufs =drivers/usb/host"
		" =drivers/usb/storage =drivers/virtio =drivers/hid =drivers/input/keyboard"
		" =drivers/input/serio =drivers/pci/controller =drivers/hv =drivers/xen"
		" =arch/x86/crypto dm_crypt xts ecb cbc aes_generic sha256_generic"
		" sha512_generic algif_skcipher algif_hash vfat nls_ascii nls_cp437 \"\n"
		"# The keyboard of /etc/default/keyboard, for the passphrase.\n"
		"[[ ! -x /bin/setupcon ]] || dracutmodules+=\" console-setup \"\n",
		by[unlock].items, by[unlock].modules, by[unlock].further);
}

/*
 * Every storage driver, as with dracut. Swap has a new key at every boot, so there is nothing to
 * resume from, and nobody shall wait for it.
 */
char *boot_initramfs_tools_conf(const struct layout *layout)
{
	(void)layout;
	return str_dup(HEADER "MODULES=most\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\nRESUME=none\n"
		       "# The keyboard of /etc/default/keyboard, for the passphrase.\n"
		       "[ ! -x /bin/setupcon ] || KEYMAP=y\n");
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
		   "[Unit]\nWants=eyrie-import.service\n");
	if (layout->encryption.unlock == UNLOCK_KEYSTORE)
		strbuf_add(&b, "Wants=eyrie-key-device.service eyrie-key-close.service "
			       "systemd-cryptsetup@" NAME_KEY_MAPPING ".service\n");
	FOR_EACH_MEMBER_DISK(want, layout)
	{
		_cleanup_free_ char *mapping = name_mapping(layout, want->name);
		_cleanup_free_ char *escaped = unit_escape(mapping);

		strbuf_printf(&b, "Wants=systemd-cryptsetup@%s.service\n", escaped);
	}
	return strbuf_take(&b);
}

/*
 * Stock zpool(8), in the place that zfs-import-scan.service has: but for one pool, by its GUID, and
 * whatever /etc/zfs/zpool.cache says. dracut takes that file along, the root's pool is never in it,
 * and OpenZFS's own units go by it alone once a single pool is. Who asks for bootfs comes after those
 * two by their names, and so has to be named here. -f: a rescue system that did not export it leaves
 * its host id in the pool, and by its GUID it belongs to this machine, whoever had it last.
 */
char *boot_import_unit(const struct layout *layout, const struct observed *have)
{
	const struct observed_pool *pool = observed_pool(have, layout->pool.name);

	return str_printf(HEADER
		"# Of the initramfs: it imports the root's pool alone. Others are in zpool.cache, and the\n"
		"# running system imports them.\n"
		"[Unit]\n"
		"Description=Import the root pool %s\n"
		"Documentation=man:zpool-import(8)\n"
		"DefaultDependencies=no\n"
		"Wants=systemd-udev-settle.service\n"
		"Requires=zfs-load-module.service\n"
		"After=zfs-load-module.service systemd-udev-settle.service\n"
		"After=systemd-udev-trigger.service systemd-modules-load.service cryptsetup.target\n"
		"Before=zfs-env-bootfs.service zfs-import.target\n"
		"ConditionPathExists=/etc/initrd-release\n"
		"\n"
		"[Service]\n"
		"Type=oneshot\n"
		"RemainAfterExit=yes\n"
		"ExecStart=/sbin/zpool import -N -f -o cachefile=none $ZPOOL_IMPORT_OPTS %s\n",
		layout->pool.name, pool && pool->guid ? pool->guid : layout->pool.name);
}

char *boot_import_dropin(void)
{
	return str_dup(HEADER
		       "# In the initramfs eyrie-import.service imports the root's pool, and nothing else is.\n"
		       "[Unit]\nConditionPathExists=!/etc/initrd-release\n");
}
