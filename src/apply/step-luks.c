/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* LUKS2 devices, through libcryptsetup. */

#include <fcntl.h>
#include <libcryptsetup.h>
#include <sys/sysinfo.h>
#include <time.h>

#include "apply/internal.h"
#include "base/file.h"
#include "keys/enroll.h"
#include "keys/keyfile.h"

#define DATA_OFFSET	  (16 * MIB) /* cryptsetup's default; fixed, whatever the device says */
#define DIGEST_ITERATIONS 1000u	     /* the least: the digest is of a key with full entropy */

static void crypt_freep(struct crypt_device **cd)
{
	crypt_free(*cd);
}

/* What libcryptsetup says goes into the diag of whoever is at work, not onto the terminal. */
static void keep_errors(int level, const char *message, void *context)
{
	struct strbuf *said = context;

	if (level == CRYPT_LOG_ERROR)
		strbuf_add(said, message);
}

static int failed(struct apply_context *cxt, int r, const char *what, const char *disk,
		  struct strbuf *said)
{
	if (said->data)
		str_trim_end(said->data);
	return diag_error(cxt->diag, r, "cannot %s '%s': %s", what, disk,
			  said->size ? said->data : strerror(-r));
}

static uint32_t memory_kib(const struct layout_kdf *kdf)
{
	uint64_t memory = kdf->memory;
	struct sysinfo info;

	/* As cryptsetup does: a key slot that needs more than half of the memory may not open. */
	if (sysinfo(&info) == 0)
		memory = MIN_OF(memory, (uint64_t)info.totalram * info.mem_unit / 2);
	return (uint32_t)(memory / KIB);
}

static struct crypt_pbkdf_type slot_kdf(const struct apply_context *cxt)
{
	const struct layout_kdf *kdf = &cxt->layout->encryption.kdf;
	bool argon = kdf->type == KDF_ARGON2ID;

	return (struct crypt_pbkdf_type){
		.type = argon ? CRYPT_KDF_ARGON2ID : CRYPT_KDF_PBKDF2,
		.hash = argon ? NULL : "sha256",
		.time_ms = (uint32_t)kdf->time,
		.iterations = cxt->kdf.iterations,
		.max_memory_kb = argon ? cxt->kdf.memory_kib : 0,
		.parallel_threads = argon ? cxt->kdf.threads : 0,
		.flags = CRYPT_PBKDF_NO_BENCHMARK,
	};
}

/* Measured once for all members: they shall cost the same, and measuring takes seconds. */
int kdf_prepare(struct apply_context *cxt)
{
	const struct layout_encryption *e = &cxt->layout->encryption;
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct crypt_pbkdf_type kdf;
	int r;

	cxt->kdf.threads = (uint32_t)MIN_OF(e->kdf.threads, (uint64_t)MAX_OF(n_cpus, 1));
	cxt->kdf.memory_kib = memory_kib(&e->kdf);
	cxt->kdf.iterations = (uint32_t)e->kdf.iterations;
	if (cxt->kdf.iterations)
		return 0;
	kdf = slot_kdf(cxt);
	kdf.flags = 0;
	r = crypt_benchmark_pbkdf(NULL, &kdf, "benchmark", 9, "0123456789abcdef0123456789abcdef",
				  32, e->key_size / 8, NULL, NULL);
	if (r < 0)
		return diag_error(cxt->diag, r, "cannot find out what a passphrase costs here: %s",
				  strerror(-r));
	cxt->kdf.iterations = kdf.iterations;
	cxt->kdf.memory_kib = kdf.max_memory_kb;
	return 0;
}

/* `uuid` may be NULL: a random one. The label says that it is new. */
static int format(struct apply_context *cxt, struct crypt_device *cd, const char *label,
		  const char *uuid)
{
	const struct layout_encryption *e = &cxt->layout->encryption;
	_cleanup_free_ char *subsystem = name_subsystem(cxt->layout);
	size_t n_cipher = strcspn(e->cipher, "-");
	_cleanup_free_ char *cipher = str_printf("%.*s", (int)n_cipher, e->cipher);
	const struct crypt_pbkdf_type digest = { .type = CRYPT_KDF_PBKDF2, .hash = "sha256",
						 .iterations = DIGEST_ITERATIONS,
						 .flags = CRYPT_PBKDF_NO_BENCHMARK };
	const struct crypt_pbkdf_type kdf = slot_kdf(cxt);
	struct crypt_params_luks2 params = { .sector_size = (uint32_t)layout_sector_size(cxt->layout),
					     .label = label, .subsystem = subsystem };
	int r;

	/* The key slot last: without one a header whose label is new is of a device that is new. */
	r = crypt_set_data_offset(cd, DATA_OFFSET / 512);
	if (r == 0)
		r = crypt_set_pbkdf_type(cd, &digest);
	if (r == 0)
		r = crypt_format(cd, CRYPT_LUKS2, cipher, e->cipher + n_cipher + 1, uuid, NULL,
				 e->key_size / 8, &params);
	if (r == 0)
		r = crypt_set_pbkdf_type(cd, &kdf);
	if (r == 0 && e->discards)
		r = crypt_persistent_flags_set(cd, CRYPT_FLAGS_ACTIVATION,
					       CRYPT_ACTIVATE_ALLOW_DISCARDS);
	if (r == 0)
		r = crypt_keyslot_add_by_volume_key(cd, 0, NULL, 0, cxt->passphrase->data,
						    cxt->passphrase->size);
	return MIN_OF(r, 0);
}

