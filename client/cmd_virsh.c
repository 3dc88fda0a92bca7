/* SPDX-License-Identifier: MIT */
/* pinbroker virsh-start: a domain of libvirt with an iommufd of the broker's. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounting/guest.h"
#include "accounting/size.h"
#include "client/cmd.h"
#include "client/domain.h"
#include "client/domain_xml.h"
#include "client/hook.h"
#include "client/libvirt.h"
#include "client/libvirt_session.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/device.h"

#define VIRSH_SYSTEM "qemu:///system"
#define VIRSH_SESSION "qemu:///session"

/* What is started, and as what. */
struct start {
	const struct cmd_env *env;
	const char *name;
	bool session; /* by the caller's own libvirt daemon */
	int daemon; /* its pidfd; owned, as what follows */
	struct libvirt *libvirt;
	struct pinbroker *broker;
	struct domain *domain;
	char *xml;
	struct pinbroker_grant grant; /* with its descriptors */
};

static void start_fini(struct start *start)
{
	pinbroker_grant_close(&start->grant);
	fd_closep(&start->daemon);
	pinbroker_free(start->broker);
	libvirt_close(start->libvirt);
	free(start->domain);
	free(start->xml);
}

static int say_libvirt(const struct start *start)
{
	output_error("virsh-start: domain '%s': libvirt: %s", start->name,
		     libvirt_error(start->libvirt));
	return EX_SOFTWARE;
}

static int find_domain(struct start *start, const char *uri)
{
	struct domain_fault fault;
	int err = libvirt_open(uri, start->name, &start->libvirt);

	if (err == -ENOPKG) {
		output_error("virsh-start: libvirt's client library (libvirt.so.0, 9.0 or later) "
			     "is not installed");
		return EX_UNAVAILABLE;
	}
	if (!err) {
		start->xml = libvirt_xml(start->libvirt);
		err = start->xml ? 0 : -EREMOTEIO;
	}
	if (err)
		return err == -EREMOTEIO ? say_libvirt(start) : cmd_internal(err);
	err = domain_parse(start->xml, strlen(start->xml), &start->domain, &fault);
	if (err == -EINVAL) {
		output_error("virsh-start: domain '%s': line %u: %s", start->name, fault.line,
			     fault.text);
		return EX_CONFIG;
	}
	return err ? cmd_internal(err) : 0;
}

/* libvirt opens the devices itself whatever is passed; only the iommufd can be another's. */
static int check_domain(const struct start *start)
{
	if (!domain_count_iommufd(start->domain)) {
		output_error("virsh-start: domain '%s' has no PCI device by iommufd", start->name);
		return EX_CONFIG;
	}
	if (!start->domain->fdgroup[0]) {
		output_error("virsh-start: domain '%s' has no <iommufd enabled='yes' "
			     "fdgroup='...'/>: libvirt would open IOMMUFD itself, and limits are "
			     "the hook's business then, see pinbroker-libvirt(7)",
			     start->name);
		return EX_CONFIG;
	}
	return 0;
}

/* libvirt runs as the caller and opens what is the caller's. */
static int check_device(const struct start *start, int sysfs_fd, const char *name)
{
	char path[sizeof("/dev/vfio/devices/") + DEVICE_NAME_MAX];
	struct device device;
	int err = device_probe(sysfs_fd, name, &device);

	if (err || !device.found || !device.cdev[0])
		return 0; /* the broker says it better */
	(void)snprintf(path, sizeof(path), "/dev/vfio/devices/%s", device.cdev); /* it fits */
	if (access(path, R_OK | W_OK) == 0)
		return 0;
	output_error("virsh-start: domain '%s': libvirt cannot be handed a device's descriptor, "
		     "and cannot open %s of device %s itself: %s",
		     start->name, path, name, strerror(errno));
	return EX_NOPERM;
}

/* The limit that QEMU is started with is the daemon's to give: it has the session's by then. */
static int check_limit(const struct start *start)
{
	char needed[SIZE_TEXT_MAX], limit[SIZE_TEXT_MAX];
	struct guest_memlock memlock;
	struct guest guest;

	if (domain_guest(start->domain, &guest))
		return 0; /* it was asked for before */
	memlock = guest_libvirt(&guest);
	if (memlock.limit <= start->grant.limit)
		return 0;
	output_error("virsh-start: domain '%s': libvirt gives QEMU an RLIMIT_MEMLOCK of %s, and "
		     "policy \"%s\" allows %s: limit = \"auto\" is what libvirt gives",
		     start->name, size_text(memlock.limit, needed), start->grant.policy,
		     size_text(start->grant.limit, limit));
	return EX_CONFIG;
}

