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
	_cleanup_close_ int fd = -1;
	int r = file_make_folder(LOCK_FOLDER, diag);

	if (r)
		return r;
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return diag_error(diag, -errno, "cannot open " LOCK_FILE ": %m");
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return diag_error(diag, -errno, "cannot lock " LOCK_FILE ": %m");
	*ret_fd = take_fd(&fd);
	return 0;
}
