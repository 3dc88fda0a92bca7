/* SPDX-License-Identifier: MIT */
/* Sessions in a gate that is loaded: what they may, what they have, and what becomes of them. */
#include "bpf/gate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <gate.skel.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpf/gate_map.h"
#include "bpf/gate_pool.h"
#include "bpf/gate_private.h"
#include "common/cleanup.h"
#include "common/clock.h"

#define GATE_EVENTS_AT_ONCE 64

bool gate_is_fallback(const struct gate *gate)
{
	return gate->fallback;
}

enum gate_level gate_level(const struct gate *gate)
{
	return gate ? gate->level : GATE_LEVEL_NONE;
}

void gate_set_level(struct gate *gate, enum gate_level level)
{
	gate->level = level;
}

static int gate_run(const struct bpf_program *program, void *argument, size_t size)
{
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = argument, .ctx_size_in = (__u32)size};

	return bpf_prog_test_run_opts(bpf_program__fd(program), &opts) ? -errno : 0;
}

static int gate_call(const struct bpf_program *program, struct gate_call *call)
{
	int err = gate_run(program, call, sizeof(*call));

	return err ? err : call->err;
}

/* --- sessions */

static uint64_t gate_max_mappings(const struct gate_limits *limits)
{
	return limits->mappings < GATE_MAPPINGS_LIMIT ? limits->mappings : GATE_MAPPINGS_LIMIT;
}

static uint64_t gate_max_pages(const struct gate_limits *limits)
{
	return limits->pages < GATE_PAGES_MAX ? limits->pages : GATE_PAGES_MAX;
}

void gate_set_rules(struct gate *gate, const struct gate_rules *rules)
{
	static const uint32_t words[] = {
		[GATE_RULE_ALLOW] = GATE_UNMANAGED_ALLOW,
		[GATE_RULE_DENY] = GATE_UNMANAGED_DENY,
		[GATE_RULE_LIMIT] = GATE_UNMANAGED_LIMIT,
	};
	const struct gate_limits *limits = &rules->unmanaged_limits;
	struct gate_control *control = gate->control;

	__atomic_store_n(&control->unmanaged_pages, gate_max_pages(limits), __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->unmanaged_mappings, gate_max_mappings(limits), __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->unmanaged_objects, limits->objects, __ATOMIC_SEQ_CST);
	if (control->unmanaged != GATE_UNMANAGED_LIMIT)
		__atomic_store_n(&control->limited_ns, clock_ns(CLOCK_MONOTONIC), __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->unmanaged, words[rules->unmanaged], __ATOMIC_SEQ_CST);
	__atomic_store_n(&control->kill_slipped, rules->kill_slipped, __ATOMIC_SEQ_CST);
}

void gate_set_limits(struct gate *gate, uint32_t slot, const struct gate_limits *limits)
{
	struct gate_session *s;

	if (!gate || slot == GATE_NO_SLOT)
		return;
	s = &gate->sessions[slot];
	__atomic_store_n(&s->max_pages, gate_max_pages(limits), __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->max_mappings, gate_max_mappings(limits), __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->max_objects, limits->objects, __ATOMIC_SEQ_CST);
}

/*
 * The numbering of operations and of questions goes on: threads remember those of the session
 * before.
 */
static int gate_fill(struct gate *gate, uint32_t slot, uint64_t id,
		     const struct gate_limits *limits)
{
	struct gate_session *s = &gate->sessions[slot];
	struct gate_call call = {.slot = slot};
	const uint32_t plug = (s->plug & ~GATE_PLUG_STATE) + GATE_PLUG_NEXT;
	uint64_t next_op = s->next_op;
	int err = gate_call(gate->skel->progs.gate_clear, &call);

	if (err)
		return err;
	/* Nothing is in it, which is as good as a reading. */
	*s = (struct gate_session){
		.next_op = next_op, .plug = plug, .read_ns = clock_ns(CLOCK_MONOTONIC)};
	gate_set_limits(gate, slot, limits);
	__atomic_store_n(&s->id, id, __ATOMIC_SEQ_CST);
	return 0;
}

int gate_change(struct gate *gate, uint32_t slot, const struct gate_context *context)
{
	struct gate_change change = {
		.id = context->id,
		.slot = slot,
		.max_pages = gate_max_pages(&context->limits),
		.max_mappings = gate_max_mappings(&context->limits),
		.max_objects = context->limits.objects,
		.bits = context->revoked ? GATE_REVOKED : 0,
		.judged = context->judged,
	};
	int err;

	_Static_assert(sizeof(context->policy) <= sizeof(change.policy), "names fit");
	memcpy(change.policy, context->policy, sizeof(context->policy));
	err = gate_run(gate->skel->progs.gate_change, &change, sizeof(change));
	return err ? err : change.err;
}

