/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The steps that make a member of a blank disk, on loop devices: killed at random moments, and
 * begun again from what observing finds, as a second run of eyrie would.
 *
 * What is beyond a kernel without device-mapper, vfat and ZFS (opening, the pool, reading back
 * an ESP) is left to the tests in a VM. Partitions are told to the kernel by hand: it may not
 * read tables itself.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "apply/internal.h"
#include "base/file.h"
#include "loop.h"

#define N_RUNS 12

static struct layout *layout, *whole, *lent; /* `layout` is one of the two */
static struct runner runner;
static struct secret *passphrase;
static const char *nodes[3]; /* left, right, and one that the layout does not name */
static const char *images[3];
static const char *fast; /* a disk of somebody's: partitions 2 and 3 are lent */
static char *labels[2];

/* No udev makes links here. */
static void lend(void)
{
	_cleanup_free_ char *text = NULL;

	fast = loop_new("fast.img", 600 * MIB);
	assert_int_equal(run(&runner, &(struct command){
				 .argv = (const char *const[]){ "sfdisk", "--no-reread",
								"--no-tell-kernel", "--quiet", fast, NULL },
				 .input = "label: gpt\nsize=16MiB, name=theirs\nsize=264MiB, name=one\n"
					  "size=264MiB, name=two\n" }, NULL), 0);
	assert_true(loop_scan(fast));
	assert_int_equal(file_make_folder(LAYOUT_BY_PARTLABEL, NULL), 0);
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *node = str_printf("%sp%d", fast, i + 2);

		labels[i] = str_printf(LAYOUT_BY_PARTLABEL "eyrie-test-%d-%d", (int)getpid(), i);
		assert_int_equal(symlink(node, labels[i]), 0);
	}
	text = str_printf(TEST_HEAD "disks:\n  left: { path: %s }\n  right: { path: %s }\n"
			  "  one: { path: %s }\n  two: { path: %s }\n" TEST_POOL
			  "    - log: [one, two]\n" TEST_DATASETS "boot: { esp-size: 256MiB }\n"
			  "encryption: { kdf: { type: pbkdf2, iterations: 1000 } }\n",
			  nodes[0], nodes[1], labels[0], labels[1]);
	lent = test_layout(text);
}

static int setup(void **state)
{
	_cleanup_free_ char *text = NULL;

	(void)state;
	runner_init(&runner);
	passphrase = secret_new();
	memcpy(passphrase->data, "falcon", 6);
	passphrase->size = 6;
	images[0] = test_path("left.img");
	images[1] = test_path("right.img");
	images[2] = test_path("stranger.img");
	nodes[0] = loop_new("left.img", 640 * MIB);
	nodes[1] = loop_new("right.img", 640 * MIB);
	nodes[2] = loop_new("stranger.img", 64 * MIB);
	text = str_printf(TEST_HEAD "disks:\n  left: { path: %s }\n  right: { path: %s }\n" TEST_POOL
			  TEST_DATASETS "boot: { esp-size: 256MiB }\nencryption: { kdf: "
			  "{ type: pbkdf2, iterations: 1000 } }\n", nodes[0], nodes[1]);
	layout = whole = test_layout(text);
	lend();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	whole = layout_free(whole);
	lent = layout_free(lent);
	for (int i = 0; i < 2; i++) {
		(void)unlink(labels[i]);
		free(labels[i]);
	}
	passphrase = secret_free(passphrase);
	return 0;
}

/* Can be carried out here, of what a plan for blank disks has. */
static bool can_do(const struct step *step)
{
	return step->kind == STEP_WIPE || step->kind == STEP_TABLE ||
	       step->kind == STEP_LUKS_FORMAT ||
	       (step->kind == STEP_SETTLE && strstr(step->object, "member"));
}

