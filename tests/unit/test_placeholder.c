/* SPDX-License-Identifier: MIT */
#include "client/placeholder.h"

#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define N_DEVICES 11

static const int fds[N_DEVICES] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

static const struct placeholder_values values = {
	.iommufd = 9, .devices = fds, .n_devices = N_DEVICES, .vfio_args = ",x=1"};

static void test_expand(void)
{
	static const struct {
		const char *arg;
		const char *expected;
	} cases[] = {
		{"", ""},
		{"-nodefaults", "-nodefaults"},
		{"{iommufd}", "9"},
		{"iommufd,id=iommufd0,fd={iommufd}", "iommufd,id=iommufd0,fd=9"},
		{"{device:0}", "10"},
		{"{device:10}", "20"},
		{"{iommufd},{device:1},{iommufd}{device:0}", "9,11,910"},
		{"{\"driver\":\"vfio-pci\",\"fd\":\"{device:1}\"}",
		 "{\"driver\":\"vfio-pci\",\"fd\":\"11\"}"},
		{"{\"driver\":\"iommufd\"}", "{\"driver\":\"iommufd\"}"},
		{"{foo}", "{foo}"},
		{"{}", "{}"},
		{"{", "{"},
		{"{{iommufd}}", "{9}"},
		{"{iommufd", "{iommufd"},
		{"{iommufd:0}", "{iommufd:0}"},
		{"{IOMMUFD}", "{IOMMUFD}"},
		{"{device}", "{device}"},
		{"{devices:0}", "{devices:0}"},
		{"vfio-pci,fd={device:0}{vfio-args}", "vfio-pci,fd=10,x=1"},
		{"{vfio-args}{vfio-args}", ",x=1,x=1"},
		{"{vfio-args", "{vfio-args"},
		{"gr\xc3\xbc\xff{iommufd}", "gr\xc3\xbc\xff"
					    "9"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(freep) char *text = NULL;

		CU_ASSERT_EQUAL(placeholder_expand(cases[i].arg, &values, &text), 0);
		CU_ASSERT_TRUE(text && strcmp(text, cases[i].expected) == 0);
	}
}

static void what_has_no_value_is_nothing(void)
{
	const struct placeholder_values none = {.iommufd = 9};
	CLEANUP(freep) char *text = NULL;

	CU_ASSERT_EQUAL(placeholder_expand("a{vfio-args}b", &none, &text), 0);
	CU_ASSERT_TRUE(text && strcmp(text, "ab") == 0);
}

static void test_faults(void)
{
	static const struct {
		const char *arg;
		enum placeholder_fault fault;
		const char *wrong;
	} cases[] = {
		{"fd={device:11}", PLACEHOLDER_NO_DEVICE, "{device:11}"},
		{"{device:999}", PLACEHOLDER_NO_DEVICE, "{device:999}"},
		{"{device:0}{device:x},", PLACEHOLDER_MALFORMED, "{device:x}"},
		{"{device:}", PLACEHOLDER_MALFORMED, "{device:}"},
		{"{device:-1}", PLACEHOLDER_MALFORMED, "{device:-1}"},
		{"{device:+1}", PLACEHOLDER_MALFORMED, "{device:+1}"},
		{"{device: 1}", PLACEHOLDER_MALFORMED, "{device: 1}"},
		{"{device:01}", PLACEHOLDER_MALFORMED, "{device:01}"},
		{"{device:1 }", PLACEHOLDER_MALFORMED, "{device:1 }"},
		{"{device:18446744073709551616}", PLACEHOLDER_MALFORMED,
		 "{device:18446744073709551616}"},
		{"a{device:0", PLACEHOLDER_MALFORMED, "{device:0"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum placeholder_fault fault;
		const char *at;
		char *text;
		size_t len;

		CU_ASSERT_EQUAL_FATAL(placeholder_check(cases[i].arg, N_DEVICES, &fault, &at, &len),
				      -EINVAL);
		CU_ASSERT_EQUAL(fault, cases[i].fault);
		CU_ASSERT_EQUAL(len, strlen(cases[i].wrong));
		CU_ASSERT_EQUAL(strncmp(at, cases[i].wrong, len), 0);
		CU_ASSERT_EQUAL(placeholder_expand(cases[i].arg, &values, &text), -EINVAL);
	}
}

static const CU_TestInfo tests[] = {
	{"placeholders become numbers, other text stays", test_expand},
	{"what has no value is nothing", what_has_no_value_is_nothing},
	{"a placeholder without its device is refused", test_faults},
	CU_TEST_INFO_NULL,
};

const struct suite suite_placeholder = {"placeholder", tests};