static int make_request(struct start *start, struct hook_request *request)
{
	CLEANUP(fd_closep) int sysfs_fd = -1;
	int status = 0;
	int err;

	if (!start->session)
		return hook_request(start->domain, request) ? EX_CONFIG : 0;
	err = libvirt_session_pidfd(&start->daemon);
	if (err) {
		output_error("virsh-start: the libvirt daemon of " VIRSH_SESSION
			     " cannot be found: %s",
			     strerror(-err));
		return EX_UNAVAILABLE;
	}
	if (hook_request_session(start->domain, start->daemon, request))
		return EX_CONFIG;
	sysfs_fd = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; !status && i < request->request.n_devices; i++)
		status = check_device(start, sysfs_fd, request->devices[i]);
	return status;
}

static int open_session(struct start *start)
{
	CLEANUP(hook_request_fini) struct hook_request request = {.cgroup = NULL};
	int err, status = make_request(start, &request);

	if (!status)
		status = cmd_connect(start->env, &start->broker);
	if (status)
		return status;
	err = pinbroker_open_for(start->broker, &request.subject, &request.request, &start->grant);
	if (err)
		return cmd_failed(start->env, start->broker, err);
	if (start->grant.warning[0])
		output_error("warning: %s", start->grant.warning);
	return start->session ? check_limit(start) : 0;
}

/* Whose pid libvirt has written down. */
static int find_process(const struct start *start, int *ret_pidfd)
{
	char dir[PATH_MAX] = HOOK_PID_DIR;
	int err = start->session ? libvirt_session_dir("/qemu/run", dir) : 0;

	return err ? err : hook_pidfd(dir, start->name, ret_pidfd);
}

/* It runs, within its limits, whoever owns the session. */
static int give_session(const struct start *start)
{
	CLEANUP(fd_closep) int pidfd = -1;
	int err = find_process(start, &pidfd);

	if (!err) {
		err = pinbroker_adopt(start->broker, start->grant.id, pidfd);
		if (!err)
			return 0;
		return cmd_failed(start->env, start->broker, err);
	}
	output_error("virsh-start: domain '%s' runs, and its process cannot be found: %s",
		     start->name, strerror(-err));
	return EX_SOFTWARE;
}

static int virsh_start(const struct cmd_env *env, const char *uri, const char *name)
{
	CLEANUP(start_fini)
	struct start start = {.env = env,
			      .name = name,
			      .session = strcmp(uri, VIRSH_SESSION) == 0,
			      .daemon = -1,
			      .grant = {.iommufd = -1}};
	int status = find_domain(&start, uri);

	if (!status)
		status = check_domain(&start);
	if (!status)
		status = open_session(&start);
	if (status)
		return status;
	if (libvirt_start(start.libvirt, start.domain->fdgroup, start.grant.iommufd))
		return say_libvirt(&start);
	output_begin();
	printf("%llx\n", (unsigned long long)start.grant.id);
	status = give_session(&start);
	return output_finish(status);
}

static int virsh_main(const struct cmd_env *env, int argc, char **argv)
{
	static const struct option options[] = {
		{"connect", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *uri = VIRSH_SYSTEM;

	for (int opt; (opt = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (opt != 'c')
			return opt == 'h' ? cmd_help(env) : cmd_bad_option();
		uri = optarg;
	}
	if (argc - optind != 1)
		return cmd_usage(env, "one domain is needed");
	if (strcmp(uri, VIRSH_SYSTEM) != 0 && strcmp(uri, VIRSH_SESSION) != 0)
		return cmd_usage(env,
				 "--connect %s: only " VIRSH_SYSTEM " and " VIRSH_SESSION
				 " can be passed a descriptor that this broker's sessions are for",
				 uri);
	return virsh_start(env, uri, argv[optind]);
}

const struct cmd cmd_virsh_start = {
	.name = "virsh-start",
	.args = "DOMAIN",
	.summary = "start a domain of libvirt with an iommufd of the broker's",
	.help = "Opens a session for the user that DOMAIN runs as, with its RAM and devices, and\n"
		"starts DOMAIN with the session's iommufd, in either accounting mode. DOMAIN has\n"
		"<iommufd enabled='yes' fdgroup='NAME'/>, and its devices are on vfio-pci.\n"
		"Prints the session's id.\n\n"
		"  --connect URI  of libvirt's daemon: qemu:///system, or qemu:///session, the\n"
		"                 caller's own, for admins of the policy\n"
		"  --help         this text\n",
	.run = virsh_main,
};
