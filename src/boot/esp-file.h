/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Files on FAT, which has no atomic replacement of a file and may hold something else than was written. */

#include "base/diag.h"

#define ESP_FILE_ASIDE ".new" /* what the name of a copy ends with until it is whole */

/*
 * `source` becomes `name` below the folder `esp`: copied aside, read back from the medium, renamed,
 * and written once more with its folder, so that the name leads to it on the medium. An interrupted copy
 * never has the name of a whole one. The folders above are the caller's to write.
 */
int esp_file_copy(const char *esp, const char *source, const char *name, struct diag *diag);
bool esp_file_is_same(const char *source, const char *copy); /* both are there, byte for byte */
