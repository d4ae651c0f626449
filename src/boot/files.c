/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/files.h"

#include "boot/text.h"
#include "layout/gate.h"
#include "layout/paths.h"
#include "plan/name.h"

/*
 * What Debian's mdadm writes when it is installed (mkconf), and nobody added a word to: no array is
 * named, and nobody's address.
 */
static bool is_of_mkconf(const char *text)
{
	_cleanup_strv_ struct strv lines = STRV_NULL;
	bool made = false;

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.n_items; i++) {
		const char *line = lines.items[i];

		made |= starts_with(line, "# This configuration was auto-generated on ") != NULL;
		if (*line != '#' && !streq(line, "HOMEHOST <system>") && !streq(line, "MAILADDR root"))
			return false;
	}
	return made;
}

/* Files that another unlock: has another text of. */
static bool depends_on_unlock(const char *path)
{
	static const char *const paths[] = { PATH_CRYPTTAB, PATH_MDADM_CONF, PATH_DRACUT_CONF,
					     PATH_INITRD_DROPIN, PATH_UNLOCK_CONF };

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (streq(path, paths[i]))
			return true;
	return false;
}

static void add(struct boot_files *files, const char *path, bool in_image, char *text)
{
	files->items[files->n_items++] = (struct boot_file){
		.path = path, .text = text ? boot_seal(text) : NULL, .in_image = in_image };
}

/* Gates that a layout does not have may be their owner's, in a file that eyrie never wrote. */
static bool is_ours(const char *text)
{
	return text && starts_with(text, BOOT_HEADER);
}

void boot_files(const struct layout *layout, const struct observed *have, struct boot_files *ret)
{
	unsigned unlock = layout->encryption.unlock;
	bool ours = unlock == UNLOCK_PEER || unlock == UNLOCK_NATIVE;

	*ret = (struct boot_files){};
	add(ret, PATH_CRYPTTAB, !ours, boot_crypttab(layout, have));
	add(ret, PATH_FSTAB, false, boot_fstab(layout));
	/* Where there is room for a key device there may be one later: mdadm's own file never is. */
	if (role_wants_array(layout, ROLE_BOOT) || layout_key_size(layout))
		add(ret, PATH_MDADM_CONF, unlock == UNLOCK_KEYSTORE, boot_mdadm_conf(layout));
	if (layout->boot.initramfs == INITRAMFS_DRACUT)
		add(ret, PATH_DRACUT_CONF, true, boot_dracut_conf(layout));
	else
		add(ret, PATH_INITRAMFS_TOOLS_CONF, true, boot_initramfs_tools_conf(layout));
	add(ret, PATH_INITRD_DROPIN, true, ours ? NULL : boot_initrd_dropin(layout));
	add(ret, PATH_IMPORT_UNIT, true, ours ? NULL : boot_import_unit(layout, have));
	add(ret, PATH_IMPORT_DROPIN, true, ours ? NULL : boot_import_dropin());
	add(ret, PATH_UNLOCK_CONF, true, ours ? boot_unlock_conf(layout, have) : NULL);
	add(ret, PATH_SLEEP_CONF, false,
	    layout->swap.on == SWAP_NONE ? NULL : boot_sleep_conf(layout));
	if (layout->gates.n_items || is_ours(observed_file(have, GATE_FILE)))
		add(ret, GATE_FILE, false, layout->gates.n_items ? boot_gates(layout) : NULL);
}

void boot_files_deinit(struct boot_files *files)
{
	for (size_t i = 0; i < files->n_items; i++)
		free(files->items[i].text);
	*files = (struct boot_files){};
}

enum boot_file_state boot_file_state(const struct boot_file *file, const char *have)
{
	if (streq(have, file->text))
		return BOOT_FILE_SAME;
	if (!have)
		return BOOT_FILE_ABSENT;
	if (streq(file->path, PATH_UNLOCK_CONF) || boot_is_sealed(have))
		return BOOT_FILE_OLD;
	if (streq(file->path, PATH_MDADM_CONF) && is_of_mkconf(have))
		return BOOT_FILE_OLD;
	return starts_with(have, BOOT_HEADER) ? BOOT_FILE_EDITED : BOOT_FILE_FOREIGN;
}

bool boot_file_is_of_person(const struct boot_file *file, const char *have)
{
	enum boot_file_state state = boot_file_state(file, have);

	return state == BOOT_FILE_EDITED || state == BOOT_FILE_FOREIGN;
}

bool boot_file_outlives_move(const struct boot_file *file, const char *have)
{
	return !depends_on_unlock(file->path) && boot_file_is_of_person(file, have);
}

const char *boot_file_state_name(enum boot_file_state state)
{
	static const char *const names[] = { "same", "absent", "old", "edited", "foreign" };

	return names[state];
}

/* Those of `a` that `b` has not, but for the first line of ours: its hash says nothing more. */
static void add_lines(struct strbuf *b, char sign, const char *a, const char *other)
{
	_cleanup_strv_ struct strv lines = STRV_NULL, known = STRV_NULL;

	strv_split(&lines, a ? a : "", "\n");
	strv_split(&known, other ? other : "", "\n");
	for (size_t i = 0; i < lines.n_items; i++)
		if (!strv_has(&known, lines.items[i]) && !starts_with(lines.items[i], BOOT_HEADER))
			strbuf_printf(b, "%c%s\n", sign, lines.items[i]);
}

char *boot_file_difference(const char *have, const char *want)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	add_lines(&b, '-', have, want);
	add_lines(&b, '+', want, have);
	return b.size ? strbuf_take(&b) : str_dup("");
}

void boot_tell_loss(const char *name, const char *have, const char *want, struct diag *diag)
{
	_cleanup_free_ char *difference = boot_file_difference(have, want);

	if (is_empty(have) || boot_is_sealed(have) || is_empty(difference))
		return;
	str_trim_end(difference);
	diag_warning(diag, "%s was changed by somebody, and %s", name,
		     want ? "is written anew" : "goes with its kernel");
	diag_hint(diag, "the layout says what is in it: boot: cmdline: has room for kernel "
		  "parameters, boot: timeout: is that of the menu. The difference:\n%s", difference);
}
