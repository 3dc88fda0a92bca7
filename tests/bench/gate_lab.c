/* SPDX-License-Identifier: MIT */
#include "tests/bench/gate_lab.h"

#include <err.h>
#include <linux/bpf.h>
#include <sys/ioctl.h>
#include <time.h>

/* Attaches its programs one by one. NOLINTNEXTLINE(bugprone-suspicious-include) */
#include "bpf/gate_load.c"
#include "iommufd/uapi.h"
#include "tests/integration/mock.h"

#define SETTLE_US 50000
#define APERTURE (1ULL << 24) /* a mock device's begins there */

double lab_now_us(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		err(1, "clock_gettime");
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* What was attached or taken off has been patched everywhere. */
void lab_settle(void)
{
	(void)usleep(SETTLE_US); /* a signal would only make it shorter */
}

/* --- programs */

static int empty_load(void)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	struct bpf_prog_load_opts opts = {.sz = sizeof(opts),
					  .expected_attach_type = BPF_LSM_MAC,
					  .prog_flags = BPF_F_SLEEPABLE};
	int fd;

	opts.attach_btf_id = (__u32)libbpf_find_vmlinux_btf_id("file_ioctl", BPF_LSM_MAC);
	fd = bpf_prog_load(BPF_PROG_TYPE_LSM, "empty", "GPL", nothing, ARRAY_SIZE(nothing), &opts);
	if (fd < 0)
		err(1, "an empty program");
	return fd;
}

static void gate_open_or_exit(uint32_t n_sessions, struct gate **ret_gate)
{
	const struct gate_plan plan = {.dir = LAB_DIR, .n_sessions = n_sessions};
	char reason[256] = "";

	if (gate_open(&plan, ret_gate, reason, sizeof(reason)))
		errx(1, "%s", reason);
	if (gate_commit(*ret_gate))
		errx(1, "what was there before stays");
}

/* The pinned links go: the laboratory holds its own. */
static void pins_remove(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), LAB_DIR "/%u", gate_control_of(LAB_DIR).generation);
	if (gate_remove_tree(AT_FDCWD, path))
		err(1, "%s", path);
	(void)usleep(10 * SETTLE_US); /* what was pinned goes some time after its pin */
}

void lab_open(struct lab *lab, uint32_t n_sessions)
{
	*lab = (struct lab){.empty_fd = empty_load(), .empty_link_fd = -1};
	(void)gate_purge(LAB_DIR); /* of a run before */
	gate_open_or_exit(n_sessions, &lab->gate);
	pins_remove();
}

void lab_close(struct lab *lab)
{
	lab_detach(lab);
	lab_detach_empty(lab);
	fd_closep(&lab->empty_fd);
	gate_close(lab->gate);
	if (gate_purge(LAB_DIR))
		err(1, LAB_DIR);
}

static bool name_wanted(const char *names, const struct bpf_program *program)
{
	char name[64];

	(void)snprintf(name, sizeof(name), " %s ", bpf_program__name(program));
	return !names || strstr(names, name);
}

void lab_attach(struct lab *lab, const char *names)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, lab->gate->skel->obj)
	{
		/* Others of the object look at the host, or at events. */
		if (!gate_program_is_pinned(program) ||
		    strncmp(bpf_program__name(program), "gate_", 5) != 0 ||
		    !bpf_program__autoload(program) || !name_wanted(names, program))
			continue;
		lab->links[lab->n_links] = bpf_program__attach(program);
		if (!lab->links[lab->n_links++])
			err(1, "%s", bpf_program__name(program));
	}
	lab_settle();
}

void lab_detach(struct lab *lab)
{
	while (lab->n_links > 0)
		(void)bpf_link__destroy(lab->links[--lab->n_links]);
	lab_settle();
}

void lab_attach_empty(struct lab *lab)
{
	lab->empty_link_fd = bpf_raw_tracepoint_open(NULL, lab->empty_fd);
	if (lab->empty_link_fd < 0)
		err(1, "the empty program");
	lab_settle();
}

void lab_detach_empty(struct lab *lab)
{
	fd_closep(&lab->empty_link_fd);
	lab_settle();
}

/* --- taking over */

static void phases_sum(const struct gate *gate, struct lab_phases *ret_phases)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, gate->skel->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		if (bpf_program__fd(program) >= 0 &&
		    !bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len))
			ret_phases->n_instructions += info.verified_insns;
	}
}

