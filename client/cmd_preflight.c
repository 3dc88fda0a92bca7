/* SPDX-License-Identifier: MIT */
/*
 * pinbroker preflight: would this guest have what it needs? Reads a domain of libvirt's or options,
 * asks who decides, and leaves the judgement to preflight.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "client/cmd.h"
#include "client/decision.h"
#include "client/domain.h"
#include "client/domain_xml.h"
#include "client/output.h"
#include "client/preflight.h"
#include "client/preflight_print.h"
#include "client/request.h"
#include "client/subject.h"
#include "common/cleanup.h"

#define ENTRY_LIMIT_FILE "/sys/module/vfio_iommu_type1/parameters/dma_entry_limit"

/* The command line, and what it is made of. Strings are borrowed from argv, or as they say. */
struct order {
	const char *file; /* "-": standard input; NULL: there is none */
	const char *config; /* NULL: ask the broker */
	bool json;
	bool help;
	struct subject subject;
	struct request request;
	size_t n_given; /* devices by --device */
	struct domain *domain; /* owned; NULL: there is none */
	char *slice; /* owned */
	char *label; /* owned; the user's part, which ends where the group's begins */
	struct preflight preflight;
};

static void order_fini(struct order *order)
{
	subject_fini(&order->subject);
	free(order->domain);
	free(order->slice);
	free(order->label);
}

static int order_option(const struct cmd_env *env, struct order *order, int opt)
{
	switch (opt) {
	case 'c':
		order->config = optarg;
		return 0;
	case 'D':
		if (!optarg[0] || strlen(optarg) > DOMAIN_NAME_MAX)
			return cmd_usage(env, "--domain: '%s' is no name of a domain", optarg);
		order->subject.domain = optarg;
		return 0;
	case 'u':
	case 'g':
	case 'G':
		return subject_option(env, &order->subject, opt, optarg);
	case 'j':
		order->json = true;
		return 0;
	case 'h':
		order->help = true;
		return 0;
	default:
		return request_option(env, &order->request, opt, optarg);
	}
}

/* The refusal of a file that is no domain. Return: 77. */
static int bad_domain(const struct order *order, unsigned int line, const char *why)
{
	char number[16] = "", text[512];

	if (line)
		(void)snprintf(number, sizeof(number), "%u:", line); /* it fits */
	(void)snprintf(text, sizeof(text), "%s:%s %s", order->file, number, why); /* cut */
	return cmd_refused("bad-request", text);
}

static int read_bytes(const struct cmd_env *env, const struct order *order, char **ret_bytes,
		      size_t *ret_len)
{
	CLEANUP(fd_closep) int file_fd = -1;
	char text[64];
	int err;

	if (strcmp(order->file, "-") != 0) {
		file_fd = open(order->file, O_RDONLY | O_CLOEXEC);
		if (file_fd < 0)
			return cmd_usage(env, "%s: %s", order->file, strerror(errno));
	}
	err = domain_read(file_fd < 0 ? STDIN_FILENO : file_fd, ret_bytes, ret_len);
	switch (err) {
	case 0:
		return 0;
	case -ENOMEM:
		return cmd_internal(err);
	case -EFBIG:
		(void)snprintf(text, sizeof(text), "more than %u bytes", DOMAIN_XML_MAX);
		return bad_domain(order, 0, text);
	default:
		return cmd_usage(env, "%s: %s", order->file, strerror(-err));
	}
}

static int read_domain(const struct cmd_env *env, struct order *order)
{
	CLEANUP(freep) char *bytes = NULL;
	struct domain_fault fault;
	size_t len = 0;
	int status = read_bytes(env, order, &bytes, &len);
	int err;

	if (status)
		return status;
	err = domain_parse(bytes, len, &order->domain, &fault);
	if (err == -ENOMEM)
		return cmd_internal(err);
	if (err)
		return bad_domain(order, fault.line, fault.text);
	err = domain_guest(order->domain, &order->preflight.declared);
	if (err == -EINVAL)
		return bad_domain(order, 0, "memory devices are as large as all of <memory>");
	return err ? bad_domain(order, 0, "more memory than there can be") : 0;
}

