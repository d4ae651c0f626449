/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/check.h"

#include <ctype.h>
#include <uuid/uuid.h>

#include "base/cipher.h"
#include "layout/finding.h"
#include "layout/gate.h"

#define NAME_MAX_DISK 16u
#define KERNEL_SIZE (120 * MIB) /* with its initramfs of every storage driver, and to spare */
#define KERNELS_MIN 2		/* one to fall back to */
#define ESP_SPARE   (16 * MIB)	/* the loader, and what FAT or ext4 needs itself */
#define VOLUME_SIZE_MIN (1 * MIB)
#define PBKDF2_ITERATIONS_MIN 100000u /* zfsprops(7), "pbkdf2iters" */
#define BIOS_SIZE_MIN (1 * MIB)
#define KEY_SIZE_MIN (20 * MIB) /* md 1 MiB, LUKS2 header 16 MiB, and room for a key */
#define KEY_SIZE_MAX (1 * GIB)

static bool made_of(const char *s, const char *also)
{
	for (; *s; s++)
		if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) &&
		    !strchr(also, *s))
			return false;
	return true;
}

static void check_id(struct checker *c)
{
	uuid_t id;

	if (!c->layout->id)
		return;
	if (uuid_parse(c->layout->id, id) < 0 || uuid_is_null(id)) {
		finding(c, "id", "'id' is not a UUID");
		diag_hint(c->diag, "eyrie init makes one; so does uuidgen");
	} else if (!made_of(c->layout->id, "-")) {
		finding(c, "id", "'id' has upper-case letters");
	}
}

static void check_host(struct checker *c)
{
	const char *host = c->layout->host;

	if (!host)
		return;
	if (!*host || strlen(host) > 63 || !made_of(host, "-") || *host == '-')
		finding(c, "host", "'%s' is no host name: 1 to 63 of a-z, 0-9 and '-'", host);
	/* The label of a member is HOST-DISK. */
	if (streq(host, "eyrie-new"))
		finding(c, "host", "a host that is called '%s' would mark its members as new for ever", host);
}

static void check_disk(struct checker *c, const struct layout_disk *disk)
{
	_cleanup_free_ char *at = str_printf("disks\t%s", disk->name);
	_cleanup_free_ char *at_path = str_printf("%s\tpath", at);
	_cleanup_free_ char *at_sectors = str_printf("%s\tsector-size", at);

	if (is_empty(disk->name) || strlen(disk->name) > NAME_MAX_DISK ||
	    !made_of(disk->name, "-") || *disk->name == '-')
		finding(c, at, "'%s' is no name for a disk: 1 to %u of a-z, 0-9 and '-'",
			disk->name, NAME_MAX_DISK);
	if (!disk->path)
		return;
	if (*disk->path != '/')
		finding(c, at_path, "the path of disk '%s' does not begin with '/'", disk->name);
	if (disk->sector_size && disk->sector_size != 512 && disk->sector_size != 4096)
		finding(c, at_sectors, "the sectors of a disk are of 512 or of 4096 bytes");
	FOR_EACH_DISK(other, c->layout)
	{
		if (other == disk)
			break;
		if (!streq(other->path, disk->path))
			continue;
		finding(c, at_path, "the disks '%s' and '%s' have the same path", other->name,
			disk->name);
	}
	if (!layout_pool_of(c->layout, disk->name, NULL)) {
		finding(c, at, "disk '%s' is in no vdev", disk->name);
		diag_hint(c->diag, "name it under pool: vdevs:, or take it out of disks:");
	}
}

static void check_encryption(struct checker *c)
{
	const struct layout_encryption *e = &c->layout->encryption;
	const struct layout_kdf *kdf = &e->kdf;
	uint64_t iterations_min = kdf->type == KDF_ARGON2ID ? 4 : 1000;

	if (e->key_size != 256 && e->key_size != 512)
		finding(c, "encryption\tkey-size", "'key-size' is in bits: 256 or 512");
	if (e->sector_size && e->sector_size != 512 && e->sector_size != 4096)
		finding(c, "encryption\tsector-size", "'sector-size' is in bytes: 512 or 4096");
	if (kdf->iterations && kdf->iterations < iterations_min)
		finding(c, "encryption\tkdf\titerations", "'iterations' is %llu at least",
			(unsigned long long)iterations_min);
	if (kdf->iterations > UINT32_MAX)
		finding(c, "encryption\tkdf\titerations", "'iterations' is %u at most", UINT32_MAX);
	if (kdf->time < 100 || kdf->time > 60000)
		finding(c, "encryption\tkdf\ttime",
			"'time' is in milliseconds, 100 to 60000");
	if (kdf->memory < 32 * MIB || kdf->memory > 4 * GIB)
		finding(c, "encryption\tkdf\tmemory", "'memory' is 32MiB to 4GiB");
	if (kdf->threads < 1 || kdf->threads > 4)
		finding(c, "encryption\tkdf\tthreads", "'threads' is 1 to 4");
	if (!cipher_is_known(e->cipher))
		finding(c, "encryption\tcipher",
			"'%s' is not a cipher for disks that eyrie knows: " CIPHERS, e->cipher);
}