/* As gate_start() does it. */
static void phases_measure(struct lab_phases *ret_phases)
{
	const struct gate_plan plan = {.dir = LAB_DIR, .n_sessions = 1};
	CLEANUP(gate_closep) struct gate *gate = calloc(1, sizeof(*gate));
	double start = lab_now_us(), now;

	if (!gate)
		err(1, "calloc");
	gate->dir_fd = -1;
	gate->generation = gate_control_of(LAB_DIR).generation + 1;
	gate->skel = gate_bpf__open();
	ret_phases->open = (now = lab_now_us()) - start;
	start = now;
	if (!gate->skel || gate_prepare_maps(gate, &plan))
		err(1, "maps");
	ret_phases->maps = (now = lab_now_us()) - start;
	start = now;
	if (gate_probe(gate))
		err(1, "probing");
	ret_phases->probe = (now = lab_now_us()) - start;
	start = now;
	if (gate_load(gate))
		err(1, "loading");
	ret_phases->load = (now = lab_now_us()) - start - ret_phases->probe; /* it probes, too */
	start = now;
	if (gate_pin_links(gate, LAB_DIR))
		err(1, "links");
	ret_phases->links = lab_now_us() - start;
	phases_sum(gate, ret_phases);
}

void lab_take_over(struct lab *lab, struct lab_phases *ret_phases)
{
	double start;

	*ret_phases = (struct lab_phases){.total = 0};
	lab_detach(lab);
	gate_close(lab->gate);
	phases_measure(ret_phases);
	start = lab_now_us();
	gate_open_or_exit(1, &lab->gate);
	ret_phases->total = lab_now_us() - start;
	pins_remove();
}

/* --- what programs cost */

void lab_stats(const struct lab *lab, bool start)
{
	static int stats_fd = -1;
	struct bpf_program *program;

	if (start && stats_fd < 0) {
		stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
		if (stats_fd < 0)
			err(1, "BPF_ENABLE_STATS");
		return;
	}
	bpf_object__for_each_program(program, lab->gate->skel->obj)
	{
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);

		if (bpf_program__fd(program) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len) || !info.run_cnt)
			continue;
		printf("  %-18s %8llu runs %8.2f us each\n", bpf_program__name(program),
		       (unsigned long long)info.run_cnt,
		       (double)info.run_time_ns / (double)info.run_cnt / 1e3);
	}
	fd_closep(&stats_fd);
}

/* --- contexts */

struct context context_open(void)
{
	struct uapi_iommu_ioas_alloc alloc = {.size = sizeof(alloc)};
	struct context context = {.fd = open("/dev/iommu", O_RDWR | O_CLOEXEC),
				  .slot = GATE_NO_SLOT};

	if (context.fd < 0 || ioctl(context.fd, UAPI_IOMMU_IOAS_ALLOC, &alloc) < 0)
		err(1, "/dev/iommu");
	context.ioas = alloc.out_ioas_id;
	return context;
}

bool context_add_domain(const struct context *context)
{
	struct uapi_iommu_test_mock_domain mock = {
		.size = sizeof(mock), .op = UAPI_IOMMU_TEST_OP_MOCK_DOMAIN, .id = context->ioas};

	return ioctl(context->fd, UAPI_IOMMU_TEST_CMD, &mock) == 0;
}

void context_enrol(struct lab *lab, struct context *context, uint64_t id, uint64_t pages,
		   uint64_t mappings)
{
	const struct gate_limits limits = {.pages = pages, .mappings = mappings, .objects = 1000};

	if (gate_reserve(lab->gate, id, &limits, 1, &context->slot) ||
	    gate_enrol(lab->gate, context->slot, context->fd, false))
		errx(1, "session %llu is not taken", (unsigned long long)id);
}

void context_close(struct lab *lab, struct context *context)
{
	fd_closep(&context->fd);
	gate_forget(lab->gate, context->slot);
	context->slot = GATE_NO_SLOT;
}

void context_map(const struct context *context, const void *memory, uint64_t iova, uint64_t len)
{
	struct uapi_iommu_ioas_map map = {
		.size = sizeof(map),
		.flags = UAPI_IOMMU_IOAS_MAP_FIXED_IOVA | UAPI_IOMMU_IOAS_MAP_READABLE |
			 UAPI_IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = context->ioas,
		.user_va = (uintptr_t)memory,
		.length = len,
		.iova = APERTURE + iova,
	};

	if (ioctl(context->fd, UAPI_IOMMU_IOAS_MAP, &map) < 0)
		err(1, "MAP at %#llx", (unsigned long long)iova);
}

void context_unmap(const struct context *context, uint64_t iova, uint64_t len)
{
	struct uapi_iommu_ioas_unmap unmap = {.size = sizeof(unmap),
					      .ioas_id = context->ioas,
					      .iova = APERTURE + iova,
					      .length = len};

	if (ioctl(context->fd, UAPI_IOMMU_IOAS_UNMAP, &unmap) < 0)
		err(1, "UNMAP at %#llx", (unsigned long long)iova);
}
