/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "apply/together.h"

#include <time.h>

#include "keys/journal.h"
#include "plan/name.h"

static bool imports_root(const struct plan *plan, const struct layout *layout)
{
	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (step->kind == STEP_POOL_IMPORT && streq(step->object, layout->pool.name))
			return true;
	return false;
}

bool together_wants_passphrase(const struct plan *plan, const struct layout *layout)
{
	return layout->encryption.unlock == UNLOCK_PEER && imports_root(plan, layout);
}

/* True when some of them open each other. */
static bool add_members(struct set *set, const struct observed *have, const char *subsystem)
{
	bool enrolled = false;

	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
		FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		{
			if (partition->bare || !partition->path || !streq(partition->luks.subsystem, subsystem))
				continue;
			set_add(set, partition->path);
			enrolled |= partition->luks.generation != 0;
		}
	return enrolled;
}

/*
 * The steps would open it by the passphrase. One without a token never was of a set, and nothing ran on it
 * alone.
 */
static bool is_out(const struct member *member)
{
	return member->state != MEMBER_OPEN && (member->has_token || !member->luks);
}

static int refuse_who_is_out(const struct set *set, struct diag *diag)
{
	int r = 0;

	for (size_t i = 0; i < set->n_members; i++) {
		const struct member *member = &set->members[i];

		if (!is_out(member))
			continue;
		r = diag_error(diag, -EXDEV, "'%s' is not opened: %s", member->name,
			       member->why ? member->why : "nothing opens it");
		if (member->state == MEMBER_DIVERGED)
			diag_hint(diag, "start the machine, which goes on with the other side, or eyrie "
				  "unlock; then eyrie heal --discard %s gives up what only '%s' has",
				  member->name, member->name);
		else
			diag_hint(diag, "start the machine, or eyrie unlock, which goes on without it");
	}
	return r;
}

/* Who cannot note that it joins must not be opened; then nothing is imported, and nobody is absent. */
static int begin(struct set *set, struct diag *diag)
{
	int r = journal_begin(set, (uint64_t)time(NULL), diag);

	if (r == 0)
		r = refuse_who_is_out(set, diag);
	if (r)
		(void)journal_take_back(set, diag);
	return r;
}

int together_begin(const struct plan *plan, const struct observed *have,
		   const struct apply_context *cxt)
{
	_cleanup_free_ char *subsystem = name_subsystem(cxt->layout);
	_cleanup_set_ struct set set = {};
	int r;

	if (!cxt->passphrase || !imports_root(plan, cxt->layout))
		return 0;
	if (!add_members(&set, have, subsystem))
		return 0;
	r = set_unlock(&set, cxt->passphrase);
	if (r == SET_WRONG)
		return diag_error(cxt->diag, -EPERM, "the passphrase is wrong, or was changed while a "
				  "member was away");
	if (r)
		return 0;
	journal_compare(&set);
	r = refuse_who_is_out(&set, cxt->diag);
	return r ? r : begin(&set, cxt->diag);
}
