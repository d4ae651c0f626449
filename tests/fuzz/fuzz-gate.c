/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any bytes: gates that read back as themselves, or findings. */

#include "fuzz.h"
#include "layout/gate.h"

static void expect(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = str_printf("%.*s", (int)size, (const char *)data);
	_cleanup_(gates_freep) struct gates *gates = NULL, *back = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	int r = gates_parse("fuzz", text, &gates, &diag);

	expect(r ? diag.n_errors > 0 && !gates : diag.n_errors == 0 && gates);
	if (gates && gates->gates.n_items) {
		_cleanup_free_ char *dump = gates_dump(gates);

		expect(gates_parse("dump", dump, &back, NULL) == 0);
		expect(record_equal(&record_gates, gates, back));
	}
	return 0;
}
