/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The operating system. How far it came stands in eyrie:state of the root dataset, which is
 * set after `zpool sync`, and after the same for a /boot of its own: what it says has reached the
 * disks.
 */

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "apply/internal.h"
#include "base/file.h"
#include "boot/files.h"
#include "boot/text.h"
#include "gate/find.h"
#include "gate/openrc.h"
#include "gate/zfs.h"

#define WORK_FOLDER "/var/cache/eyrie"
#define POOL_CACHE "/run/zpool.cache"
#define UNPACK_DEADLINE (4 * 3600u)
#define INITRD_DEADLINE 3600u

static int set_state(struct apply_context *cxt, const char *root, const char *state,
		     const char *hash)
{
	_cleanup_free_ char *value = str_printf("%s%s", state, hash);
	int r = boot_sync_folder(cxt);

	if (r == 0)
		r = pool_sync(cxt, &cxt->layout->pool);
	return r ? r : dataset_set(cxt, root, NAME_STATE_PROPERTY, value);
}

/* The hash behind the ':' of the state that is set now. */
static int get_hash(struct apply_context *cxt, const char *root, char **ret)
{
	_cleanup_free_ char *output = NULL;
	const char *const argv[] = { "zfs", "get", "-Hp", "-o", "value", NAME_STATE_PROPERTY,
				     root, NULL };
	int r = run(cxt->run, &(struct command){ .argv = argv, .ret_output = &output },
		    cxt->diag);
	const char *colon = r ? NULL : strchr(output, ':');

	if (r)
		return r;
	*ret = str_dup(colon ? colon + 1 : "");
	str_trim_end(*ret);
	return 0;
}

/* Back to the empty dataset: what an interrupted run left is gone. */
static int empty_root(struct apply_context *cxt, const char *root)
{
	_cleanup_free_ char *snapshot = str_printf("%s@" NAME_EMPTY_SNAPSHOT, root);
	const char *const list[] = { "zfs", "list", "-H", "-t", "snapshot", "-o", "name",
				     snapshot, NULL };

	if (run(cxt->run, &(struct command){ .argv = list, .flags = RUN_OPTIONAL }, NULL) == 0)
		return run_words(cxt->run, cxt->diag, "zfs", "rollback", "-r", snapshot, NULL);
	return run_words(cxt->run, cxt->diag, "zfs", "snapshot", snapshot, NULL);
}

/* The tarball of the layout; with a suite it is made first, on the new pool, which has room. */
static int get_tarball(struct apply_context *cxt, char **ret)
{
	const struct layout_system *system = &cxt->layout->system;
	_cleanup_free_ char *folder = str_printf("%s" WORK_FOLDER, cxt->target);
	int r;

	if (system->tarball) {
		*ret = str_dup(system->tarball);
		return 0;
	}
	r = file_make_folder(folder, cxt->diag);
	if (r)
		return r;
	*ret = str_printf("%s/root-%s.tar", folder, system->suite);
	return tarball_make(cxt->run, cxt->layout, &(struct tarball_options){}, *ret, cxt->diag);
}

static int unpack(struct apply_context *cxt, const char *tarball)
{
	const struct command tar = {
		.argv = (const char *const[]){ "tar", "--extract", "--file", tarball,
					       "--directory", cxt->target, "--numeric-owner",
					       "--xattrs", "--xattrs-include=*", "--acls",
					       "--preserve-permissions", NULL },
		.deadline = UNPACK_DEADLINE,
	};
	int r = run(cxt->run, &tar, cxt->diag);

	if (r)
		diag_hint(cxt->diag, "when the pool was full, larger disks or a smaller system "
			  "help; run again, and it begins with an empty dataset");
	return r;
}

/* Interrupted: the state says populating, and the next run goes back to @empty. */
int apply_UNPACK(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *root = apply_dataset(cxt, step);
	_cleanup_free_ char *tarball = NULL;
	char hash[HASH_HEX_SIZE];
	int r;

	r = empty_root(cxt, root);
	if (r == 0)
		r = set_state(cxt, root, STATE_POPULATING, "");
	if (r == 0)
		r = get_tarball(cxt, &tarball);
	if (r)
		return r;
	r = file_hash(tarball, hash);
	if (r)
		return diag_error(cxt->diag, r, "cannot read the root tarball %s: %s", tarball,
				  strerror(-r));
	r = unpack(cxt, tarball);
	if (r == 0 && !cxt->layout->system.tarball)
		(void)unlink(tarball);
	return r ? r : set_state(cxt, root, STATE_UNPACKED, hash);
}

