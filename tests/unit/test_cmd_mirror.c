/* SPDX-License-Identifier: MIT */
/* What list, show, run and trace have to do with cgroups, as people run them. */
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/proto.h"
#include "tests/unit/stage.h"
#include "tests/unit/suite.h"

#define ID 0x1aU
#define PATH "/vms/ab\x1b" /* 8 bytes: no padding behind it */
#define NOTHING                                                 \
	{                                                       \
		.wanted = PROTO_UNKNOWN, .now = PROTO_UNLIMITED \
	}
#define MIB (1ULL << 20)

static const struct proto_mirror_ask mirror_ask = {.after = 0};
static const struct proto_list list_ask = {.after = 0};
static const struct proto_show show_ask = {.id = ID};
static const struct proto_refusal too_old = {
	.status = 77, .reason = "bad-request", .text = "this broker does not serve operation 14"};
static const struct proto_refusal too_fast = {
	.status = 77, .reason = "rate-limit", .text = "too many"};
static const struct proto_refusal no_session = {.status = 66, .text = "no session 1a"};

static const struct {
	struct proto_sessions head;
	struct proto_session one;
} sessions = {
	.head = {.n = 1},
	.one = {.id = ID,
		.limit = 1ULL << 30,
		.pinned = 4096,
		.pinned_peak = 8192,
		.mapped = 4096,
		.mappings = 1,
		.denied = 0,
		.max_mappings = PROTO_UNLIMITED,
		.uid = 1000,
		.pid = 7,
		.accounting = PROTO_ACCOUNTING_TASK,
		.state = PROTO_STATE_ACTIVE,
		.flags = PROTO_SESSION_EXACT,
		.name = "vm",
		.policy = "p"},
};

/* Of one more session than there is: it has ended meanwhile. */
static const struct {
	struct proto_mirrors head;
	struct proto_mirror one;
	char path[sizeof(PATH) - 1];
	struct proto_mirror other;
} mirrors = {
	.head = {.n = 2},
	.one = {.id = ID,
		.min = {.wanted = 640 * MIB, .now = 0},
		.max = {.wanted = 1600 * MIB, .now = PROTO_UNLIMITED},
		.huge = {{.wanted = 512 * MIB, .now = 512 * MIB}, NOTHING},
		.huge_size = {2 * MIB, 1024 * MIB},
		.oom_kills = 2,
		.written = 5,
		.mode = PROTO_MIRROR_BOTH,
		.by = PROTO_MIRROR_BY_SYSTEMD,
		.known = 1,
		.n_sessions = 2,
		.path_len = sizeof(PATH) - 1,
		.reason = "memory.min: no\xff"},
	.path = {'/', 'v', 'm', 's', '/', 'a', 'b', '\x1b'},
	.other = {.id = 0x1b},
};

static const struct proto_mirrors none = {.n = 0};

static const struct {
	struct proto_mirrors head;
	struct proto_mirror one;
} untold = {
	.head = {.n = 1},
	.one = {.id = ID,
		.min = NOTHING,
		.max = NOTHING,
		.oom_kills = PROTO_UNKNOWN,
		.mode = PROTO_MIRROR_TRACK},
};

#define ROW_HEAD "ID  NAME  POLICY   UID  PID  ACCT  LIMIT  PINNED  STATE   DEVICES"
#define ROW "1a  vm    p       1000    7  task     1G      4K  active  -"

static const char plain_table[] = ROW_HEAD "\n" ROW "\n";
static const char mirror_table[] = ROW_HEAD "  MIRROR\n" ROW "        both 640M/1.6G drift\n";
static const char untold_table[] = ROW_HEAD "  MIRROR\n" ROW "        track -\n";

#define LINES                                                                             \
	"id: 1a\nname: vm\npolicy: p\nuid: 1000\npid: 7\naccounting: task\nlimit: 1G\n"   \
	"pinned: 4K\npinned-peak: 8K\nmapped: 4K\nmappings: 1\nmax-mappings: unlimited\n" \
	"denied: 0\ncgroup: -\ndevices: -\nstate: active\nexact: yes\n"

static const char plain_lines[] = LINES "mirror: -\n";
static const char mirror_lines[] =
	LINES "mirror: both, by systemd\nmirror-cgroup: /vms/ab\\x1b\nmirror-sessions: 2\n"
	      "memory-min: 640M, now 0\nmemory-max: 1600M, now max\n"
	      "hugetlb-2M-max: 512M, now 512M\nhugetlb-1G-max: -, now max\n"
	      "oom-kills: 2\ndrift: yes\nmirror-reason: memory.min: no\\xff\n";
static const char untold_lines[] =
	LINES "mirror: track, by nobody\nmirror-cgroup: -\nmirror-sessions: 0\n"
	      "memory-min: -, now -\nmemory-max: -, now -\n"
	      "oom-kills: -\ndrift: no\nmirror-reason: -\n";

