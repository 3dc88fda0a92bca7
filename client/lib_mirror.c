/* SPDX-License-Identifier: MIT */
/* libpinbroker: what is mirrored into cgroups, page by page, and a cgroup for a session. */
#include <errno.h>
#include <string.h>

#include "client/connection.h"
#include "client/pages.h"
#include "common/cleanup.h"

static_assert(PINBROKER_UNKNOWN == PROTO_UNKNOWN, "copied as it is");
static_assert(PINBROKER_UNLIMITED == PROTO_UNLIMITED, "copied as it is");
static_assert(PINBROKER_HUGE_MAX == PROTO_HUGE_MAX, "copied as it is");
static_assert(PINBROKER_PATH_MAX == sizeof(((struct proto_placed *)NULL)->path), "copied as it is");

static struct pinbroker_mirrored copy_mirrored(const struct proto_mirrored *from)
{
	return (struct pinbroker_mirrored){.wanted = from->wanted, .now = from->now};
}

static bool differs(const struct pinbroker_mirrored *limit)
{
	return limit->wanted != PINBROKER_UNKNOWN && limit->wanted != limit->now;
}

static void copy_mirror(const struct proto_mirror *from, struct pinbroker_mirror *to)
{
	*to = (struct pinbroker_mirror){
		.id = from->id,
		.mode = proto_mirror_mode_name(from->mode),
		.by = proto_mirror_by_name(from->by),
		.known = from->known,
		.min = copy_mirrored(&from->min),
		.max = copy_mirrored(&from->max),
		.oom_kills = from->oom_kills,
		.n_writes = from->written,
		.n_sessions = from->n_sessions,
	};
	to->drift = differs(&to->min) || differs(&to->max);
	for (; to->n_huge < PROTO_HUGE_MAX && from->huge_size[to->n_huge]; to->n_huge++) {
		struct pinbroker_huge *huge = &to->huge[to->n_huge];

		huge->size = from->huge_size[to->n_huge];
		huge->max = copy_mirrored(&from->huge[to->n_huge]);
		to->drift |= differs(&huge->max);
	}
	to->drift &= to->known;
	proto_text_set(to->reason, sizeof(to->reason), from->reason);
}

/* Who is shown the mirrors. */
struct walk {
	pinbroker_mirror_fn fn;
	void *arg;
};

static int show_mirror(const char **pos, const char *end, void *arg)
{
	CLEANUP(freep) char *cgroup = NULL;
	const struct walk *walk = arg;
	struct pinbroker_mirror mirror;
	struct proto_mirror record;
	const char *path;
	int err = proto_mirror_next(pos, end, &record, &path);

	if (err)
		return err; /* cannot be: take_page() has looked */
	copy_mirror(&record, &mirror);
	if (record.path_len) {
		cgroup = strndup(path, record.path_len);
		if (!cgroup)
			return -ENOMEM;
		mirror.cgroup = cgroup;
	}
	return walk->fn(&mirror, walk->arg);
}

/* Whether n records, each well-formed, fill the page exactly: checked before any is shown. */
static int take_page(const struct answer *answer, uint64_t cursor, struct page *ret_page)
{
	struct proto_mirrors head;
	const char *pos = answer->body + sizeof(head), *path;
	struct proto_mirror record = {.id = cursor};

	memcpy(&head, answer->body, sizeof(head));
	if (head.more > 1)
		return -EPROTO;
	*ret_page = (struct page){.records = pos, .more = head.more};
	for (uint32_t i = 0; i < head.n; i++)
		if (proto_mirror_next(&pos, answer->end, &record, &path))
			return -EPROTO;
	ret_page->next = record.id;
	return pos == answer->end ? 0 : -EPROTO;
}

int pinbroker_mirrors(struct pinbroker *broker, pinbroker_mirror_fn fn, void *arg)
{
	static const struct pages pages = {
		.op = PROTO_MIRROR, .take = take_page, .show = show_mirror};
	struct walk walk = {.fn = fn, .arg = arg};

	return pages_walk(broker, &pages, &walk);
}

int pinbroker_place(struct pinbroker *broker, uint64_t id, const char *name,
		    char ret_path[PINBROKER_PATH_MAX])
{
	struct proto_place place = {.id = id};
	const struct question question = {.op = PROTO_PLACE, .body = &place, .len = sizeof(place)};
	struct answer answer = {.msg = FDMSG_INIT};
	struct proto_placed placed;
	int err;

	if (strnlen(name, sizeof(place.name)) == sizeof(place.name))
		return -EINVAL;
	proto_text_set(place.name, sizeof(place.name), name);
	if (!proto_place_valid(&place))
		return -EINVAL;
	err = connection_ask(broker, &question, &answer);
	if (err)
		return err;
	memcpy(&placed, answer.body, sizeof(placed));
	if (!proto_placed_valid(&placed) || placed.id != id)
		return connection_broken(broker);
	if (ret_path)
		memcpy(ret_path, placed.path, sizeof(placed.path));
	return 0;
}