/* configuration */

static int copy_into(struct apply_context *cxt, const char *source, const char *folder)
{
	return run_words(cxt->run, cxt->diag, "cp", "--", source, folder, NULL);
}

static int write_in(struct apply_context *cxt, const char *path, const char *text, mode_t mode)
{
	_cleanup_free_ char *full = str_printf("%s%s", cxt->target, path);

	return file_replace(full, text, mode, cxt->diag);
}

/* write_in() of a text that is freed. */
static int write_taken(struct apply_context *cxt, const char *path, char *text)
{
	_cleanup_free_ char *owned = text;

	return write_in(cxt, path, owned, 0644);
}

static int write_layout(struct apply_context *cxt)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	int r = file_read(cxt->layout_file, &text);

	if (r)
		return diag_error(cxt->diag, r, "cannot read %s: %s", cxt->layout_file,
				  strerror(-r));
	/* It may hold the hash of root's password. */
	return write_in(cxt, "/etc/eyrie/eyrie.yaml", text.data, 0600);
}

/*
 * The texts name every member, and would forget one that dropped out since the plan was made. `without`:
 * names of those that the plan went on without, or NULL.
 */
static int check_members(struct apply_context *cxt, const struct observed *have, const char *without)
{
	enum role role = role_of_pool(cxt->layout, &cxt->layout->pool);
	_cleanup_strv_ struct strv left_out = STRV_NULL;
	int r = 0;

	strv_split(&left_out, without ? without : "", " ");
	FOR_EACH_MEMBER_DISK(want, cxt->layout)
	{
		const struct observed_disk *disk = observed_disk(have, want->path);
		const struct observed_partition *member =
			disk ? find_partition(cxt->layout, disk, role, want->name) : NULL;

		if ((member && (role == ROLE_DATA || member->luks.uuid)) ||
		    strv_has(&left_out, want->name))
			continue;
		r = diag_error(cxt->diag, -ENODEV, "disk '%s' has no member any more, and the files "
			       "would forget it: %s", want->name, want->path);
	}
	if (r)
		diag_hint(cxt->diag, "nothing was written; run again, and the plan is made anew");
	return r;
}

/* `moving`: what a person wrote into those that every unlock: has alike stays. */
static int write_generated(struct apply_context *cxt, bool moving, const char *without)
{
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_boot_files_ struct boot_files files = {};
	int r = observe_machine(cxt->run, cxt->layout, cxt->target, &have, cxt->diag);

	if (r == 0)
		r = check_members(cxt, have, without);
	if (r)
		return r;
	boot_files(cxt->layout, have, &files);
	for (size_t i = 0; r == 0 && i < files.n_items; i++) {
		const struct boot_file *file = &files.items[i];

		if (!moving || !boot_file_outlives_move(file, observed_file(have, file->path)))
			r = generated_write(cxt->target, file, cxt->diag);
	}
	return r;
}

/* As it will be without the folder that the target is mounted at. */
static void take_target_away(const struct apply_context *cxt, struct held_gate *held)
{
	FOR_EACH_MOUNT(mount, held)
	{
		const char *rest = starts_with(mount->path, cxt->target);
		_cleanup_free_ char *path = NULL;

		if (!rest || (*rest && *rest != '/'))
			continue;
		path = str_dup(*rest ? rest : "/");
		str_set(&mount->path, path);
	}
}

static int add_held(struct apply_context *cxt, const struct gate *gate, struct held *held)
{
	_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
	struct held_gate *added = held_gate(held, gate->name);
	int r = zfs_read(cxt->run, gate->name, &state, cxt->diag);

	if (r)
		return r;
	added->policy = gate_policy(gate);
	held_from_zfs(&cxt->layout->gates, gate, state, added);
	take_target_away(cxt, added);
	r = find_bad_mounts(added, cxt->diag);
	if (r)
		diag_context(cxt->diag, "the gate '%s'", gate->name);
	return r;
}

/*
 * Which datasets a gate holds, for the first start of the new system: it has to know before ZFS can
 * be asked. Which services, its generator sees in their files.
 */
