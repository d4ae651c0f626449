/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cipher.h"

bool cipher_is_known(const char *name)
{
	static const char *const known[] = { "aes-xts-plain64", "serpent-xts-plain64",
					     "twofish-xts-plain64" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(name, known[i]))
			return true;
	return false;
}
