/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Random layouts and machines. */

#include "plan/name.h"
#include "world.h"

static void random_uuid(struct random *r, char ret[static 37])
{
	uuid_t uuid;

	for (size_t i = 0; i < sizeof(uuid); i++)
		uuid[i] = (unsigned char)random_next(r);
	uuid_unparse_lower(uuid, ret);
}

#define DISKS_MAX 16

/* Of these some are partitions. */
static void add_disks(struct random *r, struct strbuf *b, unsigned n, const bool *partitions)
{
	static const char *const folders[] = { LAYOUT_BY_PARTLABEL, LAYOUT_BY_PARTUUID };

	strbuf_add(b, "disks:\n");
	for (unsigned i = 0; i < n; i++)
		strbuf_printf(b, "  d%u: { path: %snamed-%u%s }\n", i,
			      partitions[i] ? folders[random_below(r, 2)] : "/dev/disk/by-id/", i,
			      !random_one_in(r, 4) ? "" : partitions[i] ? ", size: 512MiB" : ", size: 8GiB");
}

/* A vdev of the next `width` disks. */
static void add_vdev(struct strbuf *b, const char *indent, const char *kind, unsigned *at,
		     unsigned width)
{
	strbuf_printf(b, "%s- %s: [", indent, kind);
	for (unsigned k = 0; k < width; k++)
		strbuf_printf(b, "%sd%u", k ? ", " : "", (*at)++);
	strbuf_add(b, "]\n");
}

/* A log, special, cache or spare of the next two disks, which may be partitions. */
static void add_further(struct random *r, struct strbuf *b, const char *indent, unsigned *at,
			bool *partitions)
{
	static const char *const others[] = { "log", "special", "cache", "spare" };

	partitions[*at] = partitions[*at + 1] = random_one_in(r, 2);
	add_vdev(b, indent, others[random_below(r, 4)], at, 2);
}

/*
 * Mirrors or raidz of one kind, of two disks or more; what is left over is a log, a cache or a
 * spare. The root's pool has the first `n` disks.
 */
static void add_vdevs(struct random *r, struct strbuf *b, unsigned n, bool *partitions)
{
	static const char *const data[] = { "mirror", "mirror", "raidz1", "raidz2" };
	unsigned kind = random_below(r, n < 3 ? 3 : 4), least = kind == 3 ? 3 : 2;
	unsigned further = n >= least + 2 && random_one_in(r, 3) ? 2 : 0;
	unsigned n_vdevs = 1 + random_below(r, (n - further) / least), at = 0;

	strbuf_printf(b, "pool:\n  name: pool%u\n  vdevs:\n", random_below(r, 10));
	for (unsigned i = 0; i < n_vdevs; i++) {
		unsigned spare = n - further - at - least * (n_vdevs - i);

		add_vdev(b, "    ", data[kind], &at,
			 least + (i + 1 == n_vdevs ? spare : random_below(r, spare + 1)));
	}
	if (further)
		add_further(r, b, "    ", &at, partitions);
}

/* Further pools of two disks or four each, from disk `at` on. How many disks there are then. */
static unsigned add_pools(struct random *r, struct strbuf *b, unsigned at, unsigned n_pools,
			  bool *partitions)
{
	static const char *const encryptions[] = {
		"", "    filesystem-properties: { encryption: on, keyformat: passphrase }\n"
	};

	if (n_pools)
		strbuf_add(b, "pools:\n");
	for (unsigned i = 0; i < n_pools; i++) {
		strbuf_printf(b, "  nest%u:\n    vdevs:\n", i);
		add_vdev(b, "      ", random_one_in(r, 3) ? "raidz1" : "mirror", &at, 2);
		if (random_one_in(r, 3))
			add_further(r, b, "      ", &at, partitions);
		strbuf_add(b, encryptions[random_below(r, 2)]);
		strbuf_printf(b, "    datasets:\n      pg: { mountpoint: /nest%u/pg }\n", i);
		if (random_one_in(r, 2))
			strbuf_add(b, "      deep/secret: { properties: { encryption: on, "
				      "keyformat: passphrase } }\n");
		if (random_one_in(r, 3))
			strbuf_add(b, "    volumes: { deep/vm: { size: 1GiB } }\n");
	}
	return at;
}

