/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "test.h"

static void assert_content(const char *path, const char *text)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	assert_int_equal(file_read(path, &b), 0);
	assert_string_equal(b.data, text);
}

static ino_t inode(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_ino;
}

static size_t n_files(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	size_t n = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += *entry->d_name != '.';
	(void)closedir(dir);
	return n;
}

/* FIPS 180-4's own examples, and nothing at all. */
static void test_hash_vectors(void **state)
{
	static const struct {
		const char *text, *hash;
	} vectors[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	const char *path = test_path("vector");
	char hash[HASH_HEX_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		assert_int_equal(data_hash(vectors[i].text, strlen(vectors[i].text), hash), 0);
		assert_string_equal(hash, vectors[i].hash);
		test_write(path, vectors[i].text, strlen(vectors[i].text));
		assert_int_equal(file_hash(path, hash), 0);
		assert_string_equal(hash, vectors[i].hash);
	}
	assert_int_equal(file_hash("/nonexistent/file", hash), -ENOENT);
}

static void test_hash_of_a_part(void **state)
{
	const char *path = test_path("part");
	_cleanup_close_ int fd = -1;
	char hash[HASH_HEX_SIZE], abc[HASH_HEX_SIZE];

	(void)state;
	test_write(path, "xabcy", 5);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(lseek(fd, 1, SEEK_SET), 1);
	assert_int_equal(fd_hash(fd, 3, hash), 0);
	assert_int_equal(data_hash("abc", 3, abc), 0);
	assert_string_equal(hash, abc);
}

static void test_read(void **state)
{
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;
	const char *path = test_path("read");
	_cleanup_close_ int fd = -1;

	(void)state;
	assert_int_equal(file_read(path, &b), -ENOENT);
	assert_null(b.data);
	test_write(path, "", 0);
	assert_int_equal(file_read(path, &b), 0);
	assert_string_equal(b.data, "");
	test_write(path, "x\0y", 3);
	assert_int_equal(file_read(path, &b), 0); /* what was in `b` is freed */
	assert_int_equal(b.size, 3);
	assert_int_equal(file_read(test_folder(), &b), -EISDIR);
	assert_int_equal(b.size, 3);

	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, FILE_MAX + 1), 0);
	assert_int_equal(file_read(path, &b), -EFBIG);
	assert_int_equal(ftruncate(fd, FILE_MAX), 0);
	assert_int_equal(file_read(path, &b), 0);
	assert_int_equal(b.size, FILE_MAX);
}

static void test_read_line(void **state)
{
	const char *path = test_path("line");
	_cleanup_free_ char *missing = file_read_line(path), *line = NULL, *empty = NULL;

	(void)state;
	assert_null(missing);
	test_write(path, "one two \t\nthree\n", 16);
	line = file_read_line(path);
	assert_string_equal(line, "one two");
	test_write(path, "", 0);
	empty = file_read_line(path);
	assert_null(empty);
}

