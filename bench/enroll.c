/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bench-enroll PASSPHRASE-FILE SET-ID PATH...: makes LUKS2 image files a set. */

#include <fcntl.h>
#include <stdio.h>

#include "keys/enroll.h"

int main(int argc, char **argv)
{
	_cleanup_(secret_freep) struct secret *passphrase = secret_new();
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct enroll_member members[64];
	size_t n = 0;
	int fd;

	if (argc < 4 || argc > 67) {
		fprintf(stderr, "usage: bench-enroll PASSPHRASE-FILE SET-ID PATH...\n");
		return 2;
	}
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || secret_read(passphrase, fd, /* line= */ false)) {
		fprintf(stderr, "bench-enroll: cannot read %s\n", argv[1]);
		return 1;
	}
	for (int i = 3; i < argc; i++)
		members[n++] = (struct enroll_member){ argv[i], argv[i] };
	if (set_enroll(members, n, argv[2], passphrase, 0, &diag)) {
		fprintf(stderr, "bench-enroll: %s\n", diag.items[0].text);
		return 1;
	}
	return 0;
}
