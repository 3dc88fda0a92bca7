/* SPDX-License-Identifier: MIT */
/*
 * libvirt's hook for QEMU domains (docs/hooks of libvirt): NAME OPERATION SUB EXTRA, the domain's
 * XML on standard input. What it refuses does not start, and what it says then is what virsh shows.
 *
 * prepare reserves a session, before libvirt opens anything; started makes QEMU its owner; stopped
 * and release give it up. migrate and restore are filters. reconnect must never fail: libvirt would
 * kill the domain. Everything else is none of its business.
 */
#include "client/hook.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "client/domain.h"
#include "client/domain_xml.h"
#include "client/hook_filter.h"
#include "client/output.h"
#include "client/pinbroker.h"
#include "common/cleanup.h"
#include "common/stdfds.h"

#define HOOK_SECONDS 20 /* libvirt waits, and whoever wants to know of the domain */
#define HOOK_WAIT_MS 600000 /* from prepare until QEMU binds a device: other hooks, huge pages */
#define HOOK_REFUSED 77

/* A step of a domain that has devices by iommufd which libvirt opens. */
struct hook {
	const char *bytes; /* of its XML */
	size_t len;
	const struct domain *domain;
	struct pinbroker *broker; /* owned; NULL: not asked yet */
	bool allows; /* hook-fallback */
};

/* Return: the exit status; 0: go on. */
typedef int (*hook_fn)(struct hook *hook);

/* --- the broker */

/* Nobody answers: the configuration says what that means. */
static int hook_fallback(const struct hook *hook, int err)
{
	output_error("%s: domain '%s' has devices by iommufd, and no broker answers (%s): "
		     "hook-fallback = %s",
		     hook->allows ? "warning" : "refused", hook->domain->name, strerror(-err),
		     hook->allows ? "allow" : "refuse");
	return hook->allows ? 0 : EX_UNAVAILABLE;
}

/* What a question failed with. */
static int hook_failed(const struct hook *hook, int err)
{
	const struct pinbroker_refusal *refusal;

	if (err == -EACCES) {
		refusal = pinbroker_refusal(hook->broker);
		output_error("%s%s%s%s", refusal->reason[0] ? "refused: " : "", refusal->reason,
			     refusal->reason[0] ? ": " : "", refusal->text);
		return refusal->status;
	}
	if (err == -ECONNRESET || err == -EPROTO || err == -EPIPE)
		return hook_fallback(hook, err);
	output_error("refused: domain '%s': %s", hook->domain->name, strerror(-err));
	return EX_SOFTWARE;
}

static int hook_connect(struct hook *hook)
{
	int err = hook->broker ? 0 : pinbroker_connect(NULL, &hook->broker);

	return err ? hook_fallback(hook, err) : 0;
}

/* Of a domain that is gone, or begins anew: what does not work is over soon by itself. */
static void hook_give_up(struct hook *hook)
{
	uint64_t id;

	if (hook_state_read(HOOK_STATE_DIR, hook->domain->uuid, &id))
		return;
	if (hook->broker || pinbroker_connect(NULL, &hook->broker) == 0)
		(void)pinbroker_close(hook->broker, id); /* it may have ended with QEMU */
	(void)hook_state_remove(HOOK_STATE_DIR, hook->domain->uuid);
}

/* --- steps */

static int hook_prepare(struct hook *hook)
{
	CLEANUP(hook_request_fini) struct hook_request request = {.cgroup = NULL};
	struct pinbroker_grant grant;
	int err, status;

	if (hook_request(hook->domain, &request))
		return EX_CONFIG;
	hook_give_up(hook); /* of a libvirt daemon that was killed */
	status = hook_connect(hook);
	if (status || !hook->broker)
		return status;
	err = pinbroker_reserve(hook->broker, &request.subject, &request.request, HOOK_WAIT_MS,
				&grant);
	if (err)
		return hook_failed(hook, err);
	if (grant.warning[0])
		output_error("warning: %s", grant.warning);
	err = hook_state_write(HOOK_STATE_DIR, hook->domain->uuid, grant.id);
	if (!err)
		return 0;
	(void)pinbroker_close(hook->broker, grant.id); /* else it ends in time */
	output_error("cannot remember the session of domain '%s' in " HOOK_STATE_DIR ": %s",
		     hook->domain->name, strerror(-err));
	return EX_OSFILE;
}

