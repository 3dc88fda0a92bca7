/* SPDX-License-Identifier: MIT */
/*
 * How the gate comes into the kernel and goes: its directory, its object, and the generations of
 * it, of which one acts and, while a daemon takes over, the one before beside it.
 */
#include "bpf/gate_private.h"

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
#include <unistd.h>

#include "bpf/expect_map.h"
#include "bpf/gate_map.h"
#include "common/cleanup.h"

#define GATE_BPF_FS_MAGIC 0xcafe4a11
#define GATE_SHOWN_STEP ((size_t)128 << 10) /* bytes: a multiple of a page */

/* The bytes that are mapped for the slots below @n. */
static size_t gate_shown_size(const struct gate *gate, uint32_t n)
{
	size_t whole = gate_page_up((size_t)gate->n_sessions * sizeof(struct gate_session));
	size_t size = (size_t)n * sizeof(struct gate_session) + GATE_SHOWN_STEP - 1;

	size -= size % GATE_SHOWN_STEP;
	return size < whole ? size : whole;
}

static void gate_unmap_sessions(struct gate *gate)
{
	if (gate->sessions)
		(void)munmap(gate->sessions, gate_shown_size(gate, gate->n_shown));
}

void gate_close(struct gate *gate)
{
	if (!gate)
		return;
	ring_buffer__free(gate->ring);
	if (gate->control)
		(void)munmap(gate->control, gate_page_up(sizeof(*gate->control)));
	gate_unmap_sessions(gate);
	if (gate->adopted)
		(void)munmap(gate->adopted, gate_page_up(GATE_POOL * sizeof(*gate->adopted)));
	if (gate->expected)
		(void)munmap(gate->expected, gate_page_up(sizeof(*gate->expected)));
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

/* --- the directory */

int gate_open_dir(const char *dir, int *ret_fd)
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
	uint32_t n = there > GATE_FIRST_SESSION ? there : plan->n_sessions + GATE_FIRST_SESSION;
	struct bpf_map *map;
	int err = 0;

	gate->n_sessions = n;
	err = bpf_map__set_max_entries(gate->skel->maps.gate_sessions, n);
	if (!err)
		err = bpf_map__set_max_entries(gate->skel->maps.gate_bodies, n);
	if (!err)
		err = bpf_map__set_max_entries(gate->skel->maps.gate_files,
					       (n - GATE_POOL) * GATE_FILES_PER_SESSION +
						       GATE_POOL); /* those have one each */
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

/* Where functions that programs hang on, and types that they read, can be. */
static const char *const gate_modules[] = {"iommufd", "vfio", "vfio_iommu_type1"};

struct gate_btf {
	struct btf *of[1 + ARRAY_SIZE(gate_modules)]; /* owned; the kernel's own is the first */
};

/* Return: 0; -ENOTSUP: the kernel says nothing of itself. */
static int gate_btf_init(struct gate_btf *btf)
{
	btf->of[0] = btf__load_vmlinux_btf();
	if (!btf->of[0])
		return -ENOTSUP;
	for (size_t i = 0; i < ARRAY_SIZE(gate_modules); i++)
		btf->of[1 + i] = btf__load_module_btf(gate_modules[i], btf->of[0]);
	return 0;
}

/* The kernel's own is a part of each of the others. */
static void gate_btf_fini(struct gate_btf *btf)
{
	for (size_t i = ARRAY_SIZE(btf->of); i-- > 0;)
		btf__free(btf->of[i]);
}

static bool gate_btf_has(const struct gate_btf *btf, const char *name, __u32 kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(btf->of); i++)
		if (btf->of[i] && btf__find_by_name_kind(btf->of[i], name, kind) > 0)
			return true;
	return false;
}

/*
 * Programs that were loaded when VFIO was not there do without what they read of it for ever: they
 * are not the same as these.
 */
static uint64_t gate_build_with(const struct gate *gate, const struct gate_btf *btf)
{
	return gate_build() + gate->knows_cdevs +
	       2U * gate_btf_has(btf, "vfio_dma", BTF_KIND_STRUCT);
}

static bool gate_section_is(const struct bpf_program *program, const char *prefix)
{
	return strncmp(bpf_program__section_name(program), prefix, strlen(prefix)) == 0;
}

/* Attached for good, unlike those that the daemon runs or attaches itself. */
static bool gate_program_is_pinned(const struct bpf_program *program)
{
	return !gate_program_is_traced(bpf_program__name(program)) &&
	       bpf_program__type(program) != BPF_PROG_TYPE_SYSCALL;
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
	}
}

/* They are in the kernel already. */
static void gate_leave_pinned(const struct gate *gate)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, gate->skel->obj)
	{
		if (gate_program_is_pinned(program))
			(void)bpf_program__set_autoload(program, false);
	}
}

