/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/file.h"

#define LOCK_FOLDER "/run/eyrie"
#define LOCK_FILE   LOCK_FOLDER "/lock"

bool lock_is_taken(void)
{
	_cleanup_close_ int fd = open(LOCK_FILE, O_RDWR | O_CLOEXEC);

	return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

int lock_take(int *ret_fd, struct diag *diag)
{
	int r = file_make_folder(LOCK_FOLDER, diag);

	return r ? r : file_lock(LOCK_FILE, ret_fd, diag);
}