int gate_reserve(struct gate *gate, uint64_t id, const struct gate_limits *limits, uint32_t n_files,
		 uint32_t *ret_slot)
{
	uint32_t slot =
		gate->n_free_from > GATE_FIRST_SESSION ? gate->n_free_from : GATE_FIRST_SESSION;
	int err;

	while (slot < gate->n_shown && gate->sessions[slot].id)
		slot++;
	gate->n_free_from = slot;
	if (slot == gate->n_sessions ||
	    gate->n_files + n_files >
		    (uint64_t)(gate->n_sessions - GATE_POOL) * GATE_FILES_PER_SESSION)
		return -ENOSPC;
	err = slot < gate->n_shown ? 0 : gate_show(gate, slot + 1);
	if (!err)
		err = gate_fill(gate, slot, id, limits);
	if (err)
		return err;
	*ret_slot = slot;
	return 0;
}

int gate_enrol(struct gate *gate, uint32_t slot, int fd, bool cdev)
{
	struct gate_call call = {.slot = slot, .fd = fd, .cdev = cdev};
	int err = gate_call(gate->skel->progs.gate_enrol, &call);

	if (err)
		return err;
	gate_count_files(gate, slot, 1);
	return 0;
}

void gate_count_files(struct gate *gate, uint32_t slot, uint32_t n)
{
	gate->n_files += n;
	gate->sessions[slot].n_enrolled += n;
}

int gate_arm_timer(struct gate *gate, uint32_t slot)
{
	struct gate_call call = {.slot = slot};

	return gate_call(gate->skel->progs.gate_renew, &call);
}

/* The kernel forgets the file by itself: this is what is kept free for it. */
void gate_unenrol(struct gate *gate, uint32_t slot)
{
	if (!gate->sessions[slot].n_enrolled)
		return;
	gate->n_files--;
	gate->sessions[slot].n_enrolled--;
}

static void gate_set_bits(struct gate *gate, uint32_t slot, uint32_t bits)
{
	if (gate && slot != GATE_NO_SLOT)
		(void)__atomic_fetch_or(&gate->sessions[slot].bits, bits, __ATOMIC_SEQ_CST);
}

void gate_revoke(struct gate *gate, uint32_t slot)
{
	gate_set_bits(gate, slot, GATE_REVOKED);
}

void gate_watch(struct gate *gate, uint32_t slot)
{
	gate_set_bits(gate, slot, GATE_WATCHED);
}

void gate_allow_test(struct gate *gate, uint32_t slot)
{
	gate_set_bits(gate, slot, GATE_TESTER);
}

struct gate_state gate_state(const struct gate *gate, uint32_t slot)
{
	const struct gate_session *s = &gate->sessions[slot];
	uint32_t bits = __atomic_load_n(&s->bits, __ATOMIC_SEQ_CST);

	return (struct gate_state){
		.ended = __atomic_load_n(&s->n_files, __ATOMIC_SEQ_CST) == 0,
		.poisoned = bits & GATE_POISONED,
		.revoked = bits & GATE_REVOKED,
	};
}

int gate_reserve_test(struct gate *gate, const struct gate_limits *limits, uint32_t *ret_slot)
{
	gate->control->fired = 0;
	*ret_slot = GATE_SELF_TEST;
	return gate_fill(gate, GATE_SELF_TEST, UINT64_MAX, limits);
}

void gate_forget(struct gate *gate, uint32_t slot)
{
	/* While the kernel knows a file by it the slot is nobody else's. */
	if (!gate || slot == GATE_NO_SLOT || !gate_state(gate, slot).ended)
		return;
	gate->n_files -= gate->sessions[slot].n_enrolled;
	__atomic_store_n(&gate->sessions[slot].id, 0, __ATOMIC_SEQ_CST);
	if (slot < gate->n_free_from)
		gate->n_free_from = slot;
}

uint32_t gate_next(const struct gate *gate, uint32_t slot, uint64_t *ret_id)
{
	if (!gate)
		return GATE_NO_SLOT;
	slot = slot == GATE_NO_SLOT || slot < GATE_FIRST_SESSION ? GATE_FIRST_SESSION : slot + 1;
	for (; slot < gate->n_shown; slot++) {
		*ret_id = gate->sessions[slot].id;
		if (*ret_id)
			return slot;
	}
	return GATE_NO_SLOT;
}

