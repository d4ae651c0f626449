/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "layout/yaml.h"

/*
 * Rules across fields. After 0 was returned: the id is a UUID in lower case; names of disks,
 * pools, datasets and volumes are valid and unique; every vdev is of one kind and has as many different
 * disks as vdev_kinds says, which exist, and no disk is in two; exactly one dataset of the root's pool has
 * the mountpoint "/"; every dataset's parent is in the list before it; numbers are in range.
 */
int layout_check(struct layout *layout, const struct yaml_source *source, struct diag *diag);

/* Add what the owner need not write: default properties, parents, the swap volume. */
void layout_complete(struct layout *layout);
