/* SPDX-License-Identifier: MIT */
/*
 * In a directory of its own. What is foreign: as root, files given to another uid; as a user, its
 * own files read on behalf of another uid. Either way no test is skipped.
 */
#include "common/conffile.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define FOREIGN 54321
#define SECONDS_TO_HANG 10

struct scene {
	char dir[64];
	char conf[96]; /* DIR/etc/pinbroker.conf */
	char findings[4096]; /* lines of "name relative to DIR: text" */
	unsigned int n_findings;
	struct conffile_set set;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void scene_path(const struct scene *s, const char *name, char path[static PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%s", s->dir, name); /* fits */
}

static void scene_mkdir(const struct scene *s, const char *name, mode_t mode)
{
	char path[PATH_MAX];

	scene_path(s, name, path);
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0700), 0);
	CU_ASSERT_EQUAL_FATAL(chmod(path, mode), 0); /* not subject to the umask */
}

static void scene_write(const struct scene *s, const char *name, const char *bytes, size_t len,
			mode_t mode)
{
	CLEANUP(fd_closep) int fd = -1;
	char path[PATH_MAX];

	scene_path(s, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(write(fd, bytes, len), (ssize_t)len);
	CU_ASSERT_EQUAL_FATAL(fchmod(fd, mode), 0);
}

static void scene_text(const struct scene *s, const char *name, const char *text)
{
	scene_write(s, name, text, strlen(text), 0644);
}

static void scene_link(const struct scene *s, const char *target, const char *name)
{
	char path[PATH_MAX];

	scene_path(s, name, path);
	CU_ASSERT_EQUAL_FATAL(symlink(target, path), 0);
}

static void scene_init(struct scene *s)
{
	*s = (struct scene){.dir = "/tmp/pinbroker-conffile.XXXXXX"};
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(s->dir));
	(void)snprintf(s->conf, sizeof(s->conf), "%s/etc/pinbroker.conf", s->dir); /* fits */
	scene_mkdir(s, "etc", 0755);
}