/* Where a pool stands in the file; keys below it are appended. */
static char *pool_path(const struct checker *c, const struct layout_pool *pool, const char *below)
{
	if (pool != &c->layout->pool)
		return str_printf("pools\t%s\t%s", pool->name, below);
	return str_printf("%s%s", starts_with(below, "datasets") || starts_with(below, "volumes") ?
					  "" : "pool\t", below);
}

static bool in_other_vdev(const struct layout *layout, const struct layout_vdev *vdev,
			  const char *disk)
{
	const struct layout_vdev *first = NULL;

	return layout_pool_of(layout, disk, &first) && first != vdev;
}

static void check_vdev_disks(struct checker *c, const struct layout_vdev *vdev,
			     const struct strv *disks, const char *at)
{
	for (size_t i = 0; i < disks->n_items; i++) {
		const char *name = disks->items[i];
		_cleanup_free_ char *at_item = str_printf("%s\t%zu", at, i);

		if (!layout_disk(c->layout, name))
			finding(c, at_item, "there is no disk '%s' under disks:", name);
		for (size_t k = 0; k < i; k++)
			if (streq(disks->items[k], name))
				finding(c, at_item, "disk '%s' is named twice", name);
		if (in_other_vdev(c->layout, vdev, name))
			finding(c, at_item, "disk '%s' is in another vdev too", name);
	}
}

/*
 * What eyrie makes of a whole disk lies in partitions of its own, alike on all disks of a vdev, and
 * the root's pool is started from them; of a partition there is only the inside.
 */
static void check_vdev_partitions(struct checker *c, const struct layout_pool *pool, enum vdev_kind kind,
				  const struct strv *disks, const char *at)
{
	const char *whole = NULL, *partition = NULL;

	for (size_t i = 0; i < disks->n_items; i++) {
		const struct layout_disk *disk = layout_disk(c->layout, disks->items[i]);

		if (disk && disk->path)
			*(layout_is_partition(disk) ? &partition : &whole) = disk->name;
	}
	if (partition && !vdev_kinds[kind].class) {
		finding(c, at, "'%s' is a partition, and a disk that holds the data of a pool is a whole one",
			partition);
		diag_hint(c->diag, pool == &c->layout->pool ?
				  "each of them starts the machine, and has partitions for that; a log, "
				  "cache, special or spare may be a partition" :
				  "a log, cache, special or spare may be a partition");
	} else if (partition && whole) {
		finding(c, at, "'%s' is a partition, and '%s' a whole disk", partition, whole);
		diag_hint(c->diag, "a %s is of whole disks, which eyrie partitions alike, or of partitions",
			  vdev_kinds[kind].name);
	}
}

static void check_vdev_size(struct checker *c, enum vdev_kind kind, size_t n, const char *at)
{
	const struct vdev_kind_info *info = &vdev_kinds[kind];

	if (n >= info->n_min)
		return;
	if (kind == VDEV_MIRROR)
		finding(c, at, "a mirror of one disk mirrors nothing");
	else
		finding(c, at, "'%s' wants %zu disks or more", info->name, info->n_min);
	if (kind == VDEV_MIRROR)
		diag_hint(c->diag, "a mirror wants two disks or more");
	if (kind == VDEV_SPECIAL || kind == VDEV_LOG)
		diag_hint(c->diag, "the pool would be lost, or not be imported, with that one disk");
}

