/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A commented layout, from the disks that are there. */

#include <libsmartcols.h>
#include <stdio.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "cli/cli.h"

struct choice {
	char *name;
	const struct observed_disk *disk;
};

struct proposal {
	struct choice *choices;
	size_t n_choices;
	char *host;
	char *suite;
};

static bool in_use(const struct observed_disk *disk)
{
	if (disk->mounted || disk->held)
		return true;
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		if (partition->mounted || partition->held)
			return true;
	return false;
}

static char *content_words(const struct observed_disk *disk)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	if (disk->content)
		strbuf_add(&b, disk->content);
	FOR_EACH_ITEM(struct observed_partition, partition, &disk->partitions)
		strbuf_printf(&b, "%s%s%s%s", b.size ? ", " : "",
			      partition->content ? partition->content : "empty",
			      is_empty(partition->label) ? "" : " ",
			      is_empty(partition->label) ? "" : partition->label);
	if (!b.size)
		strbuf_add(&b, disk->table ? disk->table : "blank");
	return strbuf_take(&b);
}

/* A name that says what the disk is, rather than one that is only a number. */
static const char *stable_name(const struct observed_disk *disk)
{
	static const char *const worse[] = { "/dev/disk/by-id/wwn-", "/dev/disk/by-id/nvme-eui." };
	const char *best = NULL;

	for (size_t i = 0; i < disk->names.n_items && !best; i++) {
		bool number = !starts_with(disk->names.items[i], "/dev/disk/by-id/");

		for (size_t k = 0; k < ARRAY_SIZE(worse); k++)
			number |= starts_with(disk->names.items[i], worse[k]) != NULL;
		best = number ? NULL : disk->names.items[i];
	}
	return best ? best : disk->names.n_items ? disk->names.items[0] : disk->path;
}

/* Why no system can be put on it, or NULL. */
static const char *why_not(const struct observed_disk *disk)
{
	return in_use(disk)	? "in use" :
	       disk->unreadable ? "unreadable" :
	       disk->read_only	? "read-only" :
	       disk->ambiguous	? "ambiguous" :
				  NULL;
}

static bool is_candidate(const struct observed_disk *disk)
{
	return !why_not(disk) && !starts_with(disk->path, "/dev/loop");
}

static void show_disks(const struct observed *have)
{
	struct libscols_table *table = scols_new_table();
	size_t number = 0;

	for (const char *const *c = (const char *const[]){ "", "DISK", "MODEL", "SERIAL", "SIZE",
							   "CONTENT", NULL }; *c; c++)
		(void)scols_table_new_column(table, *c, 0, 0);
	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
	{
		struct libscols_line *line;
		_cleanup_free_ char *size = str_size_for_people(disk->size);
		_cleanup_free_ char *content =
			disk->unreadable ? str_dup("?") : content_words(disk);
		_cleanup_free_ char *mark = NULL;

		if (starts_with(disk->path, "/dev/loop"))
			continue;
		line = scols_table_new_line(table, NULL);
		mark = is_candidate(disk) ? str_printf("%zu", ++number) :
					     str_dup(why_not(disk));
		(void)scols_line_set_data(line, 0, mark);
		(void)scols_line_set_data(line, 1, disk->path);
		(void)scols_line_set_data(line, 2, disk->model ? disk->model : "");
		(void)scols_line_set_data(line, 3, disk->serial ? disk->serial : "");
		(void)scols_line_set_data(line, 4, size);
		(void)scols_line_set_data(line, 5, content);
	}
	(void)scols_table_set_stream(table, stderr);
	(void)scols_print_table(table);
	scols_unref_table(table);
}

static const struct observed_disk *candidate(const struct observed *have, uint64_t number)
{
	FOR_EACH_ITEM(struct observed_disk, disk, &have->disks)
		if (is_candidate(disk) && --number == 0)
			return disk;
	return NULL;
}

static void choose(struct proposal *p, const char *name, const struct observed_disk *disk)
{
	p->choices = mem_grow(p->choices, p->n_choices, sizeof(*p->choices));
	p->choices[p->n_choices++] = (struct choice){ str_dup(name), disk };
}

