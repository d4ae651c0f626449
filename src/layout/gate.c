/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "layout/gate.h"

#include <ctype.h>

#include "base/file.h"
#include "layout/finding.h"

static const char *const hold_choices[] = { "by-mounts", "listed", "all", "boot", NULL };
static const char *const prompt_choices[] = { "hint", "console", NULL };
static const char *const then_choices[] = { "fail", "continue", NULL };

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field gate_fields[] = {
	{ "name", FIELD_STRING, AT(gate, name), FIELD_KEY, .help =
	  "A pool or a dataset: it and all below it whose keys are needed. A gate of its own for "
	  "a dataset below takes that one out." },
	{ "hold", FIELD_CHOICE, AT(gate, hold), .choices = hold_choices,
	  .fallback = "by-mounts", .help =
	  "Who waits for the key. by-mounts: every service that needs a path on these datasets, "
	  "as far as systemd knows it, and those in services. listed: only those in services. all: "
	  "everything that the machine starts by itself, except what a person needs to come in and "
	  "type: console, ssh, network. boot: local file systems themselves wait, and with them "
	  "console, ssh and all else, so the machine asks on its console; a pool that is not there "
	  "is waited for 90 seconds, and then by services alone, as with by-mounts." },
	{ "services", FIELD_STRINGS, AT(gate, services), .help =
	  "Services that wait, beside those that are found: systemd cannot know that a web "
	  "server's configuration names a folder." },
	{ "except", FIELD_STRINGS, AT(gate, except), .help =
	  "Services that do not wait, though they were found; and datasets below this gate, with "
	  "all below them, that it does not wait for, nor ask for or mount: backups that another "
	  "machine sent, whose keys this one never has." },
	{ "prompt", FIELD_CHOICE, AT(gate, prompt), .choices = prompt_choices,
	  .fallback = "hint", .help =
	  "hint: console and login say which command opens it. console: the machine also asks "
	  "itself, through systemd's agents; that is always so with hold: boot. All such gates "
	  "are one question." },
	{ "wait", FIELD_STRING, AT(gate, wait), .fallback = "forever", .help =
	  "Seconds from when its key was found missing, after which then comes true; or forever." },
	{ "then", FIELD_CHOICE, AT(gate, then), .choices = then_choices, .fallback = "fail",
	  .help = "When the key did not come in time. fail: eyrie-gate-overdue@NAME.service "
	  "fails, who waits goes on waiting, and the key still opens. continue: who waits starts "
	  "without the data, and may write where it will be mounted over." },
	{ "share-passphrase", FIELD_BOOL, AT(gate, share_passphrase), .fallback = "false", .help =
	  "Try the passphrase of the root pool first, which eyrie-unlock then keeps in root's "
	  "keyring for five minutes of the start." },
};
const struct record record_gate = RECORD(gate, gate_fields);

static const struct field gates_fields[] = {
	{ "gates", FIELD_RECORDS, AT(gates, gates), FIELD_REQUIRED, .record = &record_gate,
	  .help = "By the name of a pool or dataset." },
};
const struct record record_gates = RECORD(gates, gates_fields);

/* rules */

/* Where a gate, or a key of it, stands in the file. */
static char *place(const struct gate *gate, const char *key)
{
	return str_printf("gates\t%s%s%s", gate->name, key ? "\t" : "", key ? key : "");
}

bool gate_is_dataset(const char *name)
{
	if (!isalpha((unsigned char)*name) || strlen(name) > 255)
		return false;
	for (const char *s = name; *s; s++)
		if ((!isalnum((unsigned char)*s) && !strchr("-_.:/", *s)) ||
		    (*s == '/' && (s[1] == '/' || !s[1])))
			return false;
	return true;
}

/* systemd.unit(5): a name without its kind is that of a service. */
static bool complete_service(char **name)
{
	static const char *const kinds[] = { ".service", ".socket", ".path", ".timer", ".target" };
	const char *dot = strrchr(*name, '.');
	char *longer;

	for (const char *s = *name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr(":-_.\\@", *s))
			return false;
	for (size_t i = 0; dot && i < ARRAY_SIZE(kinds); i++)
		if (streq(dot, kinds[i]))
			return dot > *name;
	if (!**name)
		return false;
	longer = str_printf("%s.service", *name);
	free(*name);
	*name = longer;
	return true;
}

static void check_services(struct checker *c, const char *at, struct strv *services)
{
	for (size_t i = 0; i < services->n_items; i++)
		if (!complete_service(&services->items[i]))
			finding(c, at, "'%s' is no name of a service", services->items[i]);
}

/* A dataset below another one has a slash in its name, and no service has. */
static void check_except(struct checker *c, const char *at, struct gate *gate, bool *ret_services)
{
	for (size_t i = 0; i < gate->except.n_items; i++) {
		char **name = &gate->except.items[i];

		if (strchr(*name, '/')) {
			if (!gate_is_dataset(*name) || !is_below(*name, gate->name))
				finding(c, at, "'%s' is no dataset below '%s'", *name, gate->name);
			continue;
		}
		*ret_services = true;
		if (!complete_service(name))
			finding(c, at, "'%s' is no name of a service", *name);
	}
}

static void check_lists(struct checker *c, struct gate *gate)
{
	_cleanup_free_ char *at_services = place(gate, "services");
	_cleanup_free_ char *at_except = place(gate, "except");

	bool services = false;

	check_services(c, at_services, &gate->services);
	check_except(c, at_except, gate, &services);
	for (size_t i = 0; i < gate->except.n_items; i++)
		if (strv_has(&gate->services, gate->except.items[i]))
			finding(c, at_except, "%s is in 'services' and in 'except'",
				gate->except.items[i]);
	if (gate->hold == GATE_BOOT && gate->services.n_items)
		finding(c, at_services, "'hold: boot' holds everything; it takes no services");
	if (gate->hold == GATE_LISTED && services)
		finding(c, at_except, "'except' takes away from what is found; with "
			"'hold: listed' nothing is");
}