/*
 * A kernel without a function that a program hangs on: that program is not needed there. Without
 * iommufd's types all would have to do without what they read.
 */
static int gate_probe(struct gate *gate)
{
	CLEANUP(gate_btf_fini) struct gate_btf btf = {.of = {NULL}};
	struct bpf_program *program;
	int err = gate_btf_init(&btf);

	if (err)
		return err;
	bpf_object__for_each_program(program, gate->skel->obj)
	{
		const char *name = strchr(bpf_program__section_name(program), '/');

		if ((gate_section_is(program, "fexit/") || gate_section_is(program, "fentry/")) &&
		    !gate_btf_has(&btf, name + 1, BTF_KIND_FUNC))
			(void)bpf_program__set_autoload(program, false);
	}
	gate->skel->rodata->gate_keeps_cpu =
		gate_btf_has(&btf, "bpf_preempt_disable", BTF_KIND_FUNC);
	gate->knows_cdevs = gate_btf_has(&btf, "vfio_device_file", BTF_KIND_STRUCT);
	gate->build = gate_build_with(gate, &btf);
	return gate_btf_has(&btf, "iopt_area", BTF_KIND_STRUCT) ? 0 : -ENODEV;
}

uint32_t gate_control_id(const struct gate *gate)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_map__fd(gate->skel->maps.gate_control), &info, &len)
		       ? 0
		       : info.id;
}

