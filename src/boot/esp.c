/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "boot/esp.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/file.h"
#include "boot/esp-file.h"
#include "boot/files.h"
#include "boot/store.h"
#include "boot/text.h"
#include "observe/observe.h"

#define LOADER_SOURCE	"usr/lib/systemd/boot/efi/systemd-bootx64.efi"
#define LOADER_FOLDER	"EFI/systemd"
#define LOADER		LOADER_FOLDER "/systemd-bootx64.efi"
#define FALLBACK_FOLDER "EFI/BOOT"
#define FALLBACK	FALLBACK_FOLDER "/BOOTX64.EFI"
#define LOADER_CONF	"/loader/loader.conf"
#define SPARE		(4 * MIB) /* for the loader, entries and FAT's own bookkeeping */

/* A kernel of an environment, and the names by which the partition has it. */
struct wish {
	const struct esp_system *system;
	const struct observed_kernel *kernel;
	char *entry;  /* in loader/entries, without a counter */
	char *folder; /* below the partition */
	bool published; /* the folder is there, whole */
	bool before;	/* /boot has it no more: it came up, and nothing newer did */
};

struct esp {
	struct runner *run;
	const struct layout *layout;
	const struct esp_system *systems;
	size_t n_systems;
	bool several; /* environments: entries name theirs */
	const char *path;
	struct list *kernels; /* for each system, of struct observed_kernel */
	bool *has_none; /* for each system: nothing of it can be published today */
	struct wish *wishes;
	size_t n_wishes;
	struct list before; /* of struct observed_kernel, which wishes point to */
	struct diag *diag;
};

static const struct environment *in_menu(const struct esp *e, const struct esp_system *system)
{
	return e->several ? system->environment : NULL;
}

static int make_folder(struct esp *e, const char *name)
{
	_cleanup_free_ char *path = str_printf("%s/%s", e->path, name);

	return file_make_folder(path, e->diag);
}

/* The names that lead to a loader are on the medium: its folder's own, and the one above. */
static int sync_loader_folders(struct esp *e)
{
	_cleanup_free_ char *above = str_printf("%s/EFI", e->path);
	int r = file_sync_folder(above);

	if (r == 0)
		r = file_sync_folder(e->path);
	return r ? diag_error(e->diag, r, "cannot write %s: %s", above, strerror(-r)) : 0;
}

/*
 * The fallback path is what firmware boots from a disk that it has never seen. One is on the medium
 * before the other is touched: a power cut tears one of them at most.
 */
static int sync_loader(struct esp *e)
{
	static const char *const places[][2] = { { FALLBACK_FOLDER, FALLBACK },
						 { LOADER_FOLDER, LOADER } };
	_cleanup_free_ char *source = str_printf("%s/" LOADER_SOURCE, e->systems[0].root);

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *copy = str_printf("%s/%s", e->path, places[i][1]);
		int r = 0;

		if (esp_file_is_same(source, copy))
			continue;
		r = make_folder(e, places[i][0]);
		if (r == 0)
			r = esp_file_copy(e->path, source, places[i][1], e->diag);
		if (r == 0)
			r = sync_loader_folders(e);
		if (r)
			return r;
	}
	return 0;
}

/* what is there */

static bool is_ours(const char *file)
{
	return starts_with(file, "eyrie-") && !file_is_aside(file);
}

static int read_entry(const struct esp *e, const char *file, struct strbuf *ret)
{
	_cleanup_free_ char *path = str_printf("%s/loader/entries/%s", e->path, file);

	return file_read(path, ret);
}

/* Call `each` for every entry of ours, until it returns true. */
static bool for_each_entry(const struct esp *e,
			   bool (*each)(const struct esp *e, const char *file, const char *text,
					void *context),
			   void *context)
{
	_cleanup_free_ char *folder = str_printf("%s/loader/entries", e->path);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		_cleanup_strbuf_ struct strbuf text = STRBUF_NULL;

		if (is_ours(entry->d_name) && read_entry(e, entry->d_name, &text) == 0 && text.data)
			found = each(e, entry->d_name, text.data, context);
	}
	if (dir)
		closedir(dir);
	return found;
}

static const struct esp_system *system_of_entry(const struct esp *e, const char *text)
{
	for (size_t i = 0; i < e->n_systems; i++)
		if (environment_is_started_by(text, e->systems[i].environment->dataset, i == 0))
			return &e->systems[i];
	return NULL;
}

