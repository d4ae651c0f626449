/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <blkid.h>

#include "observe/observe.h"

static void probe_freep(blkid_probe *probe)
{
	blkid_free_probe(*probe);
}

static char *value(blkid_probe probe, const char *name)
{
	const char *data;

	return blkid_probe_lookup_value(probe, name, &data, NULL) == 0 ? str_dup(data) : NULL;
}

int content_probe(const char *node, struct content *ret)
{
	_cleanup_(probe_freep) blkid_probe probe = blkid_new_probe_from_filename(node);
	struct content content = {};
	int r;

	if (!probe)
		return errno ? -errno : -EIO;
	(void)blkid_probe_enable_superblocks(probe, 1);
	(void)blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL |
							       BLKID_SUBLKS_UUID |
							       BLKID_SUBLKS_USAGE);
	(void)blkid_probe_enable_partitions(probe, 1);
	r = blkid_do_safeprobe(probe);
	if (r == -1)
		return -EIO;
	content.ambiguous = r == -2;
	content.type = value(probe, "TYPE");
	content.label = value(probe, "LABEL");
	content.uuid = value(probe, "UUID");
	content.sub_uuid = value(probe, "UUID_SUB");
	content.table = value(probe, "PTTYPE");
	content.table_uuid = value(probe, "PTUUID");
	*ret = content;
	return 0;
}

void content_deinit(struct content *content)
{
	free(content->type);
	free(content->label);
	free(content->uuid);
	free(content->sub_uuid);
	free(content->table);
	free(content->table_uuid);
	*content = (struct content){};
}