static void scene_fini(struct scene *s)
{
	conffile_free(&s->set);
	CU_ASSERT_EQUAL(nftw(s->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void report(const char *file, const char *text, void *arg)
{
	struct scene *s = arg;
	size_t len = strlen(s->findings), dir_len = strlen(s->dir);

	if (!strncmp(file, s->dir, dir_len))
		file += dir_len + 1;
	(void)snprintf(s->findings + len, sizeof(s->findings) - len, "%s: %s\n", file,
		       text); /* may be cut off */
	s->n_findings++;
}

static int scene_read(struct scene *s)
{
	s->findings[0] = '\0';
	s->n_findings = 0;
	conffile_free(&s->set);
	return conffile_read(s->conf, geteuid(), report, s, &s->set);
}

static void expect(struct scene *s, int err, const char *finding)
{
	int found = scene_read(s);

	if (found != err || !strstr(s->findings, finding))
		fprintf(stderr, "\nexpected %d with %s\nfound %d with %s", err, finding, found,
			s->findings);
	CU_ASSERT_EQUAL(found, err);
	CU_ASSERT_PTR_NOT_NULL(strstr(s->findings, finding));
	CU_ASSERT_EQUAL(s->n_findings, err ? 1 : 0);
	CU_ASSERT_EQUAL(s->set.n > 0, err == 0);
}

static void test_one_file(void)
{
	CLEANUP(scene_fini) struct scene s;

	scene_init(&s);
	scene_text(&s, "etc/pinbroker.conf", "unmanaged = deny\n");
	expect(&s, 0, "");
	CU_ASSERT_EQUAL_FATAL(s.set.n, 1);
	CU_ASSERT_STRING_EQUAL(s.set.files[0].name, s.conf);
	CU_ASSERT_STRING_EQUAL(s.set.files[0].bytes, "unmanaged = deny\n");
	CU_ASSERT_EQUAL(s.set.files[0].len, 17);
}

static void test_bytes(void)
{
	CLEANUP(scene_fini) struct scene s;

	scene_init(&s);
	scene_write(&s, "etc/pinbroker.conf", "a\0b", 3, 0600);
	expect(&s, 0, "");
	CU_ASSERT_EQUAL_FATAL(s.set.files[0].len, 3);
	CU_ASSERT_EQUAL(memcmp(s.set.files[0].bytes, "a\0b", 4), 0); /* and NUL behind it */
	scene_write(&s, "etc/pinbroker.conf", "", 0, 0600);
	expect(&s, 0, "");
	CU_ASSERT_EQUAL(s.set.files[0].len, 0);
	CU_ASSERT_EQUAL(s.set.files[0].bytes[0], '\0');
}

static void test_dropins(void)
{
	static const char *const order[] = {"10-a.conf", "9.conf", "B.conf", "a.conf"};
	CLEANUP(scene_fini) struct scene s;
	char name[PATH_MAX];
	size_t i;

	scene_init(&s);
	scene_text(&s, "etc/pinbroker.conf", "main");
	scene_mkdir(&s, "etc/policy.d", 0755);
	expect(&s, 0, "");
	CU_ASSERT_EQUAL(s.set.n, 1);
	for (i = ARRAY_SIZE(order); i-- > 0;) {
		(void)snprintf(name, sizeof(name), "etc/policy.d/%s", order[i]); /* fits */
		scene_text(&s, name, order[i]);
	}
	scene_text(&s, "etc/policy.d/a.conf~", "backup");
	scene_text(&s, "etc/policy.d/.c.conf", "hidden");
	scene_text(&s, "etc/policy.d/README", "other");
	scene_text(&s, "etc/policy.d/xconf", "other");
	scene_link(&s, "nowhere", "etc/policy.d/.#a.conf"); /* a lock of Emacs */
	expect(&s, 0, "");
	CU_ASSERT_EQUAL_FATAL(s.set.n, 1 + ARRAY_SIZE(order));
	CU_ASSERT_STRING_EQUAL(s.set.files[0].bytes, "main");
	for (i = 0; i < ARRAY_SIZE(order); i++) {
		(void)snprintf(name, sizeof(name), "%s/etc/policy.d/%s", s.dir, order[i]);
		CU_ASSERT_STRING_EQUAL(s.set.files[1 + i].bytes, order[i]);
		CU_ASSERT_STRING_EQUAL(s.set.files[1 + i].name, name);
	}
}

static void test_relative(void)
{
	CLEANUP(scene_fini) struct scene s;
	CLEANUP(fd_closep) int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct conffile_set set = {0};
	char etc[PATH_MAX];

	scene_init(&s);
	scene_text(&s, "etc/pinbroker.conf", "main");
	scene_mkdir(&s, "etc/policy.d", 0755);
	scene_text(&s, "etc/policy.d/a.conf", "a");
	scene_path(&s, "etc", etc);
	CU_ASSERT_EQUAL_FATAL(chdir(etc), 0);
	CU_ASSERT_EQUAL(conffile_read("pinbroker.conf", geteuid(), report, &s, &set), 0);
	CU_ASSERT_EQUAL_FATAL(fchdir(before), 0);
	CU_ASSERT_EQUAL_FATAL(set.n, 2);
	CU_ASSERT_STRING_EQUAL(set.files[0].name, "pinbroker.conf");
	CU_ASSERT_STRING_EQUAL(set.files[1].name, "policy.d/a.conf");
	conffile_free(&set);
	CU_ASSERT_EQUAL(set.n, 0);
}

static void test_missing(void)
{
	CLEANUP(scene_fini) struct scene s;

	scene_init(&s);
	expect(&s, -ENOENT, "etc/pinbroker.conf: cannot be opened: No such file");
	(void)snprintf(s.conf, sizeof(s.conf), "%s/nowhere/a.conf", s.dir); /* fits */
	expect(&s, -ENOENT, "nowhere/a.conf: cannot be opened: No such file");
}

/* What nobody can write by its mode, but is not root's or the caller's. */
static void test_foreign(void)
{
	CLEANUP(scene_fini) struct scene s;
	struct conffile_set set = {0};
	int err;

	scene_init(&s);
	scene_text(&s, "etc/pinbroker.conf", "main");
	if (geteuid() == 0)
		CU_ASSERT_EQUAL_FATAL(chown(s.conf, FOREIGN, (gid_t)-1), 0);
	err = conffile_read(s.conf, geteuid() ? geteuid() + 1 : 0, report, &s, &set);
	CU_ASSERT_EQUAL(err, -EPERM);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.findings, "belongs to uid"));
	CU_ASSERT_PTR_NULL(set.files);
	if (geteuid() == 0) { /* what --check by that uid accepts */
		CU_ASSERT_EQUAL(conffile_read(s.conf, FOREIGN, report, &s, &set), 0);
		conffile_free(&set);
	}
}

static void test_modes(void)
{
	static const struct {
		mode_t mode;
		bool refused;
	} cases[] = {
		{0600, false}, {0644, false}, {0444, false}, {0755, false},
		{0664, true},  {0620, true},  {0646, true},  {0602, true},
	};
	CLEANUP(scene_fini) struct scene s;
	size_t i;

	scene_init(&s);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		scene_write(&s, "etc/pinbroker.conf", "main", 4, 0600);
		CU_ASSERT_EQUAL_FATAL(chmod(s.conf, cases[i].mode), 0);
		if (cases[i].refused)
			expect(&s, -EPERM, "etc/pinbroker.conf: may be written by others (mode 06");
		else
			expect(&s, 0, "");
		CU_ASSERT_EQUAL_FATAL(chmod(s.conf, 0600), 0);
	}
}

