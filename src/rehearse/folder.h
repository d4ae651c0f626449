/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Remove a folder with all that is in it; what is not there is no error. Follows no links.
 */
void folder_remove(const char *path);
