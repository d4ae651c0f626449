/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libgen.h>
#include <libsmartcols.h>
#include <stdio.h>
#include <sys/random.h>

#include "apply/apply.h"
#include "base/file.h"
#include "cli/cli.h"
#include "config.h"
#include "rehearse/rehearse.h"

/* What is rehearsed, and with what. */
struct parts {
	char *libexec, *cache;
	char *modules, *tarball, *package;
	uint64_t n_cuts, seed;
};

static void parts_deinit(struct parts *parts)
{
	free(parts->libexec);
	free(parts->cache);
	free(parts->modules);
	free(parts->tarball);
	free(parts->package);
}

struct show {
	struct cli *cli;
	struct json_object *results;
	struct libscols_table *table;
};

/* Of the source tree for a program in its build folder, else where they were installed. */
static char *libexec_folder(void)
{
	char exe[4096] = "";
	_cleanup_free_ char *source = NULL, *script = NULL;

	if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0)
		source = str_printf("%s/../src/rehearse", dirname(exe));
	script = source ? str_printf("%s/appliance.sh", source) : NULL;
	return script && access(script, X_OK) == 0 ? take_ptr(source) : str_dup(EYRIE_LIBEXEC);
}

static char *cache_folder(const struct cli *cli)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (cli->options.cache)
		return str_dup(cli->options.cache);
	return base ? str_printf("%s/eyrie", base) :
		      str_printf("%s/.cache/eyrie", home ? home : "/root");
}

/* Run appliance.sh with these words; it prints the path of what it made. */
static int make_part(struct cli *cli, const char *libexec, const char *const *words, char **ret)
{
	_cleanup_free_ char *script = str_printf("%s/appliance.sh", libexec);
	_cleanup_strv_ struct strv argv = STRV_NULL;
	int r;

	strv_add(&argv, script);
	for (; *words; words++)
		strv_add(&argv, *words);
	r = run(&cli->run, &(struct command){ .argv = (const char *const *)argv.items,
					      .deadline = 2 * 3600, .ret_output = ret },
		&cli->diag);
	if (r == 0)
		str_trim_end(*ret);
	return r;
}

/* The modules are compiled here: under emulation that would take an hour. */
static int build_modules(struct cli *cli, const char *libexec, const char *cache,
			 const char *suite, char **ret)
{
	const char *const words[] = { "zfs-modules", cache, suite, NULL };

	return make_part(cli, libexec, words, ret);
}

/* The package of the source tree that this program was built from, when it is there. */
static int get_package(struct cli *cli, const char *libexec, const char *cache,
		       const char *suite, char **ret)
{
	_cleanup_free_ char *source = str_printf("%s/../..", libexec);
	_cleanup_free_ char *control = str_printf("%s/debian/control", source);
	_cleanup_free_ char *out = str_printf("%s/packages", cache);
	const char *const words[] = { "deb", cache, suite, source, out, NULL };

	if (cli->options.debs.n_items) {
		*ret = str_dup(cli->options.debs.items[0]);
		return 0;
	}
	if (access(control, R_OK) == 0)
		return make_part(cli, libexec, words, ret);
	(void)diag_error(&cli->diag, -ENOENT,
			 "the rehearsed system needs eyrie's own package for %s", suite);
	diag_hint(&cli->diag, "give --deb FILE; in the source tree ./try builds it by itself");
	return -ENOENT;
}

/* The layout's own, or one of its suite and packages, made once. */
static int get_tarball(struct cli *cli, const struct layout *layout, const char *modules,
			 const char *cache, char **ret)
{
	_cleanup_strbuf_ struct strbuf inputs = STRBUF_NULL;
	_cleanup_free_ char *packages = tarball_packages(layout, &(struct tarball_options){
							 .zfs_modules = modules });
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *lock = str_printf("%s/.lock-root-%s", cache, layout->system.suite);
	_cleanup_close_ int fd = -1;
	char hash[HASH_HEX_SIZE];
	int r;

	if (layout->system.tarball) {
		*ret = str_dup(layout->system.tarball);
		return access(*ret, R_OK) < 0 ? diag_error(&cli->diag, -errno, "cannot read the root "
							   "tarball %s: %m", *ret) : 0;
	}
	strbuf_printf(&inputs, "%s\n%s\n%s\n", layout->system.suite, packages, modules);
	(void)data_hash(inputs.data, inputs.size, hash);
	path = str_printf("%s/root-%s-%.12s.tar", cache, layout->system.suite, hash);
	/* Another rehearsal may make it at this moment. */
	r = file_lock(lock, &fd, &cli->diag);
	if (r == 0 && access(path, R_OK) < 0)
		r = tarball_make(&cli->run, layout,
				 &(struct tarball_options){ .zfs_modules = modules }, path,
				 &cli->diag);
	if (r == 0)
		*ret = take_ptr(path);
	return r;
}

