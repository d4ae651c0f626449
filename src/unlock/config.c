/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "unlock/config.h"

#include "base/file.h"

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field member_fields[] = {
	{ "uuid", FIELD_STRING, AT(unlock_member, uuid) },
	{ "name", FIELD_STRING, AT(unlock_member, name) },
	{ "mapping", FIELD_STRING, AT(unlock_member, mapping) },
	{ "disk", FIELD_STRING, AT(unlock_member, disk) },
};
const struct record record_unlock_member = RECORD(unlock_member, member_fields);

static const struct field config_fields[] = {
	{ "host", FIELD_STRING, AT(unlock_config, host) },
	{ "set", FIELD_STRING, AT(unlock_config, set) },
	{ "pool", FIELD_STRING, AT(unlock_config, pool) },
	{ "pool-guid", FIELD_STRING, AT(unlock_config, pool_guid) },
	{ "native", FIELD_BOOL, AT(unlock_config, native) },
	{ "window", FIELD_NUMBER, AT(unlock_config, window) },
	{ "rejoin", FIELD_NUMBER, AT(unlock_config, rejoin) },
	{ "share-passphrase", FIELD_BOOL, AT(unlock_config, share) },
	{ "members", FIELD_RECORDS, AT(unlock_config, members), .record = &record_unlock_member },
};
const struct record record_unlock_config = RECORD(unlock_config, config_fields);

int unlock_config_read(const char *path, struct unlock_config *ret, struct diag *diag)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct unlock_config config = {};
	struct json_object *json;
	int r = file_read(path, &text);

	if (r)
		return diag_error(diag, r, "cannot read %s: %s", path, strerror(-r));
	json = json_tokener_parse(text.data);
	r = json ? record_from_json(&record_unlock_config, &config, json, diag) :
		   diag_error(diag, -EINVAL, "%s is not JSON", path);
	json_object_put(json);
	if (r == 0 && (!config.pool_guid || !config.members.n_items))
		r = diag_error(diag, -EINVAL, "%s names no pool or no members", path);
	if (r) {
		record_deinit(&record_unlock_config, &config);
		return r;
	}
	*ret = config;
	return 0;
}