static void test_replace_makes_and_replaces(void **state)
{
	const char *path = test_path("a/b/file");
	struct stat st;

	(void)state;
	assert_int_equal(file_replace(path, "one\n", 0644, NULL), 0);
	assert_content(path, "one\n");
	assert_int_equal(file_replace(path, "two\n", 0600, NULL), 0);
	assert_content(path, "two\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(n_files(test_path("a/b")), 1);
}

/* The mode is what was asked for, whatever the umask says. */
static void test_replace_and_umask(void **state)
{
	const char *path = test_path("umask");
	mode_t before = umask(0077);
	struct stat st;
	int r = file_replace(path, "x", 0644, NULL);

	(void)state;
	(void)umask(before);
	assert_int_equal(r, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
}

static void test_replace_leaves_what_says_so_already(void **state)
{
	const char *path = test_path("same");
	_cleanup_close_ int kept = -1; /* so that no new file gets the same number */
	ino_t before;

	(void)state;
	assert_int_equal(file_replace(path, "same\n", 0644, NULL), 0);
	before = inode(path);
	assert_int_equal(file_replace(path, "same\n", 0644, NULL), 0);
	assert_int_equal(inode(path), before);
	assert_int_equal(file_replace(path, "same", 0644, NULL), 0);
	assert_content(path, "same");
	kept = open(path, O_RDONLY | O_CLOEXEC);
	before = inode(path);
	assert_int_equal(file_replace(path, "same", 0600, NULL), 0);
	assert_int_not_equal(inode(path), before);
}

/* An open file keeps the old content: it is never written into. */
static void test_replace_never_writes_in_place(void **state)
{
	const char *path = test_path("place");
	_cleanup_close_ int fd = -1;
	char text[4] = "";

	(void)state;
	assert_int_equal(file_replace(path, "old", 0644, NULL), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(file_replace(path, "new", 0644, NULL), 0);
	assert_int_equal(read(fd, text, 3), 3);
	assert_string_equal(text, "old");
}

/* A link is replaced, and not what it leads to. */
static void test_replace_of_a_link(void **state)
{
	const char *path = test_path("link"), *aim = test_path("aim");
	struct stat st;

	(void)state;
	test_write(aim, "aim", 3);
	assert_int_equal(symlink(aim, path), 0);
	assert_int_equal(file_replace(path, "aim", 0600, NULL), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_content(aim, "aim");
}

/* What a crash left aside does not stop the next run, and a link there is not followed. */
static void test_replace_over_what_a_crash_left(void **state)
{
	const char *path = test_path("torn"), *aside = test_path("torn.eyrie-new");
	const char *aim = test_path("untouched");
	_cleanup_diag_ struct diag diag = DIAG_NULL;

	(void)state;
	test_write(aside, "half of a much longer tex", 25);
	assert_int_equal(file_replace(path, "whole\n", 0644, NULL), 0);
	assert_content(path, "whole\n");
	assert_int_equal(access(aside, F_OK), -1);

	test_write(aim, "mine", 4);
	assert_int_equal(symlink(aim, aside), 0);
	assert_int_not_equal(file_replace(path, "other\n", 0644, &diag), 0);
	assert_content(aim, "mine");
	assert_content(path, "whole\n");
}

static void test_replace_fails_cleanly(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	const char *file = test_path("file"), *below = test_path("file/below");
	const char *folder = test_path("folder");

	(void)state;
	test_write(file, "x", 1);
	assert_int_equal(file_replace(below, "y", 0644, &diag), -ENOTDIR);
	assert_int_equal(diag.n_errors, 1);
	assert_content(file, "x");

	assert_int_equal(mkdir(folder, 0755), 0);
	assert_true(file_replace(folder, "y", 0644, &diag) < 0);
	assert_int_equal(access(test_path("folder.eyrie-new"), F_OK), -1);
	assert_non_null(strstr(diag.items[diag.n_items - 1].text, folder));
}

/* What another program wrote aside: the old file stays whole when there is none. */
static void test_publish(void **state)
{
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	const char *path = test_path("image"), *aside = test_path("image.new");

	(void)state;
	test_write(path, "old", 3);
	assert_int_equal(file_publish(aside, path, &diag), -ENOENT);
	assert_int_equal(diag.n_errors, 1);
	assert_content(path, "old");
	test_write(aside, "new", 3);
	assert_int_equal(file_publish(aside, path, NULL), 0);
	assert_content(path, "new");
	assert_int_equal(access(aside, F_OK), -1);
}

static void test_sync_all(void **state)
{
	(void)state;
	assert_int_equal(file_sync_all(test_folder()), 0);
	assert_int_equal(file_sync_all(test_path("nowhere")), -ENOENT);
	test_write(test_path("no-folder"), "x", 1);
	assert_int_equal(file_sync_all(test_path("no-folder")), -ENOTDIR);
}

static void test_folder_with_parents(void **state)
{
	const char *path = test_path("p/q/r");
	struct stat st;

	(void)state;
	assert_int_equal(file_make_folder(path, NULL), 0);
	assert_int_equal(file_make_folder(path, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(file_make_folder("/", NULL), 0);
}

static void test_fd_read_all_ends_early(void **state)
{
	const char *path = test_path("short");
	_cleanup_close_ int fd = -1;
	char data[4];

	(void)state;
	test_write(path, "abc", 3);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_read_all(fd, data, 3), 0);
	assert_memory_equal(data, "abc", 3);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fd_read_all(fd, data, 4), -EIO);
	assert_int_equal(fd_write_all(fd, "x", 1), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash_vectors),
		cmocka_unit_test(test_hash_of_a_part),
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_line),
		cmocka_unit_test(test_replace_makes_and_replaces),
		cmocka_unit_test(test_replace_and_umask),
		cmocka_unit_test(test_replace_leaves_what_says_so_already),
		cmocka_unit_test(test_replace_never_writes_in_place),
		cmocka_unit_test(test_replace_of_a_link),
		cmocka_unit_test(test_replace_over_what_a_crash_left),
		cmocka_unit_test(test_replace_fails_cleanly),
		cmocka_unit_test(test_publish),
		cmocka_unit_test(test_sync_all),
		cmocka_unit_test(test_folder_with_parents),
		cmocka_unit_test(test_fd_read_all_ends_early),
	};

	return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