static const struct wish *find_wish(const struct esp *e, const char *file)
{
	_cleanup_free_ char *plain = entry_name(file);

	for (size_t i = 0; i < e->n_wishes; i++)
		if (streq(e->wishes[i].entry, plain))
			return &e->wishes[i];
	return NULL;
}

/*
 * What it falls back to is known to nobody but the system of that environment, when it runs; and what has
 * no kernel for the menu today, by a torn initramfs or an empty /boot, still starts by those of before.
 */
static bool is_kept(const struct esp *e, const struct esp_system *system, const char *text)
{
	return !system->root || e->has_none[system - e->systems] ||
	       (system != e->systems && boot_entry_is_before(text));
}

/* Nobody would miss it: its environment is gone, or that one's /boot has nothing of its version. */
static bool is_of_nobody(const struct esp *e, const char *file, const char *text)
{
	const struct esp_system *system = system_of_entry(e, text);

	if (!system)
		return true;
	if (is_kept(e, system, text))
		return false;
	FOR_EACH_ITEM(struct observed_kernel, kernel, &e->kernels[system - e->systems])
	{
		_cleanup_free_ char *line = str_printf("\nversion %s\n", kernel->version);

		if (strstr(text, line))
			return false;
	}
	return !find_wish(e, file);
}

/* It has the entry without a counter beside it. */
static bool is_twin(const struct esp *e, const char *file)
{
	_cleanup_free_ char *plain = entry_name(file);
	_cleanup_free_ char *path = str_printf("%s/loader/entries/%s", e->path, plain);

	return !streq(plain, file) && access(path, F_OK) == 0;
}

static bool has_wish(const struct esp *e, const struct esp_system *system, const char *folder,
		     bool published)
{
	for (size_t i = 0; i < e->n_wishes; i++)
		if (e->wishes[i].system == system && e->wishes[i].published >= published &&
		    streq(e->wishes[i].folder, folder))
			return true;
	return false;
}

/* An entry of the same image has taken its place: by a name without a counter, or with another menu. */
static bool is_replaced(const struct esp *e, const char *file, const char *text)
{
	_cleanup_free_ char *folder = boot_entry_folder(text);
	const struct wish *wish = find_wish(e, file);

	return wish ? is_twin(e, file) :
		      folder && has_wish(e, system_of_entry(e, text), folder, /* published= */ true);
}

/* Everything that is wanted is there: what is not, goes. */
static bool is_unwanted(const struct esp *e, const char *file, const char *text)
{
	const struct esp_system *system = system_of_entry(e, text);

	if (find_wish(e, file))
		return is_replaced(e, file, text);
	return !system || !is_kept(e, system, text);
}

static bool names_folder(const struct esp *e, const char *file, const char *text, void *context)
{
	_cleanup_free_ char *folder = boot_entry_folder(text);

	(void)e;
	(void)file;
	return streq(folder, context);
}

struct removal {
	bool (*goes)(const struct esp *e, const char *file, const char *text);
	struct strv files;
};

static bool note_entry(const struct esp *e, const char *file, const char *text, void *context)
{
	struct removal *removal = context;

	if (!removal->goes(e, file, text))
		return false;
	strv_add(&removal->files, file);
	if (!find_wish(e, file)) {
		_cleanup_free_ char *name = str_printf("/loader/entries/%s", file);

		boot_tell_loss(name, text, NULL, e->diag);
	}
	return false;
}

static int remove_entries(const struct esp *e,
			  bool (*goes)(const struct esp *e, const char *file, const char *text))
{
	_cleanup_free_ char *folder = str_printf("%s/loader/entries", e->path);
	struct removal removal = { .goes = goes };
	int r = 0;

	(void)for_each_entry(e, note_entry, &removal);
	for (size_t i = 0; i < removal.files.n_items; i++) {
		_cleanup_free_ char *path = str_printf("%s/%s", folder, removal.files.items[i]);

		(void)unlink(path);
	}
	if (removal.files.n_items)
		r = file_sync_folder(folder);
	strv_deinit(&removal.files);
	return r;
}

static bool is_wanted_folder(const struct esp *e, const char *folder)
{
	for (size_t i = 0; i < e->n_wishes; i++)
		if (streq(e->wishes[i].folder, folder))
			return true;
	return for_each_entry(e, names_folder, (void *)folder);
}