static struct plan *make_plan(const struct strv *wipe, bool quiet)
{
	const struct plan_options options = { .wipe = wipe, .target = "/mnt/eyrie" };
	_cleanup_(observed_freep) struct observed *have = mem_alloc(sizeof(*have));
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct plan *plan = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		(void)loop_scan(nodes[i]);
		(void)observe_disk(nodes[i], list_add(&have->disks, &record_observed_disk), NULL);
	}
	(void)observe_disk(fast, list_add(&have->disks, &record_observed_disk), NULL);
	FOR_EACH_DISK(want, layout)
	{
		_cleanup_free_ char *node = realpath(want->path, NULL);

		observed_name(have, node, want->path);
	}
	if (plan_make(layout, have, &options, &plan, &diag) && !quiet)
		fail_msg("%s", diag.n_items ? diag.items[0].text : "refused");
	return plan;
}

/* Whatever of the plan can be done here; the exit status of a run. */
static int work(const struct strv *wipe)
{
	_cleanup_(plan_freep) struct plan *plan = make_plan(wipe, true);
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct apply_context cxt = { .layout = layout, .target = "/mnt/eyrie", .run = &runner,
				     .passphrase = passphrase, .diag = &diag };

	if (!plan)
		return 2;
	if (kdf_prepare(&cxt))
		return 3;
	FOR_EACH_ITEM(struct step, step, &plan->steps)
	{
		static int (*const steps[])(struct apply_context *, const struct step *) = {
			[STEP_WIPE] = apply_WIPE,
			[STEP_TABLE] = apply_TABLE,
			[STEP_LUKS_FORMAT] = apply_LUKS_FORMAT,
			[STEP_SETTLE] = apply_SETTLE,
		};

		if (!can_do(step))
			continue;
		if (steps[step->kind](&cxt, step)) {
			fprintf(stderr, "# %s: %s\n", step->text,
				diag.n_items ? diag.items[diag.n_items - 1].text : "?");
			return 1;
		}
		if (step->kind == STEP_TABLE)
			(void)loop_scan(layout_disk(layout, step->disk)->path);
	}
	return 0;
}

static int work_and_wait(const struct strv *wipe)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(work(wipe));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void work_and_kill(const struct strv *wipe, unsigned microseconds)
{
	pid_t pid = fork();

	if (pid == 0) {
		(void)setpgid(0, 0);
		_exit(work(wipe));
	}
	(void)setpgid(pid, pid);
	(void)usleep(microseconds);
	(void)kill(-pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static unsigned random_up_to(unsigned n)
{
	unsigned value = 0;

	(void)!getrandom(&value, sizeof(value), 0);
	return value % n;
}

static void make_blank(void)
{
	for (size_t i = 0; i < 2; i++) {
		_cleanup_close_ int fd = open(nodes[i], O_RDWR | O_CLOEXEC);
		static char zeros[4 * MIB];

		assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
		assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 256 * MIB), sizeof(zeros));
		assert_int_equal(pwrite(fd, zeros, MIB, (640 - 1) * MIB), MIB);
		assert_int_equal(fsync(fd), 0);
		(void)run_words(&runner, NULL, "partx", "--delete", nodes[i], NULL);
	}
}

/* Both members are there, read back, and open with the passphrase; nothing is left to do here. */
static void expect_done(const struct strv *wipe)
{
	_cleanup_(plan_freep) struct plan *plan = make_plan(wipe, false);

	FOR_EACH_ITEM(struct step, step, &plan->steps)
		if (can_do(step))
			fail_msg("still to do: %s", step->text);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *node = str_printf("%sp2", nodes[i]);
		const char *const argv[] = { "cryptsetup", "open", "--test-passphrase",
					     "--key-file=-", node, NULL };
		_cleanup_diag_ struct diag diag = DIAG_NULL;

		if (run(&runner, &(struct command){ .argv = argv, .secret = passphrase }, &diag))
			fail_msg("%s", diag.items[0].text);
	}
}

