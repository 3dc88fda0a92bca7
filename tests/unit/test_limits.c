/* SPDX-License-Identifier: MIT */
#include "accounting/limits.h"

#include "common/cleanup.h"
#include "tests/unit/suite.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

static void sums_saturate(void)
{
	static const struct {
		const char *name;
		uint64_t a, b, sum;
	} cases[] = {
		{"nothing", 0, 0, 0},
		{"small", 2, 3, 5},
		{"just fits", UINT64_MAX - 1, 1, UINT64_MAX},
		{"one too many", UINT64_MAX, 1, UINT64_MAX},
		{"both huge", UINT64_MAX, UINT64_MAX, UINT64_MAX},
		{"halves", UINT64_C(1) << 63, UINT64_C(1) << 63, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK(cases[i].name, limits_add(cases[i].a, cases[i].b) == cases[i].sum);
		CHECK(cases[i].name, limits_add(cases[i].b, cases[i].a) == cases[i].sum);
	}
}

static void factor_is_one_per_address_space(void)
{
	static const struct {
		const char *name;
		bool viommu;
		size_t n_devices;
		unsigned int factor;
	} cases[] = {
		{"no device", false, 0, 1},
		{"one device", false, 1, 1},
		{"devices share one IOAS", false, 16, 1},
		{"a vIOMMU without a device", true, 0, 1},
		{"a vIOMMU with one device", true, 1, 1},
		{"a vIOMMU with two", true, 2, 2},
		{"a vIOMMU with sixteen", true, 16, 16},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].name,
		      limits_factor(cases[i].viommu, cases[i].n_devices) == cases[i].factor);
}

static void auto_limit_is_libvirts(void)
{
	static const struct {
		const char *name;
		uint64_t memory;
		unsigned int factor;
		uint64_t limit;
	} cases[] = {
		{"no memory", 0, 1, GIB},
		{"1G", GIB, 1, 2 * GIB},
		{"2G behind a vIOMMU with three devices", 2 * GIB, 3, 7 * GIB},
		{"bytes are kept", 5, 1, GIB + 5},
		{"a sum that does not fit", UINT64_MAX - GIB + 1, 1, UINT64_MAX},
		{"a product that does not fit", UINT64_C(1) << 62, 4, UINT64_MAX},
		{"a product that wraps to something small", (UINT64_C(1) << 62) + 1, 4, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].name,
		      limits_auto(cases[i].memory, cases[i].factor) == cases[i].limit);
}

static void needed_is_ram_and_firmware(void)
{
	static const struct {
		const char *name;
		uint64_t memory;
		unsigned int factor;
		uint64_t needed;
	} cases[] = {
		{"1G", GIB, 1, GIB + MIB},
		{"1G in three address spaces", GIB, 3, 3 * GIB + MIB},
		{"a sum that does not fit", UINT64_MAX, 1, UINT64_MAX},
		{"a product that does not fit", UINT64_C(1) << 63, 2, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].name,
		      limits_needed(cases[i].memory, cases[i].factor) == cases[i].needed);
}

static void auto_mappings_grow_with_memory(void)
{
	static const struct {
		const char *name;
		uint64_t memory;
		unsigned int factor;
		uint64_t mappings;
	} cases[] = {
		{"no memory", 0, 1, 65535},
		{"VFIO's number for most", 64 * GIB, 1, 65535},
		{"the last below it", (65535 - 512) * 2 * MIB, 1, 65535},
		{"the first above it", (65536 - 512) * 2 * MIB, 1, 65536},
		{"a mapping per 2M and 512 more", 1024 * GIB, 1, 524288 + 512},
		{"per IOAS", 0, 4, 4 * 65535},
		{"both", 1024 * GIB, 2, 2 * (524288 + 512)},
		{"the largest", UINT64_MAX, 16, 16 * (UINT64_MAX / (2 * MIB) + 512)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].name,
		      limits_mappings_auto(cases[i].memory, cases[i].factor) == cases[i].mappings);
}

static void memlock_takes_the_larger_sum(void)
{
	static const struct {
		const char *name;
		struct limits_memlock parts; /* besides, extra, task, user */
		uint64_t limit;
	} cases[] = {
		{"nothing", {0, 0, 0, 0}, 0},
		{"task sessions", {0, 0, 3 * GIB, 0}, 3 * GIB},
		{"user sessions", {0, 0, 0, 5 * GIB}, 5 * GIB},
		{"two counters, one limit: the larger, task", {0, 0, 7 * GIB, 5 * GIB}, 7 * GIB},
		{"two counters, one limit: the larger, user", {0, 0, 3 * GIB, 5 * GIB}, 5 * GIB},
		{"extra and what is locked besides add", {1, 20, 300, 4000}, 4021},
		{"saturates", {UINT64_MAX, 1, 1, 1}, UINT64_MAX},
		{"saturates in the middle", {1, UINT64_MAX, 1, 1}, UINT64_MAX},
		{"saturates at the sessions", {1, 1, UINT64_MAX, 0}, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		CHECK(cases[i].name, limits_memlock(&cases[i].parts) == cases[i].limit);
}

static const CU_TestInfo tests[] = {
	{"sums saturate instead of wrapping", sums_saturate},
	{"guest RAM counts once per address space", factor_is_one_per_address_space},
	{"the automatic limit is factor x memory + 1G", auto_limit_is_libvirts},
	{"a guest needs its RAM and its firmware", needed_is_ram_and_firmware},
	{"automatic mappings grow with memory and address spaces", auto_mappings_grow_with_memory},
	{"RLIMIT_MEMLOCK takes the larger of the two sums", memlock_takes_the_larger_sum},
	CU_TEST_INFO_NULL,
};

const struct suite suite_limits = {"limits", tests};