/* The members that every session has, with what stands before each line. */
#define MEMBERS(in)                                                                              \
	in "\"id\": \"1a\",\n" in "\"name\": \"vm\",\n" in "\"policy\": \"p\",\n" in             \
	   "\"uid\": 1000,\n" in "\"pid\": 7,\n" in "\"accounting\": \"task\",\n" in             \
	   "\"limit_bytes\": 1073741824,\n" in "\"pinned_bytes\": 4096,\n" in                    \
	   "\"pinned_peak_bytes\": 8192,\n" in "\"mapped_bytes\": 4096,\n" in                    \
	   "\"mappings\": 1,\n" in "\"max_mappings\": \"unlimited\",\n" in "\"denied\": 0,\n" in \
	   "\"cgroup\": null,\n" in "\"devices\": [],\n" in "\"state\": \"active\",\n" in        \
	   "\"exact\": true,\n"

static const char plain_json[] = "{\n" MEMBERS("  ") "  \"mirror\": null\n}\n";
static const char plain_array[] = "[\n  {\n" MEMBERS("    ") "    \"mirror\": null\n  }\n]\n";
static const char mirror_json[] = "{\n" MEMBERS(
	"  ") "  \"mirror\": {\n"
	      "    \"mode\": \"both\",\n    \"by\": \"systemd\",\n    \"cgroup\": "
	      "\"/vms/ab\\u001B\",\n"
	      "    \"memory_min_bytes\": 671088640,\n    \"memory_min_now_bytes\": 0,\n"
	      "    \"memory_max_bytes\": 1677721600,\n    \"memory_max_now_bytes\": \"max\",\n"
	      "    \"hugetlb\": [\n      {\n        \"size_bytes\": 2097152,\n"
	      "        \"max_bytes\": 536870912,\n        \"max_now_bytes\": 536870912\n      },\n"
	      "      {\n        \"size_bytes\": 1073741824,\n        \"max_bytes\": null,\n"
	      "        \"max_now_bytes\": \"max\"\n      }\n    ],\n"
	      "    \"oom_kills\": 2,\n    \"writes\": 5,\n    \"drift\": true,\n"
	      "    \"reason\": \"memory.min: no\\\\xff\"\n  }\n}\n";
static const char untold_json[] = "{\n" MEMBERS(
	"  ") "  \"mirror\": {\n"
	      "    \"mode\": \"track\",\n    \"by\": \"nobody\",\n    \"cgroup\": null,\n"
	      "    \"memory_min_bytes\": null,\n    \"memory_min_now_bytes\": null,\n"
	      "    \"memory_max_bytes\": null,\n    \"memory_max_now_bytes\": null,\n"
	      "    \"hugetlb\": [],\n    \"oom_kills\": null,\n    \"writes\": 0,\n    \"drift\": "
	      "false,\n"
	      "    \"reason\": null\n  }\n}\n";

#define MIRROR(answer)                                 \
	{                                              \
		ASKS(PROTO_MIRROR, mirror_ask), answer \
	}

