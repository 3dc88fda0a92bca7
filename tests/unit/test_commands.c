/* SPDX-License-Identifier: MIT */
/*
 * The pinbroker command as people run it, against a broker that does what it is told: what it asks
 * for, what it says and what it ends with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/stage.h"
#include "tests/unit/suite.h"

#define ID 0x1aU

static const struct proto_done done = {.id = ID, .state = PROTO_STATE_ACTIVE};
static const struct proto_refusal no_session = {.status = 66, .text = "no session 1a"};
static const struct proto_refusal not_yours = {
	.status = 77, .reason = "not-permitted", .text = "only its user may"};

static const struct proto_set set_two = {
	.id = ID,
	.keys = PROTO_SET_LIMIT | PROTO_SET_MAX_OBJECTS,
	.limit = 4ULL << 30,
	.max_objects = PROTO_UNLIMITED,
};
static const struct proto_close close_it = {.id = ID};
static const struct proto_revoke revoke_it = {.id = ID};
static const struct proto_revoke revoke_and_kill = {.id = ID, .flags = PROTO_REVOKE_KILL};
static const struct proto_attach attach_it = {.id = ID, .device = "0000:00:05.0"};

#define DONE GETS(done)

static void orders(void)
{
	static const struct stage_run runs[] = {
		{{"set", "1a", "limit=4G", "max-objects=unlimited"},
		 {ASKS(PROTO_SET, set_two), DONE},
		 0,
		 "",
		 ""},
		{{"close", "1A"}, {ASKS(PROTO_CLOSE, close_it), DONE}, 0, "", ""},
		{{"revoke", "1a"}, {ASKS(PROTO_REVOKE, revoke_it), DONE}, 0, "", ""},
		{{"revoke", "1a", "--kill"},
		 {ASKS(PROTO_REVOKE, revoke_and_kill), DONE},
		 0,
		 "",
		 ""},
		{{"revoke", "--kill", "1a"},
		 {ASKS(PROTO_REVOKE, revoke_and_kill), DONE},
		 0,
		 "",
		 ""},
		{{"close", "1a"},
		 {ASKS(PROTO_CLOSE, close_it), REFUSED(no_session)},
		 66,
		 "",
		 "pinbroker: no session 1a\n"},
		{{"set", "1a", "max-objects=unlimited", "limit=4096M"},
		 {ASKS(PROTO_SET, set_two), REFUSED(not_yours)},
		 77,
		 "",
		 "pinbroker: refused: not-permitted: only its user may\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		stage_run(&runs[i]);
}

/* {device:0}, its variable and a descriptor that is open; nothing of an enclosing run. */
static void adopt(void)
{
	CLEANUP(fd_closep) int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	struct proto_adopt body = {.id = ID, .process = {.pid = (uint32_t)getpid()}};
	struct stage_run run = {{"adopt", "1a", "PID"}, {ASKS(PROTO_ADOPT, body), DONE}, 0, "", ""};
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(fstat(pidfd, &st), 0);
	body.process.inode = st.st_ino;
	stage_run(&run);
}

static const char look[] =
	"[ $0 = $PINBROKER_DEVICE_0 ] && [ -e /proc/self/fd/$0 ] && echo $PINBROKER_SESSION"
	" ${PINBROKER_IOMMUFD-none} ${PINBROKER_DEVICE_1-none} && grep NoNewPrivs.*1 -o "
	"/proc/self/status | tr -d '[:space:]' && exit 7";

static void attach(void)
{
	static const struct stage_run runs[] = {
		{{"attach", "1a", "0000:00:05.0", "--", "sh", "-c", look, "{device:0}"},
		 {ASKS(PROTO_ATTACH, attach_it), DONE, .n_fds = 1},
		 7,
		 "1a none none\nNoNewPrivs:1",
		 ""},
		{{"attach", "1a", "0000:00:05.0"},
		 {ASKS(PROTO_ATTACH, attach_it), DONE, .n_fds = 1},
		 0,
		 "",
		 "warning: session 1a has device 0000:00:05.0 now, but nobody its descriptor"},
		{{"attach", "1a", "0000:00:05.0", "--", "/nowhere/cmd"},
		 {ASKS(PROTO_ATTACH, attach_it), DONE, .n_fds = 1},
		 127,
		 "",
		 "cannot run"},
		{{"attach", "1a", "0000:00:05.0", "--", "/"},
		 {ASKS(PROTO_ATTACH, attach_it), DONE, .n_fds = 1},
		 126,
		 "",
		 "cannot run"},
		{{"attach", "1a", "0000:00:05.0", "--", "true"},
		 {ASKS(PROTO_ATTACH, attach_it), REFUSED(no_session)},
		 66,
		 "",
		 "no session"},
	};

	(void)setenv("PINBROKER_IOMMUFD", "1", 1);
	(void)setenv("PINBROKER_DEVICE_1", "1", 1);
	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		stage_run(&runs[i]);
	(void)unsetenv("PINBROKER_IOMMUFD");
	(void)unsetenv("PINBROKER_DEVICE_1");
}