static void check_vdev(struct checker *c, const struct layout_pool *pool, size_t index)
{
	const struct layout_vdev *vdev = list_at(&pool->vdevs, &record_layout_vdev, index);
	_cleanup_free_ char *below = str_printf("vdevs\t%zu", index);
	_cleanup_free_ char *at = pool_path(c, pool, below);
	size_t n_kinds = 0;

	for (enum vdev_kind kind = 0; kind < VDEV_KIND_MAX; kind++) {
		const struct strv *disks = &vdev->disks[kind];
		_cleanup_free_ char *at_kind = str_printf("%s\t%s", at, vdev_kinds[kind].name);

		if (!disks->n_items)
			continue;
		n_kinds++;
		check_vdev_size(c, kind, disks->n_items, at_kind);
		check_vdev_disks(c, vdev, disks, at_kind);
		check_vdev_partitions(c, pool, kind, disks, at_kind);
	}
	if (n_kinds == 1)
		return;
	finding(c, at, n_kinds ? "a vdev is of one kind" : "this vdev has no disks");
	diag_hint(c->diag, "for example: - mirror: [left, right]");
}

/* zpool-create(8): data that is spread over vdevs is as safe as the least of them. */
static void check_redundancy(struct checker *c, const struct layout_pool *pool)
{
	_cleanup_free_ char *at = pool_path(c, pool, "vdevs");
	enum vdev_kind first = VDEV_KIND_MAX;

	FOR_EACH_VDEV(vdev, pool)
	{
		enum vdev_kind kind = layout_vdev_kind(vdev);

		if (vdev_kinds[kind].class)
			continue;
		if (first == VDEV_KIND_MAX)
			first = kind;
		if (kind == first)
			continue;
		finding(c, at, "the pool has a %s and a %s: it would be as safe as the lesser",
			vdev_kinds[first].name, vdev_kinds[kind].name);
		return;
	}
	if (first == VDEV_KIND_MAX)
		finding(c, at, "the pool has no vdevs%s",
			pool->vdevs.n_items ? " that hold data" : "");
}

/* The names that zpool-create(8) reserves. */
static bool is_reserved_pool(const char *name)
{
	static const char *const prefixes[] = { "mirror", "raidz", "draid", "spare", "log" };

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (starts_with(name, prefixes[i]))
			return true;
	return false;
}

/* Between slashes there is something, and it is neither "." nor ".."; `path` begins behind a slash. */
static bool has_names(const char *path)
{
	for (;;) {
		size_t n = strcspn(path, "/");

		if (!n || (n == 1 && *path == '.') || (n == 2 && strncmp(path, "..", 2) == 0))
			return false;
		if (!path[n])
			return true;
		path += n + 1;
	}
}

/* Paths are compared as they are written. */
static bool is_mountpoint(const char *path)
{
	for (const char *s = path; *s; s++)
		if (iscntrl((unsigned char)*s))
			return false;
	return *path == '/' && (!path[1] || has_names(path + 1));
}

/* zfs(8), and as much as leaves room for a snapshot. */
#define DATASET_NAME "letters, digits and '-_.:', parts between slashes, up to 200"

