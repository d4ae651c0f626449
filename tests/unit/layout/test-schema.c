/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

static void test_defaults(void **state)
{
	_cleanup_(layout_freep) struct layout *layout = test_layout(TEST_LAYOUT);
	const struct layout_encryption *e = &layout->encryption;

	(void)state;
	assert_int_equal(layout->firmware, FIRMWARE_UEFI);
	assert_int_equal(e->unlock, UNLOCK_PEER);
	assert_string_equal(e->cipher, "aes-xts-plain64");
	assert_int_equal(e->key_size, 512);
	assert_int_equal(e->sector_size, 0);
	assert_true(e->discards);
	assert_int_equal(e->kdf.type, KDF_ARGON2ID);
	assert_true(e->kdf.memory == GIB);
	assert_int_equal(e->kdf.time, 2000);
	assert_int_equal(e->kdf.iterations, 0);
	assert_int_equal(e->kdf.threads, 4);
	assert_string_equal(layout->pool.name, "rpool");
	assert_string_equal(pair_get(&layout->pool.properties, "ashift"), "12");
	assert_string_equal(pair_get(&layout->pool.filesystem_properties, "xattr"), "sa");
	assert_int_equal(layout->swap.on, SWAP_NONE);
	assert_true(layout->swap.size == 2 * GIB);
	assert_null(layout->system.suite);
	assert_int_equal(layout->system.network, NETWORK_DHCP);
	assert_string_equal(layout->system.timezone, "UTC");
	assert_true(layout->boot.esp_size == GIB);
	assert_int_equal(layout->boot.timeout, 3);
	assert_int_equal(layout->boot.device_timeout, 20);
	assert_int_equal(layout->pool.volumes.n_items, 0);
	assert_false(layout_has_system(layout));
}

/* A table is right when each default is of its field's type and each key has its sentence. */
static size_t check_record(const struct record *record)
{
	_cleanup_free_ char *blank = mem_alloc(record->size);
	size_t n = 0;

	for (size_t i = 0; i < record->n_fields; i++) {
		const struct field *field = &record->fields[i];

		if (is_empty(field->help))
			fail_msg("%s of %s has no sentence", field->name, record->name);
		assert_ptr_equal(record_field(record, field->name, strlen(field->name)), field);
		assert_true(field->offset < record->size);
		if (field->fallback)
			assert_int_equal(field_set(field, blank, field->fallback), 0);
		if (field->type == FIELD_CHOICE)
			assert_non_null(field->choices);
		if (field->type == FIELD_RECORD || field->type == FIELD_RECORDS)
			assert_non_null(field->record);
		if (field->record && field->record != &record_pair)
			n += check_record(field->record);
		n++;
	}
	record_deinit(record, blank);
	return n;
}

static void test_every_key_is_explained(void **state)
{
	(void)state;
	assert_true(check_record(&record_layout) > 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key_is_explained),
	};

	return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