static void *gate_map_memory(struct bpf_map *map, size_t size)
{
	void *memory = mmap(NULL, gate_page_up(size), PROT_READ | PROT_WRITE, MAP_SHARED,
			    bpf_map__fd(map), 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int gate_show(struct gate *gate, uint32_t n)
{
	size_t size = gate_shown_size(gate, n);
	struct gate_session *sessions;

	if (gate->sessions && size == gate_shown_size(gate, gate->n_shown))
		return 0;
	sessions = gate_map_memory(gate->skel->maps.gate_sessions, size);
	if (!sessions)
		return -errno;
	gate_unmap_sessions(gate);
	gate->sessions = sessions;
	gate->n_shown = (uint32_t)(size / sizeof(*sessions));
	if (gate->n_shown > gate->n_sessions)
		gate->n_shown = gate->n_sessions;
	return 0;
}

static int gate_load(struct gate *gate)
{
	int err;

	gate->skel->rodata->gate_generation = gate->generation;
	gate->skel->rodata->gate_page_shift =
		(__u32)__builtin_ctzl((unsigned long)sysconf(_SC_PAGESIZE));
	gate->skel->rodata->gate_skippable = gate->fallback;
	if (gate->kept)
		gate_leave_pinned(gate);
	err = gate_bpf__load(gate->skel);
	if (err)
		return err;
	gate->control = gate_map_memory(gate->skel->maps.gate_control, sizeof(*gate->control));
	gate->adopted =
		gate_map_memory(gate->skel->maps.gate_adopted, GATE_POOL * sizeof(*gate->adopted));
	gate->expected = gate_map_memory(gate->skel->maps.expect_table, sizeof(*gate->expected));
	if (!gate->control || !gate->adopted || !gate->expected)
		return errno ? -errno : -ENOMEM; /* never 0: the analyzer knows no mmap() */
	return gate_show(gate, gate->n_sessions);
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

static int gate_pin_links(const struct gate *gate, const char *dir)
{
	struct bpf_program *program;
	char path[PATH_MAX];
	int err;

	(void)snprintf(path, sizeof(path), "%s/%u", dir, gate->generation);
	err = gate_remove_tree(AT_FDCWD, path);
	if (err)
		return err;
	if (mkdir(path, 0700) < 0)
		return -errno;
	bpf_object__for_each_program(program, gate->skel->obj)
	{
		if (!gate_program_is_pinned(program) || !bpf_program__autoload(program))
			continue;
		err = gate_pin_link(program, path);
		if (err)
			return err;
	}
	return 0;
}

/* Links of other generations than the one that acts. */
static int gate_unpin_others(const struct gate *gate)
{
	char keep[16];
	const struct dirent *entry;
	DIR *dir = fdopendir(openat(gate->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int err = 0;

	if (!dir)
		return -errno;
	(void)snprintf(keep, sizeof(keep), "%u", gate->generation);
	while (!err && (entry = readdir(dir)))
		if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
		    strcmp(entry->d_name, keep) != 0)
			err = gate_remove_tree(dirfd(dir), entry->d_name);
	(void)closedir(dir);
	return err;
}

/* What the daemon before left; all 0: nothing. */
static struct gate_control gate_control_of(const char *dir)
{
	CLEANUP(fd_closep) int fd = -1;
	struct gate_control control = {0};
	char path[PATH_MAX];
	__u32 zero = 0;

	(void)snprintf(path, sizeof(path), "%s/" GATE_CONTROL_NAME, dir);
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_map_lookup_elem(fd, &zero, &control))
		return (struct gate_control){0};
	return control;
}

static bool gate_has_pin(const struct gate *gate, uint32_t generation, const char *name)
{
	char path[64];

	if (generation)
		(void)snprintf(path, sizeof(path), "%u/%s", generation, name);
	return faccessat(gate->dir_fd, generation ? path : name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * Maps that programs of this very object act on, and of which one is not there any more: what is
 * in it nobody knows, and another in its place would be empty.
 */
static bool gate_lacks_map(const struct gate *gate)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, gate->skel->obj)
	{
		if (bpf_map__pin_path(map) && !gate_has_pin(gate, 0, bpf_map__name(map)))
			return true;
	}
	return false;
}

static bool gate_lacks_program(const struct gate *gate, uint32_t generation)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, gate->skel->obj)
	{
		if (gate_program_is_pinned(program) && bpf_program__autoload(program) &&
		    !gate_has_pin(gate, generation, bpf_program__name(program)))
			return true;
	}
	return false;
}

/*
 * Whether the programs that act are those of this very object, and all of them. Then they go on: to
 * attach others instead would gain nothing, and each time the kernel's code is patched under those
 * who run it.
 *
 * Return: 0; -EUCLEAN: they act on what is not there to be looked at; -EALREADY: nothing of them
 * is.
 */
static int gate_try_keep(struct gate *gate, const struct gate_control *before)
{
	if (!gate_has_pin(gate, 0, GATE_CONTROL_NAME) && gate_acts_unpinned())
		return -EALREADY;
	if (!before->generation || before->build != gate->build)
		return 0;
	if (gate_lacks_map(gate))
		return -EUCLEAN;
	gate->kept = !gate_lacks_program(gate, before->generation);
	return 0;
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
static int gate_switch(struct gate *gate, const struct gate_plan *plan)
{
	int err;

	if (gate->kept) {
		gate_find_kept(gate);
		return 0;
	}
	err = gate_pin_links(gate, plan->dir);
	if (err)
		return err;
	gate->control->abi = GATE_ABI;
	gate->control->build = 0; /* until it has proved itself: gate_commit() */
	gate->replaced = gate->control->generation;
	__atomic_store_n(&gate->control->before, gate->replaced, __ATOMIC_SEQ_CST);
	__atomic_store_n(&gate->control->generation, gate->generation, __ATOMIC_SEQ_CST);
	gate->switched = true;
	return 0;
}

int gate_commit(struct gate *gate)
{
	gate->switched = false; /* some of the old ones may be gone even if that fails */
	gate->control->build = gate->build;
	return gate_unpin_others(gate);
}

static int gate_start(struct gate *gate, const struct gate_plan *plan)
{
	const struct gate_control before = gate_control_of(plan->dir);
	int err = gate_prepare_maps(gate, plan);

	gate_choose(gate);
	if (!err)
		err = gate_probe(gate);
	if (!err && !plan->passive)
		err = gate_try_keep(gate, &before);
	gate->generation = gate->kept ? before.generation : gate_new_generation(gate, &before);
	if (!err)
		err = gate_load(gate);
	if (!err && gate->control->abi && gate->control->abi != GATE_ABI)
		err = -EPROTONOSUPPORT;
	if (!err && !plan->passive)
		err = gate_switch(gate, plan);
	return err ? err : gate_serve(gate);
}

static void gate_say(char *ret_reason, unsigned int size, const char *what, int err)
{
	(void)snprintf(ret_reason, size, "%s: %s", what, strerror(-err));
}

static void gate_say_why(char *ret_reason, unsigned int size, const struct gate_plan *plan, int err)
{
	if (err == -EUCLEAN)
		(void)snprintf(
			ret_reason, size,
			"maps are missing in %s, and programs act on them: those go on; stop "
			"pinbrokerd and run pinbrokerd --purge",
			plan->dir);
	else if (err == -EALREADY)
		(void)snprintf(
			ret_reason, size,
			"another gate acts, of which nothing is in %s: start pinbrokerd where "
			"its descriptors are kept, or stop that gate by pinbrokerd --purge",
			plan->dir);
	else if (err == -ENODEV)
		(void)snprintf(ret_reason, size,
			       "iommufd is not there, or the kernel does not tell its types: load "
			       "the module before pinbrokerd starts");
	else
		gate_say(ret_reason, size, "the kernel does not take the programs", err);
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
		gate_say_why(ret_reason, reason_size, plan, err);
		return err;
	}
	(void)malloc_trim(
		0); /* the kernel's types, which took megabytes: all that there is to give */
	*ret_gate = STEAL(gate);
	return 0;
}
