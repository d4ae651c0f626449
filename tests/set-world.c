/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "set-world.h"

#include <fcntl.h>

#include "base/file.h"

struct secret *world_secret(const char *text)
{
	struct secret *secret = secret_new();

	secret->size = strlen(text);
	memcpy(secret->data, text, secret->size);
	return secret;
}

const struct crypt_pbkdf_type world_kdf = {
	.type = CRYPT_KDF_PBKDF2,
	.hash = "sha256",
	.iterations = 1500,
	.flags = CRYPT_PBKDF_NO_BENCHMARK,
};

static void format(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct crypt_params_luks2 params = { .sector_size = 512 };
	struct crypt_device *cd = NULL;

	assert_true(fd >= 0 && ftruncate(fd, 20 * MIB) == 0);
	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &world_kdf), 0);
	assert_int_equal(crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, NULL, 64,
				      &params), 0);
	assert_int_equal(crypt_keyslot_add_by_volume_key(cd, 0, NULL, 0, WORLD_RIGHT,
							 strlen(WORLD_RIGHT)), 0);
	crypt_free(cd);
}

int world_setup(void **state)
{
	struct world *world = mem_alloc(sizeof(*world));
	char folder[] = "/tmp/eyrie-set-XXXXXX";

	assert_non_null(mkdtemp(folder));
	world->folder = str_dup(folder);
	for (int i = 0; i < WORLD_N; i++) {
		world->paths[i] = str_printf("%s/%d.img", folder, i);
		world->names[i] = str_printf("disk%d", i);
		format(world->paths[i]);
	}
	*state = world;
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;

	for (int i = 0; i < WORLD_N; i++) {
		(void)unlink(world->paths[i]);
		free(world->paths[i]);
		free(world->names[i]);
	}
	(void)rmdir(world->folder);
	free(world->folder);
	free(world);
	return 0;
}

void world_enroll(const struct world *world, size_t from, size_t n)
{
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(WORLD_RIGHT);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct enroll_member members[WORLD_N];

	for (size_t i = 0; i < n; i++)
		members[i] = (struct enroll_member){ world->paths[from + i],
						     world->names[from + i] };
	assert_int_equal(set_enroll(members, n, WORLD_SET_ID, passphrase, 0, &diag), 0);
}

int world_unlock(const struct world *world, struct set *set, size_t n, const char *text)
{
	_cleanup_(secret_freep) struct secret *passphrase = world_secret(text);

	for (size_t i = 0; i < n; i++)
		set_add(set, world->paths[i]);
	return set_unlock(set, passphrase);
}

void world_write_at(const char *path, off_t offset, size_t size, int byte)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	_cleanup_free_ char *bytes = mem_alloc(size);

	memset(bytes, byte, size);
	assert_int_equal(pwrite(fd, bytes, size, offset), size);
}

void world_take_slots(const char *path, int first, int last)
{
	struct crypt_device *cd = NULL;

	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	for (int slot = first; slot <= last; slot++)
		assert_int_equal(crypt_keyslot_destroy(cd, slot), 0);
	crypt_free(cd);
}

int world_add_passphrase(const char *path, const char *text)
{
	struct crypt_device *cd = NULL;
	int slot;

	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_load(cd, CRYPT_LUKS2, NULL), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &world_kdf), 0);
	slot = crypt_keyslot_add_by_passphrase(cd, CRYPT_ANY_SLOT, WORLD_RIGHT, strlen(WORLD_RIGHT), text,
					       strlen(text));
	assert_true(slot >= 0);
	crypt_free(cd);
	return slot;
}

bool world_opens(const char *path, const char *text)
{
	_cleanup_(luks_freep) struct luks *luks = NULL;
	_cleanup_(secret_freep) struct secret *key = NULL;

	assert_int_equal(luks_load(path, &luks, NULL), 0);
	return luks_slot_key(luks, CRYPT_ANY_SLOT, text, strlen(text), &key) == 0;
}

void world_copy(const char *from, const char *to)
{
	_cleanup_free_ char *command = str_printf("cp --sparse=always %s %s", from, to);

	assert_int_equal(system(command), 0);
}
