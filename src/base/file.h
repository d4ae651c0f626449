/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whole small files, written so that a crash leaves the old one or the new one. */

#include <sys/types.h>

#include "base/diag.h"

#define FILE_MAX (16 * MIB) /* bytes that file_read() takes at most */

int file_read(const char *path, struct strbuf *ret); /* -errno, -EFBIG; no diag */
char *file_read_line(const char *path);		     /* first line, trimmed; NULL if none */

#define FILE_ASIDE ".eyrie-new" /* what a name ends with until file_replace() is done */
bool file_is_aside(const char *name);

/*
 * Write `text` to `path`: aside, fsync, rename, fsync again and of the folder, whose parents are made.
 * A crash leaves the old file whole, or the new one. Does nothing when it already says so.
 */
int file_replace(const char *path, const char *text, mode_t mode, struct diag *diag);

/*
 * Wait until nobody else has the lock that is this file, made when it is not there; closing the
 * descriptor gives it up. -EINTR once run_interrupted().
 */
int file_lock(const char *path, int *ret_fd, struct diag *diag);

/* The same for a whole file that somebody else wrote `aside`, in the folder of `path`. */
int file_publish(const char *aside, const char *path, struct diag *diag);

int file_make_folder(const char *path, struct diag *diag); /* with parents, mode 0755 */
int file_remove_tree(const char *path); /* what is not there is gone; -errno, no diag */
int file_sync_folder(const char *path); /* the names in it are on the disk; no diag */

/* Everything written so far to the file system that has this folder is on the disk; no diag. */
int file_sync_all(const char *folder);

int fd_write_all(int fd, const void *data, size_t size);
int fd_copy(int from, int to); /* from where both stand to the end of the first */
int fd_read_all(int fd, void *data, size_t size); /* -EIO when it ends early */

/* SHA-256 in lower-case hex, 64 digits; `max` bytes at most are read from where fd stands. */
#define HASH_HEX_SIZE 65
int fd_hash(int fd, uint64_t max, char ret[static HASH_HEX_SIZE]);
uint64_t file_size(const char *path); /* bytes; 0 when it is not there */
int file_hash(const char *path, char ret[static HASH_HEX_SIZE]);
int data_hash(const void *data, size_t size, char ret[static HASH_HEX_SIZE]);