/* Folders that no entry names: left by an interrupted run, or of kernels that are gone. */
static void remove_folders(const struct esp *e)
{
	_cleanup_free_ char *path = str_printf("%s/eyrie", e->path);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *folder = str_printf("eyrie/%s", entry->d_name);
		_cleanup_free_ char *old = str_printf("%s/%s", e->path, folder);

		if (*entry->d_name != '.' && !is_wanted_folder(e, folder))
			(void)file_remove_tree(old);
	}
	if (dir)
		closedir(dir);
}

/*
 * Nothing old goes before all that stays is on the medium, and no folder before the entry that names
 * it: whenever the power fails, each entry that is there has its files.
 */
static int remove_old(const struct esp *e,
		      bool (*goes)(const struct esp *e, const char *file, const char *text))
{
	int r = file_sync_all(e->path);

	if (r == 0)
		r = remove_entries(e, goes);
	if (r)
		return diag_error(e->diag, r, "cannot write the EFI system partition: %s",
				  strerror(-r));
	remove_folders(e);
	return 0;
}

/* room */

static bool is_published(const struct esp *e, const struct wish *wish)
{
	_cleanup_free_ char *image = str_printf("%s/%s/linux", e->path, wish->folder);
	_cleanup_free_ char *initrd = str_printf("%s/%s/initrd", e->path, wish->folder);
	char hash[KERNEL_HASH_SIZE];

	return kernel_hash(image, initrd, hash) == 0 && streq(hash, wish->kernel->hash);
}

static char *source_of(const struct wish *wish, const char *file)
{
	_cleanup_free_ char *folder = wish->system->stored ? store_folder(wish->kernel) : NULL;

	if (folder)
		return str_printf("%s/boot/%s/%s", wish->system->root, folder, file);
	return str_printf("%s/boot/%s-%s", wish->system->root, file, wish->kernel->version);
}

/* Bytes that are not there yet, a shared folder once. */
static uint64_t bytes_missing(struct esp *e, const struct wish **ret_first)
{
	uint64_t n = 0;

	*ret_first = NULL;
	for (size_t i = 0; i < e->n_wishes; i++) {
		struct wish *wish = &e->wishes[i];
		_cleanup_free_ char *image = source_of(wish, "vmlinuz");
		_cleanup_free_ char *initrd = source_of(wish, "initrd.img");
		size_t k = 0;

		while (!streq(e->wishes[k].folder, wish->folder))
			k++;
		wish->published = k < i ? e->wishes[k].published : is_published(e, wish);
		if (k < i || wish->published)
			continue;
		n += file_size(image) + file_size(initrd);
		*ret_first = *ret_first ? *ret_first : wish;
	}
	return n;
}

static uint64_t bytes_free(const struct esp *e)
{
	struct statvfs fs;

	return statvfs(e->path, &fs) < 0 ? 0 : (uint64_t)fs.f_bavail * fs.f_bsize;
}

static bool has_room(const struct esp *e, uint64_t bytes)
{
	return !bytes || bytes_free(e) > bytes + SPARE;
}

static int remove_torn(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *end = strrchr(path, '.');

	(void)st;
	(void)ftw;
	if (type == FTW_F && (streq(end, ESP_FILE_ASIDE) || file_is_aside(path)))
		(void)unlink(path);
	return 0;
}

/*
 * What an interrupted run left: files that never got their name, and folders of kernels that no entry
 * names yet. All of it is copied anew, and counted so.
 */
static void remove_leftovers(const struct esp *e)
{
	static const char *const places[] = { "eyrie", FALLBACK_FOLDER, LOADER_FOLDER,
					      "loader/entries" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		_cleanup_free_ char *path = str_printf("%s/%s", e->path, places[i]);

		(void)nftw(path, remove_torn, 8, FTW_PHYS);
	}
	for (size_t i = 0; i < e->n_wishes; i++) {
		const struct wish *wish = &e->wishes[i];
		_cleanup_free_ char *path = str_printf("%s/%s", e->path, wish->folder);

		if (!wish->published && !for_each_entry(e, names_folder, wish->folder))
			(void)file_remove_tree(path);
	}
}

/* Before anything is written: what nobody would miss goes, and then there is room, or not. */
static int make_room(struct esp *e)
{
	const struct wish *first;
	uint64_t bytes = bytes_missing(e, &first);
	_cleanup_free_ char *wanted = str_size_for_people(bytes), *free_size = NULL;
	int r;

	if (has_room(e, bytes))
		return 0;
	remove_leftovers(e);
	if (has_room(e, bytes))
		return 0;
	r = remove_old(e, is_of_nobody);
	if (r || has_room(e, bytes))
		return r;
	free_size = str_size_for_people(bytes_free(e));
	(void)diag_error(e->diag, -ENOSPC,
			 "the EFI system partition has no room for kernel %s%s%s: %s are wanted, and %s "
			 "are free", first->kernel->version, e->several ? " of the environment " : "",
			 e->several ? first->system->environment->name : "", wanted, free_size);
	diag_hint(e->diag, "remove a kernel package that you do not need%s; what is on the "
		  "partition still boots",
		  e->several ? ", or an environment (eyrie boot destroy)" : "");
	return -ENOSPC;
}