static int hook_started(struct hook *hook)
{
	CLEANUP(fd_closep) int pidfd = -1;
	uint64_t id;
	int err = hook_state_read(HOOK_STATE_DIR, hook->domain->uuid, &id), status;

	if (err == -ENOENT && hook->allows) /* prepare went on without a broker */
		return 0;
	if (!err)
		err = hook_pidfd(HOOK_PID_DIR, hook->domain->name, &pidfd);
	if (err) {
		output_error("cannot find the session or the process of domain '%s': %s",
			     hook->domain->name, strerror(-err));
		return EX_OSFILE;
	}
	status = hook_connect(hook);
	if (status || !hook->broker)
		return status;
	err = pinbroker_adopt(hook->broker, id, pidfd);
	return err ? hook_failed(hook, err) : 0;
}

static int hook_stopped(struct hook *hook)
{
	hook_give_up(hook);
	return 0;
}

static int hook_incoming(struct hook *hook)
{
	CLEANUP(hook_request_fini) struct hook_request request = {.cgroup = NULL};
	struct pinbroker_explanation explanation;
	int err, status;

	if (hook_request(hook->domain, &request))
		return EX_CONFIG;
	status = hook_connect(hook);
	if (status || !hook->broker)
		return status;
	err = pinbroker_explain(hook->broker, &request.subject, &request.request, &explanation);
	if (err)
		return hook_failed(hook, err);
	err = hook_filter(hook->bytes, hook->len, explanation.migration_buffers, stdout);
	if (!err)
		return 0;
	output_error("cannot set migration-buffers of domain '%s': %s", hook->domain->name,
		     strerror(-err));
	return EX_SOFTWARE;
}

static const struct {
	const char *operation;
	hook_fn fn;
	bool ends; /* there is no way to refuse, and no need to hurry */
} hook_steps[] = {
	{"prepare", hook_prepare, false},  {"started", hook_started, false},
	{"stopped", hook_stopped, true},   {"release", hook_stopped, true},
	{"migrate", hook_incoming, false}, {"restore", hook_incoming, false},
};

/* --- the process */

/* By the configuration of the moment: one handler for each answer, as it must call nothing. */
static void late_refused(int signal)
{
	static const char text[] = "pinbroker: refused: the broker did not answer in time\n";

	(void)signal;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1); /* nobody is left to tell */
	_exit(EX_TEMPFAIL);
}

static void late_allowed(int signal)
{
	static const char text[] = "pinbroker: warning: the broker did not answer in time\n";

	(void)signal;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1); /* as above */
	_exit(EX_OK);
}

static void set_late(bool allowed)
{
	struct sigaction action = {.sa_handler = allowed ? late_allowed : late_refused};

	(void)sigaction(SIGALRM, &action, NULL); /* of a signal that there is */
}

/* Only what libvirt opens itself: with fdgroup the session is that of who gave the descriptor. */
static bool is_ours(const struct domain *domain)
{
	return domain_count_iommufd(domain) && !domain->fdgroup[0];
}

static int hook_step(size_t i)
{
	CLEANUP(freep) struct domain *domain = NULL;
	CLEANUP(freep) char *bytes = NULL;
	struct domain_fault fault;
	struct hook hook = {.broker = NULL};
	int status = 0;
	int err = domain_read(STDIN_FILENO, &bytes, &hook.len);

	if (!err)
		err = domain_parse(bytes, hook.len, &domain, &fault);
	if (err) {
		output_error("the domain's XML: %s", err == -EINVAL ? fault.text : strerror(-err));
		return hook_steps[i].ends ? 0 : EX_DATAERR;
	}
	if (!is_ours(domain))
		return 0;
	hook.bytes = bytes;
	hook.domain = domain;
	hook.allows = hook_steps[i].ends || hook_fallback_allows();
	set_late(hook.allows);
	status = hook_steps[i].fn(&hook);
	pinbroker_free(hook.broker);
	return status;
}

int main(int argc, char **argv)
{
	if (stdfds_fill())
		return EX_OSERR;
	if (argc < 3) {
		output_error("libvirt runs this, as hooks/qemu.d/50-pinbroker: see "
			     "pinbroker-libvirt(7)");
		return EX_USAGE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(hook_steps); i++) {
		if (strcmp(argv[2], hook_steps[i].operation) != 0)
			continue;
		set_late(hook_steps[i].ends);
		(void)alarm(HOOK_SECONDS);
		return hook_step(i);
	}
	return 0;
}
