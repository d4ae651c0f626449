/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Carrying out a plan. The only layer that writes to disks.
 *
 * There is no journal: the disks are it. A step that was interrupted leaves something that the
 * next observation tells from what is done, so that "go on" is the same code as "begin".
 */

#include "base/run.h"
#include "plan/plan.h"

struct apply_events {
	void (*begin)(void *context, const struct step *step);
	void (*end)(void *context, const struct step *step, double seconds);
	void *context;
};

/* The passphrase of an encryption root of ZFS. */
struct apply_key {
	char *root; /* full name of the dataset */
	struct secret *secret;
};

struct apply_context {
	const struct layout *layout;
	const char *target; /* where the pool's altroot is; "" in the running system */
	struct runner *run;
	const struct secret *passphrase;
	const struct apply_key *keys; /* apply_key_roots() says of what */
	size_t n_keys;
	const char *layout_file; /* goes to /etc/eyrie/eyrie.yaml of the system */
	const char *filling;	 /* a boot environment that counts already though half-made, or NULL */
	const struct strv *debs; /* packages to install into the system, eyrie's own among them */
	const struct apply_events *events;
	struct diag *diag;
	int later; /* an error that was told, and that no other step minds: apply_run() ends with it */

	/* What one try of a passphrase costs, found out before the first LUKS step. */
	struct {
		uint32_t iterations, memory_kib, threads;
	} kdf;
};

/* Stops at the first step that fails; what is running beside it on other disks ends first. */
int apply_run(const struct plan *plan, struct apply_context *cxt);

/* Unmount, export, close: after an installation on `target`. */
int apply_close(struct apply_context *cxt);

/* True when the plan has a step that needs the passphrase, or members that must be compared first. */
bool apply_needs_passphrase(const struct plan *plan, const struct layout *layout);

/* Encryption roots of ZFS whose passphrase the plan needs: those it makes, and those it opens. */
void apply_key_roots(const struct plan *plan, const struct layout *layout, struct strv *ret_new,
		     struct strv *ret_known);

/*
 * Programs and kernel modules that the steps of the plan need and that are missing: an error
 * for each, with the package that has it. -ENOENT when something is missing.
 */
int apply_check_tools(const struct plan *plan, const struct layout *layout, struct runner *run,
		      struct diag *diag);

/* A generated file of the system below `root` ("" for the running one), aside and renamed. */
struct boot_file;
int generated_write(const char *root, const struct boot_file *file, struct diag *diag);

/* A root tarball at `path`: Debian's suite with everything that the layout needs to boot. */
struct tarball_options {
	const char *zfs_modules; /* a package of them, its kernel linux-image.deb beside it; NULL: zfs-dkms */
	bool visible;		 /* mmdebstrap's own progress on the terminal */
};
char *tarball_packages(const struct layout *layout, const struct tarball_options *options);
int tarball_make(struct runner *run, const struct layout *layout,
		 const struct tarball_options *options, const char *path, struct diag *diag);
