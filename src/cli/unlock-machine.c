/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/unlock.h"

#include <stdio.h>

#include "apply/lock.h"
#include "keys/journal.h"
#include "observe/observe.h"
#include "unlock/native.h"
#include "unlock/opening.h"

#define SUBSYSTEM "eyrie:"
#define PARTITION "eyrie-member-"

static void say(void *context, const char *line)
{
	const struct cli *cli = context;

	if (!cli->options.quiet)
		fprintf(stderr, "%s\n", line);
}

/* what is there, when no configuration says it */

/* The set id of a member that opens the others, or NULL. */
static const char *set_of(const struct observed_partition *partition)
{
	const struct observed_luks *luks = &partition->luks;

	return luks->generation && luks->subsystem ? starts_with(luks->subsystem, SUBSYSTEM) : NULL;
}

static void find_sets(const struct observed *have, const char *wanted, struct strv *sets)
{
	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		{
			const char *set = set_of(partition);

			if (set && (!wanted || starts_with(set, wanted)) && !strv_has(sets, set))
				strv_add(sets, set);
		}
}

static void add_member(struct unlock_config *config, const struct observed_disk *disk,
		       const struct observed_partition *partition)
{
	struct unlock_member *member = list_add(&config->members, &record_unlock_member);
	const char *label = partition->luks.label;
	const char *name = partition->name ? starts_with(partition->name, PARTITION) : NULL;

	if (!name && label) /* the mark where the disk is a partition itself */
		name = starts_with(label, PARTITION);
	member->uuid = str_dup(partition->luks.uuid);
	member->name = str_dup(name ? name : partition->path);
	member->mapping = label ? str_dup(label) : str_printf("eyrie-%s", partition->luks.uuid);
	member->disk = str_printf("%s, serial %s", disk->model ? disk->model : "unknown model",
				  disk->serial ? disk->serial : "unknown");
}

static void describe_set(const struct observed *have, const char *set,
			 struct unlock_config *config)
{
	config->set = str_dup(set);
	config->host = str_dup(set);
	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
			if (streq(set_of(partition), set))
				add_member(config, disk, partition);
}

static int look_around(struct cli *cli, const char *wanted, struct unlock_config *config)
{
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_strv_ struct strv sets = STRV_NULL;
	_cleanup_free_ char *all = NULL;

	if (cli_observe(cli, NULL, &have))
		return -EIO;
	find_sets(have, wanted, &sets);
	if (sets.n_items == 1) {
		describe_set(have, sets.items[0], config);
		return 0;
	}
	if (!sets.n_items && !wanted)
		return diag_error(&cli->diag, -ENODEV, "no disk here belongs to a set whose members open "
				  "each other");
	if (!sets.n_items) {
		(void)diag_error(&cli->diag, -ENOENT, "'%s' is no dataset, no gate and no set here", wanted);
		diag_hint(&cli->diag, "zpool import lists the pools that are there; eyrie unlock --test PATH... "
			  "tries a passphrase on members");
		return -ENOENT;
	}
	all = strv_join(&sets, ", ");
	(void)diag_error(&cli->diag, -ENOTUNIQ, "disks of %zu sets are here: %s", sets.n_items,
			 all);
	diag_hint(&cli->diag, "eyrie unlock SET opens one of them; so many letters of its id as "
		  "tell it from the others are enough");
	return -ENOTUNIQ;
}

static int configure(struct cli *cli, const char *wanted, struct unlock_config *config)
{
	if (access(CLI_UNLOCK_FILE, F_OK) == 0) {
		if (unlock_config_read(CLI_UNLOCK_FILE, config, &cli->diag))
			return -EINVAL;
		if (!wanted || starts_with(config->set ? config->set : "", wanted))
			return 0;
		record_deinit(&record_unlock_config, config);
		*config = (struct unlock_config){};
	}
	return look_around(cli, wanted, config);
}

/* opening it */

/* What an activated member says of its pool, when the configuration does not. */
static int find_pool(struct cli *cli, struct opening *o)
{
	for (size_t i = 0; i < o->set.n_members && !o->config.pool_guid; i++) {
		const struct member *member = &o->set.members[i];
		_cleanup_free_ char *path = NULL;
		struct content content = {};

		if (member->state != MEMBER_OPEN)
			continue;
		path = str_printf("/dev/mapper/%s", opening_member(o, member)->mapping);
		if (content_probe(path, &content) == 0 && streq(content.type, "zfs_member")) {
			str_set(&o->config.pool, content.label);
			str_set(&o->config.pool_guid, content.uuid);
		}
		content_deinit(&content);
	}
	return o->config.pool_guid ? 0 :
				     diag_error(&cli->diag, -ENODEV, "no member holds a pool");
}