static int ask_disks(struct cli *cli, const struct observed *have, struct proposal *p)
{
	static const char *const names[] = { "left", "right" };
	_cleanup_strv_ struct strv words = STRV_NULL;
	_cleanup_free_ char *answer = NULL;

	show_disks(have);
	if (!candidate(have, 2)) {
		(void)diag_error(&cli->diag, -ENODEV, "a mirror wants two disks that can be used");
		if (geteuid() != 0 && !cli->options.observed)
			diag_hint(&cli->diag, "sudo eyrie init: disks are root's to read");
		return -ENODEV;
	}
	answer = cli_ask("The numbers of the disks to mirror", "1 2");
	strv_split(&words, answer ? answer : "", " ,");
	for (size_t i = 0; i < words.n_items; i++) {
		const struct observed_disk *disk = NULL;
		_cleanup_free_ char *name = words.n_items == 2 ? str_dup(names[i]) :
								 str_printf("disk%zu", i + 1);
		uint64_t number;

		if (str_to_u64(words.items[i], &number) == 0 && number > 0)
			disk = candidate(have, number);
		if (!disk)
			return diag_error(&cli->diag, -EINVAL, "'%s' is no number of a disk above",
					  words.items[i]);
		for (size_t k = 0; k < p->n_choices; k++)
			if (p->choices[k].disk == disk)
				return diag_error(&cli->diag, -EEXIST, "the disk %s is given twice",
						  words.items[i]);
		choose(p, name, disk);
	}
	return 0;
}

static int take_disk(struct cli *cli, const struct observed *have, struct proposal *p,
		     const char *argument)
{
	const char *equals = strchr(argument, '=');
	_cleanup_free_ char *name = NULL, *node = NULL;
	const struct observed_disk *disk;

	name = str_printf("%.*s", (int)(equals - argument), argument);
	node = realpath(equals + 1, NULL);
	disk = observed_disk(have, equals + 1);
	if (!disk && node)
		disk = observed_disk(have, node);
	if (!disk)
		return diag_error(&cli->diag, -ENODEV, "there is no disk %s", equals + 1);
	if (why_not(disk))
		return diag_error(&cli->diag, -EBUSY, "the disk %s is %s", equals + 1, why_not(disk));
	for (size_t i = 0; i < p->n_choices; i++)
		if (streq(p->choices[i].name, name) || p->choices[i].disk == disk)
			return diag_error(&cli->diag, -EEXIST, "%s is given twice: --disk %s",
					  p->choices[i].disk == disk ? "this disk" : "this name", argument);
	choose(p, name, disk);
	return 0;
}

static int take_disks(struct cli *cli, const struct observed *have, struct proposal *p)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < cli->options.disks.n_items; i++)
		r = take_disk(cli, have, p, cli->options.disks.items[i]);
	return r;
}

static int gather(struct cli *cli, const struct observed *have, struct proposal *p)
{
	char host[65] = "eyrie";
	int r;

	(void)gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	if (cli->options.disks.n_items) {
		r = take_disks(cli, have, p);
	} else if (cli_can_ask()) {
		r = ask_disks(cli, have, p);
	} else {
		r = diag_error(&cli->diag, -ENOTTY, "there is no terminal to ask on");
		diag_hint(&cli->diag, "give --disk NAME=PATH for each disk, --host and --suite");
	}
	if (r)
		return r;
	if (p->n_choices < 2)
		return diag_error(&cli->diag, -EINVAL, "a mirror wants two disks or more");
	p->host = cli->options.host ? str_dup(cli->options.host) :
		  cli_can_ask()	    ? cli_ask("Host name", host) :
				      str_dup(host);
	p->suite = cli->options.suite ? str_dup(cli->options.suite) : str_dup("trixie");
	return p->host ? 0 : diag_error(&cli->diag, -ENODATA, "no host name was given");
}

static void add_disks(const struct proposal *p, struct strbuf *out)
{
	strbuf_printf(out, "\n# Every disk named here is erased; no other one is ever touched.\ndisks:\n");
	for (size_t i = 0; i < p->n_choices; i++) {
		const struct observed_disk *disk = p->choices[i].disk;
		_cleanup_free_ char *people = str_size_for_people(disk->size);
		_cleanup_free_ char *size = str_from_size(disk->size);
		_cleanup_free_ char *content = content_words(disk);

		strbuf_printf(out, "  # %s%s%s, %s; on it now: %s\n", disk->model ? disk->model : "disk",
			disk->serial ? ", serial " : "", disk->serial ? disk->serial : "", people,
			content);
		strbuf_printf(out, "  %s: { path: \"%s\", size: %s }\n", p->choices[i].name,
			stable_name(disk), size);
	}
}