static void misuse(void)
{
	static const char *const lines[][STAGE_WORDS_MAX] = {
		{"set"},
		{"set", "1a"},
		{"set", "x", "limit=1"},
		{"set", "1a", "limit"},
		{"set", "1a", "limit=1", "limit=2"},
		{"set", "1a", "limit=unlimited"},
		{"set", "1a", "user-limit=1"},
		{"set", "1a", "max-mappings=1K"},
		{"attach"},
		{"attach", "1a"},
		{"attach", "1a", "/dev/null"},
		{"attach", "1a", "0000:00:05.0", "true", "x"},
		{"attach", "1a", "0000:00:05.0", "--"},
		{"attach", "1a", "0000:00:05.0", "--", "true", "{device:1}"},
		{"attach", "1a", "0000:00:05.0", "--", "true", "{iommufd}"},
		{"adopt", "1a"},
		{"adopt", "1a", "0"},
		{"adopt", "1a", "x"},
		{"adopt", "1a", "-1"},
		{"adopt", "1a", "4294967295"},
		{"adopt", "1a", "PID", "1"},
		{"close"},
		{"close", "1a", "2"},
		{"close", "1a", "--kill"},
		{"revoke"},
		{"revoke", "1a", "kill"},
		{"run", "--cgroup", "a/b", "--", "true"},
		{"run", "--cgroup", "..", "--", "true"},
		{"run", "--cgroup", "", "--", "true"},
		{"status", "1a"},
		{"host", "1a"},
		{"trace", "1a"},
		{"trace", "--session", "0"},
		{"trace", "--session", "vm"},
		{"top", "1a"},
		{"top", "--sort", "size"},
		{"top", "--delay", "0"},
		{"top", "-n", "0"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct stage_run run = {.status = 64, .out = "", .err = "pinbroker: "};

		memcpy(run.words, lines[i], sizeof(run.words));
		stage_run(&run);
	}
}

static const struct proto_status_ask status_ask = {.skip = 0};

static const struct {
	struct proto_status head;
	struct proto_share shares[2];
} status_page = {
	{.mem_total = 8ULL << 30,
	 .host_limit = PROTO_UNLIMITED,
	 .host_sum = 3ULL << 30,
	 .n_sessions = 2,
	 .lost_events = 0,
	 .recursion_misses = PROTO_UNKNOWN,
	 .trace_missing = 1ULL << PROTO_EVENT_MAP | 1ULL << PROTO_EVENT_CHARGE,
	 .pid = 42,
	 .n = 2,
	 .version = "0.1.0",
	 .kernel = "7.2.0",
	 .loop = "io_uring"},
	{{.uid = 1000,
	  .flags = PROTO_SHARE_POLICY,
	  .n_sessions = 1,
	  .max_sessions = 16,
	  .sum = 2ULL << 30,
	  .user_limit = PROTO_UNLIMITED,
	  .policy = "tenants"},
	 {.uid = 1001, .n_sessions = 1, .sum = 1ULL << 30, .policy = "gone"}},
};

static const char status_text[] = "broker: 0.1.0, pid 42, on io_uring\n"
				  "kernel: 7.2.0\n"
				  "gate: none\n"
				  "sessions: 2\n"
				  "memory: 8G\n"
				  "host: not limited; 3G granted to all sessions\n"
				  "lost-events: 0\n"
				  "recursion-misses: -\n"
				  "trace-missing: map, charge\n"
				  "\n"
				  " UID  POLICY   SESSIONS  MAX  SUM  USER-MODE  USER-LIMIT\n"
				  "1000  tenants         1   16   2G          0   unlimited\n"
				  "1001  gone            1    -   1G          0           -\n";

static const char status_json[] =
	"{\n  \"version\": \"0.1.0\",\n  \"kernel\": \"7.2.0\",\n  \"pid\": 42,\n"
	"  \"loop\": \"io_uring\",\n  \"gate\": \"none\",\n  \"gate_reason\": null,\n"
	"  \"sessions\": 2,\n  \"host_limit_bytes\": \"unlimited\",\n"
	"  \"host_sum_bytes\": 3221225472,\n  \"mem_total_bytes\": 8589934592,\n"
	"  \"lost_events\": 0,\n  \"recursion_misses\": null,\n"
	"  \"trace_missing\": [\n    \"map\",\n    \"charge\"\n  ],\n  \"users\": [\n"
	"    {\n      \"uid\": 1000,\n      \"policy\": \"tenants\",\n      \"sessions\": 1,\n"
	"      \"max_sessions\": 16,\n      \"sum_bytes\": 2147483648,\n"
	"      \"user_mode_sum_bytes\": 0,\n      \"user_limit_bytes\": \"unlimited\"\n    },\n"
	"    {\n      \"uid\": 1001,\n      \"policy\": \"gone\",\n      \"sessions\": 1,\n"
	"      \"max_sessions\": null,\n      \"sum_bytes\": 1073741824,\n"
	"      \"user_mode_sum_bytes\": 0,\n      \"user_limit_bytes\": null\n    }\n  ]\n}\n";

static void status(void)
{
#define PAGE GETS(status_page)
	static const struct stage_run runs[] = {
		{{"status"}, {ASKS(PROTO_STATUS, status_ask), PAGE}, 0, status_text, ""},
		{{"status", "--json"}, {ASKS(PROTO_STATUS, status_ask), PAGE}, 0, status_json, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		stage_run(&runs[i]);
}

static const struct proto_host_ask host_ask = {.skip = 0};

static const struct {
	struct proto_host head;
	struct proto_holding session;
	struct proto_holder holders[2];
	struct proto_holding payer, container, process, user, several, gone, cgroup;
	char path[8]; /* of the last one */
} host_page = {
	.head = {.held = 8192, .explained = 12288, .flags = PROTO_HOST_KERNEL, .n = 8},
	.session = {.session = ID,
		    .mapped = 1U << 30,
		    .pinned = 4096,
		    .mappings = 3,
		    .locked = PROTO_UNKNOWN,
		    .flags = PROTO_HOLDING_EXACT,
		    .accounting = PROTO_ACCOUNTING_TASK,
		    .n_holders = 3,
		    .n_told = 2},
	.holders = {{.pid = 7, .uid = 1000, .comm = "a\n\x1b"}, {.pid = 8, .comm = "b"}},
	/* One that has exited. */
	.payer = {.session = ID,
		  .mapped = 1U << 30,
		  .pinned = 4096,
		  .mappings = 3,
		  .locked = PROTO_UNKNOWN,
		  .cgroup = 77,
		  .kind = PROTO_HOLDING_PAYER,
		  .accounting = PROTO_ACCOUNTING_TASK,
		  .uid = 1000,
		  .pid = 9},
	.container = {.mapped = PROTO_UNKNOWN,
		      .pinned = PROTO_UNKNOWN,
		      .mappings = PROTO_UNKNOWN,
		      .locked = PROTO_UNKNOWN,
		      .kind = PROTO_HOLDING_CONTAINER},
	.process = {.mapped = PROTO_UNKNOWN,
		    .pinned = 4096,
		    .mappings = PROTO_UNKNOWN,
		    .locked = 0,
		    .kind = PROTO_HOLDING_PROCESS,
		    .uid = 1000,
		    .pid = 7,
		    .comm = "a\xff"},
	.user = {.mapped = 1U << 30,
		 .pinned = 8192,
		 .mappings = 3,
		 .locked = 4096,
		 .kind = PROTO_HOLDING_USER,
		 .uid = 1000},
	.several = {.mapped = 4096, .pinned = 0, .mappings = 1, .kind = PROTO_HOLDING_CGROUP},
	.gone = {.mapped = 8192,
		 .pinned = 4096,
		 .mappings = 2,
		 .cgroup = 78,
		 .kind = PROTO_HOLDING_CGROUP},
	.cgroup = {.mapped = 1U << 30,
		   .pinned = 4096,
		   .mappings = 3,
		   .cgroup = 77,
		   .cgroup_len = 8,
		   .kind = PROTO_HOLDING_CGROUP},
	.path = {'/', 'a', '.', 's', '/', 'b', '\n', '\xff'},
};

static const char host_text[] =
	"pinned: 8K\nexplained: 12K\nunexplained: -4K\n\n"
	"KIND       SESSION  PID   UID  COMMAND    MAPPED  PINNED  LOCKED  MAPPINGS\n"
	"context    1a         7  1000  a\\x0a\\x1b      1G      4K       -         3\n"
	"                      8     0  b                                          \n"
	"                               1 more                                     \n"
	"payer      1a         9  1000  -              1G      4K       -         3\n"
	"container  -          -     -  -               -       -       -         -\n"
	"process    -          7  1000  a\\xff           -      4K       0         -\n"
	"user       -          -  1000  -              1G      8K      4K         3\n"
	"\n"
	"CGROUP          MAPPED  PINNED  MAPPINGS\n"
	"several             4K       0         1\n"
	"inode 78            8K      4K         2\n"
	"/a.s/b\\x0a\\xff      1G      4K         3\n";

static const char host_json[] =
	"{\n  \"foll_pin_bytes\": 8192,\n  \"explained_bytes\": 12288,\n"
	"  \"unexplained_bytes\": -4096,\n  \"contexts\": [\n    {\n"
	"      \"session\": \"1a\",\n      \"accounting\": \"task\",\n"
	"      \"mapped_bytes\": 1073741824,\n      \"pinned_bytes\": 4096,\n"
	"      \"mappings\": 3,\n      \"exact\": true,\n      \"holders\": 3,\n"
	"      \"processes\": [\n        {\n          \"pid\": 7,\n          \"uid\": 1000,\n"
	"          \"comm\": \"a\\n\\u001B\"\n        },\n        {\n          \"pid\": 8,\n"
	"          \"uid\": 0,\n          \"comm\": \"b\"\n        }\n      ]\n    }\n  ],\n"
	"  \"payers\": [\n    {\n      \"session\": \"1a\",\n      \"pid\": 9,\n"
	"      \"uid\": 1000,\n      \"comm\": null,\n      \"accounting\": \"task\",\n"
	"      \"cgroup_inode\": 77,\n"
	"      \"mapped_bytes\": 1073741824,\n      \"pinned_bytes\": 4096,\n"
	"      \"mappings\": 3\n    }\n  ],\n"
	"  \"containers\": [\n    {\n      \"session\": null,\n      \"accounting\": null,\n"
	"      \"mapped_bytes\": null,\n      \"pinned_bytes\": null,\n"
	"      \"mappings\": null,\n      \"exact\": false,\n      \"holders\": 0,\n"
	"      \"processes\": []\n    }\n  ],\n  \"processes\": [\n    {\n"
	"      \"pid\": 7,\n      \"uid\": 1000,\n      \"comm\": \"a\\\\xff\",\n"
	"      \"pinned_bytes\": 4096,\n      \"locked_bytes\": 0\n    }\n  ],\n"
	"  \"users\": [\n    {\n      \"uid\": 1000,\n"
	"      \"mapped_bytes\": 1073741824,\n      \"pinned_bytes\": 8192,\n"
	"      \"mappings\": 3,\n      \"locked_bytes\": 4096\n    }\n"
	"  ],\n  \"cgroups\": [\n    {\n"
	"      \"cgroup\": null,\n      \"cgroup_inode\": null,\n"
	"      \"mapped_bytes\": 4096,\n      \"pinned_bytes\": 0,\n"
	"      \"mappings\": 1\n    },\n    {\n"
	"      \"cgroup\": null,\n      \"cgroup_inode\": 78,\n"
	"      \"mapped_bytes\": 8192,\n      \"pinned_bytes\": 4096,\n"
	"      \"mappings\": 2\n    },\n    {\n"
	"      \"cgroup\": \"/a.s/b\\n\\\\xff\",\n      \"cgroup_inode\": 77,\n"
	"      \"mapped_bytes\": 1073741824,\n      \"pinned_bytes\": 4096,\n"
	"      \"mappings\": 3\n    }\n"
	"  ]\n}\n";

static const struct proto_host host_unknown = {.held = PROTO_UNKNOWN, .explained = PROTO_UNKNOWN};

static const char host_unknown_text[] =
	"pinned: -\nexplained: -\nunexplained: -\n"
	"note: without the gate processes alone are known, from /proc\n\n"
	"KIND  SESSION  PID  UID  COMMAND  MAPPED  PINNED  LOCKED  MAPPINGS\n";

static const char host_unknown_json[] =
	"{\n  \"foll_pin_bytes\": null,\n  \"explained_bytes\": null,\n"
	"  \"unexplained_bytes\": null,\n  \"contexts\": null,\n  \"payers\": null,\n"
	"  \"containers\": null,\n"
	"  \"processes\": [],\n  \"users\": null,\n  \"cgroups\": null\n}\n";

static void host(void)
{
#define HOST GETS(host_page)
#define NONE GETS(host_unknown)
	static const struct stage_run runs[] = {
		{{"host"}, {ASKS(PROTO_HOST, host_ask), HOST}, 0, host_text, ""},
		{{"host", "--json"}, {ASKS(PROTO_HOST, host_ask), HOST}, 0, host_json, ""},
		{{"host"}, {ASKS(PROTO_HOST, host_ask), NONE}, 0, host_unknown_text, ""},
		{{"host", "--json"}, {ASKS(PROTO_HOST, host_ask), NONE}, 0, host_unknown_json, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		stage_run(&runs[i]);
}

static const CU_TestInfo tests[] = {
	{"set, close and revoke ask and say nothing", orders},
	{"adopt names the process", adopt},
	{"attach hands the descriptor to its command", attach},
	{"a wrong command line is found before the broker is asked", misuse},
	{"status for people and programs", status},
	{"host for people and programs", host},
	CU_TEST_INFO_NULL,
};

const struct suite suite_commands = {"commands", tests};
