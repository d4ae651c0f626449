/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/file.h"

#include <fcntl.h>
#include <ftw.h>
#include <libgen.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/run.h"

int fd_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int fd_copy(int from, int to)
{
	_cleanup_free_ char *chunk = mem_alloc(MIB);
	ssize_t n;

	while ((n = read(from, chunk, MIB)) != 0) {
		int r = n < 0 ? -errno : fd_write_all(to, chunk, (size_t)n);

		if (r)
			return r;
	}
	return 0;
}

int fd_read_all(int fd, void *data, size_t size)
{
	char *at = data;

	while (size) {
		ssize_t n = read(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_read(const char *path, struct strbuf *ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	char chunk[16384];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		strbuf_add_bytes(&b, chunk, (size_t)n);
		if (b.size > FILE_MAX)
			return -EFBIG;
	}
	strbuf_add_bytes(&b, "", 0);
	strbuf_deinit(ret);
	*ret = b;
	b = (struct strbuf)STRBUF_NULL;
	return 0;
}

char *file_read_line(const char *path)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	char *line;

	if (file_read(path, &b) || !b.size)
		return NULL;
	line = str_printf("%.*s", (int)strcspn(b.data, "\n"), b.data);
	str_trim_end(line);
	return line;
}

int file_lock(const char *path, int *ret_fd, struct diag *diag)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return diag_error(diag, -errno, "cannot open %s: %m", path);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR || run_interrupted())
			return diag_error(diag, -errno, "cannot lock %s: %m", path);
	*ret_fd = take_fd(&fd);
	return 0;
}

int file_make_folder(const char *path, struct diag *diag)
{
	_cleanup_free_ char *copy = str_dup(path);

	for (char *at = copy + 1;; at++) {
		char was = *at;

		if (was != '/' && was != '\0')
			continue;
		*at = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return diag_error(diag, -errno, "cannot make the folder %s: %m", copy);
		*at = was;
		if (!was)
			return 0;
	}
}

int file_sync_folder(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_sync_all(const char *folder)
{
	_cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) < 0 ? -errno : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path) < 0 ? -errno : 0;
}

int file_remove_tree(const char *path)
{
	int r = nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	if (r == -1)
		r = -errno;
	return r == -ENOENT ? 0 : r;
}

bool file_is_aside(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && streq(end, FILE_ASIDE);
}

static bool says_already(const char *path, const char *text, mode_t mode)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	struct stat st;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == mode &&
	       file_read(path, &b) == 0 && b.size == strlen(text) &&
	       memcmp(b.data, text, b.size) == 0;
}

/* `ret_fd` is set once the file could be opened, also on failure. */
static int write_aside(const char *aside, const char *text, mode_t mode, int *ret_fd)
{
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	int r;

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	r = fd_write_all(fd, text, strlen(text));
	if (r)
		return r;
	return fchmod(fd, mode) < 0 || fsync(fd) < 0 ? -errno : 0;
}

/*
 * The file that `fd` has open, whole and on the disk. Once more after the rename: FAT has the new name
 * lead to the old clusters until the inode is written, and fsync() of the folder does not do that.
 */
static int put_in_place(const char *aside, const char *path, int fd)
{
	_cleanup_free_ char *copy = str_dup(path);

	if (rename(aside, path) < 0 || fsync(fd) < 0) /* the commit point */
		return -errno;
	return file_sync_folder(dirname(copy));
}

/* `r`: whether what lies aside is whole and on the disk. It is gone when this fails. */
static int commit(const char *aside, const char *path, int fd, int r, struct diag *diag)
{
	if (r == 0)
		r = put_in_place(aside, path, fd);
	if (r == 0)
		return 0;
	(void)unlink(aside);
	return diag_error(diag, r, "cannot write %s: %s", path, strerror(-r));
}

int file_publish(const char *aside, const char *path, struct diag *diag)
{
	_cleanup_close_ int fd = open(aside, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	return commit(aside, path, fd, r, diag);
}

int file_replace(const char *path, const char *text, mode_t mode, struct diag *diag)
{
	_cleanup_free_ char *aside = str_printf("%s" FILE_ASIDE, path);
	_cleanup_free_ char *copy = str_dup(path);
	const char *folder = dirname(copy);
	_cleanup_close_ int fd = -1;
	int r;

	if (says_already(path, text, mode))
		return 0;
	r = file_make_folder(folder, diag);
	if (r)
		return r;
	r = write_aside(aside, text, mode, &fd);
	return commit(aside, path, fd, r, diag);
}

static void md_freep(EVP_MD_CTX **md)
{
	EVP_MD_CTX_free(*md);
}

static void hex(const unsigned char *digest, char ret[static HASH_HEX_SIZE])
{
	for (size_t i = 0; i < (HASH_HEX_SIZE - 1) / 2; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

int fd_hash(int fd, uint64_t max, char ret[static HASH_HEX_SIZE])
{
	_cleanup_(md_freep) EVP_MD_CTX *md = EVP_MD_CTX_new();
	_cleanup_free_ char *chunk = mem_alloc(MIB);
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		return -ENOMEM;
	while (max) {
		ssize_t n = read(fd, chunk, (size_t)MIN_OF(max, MIB));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		if (!EVP_DigestUpdate(md, chunk, (size_t)n))
			return -EIO;
		max -= (uint64_t)n;
	}
	if (!EVP_DigestFinal_ex(md, digest, NULL))
		return -EIO;
	hex(digest, ret);
	return 0;
}

int data_hash(const void *data, size_t size, char ret[static HASH_HEX_SIZE])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!EVP_Digest(data, size, digest, NULL, EVP_sha256(), NULL))
		return -EIO;
	hex(digest, ret);
	return 0;
}

uint64_t file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

int file_hash(const char *path, char ret[static HASH_HEX_SIZE])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_hash(fd, UINT64_MAX, ret);
}
