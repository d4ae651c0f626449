/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The appliance: a Debian that runs one program, and the disk that the program comes on. */

#include "base/run.h"

/* The folder with root.img, vmlinuz and initrd, made by appliance.sh or found in `cache`.
 */
int appliance_make(struct runner *runner, const char *libexec, const char *cache,
		   const char *tarball, char **ret, struct diag *diag);

/* `image` gets what is in `folder`; the appliance sees it at /cargo and runs /cargo/run. */
int cargo_make(struct runner *runner, const char *folder, const char *image,
	       struct diag *diag);
