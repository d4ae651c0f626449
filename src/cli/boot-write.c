/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* eyrie boot write: the generated files of a system, of any distribution, from a layout. */

#include "cli/boot.h"

#include <stdio.h>

#include "apply/apply.h"
#include "boot/files.h"
#include "boot/text.h"
#include "cli/gate-work.h"
#include "observe/observe.h"
#include "plan/name.h"

struct writing {
	struct cli *cli;
	const char *root; /* "" for the running system */
	struct layout *layout;
	struct observed *have; /* its files are those below `root` */
	struct boot_files files;
};

static void writing_deinit(struct writing *w)
{
	w->layout = layout_free(w->layout);
	w->have = observed_free(w->have);
	boot_files_deinit(&w->files);
}

static enum boot_file_state state_of(const struct writing *w, const struct boot_file *file)
{
	return boot_file_state(file, observed_file(w->have, file->path));
}

/* A text that lacks a disk is worse than an old one. */
static bool has_every_disk(struct writing *w)
{
	bool all = true;

	FOR_EACH_MEMBER_DISK(want, w->layout)
	{
		enum role role = role_of_pool(w->layout, &w->layout->pool);
		struct observed_disk *disk = observed_disk(w->have, want->path);
		struct observed_partition *member =
			disk ? find_partition(w->layout, disk, role, want->name) : NULL;

		if (member && (role == ROLE_DATA || member->luks.uuid))
			continue;
		(void)diag_error(&w->cli->diag, -ENODEV, "disk '%s' has no member here, and the files "
				 "would forget it: %s", want->name, want->path);
		all = false;
	}
	if (!all)
		diag_hint(&w->cli->diag, "eyrie apply makes members; run this with every disk there");
	return all;
}

/* So is one that lacks a disk of the pool because the layout does. */
static bool has_every_device(struct writing *w)
{
	const char *node = pool_device_beyond(w->layout, w->have);

	if (!node)
		return true;
	(void)diag_error(&w->cli->diag, -EINVAL, "the pool '%s' has %s, which is of no disk of the layout: "
			 "the files would forget it", w->layout->pool.name, node);
	diag_hint(&w->cli->diag, POOL_BEYOND_HINT);
	return false;
}

/* Its initramfs and its slots go by another unlock: than the layout; files alone move no machine. */
static bool is_moving(struct writing *w)
{
	const char *wanted = layout_unlock_name(w->layout->encryption.unlock);
	const struct observed_pool *pool = observed_pool(w->have, w->layout->pool.name);
	_cleanup_free_ char *root = name_dataset(&w->layout->pool, layout_root(w->layout)->name);
	const struct observed_dataset *dataset = pool ? observed_dataset(pool, root) : NULL;
	const char *is = dataset ? pair_get(&dataset->properties, NAME_UNLOCK_PROPERTY) : NULL;

	if (!is || streq(is, wanted))
		return false;
	(void)diag_error(&w->cli->diag, -EINVAL, "the system on %s opens its disks by unlock: %s, and "
			 "the layout has %s", root, is, wanted);
	diag_hint(&w->cli->diag, "eyrie apply moves it: slots, files and images");
	return true;
}

static bool may_overwrite(const struct writing *w, const char *path)
{
	return strv_has(&w->cli->options.overwrites, path);
}

static bool knows_overwrites(struct writing *w)
{
	const struct strv *paths = &w->cli->options.overwrites;
	_cleanup_strv_ struct strv names = STRV_NULL;
	_cleanup_free_ char *files = NULL;
	bool all = true;

	for (size_t i = 0; i < paths->n_items; i++) {
		bool known = false;

		for (size_t k = 0; k < w->files.n_items; k++)
			known |= streq(paths->items[i], w->files.items[k].path);
		if (!known)
			(void)diag_error(&w->cli->diag, -EINVAL, "--overwrite %s: no such file is "
					 "written", paths->items[i]);
		all &= known;
	}
	for (size_t k = 0; k < w->files.n_items; k++)
		strv_add(&names, w->files.items[k].path);
	files = strv_join(&names, ", ");
	if (!all)
		diag_hint(&w->cli->diag, "these are: %s", files);
	return all;
}

static bool is_of_somebody(const struct writing *w, const struct boot_file *file)
{
	enum boot_file_state state = state_of(w, file);

	return (state == BOOT_FILE_EDITED || state == BOOT_FILE_FOREIGN) &&
	       !may_overwrite(w, file->path);
}

/*
 * Each file with somebody's work in it is named. Who says which of them may go keeps the others; without
 * a word nothing is written at all: true.
 */