static void list(void)
{
	static const struct stage_talk asks = {ASKS(PROTO_LIST, list_ask), GETS(sessions)};
	static const struct stage_run runs[] = {
		{{"list"}, MIRROR(GETS(mirrors)), 0, mirror_table, ""},
		{{"list"}, MIRROR(GETS(untold)), 0, untold_table, ""},
		{{"list"}, MIRROR(GETS(none)), 0, plain_table, ""},
		{{"list"}, MIRROR(REFUSED(too_old)), 0, plain_table, ""},
		{{"list", "--json"}, MIRROR(GETS(none)), 0, plain_array, ""},
		{{"list", "--json"}, MIRROR(REFUSED(too_old)), 0, plain_array, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		stage_run_then(&runs[i], &asks, 1);
}

static void show(void)
{
	static const struct stage_talk asks = {ASKS(PROTO_SHOW, show_ask), GETS(sessions)};
	static const struct stage_run runs[] = {
		{{"show", "1a"}, MIRROR(GETS(mirrors)), 0, mirror_lines, ""},
		{{"show", "1a"}, MIRROR(GETS(untold)), 0, untold_lines, ""},
		{{"show", "1a"}, MIRROR(REFUSED(too_old)), 0, plain_lines, ""},
		{{"show", "1a", "--json"}, MIRROR(GETS(mirrors)), 0, mirror_json, ""},
		{{"show", "1a", "--json"}, MIRROR(GETS(untold)), 0, untold_json, ""},
		{{"show", "1a", "--json"}, MIRROR(GETS(none)), 0, plain_json, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
		stage_run_then(&runs[i], &asks, 1);
}

static void other_refusals_end_them(void)
{
	static const struct stage_talk asks = {ASKS(PROTO_SHOW, show_ask), REFUSED(no_session)};
	static const struct stage_run missing = {
		{"show", "1a"}, MIRROR(GETS(none)), 66, "", "no session 1a"};
	static const struct stage_run refused = {
		{"list"}, MIRROR(REFUSED(too_fast)), 77, "", "refused: rate-limit: too many\n"};

	stage_run_then(&missing, &asks, 1);
	stage_run(&refused);
}

static const struct proto_open open_ask = {.flags = PROTO_OPEN_EXEC, .name = "sh"};
static const struct proto_grant grant = {
	.id = ID, .limit = 4096, .accounting = PROTO_ACCOUNTING_TASK, .name = "sh"};
static const struct proto_place place_ask = {.id = ID, .name = "vm-1"};
static const struct proto_placed placed = {.id = ID, .path = "/pinbroker.slice/vm-1"};
static const struct proto_refusal no_parent = {
	.status = 77, .reason = "not-permitted", .text = "no cgroup-parent"};
static const struct proto_close close_ask = {.id = ID};
static const struct proto_done closed = {.id = ID, .state = PROTO_STATE_REVOKED};

#define OPEN                                                        \
	{                                                           \
		ASKS(PROTO_OPEN, open_ask), GETS(grant), .n_fds = 1 \
	}

static void run_goes_in_before_exec(void)
{
	static const struct stage_talk asks = {ASKS(PROTO_PLACE, place_ask), GETS(placed)};
	static const struct stage_run run = {
		{"run", "--cgroup", "vm-1", "--", "sh", "-c", "echo in $PINBROKER_SESSION; exit 7"},
		OPEN,
		7,
		"in 1a\n",
		""};

	stage_run_then(&run, &asks, 1);
}

/* The session is given up, and the command is not run. */
static void run_does_not_go_without(void)
{
	static const struct stage_talk asks[] = {
		{ASKS(PROTO_PLACE, place_ask), REFUSED(no_parent)},
		{ASKS(PROTO_CLOSE, close_ask), GETS(closed)},
	};
	static const struct stage_run run = {
		{"run", "--cgroup", "vm-1", "--", "sh", "-c", "echo in"},
		OPEN,
		77,
		"",
		"pinbroker: refused: not-permitted: no cgroup-parent\n"};

	stage_run_then(&run, asks, ARRAY_SIZE(asks));
}

static const struct proto_trace trace_ask = {.id = 0};
static const struct proto_traced traced = {.kinds = (1ULL << PROTO_EVENT_KINDS) - 1};

#define EVENT(number, size, text)                                                                 \
	{                                                                                         \
		.id = ID, .ns = 1000000000, .took_ns = PROTO_UNKNOWN, .bytes = (size),            \
		.mappings = PROTO_UNKNOWN, .kind = (number), .uid = 1000, .name = "vm", .what = { \
			text                                                                      \
		}                                                                                 \
	}

static const struct {
	struct proto_events head;
	struct proto_event of[4];
} events = {
	.head = {.n = 4},
	.of = {EVENT(PROTO_EVENT_MIRROR, 640 * MIB, "memory.min"),
	       EVENT(PROTO_EVENT_MEMORY_MAX, 1600 * MIB, "12"),
	       EVENT(PROTO_EVENT_OOM_KILL, 1600 * MIB, "1"),
	       EVENT(PROTO_EVENT_PRESSURE, 1599 * MIB, "")},
};

static const char trace_text[] =
	"TIME            SESSION       EVENT          PID COMM               BYTES     TOOK "
	"DETAIL\n"
	"00:00:01.000000 1a            mirror           - -                   640M        - "
	"memory.min vm\n"
	"00:00:01.000000 1a            memory-max       - -                   1.6G        - "
	"12 times vm\n"
	"00:00:01.000000 1a            oom-kill         - -                   1.6G        - "
	"1 killed vm\n"
	"00:00:01.000000 1a            pressure         - -                   1.6G        - vm\n";

static void trace_tells_of_cgroups(void)
{
	static const struct stage_talk told = {.op = PROTO_TRACE,
					       .kind = PROTO_EVENTS,
					       .answer = &events,
					       .answer_len = sizeof(events)};
	static const struct stage_run run = {{"trace"},
					     {ASKS(PROTO_TRACE, trace_ask), GETS(traced)},
					     69,
					     trace_text,
					     "has ended"};

	(void)setenv("TZ", "UTC0", 1);
	stage_run_then(&run, &told, 1);
	(void)unsetenv("TZ");
}

static const CU_TestInfo tests[] = {
	{"list has what is mirrored where anything is", list},
	{"show has all of it", show},
	{"other refusals end them", other_refusals_end_them},
	{"run goes into its cgroup before it executes", run_goes_in_before_exec},
	{"run does not go without", run_does_not_go_without},
	{"trace tells of cgroups", trace_tells_of_cgroups},
	CU_TEST_INFO_NULL,
};

const struct suite suite_cmd_mirror = {"cmd_mirror", tests};
