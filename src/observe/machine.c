/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "observe/observe.h"

/* Give a disk the name by which the layout calls it, however that leads there. */
static void add_layout_names(struct observed *observed, const struct layout *layout)
{
	FOR_EACH_DISK(wanted, layout)
	{
		_cleanup_free_ char *node = realpath(wanted->path, NULL);

		if (node)
			observed_name(observed, node, wanted->path);
	}
}

int observe_machine(struct runner *run, const struct layout *layout, const char *target,
		    struct observed **ret, struct diag *diag)
{
	_cleanup_(observed_freep) struct observed *observed = mem_alloc(sizeof(*observed));
	int r;

	r = observe_disks(observed, diag);
	observe_arrays(observed);
	if (r == 0)
		r = observe_pools(run, observed, diag);
	if (r == 0)
		r = observe_system(run, observed, target, diag);
	if (r)
		return r;
	if (layout) {
		add_layout_names(observed, layout);
		observe_folders(layout, &observed->system);
	}
	*ret = take_ptr(observed);
	return 0;
}
