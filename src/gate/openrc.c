/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate/openrc.h"

#include <ctype.h>
#include <dirent.h>

#include "base/file.h"
#include "config.h"
#include "gate/mark.h"

#define SCRIPT	"eyrie-gate"
#define SCRIPTS "/etc/init.d"
#define CONF	"/etc/rc.conf.d/eyrie-gate.conf"

/* Debian's packages ask the one before they start or stop a service, who asks the other. */
#define INVOKE "/usr/sbin/invoke-rc.d"
#define ASKED  "/usr/sbin/policy-rc.d"
#define POLICY EYRIE_LIBEXEC "/policy-rc.d"

bool openrc_runs(void)
{
	return access("/run/openrc/softlevel", F_OK) == 0;
}

char *openrc_service(const char *gate)
{
	_cleanup_free_ char *mark = mark_path(gate);

	return str_printf(SCRIPT ".%s", mark + strlen(GATE_RUN "/"));
}

/* The name of its script, as in the name of a shell's variable. */
static char *variable(const char *unit)
{
	const char *dot = strrchr(unit, '.');
	char *name = str_printf("%.*s", (int)(dot - unit), unit);

	for (char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s))
			*s = '_';
	return name;
}

/* A line for each: what stands before it, or in the service's own file, counts on. */
char *openrc_conf(const struct list *gates)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	strbuf_add(&b, "# Made by eyrie gate sync: eyrie-gate(8). $rc_need is what /etc/conf.d says.\n");
	FOR_EACH_GATE(gate, gates)
		for (size_t i = 0; i < gate->services.n_items; i++) {
			_cleanup_free_ char *name = variable(gate->services.items[i]);
			_cleanup_free_ char *service = openrc_service(gate->name);

			strbuf_printf(&b, "rc_%s_need=\"${rc_%s_need:-$rc_need} %s\"\n", name, name,
				      service);
		}
	return strbuf_take(&b);
}

static int update_runlevel(struct runner *run_by, const char *root, const char *verb,
			   const char *service, struct diag *diag)
{
	return run(run_by, &(struct command){
			.argv = (const char *const[]){ "rc-update", verb, service, "default", NULL },
			.root = *root ? root : NULL }, diag);
}

static int add_service(struct runner *run_by, const char *root, const char *gate,
		       struct diag *diag)
{
	_cleanup_free_ char *service = openrc_service(gate);
	_cleanup_free_ char *path = str_printf("%s" SCRIPTS "/%s", root, service);

	if (symlink(SCRIPT, path) < 0 && errno != EEXIST)
		return diag_error(diag, -errno, "cannot make %s: %m", path);
	return update_runlevel(run_by, root, "add", service, diag);
}

static bool is_service_of(const struct list *gates, const char *service)
{
	FOR_EACH_GATE(gate, gates)
	{
		_cleanup_free_ char *name = openrc_service(gate->name);

		if (streq(name, service))
			return true;
	}
	return false;
}

/* Nobody needs them any more. */
static int remove_others(struct runner *run_by, const struct list *gates, struct diag *diag)
{
	DIR *dir = opendir(SCRIPTS);
	struct dirent *entry;
	int r = 0;

	while (dir && r == 0 && (entry = readdir(dir))) {
		_cleanup_free_ char *path = str_printf(SCRIPTS "/%s", entry->d_name);

		if (!starts_with(entry->d_name, SCRIPT ".") || is_service_of(gates, entry->d_name))
			continue;
		r = update_runlevel(run_by, "", "del", entry->d_name, diag);
		if (r == 0 && unlink(path) < 0 && errno != ENOENT)
			r = diag_error(diag, -errno, "cannot remove %s: %m", path);
	}
	if (dir)
		closedir(dir);
	return r;
}

/* A file of somebody else's in its place stays. */
static int answer_packages(struct runner *run_by, const char *root, bool answers,
			   struct diag *diag)
{
	_cleanup_free_ char *invoke = str_printf("%s" INVOKE, root);
	const char *install[] = { "update-alternatives", "--quiet", "--install", ASKED,
				  "policy-rc.d", POLICY, "50", NULL };
	const char *remove[] = { "update-alternatives", "--quiet", "--remove", "policy-rc.d",
				 POLICY, NULL };

	if (access(invoke, F_OK) < 0)
		return 0;
	return run(run_by, &(struct command){
			.argv = answers ? install : remove,
			.root = *root ? root : NULL }, diag);
}

/* OpenRC keeps what it once read of dependencies; who watches, the gates, and ends without any. */
static int tell(struct runner *run_by, const struct list *gates, struct diag *diag)
{
	int r = run_words(run_by, diag, "rc-update", "--update", NULL);

	return r ? r : run_words(run_by, diag, "rc-service", "--quiet", "--ifstarted", SCRIPT,
				 gates->n_items ? "restart" : "stop", NULL);
}

/* A service is there before somebody needs it, and goes when nobody does any more. */
int openrc_put(struct runner *run_by, const char *root, const struct list *gates,
	       struct diag *diag)
{
	_cleanup_free_ char *path = str_printf("%s" CONF, root);
	_cleanup_free_ char *text = openrc_conf(gates);
	int r = 0;

	FOR_EACH_GATE(gate, gates)
		r = r ? r : add_service(run_by, root, gate->name, diag);
	if (r == 0)
		r = file_replace(path, text, 0644, diag);
	if (r == 0)
		r = answer_packages(run_by, root, gates->n_items > 0, diag);
	if (r || *root)
		return r;
	r = remove_others(run_by, gates, diag);
	return r ? r : tell(run_by, gates, diag);
}