static int copy_kernel(struct esp *e, struct wish *wish)
{
	_cleanup_free_ char *image = source_of(wish, "vmlinuz");
	_cleanup_free_ char *initrd = source_of(wish, "initrd.img");
	_cleanup_free_ char *image_name = str_printf("%s/linux", wish->folder);
	_cleanup_free_ char *initrd_name = str_printf("%s/initrd", wish->folder);
	int r;

	if (wish->published)
		return 0;
	r = make_folder(e, wish->folder);
	if (r == 0)
		r = esp_file_copy(e->path, image, image_name, e->diag);
	if (r == 0)
		r = esp_file_copy(e->path, initrd, initrd_name, e->diag);
	for (size_t i = 0; r == 0 && i < e->n_wishes; i++)
		e->wishes[i].published |= streq(e->wishes[i].folder, wish->folder);
	return r;
}

/* The names that lead to a kernel are on the medium: its folder's own, and the one above. */
static int sync_folders(struct esp *e, const struct wish *wish)
{
	_cleanup_free_ char *folder = str_printf("%s/%s", e->path, wish->folder);
	_cleanup_free_ char *above = str_printf("%s/eyrie", e->path);
	const char *const folders[] = { folder, above, e->path };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
		r = file_sync_folder(folders[i]);
	return r ? diag_error(e->diag, r, "cannot write %s: %s", folder, strerror(-r)) : 0;
}