static int is_imported(struct cli *cli, const struct opening *o, bool *ret)
{
	_cleanup_(observed_freep) struct observed *have = observed_copy(&(struct observed){});
	int r = observe_pools(&cli->run, have, &cli->diag);

	*ret = false;
	FOR_EACH_ITEM(struct observed_pool, pool, &have->pools)
		*ret |= streq(pool->guid, o->config.pool_guid);
	return r;
}

static int open_all(struct cli *cli, struct opening *o)
{
	_cleanup_(secret_freep) struct secret *passphrase = NULL;
	int r;

	if (!opening_add_arrivals(o))
		return diag_error(&cli->diag, -ENODEV, "no disk of this machine is there");
	r = cli_ask_passphrase(cli, /* twice= */ false, &passphrase);
	if (r)
		return r;
	r = opening_unlock(o, passphrase);
	if (r == SET_WRONG)
		return diag_error(&cli->diag, -EPERM, "the passphrase is wrong, or was changed while "
				  "a member was away");
	if (r)
		return diag_error(&cli->diag, r, "no member can be tried");
	journal_compare(&o->set);
	r = opening_activate_all(o) ? find_pool(cli, o) :
				      diag_error(&cli->diag, -ENODEV, "no member is open");
	if (r == 0)
		opening_begin(o);
	(void)opening_say_blemishes(o);
	opening_say_who_is_missing(o);
	return r;
}

static int import(struct cli *cli, struct opening *o)
{
	int r = opening_import(o);

	if (r)
		return diag_error(&cli->diag, r, "the members are open, but the pool is not imported");
	opening_joined(o);
	opening_keep_key(o);
	return 0;
}

static enum cli_exit unlock_set(struct cli *cli, struct opening *o)
{
	if (open_all(cli, o) || import(cli, o))
		return CLI_FAILED;
	unlock_show(cli, &o->set, false);
	return CLI_OK;
}

/* The pool that ZFS encrypts itself. */
static enum cli_exit unlock_native(struct cli *cli, struct opening *o)
{
	_cleanup_(secret_freep) struct secret *passphrase = NULL;
	int r;

	if (cli_ask_passphrase(cli, /* twice= */ false, &passphrase))
		return CLI_REFUSED;
	native_wait(o);
	r = native_import(o);
	if (r)
		r = diag_error(&cli->diag, r, "the pool %s is not imported", o->config.pool);
	else
		r = native_load_key(o, passphrase);
	if (r == -EKEYREJECTED) {
		(void)diag_error(&cli->diag, r, "the passphrase is wrong; the pool is imported");
		diag_hint(&cli->diag, "zfs load-key %s asks again", o->config.pool);
	}
	return r ? CLI_FAILED : CLI_OK;
}

enum cli_exit unlock_machine(struct cli *cli, const char *set)
{
	_cleanup_opening_ struct opening o = { .run = &cli->run, .say = say, .context = cli };
	_cleanup_close_ int lock = -1;
	enum cli_exit status;
	bool imported = false;

	if (geteuid() != 0) {
		(void)diag_error(&cli->diag, -EPERM, "eyrie unlock needs root");
		diag_hint(&cli->diag, "eyrie unlock --test PATH... tries a passphrase without");
		return CLI_REFUSED;
	}
	luks_read_only();
	if (lock_take(&lock, &cli->diag) || configure(cli, set, &o.config))
		return CLI_REFUSED;
	if (o.config.pool_guid && is_imported(cli, &o, &imported))
		return CLI_FAILED;
	if (imported) {
		(void)diag_error(&cli->diag, -EBUSY, "the pool %s is imported already", o.config.pool);
		diag_hint(&cli->diag, "eyrie heal brings members back into it");
		return CLI_REFUSED;
	}
	status = o.config.native ? unlock_native(cli, &o) : unlock_set(cli, &o);
	if (status == CLI_OK && !cli->options.quiet)
		fprintf(stderr, "pool %s is imported; nothing of it is mounted\n", o.config.pool);
	return status;
}