/*
 * Interrupted: anything may be in a partition that is marked new, and it is made again. One that is a disk
 * itself is blank while its header is wiped, and new until that has a key slot; a header that is torn
 * is nobody's, and goes with consent.
 */
int apply_LUKS_FORMAT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(crypt_freep) struct crypt_device *cd = NULL;
	_cleanup_strbuf_ struct strbuf said = STRBUF_NULL;
	_cleanup_free_ char *node = NULL, *label = name_label_new(step->disk);
	int r = device_new_partition(cxt, step->disk, ROLE_MEMBER, &node);

	if (r)
		return r;
	r = crypt_init(&cd, node);
	if (r)
		return failed(cxt, r, "open", step->disk, &said);
	crypt_set_log_callback(cd, keep_errors, &said);
	r = format(cxt, cd, label, NULL);
	return r ? failed(cxt, r, "encrypt", step->disk, &said) : 0;
}

/* The header of a member; diag says whose it is when it cannot be used. */
static int load_member(struct apply_context *cxt, const struct step *step, struct luks **ret)
{
	_cleanup_free_ char *node = NULL;
	int r = device_partition(cxt, step->disk, ROLE_MEMBER, &node, NULL);

	if (r)
		return r;
	r = luks_load(node, ret, cxt->diag);
	if (r)
		diag_context(cxt->diag, "disk '%s'", step->disk);
	return r;
}

/* Another machine's may be open under that name, or what is left of a disk that was pulled. */
static int check_mapping(struct apply_context *cxt, struct luks *luks, const char *name)
{
	if (luks_has_mapping(luks, name))
		return 0;
	(void)diag_error(cxt->diag, -EEXIST, "/dev/mapper/%s is open already, and is not of %s", name,
			 crypt_get_device_name(luks->cd));
	diag_hint(cxt->diag, "when nothing there is needed: cryptsetup close %s", name);
	return -EEXIST;
}

/* Opening leaves nothing on the disk. One that is open since before is only tried. */
int apply_LUKS_OPEN(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(luks_freep) struct luks *luks = NULL;
	bool is_open = crypt_status(NULL, step->object) >= CRYPT_ACTIVE;
	int r = load_member(cxt, step, &luks);

	if (r == 0 && is_open)
		r = check_mapping(cxt, luks, step->object);
	if (r)
		return r;
	r = crypt_activate_by_passphrase(luks->cd, is_open ? NULL : step->object, CRYPT_ANY_SLOT,
					 cxt->passphrase->data, cxt->passphrase->size, 0);
	if (r == -EPERM) {
		(void)diag_error(cxt->diag, r, "the passphrase does not open '%s'", step->disk);
		diag_hint(cxt->diag, "this disk has its passphrase already: run again and type "
			  "that one; nothing was changed");
		return r;
	}
	return r < 0 ? failed(cxt, r, "open", step->disk, &luks->said) : 0;
}

/* The commit point of a member: its label, in both copies of the header. */
int apply_LUKS_FILLED(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(luks_freep) struct luks *luks = NULL;
	_cleanup_free_ char *subsystem = name_subsystem(cxt->layout);
	int r = load_member(cxt, step, &luks);

	if (r)
		return r;
	r = crypt_set_label(luks->cd, step->object, subsystem);
	return r ? failed(cxt, r, "mark", step->disk, &luks->said) : 0;
}

/* The members of the layout, each where it lies. */
struct members {
	struct strv nodes;
	struct keyfile_member *items;
	size_t n;
};

static void members_deinit(struct members *members)
{
	strv_deinit(&members->nodes);
	free(members->items);
}

#define _cleanup_members_ _cleanup_(members_deinit)