static int write_held(struct apply_context *cxt)
{
	_cleanup_(held_freep) struct held *held = mem_alloc(sizeof(*held));
	int r = 0;

	if (!cxt->layout->gates.n_items)
		return 0;
	held_complete(held, &cxt->layout->gates);
	FOR_EACH_GATE(gate, &cxt->layout->gates)
		if (r == 0)
			r = add_held(cxt, gate, held);
	return r ? r : write_taken(cxt, HELD_FILE, held_dump(held));
}

/*
 * Stock units import what zpool.cache names. Exporting takes a pool out of its own cache file,
 * and so the system gets a copy of another one. A pool that is away is told by the plan.
 */
static int write_pool_cache(struct apply_context *cxt)
{
	_cleanup_free_ char *folder = str_printf("%s/etc/zfs", cxt->target);
	int r = 0;

	(void)unlink(POOL_CACHE);
	FOR_EACH_ITEM(struct layout_pool, pool, &cxt->layout->pools)
		if (r == 0 && pool_is_imported(cxt, pool->name))
			r = run_words(cxt->run, cxt->diag, "zpool", "set",
				      "cachefile=" POOL_CACHE, pool->name, NULL);
	if (r || access(POOL_CACHE, F_OK) < 0)
		return r;
	r = file_make_folder(folder, cxt->diag);
	return r ? r : copy_into(cxt, POOL_CACHE, folder);
}

static int write_identity(struct apply_context *cxt)
{
	const char *host = cxt->layout->host;
	_cleanup_free_ char *hostid = str_printf("%s/etc/hostid", cxt->target);
	int r;

	r = write_taken(cxt, "/etc/hostname", str_printf("%s\n", host));
	if (r == 0)
		r = write_taken(cxt, "/etc/hosts",
				str_printf("127.0.0.1\tlocalhost\n127.0.1.1\t%s\n"
					   "::1\tlocalhost ip6-localhost ip6-loopback\n", host));
	if (r == 0 && access(hostid, F_OK) < 0)
		r = run_words(cxt->run, cxt->diag, "zgenhostid", "-o", hostid, NULL);
	return r;
}

static int write_network(struct apply_context *cxt)
{
	static const char dhcp[] = "# Written by eyrie; eyrie.yaml(5) says what from.\n"
				   "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n";
	int r;

	if (cxt->layout->system.network != NETWORK_DHCP ||
	    cxt->layout->system.init != INIT_SYSTEMD)
		return 0;
	r = write_in(cxt, "/etc/systemd/network/80-eyrie.network", dhcp, 0644);
	if (r)
		return r;
	return run(cxt->run, &(struct command){
			.argv = (const char *const[]){ "systemctl", "enable", "systemd-networkd",
						       NULL },
			.root = cxt->target }, cxt->diag);
}

static int write_timezone(struct apply_context *cxt)
{
	_cleanup_free_ char *link = str_printf("%s/etc/localtime", cxt->target);
	_cleanup_free_ char *zone = str_printf("/usr/share/zoneinfo/%s",
					       cxt->layout->system.timezone);

	(void)unlink(link);
	if (symlink(zone, link) < 0)
		return diag_error(cxt->diag, -errno, "cannot make %s: %m", link);
	return 0;
}

/*
 * The person's own from here on, as dpkg-reconfigure keyboard-configuration has it: it is written
 * once. What reads it into the console's table makes the image of the initramfs do so, too.
 */
static int write_keyboard(struct apply_context *cxt)
{
	_cleanup_free_ char *layout = NULL, *variant = NULL;
	int r;

	if (!cxt->layout->system.keyboard)
		return 0;
	r = layout_keyboard(cxt->layout, &layout, &variant);
	if (r)
		return diag_error(cxt->diag, r, "there is no keyboard '%s'",
				  cxt->layout->system.keyboard);
	return write_taken(cxt, "/etc/default/keyboard",
			   str_printf("XKBMODEL=\"pc105\"\nXKBLAYOUT=\"%s\"\nXKBVARIANT=\"%s\"\n"
				      "XKBOPTIONS=\"\"\nBACKSPACE=\"guess\"\n", layout, variant));
}

