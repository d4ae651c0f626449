/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include "base/file.h"

#define LOCK_FOLDER "/run/eyrie"
#define LOCK_FILE   LOCK_FOLDER "/lock"

int lock_take(bool wait, int *ret_fd, struct diag *diag)
{
	_cleanup_close_ int fd = -1;
	int r = file_make_folder(LOCK_FOLDER, diag);

	if (r)
		return r;
	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return diag_error(diag, -errno, "cannot open " LOCK_FILE ": %m");
	while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0) {
		if (errno == EINTR)
			continue;
		r = diag_error(diag, -EBUSY, "another eyrie is at work on this machine");
		diag_hint(diag, "wait until it has ended; fuser " LOCK_FILE " shows which one it is");
		return r;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}