static int find_members(struct apply_context *cxt, struct members *ret)
{
	ret->items = mem_alloc(cxt->layout->disks.n_items * sizeof(*ret->items));
	FOR_EACH_MEMBER_DISK(want, cxt->layout)
	{
		_cleanup_free_ char *node = NULL;
		int r = device_partition(cxt, want->name, ROLE_MEMBER, &node, NULL);

		if (r)
			return r;
		strv_add(&ret->nodes, node);
		ret->items[ret->n++] = (struct keyfile_member){
			ret->nodes.items[ret->nodes.n_items - 1], want->name };
	}
	return 0;
}

/* What a crash leaves here is explained in docs/peer-format.md, "Making or changing a set". */
int apply_ENROLL(struct apply_context *cxt, const struct step *step)
{
	_cleanup_members_ struct members found = {};
	_cleanup_free_ struct enroll_member *members = NULL;
	int r = find_members(cxt, &found);

	(void)step;
	if (r)
		return r;
	members = mem_alloc(found.n * sizeof(*members));
	for (size_t i = 0; i < found.n; i++)
		members[i] = (struct enroll_member){ .path = found.items[i].path,
						     .name = found.items[i].name };
	return set_enroll(members, found.n, cxt->layout->id, cxt->passphrase, 0, cxt->diag);
}

/* the key device */

/* Members that exist have a passphrase: the key device shall not get another one. */
static int check_passphrase(struct apply_context *cxt)
{
	FOR_EACH_MEMBER_DISK(want, cxt->layout)
	{
		_cleanup_(luks_freep) struct luks *luks = NULL;
		_cleanup_free_ char *node = NULL;
		bool is_new;

		if (!device_has_partition(cxt, want->name, ROLE_MEMBER, &node, &is_new) || is_new ||
		    luks_load(node, &luks, NULL))
			continue;
		if (crypt_activate_by_passphrase(luks->cd, NULL, CRYPT_ANY_SLOT, cxt->passphrase->data,
						 cxt->passphrase->size, 0) >= 0)
			return 0;
		(void)diag_error(cxt->diag, -EPERM, "the passphrase does not open '%s'", want->name);
		diag_hint(cxt->diag, "type the one that the disks have; nothing was changed");
		return -EPERM;
	}
	return 0;
}

/* The whole data area, and the key read back from the device below the page cache. */
static int fill(struct apply_context *cxt)
{
	_cleanup_close_ int fd = open("/dev/mapper/" NAME_KEY_MAPPING, O_RDWR | O_CLOEXEC);
	_cleanup_close_ int from = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *chunk = mem_alloc(MIB), *back = mem_alloc(MIB);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	int r = fd < 0 || from < 0 || size <= 0 ? -EIO : 0;

	for (off_t at = 0; r == 0 && at < size; at += (off_t)MIB) {
		size_t n = (size_t)MIN_OF(size - at, (off_t)MIB);

		r = fd_read_all(from, chunk, n);
		if (r == 0 && (pwrite(fd, chunk, n, at) != (ssize_t)n || fsync(fd) < 0))
			r = -EIO;
		(void)posix_fadvise(fd, at, (off_t)n, POSIX_FADV_DONTNEED);
		if (r == 0 && (pread(fd, back, n, at) != (ssize_t)n || memcmp(chunk, back, n)))
			r = -EIO;
	}
	explicit_bzero(chunk, MIB);
	explicit_bzero(back, MIB);
	return r ? diag_error(cxt->diag, r, "cannot fill the key device") : 0;
}

static int open_key_device(struct apply_context *cxt, struct crypt_device *cd, uint32_t flags)
{
	int r = crypt_activate_by_passphrase(cd, NAME_KEY_MAPPING, CRYPT_ANY_SLOT,
					     cxt->passphrase->data, cxt->passphrase->size, flags);

	if (r == -EEXIST || r == -EBUSY)
		return diag_error(cxt->diag, r, "/dev/mapper/" NAME_KEY_MAPPING " is there already; "
				  "close it first: cryptsetup close " NAME_KEY_MAPPING);
	return r < 0 ? diag_error(cxt->diag, r, "the passphrase does not open the key device") : 0;
}

/* udev may look at it for a moment; an open key device is not left behind. */
static int close_key_device(struct apply_context *cxt, struct crypt_device *cd)
{
	int r = -EBUSY;

	for (int i = 0; i < 50 && r; i++) {
		r = crypt_deactivate(cd, NAME_KEY_MAPPING);
		if (r)
			(void)nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
	}
	return r ? diag_error(cxt->diag, r, "cannot close the key device: %s", strerror(-r)) : 0;
}