static void check_combinations(struct checker *c, const struct gate *gate)
{
	_cleanup_free_ char *at_wait = place(gate, "wait"), *at_hold = place(gate, "hold");
	uint64_t wait = 0;

	if (gate_wait(gate, &wait))
		finding(c, at_wait, "'wait' is in seconds, or forever");
	else if (gate->hold == GATE_BOOT && gate->then == GATE_FAIL && wait != GATE_FOREVER) {
		finding(c, at_hold,
			"'hold: boot' cannot fail: local-fs.target would, and the machine would "
			"end in emergency mode");
		diag_hint(c->diag, "then: continue goes on without the data; or wait: forever");
	}
	if (gate->hold == GATE_LISTED && !gate->services.n_items)
		finding(c, at_hold, "'hold: listed' without services holds nothing");
}

static void check_gate(struct checker *c, struct gate *gate, const struct list *gates)
{
	_cleanup_free_ char *at = place(gate, NULL);

	if (!gate_is_dataset(gate->name))
		finding(c, at, "'%s' is no name of a pool or dataset", gate->name);
	FOR_EACH_GATE(other, gates)
		if (other < gate && streq(other->name, gate->name))
			finding(c, at, "there are two gates '%s'", gate->name);
	check_lists(c, gate);
	check_combinations(c, gate);
}

int gates_check(struct list *gates, const struct yaml_source *source, struct diag *diag)
{
	struct checker c = { .source = source, .diag = diag };

	FOR_EACH_GATE(gate, gates)
		check_gate(&c, gate, gates);
	return c.n_findings ? -EINVAL : 0;
}

int gates_parse(const char *name, const char *text, struct gates **ret, struct diag *diag)
{
	_cleanup_(gates_freep) struct gates *gates = mem_alloc(sizeof(*gates));
	_cleanup_(yaml_source_freep) struct yaml_source *source = NULL;
	int r = yaml_read(name, text, &record_gates, gates, &source, diag);

	if (source) {
		int q = gates_check(&gates->gates, source, diag);

		r = r ? r : q;
	}
	if (r)
		return r;
	*ret = take_ptr(gates);
	return 0;
}

int gates_read(const char *path, struct gates **ret, struct diag *diag)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	int r = file_read(path, &text);

	if (r) {
		(void)diag_error(diag, r, "cannot read the gates %s: %s", path, strerror(-r));
		diag_hint(diag, "eyrie-gate(8) has an example");
		return r;
	}
	return gates_parse(path, text.data ? text.data : "", ret, diag);
}

char *gates_dump(const struct gates *gates)
{
	return yaml_write(&record_gates, gates);
}

struct gates *gates_free(struct gates *gates)
{
	if (gates)
		record_deinit(&record_gates, gates);
	free(gates);
	return NULL;
}

/* asking it */

int gate_wait(const struct gate *gate, uint64_t *ret)
{
	uint64_t seconds = GATE_FOREVER;

	if (!streq(gate->wait, "forever") &&
	    (str_to_u64(gate->wait, &seconds) || seconds >= GATE_FOREVER))
		return -EINVAL;
	*ret = seconds;
	return 0;
}

static bool has_ending(const char *s, const char *ending)
{
	size_t n = strlen(s), n_ending = strlen(ending);

	return n > n_ending && streq(s + n - n_ending, ending);
}

const char *gate_without_systemd(const struct gate *gate)
{
	static const char *const why[] = {
		[GATE_BY_MOUNTS] = "which services need a path is asked of systemd",
		[GATE_ALL] = "which services start by themselves is asked of systemd",
		[GATE_BOOT] = "what the boot waits for is a unit of systemd",
	};

	for (size_t i = 0; i < gate->services.n_items; i++)
		if (!has_ending(gate->services.items[i], ".service"))
			return "sockets, paths, timers and targets are units of systemd";
	return gate->hold == GATE_LISTED ? NULL : why[gate->hold];
}

/* Services are no part of it: whom it holds is listed by itself. */
char *gate_policy(const struct gate *gate)
{
	_cleanup_strv_ struct strv datasets = STRV_NULL;
	_cleanup_free_ char *names = NULL;

	for (size_t i = 0; i < gate->except.n_items; i++)
		if (strchr(gate->except.items[i], '/'))
			strv_add(&datasets, gate->except.items[i]);
	names = strv_join(&datasets, ", ");
	return str_printf("prompt: %s, wait: %s, then: %s%s%s%s%s", prompt_choices[gate->prompt],
			  gate->wait, then_choices[gate->then],
			  gate->share_passphrase ? ", share-passphrase: true" : "",
			  datasets.n_items ? ", except: [" : "", names, datasets.n_items ? "]" : "");
}

static bool excepts(const struct gate *gate, const char *dataset)
{
	for (size_t i = 0; i < gate->except.n_items; i++)
		if (is_or_is_below(dataset, gate->except.items[i]))
			return true;
	return false;
}

bool gate_is_excepted(const struct list *gates, const char *dataset)
{
	FOR_EACH_GATE(gate, gates)
		if (excepts(gate, dataset))
			return !gate_of(gates, dataset);
	return false;
}

const struct gate *gate_of(const struct list *gates, const char *dataset)
{
	const struct gate *best = NULL;

	FOR_EACH_GATE(gate, gates)
		if (is_or_is_below(dataset, gate->name) && !excepts(gate, dataset) &&
		    (!best || strlen(gate->name) > strlen(best->name)))
			best = gate;
	return best;
}
