/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/keyring.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>

/* Rights of a key, for who holds it in a keyring of the process, and for its user. */
#define MAY_VIEW   0x01u
#define MAY_READ   0x02u
#define MAY_SEARCH 0x08u
#define MAY_ALL	   0x3fu
#define POSSESSOR  24 /* bits to the left */
#define USER	   16

static const char type[] = "user";

/* The C library has none of these; libkeyutils would be one more thing in an initramfs. */
static long keyctl(int operation, long a, long b, long c, long d)
{
	long r = syscall(SYS_keyctl, operation, a, b, c, d);

	return r < 0 ? -errno : r;
}

static char *describe(const char *set_id)
{
	return str_printf("eyrie:%s", set_id);
}

/* What is over is as good as not there. */
static long fold_absence(long r)
{
	return r == -EKEYEXPIRED || r == -EKEYREVOKED ? -ENOKEY : r;
}

static long find(const char *set_id)
{
	_cleanup_free_ char *description = describe(set_id);

	return fold_absence(keyctl(KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, (long)type,
				   (long)description, 0));
}

/* Only who possesses a key may do this, which its user in another session does not. */
static long restrict_key(long id, unsigned seconds)
{
	unsigned permissions = MAY_ALL << POSSESSOR |
			       (MAY_VIEW | MAY_READ | MAY_SEARCH) << USER;
	long r = seconds ? keyctl(KEYCTL_SET_TIMEOUT, id, seconds, 0, 0) : 0;

	return r ? r : keyctl(KEYCTL_SETPERM, id, permissions, 0, 0);
}

/*
 * Made in the keyring of this process, and linked where others look when it is finished: it
 * is never there without its end, and one of the same name is replaced at once.
 */
int keyring_put(const char *set_id, const struct secret *key, unsigned seconds)
{
	_cleanup_free_ char *description = describe(set_id);
	long id, r;

	id = syscall(SYS_add_key, type, description, key->data, key->size,
		     KEY_SPEC_PROCESS_KEYRING);
	if (id < 0)
		return -errno;
	r = restrict_key(id, seconds);
	if (r == 0)
		r = keyctl(KEYCTL_LINK, id, KEY_SPEC_USER_KEYRING, 0, 0);
	(void)keyctl(KEYCTL_UNLINK, id, KEY_SPEC_PROCESS_KEYRING, 0, 0);
	return (int)r;
}

int keyring_get(const char *set_id, struct secret **ret)
{
	_cleanup_(secret_freep) struct secret *key = secret_new();
	long id = find(set_id), size;

	if (id < 0)
		return (int)id;
	size = fold_absence(keyctl(KEYCTL_READ, id, (long)key->data, (long)key->room, 0));
	if (size < 0)
		return (int)size;
	if ((size_t)size > key->room)
		return -EMSGSIZE;
	key->size = (size_t)size;
	*ret = take_ptr(key);
	return 0;
}

/* Its memory in the kernel is wiped; in whatever keyring it was linked, it is gone. */
void keyring_forget(const char *set_id)
{
	long id = find(set_id);

	if (id >= 0)
		(void)keyctl(KEYCTL_INVALIDATE, id, 0, 0, 0);
}
