/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as a device. The checksums of both header copies are made right first, where the
 * sizes in them allow: otherwise no mutation would get past them.
 */

#include <endian.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/file.h"
#include "fuzz.h"
#include "observe/observe.h"

/* As in the LUKS2 On-Disk Format Specification, chapter 2.1. */
#define AT_SIZE	    8
#define AT_CHECKSUM 448
#define CHECKSUM    64

static void make_right(uint8_t *data, size_t size, size_t offset)
{
	uint64_t header_size;
	unsigned n = 0;

	if (offset > size || size - offset < 4096)
		return;
	data += offset;
	memcpy(&header_size, data + AT_SIZE, sizeof(header_size));
	header_size = be64toh(header_size);
	if (header_size > size - offset)
		return;
	memset(data + AT_CHECKSUM, 0, CHECKSUM);
	(void)EVP_Digest(data, header_size, data + AT_CHECKSUM, &n, EVP_sha256(), NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	_cleanup_free_ char *path = str_printf("/proc/self/fd/%d", fd);
	_cleanup_free_ uint8_t *image = mem_alloc(size);
	_cleanup_free_ uint8_t *after = mem_alloc(size);
	struct observed_luks luks = {};
	struct stat st;

	memcpy(image, data, size);
	make_right(image, size, 0);
	for (size_t offset = 16 * KIB; offset < 8 * MIB; offset *= 2)
		make_right(image, size, offset);
	if (fd_write_all(fd, image, size))
		abort();
	observe_luks(path, &luks);
	if (luks.state > LUKS_UNREADABLE || (luks.state == LUKS_NONE && luks.uuid))
		abort();
	/* not a byte was written */
	if (fstat(fd, &st) < 0 || (size_t)st.st_size != size ||
	    pread(fd, after, size, 0) != (ssize_t)size || memcmp(after, image, size) != 0)
		abort();
	free(luks.uuid);
	free(luks.label);
	free(luks.subsystem);
	return 0;
}
