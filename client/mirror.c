/* SPDX-License-Identifier: MIT */
#include "client/mirror.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "accounting/size.h"
#include "client/output.h"
#include "common/cleanup.h"

/* What is kept of one. */
struct mirrors_entry {
	struct mirrors_entry *next;
	struct pinbroker_mirror mirror;
	char cgroup[]; /* what mirror.cgroup points to, if it does */
};

void mirrors_fini(struct mirrors *mirrors)
{
	while (mirrors->first) {
		struct mirrors_entry *entry = mirrors->first;

		mirrors->first = entry->next;
		free(entry);
	}
}

static int mirrors_add(const struct pinbroker_mirror *mirror, void *arg)
{
	const size_t size = mirror->cgroup ? strlen(mirror->cgroup) + 1 : 0;
	struct mirrors_entry *entry = malloc(sizeof(*entry) + size);
	struct mirrors *mirrors = arg;

	if (!entry)
		return -ENOMEM;
	entry->mirror = *mirror;
	if (mirror->cgroup)
		entry->mirror.cgroup = memcpy(entry->cgroup, mirror->cgroup, size);
	entry->next = mirrors->first;
	mirrors->first = entry;
	return 0;
}

int mirrors_ask(struct pinbroker *broker, struct mirrors *mirrors)
{
	int err = pinbroker_mirrors(broker, mirrors_add, mirrors);

	/* An operation that the broker does not have. */
	if (err == -EACCES && strcmp(pinbroker_refusal(broker)->reason, "bad-request") == 0)
		return 0;
	return err;
}

const struct pinbroker_mirror *mirrors_find(const struct mirrors *mirrors, uint64_t id)
{
	for (const struct mirrors_entry *entry = mirrors->first; entry; entry = entry->next)
		if (entry->mirror.id == id)
			return &entry->mirror;
	return NULL;
}

const char *mirror_text(const struct pinbroker_mirror *mirror, char buf[static MIRROR_TEXT_MAX])
{
	char min[OUTPUT_TEXT_MAX], max[OUTPUT_TEXT_MAX];
	bool has_min, has_max;

	if (!mirror)
		return "-";
	has_min = mirror->min.wanted != PINBROKER_UNKNOWN;
	has_max = mirror->max.wanted != PINBROKER_UNKNOWN;
	(void)snprintf(buf, MIRROR_TEXT_MAX, "%s %s%s%s%s", mirror->mode,
		       has_min || !has_max ? output_size(mirror->min.wanted, min) : "",
		       has_min && has_max ? "/" : "",
		       has_max ? output_size(mirror->max.wanted, max) : "",
		       mirror->drift ? " drift" : ""); /* it fits */
	return buf;
}

static const char *wanted_text(const struct pinbroker_mirrored *limit,
			       char buf[static SIZE_TEXT_MAX])
{
	return limit->wanted == PINBROKER_UNKNOWN ? "-" : size_text(limit->wanted, buf);
}

static const char *now_text(bool known, uint64_t now, char buf[static SIZE_TEXT_MAX])
{
	if (!known)
		return "-";
	return now == PINBROKER_UNLIMITED ? "max" : size_text(now, buf);
}

/* What a limit should be, and what it is. */
static void print_limit(const char *name, const struct pinbroker_mirror *mirror,
			const struct pinbroker_mirrored *limit)
{
	char wanted[SIZE_TEXT_MAX], now[SIZE_TEXT_MAX];

	output_line(name, "%s, now %s", wanted_text(limit, wanted),
		    now_text(mirror->known, limit->now, now));
}

void mirror_print(const struct pinbroker_mirror *mirror)
{
	char name[64], buf[SIZE_TEXT_MAX];

	static_assert(SIZE_TEXT_MAX >= OUTPUT_TEXT_MAX, "one buffer for both");
	if (!mirror) {
		output_line("mirror", "-");
		return;
	}
	output_line("mirror", "%s, by %s", mirror->mode, mirror->by);
	output_line("mirror-cgroup", "%s", mirror->cgroup ? mirror->cgroup : "-");
	output_line("mirror-sessions", "%zu", mirror->n_sessions);
	print_limit("memory-min", mirror, &mirror->min);
	print_limit("memory-max", mirror, &mirror->max);
	for (size_t i = 0; i < mirror->n_huge; i++) {
		(void)snprintf(name, sizeof(name), "hugetlb-%s-max",
			       size_text(mirror->huge[i].size, buf)); /* it fits */
		print_limit(name, mirror, &mirror->huge[i].max);
	}
	output_line("oom-kills", "%s", output_number(mirror->oom_kills, buf));
	output_line("drift", "%s", mirror->drift ? "yes" : "no");
	output_line("mirror-reason", "%s", mirror->reason[0] ? mirror->reason : "-");
}

static json_t *json_now(const struct pinbroker_mirror *mirror,
			const struct pinbroker_mirrored *limit)
{
	if (!mirror->known)
		return json_null();
	return limit->now == PINBROKER_UNLIMITED ? json_string("max")
						 : output_json_figure(limit->now);
}

static json_t *huge_object(const struct pinbroker_mirror *mirror, const struct pinbroker_huge *huge)
{
	const struct output_member members[] = {
		{"size_bytes", output_json_figure(huge->size)},
		{"max_bytes", output_json_figure(huge->max.wanted)},
		{"max_now_bytes", json_now(mirror, &huge->max)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

static json_t *json_hugetlb(const struct pinbroker_mirror *mirror)
{
	CLEANUP(json_decrefp) json_t *array = json_array();

	for (size_t i = 0; i < mirror->n_huge; i++)
		if (json_array_append_new(array, huge_object(mirror, &mirror->huge[i])) < 0)
			return NULL;
	return STEAL(array);
}

static json_t *mirror_object(const struct pinbroker_mirror *mirror)
{
	const struct output_member members[] = {
		{"mode", json_string(mirror->mode)},
		{"by", json_string(mirror->by)},
		{"cgroup", output_json_text(mirror->cgroup)},
		{"memory_min_bytes", output_json_figure(mirror->min.wanted)},
		{"memory_min_now_bytes", json_now(mirror, &mirror->min)},
		{"memory_max_bytes", output_json_figure(mirror->max.wanted)},
		{"memory_max_now_bytes", json_now(mirror, &mirror->max)},
		{"hugetlb", json_hugetlb(mirror)},
		{"oom_kills", output_json_figure(mirror->oom_kills)},
		{"writes", output_json_figure(mirror->n_writes)},
		{"drift", json_boolean(mirror->drift)},
		{"reason", output_json_text(mirror->reason)},
	};

	return output_json_object(members, ARRAY_SIZE(members));
}

json_t *mirror_json(const struct pinbroker_mirror *mirror)
{
	return mirror ? mirror_object(mirror) : json_null();
}
