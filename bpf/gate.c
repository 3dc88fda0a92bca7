/* SPDX-License-Identifier: MIT */
#include "bpf/gate.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gate.skel.h>
#include <limits.h>
#include <linux/types.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "bpf/gate_map.h"
#include "common/cleanup.h"

#define GATE_KEPT_MAX 32
#define GATE_BPF_FS_MAGIC 0xcafe4a11
#define GATE_EVENTS_AT_ONCE 64

struct gate {
	struct gate_bpf *skel; /* owned */
	int dir_fd; /* owned; locked: one daemon at a time */
	struct gate_control *control; /* mapped */
	struct gate_session *sessions; /* mapped */
	struct gate_figures *near; /* owned; by slot: what was read without a quiet moment */
	uint32_t n_sessions;
	uint32_t n_free_from; /* no slot below it is free */
	uint64_t n_files; /* that were reserved */
	uint64_t lost; /* of the events, when they were looked at last */
	struct ring_buffer *ring; /* owned */
	struct bpf_link *holders; /* owned */
	enum gate_level level;
	uint32_t generation;
	bool kept; /* the programs that act are this object's: they stay as they are */
	int kept_fds[GATE_KEPT_MAX]; /* owned: of those, for what they have missed */
	size_t n_kept;
	uint32_t replaced; /* the generation that acted until then */
	bool switched; /* and may be switched back */
	bool fallback;
	gate_event_fn fn; /* during gate_dispatch() */
	void *arg;
	unsigned int left; /* events that it may still take */
};

static size_t gate_page_up(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

static size_t gate_sessions_size(const struct gate *gate)
{
	return gate_page_up((size_t)gate->n_sessions * sizeof(struct gate_session));
}

void gate_close(struct gate *gate)
{
	if (!gate)
		return;
	ring_buffer__free(gate->ring);
	(void)bpf_link__destroy(gate->holders); /* NULL is fine */
	if (gate->control)
		(void)munmap(gate->control, gate_page_up(sizeof(*gate->control)));
	if (gate->sessions)
		(void)munmap(gate->sessions, gate_sessions_size(gate));
	if (gate->skel)
		gate_bpf__destroy(gate->skel);
	for (size_t i = 0; i < gate->n_kept; i++)
		fd_closep(&gate->kept_fds[i]);
	fd_closep(&gate->dir_fd);
	free(gate->near);
	free(gate);
}

void gate_closep(struct gate **gate)
{
	gate_close(*gate);
}

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

/* --- the directory */

/* Only root's, and only one daemon's. */
static int gate_open_dir(const char *dir, int *ret_fd)
{
	CLEANUP(fd_closep) int fd = -1;
	struct statfs fs;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != GATE_BPF_FS_MAGIC)
		return -EMEDIUMTYPE;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	*ret_fd = STEAL_FD(fd);
	return 0;
}

