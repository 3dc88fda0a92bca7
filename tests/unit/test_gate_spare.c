/* SPDX-License-Identifier: MIT */
/* bpf/gate_spare.c, without a kernel that has a gate: names, and descriptors that are no spares. */
#include "bpf/gate_spare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define TEN "0123456789"

static const struct name {
	const char *text;
	int err;
	uint32_t gate, generation;
	const char *object;
} names[] = {
	{"17/gate_control", 0, 17, 0, "gate_control"},
	{"17/3/gate_ioctl", 0, 17, 3, "gate_ioctl"},
	{"4294967295/4294967295/x2", 0, UINT32_MAX, UINT32_MAX, "x2"},
	{"1/abcdefghijklmnopqrstuvwxyz_" TEN TEN TEN, -EINVAL, 0, 0, NULL},
	{"", -EINVAL, 0, 0, NULL},
	{"gate_control", -EINVAL, 0, 0, NULL},
	{"17", -EINVAL, 0, 0, NULL},
	{"17/", -EINVAL, 0, 0, NULL},
	{"17/3", -EINVAL, 0, 0, NULL},
	{"17/3/", -EINVAL, 0, 0, NULL},
	{"17//gate_ioctl", -EINVAL, 0, 0, NULL},
	{"17/3/4/gate_ioctl", -EINVAL, 0, 0, NULL},
	{"/17/gate_control", -EINVAL, 0, 0, NULL},
	{"0/gate_control", -EINVAL, 0, 0, NULL},
	{"17/0/gate_ioctl", -EINVAL, 0, 0, NULL},
	{"017/gate_control", -EINVAL, 0, 0, NULL},
	{"-1/gate_control", -EINVAL, 0, 0, NULL},
	{" 1/gate_control", -EINVAL, 0, 0, NULL},
	{"4294967296/gate_control", -EINVAL, 0, 0, NULL},
	{"18446744073709551633/gate_control", -EINVAL, 0, 0, NULL},
	{"17/..", -EINVAL, 0, 0, NULL},
	{"17/../gate_control", -EINVAL, 0, 0, NULL},
	{"17/3/../gate_control", -EINVAL, 0, 0, NULL},
	{"17/gate_control/", -EINVAL, 0, 0, NULL},
	{"17/gate_control\n", -EINVAL, 0, 0, NULL},
	{"17/Gate", -EINVAL, 0, 0, NULL},
	{"17/3gate", -EINVAL, 0, 0, NULL},
};

static void a_name_says_gate_generation_and_object(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct gate_spare_name name = {.gate = 99};
		int err = gate_spare_parse(names[i].text, &name);

		CHECK(names[i].text, err == names[i].err);
		if (names[i].err) {
			CHECK(names[i].text, name.gate == 99);
			continue;
		}
		CHECK(names[i].text, name.gate == names[i].gate);
		CHECK(names[i].text, name.generation == names[i].generation);
		CHECK(names[i].text, strcmp(name.object, names[i].object) == 0);
	}
}

/* It is not on bpffs: nothing is tried, and nothing is said to be wrong. */
static void without_bpffs_nothing_is_tried(void)
{
	char dir[] = "/tmp/pinbroker-spare-XXXXXX";
	struct gate_spare spare = {.name = "17/gate_control", .fd = STDERR_FILENO};

	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
	CU_ASSERT_EQUAL(gate_spare_restore(dir, &spare, 1), -EMEDIUMTYPE);
	CU_ASSERT_EQUAL(spare.state, GATE_SPARE_UNTRIED);
	CU_ASSERT_EQUAL(rmdir(dir), 0);
	/* Nothing to do is done, and nothing made for it. */
	CU_ASSERT_EQUAL(gate_spare_restore(dir, NULL, 0), 0);
	CU_ASSERT_EQUAL(access(dir, F_OK), -1);
}

static const CU_TestInfo tests[] = {
	{"a name says gate, generation and object", a_name_says_gate_generation_and_object},
	{"without bpffs nothing is tried", without_bpffs_nothing_is_tried},
	CU_TEST_INFO_NULL,
};

const struct suite suite_gate_spare = {"gate_spare", tests};
