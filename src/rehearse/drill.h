/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Drills: what is done to a rehearsed machine, and what it must look like afterwards.
 *
 * A drill is a value made from the layout. It runs on a machine of its own; boot drills see
 * the installed disks through overlays that are thrown away. What the machine reports about
 * itself is collected in a value too, and judged by a pure function.
 */

#include "layout/layout.h"
#include "rehearse/console.h"
#include "rehearse/vm.h"

enum drill_kind {
	DRILL_INSTALL, /* blank disks, in the appliance */
	DRILL_BOOT,    /* installed disks, by firmware and the machine's own loader */
};

/* What a booted machine must say. */
struct expectation {
	unsigned n_prompts;
	char *root; /* dataset that is / */
	char *pool;
	char *seen; /* numbers of the starts that its root remembers, "1 3"; NULL: not asked */
	bool degraded;
	unsigned n_healthy;   /* members of the pool */
	struct strv may_fail; /* units */
	const char *closed;   /* a mapping that must be gone, and that no job may wait for; or NULL */
};

enum plug_when {
	PLUG_NEVER,
	PLUG_AFTER_PASSPHRASE, /* PLUG_SECONDS after the right one was typed */
	PLUG_WHEN_UP,
};

#define PLUG_SECONDS 5

/* One start of the machine, from power on to its report. */
struct drill_start {
	struct strv without; /* disks that are not there */
	const char *plug;    /* one of them, which comes later */
	enum plug_when when;
	unsigned n_wrong;    /* passphrases that are typed before the right one */
	bool second_entry;   /* of the boot menu is chosen, instead of the first */
	char *task;	     /* what the machine does before it reports: words for the script */
	bool bios;  /* started by a BIOS instead of UEFI */
	bool whole; /* everything is started, and the machine switches itself off */
	struct expectation expect;
};

struct drill {
	char *name; /* "install", "all disks", "left pulled" */
	enum drill_kind kind;
	unsigned n_cuts;     /* an installation whose power fails so many times */
	bool after_cuts;     /* on the disks that this left */
	bool on_request;     /* run only when it is named */
	unsigned deadline;   /* seconds, for each start */
	struct drill_start *starts; /* each on the disks as the one before left them */
	size_t n_starts;	    /* an installation has none */
};

struct drills {
	struct drill *items;
	size_t n_items;
};

/* The drills of a layout, install first. */
void drills_make(const struct layout *layout, struct drills *ret);

/* Further ones: an installation with power cuts on disks of its own, and its boot drills.
 */
void drills_add_cuts(struct drills *drills, const struct layout *layout, unsigned n_cuts);
void drills_deinit(struct drills *drills);

/* What a machine said on its second serial port. */
struct report {
	bool up;       /* the appliance runs */
	bool done;     /* nothing more will come */
	int exit;      /* status of what the appliance ran, or -1 */
	char *failure; /* why the appliance gave up */
	char *root;
	char *pool;
	char *health;
	char *seen;
	unsigned n_members;
	unsigned n_healthy;
	struct strv unhealthy; /* names of members */
	struct strv failed;    /* units */
	char *mapped;	       /* names of open device-mapper devices */
	char *jobs;	       /* units for which systemd has a job still */
};

#define REPORT_NULL                                                                        \
	{                                                                                  \
		.exit = -1                                                                 \
	}

/* One line of it, without its newline. -EBADMSG when it is none of ours; nothing is added.
 */
int report_add(struct report *report, const char *line);
void report_deinit(struct report *report);

/* NULL when an installation, or a start, is as it must be, else why it is not. */
char *drill_judge_install(const struct report *report);
char *drill_judge_start(const struct drill_start *start, const struct report *report,
			unsigned n_prompts);

enum drill_verdict {
	DRILL_NOT_RUN,
	DRILL_PASSED,
	DRILL_FAILED,
};

struct drill_phase {
	const char *name; /* "to the passphrase" */
	double seconds;
};

struct drill_outcome {
	enum drill_verdict verdict;
	char *reason; /* one sentence for a person, when it failed */
	struct drill_phase phases[5];
	size_t n_phases;
	double seconds; /* all of it */
	double work;	/* an installation: without what comes before and after it */
	char *log;	/* path */
};

void drill_outcome_deinit(struct drill_outcome *outcome);

struct drill_context {
	struct runner *runner;
	const struct layout *layout; /* what was or will be installed */
	const char *appliance;	     /* folder with root.img, vmlinuz, initrd */
	const char *libexec;
	const char *disks;   /* folder with NAME.img */
	const char *scratch; /* folder for what is thrown away */
	const char *logs;    /* folder */
	const char *cargo;   /* image that the appliance sees at /cargo */
	const char *tarball; /* root tarball */
	const struct secret *passphrase;
	enum vm_accel accel;
	double work; /* seconds that an installation takes here: cuts are spread over it */
	uint64_t seed;					  /* says where */
	void (*on_line)(void *context, const char *line); /* of the console, or NULL */
	void *context;
};

/*
 * Run one. 0 with an outcome, passed or failed; a negative errno when the host could not
 * run it at all, -EINTR after SIGINT or SIGTERM. Nothing but its log stays behind.
 */
int drill_run(const struct drill_context *context, const struct drill *drill,
	      struct drill_outcome *ret, struct diag *diag);