static int gate_remove_tree(int at, const char *name)
{
	CLEANUP(fd_closep) int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	DIR *dir;
	int err = 0, one;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	dir = fdopendir(fd);
	if (!dir)
		return -errno;
	(void)STEAL_FD(fd); /* closedir() has it */
	while ((entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		one = entry->d_type == DT_DIR ? gate_remove_tree(dirfd(dir), entry->d_name)
		      : unlinkat(dirfd(dir), entry->d_name, 0) < 0 ? -errno
								   : 0;
		err = err ? err : one; /* the others go all the same */
	}
	(void)closedir(dir);
	if (!err && unlinkat(at, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		err = -errno;
	return err;
}

/*
 * The old programs act at each moment: as before until the first store, and by generation from
 * there on. That its own number stays in before makes the next one a new number, while its links,
 * as they are going, may act for a moment.
 */
static void gate_switch_back(struct gate *gate)
{
	if (!gate->switched)
		return;
	__atomic_store_n(&gate->control->generation, gate->replaced, __ATOMIC_SEQ_CST);
	__atomic_store_n(&gate->control->before, gate->generation, __ATOMIC_SEQ_CST);
	gate->switched = false;
}

void gate_drop(struct gate *gate)
{
	char name[16];

	if (gate->kept) { /* they were there before */
		gate_close(gate);
		return;
	}
	gate_switch_back(gate);
	(void)snprintf(name, sizeof(name), "%u", gate->generation);
	(void)gate_remove_tree(gate->dir_fd, name); /* what is left of it acts on nothing */
	gate_close(gate);
}

int gate_purge(const char *dir)
{
	CLEANUP(fd_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return gate_remove_tree(AT_FDCWD, dir);
}

/* --- loading */

__attribute__((format(printf, 2, 0))) static int gate_silent(enum libbpf_print_level level,
							     const char *format, va_list args)
{
	if (level != LIBBPF_WARN && !getenv("PINBROKER_BPF_DEBUG"))
		return 0;
	return vfprintf(stderr, format, args);
}

/* The tracer's are attached while somebody listens, and gone with the daemon. */
bool gate_program_is_traced(const char *name)
{
	return strncmp(name, "trace_", strlen("trace_")) == 0;
}

struct gate_bpf *gate_skeleton(struct gate *gate)
{
	return gate->skel;
}

static int gate_set_map(struct bpf_map *map, const char *dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, bpf_map__name(map)) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return bpf_map__set_pin_path(map, path);
}

/* An array that is there has its own size. */
static uint32_t gate_pinned_entries(const char *dir, const char *name)
{
	CLEANUP(fd_closep) int fd = -1;
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return 0;
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return 0;
	return info.max_entries;
}

static int gate_prepare_maps(struct gate *gate, const struct gate_plan *plan)
{
	uint32_t there = gate_pinned_entries(plan->dir, "gate_sessions");
	uint32_t n = there ? there : plan->n_sessions + 1;
	struct bpf_map *map;
	int err = 0;

	gate->n_sessions = n;
	err = bpf_map__set_max_entries(gate->skel->maps.gate_sessions, n);
	if (!err)
		err = bpf_map__set_max_entries(gate->skel->maps.gate_bodies, n);
	if (!err)
		err = bpf_map__set_max_entries(gate->skel->maps.gate_files,
					       n * GATE_FILES_PER_SESSION);
	bpf_object__for_each_map(map, gate->skel->obj)
	{
		/* What the programs that look at the host have is of no use to those after them. */
		if (!err && !bpf_map__is_internal(map) &&
		    strncmp(bpf_map__name(map), "host_", 5) != 0 &&
		    !gate_program_is_traced(bpf_map__name(map)))
			err = gate_set_map(map, plan->dir);
	}
	return err;
}

/* Where the functions are that programs hang on; what is built in is in the kernel's own. */
struct gate_btf {
	struct btf *kernel, *iommufd, *vfio;
};

static bool gate_kernel_has(const struct gate_btf *btf, const char *name)
{
	return btf__find_by_name_kind(btf->kernel, name, BTF_KIND_FUNC) > 0 ||
	       (btf->iommufd && btf__find_by_name_kind(btf->iommufd, name, BTF_KIND_FUNC) > 0) ||
	       (btf->vfio && btf__find_by_name_kind(btf->vfio, name, BTF_KIND_FUNC) > 0);
}

static bool gate_section_is(const struct bpf_program *program, const char *prefix)
{
	return strncmp(bpf_program__section_name(program), prefix, strlen(prefix)) == 0;
}

/* Attached for good, unlike those that the daemon runs or attaches itself. */
static bool gate_program_is_pinned(const struct gate *gate, const struct bpf_program *program)
{
	return !gate_program_is_traced(bpf_program__name(program)) &&
	       bpf_program__type(program) != BPF_PROG_TYPE_SYSCALL &&
	       program != gate->skel->progs.gate_holders;
}

/* LSM programs or those in their place, never both: each ioctl would count twice. */
static void gate_choose(const struct gate *gate)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, gate->skel->obj)
	{
		if (gate_program_is_traced(bpf_program__name(program)))
			continue;
		if (gate_section_is(program, "lsm"))
			(void)bpf_program__set_autoload(program, !gate->fallback);
		if (gate_section_is(program, "fmod_ret/") || gate_section_is(program, "fentry/"))
			(void)bpf_program__set_autoload(program, gate->fallback);
		if (gate->kept && gate_program_is_pinned(gate, program))
			(void)bpf_program__set_autoload(program, false);
	}
}

/* A kernel without a function that a program hangs on: that program is not needed there. */
static int gate_probe(struct gate *gate)
{
	struct gate_btf btf = {.kernel = btf__load_vmlinux_btf()};
	struct bpf_program *program;

	if (!btf.kernel)
		return -ENOTSUP;
	btf.iommufd = btf__load_module_btf("iommufd", btf.kernel);
	btf.vfio = btf__load_module_btf("vfio", btf.kernel);
	bpf_object__for_each_program(program, gate->skel->obj)
	{
		const char *name = strchr(bpf_program__section_name(program), '/');

		if ((gate_section_is(program, "fexit/") || gate_section_is(program, "fentry/")) &&
		    !gate_kernel_has(&btf, name + 1))
			(void)bpf_program__set_autoload(program, false);
	}
	btf__free(btf.vfio);
	btf__free(btf.iommufd);
	btf__free(btf.kernel);
	return 0;
}

static void *gate_map_memory(struct bpf_map *map, size_t size)
{
	void *memory = mmap(NULL, gate_page_up(size), PROT_READ | PROT_WRITE, MAP_SHARED,
			    bpf_map__fd(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int gate_load(struct gate *gate, uint32_t generation)
{
	int err;

	gate->skel->rodata->gate_generation = generation;
	gate->skel->rodata->gate_page_shift =
		(__u32)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	gate->skel->rodata->gate_skippable = gate->fallback;
	gate_choose(gate);
	err = gate_probe(gate);
	if (!err)
		err = gate_bpf__load(gate->skel);
	if (err)
		return err;
	gate->control = gate_map_memory(gate->skel->maps.gate_control, sizeof(*gate->control));
	gate->sessions = gate_map_memory(gate->skel->maps.gate_sessions, gate_sessions_size(gate));
	if (!gate->control || !gate->sessions)
		return -errno;
	gate->near = calloc(gate->n_sessions, sizeof(*gate->near));
	return gate->near ? 0 : -ENOMEM;
}

static int gate_pin_link(struct bpf_program *program, const char *dir)
{
	struct bpf_link *link = bpf_program__attach(program);
	char path[PATH_MAX + BPF_OBJ_NAME_LEN * 4];
	int err;

	if (!link)
		return -errno;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, bpf_program__name(program));
	err = bpf_link__pin(link, path);
	(void)bpf_link__destroy(link); /* the pin holds it */
	return err;
}

static int gate_pin_links(struct gate *gate, const char *dir, uint32_t generation)
{
	struct bpf_program *program;
	char path[PATH_MAX];
	int err;

	(void)snprintf(path, sizeof(path), "%s/%u", dir, generation);
	err = gate_remove_tree(AT_FDCWD, path);
	if (err)
		return err;
	if (mkdir(path, 0700) < 0)
		return -errno;
	bpf_object__for_each_program(program, gate->skel->obj)
	{
		if (!gate_program_is_pinned(gate, program) || !bpf_program__autoload(program))
			continue;
		err = gate_pin_link(program, path);
		if (err)
			return err;
	}
	return 0;
}

/* Links of other generations than the one that acts. */
static int gate_unpin_others(const struct gate *gate, uint32_t generation)
{
	char keep[16];
	const struct dirent *entry;
	DIR *dir = fdopendir(openat(gate->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int err = 0;

	if (!dir)
		return -errno;
	(void)snprintf(keep, sizeof(keep), "%u", generation);
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
		    strcmp(entry->d_name, keep) != 0)
			err = gate_remove_tree(dirfd(dir), entry->d_name);
	(void)closedir(dir);
	return err;
}

static enum gate_notice gate_notice_of(uint32_t kind)
{
	if (kind == GATE_EVENT_EIGHTY)
		return GATE_NOTICE_NEAR_LIMIT;
	if (kind == GATE_EVENT_CALLER)
		return GATE_NOTICE_CALLER;
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

static int gate_call(const struct bpf_program *program, struct gate_call *call)
{
	struct bpf_test_run_opts opts = {
		.sz = sizeof(opts), .ctx_in = call, .ctx_size_in = sizeof(*call)};

	if (bpf_prog_test_run_opts(bpf_program__fd(program), &opts))
		return -errno;
	return call->err;
}

/* Sessions of before: what they have of the capacity, and whose program their timer calls. */
static void gate_renew_sessions(struct gate *gate)
{
	for (uint32_t i = 1; i < gate->n_sessions; i++) {
		struct gate_call call = {.slot = i};

		if (!gate->sessions[i].id)
			continue;
		gate->n_files += gate->sessions[i].n_enrolled;
		(void)gate_call(gate->skel->progs.gate_renew, &call); /* a slot in range */
	}
}

/* What the daemon before left; all 0: nothing. */
static struct gate_control gate_control_of(const char *dir)
{
	CLEANUP(fd_closep) int fd = -1;
	struct gate_control control = {0};
	char path[PATH_MAX];
	__u32 zero = 0;

	(void)snprintf(path, sizeof(path), "%s/gate_control", dir);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_map_lookup_elem(fd, &zero, &control))
		return (struct gate_control){0};
	return control;
}

/* FNV-1a over the object as it is built in: what has another is another object. */
static uint64_t gate_build(void)
{
	uint64_t hash = 0xcbf29ce484222325ULL;
	const unsigned char *bytes;
	size_t size;

	bytes = gate_bpf__elf_bytes(&size);
	for (size_t i = 0; i < size; i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3ULL;
	return hash;
}

/*
 * Whether the programs that act are those of this very object. Then they go on: to attach others
 * instead would gain nothing, and each time the kernel's code is patched under those who run it.
 */
static bool gate_may_keep(const struct gate *gate, const struct gate_control *control)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%u/%s", control->generation,
		       gate->fallback ? "gate_fallback_ioctl" : "gate_ioctl");
	return control->generation && control->build == gate_build() &&
	       faccessat(gate->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int gate_program_of_link(int dir_fd, const char *name)
{
	CLEANUP(fd_closep) int fd = -1;
	struct bpf_link_info info = {0};
	__u32 len = sizeof(info);
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%.40s", dir_fd, name);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return -1;
	return bpf_prog_get_fd_by_id(info.prog_id);
}

/* Their counts of what was missed; without CAP_SYS_ADMIN those are not known. */
static void gate_find_kept(struct gate *gate)
{
	const struct dirent *entry;
	char name[16];
	DIR *dir;

	(void)snprintf(name, sizeof(name), "%u", gate->generation);
	dir = fdopendir(openat(gate->dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!dir)
		return;
	while ((entry = readdir(dir)) && gate->n_kept < GATE_KEPT_MAX) {
		int fd = entry->d_name[0] == '.' ? -1
						 : gate_program_of_link(dirfd(dir), entry->d_name);

		if (fd >= 0)
			gate->kept_fds[gate->n_kept++] = fd;
	}
	(void)closedir(dir);
}

void gate_deny_unmanaged(struct gate *gate, bool deny)
{
	__atomic_store_n(&gate->control->unmanaged,
			 deny ? GATE_UNMANAGED_DENY : GATE_UNMANAGED_ALLOW, __ATOMIC_SEQ_CST);
}

/*
 * A number that no link has, not even one that a daemon killed before the switch left behind: it
 * may be there for a while after it is removed, and of one generation each program acts once.
 */
static uint32_t gate_new_generation(const struct gate *gate, const struct gate_control *before)
{
	uint32_t generation =
		before->before > before->generation ? before->before : before->generation;
	char name[16];

	do {
		(void)snprintf(name, sizeof(name), "%u", ++generation);
	} while (faccessat(gate->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	return generation;
}

/*
 * Attached beside the old ones, which act alone until the word is stored, and as long as they are
 * there: before is stored first, so that at no moment nobody acts.
 */
static int gate_switch(struct gate *gate, const struct gate_plan *plan, uint32_t generation)
{
	int err;

	if (gate->kept) {
		gate_find_kept(gate);
		gate_deny_unmanaged(gate, plan->deny_unmanaged);
		return 0;
	}
	err = gate_pin_links(gate, plan->dir, generation);

	if (err)
		return err;
	gate->control->abi = GATE_ABI;
	gate->control->build = 0; /* until it has proved itself: gate_commit() */
	gate_deny_unmanaged(gate, plan->deny_unmanaged);
	gate->replaced = gate->control->generation;
	__atomic_store_n(&gate->control->before, gate->replaced, __ATOMIC_SEQ_CST);
	__atomic_store_n(&gate->control->generation, generation, __ATOMIC_SEQ_CST);
	gate->switched = true;
	return 0;
}

int gate_commit(struct gate *gate)
{
	gate->switched = false; /* some of the old ones may be gone even if that fails */
	gate->control->build = gate_build();
	return gate_unpin_others(gate, gate->generation);
}

static int gate_start(struct gate *gate, const struct gate_plan *plan)
{
	const struct gate_control before = gate_control_of(plan->dir);
	uint32_t generation = before.generation;
	int err = gate_prepare_maps(gate, plan);

	gate->kept = !plan->passive && gate_may_keep(gate, &before);
	if (!gate->kept)
		generation = gate_new_generation(gate, &before);
	gate->generation = generation;

	if (!err)
		err = gate_load(gate, generation);
	if (!err && gate->control->abi && gate->control->abi != GATE_ABI)
		err = -EPROTONOSUPPORT;
	if (!err && !plan->passive)
		err = gate_switch(gate, plan, generation);
	if (err)
		return err;
	gate->ring = ring_buffer__new(bpf_map__fd(gate->skel->maps.gate_events), gate_ring_event,
				      gate, NULL);
	if (!gate->ring)
		return -errno;
	gate->holders = bpf_program__attach_iter(gate->skel->progs.gate_holders, NULL);
	if (!gate->holders)
		return -errno;
	gate_renew_sessions(gate);
	return 0;
}

static void gate_say(char *ret_reason, unsigned int size, const char *what, int err)
{
	(void)snprintf(ret_reason, size, "%s: %s", what, strerror(-err));
}

int gate_open(const struct gate_plan *plan, struct gate **ret_gate, char *ret_reason,
	      unsigned int reason_size)
{
	CLEANUP(gate_closep) struct gate *gate = calloc(1, sizeof(*gate));
	int err;

	if (!gate)
		return -ENOMEM;
	gate->dir_fd = -1;
	gate->fallback = plan->fallback;
	(void)libbpf_set_print(gate_silent);
	err = gate_open_dir(plan->dir, &gate->dir_fd);
	if (err) {
		gate_say(ret_reason, reason_size, plan->dir, err);
		return err;
	}
	gate->skel = gate_bpf__open();
	err = gate->skel ? gate_start(gate, plan) : -errno;
	if (err) {
		gate_drop(STEAL(gate));
		gate_say(ret_reason, reason_size, "the kernel does not take the programs", err);
		return err;
	}
	(void)malloc_trim(
		0); /* the kernel's types, which took megabytes: all that there is to give */
	*ret_gate = STEAL(gate);
	return 0;
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

static uint64_t gate_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The numbering of operations goes on: threads remember those of the session before. */
static int gate_fill(struct gate *gate, uint32_t slot, uint64_t id,
		     const struct gate_limits *limits)
{
	struct gate_session *s = &gate->sessions[slot];
	struct gate_call call = {.slot = slot};
	uint64_t next_op = s->next_op;
	int err = gate_call(gate->skel->progs.gate_clear, &call);

	if (err)
		return err;
	/* Nothing is in it, which is as good as a reading. */
	*s = (struct gate_session){.next_op = next_op, .read_ns = gate_now_ns()};
	gate->near[slot] = (struct gate_figures){0};
	gate_set_limits(gate, slot, limits);
	__atomic_store_n(&s->bits, GATE_LIVE, __ATOMIC_SEQ_CST);
	__atomic_store_n(&s->id, id, __ATOMIC_SEQ_CST);
	return 0;
}

int gate_reserve(struct gate *gate, uint64_t id, const struct gate_limits *limits, uint32_t n_files,
		 uint32_t *ret_slot)
{
	uint32_t slot = gate->n_free_from > 1 ? gate->n_free_from : 1;
	int err;

	while (slot < gate->n_sessions && gate->sessions[slot].id)
		slot++;
	gate->n_free_from = slot;
	if (slot == gate->n_sessions ||
	    gate->n_files + n_files > (uint64_t)gate->n_sessions * GATE_FILES_PER_SESSION)
		return -ENOSPC;
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
	gate->n_files++;
	gate->sessions[slot].n_enrolled++;
	return 0;
}

/* The kernel forgets the file by itself: this is what is kept free for it. */
void gate_unenrol(struct gate *gate, uint32_t slot)
{
	if (!gate->sessions[slot].n_enrolled)
		return;
	gate->n_files--;
	gate->sessions[slot].n_enrolled--;
}

void gate_revoke(struct gate *gate, uint32_t slot)
{
	if (gate && slot != GATE_NO_SLOT)
		(void)__atomic_fetch_or(&gate->sessions[slot].bits, GATE_REVOKED, __ATOMIC_SEQ_CST);
}

struct gate_state gate_state(const struct gate *gate, uint32_t slot)
{
	const struct gate_session *s = &gate->sessions[slot];
	uint32_t bits = __atomic_load_n(&s->bits, __ATOMIC_SEQ_CST);

	return (struct gate_state){
		.closed = bits & GATE_CLOSED,
		.ended = __atomic_load_n(&s->n_files, __ATOMIC_SEQ_CST) == 0,
		.poisoned = bits & GATE_POISONED,
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
	for (slot = slot == GATE_NO_SLOT ? 1 : slot + 1; slot < gate->n_sessions; slot++) {
		*ret_id = gate->sessions[slot].id;
		if (*ret_id)
			return slot;
	}
	return GATE_NO_SLOT;
}

uint32_t gate_find(const struct gate *gate, uint64_t id)
{
	uint32_t slot = GATE_NO_SLOT;
	uint64_t found;

	do {
		slot = gate_next(gate, slot, &found);
	} while (slot != GATE_NO_SLOT && found != id);
	return slot;
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
		.exact = s->read_ns && !s->dirty && !s->suspect && used == s->used,
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
	const struct gate_figures *near = &gate->near[slot];

	gate_look_shared(&gate->sessions[slot], ret_figures);
	if (!ret_figures->exact && near->read_ns > ret_figures->read_ns)
		gate_take(near, ret_figures);
}

int gate_read(struct gate *gate, uint32_t slot, bool wait, struct gate_figures *ret_figures)
{
	struct gate_call call = {.slot = slot, .wait = wait};
	int err = gate_call(gate->skel->progs.gate_read, &call);

	gate_look(gate, slot, ret_figures);
	if (err)
		return err;
	gate->near[slot] = (struct gate_figures){
		.mapped = GATE_USED_PAGES(call.used),
		.mappings = GATE_USED_MAPPINGS(call.used),
		.pinned = call.pinned,
		.objects = call.objects,
		.read_ns = gate_now_ns(),
	};
	gate_take(&gate->near[slot], ret_figures);
	ret_figures->exact = call.exact;
	return 0;
}

int gate_holders(const struct gate *gate, uint32_t slot, gate_holder_fn fn, void *arg)
{
	CLEANUP(fd_closep) int fd = bpf_iter_create(bpf_link__fd(gate->holders));
	struct gate_holder holders[64];
	ssize_t n;

	if (fd < 0)
		return -errno;
	/* EAGAIN: after a million files that say nothing the kernel takes a rest; it goes on there.
	 */
	while ((n = read(fd, holders, sizeof(holders))) > 0 ||
	       (n < 0 && (errno == EAGAIN || errno == EINTR)))
		for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(*holders); i++)
			if (holders[i].slot == slot)
				fn(holders[i].pid, arg);
	return n < 0 ? -errno : 0;
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
