/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plan/name.h"
#include "test.h"

static void expect(char *text, const char *wanted)
{
	_cleanup_free_ char *owned = text;

	assert_string_equal(owned, wanted);
}

static void test_names(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);

	(void)state;
	expect(name_partition(ROLE_ESP, "left"), "eyrie-esp-left");
	expect(name_partition_new(ROLE_ESP, "left"), "eyrie-new-esp-left");
	expect(name_partition_new(ROLE_MEMBER, "left"), "eyrie-new-member-left");
	expect(name_partition_new(ROLE_SWAP, "left"), "eyrie-swap-left"); /* has no content */
	expect(name_mapping(layout, "left"), "rpool-left");
	expect(name_subsystem(layout), "eyrie:" TEST_ID);
	expect(name_label(layout, "left"), "falcon-left");
	expect(name_label_new("left"), "eyrie-new-left");
	expect(name_dataset(&layout->pool, "ROOT/debian"), "rpool/ROOT/debian");
}

/* What a GPT (36 characters) and a LUKS2 header (47) have room for. */
static void test_room(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(
		"id: " TEST_ID "\n"
		"host: abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk\n"
		"disks:\n  a-disk-of-16-abc: { path: /dev/a }\n  b: { path: /dev/b }\n"
		"pool: { vdevs: [ { mirror: [a-disk-of-16-abc, b] } ] }\n" TEST_DATASETS);
	_cleanup_free_ char *partition = name_partition_new(ROLE_MEMBER, "a-disk-of-16-abc");
	_cleanup_free_ char *label = name_label(layout, "a-disk-of-16-abc");
	_cleanup_free_ char *subsystem = name_subsystem(layout);
	_cleanup_free_ char *label_new = name_label_new("a-disk-of-16-abc");

	(void)state;
	assert_true(strlen(partition) <= 36);
	assert_int_equal(strlen(label), 47);
	assert_string_equal(label + 47 - 16, "a-disk-of-16-abc");
	assert_true(strlen(subsystem) <= 47 && strlen(label_new) <= 47);
}

/* RFC 9562 version 8; the same set has the same mark, whatever the random half is. */
static void test_marks(void **state)
{
	unsigned char random[16];
	char text[37];
	uuid_t uuid;

	(void)state;
	for (unsigned byte = 0; byte < 256; byte += 15) {
		memset(random, (int)byte, sizeof(random));
		memcpy(uuid, random, sizeof(uuid));
		name_mark_uuid(TEST_ID, uuid);
		uuid_unparse_upper(uuid, text);
		assert_int_equal(text[14], '8');
		assert_non_null(strchr("89AB", text[19]));
		assert_memory_equal(uuid + 9, random + 9, 7);
		assert_true(name_uuid_is_marked(TEST_ID, text));
		assert_false(name_uuid_is_marked("1f0e0d0c-0b0a-4908-8706-050403020100", text));
		uuid[3] ^= 1;
		uuid_unparse_upper(uuid, text);
		assert_false(name_uuid_is_marked(TEST_ID, text));
	}
	assert_false(name_uuid_is_marked(TEST_ID, NULL));
	assert_false(name_uuid_is_marked(TEST_ID, ""));
	assert_false(name_uuid_is_marked(TEST_ID, "0x1234abcd"));
}

static void test_find_partition(void **state)
{
	struct observed_disk disk = {};
	struct observed_partition *fresh = list_add(&disk.partitions, &record_observed_partition);
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);
	struct observed_partition *found;

	(void)state;
	fresh->name = str_dup("eyrie-new-member-left");
	found = find_partition(layout, &disk, ROLE_MEMBER, "left");
	assert_ptr_equal(found, fresh);
	assert_true(partition_is_new(found));
	str_set(&fresh->name, "eyrie-member-left");
	assert_false(partition_is_new(find_partition(layout, &disk, ROLE_MEMBER, "left")));
	assert_null(find_partition(layout, &disk, ROLE_ESP, "left"));
	assert_null(find_partition(layout, &disk, ROLE_MEMBER, "right"));
	record_deinit(&record_observed_disk, &disk);
}

#define LENT                                                                                   \
	TEST_HEAD "disks:\n"                                                                   \
		  "  left: { path: /dev/disk/by-id/one }\n"                                    \
		  "  right: { path: /dev/disk/by-id/two }\n"                                   \
		  "  log-a: { path: /dev/disk/by-partlabel/log-a }\n"                          \
		  "  a: { path: /dev/disk/by-partlabel/a }\n"                                  \
		  "pool: { vdevs: [ { mirror: [left, right] }, { log: [log-a, a] } ] }\n"       \
		  TEST_DATASETS "firmware: both\n"

