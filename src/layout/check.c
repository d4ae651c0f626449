/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/check.h"

#include "layout/gate.h"

#include <ctype.h>
#include <uuid/uuid.h>

#define NAME_MAX_DISK 16u
#define ESP_SIZE_MIN (256 * MIB)
#define VOLUME_SIZE_MIN (1 * MIB)

struct checker {
	struct layout *layout;
	const struct yaml_source *source;
	struct diag *diag;
	size_t n_findings;
};

/* A finding about the value at `path`, whose keys are separated by tabs: names hold slashes. */
static void finding(struct checker *c, const char *path, const char *format, ...)
	_printf_(3, 4);

static void finding(struct checker *c, const char *path, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, format);
	text = str_vprintf(format, ap);
	va_end(ap);
	c->n_findings++;
	(void)diag_error(c->diag, 0, "%s", text);
	yaml_place(c->source, c->diag, path);
}

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
}

static void check_disk(struct checker *c, const struct layout_disk *disk)
{
	_cleanup_free_ char *at = str_printf("disks\t%s", disk->name);
	_cleanup_free_ char *at_path = str_printf("%s\tpath", at);

	if (is_empty(disk->name) || strlen(disk->name) > NAME_MAX_DISK ||
	    !made_of(disk->name, "-") || *disk->name == '-')
		finding(c, at, "'%s' is no name for a disk: 1 to %u of a-z, 0-9 and '-'",
			disk->name, NAME_MAX_DISK);
	if (!disk->path)
		return;
	if (*disk->path != '/')
		finding(c, at_path, "the path of disk '%s' does not begin with '/'", disk->name);
	FOR_EACH_DISK(other, c->layout)
	{
		if (other == disk)
			break;
		if (!streq(other->path, disk->path))
			continue;
		finding(c, at_path, "the disks '%s' and '%s' have the same path", other->name,
			disk->name);
	}
	if (!layout_is_member(c->layout, disk->name)) {
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
	if (e->sector_size != 512 && e->sector_size != 4096)
		finding(c, "encryption\tsector-size", "'sector-size' is in bytes: 512 or 4096");
	if (kdf->iterations && kdf->iterations < iterations_min)
		finding(c, "encryption\tkdf\titerations", "'iterations' is %llu at least",
			(unsigned long long)iterations_min);
	if (kdf->time < 100 || kdf->time > 60000)
		finding(c, "encryption\tkdf\ttime",
			"'time' is in milliseconds, 100 to 60000");
	if (kdf->memory < 32 * MIB || kdf->memory > 4 * GIB)
		finding(c, "encryption\tkdf\tmemory", "'memory' is 32MiB to 4GiB");
	if (kdf->threads < 1 || kdf->threads > 4)
		finding(c, "encryption\tkdf\tthreads", "'threads' is 1 to 4");
	if (!starts_with(e->cipher, "aes-xts-") && !starts_with(e->cipher, "serpent-xts-") &&
	    !starts_with(e->cipher, "twofish-xts-"))
		finding(c, "encryption\tcipher",
			"'%s' is not a cipher for disks that eyrie knows: aes-xts-plain64",
			e->cipher);
}

static bool in_other_vdev(const struct layout *layout, const struct layout_vdev *vdev,
			  const char *disk)
{
	const struct layout_vdev *vdevs = layout->pool.vdevs.items;

	for (const struct layout_vdev *v = vdevs; v < vdev; v++)
		if (strv_has(&v->mirror, disk))
			return true;
	return false;
}

static void check_vdev(struct checker *c, const struct layout_vdev *vdev, size_t index)
{
	_cleanup_free_ char *at = str_printf("pool\tvdevs\t%zu\tmirror", index);

	if (vdev->mirror.n_items < 2) {
		finding(c, at, "a mirror of %s mirrors nothing",
			vdev->mirror.n_items ? "one disk" : "no disks");
		diag_hint(c->diag, "a mirror wants two disks or more");
	}
	for (size_t i = 0; i < vdev->mirror.n_items; i++) {
		const char *name = vdev->mirror.items[i];
		_cleanup_free_ char *at_item = str_printf("%s\t%zu", at, i);

		if (!layout_disk(c->layout, name))
			finding(c, at_item, "there is no disk '%s' under disks:", name);
		for (size_t k = 0; k < i; k++)
			if (streq(vdev->mirror.items[k], name))
				finding(c, at_item, "disk '%s' is named twice", name);
		if (in_other_vdev(c->layout, vdev, name))
			finding(c, at_item, "disk '%s' is in another vdev too", name);
	}
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

static bool is_dataset_name(const char *name)
{
	if (is_empty(name) || strlen(name) > 200 || *name == '/' || name[strlen(name) - 1] == '/')
		return false;
	for (const char *s = name; *s; s++)
		if ((!isalnum((unsigned char)*s) && !strchr("-_.:/", *s)) ||
		    (*s == '/' && s[1] == '/'))
			return false;
	return true;
}

static void check_pool(struct checker *c)
{
	const struct layout_pool *pool = &c->layout->pool;
	const struct layout_vdev *vdevs = pool->vdevs.items;

	if (!is_dataset_name(pool->name) || strchr(pool->name, '/') ||
	    !isalpha((unsigned char)*pool->name) || is_reserved_pool(pool->name))
		finding(c, "pool\tname", "'%s' is no name for a pool", pool->name);
	if (!pool->vdevs.n_items)
		finding(c, "pool\tvdevs", "the pool has no vdevs");
	for (size_t i = 0; i < pool->vdevs.n_items; i++)
		check_vdev(c, &vdevs[i], i);
}

static void check_dataset(struct checker *c, const struct layout_dataset *dataset)
{
	_cleanup_free_ char *at = str_printf("datasets\t%s", dataset->name);
	_cleanup_free_ char *at_mount = str_printf("%s\tmountpoint", at);
	const struct layout_dataset *all = c->layout->datasets.items;
	const char *m = dataset->mountpoint;

	if (!is_dataset_name(dataset->name))
		finding(c, at, "'%s' is no name for a dataset", dataset->name);
	if (!m)
		return;
	if (*m != '/' && !streq(m, "none") && !streq(m, "legacy"))
		finding(c, at_mount, "'mountpoint' is a path, none or legacy");
	for (const struct layout_dataset *other = all; *m == '/' && other < dataset; other++)
		if (streq(other->mountpoint, m))
			finding(c, at_mount, "'%s' and '%s' are both mounted on %s", other->name,
				dataset->name, m);
}

static void check_datasets(struct checker *c)
{
	const struct layout_dataset *datasets = c->layout->datasets.items;

	for (size_t i = 0; i < c->layout->datasets.n_items; i++)
		check_dataset(c, &datasets[i]);
	if (!layout_root(c->layout)) {
		finding(c, "datasets", "no dataset has the mountpoint /");
		diag_hint(c->diag, "for example: ROOT/debian: { mountpoint: / }");
	}
}

static void check_volumes(struct checker *c)
{
	const struct layout_volume *volumes = c->layout->volumes.items;

	for (size_t i = 0; i < c->layout->volumes.n_items; i++) {
		_cleanup_free_ char *at = str_printf("volumes\t%s", volumes[i].name);

		if (!is_dataset_name(volumes[i].name))
			finding(c, at, "'%s' is no name for a volume", volumes[i].name);
		if (volumes[i].size < VOLUME_SIZE_MIN)
			finding(c, at, "a volume is 1MiB at least");
		if (c->layout->swap.on == SWAP_VOLUME &&
		    streq(volumes[i].name, LAYOUT_SWAP_VOLUME))
			finding(c, at, "the volume '%s' is what swap: on: volume makes",
				volumes[i].name);
	}
	if (c->layout->swap.on != SWAP_NONE && c->layout->swap.size < 64 * MIB)
		finding(c, "swap\tsize", "swap is 64MiB at least");
}

/* cryptsetup-initramfs knows no passphrase that was typed before, and each disk's own question. */
static void check_initramfs(struct checker *c)
{
	if (c->layout->boot.initramfs != INITRAMFS_TOOLS ||
	    c->layout->encryption.unlock != UNLOCK_SHARED)
		return;
	finding(c, "boot\tinitramfs",
		"with 'unlock: shared' initramfs-tools would ask for each disk by itself");
	diag_hint(c->diag, "encryption: { unlock: peer } asks once with it; dracut asks once with both");
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
	if (c->layout->boot.esp_size < ESP_SIZE_MIN)
		finding(c, "boot\tesp-size", "an ESP below 256MiB has no room for two kernels");
	if (c->layout->boot.device_timeout < 1 || c->layout->boot.device_timeout > 3600)
		finding(c, "boot\tdevice-timeout", "'device-timeout' is in seconds, 1 to 3600");
	if (c->layout->boot.window > 3600)
		finding(c, "boot\twindow", "'window' is in seconds, 0 to 3600");
	if (layout_rejoin(c->layout, &rejoin))
		finding(c, "boot\trejoin", "'rejoin' is in seconds, or always");
	check_initramfs(c);
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
	}
}

/* bookworm's OpenZFS is 2.1; below 2.2.7 larger sectors have lost data (zfs#14533, zfs#16631). */
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
	check_pool(&c);
	check_datasets(&c);
	check_volumes(&c);
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

static bool has_dataset(const struct layout *layout, const char *name, size_t length)
{
	const struct layout_dataset *datasets = layout->datasets.items;

	for (size_t i = 0; i < layout->datasets.n_items; i++)
		if (strlen(datasets[i].name) == length &&
		    strncmp(datasets[i].name, name, length) == 0)
			return true;
	return false;
}

/* Parents of `name` that nobody wrote down: containers, not mounted. */
static void add_parents(struct layout *layout, const char *name)
{
	_cleanup_free_ char *copy = str_dup(name); /* the list moves as it grows */

	for (const char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
		size_t length = (size_t)(slash - copy);
		struct layout_dataset *parent;

		if (has_dataset(layout, copy, length))
			continue;
		parent = list_add(&layout->datasets, &record_layout_dataset);
		parent->name = str_printf("%.*s", (int)length, copy);
		parent->mountpoint = str_dup("none");
	}
}

static int by_name(const void *a, const void *b)
{
	const struct layout_dataset *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void add_swap_volume(struct layout *layout)
{
	struct layout_volume *volume = list_add(&layout->volumes, &record_layout_volume);

	volume->name = str_dup(LAYOUT_SWAP_VOLUME);
	volume->size = layout->swap.size;
	/* volblocksize is the article's; the others are of OpenZFS's own advice for swap. */
	pair_set(&volume->properties, "volblocksize", "4K");
	pair_set(&volume->properties, "compression", "zle");
	pair_set(&volume->properties, "sync", "always");
	pair_set(&volume->properties, "primarycache", "metadata");
}

void layout_complete(struct layout *layout)
{
	size_t n = layout->datasets.n_items;
	bool has_swap = false;

	set_default(&layout->pool.properties, "ashift", "12");
	set_default(&layout->pool.properties, "autotrim", "on");
	set_default(&layout->pool.filesystem_properties, "compression", "on");
	set_default(&layout->pool.filesystem_properties, "acltype", "posixacl");
	set_default(&layout->pool.filesystem_properties, "xattr", "sa");
	set_default(&layout->pool.filesystem_properties, "relatime", "on");

	for (size_t i = 0; i < n; i++)
		add_parents(layout, ((struct layout_dataset *)layout->datasets.items)[i].name);
	for (size_t i = 0; i < layout->volumes.n_items; i++) {
		const struct layout_volume *volume = list_at(&layout->volumes,
							     &record_layout_volume, i);

		has_swap |= streq(volume->name, LAYOUT_SWAP_VOLUME);
		add_parents(layout, volume->name);
	}
	if (layout->datasets.n_items)
		qsort(layout->datasets.items, layout->datasets.n_items,
		      sizeof(struct layout_dataset), by_name);
	if (layout->swap.on == SWAP_VOLUME && !has_swap)
		add_swap_volume(layout);
}