static bool is_dataset_name(const char *name)
{
	if (is_empty(name) || strlen(name) > 200 || !has_names(name))
		return false;
	for (const char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-_.:/", *s))
			return false;
	return true;
}

static void check_pool(struct checker *c, const struct layout_pool *pool)
{
	_cleanup_free_ char *at = pool_path(c, pool, "name");

	if (!is_dataset_name(pool->name) || strchr(pool->name, '/') ||
	    !isalpha((unsigned char)*pool->name) || is_reserved_pool(pool->name))
		finding(c, at, "'%s' is no name for a pool: a letter, then letters, digits and '-_.:', and "
			"not what zpool(8) calls vdevs: mirror, raidz, draid, spare, log", pool->name);
	if (layout_pool_named(c->layout, pool->name) != pool)
		finding(c, at, "there are two pools named '%s'", pool->name);
	for (size_t i = 0; i < pool->vdevs.n_items; i++)
		check_vdev(c, pool, i);
	check_redundancy(c, pool);
}

/* Whoever else of any pool is mounted there, up to this one. */
static const char *mounted_before(const struct layout *layout, const struct layout_dataset *until,
				  const char *mountpoint)
{
	FOR_EACH_POOL(pool, layout)
		FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		{
			if (dataset == until)
				return NULL;
			if (streq(dataset->mountpoint, mountpoint))
				return dataset->name;
		}
	return NULL;
}

/*
 * The root is mounted by the initramfs, and of its children those that the start needs (zfs-lib.sh
 * of OpenZFS: for_relevant_root_children); everything else comes when systemd has been started.
 */
static void check_early(struct checker *c, const struct layout_dataset *dataset,
			const char *mountpoint, const char *at)
{
	static const struct {
		const char *path;
		bool is_mounted; /* when it is a child of the root */
	} early[] = {
		{ "/etc", true },      { "/usr", true },      { "/bin", true },
		{ "/lib", true },      { "/lib64", true },    { "/sbin", false },
		{ "/usr/bin", false }, { "/usr/lib", false }, { "/usr/lib64", false },
		{ "/usr/sbin", false },
	};
	const struct layout_dataset *root = layout_root(c->layout);

	for (size_t i = 0; i < ARRAY_SIZE(early); i++) {
		if (!streq(mountpoint, early[i].path) || !layout_mounts(dataset) ||
		    (early[i].is_mounted && root && is_below(dataset->name, root->name)))
			continue;
		finding(c, at, "%s would come too late: the start needs it, and the initramfs does not "
			"mount '%s'", early[i].path, dataset->name);
		diag_hint(c->diag, early[i].is_mounted ?
				  "leave it in the root, or make it a child of that: %s%s" :
				  "leave it in the root", root ? root->name : "", early[i].path);
	}
}

/* An array is mounted on it, and whatever a dataset hides of that, GRUB does not read. */
static void check_boot(struct checker *c, const struct layout_dataset *dataset,
		       const char *mountpoint, const char *at)
{
	if (!layout_boots_bios(c->layout) || !layout_mounts(dataset) || !mountpoint ||
	    !is_or_is_below(mountpoint, "/boot"))
		return;
	finding(c, at, "%s would be on a dataset, which GRUB cannot read", mountpoint);
	diag_hint(c->diag, "with 'firmware: %s' /boot is a mirrored partition of its own, "
		  "as large as boot: size: says",
		  c->layout->firmware == FIRMWARE_BOTH ? "both" : "bios");
}

/* What is mounted there at every start would hide it, or be hidden by it. */
static void check_kernels_own(struct checker *c, const struct layout_dataset *dataset,
			      const char *mountpoint, const char *at)
{
	static const char *const paths[] = { "/proc", "/sys", "/dev", "/run" };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (mountpoint && layout_mounts(dataset) && is_or_is_below(mountpoint, paths[i]))
			finding(c, at, "%s is the kernel's, and nothing of a pool is mounted there",
				paths[i]);
}

static void check_dataset(struct checker *c, const struct layout_pool *pool,
			  const struct layout_dataset *dataset)
{
	_cleanup_free_ char *below = str_printf("datasets\t%s", dataset->name);
	_cleanup_free_ char *at = pool_path(c, pool, below);
	_cleanup_free_ char *at_mount = str_printf("%s\tmountpoint", at);
	_cleanup_free_ char *mountpoint = layout_mountpoint(pool, dataset);
	const char *m = dataset->mountpoint;
	const char *other = m && *m == '/' ? mounted_before(c->layout, dataset, m) : NULL;

	if (!is_dataset_name(dataset->name))
		finding(c, at, "'%s' is no name for a dataset: " DATASET_NAME, dataset->name);
	if (m && *m != '/' && !streq(m, "none") && !streq(m, "legacy"))
		finding(c, at_mount, "'mountpoint' is a path, none or legacy");
	else if (m && *m == '/' && !is_mountpoint(m))
		finding(c, at_mount, "'%s' is written in another way than the kernel has it: no '//', "
			"'.', '..' or '/' at its end", m);
	check_kernels_own(c, dataset, mountpoint, at_mount);
	check_boot(c, dataset, mountpoint, at_mount);
	if (other)
		finding(c, at_mount, "'%s' and '%s' are both mounted on %s", other, dataset->name, m);
	check_early(c, dataset, mountpoint, at_mount);
	if (pool != &c->layout->pool && streq(m, "/"))
		finding(c, at_mount, "the root is in pool:, not in a further one");
}

static void check_datasets(struct checker *c, const struct layout_pool *pool)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		check_dataset(c, pool, dataset);
	if (pool != &c->layout->pool || layout_root(c->layout))
		return;
	finding(c, "datasets", "no dataset has the mountpoint /");
	diag_hint(c->diag, "for example: ROOT/debian: { mountpoint: / }");
}

