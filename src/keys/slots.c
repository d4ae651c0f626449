/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "keys/slots.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/run.h"

#define KEY_ROOM 128u /* bytes; twice the volume key of aes-xts with 256 bits */

/* What a try found, in memory that the processes share. */
struct answer {
	size_t size; /* 0: nothing */
	char key[KEY_ROOM];
};

static void open_one(const struct slot_try *try, struct answer *answer)
{
	_cleanup_(secret_freep) struct secret *key = NULL;

	if (luks_slot_key(try->luks, try->slot, try->passphrase->data, try->passphrase->size,
			  &key) || key->size > sizeof(answer->key))
		return;
	memcpy(answer->key, key->data, key->size);
	answer->size = key->size;
}

/* Every step-th of them. */
static void open_share(const struct slot_try *tries, size_t n, size_t first, size_t step,
		       struct answer *answers)
{
	for (size_t i = first; i < n; i += step)
		open_one(&tries[i], &answers[i]);
}

/*
 * libcryptsetup is not safe in threads, so that a share is a process: it has a copy of every
 * context, and ends with this one.
 */
static pid_t start_share(const struct slot_try *tries, size_t n, size_t first, size_t step,
			 struct answer *answers)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	open_share(tries, n, first, step, answers);
	_exit(0);
}

static void open_all(const struct slot_try *tries, size_t n, struct answer *answers)
{
	size_t n_shares = MIN_OF(n, run_count_processors());
	_cleanup_free_ pid_t *pids = mem_alloc(n_shares * sizeof(*pids));

	for (size_t i = 1; i < n_shares; i++)
		pids[i] = start_share(tries, n, i, n_shares, answers);
	open_share(tries, n, 0, n_shares, answers);
	for (size_t i = 1; i < n_shares; i++) {
		if (pids[i] < 0)
			open_share(tries, n, i, n_shares, answers);
		while (pids[i] > 0 && waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
			;
	}
}

static struct secret *take_answer(const struct answer *answer)
{
	struct secret *key;

	if (!answer->size)
		return NULL;
	key = secret_new();
	memcpy(key->data, answer->key, answer->size);
	key->size = answer->size;
	return key;
}

void slots_open(struct slot_try *tries, size_t n)
{
	size_t size = n * sizeof(struct answer);
	struct answer *answers;

	if (!n)
		return;
	answers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (answers == MAP_FAILED)
		return;
	(void)mlock(answers, size);
	(void)madvise(answers, size, MADV_DONTDUMP);
	open_all(tries, n, answers);
	for (size_t i = 0; i < n; i++)
		tries[i].key = take_answer(&answers[i]);
	explicit_bzero(answers, size);
	(void)munmap(answers, size);
}