/* What started this machine starts the next system, too. */
static void add_firmware(struct strbuf *out)
{
	if (access("/sys/firmware/efi", F_OK) < 0)
		strbuf_printf(out, "\n# This machine was started by a BIOS; uefi and both are the others.\n"
			     "firmware: bios\n");
}

static void add_layout(const struct proposal *p, struct strbuf *out)
{
	char id[37];
	uuid_t uuid;

	uuid_generate_random(uuid);
	uuid_unparse_lower(uuid, id);
	strbuf_printf(out,
		"# A layout for eyrie; eyrie.yaml(5) explains every key, with its default.\n"
		"# Next: eyrie plan FILE, eyrie rehearse FILE --deb PACKAGE, eyrie install FILE --deb PACKAGE.\n\n"
		"# The set id: it is on everything that eyrie makes. Keep it.\nid: %s\nhost: %s\n",
		id, p->host);
	add_firmware(out);
	add_disks(p, out);
	strbuf_printf(out, "\npool:\n  name: rpool\n  vdevs:\n    - mirror: [");
	for (size_t i = 0; i < p->n_choices; i++)
		strbuf_printf(out, "%s%s", i ? ", " : "", p->choices[i].name);
	strbuf_printf(out,
		"]\n\n# Below the pool. The one with / is the root.\ndatasets:\n"
		"  ROOT: { mountpoint: none }\n  ROOT/debian: { mountpoint: / }\n"
		"  home: { mountpoint: /home }\n\n"
		"# Debian. Without this, eyrie apply stops when everything is mounted.\nsystem:\n"
		"  suite: %s\n"
		"  # Who may log in: a hash from openssl passwd -6, or public ssh keys.\n"
		"  # root-password: \"$6$...\"\n"
		"  # root-keys: [\"ssh-ed25519 AAAA... you@there\"]\n",
		p->suite);
}

/* What was typed or given may be no name, or the same disk twice. That nobody can log in yet is in it. */
static bool is_accepted(struct cli *cli, const char *text)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	if (layout_parse("layout", text, &layout, &diag) == 0)
		return true;
	for (size_t i = 0; i < diag.n_items; i++)
		if (diag.items[i].level == DIAG_ERROR)
			(void)diag_error(&cli->diag, -EINVAL, "%s", diag.items[i].text);
	diag_note(&cli->diag, "nothing was written");
	return false;
}

static bool has_equals(struct cli *cli)
{
	for (size_t i = 0; i < cli->options.disks.n_items; i++) {
		const char *argument = cli->options.disks.items[i];

		if (*argument == '=' || !strchr(argument, '=')) {
			(void)diag_error(&cli->diag, -EINVAL, "--disk wants NAME=PATH, not '%s'", argument);
			return false;
		}
	}
	return true;
}

static void proposal_deinit(struct proposal *p)
{
	for (size_t i = 0; i < p->n_choices; i++)
		free(p->choices[i].name);
	free(p->choices);
	free(p->host);
	free(p->suite);
}

static enum cli_exit run_init(struct cli *cli)
{
	_cleanup_(observed_freep) struct observed *have = NULL;
	_cleanup_(proposal_deinit) struct proposal p = {};
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	FILE *out;

	if (!has_equals(cli))
		return CLI_USAGE;
	if (cli_observe(cli, NULL, &have))
		return CLI_FAILED;
	if (gather(cli, have, &p))
		return CLI_REFUSED;
	add_layout(&p, &text);
	if (!is_accepted(cli, text.data))
		return CLI_REFUSED;
	out = cli_output(cli);
	if (!out)
		return CLI_REFUSED;
	fputs(text.data, out);
	if (fflush(out) || (out != stdout && fclose(out))) {
		(void)diag_error(&cli->diag, -errno, "cannot write the layout: %m");
		return CLI_FAILED;
	}
	return CLI_OK;
}

const struct cli_command cmd_init = {
	.name = "init",
	.synopsis = "",
	.summary = "Look at the disks, ask a few questions, write a commented layout",
	.takes = CLI_TAKES(DISK) | CLI_TAKES(HOST) | CLI_TAKES(SUITE) | CLI_TAKES(OUTPUT) |
		 CLI_TAKES(OBSERVED) | CLI_TAKES(QUIET) | CLI_TAKES(TARGET),
	.run = run_init,
};