/* "+107:+107", "qemu:kvm", "qemu": whom QEMU runs as, with the group that it has besides. */
static int take_label(struct order *order)
{
	const char *label = order->domain->dac_label;
	char *group;

	order->label = strdup(label + (label[0] == '+'));
	if (!order->label)
		return cmd_internal(-ENOMEM);
	group = strchr(order->label, ':');
	if (group)
		*group++ = '\0';
	order->subject.uid = order->label;
	if (group && group[0])
		order->subject.group = group + (group[0] == '+');
	return 0;
}

/* The cgroup that the domain will be in. */
static int take_slice(const struct cmd_env *env, struct order *order)
{
	int err = domain_slice(order->domain, &order->slice);

	if (err == -ENOMEM)
		return cmd_internal(err);
	if (err)
		return cmd_usage(env,
				 "the domain's partition '%s' is none: name the cgroup with "
				 "--cgroup",
				 order->domain->partition);
	order->subject.cgroup = order->slice;
	return 0;
}

/*
 * Who the domain says that QEMU will be; options come first. Only root and who decides by a file
 * may ask that; for others it is they who ask, as it is they who run QEMU then.
 */
static int take_subject(const struct cmd_env *env, struct order *order)
{
	struct subject *subject = &order->subject;
	int status = 0;

	if (geteuid() != 0 && !order->config)
		return 0;
	if (!subject->domain)
		subject->domain = order->domain->name;
	if (!subject->uid && order->domain->dac_label[0])
		status = take_label(order);
	else if (!subject->uid && geteuid() == 0)
		return cmd_usage(env,
				 "the domain does not say who runs it (<seclabel model='dac'>): "
				 "name the user with --uid, see user in qemu.conf");
	return status || subject->cgroup ? status : take_slice(env, order);
}

static bool is_given(const struct order *order, const char *name)
{
	for (size_t i = 0; i < order->n_given; i++)
		if (strcmp(order->request.names[i], name) == 0)
			return true;
	return false;
}

/*
 * A session has the devices that libvirt reaches by iommufd; where that is none of them, all, as if
 * it did: to know beforehand is what this is for.
 */
static void add_domain_devices(struct order *order)
{
	const struct domain *domain = order->domain;
	struct preflight *p = &order->preflight;
	bool all = !domain_count_iommufd(domain);

	p->n_iommufd = p->n_asked = order->n_given;
	p->guest.n_vfio = order->n_given;
	for (size_t i = 0; i < domain->n_hostdevs; i++) {
		const struct domain_hostdev *hostdev = &domain->hostdevs[i];
		bool by_iommufd = domain_by_iommufd(domain, hostdev);

		if (is_given(order, hostdev->name))
			continue;
		p->guest.n_vfio++;
		p->n_iommufd += by_iommufd;
		if (!all && !by_iommufd)
			continue;
		p->n_asked++;
		(void)request_add_device(&order->request, hostdev->name); /* n_asked tells */
	}
}

static void add_domain(struct order *order)
{
	struct preflight *p = &order->preflight;

	p->domain = order->domain;
	p->guest = p->declared;
	p->guest.viommu |= order->request.ask.viommu;
	add_domain_devices(order);
	order->request.ask.memory = p->guest.memory;
	order->request.ask.viommu = p->guest.viommu;
	p->session = p->n_asked || order->domain->fdgroup[0];
}

static void add_options(struct order *order)
{
	struct preflight *p = &order->preflight;

	p->guest = (struct guest){
		.memory = order->request.ask.memory,
		.hard_limit = UINT64_MAX,
		.viommu = order->request.ask.viommu,
		.n_vfio = order->n_given,
	};
	p->n_iommufd = p->n_asked = order->n_given;
	p->session = true;
}

/* The module's parameter, where it is loaded. */
static uint64_t read_entry_limit(void)
{
	CLEANUP(file_closep) FILE *file = fopen(ENTRY_LIMIT_FILE, "re");
	uint64_t limit = PREFLIGHT_DMA_ENTRY_LIMIT;
	char line[32];

	if (!file)
		return limit;
	while (fgets(line, sizeof(line), file))
		limit = strtoull(line, NULL, 10); /* the kernel writes nothing else */
	return limit;
}

