/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Generated files as a set: which there are, and whose a text is that is found in the place of one. */

#include "boot/files.h"
#include "boot/text.h"
#include "layout/gate.h"
#include "layout/paths.h"
#include "test.h"

#define MKCONF                                                                                 \
	"# mdadm.conf\n#\n# !NB! Run update-initramfs -u after updating this file.\n#\n\n"       \
	"#DEVICE partitions containers\n\n# automatically tag new arrays\n"                     \
	"HOMEHOST <system>\n\nMAILADDR root\n\n# definitions of existing MD arrays\n\n"         \
	"# This configuration was auto-generated on Thu, 26 Nov 2026 12:00:00 +0000 by mkconf\n"

#define KEY_ROOM TEST_LAYOUT "encryption: { unlock: peer, key-device-size: 32MiB }\n"

static struct boot_file *find(struct boot_files *files, const char *path)
{
	for (size_t i = 0; i < files->n_items; i++)
		if (streq(files->items[i].path, path))
			return &files->items[i];
	return NULL;
}

static void files_of(const char *yaml, struct boot_files *ret)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(yaml);
	const struct observed have = {};

	boot_files(layout, &have, ret);
}

/* Else that of mdadm's package would be there, and be somebody's, when the machine is moved. */
static void test_mdadm_conf_wherever_there_is_room_for_a_key_device(void **state)
{
	_cleanup_boot_files_ struct boot_files without = {}, with = {};

	(void)state;
	files_of(TEST_LAYOUT, &without);
	assert_null(find(&without, PATH_MDADM_CONF));
	files_of(KEY_ROOM, &with);
	assert_non_null(find(&with, PATH_MDADM_CONF));
	assert_null(strstr(find(&with, PATH_MDADM_CONF)->text, "ARRAY"));
	assert_false(find(&with, PATH_MDADM_CONF)->in_image);
}

static void test_what_mkconf_wrote_is_nobodys(void **state)
{
	_cleanup_boot_files_ struct boot_files files = {};
	const struct boot_file *conf, *fstab;

	(void)state;
	files_of(KEY_ROOM, &files);
	conf = find(&files, PATH_MDADM_CONF);
	fstab = find(&files, PATH_FSTAB);
	assert_int_equal(boot_file_state(conf, MKCONF), BOOT_FILE_OLD);
	assert_int_equal(boot_file_state(fstab, MKCONF), BOOT_FILE_FOREIGN);
	/* By hand: "mdadm --detail --scan >>mdadm.conf", or another address. */
	assert_int_equal(boot_file_state(conf, MKCONF "ARRAY /dev/md/data UUID=1:2:3:4\n"),
			 BOOT_FILE_FOREIGN);
	assert_int_equal(boot_file_state(conf, "HOMEHOST <system>\nMAILADDR ann@nest\n# This "
					 "configuration was auto-generated on a day by mkconf\n"),
			 BOOT_FILE_FOREIGN);
	assert_int_equal(boot_file_state(conf, "HOMEHOST <system>\nMAILADDR root\n"),
			 BOOT_FILE_FOREIGN);
}

/* Ours goes with the last gate of the layout; one that a person wrote is none of the layout's. */
static void test_gates_that_are_gone(void **state)
{
	_cleanup_(layout_freep) struct layout *none = test_layout(TEST_LAYOUT);
	_cleanup_boot_files_ struct boot_files with = {}, ours = {}, theirs = {};
	struct observed have = {};
	struct observed_file *there = list_add(&have.system.files, &record_observed_file);

	(void)state;
	files_of(TEST_LAYOUT "gates: { rpool/a: }\n", &with);
	there->path = str_dup(GATE_FILE);
	there->text = str_dup(find(&with, GATE_FILE)->text);
	boot_files(none, &have, &ours);
	assert_null(find(&ours, GATE_FILE)->text);
	assert_int_equal(boot_file_state(find(&ours, GATE_FILE), there->text), BOOT_FILE_OLD);
	str_set(&there->text, "gates: { nest: }\n");
	boot_files(none, &have, &theirs);
	assert_null(find(&theirs, GATE_FILE));
	list_deinit(&have.system.files, &record_observed_file);
}

/* What only follows an older layout is nobody's loss. */
static void test_what_is_lost_is_told(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);
	_cleanup_free_ char *old = boot_loader_conf(layout), *new = NULL, *edited = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	layout->boot.timeout = 7;
	new = boot_loader_conf(layout);
	edited = str_printf("%seditor no\n", old);
	boot_tell_loss("loader.conf", NULL, new, &diag);
	boot_tell_loss("loader.conf", "", new, &diag);
	boot_tell_loss("loader.conf", old, new, &diag);
	assert_int_equal(diag.n_items, 0);
	boot_tell_loss("loader.conf", edited, new, &diag);
	assert_string_equal(test_only_finding(&diag),
			    "loader.conf was changed by somebody, and is written anew");
	assert_non_null(strstr(diag.items[0].hint, ":\n-timeout 3\n-editor no\n+timeout 7"));
}

static void test_what_outlives_a_move(void **state)
{
	_cleanup_boot_files_ struct boot_files files = {};
	const struct boot_file *crypttab, *fstab;
	_cleanup_free_ char *with_nfs = NULL, *with_data = NULL;

	(void)state;
	files_of(KEY_ROOM, &files);
	crypttab = find(&files, PATH_CRYPTTAB);
	fstab = find(&files, PATH_FSTAB);
	with_nfs = str_printf("%snas:/media /media nfs nofail 0 0\n", fstab->text);
	with_data = str_printf("%sdata UUID=1 none luks,noauto\n", crypttab->text);
	assert_true(boot_file_outlives_move(fstab, with_nfs));
	assert_false(boot_file_outlives_move(fstab, fstab->text));
	assert_false(boot_file_outlives_move(fstab, NULL));
	assert_false(boot_file_outlives_move(crypttab, with_data));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mdadm_conf_wherever_there_is_room_for_a_key_device),
		cmocka_unit_test(test_what_mkconf_wrote_is_nobodys),
		cmocka_unit_test(test_gates_that_are_gone),
		cmocka_unit_test(test_what_is_lost_is_told),
		cmocka_unit_test(test_what_outlives_a_move),
	};

	return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