static void check_volumes(struct checker *c, const struct layout_pool *pool)
{
	bool swap = pool == &c->layout->pool && c->layout->swap.on == SWAP_VOLUME;

	FOR_EACH_ITEM(struct layout_volume, volume, &pool->volumes)
	{
		_cleanup_free_ char *below = str_printf("volumes\t%s", volume->name);
		_cleanup_free_ char *at = pool_path(c, pool, below);

		if (!is_dataset_name(volume->name))
			finding(c, at, "'%s' is no name for a volume: " DATASET_NAME, volume->name);
		FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
			if (streq(dataset->name, volume->name))
				finding(c, at, "a dataset has the name '%s' already", volume->name);
		if (volume->size < VOLUME_SIZE_MIN)
			finding(c, at, "a volume is 1MiB at least");
		if (swap && streq(volume->name, LAYOUT_SWAP_VOLUME))
			finding(c, at, "the volume '%s' is what swap: on: volume makes",
				volume->name);
	}
}

static void check_swap(struct checker *c)
{
	if (c->layout->swap.on != SWAP_NONE && c->layout->swap.size < 64 * MIB)
		finding(c, "swap\tsize", "swap is 64MiB at least");
	if (c->layout->swap.on == SWAP_PARTITION && c->layout->system.init == INIT_OPENRC) {
		finding(c, "swap\ton", "a swap partition is encrypted anew at each start by systemd, "
			"which does not run with 'init: openrc'");
		diag_hint(c->diag, "swap: { on: volume } is in the pool, and encrypted with it");
	}
}

/*
 * What encrypts a dataset is given when it is made, whole: zfs(8) would answer each mistake in
 * words of its own, half-way through.
 */
static void check_native(struct checker *c, const struct list *properties, const char *at)
{
	const char *encryption = pair_get(properties, "encryption");
	const char *format = pair_get(properties, "keyformat");
	const char *location = pair_get(properties, "keylocation");
	const char *iterations = pair_get(properties, "pbkdf2iters");
	bool off = !encryption || streq(encryption, "off");
	uint64_t n;

	if (off && (format || location || iterations))
		finding(c, at, "keyformat, keylocation and pbkdf2iters want 'encryption' beside them");
	if (off)
		return;
	if (!format || (!streq(format, "passphrase") && !streq(format, "raw") && !streq(format, "hex")))
		finding(c, at, "'keyformat' is passphrase, raw or hex");
	else if (!streq(format, "passphrase") && (!location || streq(location, "prompt")))
		finding(c, at, "a %s key wants 'keylocation', file:///PATH for example", format);
	if (location && !streq(location, "prompt") && !starts_with(location, "file:///") &&
	    !starts_with(location, "https://") && !starts_with(location, "http://"))
		finding(c, at, "'keylocation' is prompt, or a URL such as file:///PATH");
	if (iterations && (str_to_u64(iterations, &n) || n < PBKDF2_ITERATIONS_MIN))
		finding(c, at, "'pbkdf2iters' is %u at least", PBKDF2_ITERATIONS_MIN);
}

/* Whoever starts the machine types the key of what the root lies in, and can type no other. */
static void check_typed(struct checker *c, const struct list *properties, const char *at)
{
	const char *format = pair_get(properties, "keyformat");
	const char *location = pair_get(properties, "keylocation");

	if ((format && !streq(format, "passphrase")) || (location && !streq(location, "prompt")))
		finding(c, at, "the key of the root is a passphrase that is typed: 'keyformat' "
			"passphrase, 'keylocation' prompt");
}

static void check_natives(struct checker *c, const struct layout_pool *pool)
{
	_cleanup_free_ char *top = pool_path(c, pool, "filesystem-properties");
	const struct layout_dataset *root =
		pool == &c->layout->pool ? layout_root(c->layout) : NULL;

	check_native(c, &pool->filesystem_properties, top);
	if (pool == &c->layout->pool)
		check_typed(c, &pool->filesystem_properties, top);
	if (pool == &c->layout->pool && !layout_has_luks(c->layout, pool) &&
	    streq(pair_get(&pool->filesystem_properties, "encryption"), "off"))
		finding(c, top, "with 'encryption: native' the pool is encrypted");
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
	{
		_cleanup_free_ char *below = str_printf("datasets\t%s\tproperties", dataset->name);
		_cleanup_free_ char *at = pool_path(c, pool, below);

		check_native(c, &dataset->properties, at);
		if (dataset == root || (root && is_below(root->name, dataset->name)))
			check_typed(c, &dataset->properties, at);
	}
}

