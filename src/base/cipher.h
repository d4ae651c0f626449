/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/util.h"

/*
 * Ciphers for disks, as cryptsetup names them. One list for what a layout may say and for what a
 * header may have: else members are made that are refused later.
 */
#define CIPHERS "aes-xts-plain64, serpent-xts-plain64, twofish-xts-plain64"
bool cipher_is_known(const char *name);