static void add_datasets(struct random *r, struct strbuf *b)
{
	static const char *const names[] = { "home", "home/ann", "var", "var/log", "srv/data/deep",
					     "opt", "tmp" };
	static const char *const further[] = { "", "mountpoint: none", "mountpoint: legacy",
					       "properties: { canmount: off }",
					       "properties: { canmount: noauto, atime: off }",
					       "properties: { compression: zstd }" };
	unsigned depth = random_below(r, 3);

	strbuf_printf(b, "datasets:\n  %s: { mountpoint: / %s}\n",
		      depth == 0 ? "root" : depth == 1 ? "ROOT/debian" : "a/b/c",
		      random_one_in(r, 3) ? ", properties: { canmount: noauto } " : "");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (random_one_in(r, 2))
			continue;
		if (random_one_in(r, 2))
			strbuf_printf(b, "  %s: { mountpoint: /%s }\n", names[i], names[i]);
		else
			strbuf_printf(b, "  %s: { %s }\n", names[i],
				      further[random_below(r, ARRAY_SIZE(further))]);
	}
}

static void add_volumes(struct random *r, struct strbuf *b)
{
	static const char *const swaps[] = { "none", "volume", "partition" };
	unsigned n = random_below(r, 3);

	if (n)
		strbuf_add(b, "volumes:\n");
	for (unsigned i = 0; i < n; i++)
		strbuf_printf(b, "  vm%s%u: { size: %uMiB }\n", random_one_in(r, 2) ? "/" : "", i,
			      1 + random_below(r, 4));
	strbuf_printf(b, "swap: { on: %s, size: %uMiB }\n", swaps[random_below(r, 3)],
		      64 + random_below(r, 1024));
}

static void add_system(struct random *r, struct strbuf *b)
{
	static const char *const systems[] = { "", "system: { suite: trixie }\n",
					       "system: { suite: bookworm, root-keys: [key] }\n",
					       "system: { tarball: /srv/root.tar }\n" };

	strbuf_add(b, systems[random_below(r, ARRAY_SIZE(systems))]);
	strbuf_printf(b, "boot: { esp-size: %uMiB, timeout: %u, cmdline: \"%s\", size: %uMiB }\n",
		      256 + random_below(r, 768), random_below(r, 10),
		      random_one_in(r, 2) ? "" : "quiet console=ttyS0",
		      256 + random_below(r, 256));
}

static void add_encryption(struct random *r, struct strbuf *b)
{
	static const char *const ways[] = { "peer", "shared", "keystore", "native" };

	strbuf_printf(b, "encryption: { unlock: %s%s }\n", ways[random_below(r, 4)],
		      random_one_in(r, 2) ? ", key-device-size: 32MiB" : "");
}

char *random_layout(struct random *r)
{
	static const char *const firmwares[] = { "uefi", "bios", "both" };
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	unsigned n = 2 + random_below(r, 5), n_pools = random_below(r, 3);
	bool partitions[DISKS_MAX] = {};
	char id[37];

	random_uuid(r, id);
	strbuf_printf(&b, "id: %s\nhost: nest%u\nfirmware: %s\n", id, random_below(r, 100),
		      firmwares[random_below(r, 3)]);
	add_encryption(r, &b);
	add_vdevs(r, &b, n, partitions);
	n = add_pools(r, &b, n, n_pools, partitions);
	add_disks(r, &b, n, partitions);
	add_datasets(r, &b);
	add_volumes(r, &b);
	add_system(r, &b);
	return strbuf_take(&b);
}

/* machines */

static struct observed_disk *add_disk(struct observed *have, char *path, char *name)
{
	struct observed_disk *disk = list_add(&have->disks, &record_observed_disk);

	disk->path = path;
	disk->model = str_dup("MODEL");
	disk->serial = str_printf("serial of %s", path);
	disk->sector_size = 512;
	disk->physical_sector_size = 4096;
	strv_add(&disk->names, name);
	free(name);
	return disk;
}

static struct observed_partition *add_partition(struct observed_disk *disk, const char *name,
						const char *content)
{
	struct observed_partition *partition =
		list_add(&disk->partitions, &record_observed_partition);

	partition->number = disk->partitions.n_items;
	partition->path = str_printf("%s%llu", disk->path, (unsigned long long)partition->number);
	partition->name = str_dup(name);
	partition->content = str_dup(content);
	partition->size = GIB;
	return partition;
}