static int read_host(struct order *order)
{
	CLEANUP(fd_closep) int sysfs_fd = open("/sys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct preflight *p = &order->preflight;
	int err;

	if (sysfs_fd < 0)
		return cmd_internal(-errno);
	p->dma_entry_limit = read_entry_limit();
	p->n_devices = order->request.ask.n_devices;
	for (size_t i = 0; i < p->n_devices; i++) {
		p->devices[i].name = order->request.names[i];
		err = bars_read(sysfs_fd, p->devices[i].name, &p->devices[i].bars);
		if (err)
			return cmd_internal(err);
	}
	return 0;
}

static int gather(const struct cmd_env *env, struct order *order)
{
	struct preflight *p = &order->preflight;
	int status = 0;

	order->n_given = order->request.ask.n_devices;
	if (order->file)
		status = read_domain(env, order);
	if (!status && order->file)
		status = take_subject(env, order);
	if (status)
		return status;
	if (order->file)
		add_domain(order);
	else
		add_options(order);
	status = read_host(order);
	/* More devices than fit into a question are a finding already. */
	if (status || !p->session || p->n_asked > PINBROKER_DEVICES_MAX)
		return status;
	status = decision_ask(env, order->config, &order->subject, &order->request.ask,
			      &p->decision, &p->assumed);
	p->decided = !status;
	return status;
}

static int run(const struct cmd_env *env, struct order *order)
{
	struct preflight *p = &order->preflight;
	int status = gather(env, order);
	int err;

	if (status)
		return status;
	preflight_judge(p);
	output_begin();
	err = preflight_print(p, order->json);
	if (err)
		return cmd_internal(err);
	status = output_finish(EX_OK);
	if (status || !p->n_findings)
		return status;
	return cmd_refused(p->findings[0].reason, p->findings[0].text);
}

static int check_words(const struct cmd_env *env, struct order *order, int argc, char **argv)
{
	if (argc - optind > 1)
		return cmd_usage(env, "unexpected argument '%s'", argv[optind + 1]);
	order->file = argv[optind]; /* NULL after the last */
	if (order->file && order->request.ask.memory)
		return cmd_usage(env, "--memory: the domain has its own");
	if (!order->file && !order->request.ask.memory)
		return cmd_usage(env, "neither a domain nor --memory");
	return 0;
}

static int preflight_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		SUBJECT_OPTIONS,
		{"domain", required_argument, NULL, 'D'},
		REQUEST_OPTIONS,
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	CLEANUP(order_fini) struct order order = {.file = NULL};
	int status;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		status = order_option(env, &order, opt);
		if (status)
			return status;
		if (order.help)
			return cmd_help(env);
	}
	status = check_words(env, &order, argc, argv);
	return status ? status : run(env, &order);
}

const struct cmd cmd_preflight = {
	.name = "preflight",
	.args = "[OPTION...] DOMAIN.xml | --memory SIZE [OPTION...]",
	.summary = "show whether a guest will fit, from its start to its largest",
	.help = "Shows what a guest will have locked and mapped, term by term, what libvirt would\n"
		"let it lock, which policy applies, and whether all of it fits: exit status 0, or\n"
		"77 when it does not. DOMAIN.xml is a domain of libvirt's; - is standard input.\n\n"
		"  --config FILE      decide by FILE, without a broker and as if no session "
		"existed\n"
		"  --uid U            QEMU's user: number or name (default: the domain's)\n"
		"  --gid G            with this group (may be repeated; default: those of the "
		"user)\n"
		"  --cgroup PATH      in this cgroup (default: the domain's slice)\n"
		"  --domain NAME      for policies with domains (default: the domain's name)\n"
		"  --memory SIZE      of the guest's RAM; K, M, G, T; without DOMAIN.xml\n"
		"  --device DEV       one more device: PCI address or mdev UUID; may be repeated\n"
		"  --viommu           the guest has a vIOMMU, also one that libvirt does not see\n"
		"  --accounting MODE  task or user, where the policy leaves the choice\n"
		"  --json             an object, sizes in bytes\n"
		"  --help             this text\n",
	.run = preflight_main,
};
