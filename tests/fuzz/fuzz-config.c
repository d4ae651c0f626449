/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Any bytes as /etc/eyrie/unlock.json and /etc/eyrie/gate.json: values that are whole, or findings.
 * The first is read in the initramfs, where nobody can mend it.
 */

#include <sys/mman.h>

#include "base/file.h"
#include "fuzz.h"
#include "gate/held.h"
#include "unlock/config.h"

static void expect(bool condition)
{
	if (!condition)
		abort();
}

static void try_unlock(const char *path)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct unlock_config config = {};
	int r = unlock_config_read(path, &config, &diag);

	expect(r ? diag.n_errors > 0 : config.pool_guid && config.members.n_items);
	record_deinit(&record_unlock_config, &config);
}

static void try_held(const char *path)
{
	_cleanup_(held_freep) struct held *held = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = held_read(path, &held, &diag);

	expect(r ? diag.n_errors > 0 && !held : held != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	_cleanup_free_ char *path = str_printf("/proc/self/fd/%d", fd);

	expect(fd >= 0 && fd_write_all(fd, data, size) == 0);
	try_unlock(path);
	try_held(path);
	return 0;
}