static void say(const struct cli *cli, const char *format, ...) _printf_(2, 3);

static void say(const struct cli *cli, const char *format, ...)
{
	va_list ap;

	if (cli->options.quiet)
		return;
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
}

static void drill_begins(void *context, const struct drill *drill)
{
	const struct show *show = context;

	say(show->cli, "drill: %s\n", drill->name);
}

static const char *const verdicts[] = {
	[DRILL_NOT_RUN] = "not run",
	[DRILL_PASSED] = "passed",
	[DRILL_FAILED] = "FAILED",
};

static void add_row(struct show *show, const struct drill *drill,
		    const struct drill_outcome *outcome)
{
	struct libscols_line *line = scols_table_new_line(show->table, NULL);
	_cleanup_strbuf_ struct strbuf notes = STRBUF_NULL;
	_cleanup_free_ char *seconds = str_printf("%.0f s", outcome->seconds);

	for (size_t i = 0; i < outcome->n_phases; i++)
		strbuf_printf(&notes, "%s%s %.0f s", i ? ", " : "", outcome->phases[i].name,
			      outcome->phases[i].seconds);
	(void)scols_line_set_data(line, 0, drill->name);
	(void)scols_line_set_data(line, 1, verdicts[outcome->verdict]);
	(void)scols_line_set_data(line, 2, seconds);
	(void)scols_line_set_data(line, 3, outcome->reason ? outcome->reason :
					   notes.size	   ? notes.data :
							     "");
}

static void drill_ends(void *context, const struct drill *drill,
		       const struct drill_outcome *outcome)
{
	struct show *show = context;
	struct json_object *json = json_object_new_object();

	json_object_object_add(json, "drill", json_object_new_string(drill->name));
	json_object_object_add(json, "verdict",
			       json_object_new_string(verdicts[outcome->verdict]));
	json_object_object_add(json, "seconds", json_object_new_double(outcome->seconds));
	if (outcome->reason)
		json_object_object_add(json, "reason", json_object_new_string(outcome->reason));
	if (outcome->log)
		json_object_object_add(json, "log", json_object_new_string(outcome->log));
	json_object_array_add(show->results, json);
	add_row(show, drill, outcome);
	if (outcome->verdict == DRILL_FAILED)
		say(show->cli, "drill: %s: FAILED: %s\n", drill->name, outcome->reason);
	else if (outcome->verdict == DRILL_PASSED)
		say(show->cli, "drill: %s: passed in %.0f s\n", drill->name, outcome->seconds);
}

static void console_line(void *context, const char *line)
{
	const struct show *show = context;

	if (show->cli->options.verbose)
		say(show->cli, "| %s\n", line);
}

static void show_results(struct show *show)
{
	struct json_object *json;

	if (!show->cli->options.json) {
		(void)scols_print_table(show->table);
		return;
	}
	json = json_object_new_object();
	json_object_object_add(json, "drills", json_object_get(show->results));
	json_object_object_add(json, "findings", view_findings_json(&show->cli->diag));
	view_json(json, stdout);
}

static enum cli_exit rehearse_it(struct cli *cli, const struct layout *layout,
				 const struct parts *parts)
{
	struct show show = { .cli = cli, .results = json_object_new_array(),
			     .table = scols_new_table() };
	const struct rehearse_options options = {
		.cache = parts->cache,
		.libexec = parts->libexec,
		.tarball = parts->tarball,
		.package = parts->package,
		.keep = cli->options.keep,
		.only = cli->options.drills.n_items ? &cli->options.drills : NULL,
		.n_cuts = (unsigned)parts->n_cuts,
		.seed = parts->seed,
		.all = cli->options.all,
		.keep_going = cli->options.keep_going,
		.watch = { drill_begins, drill_ends, console_line, &show },
	};
	int r;

	(void)scols_table_new_column(show.table, "DRILL", 0, 0);
	(void)scols_table_new_column(show.table, "RESULT", 0, 0);
	(void)scols_table_new_column(show.table, "TIME", 0, SCOLS_FL_RIGHT);
	(void)scols_table_new_column(show.table, "", 0, SCOLS_FL_WRAP);
	r = rehearse(&cli->run, layout, &options, &cli->diag);
	show_results(&show);
	scols_unref_table(show.table);
	json_object_put(show.results);
	return r ? CLI_FAILED : CLI_OK;
}