static void gate_look_shared(const struct gate_session *s, struct gate_figures *ret_figures)
{
	uint64_t used = __atomic_load_n(&s->read_used, __ATOMIC_SEQ_CST);

	*ret_figures = (struct gate_figures){
		.mapped = GATE_USED_PAGES(used),
		.mappings = GATE_USED_MAPPINGS(used),
		.pinned = s->read_pinned,
		.peak = s->peak_pinned,
		.objects = s->read_objects,
		.denied = s->denied,
		.read_ns = s->read_ns,
		/* Of an ioctl whose end the kernel has skipped its beginning was counted. */
		.exact = s->read_ns && s->read_changes == s->changes && !s->dirty && !s->suspect &&
			 used == s->used,
	};
}

/* What a reading found becomes that of the figures. */
static void gate_take(const struct gate_figures *from, struct gate_figures *figures)
{
	figures->mapped = from->mapped;
	figures->pinned = from->pinned;
	figures->mappings = from->mappings;
	figures->objects = from->objects;
	figures->read_ns = from->read_ns;
	if (from->pinned > figures->peak)
		figures->peak = from->pinned;
}

void gate_look(const struct gate *gate, uint32_t slot, struct gate_figures *ret_figures)
{
	const struct gate_near *near = &gate->near[slot];

	gate_look_shared(&gate->sessions[slot], ret_figures);
	if (gate->fallback)
		ret_figures->exact = false; /* nobody may have seen an ioctl begin, either */
	if (!ret_figures->exact && near->id == gate->sessions[slot].id &&
	    near->figures.read_ns > ret_figures->read_ns)
		gate_take(&near->figures, ret_figures);
}

int gate_read(struct gate *gate, uint32_t slot, bool wait, struct gate_figures *ret_figures)
{
	struct gate_call call = {.slot = slot, .wait = wait};
	struct gate_near *near = &gate->near[slot];
	uint64_t id = gate->sessions[slot].id;
	int err;

	err = gate_call(gate->skel->progs.gate_read, &call);
	gate_look(gate, slot, ret_figures);
	if (err)
		return err;
	near->id = id;
	near->figures = (struct gate_figures){
		.mapped = GATE_USED_PAGES(call.used),
		.mappings = GATE_USED_MAPPINGS(call.used),
		.pinned = call.pinned,
		.objects = call.objects,
		.read_ns = clock_ns(CLOCK_MONOTONIC),
	};
	gate_take(&near->figures, ret_figures);
	ret_figures->exact = call.exact;
	return 0;
}

bool gate_slipped(struct gate *gate, uint32_t slot)
{
	return __atomic_fetch_and(&gate->sessions[slot].bits, ~GATE_SLIPPED, __ATOMIC_SEQ_CST) &
	       GATE_SLIPPED;
}

size_t gate_callers(const struct gate *gate, uint32_t slot,
		    struct gate_caller ret_callers[static GATE_CALLERS_MAX])
{
	const struct gate_seen *seen = gate->sessions[slot].callers;
	size_t n = 0;

	_Static_assert(GATE_CALLERS <= GATE_CALLERS_MAX, "room for all of them");
	for (size_t i = 0; i < GATE_CALLERS; i++) {
		uint64_t inode = __atomic_load_n(&seen[i].inode, __ATOMIC_SEQ_CST);

		if (inode)
			ret_callers[n++] = (struct gate_caller){inode, seen[i].pid};
	}
	return n;
}

/* The pid last: it makes the place free. */
void gate_forget_caller(struct gate *gate, uint32_t slot, uint64_t inode)
{
	struct gate_seen *seen = gate->sessions[slot].callers;

	for (size_t i = 0; i < GATE_CALLERS; i++) {
		if (__atomic_load_n(&seen[i].inode, __ATOMIC_SEQ_CST) != inode)
			continue;
		__atomic_store_n(&seen[i].inode, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&seen[i].pid, 0, __ATOMIC_SEQ_CST);
	}
}

/* --- events */