static int write_access(struct apply_context *cxt)
{
	const struct layout_system *system = &cxt->layout->system;
	_cleanup_free_ char *keys = strv_join(&system->root_keys, "\n");
	_cleanup_free_ char *lines = str_printf("%s\n", keys);
	_cleanup_free_ char *password = NULL;
	int r = 0;

	if (system->root_keys.n_items)
		r = write_in(cxt, "/root/.ssh/authorized_keys", lines, 0600);
	if (r || !system->root_password)
		return r;
	password = str_printf("root:%s\n", system->root_password);
	return run(cxt->run, &(struct command){
			.argv = (const char *const[]){ "chpasswd", "-e", NULL },
			.root = cxt->target, .input = password }, cxt->diag);
}

/*
 * dpkg is safe to run again over what an interrupted run left. The package wants an initramfs
 * with its new programs in it: that is a step of its own.
 */
static int install_debs(struct apply_context *cxt)
{
	static const char *const no_initramfs[] = { "INITRD=No", NULL };
	_cleanup_free_ char *folder = str_printf("%s" WORK_FOLDER, cxt->target);
	_cleanup_strv_ struct strv argv = STRV_NULL, copies = STRV_NULL;
	int r = file_make_folder(folder, cxt->diag);

	strv_add_all(&argv, "dpkg", "--install", NULL);
	for (size_t i = 0; r == 0 && cxt->debs && i < cxt->debs->n_items; i++) {
		const char *deb = cxt->debs->items[i], *slash = strrchr(deb, '/');
		const char *name = slash ? slash + 1 : deb;

		r = copy_into(cxt, deb, folder);
		strv_addf(&argv, WORK_FOLDER "/%s", name);
		strv_addf(&copies, "%s/%s", folder, name);
	}
	if (r == 0 && copies.n_items)
		r = run(cxt->run, &(struct command){ .argv = (const char *const *)argv.items,
						     .environment = no_initramfs,
						     .root = cxt->target }, cxt->diag);
	for (size_t i = 0; i < copies.n_items; i++)
		(void)unlink(copies.items[i]);
	return r;
}

/* Units are enabled by the package; its helper knows nothing of OpenRC's own services. */
static int enable_services(struct apply_context *cxt)
{
	_cleanup_free_ char *script = str_printf("%s/etc/init.d/eyrie-boot", cxt->target);
	int r;

	if (cxt->layout->system.init != INIT_OPENRC || access(script, F_OK) < 0)
		return 0;
	r = run(cxt->run, &(struct command){
			.argv = (const char *const[]){ "rc-update", "add", "eyrie-boot", "default",
						       NULL },
			.root = cxt->target }, cxt->diag);
	if (r == 0 && cxt->layout->gates.n_items)
		r = openrc_put(cxt->run, cxt->target, &cxt->layout->gates, cxt->diag);
	return r;
}

static int set_unlock(struct apply_context *cxt, const char *root)
{
	return dataset_set(cxt, root, NAME_UNLOCK_PROPERTY,
			   layout_unlock_name(cxt->layout->encryption.unlock));
}

/* Interrupted: everything here gives the same when it is done twice. */
int apply_CONFIGURE(struct apply_context *cxt, const struct step *step)
{
	static int (*const parts[])(struct apply_context *) = {
		write_layout, write_held, write_pool_cache, write_identity, write_network,
		write_timezone, write_keyboard, write_access, install_debs, enable_services,
	};
	_cleanup_free_ char *root = apply_dataset(cxt, step);
	_cleanup_free_ char *hash = NULL;
	int r = get_hash(cxt, root, &hash);

	if (r == 0)
		r = write_generated(cxt, /* moving= */ false, step->value);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = parts[i](cxt);
	if (r == 0)
		r = set_unlock(cxt, root);
	return r ? r : set_state(cxt, root, STATE_CONFIGURED, hash);
}

int generated_write(const char *root, const struct boot_file *file, struct diag *diag)
{
	_cleanup_free_ char *path = str_printf("%s%s", root, file->path);

	if (file->text)
		return file_replace(path, file->text, 0644, diag);
	if (unlink(path) < 0 && errno != ENOENT)
		return diag_error(diag, -errno, "cannot remove %s: %m", path);
	return 0;
}

/*
 * The state comes first: interrupted, the images are made again whether or not the file was
 * written. The text is made anew from what is there now, as the plan did.
 */