static enum cli_exit check(struct cli *cli, const struct layout *layout)
{
	if (!layout_has_system(layout)) {
		(void)diag_error(&cli->diag, -EINVAL, "the layout names no suite and no tarball to "
				 "rehearse with");
		diag_hint(&cli->diag, "system: { suite: trixie }");
		return CLI_REFUSED;
	}
	if (layout->system.suite && streq(layout->system.suite, "bookworm")) {
		(void)diag_error(&cli->diag, -EINVAL, "bookworm cannot be rehearsed: its systemd takes no "
				 "units from outside, by which a rehearsed machine tells what came up");
		diag_hint(&cli->diag, "rehearse the same layout with suite: trixie");
		return CLI_REFUSED;
	}
	return CLI_OK;
}

/* A tarball does not say what is in it: the rehearsal takes it for the stable release. */
#define TARBALL_SUITE "trixie"
#define CUTS_MAX 1000u

/* How often the power fails, and where: at moments that can be repeated. */
static int choose_cuts(struct cli *cli, struct parts *parts)
{
	const struct cli_options *o = &cli->options;

	if (o->cuts && (str_to_u64(o->cuts, &parts->n_cuts) || parts->n_cuts > CUTS_MAX))
		return diag_error(&cli->diag, -EINVAL, "--cuts wants a number up to %u, not '%s'",
				  CUTS_MAX, o->cuts);
	if (o->seed && str_to_u64(o->seed, &parts->seed))
		return diag_error(&cli->diag, -EINVAL, "--seed wants a number, not '%s'", o->seed);
	if (!o->seed)
		(void)getrandom(&parts->seed, sizeof(uint32_t), 0);
	if (parts->n_cuts)
		say(cli, "power cuts: --seed %llu repeats them\n",
		    (unsigned long long)parts->seed);
	return 0;
}

static enum cli_exit run_rehearse(struct cli *cli)
{
	_cleanup_(layout_freep) struct layout *layout = NULL;
	_cleanup_(parts_deinit) struct parts parts = { .libexec = libexec_folder(),
						       .cache = cache_folder(cli) };
	const char *libexec = parts.libexec, *cache = parts.cache, *suite;
	enum cli_exit status = cli_read_layout(cli, &layout);

	if (status == CLI_OK)
		status = check(cli, layout);
	if (status == CLI_OK &&
	    (choose_cuts(cli, &parts) || rehearse_check_names(layout, &cli->options.drills,
							      (unsigned)parts.n_cuts, &cli->diag)))
		status = CLI_USAGE;
	if (status != CLI_OK)
		return status;
	if (file_make_folder(cache, &cli->diag))
		return CLI_FAILED;
	say(cli, "The system is made natively and kept in %s; the disks and the machine are "
	    "virtual, and the cost of the passphrase is lowered for them.\n", cache);
	suite = layout->system.suite ?: TARBALL_SUITE;
	if (get_package(cli, libexec, cache, suite, &parts.package) ||
	    build_modules(cli, libexec, cache, suite, &parts.modules) ||
	    get_tarball(cli, layout, parts.modules, cache, &parts.tarball))
		return CLI_FAILED;
	return rehearse_it(cli, layout, &parts);
}

const struct cli_command cmd_rehearse = {
	.name = "rehearse",
	.synopsis = "LAYOUT",
	.summary = "The same on virtual disks in a VM, then drills: pull a disk, and so on",
	.n_args_min = 1,
	.n_args_max = 1,
	.takes = CLI_TAKES(JSON) | CLI_TAKES(KEEP) | CLI_TAKES(KEEP_GOING) | CLI_TAKES(VERBOSE) |
		 CLI_TAKES(QUIET) | CLI_TAKES(CACHE) | CLI_TAKES(DEB) | CLI_TAKES(DRILL) | CLI_TAKES(ALL) |
		 CLI_TAKES(CUTS) | CLI_TAKES(SEED),
	.run = run_rehearse,
};