static enum gate_notice gate_notice_of(uint32_t kind)
{
	if (kind == GATE_EVENT_EIGHTY)
		return GATE_NOTICE_NEAR_LIMIT;
	if (kind == GATE_EVENT_CALLER)
		return GATE_NOTICE_CALLER;
	if (kind == GATE_EVENT_POISONED)
		return GATE_NOTICE_POISONED;
	if (kind == GATE_EVENT_CHANGED)
		return GATE_NOTICE_CHANGED;
	if (kind == GATE_EVENT_PLUG)
		return GATE_NOTICE_PLUG;
	if (kind == GATE_EVENT_POOL)
		return GATE_NOTICE_POOL;
	if (kind == GATE_EVENT_FULL)
		return GATE_NOTICE_POOL_FULL;
	return kind == GATE_EVENT_LARGE ? GATE_NOTICE_LARGE : GATE_NOTICE_STATE;
}

static int gate_ring_event(void *arg, void *data, size_t size)
{
	struct gate *gate = arg;
	struct gate_event event;

	if (size == sizeof(event)) {
		memcpy(&event, data, sizeof(event));
		gate->fn(event.slot, event.id, gate_notice_of(event.kind), gate->arg);
	}
	/* A negative value ends ring_buffer__consume(), with this event taken. */
	return --gate->left ? 0 : -ECANCELED;
}

int gate_event_fd(const struct gate *gate)
{
	return ring_buffer__epoll_fd(gate->ring);
}

void gate_dispatch(struct gate *gate, gate_event_fn fn, void *arg)
{
	uint32_t slot = GATE_NO_SLOT;
	uint64_t id;

	gate->fn = fn;
	gate->arg = arg;
	gate->left = GATE_EVENTS_AT_ONCE;
	(void)ring_buffer__consume(gate->ring); /* an error is the handler's, to end it */
	if (gate_lost(gate) == gate->lost)
		return;
	/* Some did not fit: whose they were is in the slots. */
	gate->lost = gate_lost(gate);
	while ((slot = gate_next(gate, slot, &id)) != GATE_NO_SLOT)
		fn(slot, id, GATE_NOTICE_STATE, arg);
	fn(0, 0, GATE_NOTICE_POOL, arg);
}

uint64_t gate_lost(const struct gate *gate)
{
	return __atomic_load_n(&gate->control->lost, __ATOMIC_SEQ_CST);
}

static uint64_t gate_misses_of(int fd)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 ? info.recursion_misses : 0;
}

uint64_t gate_misses(const struct gate *gate)
{
	struct bpf_program *program;
	uint64_t n = 0;

	bpf_object__for_each_program(program, gate->skel->obj)
	{
		n += gate_misses_of(bpf_program__fd(program));
	}
	for (size_t i = 0; i < gate->n_kept; i++)
		n += gate_misses_of(gate->kept_fds[i]);
	return n;
}

uint64_t gate_fired(const struct gate *gate)
{
	return __atomic_load_n(&gate->control->fired, __ATOMIC_SEQ_CST);
}

/* --- for bpf/gate_load.c */

/* Sessions of before: what they have of the capacity, and whose program their timer calls. */
static void gate_renew_sessions(struct gate *gate)
{
	uint32_t end = GATE_FIRST_SESSION; /* of those in use */

	for (uint32_t i = GATE_FIRST_SESSION; i < gate->n_shown; i++) {
		if (!gate->sessions[i].id)
			continue;
		gate->n_files += gate->sessions[i].n_enrolled;
		(void)gate_arm_timer(gate, i); /* a slot in range */
		end = i + 1;
	}
	(void)gate_show(gate, end); /* more may stay mapped */
}

/* All of them: the programs that take one have no timer to set up. */
static void gate_renew_pool(struct gate *gate)
{
	for (uint32_t i = 0; i < GATE_POOL; i++)
		(void)gate_arm_timer(gate, GATE_POOL_SLOT + i); /* a slot in range */
}

int gate_serve(struct gate *gate)
{
	gate->near = calloc(gate->n_sessions, sizeof(*gate->near));
	if (!gate->near)
		return -ENOMEM;
	gate->ring = ring_buffer__new(bpf_map__fd(gate->skel->maps.gate_events), gate_ring_event,
				      gate, NULL);
	if (!gate->ring)
		return -errno;
	gate_renew_pool(gate);
	gate_renew_sessions(gate);
	return 0;
}

/* --- for bpf/host.c */

void gate_set_devices(struct gate *gate, uint32_t iommufd_minor, uint32_t cdev_major)
{
	gate->skel->bss->host_iommufd_minor = iommufd_minor;
	gate->skel->bss->host_cdev_major = cdev_major;
}

int gate_open_iterator(const struct gate *gate, const char *program, int *ret_fd)
{
	char path[64];
	int fd;

	(void)snprintf(path, sizeof(path), "%u/%s", gate->control->generation, program);
	fd = openat(gate->dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}