int apply_FILE_WRITE(struct apply_context *cxt, const struct step *step)
{
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_boot_files_ struct boot_files files = {};
	_cleanup_free_ char *root = name_dataset(&cxt->layout->pool, layout_root(cxt->layout)->name);
	_cleanup_free_ char *hash = NULL;
	int r = observe_machine(cxt->run, cxt->layout, cxt->target, &have, cxt->diag);

	if (r == 0)
		r = check_members(cxt, have, NULL);
	if (r)
		return r;
	boot_files(cxt->layout, have, &files);
	for (size_t i = 0; r == 0 && i < files.n_items; i++) {
		const struct boot_file *file = &files.items[i];

		if (!streq(file->path, step->object))
			continue;
		if (file->in_image)
			r = get_hash(cxt, root, &hash);
		if (r == 0 && file->in_image)
			r = set_state(cxt, root, STATE_CONFIGURED, hash);
		if (r == 0)
			r = generated_write(cxt->target, file, cxt->diag);
	}
	return r;
}

/*
 * Files of another unlock: on a system that stands. Interrupted: it is done again, as long as the
 * property says the old one; from the state on, the images are made again. Until the new images
 * are on a disk, the old ones there open the members in the old way.
 */
int apply_SWITCH(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *root = apply_dataset(cxt, step);
	_cleanup_free_ char *hash = NULL;
	int r = get_hash(cxt, root, &hash);

	if (r == 0)
		r = write_layout(cxt);
	if (r == 0)
		r = write_generated(cxt, /* moving= */ true, NULL);
	if (r == 0)
		r = set_state(cxt, root, STATE_CONFIGURED, hash);
	return r ? r : set_unlock(cxt, root);
}

/*
 * Aside, since /boot may be full, and renamed once it is on the disk: the old image, or the new one,
 * whole. dracut's hooks would run eyrie boot sync, which waits for the lock that we have; syncing is a
 * step of its own.
 */
static int make_initrd(struct apply_context *cxt, const char *version)
{
	static const char *const no_hooks[] = { "NO_POST_UPDATE_HOOKS=1", NULL };
	_cleanup_free_ char *name = str_printf("%s/boot/initrd.img-%s", cxt->target, version);
	_cleanup_free_ char *aside = str_printf("%s.new", name);
	const char *image = aside + strlen(cxt->target);
	int r;
	const char *const *const makers[] = {
		[INITRAMFS_DRACUT] = (const char *const[]){ "dracut", "--force", "--quiet",
							    "--kver", version, image, NULL },
		[INITRAMFS_TOOLS] =
			(const char *const[]){ "mkinitramfs", "-o", image, version, NULL },
	};

	r = run(cxt->run, &(struct command){
			.argv = makers[cxt->layout->boot.initramfs],
			.environment = no_hooks,
			.root = *cxt->target ? cxt->target : NULL, .deadline = INITRD_DEADLINE },
		cxt->diag);
	if (r == 0)
		return file_publish(aside, name, cxt->diag);
	(void)unlink(aside);
	return r;
}

/* dracut takes it for an error, and no other kernel shall be without an image for that. */
static bool is_without_zfs(struct apply_context *cxt, const char *version)
{
	if (observe_has_zfs(cxt->target, version))
		return false;
	diag_warning(cxt->diag, "kernel %s has no zfs.ko and gets no initramfs: it would not find its "
		     "root", version);
	diag_hint(cxt->diag, "dkms status shows whether the module was built for it");
	return true;
}

/* Interrupted: the state is not done, and each image is made again. */
int apply_INITRD(struct apply_context *cxt, const struct step *step)
{
	_cleanup_free_ char *root = apply_dataset(cxt, step);
	_cleanup_free_ char *folder = str_printf("%s/boot", cxt->target);
	_cleanup_free_ char *hash = NULL;
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t n = 0;
	int r = 0;

	while (dir && r == 0 && (entry = readdir(dir))) {
		const char *version = starts_with(entry->d_name, "vmlinuz-");

		if (!version || is_without_zfs(cxt, version))
			continue;
		r = make_initrd(cxt, version);
		n++;
	}
	if (dir)
		closedir(dir);
	if (r)
		return r;
	if (!n) {
		r = diag_error(cxt->diag, -ENOENT, "the system has no kernel with a zfs.ko in /boot");
		diag_hint(cxt->diag, "the root tarball wants linux-image-amd64 and the module");
		return r;
	}
	r = get_hash(cxt, root, &hash);
	if (r == 0)
		r = dataset_note_images(cxt, root);
	return r ? r : set_state(cxt, root, STATE_DONE, hash);
}