/* cryptsetup-initramfs knows no passphrase that was typed before, and each disk's own question. */
static void check_initramfs(struct checker *c)
{
	static const char *const would[] = {
		[UNLOCK_SHARED] = "ask for each disk by itself",
		[UNLOCK_PEER] = NULL,
		[UNLOCK_KEYSTORE] = "leave the key device open",
		[UNLOCK_NATIVE] = NULL,
	};
	unsigned unlock = c->layout->encryption.unlock;

	if (c->layout->boot.initramfs != INITRAMFS_TOOLS || !would[unlock])
		return;
	finding(c, "boot\tinitramfs", "with 'unlock: %s' initramfs-tools would %s",
		layout_unlock_name(unlock), would[unlock]);
	diag_hint(c->diag, "unlock: peer and native ask once with it; dracut asks once with any");
}

/* For the kernels that a disk starts from. */
static void check_room(struct checker *c, const char *at, const char *what, uint64_t size)
{
	_cleanup_free_ char *is = str_from_size(size);
	_cleanup_free_ char *least = str_from_size(KERNELS_MIN * KERNEL_SIZE + ESP_SPARE);

	if (size >= KERNELS_MIN * KERNEL_SIZE + ESP_SPARE)
		return;
	finding(c, at, "%s of %s has no room for two kernels", what, is);
	diag_hint(c->diag, "a kernel and its initramfs take up to 120MiB, and one to fall back to "
		  "as much: %s at least", least);
}

/*
 * It is one line, and GRUB takes quotes away and puts them where it wants them: a \ or a ' of its own
 * would reach the kernel with a \ before it.
 */
static void check_characters(struct checker *c, const char *cmdline)
{
	bool bios = layout_boots_bios(c->layout), open = false;

	for (const char *s = cmdline; *s; s++) {
		open ^= *s == '"';
		if (*s != '\n' && !(bios && strchr("\\'", *s)))
			continue;
		finding(c, "boot\tcmdline", *s == '\n' ?
			"'cmdline' is one line" :
			"GRUB gives no \\ and no ' to the kernel as they are");
		return;
	}
	if (open)
		finding(c, "boot\tcmdline", "a \" in 'cmdline' has no other one");
}

/*
 * An image of memory is of no use, or worse: who resumes from one after the pool was imported
 * loses the pool.
 */
static void check_cmdline(struct checker *c)
{
	static const char *const why[] = {
		[SWAP_NONE] = "there is no swap to resume from",
		[SWAP_VOLUME] = "swap lies in the pool, which would be imported before memory "
				"goes on with it, and be lost",
		[SWAP_PARTITION] = "swap has a new key at every start, and no image in it can be "
				   "read again",
	};
	const char *cmdline = c->layout->boot.cmdline ? c->layout->boot.cmdline : "";
	_cleanup_strv_ struct strv words = STRV_NULL;

	check_characters(c, cmdline);
	strv_split(&words, cmdline, " \t");
	for (size_t i = 0; i < words.n_items; i++) {
		if (!starts_with(words.items[i], "resume=") &&
		    !starts_with(words.items[i], "resume_offset="))
			continue;
		finding(c, "boot\tcmdline", "'%s': a root on ZFS cannot hibernate: %s",
			words.items[i], why[c->layout->swap.on]);
		return;
	}
}

/* What GRUB and the key device need; a size that nobody uses is checked all the same. */
static void check_sizes(struct checker *c)
{
	const struct layout_boot *boot = &c->layout->boot;
	uint64_t key = layout_key_size(c->layout);

	check_room(c, "boot\tesp-size", "an ESP", boot->esp_size);
	if (boot->bios_size < BIOS_SIZE_MIN) {
		finding(c, "boot\tbios-size",
			"a BIOS boot partition below 1MiB does not hold GRUB");
		diag_hint(c->diag, "without one a BIOS starts nothing from a GPT disk");
	}
	check_room(c, "boot\tsize", "a /boot", boot->size);
	if (key && (key < KEY_SIZE_MIN || key > KEY_SIZE_MAX))
		finding(c, "encryption\tkey-device-size", "'key-device-size' is 20MiB to 1GiB");
}

static void check_keyboard(struct checker *c)
{
	_cleanup_free_ char *layout = NULL, *variant = NULL;

	if (!c->layout->system.keyboard || layout_keyboard(c->layout, &layout, &variant) == 0)
		return;
	finding(c, "system\tkeyboard", "'keyboard' is a layout, de, or one with a variant, "
		"de(nodeadkeys)");
	diag_hint(c->diag, "/usr/share/X11/xkb/rules/base.lst lists them");
}

/* Debian Policy 5.6.1, with an architecture, a version or a suite behind it as apt(8) takes them. */
static bool is_package(const char *name)
{
	size_t n = strcspn(name, ":=/");
	_cleanup_free_ char *first = str_printf("%.*s", (int)n, name);

	for (const char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("+-.:=/~*_", *s))
			return false;
	return n > 1 && made_of(first, "+-.") && !strchr("+-.", *name);
}

