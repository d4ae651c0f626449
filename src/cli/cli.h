/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The command line. Everything that prints or asks is in this folder: data on stdout, words on
 * stderr. A command is one `struct cli_command` in a file of its own; main.c lists them.
 */

#include <stdio.h>

#include "base/run.h"
#include "layout/layout.h"
#include "observe/observed.h"
#include "plan/plan.h"

/* Exit codes, documented in eyrie(8). */
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,	 /* it was begun and did not end well; running again is safe */
	CLI_USAGE = 2,	 /* the command line */
	CLI_REFUSED = 3, /* the layout, or the machine does not fit it; nothing was touched */
	CLI_CONSENT = 4, /* something would be destroyed, and --wipe was not given */
	CLI_PENDING = 5, /* --check: there is something to do, or a gate is not open */
};

/*
 * OPTION(NAME, member, "long", 's', "ARG" or NULL, "help"). The member of struct cli_options is
 * bool without an argument, a struct strv with one that may be given again and again, else a
 * text.
 */
#define CLI_OPTIONS(FLAG, TEXT, MANY)                                                          \
	FLAG(JSON, json, "json", 'j', "data as JSON on stdout")                                \
	FLAG(CHECK, check, "check", 0, "exit with 5 when there is something to do")            \
	FLAG(YES, yes, "yes", 'y', "do not ask whether to go on")                              \
	FLAG(KEEP_GOING, keep_going, "keep-going", 'k', "go on after a drill that failed")     \
	FLAG(VERBOSE, verbose, "verbose", 'v', "show the console, or the programs that are run") \
	FLAG(ALL, all, "all", 'a', "the drills that take long, too")                           \
	FLAG(TEST, test, "test", 0, "only try the passphrase: nothing is opened or written")  \
	FLAG(SMF, smf, "smf", 0, "for illumos: the manifest of a service")                     \
	FLAG(METHOD, method, "method", 0, "its method instead of the manifest")                \
	FLAG(QUIET, quiet, "quiet", 'q', "only errors")                                        \
	TEXT(TARGET, target, "target", 0, "FOLDER", "where the new system is mounted, else /mnt/eyrie")       \
	TEXT(ROOT, root, "root", 0, "FOLDER", "the system in FOLDER instead of the running one") \
	TEXT(PASSPHRASE, passphrase_file, "passphrase-file", 0, "FILE",                        \
	     "read the passphrase from FILE, - is stdin")                                      \
	TEXT(OUTPUT, output, "output", 'o', "FILE", "write to FILE instead of stdout")         \
	TEXT(OBSERVED, observed, "observed", 0, "FILE",                                        \
	     "the machine in FILE, as eyrie observe wrote it")                        \
	TEXT(KEEP, keep, "keep", 0, "FOLDER", "keep disks, passphrase and logs there")         \
	TEXT(CACHE, cache, "cache", 0, "FOLDER", "keep what takes long to make there")         \
	TEXT(HOST, host, "host", 0, "NAME", "the host name")                                   \
	TEXT(SUITE, suite, "suite", 0, "SUITE", "Debian's suite to install")                   \
	TEXT(ZFS_MODULES, zfs_modules, "zfs-modules", 0, "DEB",                                \
	     "take ZFS's kernel modules from DEB, build none")                                 \
	TEXT(FROM, from, "from", 0, "SNAPSHOT",                                                \
	     "create from this snapshot or environment, not from what runs")                   \
	TEXT(CUTS, cuts, "cuts", 0, "N", "then install again, and let the power fail N times") \
	TEXT(SEED, seed, "seed", 0, "NUMBER", "where the power cuts fall, to repeat them")      \
	MANY(WIPE, wipe, "wipe", 0, "DISK", "what is on DISK of the layout may be destroyed")  \
	MANY(OVERWRITE, overwrites, "overwrite", 0, "FILE",                                    \
	     "write FILE though somebody changed it")                                         \
	MANY(KEY_FILE, key_files, "key-file", 0, "DATASET=FILE",                               \
	     "read the passphrase of an encrypted dataset from FILE")                         \
	MANY(DEB, debs, "deb", 0, "FILE", "put this package on the new system: eyrie's own")   \
	MANY(DISK, disks, "disk", 0, "NAME=PATH", "use this disk")                             \
	MANY(MEMBER, members, "member", 'm', "PATH", "a member of the set: device or image file")  \
	MANY(DISCARD, discards, "discard", 0, "NAME",                                          \
	     "give up what only this member has, and fill it again from the others")          \
	MANY(DRILL, drills, "drill", 0, "NAME", "only this drill")

enum cli_option {
#define NUMBER(name, ...) CLI_##name,
	CLI_OPTIONS(NUMBER, NUMBER, NUMBER)
#undef NUMBER
};

#define CLI_TAKES(name) (UINT64_C(1) << CLI_##name)

struct cli_options {
#define FLAG(name, member, ...) bool member;
#define TEXT(name, member, ...) const char *member;
#define MANY(name, member, ...) struct strv member;
	CLI_OPTIONS(FLAG, TEXT, MANY)
#undef FLAG
#undef TEXT
#undef MANY
};

struct cli {
	const struct cli_command *command;
	struct cli_options options;
	char **args; /* NULL-terminated */
	size_t n_args;
	struct runner run;
	struct diag diag;
};

enum cli_needs {
	CLI_NEEDS_ROOT = 1 << 0,
};

struct cli_command {
	const char *name;
	const char *synopsis; /* of its arguments */
	const char *summary;
	size_t n_args_min, n_args_max;
	uint64_t takes; /* CLI_TAKES() of each option */
	unsigned needs;
	enum cli_exit (*run)(struct cli *cli);
};

extern const struct cli_command cmd_init, cmd_plan, cmd_apply, cmd_install, cmd_rehearse,
	cmd_boot, cmd_gate, cmd_heal, cmd_lock, cmd_observe, cmd_tarball, cmd_unlock;

#define CLI_DEFAULT_TARGET "/mnt/eyrie"
#define CLI_LAYOUT_FILE "/etc/eyrie/eyrie.yaml" /* of the running system */
#define CLI_UNLOCK_FILE "/etc/eyrie/unlock.json"

/* common.c */

const char *cli_layout_path(const struct cli *cli); /* the argument, or the system's own */
enum cli_exit cli_read_layout(struct cli *cli, struct layout **ret);

/* With a layout, that one then means the boot environment that runs: environment_follow(). */
int cli_observe(struct cli *cli, struct layout *layout, struct observed **ret);
const char *cli_target(const struct cli *cli);
struct plan_options cli_plan_options(const struct cli *cli);
FILE *cli_output(struct cli *cli); /* stdout, or --output; NULL with a finding */

/* ask.c */

bool cli_can_ask(void);
char *cli_ask(const char *question, const char *proposal); /* NULL at end of input */
int cli_ask_passphrase(struct cli *cli, bool twice, struct secret **ret);
int cli_ask_passphrase_of(struct cli *cli, const char *what, struct secret **ret);
int cli_ask_key(struct cli *cli, const char *root, bool twice, struct secret **ret);

/* view.c */

void view_findings(const struct diag *diag, bool quiet);
void view_plan(const struct plan *plan, FILE *out);
void view_json(struct json_object *json, FILE *out); /* takes it */
struct json_object *view_findings_json(const struct diag *diag);