/* The file of the entry called `name`, counter and all, or NULL; whether eyrie has others. */
static char *find_entry(const struct esp *e, const char *name, bool *ret_others)
{
	_cleanup_free_ char *folder = str_printf("%s/loader/entries", e->path);
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char *found = NULL;

	*ret_others = false;
	while (dir && (entry = readdir(dir))) {
		_cleanup_free_ char *plain = entry_name(entry->d_name);

		if (streq(plain, name) && !found)
			found = str_printf("%s/%s", folder, entry->d_name);
		else
			*ret_others |= is_ours(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Where the entry belongs: as it was found, with tries when it is new among others. */
static char *entry_path(const struct esp *e, const char *name)
{
	bool others;
	char *found = find_entry(e, name, &others);
	_cleanup_free_ char *counted = boot_entry_counted(name);

	return found ? found : str_printf("%s/loader/entries/%s", e->path, others ? counted : name);
}

/* Of an environment that is not worked on, an entry keeps its text, but for its place in the menu. */
static char *entry_text(const struct esp *e, const struct wish *wish, const char *path)
{
	const struct environment *environment = in_menu(e, wish->system);
	_cleanup_free_ char *sort_key = boot_entry_sort_key(environment), *text = NULL;
	_cleanup_strbuf_ struct strbuf there = STRBUF_NULL;
	bool is_there = file_read(path, &there) == 0 && there.size;

	if (is_there && wish->system != e->systems)
		return boot_entry_resorted(there.data, sort_key);
	text = (wish->before ? boot_entry_before : boot_entry)(
		e->layout, environment, wish->kernel->version, wish->kernel->hash);
	if (is_there)
		boot_tell_loss(path + strlen(e->path), there.data, text, e->diag);
	return take_ptr(text);
}

static bool came_up(const struct esp *e, const struct wish *wish)
{
	return wish->system == e->systems &&
	       boot_came_up(wish->system->running, wish->system->started_by, wish->kernel->version,
			    wish->kernel->hash);
}

static int sync_kernel(struct esp *e, struct wish *wish)
{
	_cleanup_free_ char *plain = str_printf("%s/loader/entries/%s", e->path, wish->entry);
	_cleanup_free_ char *path = entry_path(e, wish->entry);
	_cleanup_free_ char *entry = entry_text(e, wish, path);
	int r;

	r = copy_kernel(e, wish);
	if (r == 0)
		r = sync_folders(e, wish);
	if (r)
		return r;
	/* The commit point. What was counted goes at the end: a rename on FAT can lose both names. */
	return file_replace(wish->before || came_up(e, wish) ? plain : path, entry, 0700, e->diag);
}

/* what is wanted */

static bool is_called(const struct esp *e, const char *file, const char *text, void *context)
{
	_cleanup_free_ char *plain = entry_name(file);

	(void)e;
	(void)text;
	return streq(plain, context);
}

/* It was seen to hold its zfs.ko before it got an entry. */
static bool may_be_published(const struct esp *e, const struct esp_system *system,
			     const struct observed_kernel *kernel, const char *entry)
{
	if (!kernel->hash)
		return false;
	return kernel->has_zfs || (system != e->systems &&
				   for_each_entry(e, is_called, (void *)entry));
}

static void add_wish(struct esp *e, const struct wish *wish)
{
	e->wishes = mem_grow(e->wishes, e->n_wishes, sizeof(*e->wishes));
	e->wishes[e->n_wishes++] = *wish;
}

static void add_wishes(struct esp *e, const struct esp_system *system, const struct list *kernels)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, kernels)
	{
		_cleanup_free_ char *entry =
			kernel->hash ? boot_entry_name(in_menu(e, system), kernel->version,
						       kernel->hash) :
				       NULL;

		if (!may_be_published(e, system, kernel, entry))
			continue;
		add_wish(e, &(struct wish){
			.system = system, .kernel = kernel, .entry = take_ptr(entry),
			.folder = boot_kernel_folder(kernel->version, kernel->hash) });
	}
}

static void note_before(struct list *before, const char *version, const char *hash)
{
	struct observed_kernel *kernel = list_add(before, &record_observed_kernel);

	kernel->version = str_dup(version);
	kernel->hash = str_dup(hash);
}

/* What the boot loader does not count came up once, or was the first of all. */
static bool note_uncounted(const struct esp *e, const char *file, const char *text, void *context)
{
	_cleanup_free_ char *plain = entry_name(file);
	_cleanup_free_ char *version = boot_entry_version(text);
	_cleanup_free_ char *hash = boot_entry_hash(plain, version);

	if (hash && system_of_entry(e, text) == e->systems &&
	    (streq(plain, file) || boot_entry_is_before(text)))
		note_before(context, version, hash);
	return false;
}

/* Of a system that does not run, nobody knows which of its images it would come up by. */
static void find_before(struct esp *e)
{
	const struct esp_system *current = &e->systems[0];
	_cleanup_free_ char *hash = boot_entry_hash(current->started_by, current->running);
	bool any = false;

	if (!current->running)
		(void)for_each_entry(e, note_uncounted, &e->before);
	for (size_t i = 0; i < e->n_wishes; i++)
		any |= came_up(e, &e->wishes[i]);
	if (hash && !any)
		note_before(&e->before, current->running, hash);
}

/* /boot has another image of that version by now, or none. */
static void add_before(struct esp *e)
{
	const struct esp_system *current = &e->systems[0];

	find_before(e);
	FOR_EACH_ITEM(struct observed_kernel, kernel, &e->before)
	{
		struct wish wish = { .system = current, .kernel = kernel, .before = true };

		wish.entry = boot_entry_name(in_menu(e, current), kernel->version, kernel->hash);
		wish.folder = boot_kernel_folder(kernel->version, kernel->hash);
		if (!has_wish(e, current, wish.folder, false) && is_published(e, &wish)) {
			add_wish(e, &wish);
			continue;
		}
		free(wish.entry);
		free(wish.folder);
	}
}

static int no_kernel(struct esp *e, const struct esp_system *system)
{
	const char *name = system->environment->name;

	if (system->is_new)
		return diag_error(e->diag, -ENOENT, "the boot environment %s would have no kernel "
				  "whose initramfs holds its zfs.ko", name);
	if (system != e->systems) {
		e->has_none[system - e->systems] = true;
		diag_warning(e->diag, "the boot environment %s has no kernel in /boot that would find its "
			     "root, and keeps what it has in the menu", name);
		return 0;
	}
	(void)diag_error(e->diag, -ENOENT, "there is no kernel whose initramfs holds its zfs.ko");
	diag_hint(e->diag, "install linux-image-amd64 and zfs-dkms; dkms status shows what is built");
	return -ENOENT;
}

static void copy_list(const struct list *from, struct list *to)
{
	FOR_EACH_ITEM(struct observed_kernel, kernel, from)
		record_copy(&record_observed_kernel, list_add(to, &record_observed_kernel), kernel);
}

static int look_at_systems(struct esp *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->n_systems; i++) {
		const struct esp_system *system = &e->systems[i];
		size_t n = e->n_wishes;

		if (!system->root && !system->is_new)
			continue;
		if (system->stored)
			copy_list(system->stored, &e->kernels[i]);
		else if (system->root)
			observe_kernels(e->run, system->root, i ? &e->kernels[0] : NULL, &e->kernels[i]);
		add_wishes(e, system, &e->kernels[i]);
		if (e->n_wishes == n)
			r = no_kernel(e, system);
	}
	if (r == 0)
		add_before(e);
	return r;
}

