/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/smf.h"

#include "test.h"

static void test_manifest(void **state)
{
	_cleanup_free_ char *text = smf_manifest("nest/pg");

	(void)state;
	assert_non_null(strstr(text, "<service name='system/filesystem/nest-pg' "));
	assert_non_null(strstr(text, "<propval name='dataset' type='astring' value='nest/pg' />"));
	assert_non_null(strstr(text, "<service_fmri value='svc:/milestone/single-user' />"));
	assert_non_null(strstr(text, "<service_fmri value='svc:/system/filesystem/local' />"));
}

static void test_method(void **state)
{
	_cleanup_free_ char *text = smf_method();

	(void)state;
	assert_non_null(strstr(text, "Run '/usr/sbin/zfs load-key -r $dataset &&"));
	assert_non_null(strstr(text, "svcadm clear $SMF_FMRI'"));
	assert_non_null(strstr(text, "exit $SMF_EXIT_ERR_FATAL"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_manifest),
		cmocka_unit_test(test_method),
	};

	return cmocka_run_group_tests_name("smf", tests, NULL, NULL);
}
