/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The article's own service for illumos, as text: a manifest and its method. Pure. The dataset has a name of
 * zfs(8), gate_is_dataset(): in XML it stands as it is.
 */

char *smf_manifest(const char *dataset);
char *smf_method(void);
char *smf_name(const char *dataset); /* of the service: a '/' is no part of one there */