/* Of a disk that is a partition the header says whose it is, and of which disk. */
static void test_partition_of_others(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(LENT);
	struct observed_disk on = {}, disk = {};
	struct observed_partition partition = { .path = (char *)"/dev/n1p1" }, *bare;
	struct observed_luks *luks;

	(void)state;
	expect(name_label(layout, "log-a"), "eyrie-member-log-a");
	expect(name_label(layout, "left"), "falcon-left");
	assert_true(role_wanted(layout, "log-a", ROLE_MEMBER));
	assert_false(role_wanted(layout, "log-a", ROLE_ESP) || role_wanted(layout, "log-a", ROLE_BOOT));
	assert_int_equal(role_count(layout, ROLE_BOOT), 2);
	assert_int_equal(role_count(layout, ROLE_MEMBER), 4);

	on.path = str_dup("/dev/n1");
	observed_as_disk(&on, &partition, &disk);
	bare = disk.partitions.items;
	luks = &bare->luks;
	bare->name = str_dup("eyrie-member-log-a"); /* whoever called it so */
	assert_true(partition_is_blank(bare));
	assert_null(find_partition(layout, &disk, ROLE_MEMBER, "log-a"));

	luks->state = LUKS_WHOLE;
	luks->subsystem = str_dup("eyrie:" TEST_ID);
	str_set(&luks->label, "eyrie-new-log-a");
	assert_false(partition_is_blank(bare));
	assert_ptr_equal(find_partition(layout, &disk, ROLE_MEMBER, "log-a"), bare);
	assert_null(find_partition(layout, &disk, ROLE_MEMBER, "a"));
	assert_null(find_partition(layout, &disk, ROLE_ESP, "log-a"));
	assert_true(partition_is_new(bare));
	luks->n_keyslots = 1;
	assert_false(partition_is_new(bare));
	str_set(&luks->label, "eyrie-member-log-a");
	assert_ptr_equal(find_partition(layout, &disk, ROLE_MEMBER, "log-a"), bare);
	str_set(&luks->label, "falcon-log-a");
	assert_null(find_partition(layout, &disk, ROLE_MEMBER, "log-a"));
	str_set(&luks->label, "eyrie-member-log-a");
	str_set(&luks->subsystem, "eyrie:00000000-0000-4000-8000-000000000001");
	assert_null(find_partition(layout, &disk, ROLE_MEMBER, "log-a"));
	record_deinit(&record_observed_disk, &disk);
	record_deinit(&record_observed_disk, &on);
}

/* What is not known to be blank is not. */
static void test_blank(void **state)
{
	struct observed_partition partition = {};

	(void)state;
	assert_true(partition_is_blank(&partition));
	partition.unreadable = true;
	assert_false(partition_is_blank(&partition));
	partition.unreadable = false;
	partition.table = (char *)"dos";
	assert_false(partition_is_blank(&partition));
	partition.table = NULL;
	partition.luks.state = LUKS_UNREADABLE;
	assert_false(partition_is_blank(&partition));
}

/* Marked, each its own, and the same at every look. */
static void test_arrays(void **state)
{
	static char *(*const makers[])(const char *set_id, enum role role) = {
		name_array_uuid, name_inside_uuid,
	};
	_cleanup_strv_ struct strv all = STRV_NULL;

	(void)state;
	expect(name_array(ROLE_BOOT), "eyrie-boot");
	for (size_t i = 0; i < 2 * ARRAY_SIZE(makers); i++) {
		enum role role = i % 2 ? ROLE_KEY : ROLE_BOOT;
		_cleanup_free_ char *uuid = makers[i / 2](TEST_ID, role);
		_cleanup_free_ char *again = makers[i / 2](TEST_ID, role);
		_cleanup_free_ char *other =
			makers[i / 2]("00000000-0000-4000-8000-000000000001", role);

		assert_true(name_uuid_is_marked(TEST_ID, uuid));
		assert_string_equal(uuid, again);
		assert_string_not_equal(uuid, other);
		assert_false(strv_has(&all, uuid));
		strv_add(&all, uuid);
	}
}

static void expect_roles(const char *text, const char *wanted)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(text);
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (enum role role = 0; role < ROLE_MAX; role++)
		if (role_wanted(layout, "left", role))
			strbuf_printf(&b, "%s%s%s", b.size ? " " : "", roles[role].name,
				      role_wants_array(layout, role) ? "*" : "");
	assert_string_equal(b.data, wanted);
}

/* With a star: an array over it. A key device may only keep its room. */
static void test_roles(void **state)
{
	(void)state;
	expect_roles(TEST_LAYOUT, "esp member");
	expect_roles(TEST_LAYOUT "firmware: bios\n", "bios boot* member");
	expect_roles(TEST_LAYOUT "firmware: both\nswap: { on: partition }\n",
		     "esp bios boot* swap member");
	expect_roles(TEST_LAYOUT "encryption: { unlock: keystore }\n", "esp key* member");
	expect_roles(TEST_LAYOUT "encryption: { key-device-size: 32MiB }\n", "esp key member");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_marks),
		cmocka_unit_test(test_find_partition),
		cmocka_unit_test(test_partition_of_others),
		cmocka_unit_test(test_blank),
		cmocka_unit_test(test_arrays),
		cmocka_unit_test(test_roles),
	};

	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