/* What is on it beside the two partitions that are lent. */
static char *fast_text(void)
{
	_cleanup_free_ char *area = mem_alloc(MIB);
	_cleanup_close_ int fd = open(fast, O_RDONLY | O_CLOEXEC);
	char hash[HASH_HEX_SIZE];
	_cleanup_strbuf_ struct strbuf b = STRBUF_NULL;

	for (off_t at = 0; at < (off_t)(600 * MIB); at += (off_t)MIB) {
		if (at >= (off_t)(17 * MIB) && at < (off_t)(545 * MIB))
			continue;
		assert_int_equal(pread(fd, area, MIB, at), MIB);
		(void)data_hash(area, MIB, hash);
		strbuf_printf(&b, "%s ", hash);
	}
	return strbuf_take(&b);
}

static void blank_lent(void)
{
	static char zeros[MIB];

	for (int i = 0; i < 2; i++) {
		_cleanup_close_ int fd = open(labels[i], O_RDWR | O_CLOEXEC);

		assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
		assert_int_equal(fsync(fd), 0);
	}
}

static void expect_lent_opens(void)
{
	for (int i = 0; i < 2; i++) {
		const char *const argv[] = { "cryptsetup", "open", "--test-passphrase",
					     "--key-file=-", labels[i], NULL };

		assert_int_equal(run(&runner, &(struct command){ .argv = argv, .secret = passphrase },
				     NULL), 0);
	}
}

/*
 * Members on partitions of somebody's disk: what a kill leaves there is ours or blank, or asks to be
 * given up; nothing else of that disk is written.
 */
static void test_killed_in_partitions(void **state)
{
	_cleanup_strv_ struct strv wipe = STRV_NULL;
	_cleanup_free_ char *before = fast_text();

	(void)state;
	layout = lent;
	strv_add_all(&wipe, "one", "two", NULL);
	for (int i = 0; i < N_RUNS; i++) {
		_cleanup_(plan_freep) struct plan *plan = NULL;
		_cleanup_free_ char *after = NULL;
		bool torn;

		make_blank();
		blank_lent();
		for (unsigned kills = i ? 1 + random_up_to(4) : 0; kills; kills--) {
			_cleanup_(plan_freep) struct plan *now = make_plan(NULL, false);

			if (!plan_count_consents_missing(now))
				work_and_kill(NULL, random_up_to(600000));
		}
		plan = make_plan(NULL, false);
		torn = plan_count_consents_missing(plan);
		assert_int_equal(work_and_wait(torn ? &wipe : NULL), 0);
		expect_done(NULL);
		expect_lent_opens();
		after = fast_text();
		assert_string_equal(before, after);
	}
	layout = whole;
}

/* What somebody put there since it was planned, or has open, is not written over. */
static void test_taken_partition_is_not_written(void **state)
{
	_cleanup_free_ char *node = realpath(labels[0], NULL), *before = NULL, *after = NULL;
	const struct step format = { .kind = STEP_LUKS_FORMAT, .disk = (char *)"one",
				     .object = (char *)"eyrie-member-one" };
	const struct step wipe = { .kind = STEP_WIPE, .disk = (char *)"one", .object = node };
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct apply_context cxt = { .layout = lent, .run = &runner, .passphrase = passphrase,
				     .diag = &diag };
	int fd;

	(void)state;
	blank_lent();
	assert_int_equal(kdf_prepare(&cxt), 0);
	assert_int_equal(run_words(&runner, NULL, "mkfs.ext4", "-qF", node, NULL), 0);
	before = test_hash(node);
	assert_int_equal(apply_LUKS_FORMAT(&cxt, &format), -ENODEV);
	fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(apply_WIPE(&cxt, &wipe), -EBUSY);
	after = test_hash(node);
	assert_string_equal(before, after);

	(void)close(fd);
	assert_int_equal(apply_WIPE(&cxt, &wipe), 0);
	assert_int_equal(apply_LUKS_FORMAT(&cxt, &format), 0);
	assert_int_equal(apply_LUKS_FORMAT(&cxt, &format), -EEXIST);
	blank_lent();
}