static void test_directories(void)
{
	CLEANUP(scene_fini) struct scene s;
	char etc[PATH_MAX], dropins[PATH_MAX];

	scene_init(&s);
	scene_path(&s, "etc", etc);
	scene_path(&s, "etc/policy.d", dropins);
	scene_text(&s, "etc/pinbroker.conf", "main");
	scene_mkdir(&s, "etc/policy.d", 0755);
	scene_text(&s, "etc/policy.d/a.conf", "a");
	CU_ASSERT_EQUAL_FATAL(chmod(etc, 0777), 0);
	expect(&s, -EPERM, "etc: is a directory that others may write (mode 0777)");
	CU_ASSERT_EQUAL_FATAL(chmod(etc, 0775), 0);
	expect(&s, -EPERM, "etc: is a directory that others may write (mode 0775)");
	CU_ASSERT_EQUAL_FATAL(chmod(etc, 01777), 0); /* sticky, as /tmp */
	expect(&s, 0, "");
	CU_ASSERT_EQUAL_FATAL(chmod(etc, 0755), 0);
	CU_ASSERT_EQUAL_FATAL(chmod(dropins, 0770), 0);
	expect(&s, -EPERM, "etc/policy.d: is a directory that others may write (mode 0770)");
	CU_ASSERT_EQUAL_FATAL(chmod(dropins, 0755), 0);
	if (geteuid())
		return;
	CU_ASSERT_EQUAL_FATAL(chown(dropins, FOREIGN, (gid_t)-1), 0);
	expect(&s, -EPERM, "etc/policy.d: belongs to uid 54321, not to root");
	CU_ASSERT_EQUAL_FATAL(chown(dropins, 0, (gid_t)-1), 0);
	CU_ASSERT_EQUAL_FATAL(chown(etc, FOREIGN, (gid_t)-1), 0);
	expect(&s, -EPERM, "etc: belongs to uid 54321, not to root");
}

static void test_kinds(void)
{
	CLEANUP(scene_fini) struct scene s;
	CLEANUP(fd_closep) int sock = -1;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[PATH_MAX];

	scene_init(&s);
	CU_ASSERT_EQUAL_FATAL(mkfifo(s.conf, 0600), 0);
	unsigned int left = alarm(
		SECONDS_TO_HANG); /* the default action ends the test run: that is a failure */
	expect(&s, -EINVAL, "etc/pinbroker.conf: is not a regular file");
	(void)alarm(left); /* that of the whole run */
	CU_ASSERT_EQUAL_FATAL(unlink(s.conf), 0);
	CU_ASSERT_EQUAL_FATAL(mkdir(s.conf, 0700), 0);
	expect(&s, -EINVAL, "etc/pinbroker.conf: is not a regular file");
	CU_ASSERT_EQUAL_FATAL(rmdir(s.conf), 0);
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", s.conf); /* fits */
	CU_ASSERT_EQUAL_FATAL(bind(sock, (const struct sockaddr *)&address, sizeof(address)), 0);
	expect(&s, -ENXIO, "etc/pinbroker.conf: cannot be opened");
	CU_ASSERT_EQUAL_FATAL(unlink(s.conf), 0);
	scene_text(&s, "etc/pinbroker.conf", "main");
	scene_text(&s, "etc/policy.d", "a file");
	expect(&s, -ENOTDIR, "etc/policy.d: cannot be opened: Not a directory");
	scene_path(&s, "etc/policy.d", path);
	CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
	scene_mkdir(&s, "etc/policy.d", 0755);
	scene_mkdir(&s, "etc/policy.d/a.conf", 0755);
	expect(&s, -EINVAL, "etc/policy.d/a.conf: is not a regular file");
}

static void test_links(void)
{
	CLEANUP(scene_fini) struct scene s;
	char path[PATH_MAX];

	scene_init(&s);
	scene_mkdir(&s, "store", 0755);
	scene_text(&s, "store/conf", "stored");
	scene_link(&s, "../store/conf", "etc/pinbroker.conf");
	scene_link(&s, "../store", "etc/policy.d");
	scene_link(&s, "conf", "store/linked.conf");
	expect(&s, 0, "");
	CU_ASSERT_EQUAL_FATAL(s.set.n, 2);
	CU_ASSERT_STRING_EQUAL(s.set.files[0].bytes, "stored");
	CU_ASSERT_STRING_EQUAL(s.set.files[1].bytes, "stored");
	scene_path(&s, "etc/policy.d", path);
	CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
	/* Others could put another of the owner's files where the link points. */
	scene_path(&s, "store", path);
	CU_ASSERT_EQUAL_FATAL(chmod(path, 0777), 0);
	expect(&s, -EPERM, "../store: is a directory that others may write");
	CU_ASSERT_EQUAL_FATAL(chmod(path, 0755), 0);
	scene_path(&s, "store/conf", path);
	CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
	expect(&s, -ENOENT, "etc/pinbroker.conf: cannot be opened: No such file");
	CU_ASSERT_EQUAL_FATAL(unlink(s.conf), 0);
	scene_link(&s, "pinbroker.conf", "etc/pinbroker.conf");
	expect(&s, -ELOOP, "etc/pinbroker.conf: cannot be opened: Too many levels");
}

