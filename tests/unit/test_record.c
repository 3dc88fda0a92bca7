/* SPDX-License-Identifier: MIT */
#include "daemon/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/record_fixture.h"
#include "tests/unit/suite.h"

#define BOOT RECORD_FIXTURE_BOOT
#define STEPS 4000
#define ENTRIES 3000 /* more than the file begins with */

static struct record *open_again(int fd, const char *boot_id, bool *ret_cleared)
{
	struct record *record = NULL;

	CU_ASSERT_EQUAL_FATAL(
		record_open_fd(fcntl(fd, F_DUPFD_CLOEXEC, 0), boot_id, ret_cleared, &record), 0);
	return record;
}

static uint32_t add(struct record *record, enum record_kind kind, uint64_t id)
{
	const union record_body body = {.session = {.id = id}};
	uint32_t slot = RECORD_NONE;

	CU_ASSERT_EQUAL_FATAL(record_add(record, kind, &body, &slot), 0);
	return slot;
}

static void entries_are_found_again(void)
{
	CLEANUP(fd_closep) int fd = record_fixture_file();
	struct record *record;
	uint32_t a, b;
	bool cleared;

	record = open_again(fd, BOOT, &cleared);
	CU_ASSERT_FALSE(cleared); /* there was nothing */
	a = add(record, RECORD_SESSION, 1);
	b = add(record, RECORD_SESSION, 2);
	(void)add(record, RECORD_OWNER, 3);
	record_drop(record, &a);
	CU_ASSERT_EQUAL(a, RECORD_NONE);
	record_drop(record, &a); /* does nothing */
	record_at(record, b)->session.owner = 77;
	record_close(record); /* as a kill would: nothing is written then */

	record = open_again(fd, BOOT, &cleared);
	CU_ASSERT_FALSE(cleared);
	CU_ASSERT_EQUAL(record_fixture_count(record, RECORD_SESSION), 1);
	CU_ASSERT_EQUAL(record_fixture_count(record, RECORD_OWNER), 1);
	CU_ASSERT_EQUAL(record_fixture_count(record, RECORD_DEVICE), 0);
	CU_ASSERT_EQUAL(record_next(record, RECORD_SESSION, RECORD_NONE), b);
	CU_ASSERT_EQUAL(record_at(record, b)->session.id, 2);
	CU_ASSERT_EQUAL(record_at(record, b)->session.owner, 77);
	record_close(record);
}

static void what_is_not_ours_is_cleared(void)
{
	static const struct {
		const char *name;
		const char *boot_id;
		off_t cut_to; /* 0: nothing is cut */
		off_t spoil_at; /* -1: nothing is spoiled */
		bool cleared;
	} cases[] = {
		{"as it was", BOOT, 0, -1, false},
		{"another boot", "5c4dd8c1-boot", 0, -1, true},
		{"a boot id that only begins alike", "5c4dd8c0-boo", 0, -1, true},
		{"another version", BOOT, 0, 0, true},
		{"cut within a slot", BOOT, 1000, -1, true},
		{"cut between slots", BOOT, 1024, -1, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(fd_closep) int fd = record_fixture_file();
		struct record *record;
		bool cleared;

		record = open_again(fd, BOOT, &cleared);
		(void)add(record, RECORD_SESSION, 9);
		record_close(record);
		if (cases[i].cut_to)
			CU_ASSERT_EQUAL(ftruncate(fd, cases[i].cut_to), 0);
		if (cases[i].spoil_at >= 0)
			CU_ASSERT_EQUAL(pwrite(fd, "x", 1, cases[i].spoil_at), 1);
		record = open_again(fd, cases[i].boot_id, &cleared);
		CHECK(cases[i].name, cleared == cases[i].cleared);
		CHECK(cases[i].name, record_fixture_count(record, RECORD_SESSION) == !cleared);
		(void)add(record, RECORD_SESSION, 10); /* and it works */
		record_close(record);
	}
}

static void one_daemon_at_a_time(void)
{
	char path[] = "/tmp/pinbroker-unit.XXXXXX";
	struct record *record, *other = NULL;
	bool cleared;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));

	CLEANUP(freep) char *file = NULL;

	CU_ASSERT_FATAL(asprintf(&file, "%s/record", path) > 0);
	CU_ASSERT_EQUAL_FATAL(record_open(file, BOOT, &cleared, &record), 0);
	CU_ASSERT_EQUAL(record_open(file, BOOT, &cleared, &other), -EWOULDBLOCK);
	record_close(record);
	CU_ASSERT_EQUAL_FATAL(record_open(file, BOOT, &cleared, &record), 0);
	record_close(record);
	CU_ASSERT_EQUAL(unlink(file), 0);
	CU_ASSERT_EQUAL(rmdir(path), 0);
}