/* A table and a member like ours, of the set `id`. */
static void add_set(struct observed_disk *disk, const char *id, const char *name)
{
	_cleanup_free_ char *member = name_partition(ROLE_MEMBER, name);
	_cleanup_free_ char *esp = name_partition(ROLE_ESP, name);
	struct observed_luks *luks;
	uuid_t uuid = {};
	char text[37];

	name_mark_uuid(id, uuid);
	uuid_unparse_lower(uuid, text);
	str_set(&disk->table, "gpt");
	str_set(&disk->table_uuid, text);
	(void)add_partition(disk, esp, "vfat");
	luks = &add_partition(disk, member, "crypto_LUKS")->luks;
	luks->state = LUKS_WHOLE;
	luks->n_keyslots = 1;
	luks->subsystem = str_printf("eyrie:%s", id);
	luks->label = str_printf("other-%s", name);
}

static void foreign_partition(struct random *r, struct observed_disk *disk)
{
	struct observed_partition *partition = disk->partitions.items;
	char id[37];

	switch (random_below(r, 4)) {
	case 0:
		str_set(&partition->content, "ext4");
		str_set(&partition->label, "photos");
		break;
	case 1:
		str_set(&partition->table, "dos");
		str_set(&disk->table, "dos");
		break;
	case 2:
		str_set(&partition->content, "zfs_member");
		str_set(&partition->label, "pool1");
		break;
	default:
		random_uuid(r, id);
		str_set(&partition->content, "crypto_LUKS");
		partition->luks.state = LUKS_WHOLE;
		partition->luks.n_keyslots = random_below(r, 2);
		free(partition->luks.subsystem);
		partition->luks.subsystem = str_printf("eyrie:%s", id);
		str_set(&partition->luks.label, "eyrie-new-d0");
	}
}

void random_foreign(struct random *r, struct observed_disk *disk)
{
	char id[37];

	if (disk->on) {
		foreign_partition(r, disk);
		return;
	}

	switch (random_below(r, 5)) {
	case 0:
		str_set(&disk->content, "ext4");
		str_set(&disk->label, "photos");
		break;
	case 1:
		str_set(&disk->table, "dos");
		break;
	case 2:
		str_set(&disk->table, "gpt");
		random_uuid(r, id);
		str_set(&disk->table_uuid, id);
		(void)add_partition(disk, "Basic data partition", "ntfs");
		break;
	case 3:
		random_uuid(r, id);
		add_set(disk, id, "d0");
		break;
	default:
		str_set(&disk->content, "crypto_LUKS");
	}
}

/* A disk that the layout does not name; it may even look like one of this set. */
static void add_stranger(struct random *r, struct observed *have, const struct layout *layout,
			 unsigned i)
{
	struct observed_disk *disk = add_disk(have, str_printf("/dev/stranger%u", i),
					      str_printf("/dev/disk/by-id/stranger-%u", i));

	disk->size = 4 * GIB;
	if (random_one_in(r, 4))
		add_set(disk, layout->id, "d0");
	else if (!random_one_in(r, 3))
		random_foreign(r, disk);
	if (random_one_in(r, 3))
		disk->mounted = str_dup("/srv");
	disk->read_only = random_one_in(r, 8);
	disk->unreadable = random_one_in(r, 8);
}

/* A disk of somebody's, one partition of which is called a disk by the layout. */
static void add_lent(struct random *r, struct observed *have, const char *path, unsigned i)
{
	struct observed_disk *owner = add_disk(have, str_printf("/dev/stranger-owner%u", i),
					       str_printf("/dev/disk/by-id/owner-%u", i));
	const char *name = strrchr(path, '/') + 1;
	struct observed_partition *partition = add_partition(owner, "theirs", "ext4");

	str_set(&owner->serial, "theirs");
	owner->size = 16 * GIB;
	str_set(&owner->table, "gpt");
	partition = add_partition(owner, name, NULL);
	partition->uuid = str_dup(name);
	free(partition->path);
	partition->path = str_printf("/dev/lent%u", i);
	partition->size = GIB + random_below(r, 3) * GIB;
	observed_name(have, path, path);
}

struct observed *random_machine(struct random *r, const struct layout *layout)
{
	struct observed *have = mem_alloc(sizeof(*have));
	unsigned n_strangers = random_below(r, 4), i = 0;

	if (n_strangers)
		add_stranger(r, have, layout, 0);
	FOR_EACH_DISK(want, layout)
	{
		struct observed_disk *disk;

		if (layout_is_partition(want)) {
			add_lent(r, have, want->path, i++);
			continue;
		}
		disk = add_disk(have, str_printf("/dev/vd%u", i++), str_dup(want->path));
		disk->size = 8 * GIB + random_below(r, 3) * GIB;
	}
	for (unsigned k = 1; k < n_strangers; k++)
		add_stranger(r, have, layout, k);
	return have;
}
