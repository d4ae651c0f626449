/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/secret.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct secret *secret_new(void)
{
	struct secret *secret = mem_alloc(sizeof(*secret));

	secret->room = SECRET_MAX;
	secret->data = mmap(NULL, secret->room, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (secret->data == MAP_FAILED) {
		free(secret);
		return mem_alloc(SIZE_MAX); /* ends the program as any other allocation does */
	}
	/* A small RLIMIT_MEMLOCK is no reason not to open the machine. */
	(void)mlock(secret->data, secret->room);
	(void)madvise(secret->data, secret->room, MADV_DONTDUMP);
	return secret;
}

struct secret *secret_free(struct secret *secret)
{
	if (!secret)
		return NULL;
	explicit_bzero(secret->data, secret->room);
	(void)munmap(secret->data, secret->room);
	free(secret);
	return NULL;
}

char *secret_release(struct secret *secret, size_t *ret_size)
{
	char *data = secret->data;

	*ret_size = secret->size;
	free(secret);
	return data;
}

struct secret *secret_adopt(char *data, size_t size)
{
	struct secret *secret = mem_alloc(sizeof(*secret));

	*secret = (struct secret){ .data = data, .size = size, .room = SECRET_MAX };
	return secret;
}

bool secret_equal(const struct secret *a, const struct secret *b)
{
	unsigned char differs = 0;

	if (a->size != b->size)
		return false;
	for (size_t i = 0; i < a->size; i++)
		differs |= (unsigned char)(a->data[i] ^ b->data[i]);
	return !differs;
}

int secret_read(struct secret *secret, int fd, bool line)
{
	bool ended = false;

	secret->size = 0;
	while (!ended) {
		char *at = secret->data + secret->size;
		ssize_t n;

		if (secret->size == secret->room)
			return -EMSGSIZE;
		/* Byte by byte up to a newline, so that what follows it stays for others. */
		n = read(fd, at, line ? 1 : secret->room - secret->size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		ended = n == 0 || (line && *at == '\n');
		if (!ended)
			secret->size += (size_t)n;
	}
	while (secret->size && secret->data[secret->size - 1] == '\n')
		secret->data[--secret->size] = '\0';
	return secret->size ? 0 : -ENODATA;
}

void secret_harden_process(void)
{
	const struct rlimit no_core = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)prctl(PR_SET_DUMPABLE, 0);
}