/* Words that go to apt, and to a link below /usr/share/zoneinfo. */
static void check_words(struct checker *c)
{
	const struct layout_system *s = &c->layout->system;

	for (size_t i = 0; i < s->packages.n_items; i++) {
		_cleanup_free_ char *at = str_printf("system\tpackages\t%zu", i);

		if (!is_package(s->packages.items[i]))
			finding(c, at, "'%s' is no name of a package", s->packages.items[i]);
	}
	if (s->timezone && !has_names(s->timezone))
		finding(c, "system\ttimezone", "'timezone' is a name below /usr/share/zoneinfo, "
			"Europe/Berlin for example");
}

static void check_system(struct checker *c)
{
	uint64_t rejoin;
	const struct layout_system *s = &c->layout->system;

	if (s->suite && s->tarball)
		finding(c, "system\ttarball", "either 'suite' or 'tarball', not both");
	if (s->suite && !streq(s->suite, "trixie") && !streq(s->suite, "bookworm"))
		finding(c, "system\tsuite", "eyrie knows the suites bookworm and trixie, not %s",
			s->suite);
	if (s->tarball && *s->tarball != '/')
		finding(c, "system\ttarball", "'tarball' does not begin with '/'");
	if (s->root_password && *s->root_password != '$') {
		finding(c, "system\troot-password", "'root-password' is no crypt(5) hash");
		diag_hint(c->diag, "openssl passwd -6 asks for a password and prints its hash");
	}
	if (layout_has_system(c->layout) && !s->root_password && !s->root_keys.n_items) {
		diag_warning(c->diag, "nobody will be able to log in to the new system");
		diag_hint(c->diag, "give system: root-password: or root-keys:");
		yaml_place(c->source, c->diag, "system");
	}
	check_keyboard(c);
	check_words(c);
	check_sizes(c);
	if (c->layout->boot.timeout > 3600)
		finding(c, "boot\ttimeout", "'timeout' is in seconds, 0 to 3600");
	if (c->layout->boot.device_timeout < 1 || c->layout->boot.device_timeout > 3600)
		finding(c, "boot\tdevice-timeout", "'device-timeout' is in seconds, 1 to 3600");
	if (c->layout->boot.window > 3600)
		finding(c, "boot\twindow", "'window' is in seconds, 0 to 3600");
	if (layout_rejoin(c->layout, &rejoin))
		finding(c, "boot\trejoin", "'rejoin' is in seconds, or always");
	check_initramfs(c);
	check_cmdline(c);
}

static void check_gate_of_openrc(struct checker *c, const struct gate *gate)
{
	_cleanup_free_ char *at = str_printf("gates\t%s", gate->name);
	const char *why = gate_without_systemd(gate);

	if (!why)
		return;
	finding(c, at, "with 'init: openrc' a gate holds the services that it lists: %s", why);
	diag_hint(c->diag, "hold: listed, services: [postgresql], as they are named in /etc/init.d");
}

/* The pool may be somebody's own; a boot that waits for it would wait in vain where it is none. */
static void check_pool_of_gate(struct checker *c, const struct gate *gate)
{
	_cleanup_free_ char *at = str_printf("gates\t%s", gate->name);

	FOR_EACH_POOL(pool, c->layout)
		if (is_or_is_below(gate->name, pool->name))
			return;
	if (gate->hold == GATE_BOOT) {
		finding(c, at, "the boot would wait for '%s', and there is no such pool here",
			gate->name);
	} else {
		diag_warning(c->diag, "the gate '%s' is of no pool of this layout", gate->name);
		yaml_place(c->source, c->diag, at);
	}
}

/* Only eyrie-unlock can keep what was typed. */
static void check_gates(struct checker *c)
{
	if (gates_check(&c->layout->gates, c->source, c->diag))
		c->n_findings++;
	FOR_EACH_GATE(gate, &c->layout->gates)
	{
		_cleanup_free_ char *at = str_printf("gates\t%s\tshare-passphrase", gate->name);

		if (gate->share_passphrase && c->layout->encryption.unlock != UNLOCK_PEER)
			finding(c, at, "'share-passphrase' wants encryption: { unlock: peer }");
		if (c->layout->system.init == INIT_OPENRC)
			check_gate_of_openrc(c, gate);
		check_pool_of_gate(c, gate);
	}
}