static void files_of_others_are_refused(void)
{
	char dir[] = "/tmp/pinbroker-unit.XXXXXX";
	CLEANUP(freep) char *file = NULL, *other = NULL;
	struct record *record = NULL;
	bool cleared;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	CU_ASSERT_FATAL(asprintf(&file, "%s/record", dir) > 0);
	CU_ASSERT_FATAL(asprintf(&other, "%s/other", dir) > 0);
	CU_ASSERT_EQUAL(symlink("other", file), 0);
	CU_ASSERT_EQUAL(record_open(file, BOOT, &cleared, &record), -ELOOP);
	CU_ASSERT_EQUAL(unlink(file), 0);
	CU_ASSERT_EQUAL(record_open(other, BOOT, &cleared, &record), 0);
	record_close(record);
	CU_ASSERT_EQUAL(link(other, file), 0); /* it would be two records */
	CU_ASSERT_EQUAL(record_open(file, BOOT, &cleared, &record), -EPERM);
	CU_ASSERT_EQUAL(unlink(file), 0);
	CU_ASSERT_EQUAL(chmod(other, 0660), 0);
	CU_ASSERT_EQUAL(record_open(other, BOOT, &cleared, &record), -EPERM);
	CU_ASSERT_EQUAL(unlink(other), 0);
	CU_ASSERT_EQUAL(mkfifo(file, 0600), 0); /* opening it does not wait */
	CU_ASSERT_EQUAL(record_open(file, BOOT, &cleared, &record), -EPERM);
	CU_ASSERT_EQUAL(unlink(file), 0);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

struct directory_case {
	const char *name;
	mode_t mode;
	bool of_another; /* owned by a uid that is neither root's nor ours */
	int err;
};

static void check_directory(const struct directory_case *c, const char *dir, const char *file)
{
	struct record *record = NULL;
	bool cleared;

	if (c->of_another && geteuid() != 0) {
		suite_skip("only root can give a directory away");
		return;
	}
	CHECK(c->name, chown(dir, c->of_another ? 4321 : geteuid(), (gid_t)-1) == 0);
	CHECK(c->name, chmod(dir, c->mode) == 0);
	CHECK(c->name, record_open(file, BOOT, &cleared, &record) == c->err);
	CHECK(c->name,
	      (access(file, F_OK) == 0) == (c->err == 0)); /* looked at before it is made */
	record_close(record);
	CHECK(c->name, chown(dir, geteuid(), (gid_t)-1) == 0 && chmod(dir, 0700) == 0);
	CHECK(c->name, (unlink(file) == 0) == (c->err == 0));
}

static void directories_of_others_are_refused(void)
{
	static const struct directory_case cases[] = {
		{"ours alone", 0700, false, 0},
		{"others may look", 0755, false, 0},
		{"the group may write", 0770, false, -ENOTUNIQ},
		{"others may write", 0702, false, -ENOTUNIQ},
		{"the group may write, sticky", 01770, false, 0},
		{"all may write, sticky", 01777, false, 0},
		{"another's", 0755, true, -ENOTUNIQ},
		{"another's, sticky", 01777, true, -ENOTUNIQ},
	};
	char dir[] = "/tmp/pinbroker-unit.XXXXXX";
	CLEANUP(freep) char *file = NULL;
	struct record *record = NULL;
	bool cleared;

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	CU_ASSERT_FATAL(asprintf(&file, "%s/record", dir) > 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_directory(&cases[i], dir, file);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
	CU_ASSERT_EQUAL(record_open(file, BOOT, &cleared, &record), -ENOENT);
}

static void directory_is_what_is_before_the_name(void)
{
	static const struct {
		const char *path, *directory;
	} cases[] = {
		{"/run/pinbroker/socket.record", "/run/pinbroker"},
		{"/socket.record", "/"},
		{"socket.record", "."},
		{"sub/socket.record", "sub"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *directory = record_directory(cases[i].path);

		CHECK(cases[i].path, directory && strcmp(directory, cases[i].directory) == 0);
	}
}

/* Any order of additions and drops, read again after a restart, is what a model says. */
static void agrees_with_a_model(void)
{
	static uint32_t slots[ENTRIES]; /* RECORD_NONE: not there */
	uint64_t seed = suite_seed("record");
	CLEANUP(fd_closep) int fd = record_fixture_file();
	struct record *record;
	size_t n = 0, seen = 0;
	bool cleared;

	for (size_t i = 0; i < ENTRIES; i++)
		slots[i] = RECORD_NONE;
	record = open_again(fd, BOOT, &cleared);
	for (int step = 0; step < STEPS; step++) {
		size_t i = suite_random(&seed) % ENTRIES;

		if (slots[i] == RECORD_NONE) {
			slots[i] = add(record, RECORD_SESSION, i);
			n++;
		} else {
			record_drop(record, &slots[i]);
			n--;
		}
	}
	record_close(record);
	record = open_again(fd, BOOT, &cleared);
	for (uint32_t s = record_next(record, RECORD_SESSION, RECORD_NONE); s != RECORD_NONE;
	     s = record_next(record, RECORD_SESSION, s)) {
		CU_ASSERT_FATAL(record_at(record, s)->session.id < ENTRIES);
		CU_ASSERT_EQUAL(slots[record_at(record, s)->session.id], s);
		seen++;
	}
	CU_ASSERT_EQUAL(seen, n);
	record_close(record);
}

/* A limit on the file's size stands in for a full file system. */
static void full_file_system_loses_nothing(void)
{
	const union record_body body = {.session = {.id = 5}};
	struct rlimit limit, old;
	CLEANUP(fd_closep) int fd = record_fixture_file();
	uint32_t slot = RECORD_NONE, last;
	struct record *record;
	size_t n = 0;
	bool cleared;
	int err;

	record = open_again(fd, BOOT, &cleared);
	CU_ASSERT_FATAL(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = old;
	limit.rlim_cur = 300000;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	while ((err = record_add(record, RECORD_SESSION, &body, &slot)) == 0)
		n++;
	last = slot;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &old), 0);
	CU_ASSERT_FATAL(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	CU_ASSERT_TRUE(err == -EFBIG || err == -ENOSPC);
	CU_ASSERT_EQUAL(record_fixture_count(record, RECORD_SESSION), n);
	CU_ASSERT_EQUAL(slot, last); /* untouched by the failure */
	record_drop(record, &slot); /* makes room again */
	CU_ASSERT_EQUAL(record_add(record, RECORD_OWNER, &body, &slot), 0);
	record_close(record);
}

static const CU_TestInfo tests[] = {
	{"entries are found again, and only those", entries_are_found_again},
	{"what is not of this boot and version is cleared", what_is_not_ours_is_cleared},
	{"one daemon at a time", one_daemon_at_a_time},
	{"a file that others could have made is refused", files_of_others_are_refused},
	{"a directory that others could change is refused", directories_of_others_are_refused},
	{"the directory is what is before the name", directory_is_what_is_before_the_name},
	{"any order of additions and drops is kept", agrees_with_a_model},
	{"a full file system loses nothing", full_file_system_loses_nothing},
	CU_TEST_INFO_NULL,
};

const struct suite suite_record = {"record", tests};