/* Done without an interruption, and how long that takes. */
static void test_uninterrupted(void **state)
{
	(void)state;
	make_blank();
	assert_int_equal(work_and_wait(NULL), 0);
	expect_done(NULL);
	assert_int_equal(work_and_wait(NULL), 0);
	expect_done(NULL);
}

static void test_killed_and_begun_again(void **state)
{
	_cleanup_free_ char *stranger = test_hash(nodes[2]), *after = NULL;

	(void)state;
	for (int i = 0; i < N_RUNS; i++) {
		make_blank();
		for (unsigned kills = 1 + random_up_to(4); kills; kills--)
			work_and_kill(NULL, random_up_to(400000));
		assert_int_equal(work_and_wait(NULL), 0);
		expect_done(NULL);
	}
	after = test_hash(nodes[2]);
	assert_string_equal(stranger, after);
}

/*
 * Over something of others, with consent: at every moment it is known to need that, or is blank,
 * or is ours.
 */
static void test_killed_while_wiping(void **state)
{
	_cleanup_strv_ struct strv wipe = STRV_NULL, none = STRV_NULL;

	(void)state;
	strv_add(&wipe, "left");
	for (int i = 0; i < N_RUNS; i++) {
		_cleanup_(plan_freep) struct plan *plan = NULL;

		make_blank();
		assert_int_equal(run(&runner, &(struct command){
					 .argv = (const char *const[]){ "sfdisk", "--no-reread",
									"--no-tell-kernel", "--quiet",
									nodes[0], NULL },
					 .input = "label: gpt\nsize=300MiB, name=Windows\n" }, NULL), 0);
		(void)loop_scan(nodes[0]);
		plan = make_plan(&none, false);
		assert_int_equal(plan_count_consents_missing(plan), 1);
		work_and_kill(&wipe, random_up_to(150000));
		assert_int_equal(work_and_wait(&wipe), 0);
		expect_done(&none);
	}
}

static enum luks_state state_of(const char *node, char **ret_label)
{
	struct observed_luks luks = {};

	observe_luks(node, &luks);
	*ret_label = take_ptr(luks.label);
	free(luks.uuid);
	free(luks.subsystem);
	return luks.state;
}

/* The label of a member is the old one or the new one; its header can always be read. */
static void test_killed_while_marking(void **state)
{
	const struct step filled = { .kind = STEP_LUKS_FILLED, .disk = (char *)"left",
				     .object = (char *)"falcon-left" };
	const struct step fresh = { .kind = STEP_LUKS_FILLED, .disk = (char *)"left",
				    .object = (char *)"eyrie-new-left" };
	_cleanup_free_ char *node = str_printf("%sp2", nodes[0]);

	(void)state;
	make_blank();
	assert_int_equal(work_and_wait(NULL), 0);
	for (int i = 0; i < 2 * N_RUNS; i++) {
		_cleanup_diag_ struct diag diag = DIAG_NULL;
		struct apply_context cxt = { .layout = layout, .run = &runner, .diag = &diag };
		_cleanup_free_ char *label = NULL, *after = NULL;
		enum luks_state is;
		pid_t pid = fork();

		if (pid == 0) {
			(void)apply_LUKS_FILLED(&cxt, &filled);
			_exit(0);
		}
		(void)usleep(random_up_to(60000));
		(void)kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		is = state_of(node, &label);
		assert_true(is == LUKS_WHOLE || is == LUKS_PRIMARY_DAMAGED ||
			    is == LUKS_SECONDARY_DAMAGED);
		assert_true(streq(label, "eyrie-new-left") || streq(label, "falcon-left"));

		assert_int_equal(apply_LUKS_FILLED(&cxt, &filled), 0);
		assert_int_equal(state_of(node, &after), LUKS_WHOLE);
		assert_string_equal(after, "falcon-left");
		assert_int_equal(apply_LUKS_FILLED(&cxt, &fresh), 0);
	}
}