static bool refuse_losses(struct writing *w)
{
	bool chosen = w->cli->options.overwrites.n_items, any = false;

	for (size_t i = 0; i < w->files.n_items; i++) {
		const struct boot_file *file = &w->files.items[i];
		const char *whose = state_of(w, file) == BOOT_FILE_EDITED ?
					    "was changed since eyrie wrote it" :
					    "is not of eyrie's making";

		if (!is_of_somebody(w, file))
			continue;
		if (chosen)
			diag_warning(&w->cli->diag, "%s%s %s: it is left alone", w->root, file->path,
				     whose);
		else
			(void)diag_error(&w->cli->diag, -EEXIST, "%s%s %s", w->root, file->path, whose);
		diag_hint(&w->cli->diag, "when that may go: --overwrite %s", file->path);
		any = true;
	}
	return any && !chosen;
}

/* What there is to do, file by file; true when there is something. */
static bool show(const struct writing *w)
{
	struct json_object *all = json_object_new_array();
	bool any = false;

	for (size_t i = 0; i < w->files.n_items; i++) {
		const struct boot_file *file = &w->files.items[i];
		enum boot_file_state state = state_of(w, file);
		_cleanup_free_ char *difference =
			boot_file_difference(observed_file(w->have, file->path), file->text);
		struct json_object *one = json_object_new_object();

		json_object_object_add(one, "path", json_object_new_string(file->path));
		json_object_object_add(one, "state",
				       json_object_new_string(boot_file_state_name(state)));
		json_object_object_add(one, "difference", json_object_new_string(difference));
		json_object_array_add(all, one);
		any |= state != BOOT_FILE_SAME;
		if (state != BOOT_FILE_SAME && !w->cli->options.json && !w->cli->options.quiet)
			printf("%s (%s)\n%s", file->path, boot_file_state_name(state), difference);
	}
	if (w->cli->options.json)
		view_json(all, stdout);
	else
		json_object_put(all);
	return any;
}

static enum cli_exit write_all(struct writing *w)
{
	bool image = false, gates = false;

	for (size_t i = 0; i < w->files.n_items; i++) {
		const struct boot_file *file = &w->files.items[i];

		if (state_of(w, file) == BOOT_FILE_SAME || is_of_somebody(w, file))
			continue;
		if (generated_write(w->root, file, &w->cli->diag))
			return CLI_FAILED;
		image |= file->in_image;
		gates |= streq(file->path, GATE_FILE);
	}
	if (image)
		diag_note(&w->cli->diag, "the initramfs has some of these, too: make it anew, then eyrie "
			  "boot sync");
	/* A finding of it is no refusal any more: files were written. */
	if (gates && !*w->root)
		return gate_sync(w->cli) ? CLI_FAILED : CLI_OK;
	if (gates)
		diag_note(&w->cli->diag, "%s is in force there after 'eyrie gate sync'", GATE_FILE);
	return CLI_OK;
}

/* boot sync writes entries of systemd-boot and of GRUB in its own places, and of nothing else. */
static void tell_cmdline(struct writing *w)
{
	_cleanup_free_ char *cmdline = boot_cmdline(w->layout, NULL);

	diag_note(&w->cli->diag, "kernel parameters, for a boot loader that eyrie does not look "
		  "after: %s", cmdline);
}

enum cli_exit boot_write(struct cli *cli)
{
	_cleanup_(writing_deinit) struct writing w = {
		.cli = cli, .root = cli->options.root ? cli->options.root : "" };
	_cleanup_free_ char *path = str_printf("%s%s", w.root, CLI_LAYOUT_FILE);
	bool any;

	if (layout_read(cli->n_args > 1 ? cli->args[1] : path, &w.layout, &cli->diag))
		return CLI_REFUSED;
	if (cli_observe(cli, w.layout, &w.have))
		return CLI_FAILED;
	if (!has_every_disk(&w) || !has_every_device(&w))
		return CLI_REFUSED;
	list_deinit(&w.have->system.files, &record_observed_file);
	observe_files(w.root, &w.have->system.files);
	boot_files(w.layout, w.have, &w.files);
	if (!knows_overwrites(&w))
		return CLI_USAGE;
	any = show(&w);
	tell_cmdline(&w);
	if (cli->options.check)
		return any ? CLI_PENDING : CLI_OK;
	if (is_moving(&w) || refuse_losses(&w)) {
		diag_note(&cli->diag, "nothing was written");
		return CLI_REFUSED;
	}
	return write_all(&w);
}
