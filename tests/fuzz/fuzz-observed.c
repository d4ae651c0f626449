/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any JSON as a machine, and a plan for it that is carried out as a value. */

#include "fuzz.h"
#include "plan/plan.h"

static const char layout_text[] =
	"id: 6a1c7f0e-6a3b-4d0f-9a52-2f4b8d1e7c35\nhost: falcon\n"
	"disks:\n"
	"  left: { path: /dev/disk/by-id/ata-FALCON_1 }\n"
	"  right: { path: /dev/disk/by-id/ata-FALCON_2 }\n"
	"pool: { vdevs: [ { mirror: [left, right] } ] }\n"
	"datasets: { ROOT/debian: { mountpoint: / }, home: { mountpoint: /home } }\n"
	"swap: { on: volume }\nsystem: { suite: trixie }\n";

static const struct layout *the_layout(void)
{
	static struct layout *layout;

	if (!layout && layout_parse("fuzz", layout_text, &layout, NULL))
		abort();
	return layout;
}

static void try(struct observed *have, const struct strv *wipe)
{
	const struct plan_options options = { .wipe = wipe, .target = "/mnt/eyrie" };
	_cleanup_(plan_freep) struct plan *plan = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	if (plan_make(the_layout(), have, &options, &plan, &diag)) {
		if (!diag.n_errors || plan)
			abort();
		return;
	}
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		model_apply(the_layout(), &options, have, step);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = str_printf("%.*s", (int)size, (const char *)data);
	_cleanup_(observed_freep) struct observed *have = NULL, *copy = NULL;
	_cleanup_strv_ struct strv wipe = STRV_NULL;
	struct json_object *json = json_tokener_parse(text);

	if (json && observed_from_json(json, &have, NULL) == 0) {
		copy = observed_copy(have);
		if (!record_equal(&record_observed, have, copy))
			abort();
		strv_add_all(&wipe, "left", "right", NULL);
		try(have, &wipe);
		wipe.n_items = 1;
		try(copy, &wipe);
		wipe.n_items = 2;
	}
	json_object_put(json);
	return 0;
}
