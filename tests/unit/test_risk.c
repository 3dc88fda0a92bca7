/* SPDX-License-Identifier: MIT */
/* What is named as a risk of migration, and when; the page request interface in bytes. */
#include "client/risk.h"

#include <string.h>

#include "client/group.h"
#include "common/cleanup.h"
#include "common/features.h"
#include "tests/unit/suite.h"

#define ALL (FEATURES_STOP_COPY | FEATURES_P2P | FEATURES_PRE_COPY)
#define NO_P2P (FEATURES_STOP_COPY | FEATURES_PRE_COPY)

static bool has(const struct risks *risks, const char *word)
{
	for (size_t i = 0; i < risks->n; i++)
		if (strstr(risks->text[i], word))
			return true;
	return false;
}

static void risks_are_named(void)
{
	static const struct {
		const char *name;
		struct features features;
		bool peer, bridge;
		bool registers, pri, p2p, logging; /* are named */
	} cases[] = {
		{"none", {ALL, true, true, 0}, false, false, false, false, false, false},
		{"a peer", {ALL, true, false, 0}, true, false, true, false, false, false},
		{"a bridge", {ALL, true, false, 0}, true, true, false, false, false, false},
		{"no P2P", {NO_P2P, true, false, 0}, false, false, false, false, true, false},
		{"PRI", {NO_P2P, true, true, 0}, false, false, false, true, true, false},
		{"no logging", {ALL, false, false, 0}, false, false, false, false, false, true},
		{"everything", {NO_P2P, false, true, 0}, true, false, true, true, true, true},
		{"no migration", {0, false, true, 0}, true, false, false, false, false, false},
	};
	const struct device device = {.name = "0000:65:00.0", .found = true, .group = 12};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct group group = {.n = cases[i].peer};
		struct risks risks;

		(void)strcpy(group.peers[0].name, "0000:65:00.1");
		group.peers[0].bridge = cases[i].bridge;
		risk_find(&device, &group, &cases[i].features, &risks);
		CHECK(cases[i].name, has(&risks, "0000:65:00.1") == cases[i].registers);
		CHECK(cases[i].name, has(&risks, "(PRI)") == cases[i].pri);
		CHECK(cases[i].name, has(&risks, "without RUNNING_P2P") == cases[i].p2p);
		CHECK(cases[i].name, has(&risks, "which pages it writes") == cases[i].logging);
		risk_find(&device, &group, NULL, &risks);
		CHECK(cases[i].name, risks.n == 0);
	}
}

static void put(unsigned char *config, size_t at, uint32_t head)
{
	for (size_t i = 0; i < 4; i++)
		config[at + i] = (unsigned char)(head >> 8 * i);
}

static void the_page_request_interface_is_found(void)
{
	unsigned char config[4096] = {0};

	CHECK("nothing", !group_pri_in(config, sizeof(config)));
	put(config, 0x100, 0x14810001U); /* AER, then at 0x148 */
	put(config, 0x148, 0x20010013U);
	CHECK("the second", group_pri_in(config, sizeof(config)));
	CHECK("conventional PCI", !group_pri_in(config, 256));
	CHECK("cut in between", !group_pri_in(config, 0x14a));
	put(config, 0x148, 0x10010019U);
	CHECK("in a circle", !group_pri_in(config, sizeof(config)));
	put(config, 0x148, 0xffc10019U);
	CHECK("at the end", !group_pri_in(config, sizeof(config)));
	put(config, 0xffc, 0x00010013U);
	CHECK("the last", group_pri_in(config, sizeof(config)));
	put(config, 0x100, UINT32_MAX);
	CHECK("nobody answers", !group_pri_in(config, sizeof(config)));
}

static const CU_TestInfo tests[] = {
	{"risks are named", risks_are_named},
	{"the page request interface is found", the_page_request_interface_is_found},
	CU_TEST_INFO_NULL,
};

const struct suite suite_risk = {"risk", tests};
