/* SPDX-License-Identifier: MIT */
/* libvirt's hook, but for what it asks the broker: see tests/integration/libvirt_*.sh for that. */
#include "client/hook.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/domain.h"
#include "client/domain_xml.h"
#include "client/hook_filter.h"
#include "client/libvirt_session.h"
#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define UUID "11dbdcdd-4c3b-482b-8903-9bdb8c0a2774"
#define ID 0x660c87f48dc00U

/* A directory for a test; @path of its own. */
static void dir_make(char path[static 32])
{
	(void)strcpy(path, "/tmp/pinbroker-unit.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
}

static void file_write(const char *dir, const char *name, const char *text)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	CU_ASSERT_TRUE(fputs(text, file) >= 0);
	CU_ASSERT_EQUAL(fclose(file), 0);
}

static void file_remove(const char *dir, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void session_is_remembered(void)
{
	uint64_t id = 0;
	char base[32], dir[64];
	struct stat st;

	dir_make(base);
	(void)snprintf(dir, sizeof(dir), "%s/libvirt", base);
	CU_ASSERT_EQUAL(hook_state_read(dir, UUID, &id), -ENOENT);
	CU_ASSERT_EQUAL(hook_state_remove(dir, UUID), 0);
	CU_ASSERT_EQUAL(hook_state_write(dir, UUID, ID), 0);
	CU_ASSERT_EQUAL(hook_state_write(dir, UUID, ID + 1), 0);
	CU_ASSERT_EQUAL(stat(dir, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0700);
	CU_ASSERT_EQUAL(hook_state_read(dir, UUID, &id), 0);
	CU_ASSERT_EQUAL(id, ID + 1);
	/* Whoever may write there could have another's session given up. */
	CU_ASSERT_EQUAL(chmod(dir, 0777), 0);
	CU_ASSERT_EQUAL(hook_state_read(dir, UUID, &id), -EPERM);
	CU_ASSERT_EQUAL(hook_state_write(dir, UUID, ID), -EPERM);
	CU_ASSERT_EQUAL(chmod(dir, 0700), 0);
	CU_ASSERT_EQUAL(hook_state_remove(dir, UUID), 0);
	CU_ASSERT_EQUAL(hook_state_read(dir, UUID, &id), -ENOENT);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
	CU_ASSERT_EQUAL(rmdir(base), 0);
}

static void what_is_no_session_is_none(void)
{
	static const char *const texts[] = {"", "x\n", "12", "0\n", "12 \n", "12\nx"};
	static const char *const names[] = {"", "../../etc/passwd", UUID "0",
					    "11dbdcdd-4c3b-482b-8903-9bdb8c0a277/"};
	char dir[32];
	uint64_t id = 7;

	dir_make(dir);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		file_write(dir, UUID, texts[i]);
		CHECK(texts[i], hook_state_read(dir, UUID, &id) == -EBADMSG);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		CHECK(names[i], hook_state_read(dir, names[i], &id) == -EINVAL);
		CHECK(names[i], hook_state_write(dir, names[i], ID) == -EINVAL);
		CHECK(names[i], hook_state_remove(dir, names[i]) == -EINVAL);
	}
	CU_ASSERT_EQUAL(id, 7);
	file_remove(dir, UUID);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static void process_is_found(void)
{
	static const struct {
		const char *text;
		int err;
	} cases[] =
		{
			{"", -EBADMSG},      {"x", -EBADMSG},   {"1", -EBADMSG},
			{"-5", -EBADMSG},    {"12x", -EBADMSG}, {"99999999999", -EBADMSG},
			{"4194305", -ESRCH}, /* above every kernel's pid_max */
		};
	CLEANUP(fd_closep) int pidfd = -1;
	char dir[32], text[32];

	dir_make(dir);
	CU_ASSERT_EQUAL(hook_pidfd(dir, "vm", &pidfd), -ENOENT);
	CU_ASSERT_EQUAL(hook_pidfd(dir, "../vm", &pidfd), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		file_write(dir, "vm.pid", cases[i].text);
		CHECK(cases[i].text, hook_pidfd(dir, "vm", &pidfd) == cases[i].err);
	}
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	file_write(dir, "vm.pid", text);
	CU_ASSERT_EQUAL(hook_pidfd(dir, "vm", &pidfd), 0);
	CU_ASSERT_TRUE(pidfd >= 0);
	file_remove(dir, "vm.pid");
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

/* A process that has a file locked. */
static pid_t locker_start(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int ready[2], fd;
	char c = '\0';
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	CU_ASSERT_TRUE_FATAL(pid >= 0);
	if (pid == 0) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	CU_ASSERT_EQUAL(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	return pid;
}

/* As libvirt keeps them: the one that runs, by either name, and no other process by its pid. */
static void session_daemon_is_found(void)
{
	CLEANUP(fd_closep) int pidfd = -1;
	char base[32], dir[64], path[PATH_MAX], text[32];
	int status = 0;
	pid_t pid;

	dir_make(base);
	(void)snprintf(dir, sizeof(dir), "%s/libvirt", base);
	CU_ASSERT_EQUAL_FATAL(mkdir(dir, 0700), 0);
	CU_ASSERT_EQUAL(setenv("XDG_RUNTIME_DIR", base, 1), 0);
	CU_ASSERT_EQUAL(libvirt_session_pidfd(&pidfd), -ESRCH);
	(void)snprintf(text, sizeof(text), "%d\n", (int)getpid());
	file_write(dir, "virtqemud.pid", text); /* of one that has exited */
	file_write(dir, "libvirtd.pid", text);
	CU_ASSERT_EQUAL(libvirt_session_pidfd(&pidfd), -ESRCH);
	CU_ASSERT_EQUAL(libvirt_session_dir("/libvirtd.pid", path), 0);
	pid = locker_start(path);
	CU_ASSERT_EQUAL(libvirt_session_pidfd(&pidfd), 0);
	CU_ASSERT_EQUAL(syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0), 0);
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(WIFSIGNALED(status));
	CU_ASSERT_EQUAL(libvirt_session_dir("/qemu/run", path), 0);
	CU_ASSERT_EQUAL(strncmp(path, dir, strlen(dir)), 0);
	CU_ASSERT_STRING_EQUAL(path + strlen(dir), "/qemu/run");
	CU_ASSERT_EQUAL(unsetenv("XDG_RUNTIME_DIR"), 0);
	CU_ASSERT_EQUAL(setenv("HOME", "/home/x", 1), 0);
	CU_ASSERT_EQUAL(libvirt_session_dir("", path), 0);
	CU_ASSERT_STRING_EQUAL(path, "/home/x/.cache/libvirt");
	CU_ASSERT_EQUAL(unsetenv("HOME"), 0);
	CU_ASSERT_EQUAL(libvirt_session_dir("", path), -ENOENT);
	file_remove(dir, "virtqemud.pid");
	file_remove(dir, "libvirtd.pid");
	CU_ASSERT_EQUAL(rmdir(dir), 0);
	CU_ASSERT_EQUAL(rmdir(base), 0);
}

static void user_is_that_of_qemu_conf(void)
{
	static const struct {
		const char *conf, *user;
	} cases[] = {
		{"user = \"alice\"\n", "alice"},
		{"# user = \"root\"\n#user = \"x\"\n\tuser='+107' # here\ngroup = \"kvm\"\n",
		 "+107"},
		{"user_agent = \"x\"\nuser=\"bob\"", "bob"},
		{"user = \"first\"\nuser = \"second\"\n", "first"},
	};
	static const char *const none[] = {"", "user\n", "user = alice\n", "user = \"ali\nce\"\n",
					   "users = \"x\"\n"};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *user = NULL;

		CHECK(cases[i].conf, hook_qemu_user(cases[i].conf, &user) == 0);
		CHECK(cases[i].conf, user && strcmp(user, cases[i].user) == 0);
	}
	/* Who it is then depends on the distribution. */
	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		CLEANUP(freep) char *user = NULL, *other = NULL;
		int err = hook_qemu_user(none[i], &user);

		CHECK(none[i], err == hook_qemu_user(NULL, &other) && (!err || err == -ENOENT));
		CHECK(none[i], err || strcmp(user, other) == 0);
	}
}

#define DOMAIN(name, inside)                                                        \
	"<domain type='qemu'><name>" name "</name><uuid>" UUID "</uuid>"            \
	"<memory unit='MiB'>128</memory><iommufd enabled='yes'/><devices>"          \
	"<hostdev mode='subsystem' type='pci' managed='yes'><source>"               \
	"<address domain='0' bus='0x65' slot='0' function='1'/></source></hostdev>" \
	"</devices>" inside "</domain>"
#define LABEL(text) \
	"<seclabel type='static' model='dac' relabel='yes'><label>" text "</label></seclabel>"

static struct domain *domain_of(const char *bytes)
{
	struct domain *domain = NULL;
	struct domain_fault fault;

	CU_ASSERT_EQUAL_FATAL(domain_parse(bytes, strlen(bytes), &domain, &fault), 0);
	return domain;
}

static void request_is_the_domains(void)
{
	CLEANUP(hook_request_fini) struct hook_request request = {.cgroup = NULL};
	CLEANUP(freep)
	struct domain *domain = domain_of(
		DOMAIN("d\xc3\xa4mon 1/x", LABEL("+4001:+4002") "<resource><partition>/machine/db"
								"</partition></resource>"));

	CU_ASSERT_EQUAL_FATAL(hook_request(domain, &request), 0);
	CU_ASSERT_STRING_EQUAL(request.request.name, "d__mon_1_x");
	CU_ASSERT_STRING_EQUAL(request.subject.domain, "d\xc3\xa4mon 1/x");
	CU_ASSERT_STRING_EQUAL(request.subject.cgroup, "/machine.slice/machine-db.slice");
	CU_ASSERT_EQUAL(request.subject.uid, 4001);
	CU_ASSERT_EQUAL(request.subject.n_gids, 1);
	CU_ASSERT_EQUAL(request.subject.gids[0], 4002);
	CU_ASSERT_EQUAL(request.request.memory, 128U << 20);
	CU_ASSERT_FALSE(request.request.viommu);
	CU_ASSERT_EQUAL_FATAL(request.request.n_devices, 1);
	CU_ASSERT_STRING_EQUAL(request.request.devices[0], "0000:65:00.1");
}

static void user_has_its_groups(void)
{
	CLEANUP(hook_request_fini) struct hook_request request = {.cgroup = NULL};
	CLEANUP(freep) struct domain *domain = domain_of(DOMAIN("vm", LABEL("daemon:daemon")));

	CU_ASSERT_EQUAL_FATAL(hook_request(domain, &request), 0);
	CU_ASSERT_EQUAL(request.subject.uid, 1);
	CU_ASSERT_TRUE(request.subject.n_gids >= 1 && request.subject.gids[0] == 1);
}

static void filter_caps_what_is_queued(void)
{
	static const struct {
		const char *xml;
		uint64_t buffers;
		const char *contains; /* NULL: nothing is written */
	} cases[] = {
		{DOMAIN("vm", ""), PINBROKER_UNLIMITED, NULL},
		{DOMAIN("vm", ""), 5,
		 "<qemu:commandline><qemu:arg value=\"-global\"/><qemu:arg value=\""
		 "vfio-pci.x-migration-max-queued-buffers-size=5\"/></qemu:commandline></domain>"},
		/* Last, as it is the last one that counts. */
		{DOMAIN("vm", "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
			      "<q:arg value='-S'/></q:commandline>"),
		 7,
		 "<q:arg value=\"-S\"/><q:arg value=\"-global\"/><q:arg value=\""
		 "vfio-pci.x-migration-max-queued-buffers-size=7\"/></q:commandline></domain>"},
		/* Of another host, or of this one before: once is enough. */
		{DOMAIN("vm", "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
			      "<q:arg value='-global'/><q:arg value='"
			      "vfio-pci.x-migration-max-queued-buffers-size=7'/>"
			      "<q:arg value='-global'/><q:arg value='vfio-pci.x-no-mmap=on'/>"
			      "<q:arg value='-global'/><q:arg value='"
			      "vfio-pci.x-migration-max-queued-buffers-size=8'/></q:commandline>"),
		 9,
		 "1.0\"><q:arg value=\"-global\"/><q:arg value=\"vfio-pci.x-no-mmap=on\"/>"
		 "<q:arg value=\"-global\"/><q:arg value=\""
		 "vfio-pci.x-migration-max-queued-buffers-size=9\"/></q:commandline></domain>"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *text = NULL;
		struct domain_fault fault;
		struct domain *domain = NULL;
		size_t len;
		FILE *out = open_memstream(&text, &len);

		CU_ASSERT_PTR_NOT_NULL_FATAL(out);
		CU_ASSERT_EQUAL(
			hook_filter(cases[i].xml, strlen(cases[i].xml), cases[i].buffers, out), 0);
		CU_ASSERT_EQUAL(fclose(out), 0);
		CHECK(cases[i].xml,
		      cases[i].contains ? strstr(text, cases[i].contains) != NULL : len == 0);
		if (len) /* it is a domain still */
			CHECK(cases[i].xml, domain_parse(text, len, &domain, &fault) == 0);
		free(domain);
	}
}

static const CU_TestInfo tests[] = {
	{"the session of a domain is remembered", session_is_remembered},
	{"what is no session is none", what_is_no_session_is_none},
	{"the process is the one whose pid is written down", process_is_found},
	{"a user's own libvirt daemon is found", session_daemon_is_found},
	{"the user is that of qemu.conf", user_is_that_of_qemu_conf},
	{"the request is the domain's", request_is_the_domains},
	{"a user that has a name has its groups", user_has_its_groups},
	{"the filter caps what is queued", filter_caps_what_is_queued},
	CU_TEST_INFO_NULL,
};

const struct suite suite_hook = {"hook", tests};
