/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * GRUB as it lies on a disk and in /boot. The MBR names the sector of the first block of the core
 * image, that block names the rest; and the rest is the same, byte for byte, as in the core.img
 * that grub-install left in /boot (it is told to add no Reed-Solomon codes). Layout: GRUB's
 * grub-core/boot/i386/pc/{boot,diskboot}.S.
 */

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "observe/observe.h"

#define SECTOR		512u
#define AT_KERNEL	0x5c  /* in the MBR: the sector of the first block */
#define AT_SIGNATURE	0x1fe
#define AT_LIST		0x1f4 /* in the first block: sector and number of those that follow */
#define AT_LIST_COUNT	0x1fc
#define COUNT_MAX	8192u /* 4 MiB; a core image has some hundred KiB */

#define SOURCE "usr/lib/grub/i386-pc/normal.mod"
#define FOLDER "boot/" GRUB_FOLDER
#define DIGITS 16 /* of the hash */

static uint64_t number_at(const uint8_t *sector, size_t at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, sector + at, size);
	return le64toh(value);
}

static bool read_sector(int fd, uint64_t number, uint8_t sector[static SECTOR])
{
	return pread(fd, sector, SECTOR, (off_t)(number * SECTOR)) == (ssize_t)SECTOR;
}

char *observe_grub(const char *disk, uint64_t start)
{
	_cleanup_close_ int fd = open(disk, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *image = NULL;
	uint64_t first = start / SECTOR, count;
	uint8_t sector[SECTOR];
	char hash[HASH_HEX_SIZE];

	if (fd < 0)
		return NULL;
	/* What was written through a partition is not in what was read of the disk before. */
	(void)posix_fadvise(fd, 0, (off_t)(start + COUNT_MAX * SECTOR), POSIX_FADV_DONTNEED);
	if (!read_sector(fd, 0, sector) ||
	    number_at(sector, AT_SIGNATURE, 2) != 0xaa55 ||
	    number_at(sector, AT_KERNEL, 8) != first || !read_sector(fd, first, sector))
		return NULL;
	count = number_at(sector, AT_LIST_COUNT, 2);
	if (number_at(sector, AT_LIST, 8) != first + 1 || count == 0 || count > COUNT_MAX)
		return NULL;
	image = mem_alloc(count * SECTOR);
	if (pread(fd, image, count * SECTOR, (off_t)((first + 1) * SECTOR)) !=
		    (ssize_t)(count * SECTOR) ||
	    data_hash(image, count * SECTOR, hash))
		return NULL;
	return str_dup(hash);
}

/* Without its first block, and as long as sectors make it. */
static char *core_hash(const char *path)
{
	_cleanup_strbuf_ struct strbuf core = STRBUF_NULL;
	static const char zero[SECTOR];
	char hash[HASH_HEX_SIZE];

	if (file_read(path, &core) || core.size <= SECTOR)
		return NULL;
	if (core.size % SECTOR)
		strbuf_add_bytes(&core, zero, SECTOR - core.size % SECTOR);
	return data_hash(core.data + SECTOR, core.size - SECTOR, hash) ? NULL : str_dup(hash);
}

static char *hash_of(const char *root, const char *name)
{
	_cleanup_free_ char *path = str_printf("%s/%s", root, name);
	char hash[HASH_HEX_SIZE];

	return file_hash(path, hash) ? NULL : str_dup(hash);
}

char *observe_grub_folder(const char *hash)
{
	return str_printf(GRUB_FOLDER "/%.*s", DIGITS, hash);
}

static char *core_in(const char *root, const char *folder)
{
	_cleanup_free_ char *config = str_printf("%s/boot/%s/grub/grub.cfg", root, folder);
	_cleanup_free_ char *core = str_printf("%s/boot/%s/grub/i386-pc/core.img", root, folder);

	return access(config, F_OK) == 0 ? core_hash(core) : NULL;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void find_others(const char *root, const char *mine, struct list *ret)
{
	_cleanup_free_ char *path = str_printf("%s/" FOLDER, root);
	struct dirent **entries = NULL;
	int n = scandir(path, &entries, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		_cleanup_free_ char *folder = str_printf(GRUB_FOLDER "/%s", name);
		_cleanup_free_ char *whole = str_printf("%s/boot/%s", root, folder);

		if (*name != '.' && !streq(folder, mine) && is_folder(whole)) {
			struct observed_grub *other = list_add(ret, &record_observed_grub);

			other->folder = str_dup(folder);
			other->core = core_in(root, folder);
		}
		free(entries[i]);
	}
	free(entries);
}

void observe_grub_system(const char *root, struct observed_system *system)
{
	_cleanup_free_ char *menu = str_printf("%s/boot/" GRUB_MENU, root);
	_cleanup_free_ char *folder = NULL;
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;

	system->grub = hash_of(root, SOURCE);
	if (system->grub) {
		folder = observe_grub_folder(system->grub);
		system->grub_core = core_in(root, folder);
		find_others(root, folder, &system->grub_others);
	}
	if (file_read(menu, &text) == 0)
		system->grub_config = strbuf_take(&text);
}
