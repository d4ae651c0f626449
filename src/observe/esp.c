/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What is on an EFI system partition. It is mounted read-only in a mount namespace of a child
 * process, so that nobody else ever sees the mount and nothing is left behind.
 */

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "base/file.h"
#include "observe/observe.h"

#define LOADER "EFI/systemd/systemd-bootx64.efi"
#define LOADER_FALLBACK "EFI/BOOT/BOOTX64.EFI"

int kernel_hash(const char *kernel, const char *initrd, char ret[static KERNEL_HASH_SIZE])
{
	char hash[2 * HASH_HEX_SIZE];
	int r;

	r = file_hash(kernel, hash);
	if (r == 0)
		r = file_hash(initrd, hash + HASH_HEX_SIZE - 1);
	if (r == 0)
		r = data_hash(hash, 2 * (HASH_HEX_SIZE - 1), hash);
	if (r == 0)
		(void)snprintf(ret, KERNEL_HASH_SIZE, "%.*s", KERNEL_HASH_SIZE - 1, hash);
	return r;
}

/* The value of a line "key value" of the Boot Loader Specification, type #1. */
static char *entry_value(const char *text, const char *key)
{
	size_t n = strlen(key);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, key, n) != 0 || (line[n] != ' ' && line[n] != '\t'))
			continue;
		line += n + strspn(line + n, " \t");
		return str_printf("%.*s", (int)strcspn(line, "\n"), line);
	}
	return NULL;
}

char *entry_name(const char *file)
{
	const char *end = strrchr(file, '.'), *plus = strrchr(file, '+');
	size_t n = plus ? strspn(plus + 1, "0123456789") : 0;
	const char *at = plus ? plus + 1 + n : NULL;

	if (n && *at == '-')
		at += 1 + strspn(at + 1, "0123456789");
	return n && at == end && streq(end, ".conf") ? str_printf("%.*s.conf", (int)(plus - file), file) :
				str_dup(file);
}

static void read_entry(const char *root, const char *name, struct observed_esp *esp)
{
	_cleanup_free_ char *path = str_printf("%s/loader/entries/%s", root, name);
	_cleanup_free_ char *linux_path = NULL, *initrd_path = NULL, *version = NULL;
	_cleanup_free_ char *kernel = NULL, *initrd = NULL, *plain = entry_name(name);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	char hash[KERNEL_HASH_SIZE];
	struct observed_entry *entry;

	if (file_read(path, &text))
		return;
	version = entry_value(text.data, "version");
	linux_path = entry_value(text.data, "linux");
	initrd_path = entry_value(text.data, "initrd");
	if (!version || !linux_path || !initrd_path)
		return;
	kernel = str_printf("%s%s", root, linux_path);
	initrd = str_printf("%s%s", root, initrd_path);
	if (kernel_hash(kernel, initrd, hash))
		return;
	entry = list_add(&esp->entries, &record_observed_entry);
	entry->file = str_dup(name);
	entry->version = take_ptr(version);
	entry->hash = str_dup(hash);
	entry->options = entry_value(text.data, "options");
	entry->sort_key = entry_value(text.data, "sort-key");
	entry->counting = !streq(plain, name);
}

static int by_file(const void *a, const void *b)
{
	const struct observed_entry *x = a, *y = b;

	return strcmp(x->file, y->file);
}

static void read_loader(const char *root, struct observed_esp *esp)
{
	_cleanup_free_ char *loader = str_printf("%s/" LOADER, root);
	_cleanup_free_ char *fallback = str_printf("%s/" LOADER_FALLBACK, root);
	char hash[HASH_HEX_SIZE], other[HASH_HEX_SIZE];

	if (file_hash(loader, hash) == 0 && file_hash(fallback, other) == 0 && streq(hash, other))
		esp->loader = str_dup(hash);
}

static void read_tree(const char *root, struct observed_esp *esp)
{
	_cleanup_free_ char *entries = str_printf("%s/loader/entries", root);
	_cleanup_free_ char *config = str_printf("%s/loader/loader.conf", root);
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	DIR *dir = opendir(entries);
	struct dirent *entry;

	esp->readable = true;
	read_loader(root, esp);
	if (file_read(config, &text) == 0)
		esp->config = strbuf_take(&text);
	while (dir && (entry = readdir(dir)))
		if (starts_with(entry->d_name, "eyrie-") && !file_is_aside(entry->d_name))
			read_entry(root, entry->d_name, esp);
	if (dir)
		closedir(dir);
	if (esp->entries.n_items)
		qsort(esp->entries.items, esp->entries.n_items, sizeof(struct observed_entry),
		      by_file);
}

/* In the child: mount, read, answer as JSON. */
static int read_privately(const char *node, int answer)
{
	struct observed_esp esp = {};
	struct json_object *json;
	const char *text;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(node, "/mnt", "vfat", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return 1;
	read_tree("/mnt", &esp);
	json = record_to_json(&record_observed_esp, &esp);
	text = json_object_to_json_string(json);
	return fd_write_all(answer, text, strlen(text)) ? 1 : 0;
}

static void read_answer(int fd, struct observed_esp *esp)
{
	_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;
	struct json_object *json;
	char chunk[4096];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		strbuf_add_bytes(&text, chunk, (size_t)n);
	json = text.size ? json_tokener_parse(text.data) : NULL;
	if (json)
		(void)record_from_json(&record_observed_esp, esp, json, NULL);
	json_object_put(json);
}

void observe_esp(const char *node, const char *mounted, struct observed_esp *esp)
{
	int pipes[2];
	pid_t pid;

	if (mounted) {
		read_tree(mounted, esp);
		return;
	}
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return;
	pid = fork();
	if (pid == 0)
		_exit(read_privately(node, pipes[1]));
	(void)close(pipes[1]);
	if (pid > 0) {
		read_answer(pipes[0], esp);
		(void)waitpid(pid, NULL, 0);
	}
	(void)close(pipes[0]);
}