static void test_dangling(void)
{
	CLEANUP(scene_fini) struct scene s;
	char path[PATH_MAX];

	scene_init(&s);
	scene_text(&s, "etc/pinbroker.conf", "main");
	scene_link(&s, "nowhere/policy.d", "etc/policy.d");
	expect(&s, -ENOENT, "etc/policy.d: cannot be opened: No such file");
	scene_path(&s, "etc/policy.d", path);
	CU_ASSERT_EQUAL_FATAL(unlink(path), 0);
	scene_mkdir(&s, "etc/policy.d", 0755);
	scene_link(&s, "nowhere", "etc/policy.d/a.conf"); /* as one that vanished under us */
	expect(&s, -ENOENT, "etc/policy.d/a.conf: cannot be opened: No such file");
}

static void test_sizes(void)
{
	CLEANUP(scene_fini) struct scene s;
	CLEANUP(freep) char *bytes = calloc(1, (1 << 20) + 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
	scene_init(&s);
	scene_write(&s, "etc/pinbroker.conf", bytes, 1 << 20, 0600);
	expect(&s, 0, "");
	CU_ASSERT_EQUAL(s.set.files[0].len, 1 << 20);
	scene_write(&s, "etc/pinbroker.conf", bytes, (1 << 20) + 1, 0600);
	expect(&s, -EFBIG, "etc/pinbroker.conf: is larger than 1 MiB");
}

static void test_too_many(void)
{
	CLEANUP(scene_fini) struct scene s;
	char name[64];
	int i;

	scene_init(&s);
	scene_text(&s, "etc/pinbroker.conf", "main");
	scene_mkdir(&s, "etc/policy.d", 0755);
	for (i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "etc/policy.d/%d.conf", i); /* fits */
		scene_text(&s, name, "");
	}
	expect(&s, 0, "");
	CU_ASSERT_EQUAL(s.set.n, 1001);
	scene_text(&s, "etc/policy.d/more.conf", "");
	expect(&s, -E2BIG, "etc/policy.d: holds 1001 drop-ins, more than 1000");
}

static void test_all_findings(void)
{
	CLEANUP(scene_fini) struct scene s;

	scene_init(&s);
	scene_write(&s, "etc/pinbroker.conf", "", 0, 0666);
	scene_mkdir(&s, "etc/policy.d", 0755);
	scene_write(&s, "etc/policy.d/a.conf", "", 0, 0666);
	scene_link(&s, "nowhere", "etc/policy.d/b.conf");
	scene_text(&s, "etc/policy.d/c.conf", "");
	CU_ASSERT_EQUAL(scene_read(&s), -EPERM);
	CU_ASSERT_EQUAL(s.n_findings, 3);
	CU_ASSERT_PTR_NOT_NULL(strstr(s.findings, "etc/pinbroker.conf: may be"));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.findings, "policy.d/a.conf: may be"));
	CU_ASSERT_PTR_NOT_NULL(strstr(s.findings, "policy.d/b.conf: cannot"));
	CU_ASSERT_PTR_NULL(s.set.files);
}

static size_t open_fds(void)
{
	CLEANUP(dir_closep) DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	while (dir && readdir(dir))
		n++;
	return n;
}

static void test_fds(void)
{
	size_t before = open_fds();

	test_dropins();
	test_links();
	test_kinds();
	test_too_many();
	CU_ASSERT_EQUAL(open_fds(), before);
}

static const CU_TestInfo tests[] = {
	{"one file is read as it is", test_one_file},
	{"any bytes, and none", test_bytes},
	{"drop-ins follow in strcmp order, others are left alone", test_dropins},
	{"a relative path has its drop-ins beside it", test_relative},
	{"a missing configuration is named", test_missing},
	{"a file of another user is refused", test_foreign},
	{"a file that others may write is refused", test_modes},
	{"a directory in which others may replace it is refused", test_directories},
	{"only regular files, and nothing hangs", test_kinds},
	{"links are followed, and checked like paths", test_links},
	{"a dangling link is an error", test_dangling},
	{"at most 1 MiB", test_sizes},
	{"at most 1,000 drop-ins", test_too_many},
	{"every finding is reported", test_all_findings},
	{"no fd stays open", test_fds},
	CU_TEST_INFO_NULL,
};

const struct suite suite_conffile = {"conffile", tests};
