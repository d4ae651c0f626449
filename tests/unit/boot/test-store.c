/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* GRUB's menu of several boot environments, and what of /boot is in step. */

#include "boot/store.h"
#include "boot/text.h"
#include "plan/name.h"
#include "test.h"

static struct layout *layout;
static struct observed *have;

static struct observed_dataset *add_dataset(const char *name, const char *state)
{
	struct observed_pool *pool = have->pools.items;
	struct observed_dataset *dataset = list_add(&pool->datasets, &record_observed_dataset);

	dataset->name = str_dup(name);
	dataset->type = str_dup("filesystem");
	pair_set(&dataset->properties, "mountpoint", "/");
	pair_set(&dataset->properties, NAME_STATE_PROPERTY, state);
	return dataset;
}

static void add_kernel(struct list *kernels, const char *version, const char *hash, bool has_zfs)
{
	struct observed_kernel *kernel = list_add(kernels, &record_observed_kernel);

	kernel->version = str_dup(version);
	kernel->hash = str_dup(hash);
	kernel->has_zfs = has_zfs;
}

static struct observed_stored *add_stored(const char *name, const char *options)
{
	struct observed_stored *stored =
		list_add(&have->system.stored, &record_observed_stored);

	stored->name = str_dup(name);
	stored->options = str_dup(options);
	return stored;
}

