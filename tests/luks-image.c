/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "luks-image.h"

#include <fcntl.h>

#include "base/file.h"

const struct crypt_pbkdf_type luks_image_kdf = {
	.type = CRYPT_KDF_PBKDF2,
	.hash = "sha256",
	.iterations = 1000,
	.flags = CRYPT_PBKDF_NO_BENCHMARK,
};

static void say_nothing(int level, const char *message, void *context)
{
	(void)level;
	(void)message;
	(void)context;
}

static void make(const char *path, unsigned n_keyslots)
{
	struct crypt_params_luks2 params = { .sector_size = 512, .label = LUKS_IMAGE_LABEL,
					     .subsystem = LUKS_IMAGE_SUBSYSTEM };
	struct crypt_device *cd = NULL;

	crypt_set_log_callback(NULL, say_nothing, NULL);
	test_write(path, "", 0);
	assert_int_equal(truncate(path, LUKS_IMAGE_SIZE), 0);
	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_set_metadata_size(cd, LUKS_IMAGE_HEADER, MIB), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &luks_image_kdf), 0);
	assert_int_equal(crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", LUKS_IMAGE_UUID, NULL,
				      32, &params), 0);
	for (unsigned i = 0; i < n_keyslots; i++)
		assert_true(crypt_keyslot_add_by_volume_key(cd, CRYPT_ANY_SLOT, NULL, 0, "falcon",
							    6) >= 0);
	crypt_free(cd);
}

/* Made once, and copied: libcryptsetup waits for the disk at every turn. */
void luks_image(const char *path, unsigned n_keyslots)
{
	static char *made[4];

	assert_true(n_keyslots < ARRAY_SIZE(made));
	if (!made[n_keyslots]) {
		_cleanup_close_ int fd = -1;

		make(path, n_keyslots);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		made[n_keyslots] = mem_alloc(LUKS_IMAGE_SIZE);
		assert_int_equal(fd_read_all(fd, made[n_keyslots], LUKS_IMAGE_SIZE), 0);
	}
	test_write(path, made[n_keyslots], LUKS_IMAGE_SIZE);
}

void luks_image_member(const char *path, const char *passphrase)
{
	struct crypt_params_luks2 params = { .sector_size = 512 };
	struct crypt_device *cd = NULL;

	test_write(path, "", 0);
	assert_int_equal(truncate(path, LUKS_MEMBER_SIZE), 0);
	assert_int_equal(crypt_init(&cd, path), 0);
	assert_int_equal(crypt_set_pbkdf_type(cd, &luks_image_kdf), 0);
	assert_int_equal(crypt_format(cd, CRYPT_LUKS2, "aes", "xts-plain64", NULL, NULL, 64,
				      &params), 0);
	assert_int_equal(crypt_keyslot_add_by_volume_key(cd, 0, NULL, 0, passphrase,
							 strlen(passphrase)), 0);
	crypt_free(cd);
}

void luks_image_damage(const char *path, uint64_t offset, const void *data, size_t size)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, data, size, (off_t)offset), size);
}