/* What is not marked new is never made again, not even when it is asked for. */
static void test_settled_is_not_made_again(void **state)
{
	const struct step format = { .kind = STEP_LUKS_FORMAT, .disk = (char *)"left",
				     .object = (char *)"eyrie-member-left" };
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct apply_context cxt = { .layout = layout, .run = &runner, .passphrase = passphrase,
				     .diag = &diag };
	_cleanup_free_ char *before = NULL, *after = NULL;

	(void)state;
	make_blank();
	assert_int_equal(work_and_wait(NULL), 0);
	before = test_hash(nodes[0]);
	assert_int_equal(kdf_prepare(&cxt), 0);
	assert_int_equal(apply_LUKS_FORMAT(&cxt, &format), -EEXIST);
	after = test_hash(nodes[0]);
	assert_string_equal(before, after);
}

/* Somebody has it: nothing is written. */
static void test_held_is_not_written(void **state)
{
	const struct step wipe = { .kind = STEP_WIPE, .disk = (char *)"left",
				   .object = (char *)nodes[0] };
	const struct step table = { .kind = STEP_TABLE, .disk = (char *)"left",
				    .object = (char *)nodes[0] };
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct apply_context cxt = { .layout = layout, .run = &runner, .diag = &diag };
	_cleanup_free_ char *before = NULL, *after = NULL, *last = NULL;
	int fd;

	(void)state;
	make_blank();
	before = test_hash(nodes[0]);
	fd = open(nodes[0], O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(apply_WIPE(&cxt, &wipe), -EBUSY);
	after = test_hash(nodes[0]);
	assert_string_equal(before, after);
	assert_int_equal(apply_TABLE(&cxt, &table), -EBUSY);
	(void)close(fd);
	last = test_hash(nodes[0]);
	assert_string_equal(before, last);
}

/* The same for a partition that is marked new. */
static void test_held_member_is_not_written(void **state)
{
	const struct step table = { .kind = STEP_TABLE, .disk = (char *)"left",
				    .object = (char *)nodes[0] };
	const struct step format = { .kind = STEP_LUKS_FORMAT, .disk = (char *)"left",
				     .object = (char *)"eyrie-member-left" };
	_cleanup_diag_ struct diag diag = DIAG_NULL;
	struct apply_context cxt = { .layout = layout, .run = &runner, .passphrase = passphrase,
				     .diag = &diag };
	_cleanup_free_ char *node = str_printf("%sp2", nodes[0]), *before = NULL, *after = NULL;
	int fd;

	(void)state;
	make_blank();
	assert_int_equal(kdf_prepare(&cxt), 0);
	assert_int_equal(apply_TABLE(&cxt, &table), 0);
	(void)loop_scan(nodes[0]);
	before = test_hash(node);
	fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(apply_LUKS_FORMAT(&cxt, &format) < 0);
	(void)close(fd);
	after = test_hash(node);
	assert_string_equal(before, after);
	assert_int_equal(apply_LUKS_FORMAT(&cxt, &format), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uninterrupted),
		cmocka_unit_test(test_killed_and_begun_again),
		cmocka_unit_test(test_killed_while_wiping),
		cmocka_unit_test(test_killed_while_marking),
		cmocka_unit_test(test_settled_is_not_made_again),
		cmocka_unit_test(test_held_is_not_written),
		cmocka_unit_test(test_held_member_is_not_written),
		cmocka_unit_test(test_killed_in_partitions),
		cmocka_unit_test(test_taken_partition_is_not_written),
	};

	if (!loops_work())
		return 0;
	return cmocka_run_group_tests_name("apply", tests, setup, teardown);
}
