/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A set key in root's keyring in the kernel: who opened a set can leave its key there for
 * those who come later, a late disk or stock `cryptsetup open` through the token handler.
 *
 * It lies in the user keyring of the caller's user as "eyrie:SET-ID", readable by that user
 * in any session: a unit of systemd has a session keyring of its own, which leads nowhere.
 */

#include "base/secret.h"

/* Takes the place of an older one. Gone after `seconds`; with 0 when it is forgotten. */
int keyring_put(const char *set_id, const struct secret *key, unsigned seconds);

/* -ENOKEY when there is none, or its time is over. */
int keyring_get(const char *set_id, struct secret **ret);

/* In the place of a set id: the passphrase of the root pool, for gates that share it. */
#define KEYRING_SHARED		"shared-passphrase"
#define KEYRING_SHARED_SECONDS 300u

void keyring_forget(const char *set_id);
