/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/state.h"

#include "gate/mark.h"

void gate_say(const struct gate_context *cxt, const char *format, ...)
{
	_cleanup_free_ char *line = NULL;
	va_list ap;

	va_start(ap, format);
	line = str_vprintf(format, ap);
	va_end(ap);
	if (cxt->say)
		cxt->say(cxt->context, line);
}

bool gate_is_open(const char *name)
{
	return mark_get(name) == MARK_OPEN;
}

bool gate_is_unfinished(int r)
{
	return r == -EINTR || r == -ENOTCONN || r == -EINPROGRESS;
}

bool gate_owns(const struct held_gate *gate, const struct zfs_dataset *dataset)
{
	return dataset->root && strv_has(&gate->roots, dataset->root);
}

void gate_missing_roots(const struct held_gate *gate, const struct zfs_state *state,
			struct strv *roots)
{
	FOR_EACH_DATASET(dataset, state)
		if (gate_owns(gate, dataset) && dataset->key == KEY_MISSING &&
		    !strv_has(roots, dataset->root))
			strv_add(roots, dataset->root);
}

bool gate_has_keys(const struct held_gate *gate, const struct zfs_state *state)
{
	_cleanup_strv_ struct strv missing = STRV_NULL;

	gate_missing_roots(gate, state, &missing);
	return !missing.n_items;
}

enum gate_state gate_state_of(const struct held_gate *gate, const struct zfs_state *state)
{
	enum mark mark = mark_get(gate->name);

	if (!state->exists)
		return mark == MARK_OVERDUE ? GATE_OVERDUE : GATE_MISSING;
	if (!gate_has_keys(gate, state))
		return mark == MARK_OVERDUE ? GATE_OVERDUE : GATE_CLOSED;
	return mark == MARK_OPEN     ? GATE_OPEN :
	       mark >= MARK_OPENING ? GATE_OPENING :
				      GATE_CLOSED;
}

void gate_locked_roots(const struct list *gates, const struct zfs_state *state,
		       struct strv *roots)
{
	bool meant = gate_is_excepted(gates, state->name);

	FOR_EACH_DATASET(dataset, state)
		if (dataset->root && dataset->key == KEY_MISSING &&
		    !strv_has(roots, dataset->root) &&
		    (meant || !gate_is_excepted(gates, dataset->name)))
			strv_add(roots, dataset->root);
}

static void add_line(struct strv *lines, const struct zfs_dataset *root)
{
	const char *file = zfs_key_file(root);

	strv_addf(lines, "The key of %s cannot be typed: it comes from %s%s", root->name,
		  file ? file : root->keylocation,
		  file && access(file, F_OK) < 0 ? ", which is not there" : "");
}

void gate_sort_roots(const struct zfs_state *state, const struct strv *roots, struct strv *typed,
		     struct strv *lines)
{
	for (size_t i = 0; i < roots->n_items; i++) {
		const struct zfs_dataset *root = zfs_dataset(state, roots->items[i]);

		if (zfs_is_typed(root, /* file= */ false))
			strv_add(typed, roots->items[i]);
		else
			add_line(lines, root);
	}
}

char *gate_hint(const struct held_gate *gate, const struct zfs_state *state)
{
	_cleanup_strv_ struct strv missing = STRV_NULL, typed = STRV_NULL, lines = STRV_NULL;

	gate_missing_roots(gate, state, &missing);
	gate_sort_roots(state, &missing, &typed, &lines);
	return hint_make(gate, gate_state_of(gate, state), &lines);
}

int gate_show_hints(struct gate_context *cxt, bool loud)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	if (cxt->hints_elsewhere)
		return 0;
	FOR_EACH_HELD(gate, cxt->held)
	{
		_cleanup_(zfs_state_freep) struct zfs_state *state = NULL;
		_cleanup_free_ char *text = NULL;
		int r = zfs_read(cxt->run, gate->name, &state, cxt->diag);

		if (r)
			return r;
		text = gate_hint(gate, state);
		if (text)
			strbuf_printf(&b, "%s%s", b.size ? "\n" : "", text);
	}
	return hint_show(cxt->run, b.data ? b.data : "", loud, cxt->diag);
}