/*
 * The commit point is the label: until then the header says new, or the partitions below do, and
 * all of this is done again. The mapping is closed in any case.
 */
int apply_KEY_FORMAT(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(crypt_freep) struct crypt_device *cd = NULL;
	_cleanup_strbuf_ struct strbuf said = STRBUF_NULL;
	_cleanup_free_ char *uuid = name_inside_uuid(cxt->layout->id, ROLE_KEY);
	_cleanup_free_ char *label = name_key_label(cxt->layout);
	_cleanup_free_ char *subsystem = name_subsystem(cxt->layout);
	_cleanup_free_ char *node = NULL;
	int r = check_passphrase(cxt), q;

	if (r == 0)
		r = device_array(cxt, role_named(step->object), &node);
	if (r)
		return r;
	r = crypt_init(&cd, node);
	if (r)
		return failed(cxt, r, "open", "key device", &said);
	crypt_set_log_callback(cd, keep_errors, &said);
	r = format(cxt, cd, NAME_KEY_LABEL_NEW, uuid);
	if (r)
		return failed(cxt, r, "encrypt", "key device", &said);
	r = open_key_device(cxt, cd, 0);
	if (r)
		return r;
	r = fill(cxt);
	q = close_key_device(cxt, cd);
	if (r || q)
		return r ? r : q;
	r = crypt_set_label(cd, label, subsystem);
	return r ? failed(cxt, r, "mark", "key device", &said) : 0;
}

static int read_key(struct apply_context *cxt, struct secret **ret)
{
	_cleanup_(luks_freep) struct luks *luks = NULL;
	_cleanup_(secret_freep) struct secret *key = secret_new();
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *node = NULL;
	int r = device_array(cxt, ROLE_KEY, &node), q;

	if (r)
		return r;
	r = luks_load(node, &luks, cxt->diag);
	if (r)
		return r;
	r = open_key_device(cxt, luks->cd, CRYPT_ACTIVATE_READONLY);
	if (r)
		return r;
	fd = open("/dev/mapper/" NAME_KEY_MAPPING, O_RDONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : fd_read_all(fd, key->data, KEYFILE_SIZE);
	key->size = KEYFILE_SIZE;
	closep(&fd);
	fd = -1;
	q = close_key_device(cxt, luks->cd);
	if (r)
		return diag_error(cxt->diag, r, "cannot read the key device");
	if (q)
		return q;
	*ret = take_ptr(key);
	return 0;
}

/* What a crash leaves stands at keyfile_enroll(). */
int apply_KEY_ENROLL(struct apply_context *cxt, const struct step *step)
{
	_cleanup_members_ struct members members = {};
	_cleanup_(secret_freep) struct secret *key = NULL;
	int r = find_members(cxt, &members);

	(void)step;
	if (r == 0)
		r = read_key(cxt, &key);
	return r ? r : keyfile_enroll(members.items, members.n, cxt->passphrase, key, cxt->diag);
}

int apply_PEER_REMOVE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_members_ struct members members = {};
	int r = find_members(cxt, &members);

	(void)step;
	return r ? r : peers_remove(members.items, members.n, cxt->passphrase, cxt->diag);
}

/* Its key slots: without them what it holds is random bytes to everybody. */
static int erase_key_device(struct apply_context *cxt)
{
	_cleanup_(luks_freep) struct luks *luks = NULL;
	_cleanup_free_ char *subsystem = name_subsystem(cxt->layout);
	_cleanup_free_ char *node = NULL;
	int r = device_array(cxt, ROLE_KEY, &node);

	if (r == 0)
		r = luks_load(node, &luks, cxt->diag);
	if (r)
		return r;
	for (int slot = 0; r == 0 && slot < crypt_keyslot_max(CRYPT_LUKS2); slot++)
		if (crypt_keyslot_status(luks->cd, slot) >= CRYPT_SLOT_ACTIVE)
			r = crypt_keyslot_destroy(luks->cd, slot);
	if (r == 0)
		r = crypt_set_label(luks->cd, NAME_KEY_LABEL_NEW, subsystem);
	return r ? failed(cxt, r, "erase", "key device", &luks->said) : 0;
}

/*
 * The members first: interrupted, what is left of them still names the key device. Its label says
 * new at the end, and it is made again when somebody wants it.
 */
int apply_KEY_REMOVE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_members_ struct members members = {};
	int r = find_members(cxt, &members);

	if (r == 0)
		r = keyfile_remove(members.items, members.n, cxt->passphrase, cxt->diag);
	return r || !step->object ? r : erase_key_device(cxt);
}
