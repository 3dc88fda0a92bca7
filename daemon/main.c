/* SPDX-License-Identifier: MIT */
/* pinbrokerd: reads its arguments and runs a broker. */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "accounting/policy.h"
#include "bpf/gate.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "common/stdfds.h"
#include "daemon/broker.h"
#include "daemon/config.h"
#include "daemon/mirror.h"
#include "daemon/procfs.h"
#include "daemon/sandbox.h"

static const char usage[] =
	"Usage: pinbrokerd [--config FILE] [--socket PATH] [--check] [--purge]\n"
	"Hand IOMMUFD and VFIO devices to unprivileged VMMs, by policy. Stays in the foreground.\n"
	"\n"
	"  --config FILE   configuration (" PINBROKER_SYSCONFDIR "/pinbroker/pinbroker.conf)\n"
	"  --socket PATH   where to listen (" PROTO_SOCKET ")\n"
	"  --purge         remove what is left in the kernel and in cgroups, while no daemon\n"
	"                  runs\n"
	"  --check         parse the configuration and exit: 0, or 78 if it is bad\n"
	"  --version       print the version and exit\n"
	"  --help          print this and exit\n"
	"\n"
	"SIGHUP reloads the configuration. SIGTERM stops; sessions run on. See pinbrokerd(8).\n";

struct arguments {
	const char *config;
	const char *socket;
	bool check;
	bool purge;
};

/* Returns an exit status, or -1 to go on. */
static int arguments_parse(int argc, char **argv, struct arguments *ret_arguments)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{"check", no_argument, NULL, 'k'},
		{"purge", no_argument, NULL, 'p'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'c':
			ret_arguments->config = optarg;
			break;
		case 's':
			ret_arguments->socket = optarg;
			break;
		case 'k':
			ret_arguments->check = true;
			break;
		case 'p':
			ret_arguments->purge = true;
			break;
		case 'v':
			return puts("pinbrokerd " PINBROKER_VERSION) < 0 ? EX_SOFTWARE : 0;
		case 'h':
			return fputs(usage, stdout) < 0 ? EX_SOFTWARE : 0;
		default:
			return EX_USAGE; /* getopt_long() has said what is wrong */
		}
	}
	if (optind == argc)
		return -1;
	(void)fprintf(stderr, "pinbrokerd: unexpected argument: %s\n", argv[optind]);
	return EX_USAGE;
}

static int check(const char *config)
{
	CLEANUP(policy_unrefp) struct policy_set *set = NULL;
	uint64_t mem_total = 0;

	(void)procfs_mem_total(&mem_total); /* 0: sums are not compared with it */
	return config_load(config, getuid(), mem_total, &set) ? EX_CONFIG : 0;
}

static const char *purge_fault(int err)
{
	return err == -EWOULDBLOCK ? "a pinbrokerd is running: stop it first" : strerror(-err);
}

/* Limits of sessions that still live are kept by nobody from here on. */
static int purge(const char *socket)
{
	int gate = gate_purge(GATE_DIR), cgroups;

	if (gate)
		log_error("cannot remove " GATE_DIR ": %s", purge_fault(gate));
	cgroups = gate == -EWOULDBLOCK ? 0 : mirror_purge(socket);
	if (cgroups)
		log_error("cannot put back limits of cgroups: %s", purge_fault(cgroups));
	return gate || cgroups ? EX_SOFTWARE : 0;
}

int main(int argc, char **argv)
{
	struct arguments arguments = {
		.config = PINBROKER_SYSCONFDIR "/pinbroker/pinbroker.conf",
		.socket = PROTO_SOCKET,
	};
	CLEANUP(broker_freep) struct broker *broker = NULL;
	int err, status;

	if (stdfds_fill())
		return EX_OSERR; /* nobody could read a message */
	status = arguments_parse(argc, argv, &arguments);
	if (status >= 0)
		return status;
	if (arguments.check)
		return check(arguments.config);
	if (arguments.purge)
		return purge(arguments.socket);
	err = sandbox_prepare();
	if (err) {
		log_error("cannot prepare its process: %s", strerror(-err));
		return EX_OSERR;
	}
	err = broker_new(arguments.config, arguments.socket, &broker);
	if (err)
		return err == -ECANCELED ? EX_CONFIG : EX_SOFTWARE;
	return broker_run(broker, arguments.socket) ? EX_SOFTWARE : 0;
}