struct resorting {
	const struct esp_system *system;
	struct strv files, texts;
};

static bool note_resorting(const struct esp *e, const char *file, const char *text, void *context)
{
	struct resorting *resorting = context;
	_cleanup_free_ char *sort_key =
		boot_entry_sort_key(in_menu(e, resorting->system));
	_cleanup_free_ char *resorted = boot_entry_resorted(text, sort_key);

	if (system_of_entry(e, text) == resorting->system &&
	    is_kept(e, resorting->system, text) && !streq(text, resorted)) {
		strv_add(&resorting->files, file);
		strv_add(&resorting->texts, resorted);
	}
	return false;
}

/* What stays as it is: its environment may have become the active one, or ceased to be. */
static int sort_kept(struct esp *e, const struct esp_system *system)
{
	struct resorting resorting = { .system = system };
	int r = 0;

	(void)for_each_entry(e, note_resorting, &resorting);
	for (size_t i = 0; r == 0 && i < resorting.files.n_items; i++) {
		_cleanup_free_ char *path =
			str_printf("%s/loader/entries/%s", e->path, resorting.files.items[i]);

		r = file_replace(path, resorting.texts.items[i], 0700, e->diag);
	}
	strv_deinit(&resorting.files);
	strv_deinit(&resorting.texts);
	return r;
}

static int sync_config(struct esp *e)
{
	_cleanup_free_ char *path = str_printf("%s" LOADER_CONF, e->path);
	_cleanup_free_ char *text = boot_loader_conf(e->layout);
	_cleanup_strbuf_ struct strbuf there = STRBUF_NULL;

	if (file_read(path, &there) == 0)
		boot_tell_loss(LOADER_CONF, there.data, text, e->diag);
	return file_replace(path, text, 0700, e->diag);
}

/*
 * What has all of its files, or gets them: without `room` nothing is copied, and a new environment,
 * which would have some of its kernels only, gets no entry.
 */
static int sync_menu(struct esp *e, bool room)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < e->n_wishes; i++)
		if (room || (e->wishes[i].published && !e->wishes[i].system->is_new))
			r = sync_kernel(e, &e->wishes[i]);
	for (size_t i = 0; r == 0 && i < e->n_systems; i++)
		r = sort_kept(e, &e->systems[i]);
	return r ? r : sync_config(e);
}

/*
 * Without room for everything, what is there is put in step all the same: the kernel that runs loses
 * its counter, and the menu has its order. Of what is old only that goes which an entry of the same
 * image replaces, for the rest may be what the machine falls back to.
 */
static int sync_all(struct esp *e)
{
	int r = look_at_systems(e), full;

	if (r)
		return r;
	full = make_room(e);
	if (full && full != -ENOSPC)
		return full;
	r = sync_menu(e, !full);
	if (r == 0 && !full)
		r = sync_loader(e);
	if (r == 0)
		r = remove_old(e, full ? is_replaced : is_unwanted);
	return r ? r : full;
}

int esp_sync(struct runner *run, const struct layout *layout, const struct esp_system *systems,
	     size_t n_systems, const char *path, struct diag *diag)
{
	struct esp e = { .run = run, .layout = layout, .systems = systems, .n_systems = n_systems,
			 .several = n_systems > 1, .path = path, .diag = diag,
			 .kernels = mem_alloc(n_systems * sizeof(*e.kernels)),
			 .has_none = mem_alloc(n_systems * sizeof(*e.has_none)) };
	int r;

	r = sync_all(&e);
	for (size_t i = 0; i < n_systems; i++)
		list_deinit(&e.kernels[i], &record_observed_kernel);
	for (size_t i = 0; i < e.n_wishes; i++) {
		free(e.wishes[i].entry);
		free(e.wishes[i].folder);
	}
	free(e.wishes);
	free(e.has_none);
	free(e.kernels);
	list_deinit(&e.before, &record_observed_kernel);
	return r;
}