static int setup(void **state)
{
	struct observed_pool *pool;

	(void)state;
	layout = test_layout(TEST_LAYOUT "firmware: bios\nboot: { cmdline: quiet }\n");
	have = mem_alloc(sizeof(*have));
	pool = list_add(&have->pools, &record_observed_pool);
	pool->name = str_dup("rpool");
	pair_set(&pool->properties, "bootfs", "rpool/ROOT/debian");
	(void)add_dataset("rpool/ROOT/debian", "done:1");
	add_kernel(&have->system.kernels, "6.9", "aa", true);
	add_kernel(&have->system.kernels, "6.10", "bb", true);
	add_kernel(&have->system.kernels, "6.11", NULL, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	have = observed_free(have);
	layout = layout_free(layout);
	return 0;
}

/* Another one, which is started by a kernel of its own, and with parameters of its time. */
static void add_before(void)
{
	(void)add_dataset("rpool/ROOT/before", "done:1");
	add_kernel(&add_stored("before", "")->kernels, "6.9", "cc", true);
	store_model(layout, have, NULL);
}

/* The lines of its entries; the rest is that of boot_grub_config() of any. */
static void expect_entries(const char *entries)
{
	_cleanup_free_ char *menu = store_menu(layout, have, NULL);
	const char *at = strstr(menu, "\nmenuentry ");

	assert_non_null(at);
	assert_string_equal(at + 1, entries);
}

#define ENTRY(name, version, hash, options)                                                    \
	"menuentry 'falcon, " name ", kernel " version "' --id '" name "-" version "' {\n"       \
	"\tlinux /eyrie/kernels/" version "-" hash "/vmlinuz root=zfs:rpool/ROOT/" name options   \
	" $extra\n\tinitrd /eyrie/kernels/" version "-" hash "/initrd.img\n}\n"

static void test_alone(void **state)
{
	(void)state;
	assert_true(store_in_step(layout, have, NULL));
	expect_entries("menuentry 'falcon, kernel 6.10' --id '6.10' {\n"
		       "\tlinux /vmlinuz-6.10 root=zfs:AUTO quiet $extra\n"
		       "\tinitrd /initrd.img-6.10\n}\n"
		       "menuentry 'falcon, kernel 6.9' --id '6.9' {\n"
		       "\tlinux /vmlinuz-6.9 root=zfs:AUTO quiet $extra\n"
		       "\tinitrd /initrd.img-6.9\n}\n");
}

static void test_two(void **state)
{
	_cleanup_free_ char *menu = NULL;

	(void)state;
	add_before();
	assert_true(store_in_step(layout, have, NULL));
	assert_string_equal(have->system.boot_owner, "debian");
	expect_entries(ENTRY("debian", "6.10", "bb", " quiet") ENTRY("debian", "6.9", "aa", " quiet")
		       ENTRY("before", "6.9", "cc", ""));
	menu = store_menu(layout, have, NULL);
	assert_non_null(strstr(menu, "set default=0\nset fallback=\"1 2\"\n"));
	pair_set(&((struct observed_pool *)have->pools.items)->properties, "bootfs",
		 "rpool/ROOT/before");
	expect_entries(ENTRY("before", "6.9", "cc", "") ENTRY("debian", "6.10", "bb", " quiet")
		       ENTRY("debian", "6.9", "aa", " quiet"));
}

/* A new one has what it was cloned from, whatever one of its name had. */
static void test_new(void **state)
{
	(void)state;
	add_dataset("rpool/ROOT/before", STATE_CLONING)->origin =
		str_dup("rpool/ROOT/debian@eyrie-before");
	add_kernel(&add_stored("before", "")->kernels, "5.0", "ff", true);
	assert_false(store_in_step(layout, have, "before"));
	store_model(layout, have, "before");
	assert_true(store_in_step(layout, have, "before"));
	assert_int_equal(store_of(&have->system, "before")->kernels.n_items, 2);
	assert_string_equal(store_of(&have->system, "before")->options, "quiet");
	/* Half-made, it is nothing. */
	assert_false(store_in_step(layout, have, NULL));
	store_model(layout, have, NULL);
	assert_null(have->system.boot_owner);
	assert_int_equal(have->system.stored.n_items, 0);
}

static void test_out_of_step(void **state)
{
	struct observed_kernel *kernel;

	(void)state;
	add_before();
	kernel = have->system.kernels.items;
	str_set(&kernel->hash, "dd");
	assert_false(store_in_step(layout, have, NULL));
	str_set(&kernel->hash, "aa");
	assert_true(store_in_step(layout, have, NULL));
	str_set(&have->system.boot_owner, NULL);
	assert_false(store_in_step(layout, have, NULL));
	str_set(&have->system.boot_owner, "debian");
	(void)add_stored("gone", "");
	assert_false(store_in_step(layout, have, NULL));
}

static void test_of_another(void **state)
{
	(void)state;
	assert_false(store_is_of_another(layout, have));
	add_before();
	assert_false(store_is_of_another(layout, have));
	str_set(&have->system.boot_owner, "before");
	assert_true(store_is_of_another(layout, have));
	str_set(&have->system.boot_owner, STORE_NOBODY);
	assert_true(store_is_of_another(layout, have));
	store_model_take(layout, have);
	assert_false(store_is_of_another(layout, have));
	assert_int_equal(have->system.kernels.n_items, 2);
}

/* One whose key is not there now is in no menu, and loses nothing. */
static void test_locked(void **state)
{
	struct observed_pool *pool = have->pools.items;

	(void)state;
	add_before();
	observed_dataset(pool, "rpool/ROOT/before")->locked = true;
	store_model(layout, have, NULL);
	assert_non_null(store_of(&have->system, "before"));
	assert_null(store_of(&have->system, "debian"));
	assert_string_equal(have->system.boot_owner, "debian");
	assert_true(store_in_step(layout, have, NULL));
}

static void test_list(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct list kernels = {};

	(void)state;
	add_kernel(&kernels, "6.9", "aa", true);
	text = store_list("quiet splash", &kernels);
	assert_string_equal(text, BOOT_HEADER "\noptions quiet splash\nkernel 6.9 aa\n");
	list_deinit(&kernels, &record_observed_kernel);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_alone),	TEST(test_two),	   TEST(test_new), TEST(test_out_of_step),
		TEST(test_of_another), TEST(test_locked), TEST(test_list),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