/* Even where 4096 is written down: see layout_sector_size(). */
static void lower_sector_size(struct layout *layout, struct diag *diag)
{
	if (!streq(layout->system.suite, "bookworm") || layout->encryption.sector_size == 512)
		return;
	layout->encryption.sector_size = 512;
	diag_note(diag, "bookworm's OpenZFS is not safe with 4096-byte LUKS sectors: 512 are used");
}

int layout_check(struct layout *layout, const struct yaml_source *source, struct diag *diag)
{
	struct checker c = { .layout = layout, .source = source, .diag = diag };

	check_id(&c);
	check_host(&c);
	FOR_EACH_DISK(disk, layout)
		check_disk(&c, disk);
	check_encryption(&c);
	FOR_EACH_POOL(pool, layout)
	{
		check_pool(&c, pool);
		check_datasets(&c, pool);
		check_volumes(&c, pool);
		check_natives(&c, pool);
	}
	check_swap(&c);
	check_system(&c);
	check_gates(&c);
	lower_sector_size(layout, diag);
	return c.n_findings ? -EINVAL : 0;
}

static void set_default(struct list *properties, const char *name, const char *value)
{
	if (!pair_get(properties, name))
		pair_set(properties, name, value);
}

static bool has_dataset(const struct layout_pool *pool, const char *name, size_t length)
{
	FOR_EACH_ITEM(struct layout_dataset, dataset, &pool->datasets)
		if (strlen(dataset->name) == length && strncmp(dataset->name, name, length) == 0)
			return true;
	return false;
}

/* Parents of `name` that nobody wrote down: containers, not mounted. */
static void add_parents(struct layout_pool *pool, const char *name)
{
	_cleanup_free_ char *copy = str_dup(name); /* the list moves as it grows */

	for (const char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - copy);
		struct layout_dataset *parent;

		if (has_dataset(pool, copy, length))
			continue;
		parent = list_add(&pool->datasets, &record_layout_dataset);
		parent->name = str_printf("%.*s", (int)length, copy);
		parent->mountpoint = str_dup("none");
	}
}

static int by_name(const void *a, const void *b)
{
	const struct layout_dataset *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static bool has_volume(const struct layout_pool *pool, const char *name)
{
	FOR_EACH_ITEM(struct layout_volume, volume, &pool->volumes)
		if (streq(volume->name, name))
			return true;
	return false;
}

static void add_swap_volume(struct layout *layout)
{
	struct layout_volume *volume = list_add(&layout->pool.volumes, &record_layout_volume);

	volume->name = str_dup(LAYOUT_SWAP_VOLUME);
	volume->size = layout->swap.size;
	/* volblocksize is the article's; the others are of OpenZFS's own advice for swap. */
	pair_set(&volume->properties, "volblocksize", "4K");
	pair_set(&volume->properties, "compression", "zle");
	pair_set(&volume->properties, "sync", "always");
	pair_set(&volume->properties, "primarycache", "metadata");
}

static void complete_pool(struct layout_pool *pool)
{
	size_t n = pool->datasets.n_items;

	set_default(&pool->properties, "ashift", "12");
	set_default(&pool->properties, "autotrim", "on");
	set_default(&pool->filesystem_properties, "compression", "on");
	set_default(&pool->filesystem_properties, "acltype", "posixacl");
	set_default(&pool->filesystem_properties, "xattr", "sa");
	set_default(&pool->filesystem_properties, "relatime", "on");
	for (size_t i = 0; i < n; i++)
		add_parents(pool, ((struct layout_dataset *)pool->datasets.items)[i].name);
	FOR_EACH_ITEM(struct layout_volume, volume, &pool->volumes)
		add_parents(pool, volume->name);
	if (pool->datasets.n_items)
		qsort(pool->datasets.items, pool->datasets.n_items,
		      sizeof(struct layout_dataset), by_name);
}

void layout_complete(struct layout *layout)
{
	if (!layout_has_luks(layout, &layout->pool)) {
		set_default(&layout->pool.filesystem_properties, "encryption", "on");
		set_default(&layout->pool.filesystem_properties, "keyformat", "passphrase");
		set_default(&layout->pool.filesystem_properties, "keylocation", "prompt");
	}
	complete_pool(&layout->pool);
	FOR_EACH_ITEM(struct layout_pool, pool, &layout->pools)
		complete_pool(pool);
	if (layout->swap.on == SWAP_VOLUME && !has_volume(&layout->pool, LAYOUT_SWAP_VOLUME))
		add_swap_volume(layout);
}
