/* SPDX-License-Identifier: MIT */
#include "accounting/admission.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "accounting/limits.h"
#include "accounting/size.h"
#include "common/cleanup.h"

/* What the checks look at; the decision is made in the order of enum refusal. */
struct admission_case {
	const struct policy_set *set;
	const struct admission_request *request;
	const struct admission_device *others; /* that the session has already */
	size_t n_others;
	struct admission *out;
};

const char *refusal_name(enum refusal refusal)
{
	static const char *const names[] = {
		[REFUSAL_NONE] = "",
		[REFUSAL_RATE_LIMIT] = "rate-limit",
		[REFUSAL_BAD_REQUEST] = "bad-request",
		[REFUSAL_NO_POLICY] = "no-policy",
		[REFUSAL_CAPABLE_OWNER] = "capable-owner",
		[REFUSAL_NOT_PERMITTED] = "not-permitted",
		[REFUSAL_DEVICE_NOT_ALLOWED] = "device-not-allowed",
		[REFUSAL_DEVICE_NOT_FOUND] = "device-not-found",
		[REFUSAL_DEVICE_BUSY] = "device-busy",
		[REFUSAL_SESSION_LIMIT] = "session-limit",
		[REFUSAL_TOO_MANY_SESSIONS] = "too-many-sessions",
		[REFUSAL_USER_LIMIT] = "user-limit",
		[REFUSAL_HOST_RESERVE] = "host-reserve",
		[REFUSAL_KERNEL] = "kernel",
	};
	static_assert(ARRAY_SIZE(names) == REFUSALS, "a name per reason");

	return names[refusal];
}

__attribute__((format(printf, 3, 4))) static bool
refuse(struct admission_case *c, enum refusal refusal, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(c->out->text, sizeof(c->out->text), format, args); /* cut when too long */
	va_end(args);
	c->out->refusal = refusal;
	return false;
}

static bool refuse_capable(struct admission_case *c)
{
	return refuse(
		c, REFUSAL_CAPABLE_OWNER,
		"the owner has CAP_IPC_LOCK, and the kernel charges nothing to such a process%s%s; "
		"run it as another user (setpriv --reuid USER --regid GROUP --init-groups "
		"pinbroker run ...), or drop the capability (setpriv --bounding-set -ipc_lock "
		"--inh-caps -ipc_lock pinbroker run ...)",
		c->out->policy ? ", so that no limit would hold: policy " : "",
		c->out->policy ? c->out->policy->name : "");
}

/* Root's own run is the first thing people try. Before everything else: a policy for root, or more
 * arguments, would not help it. */
static bool check_root(struct admission_case *c)
{
	return c->request->capable && c->request->subject.uid == 0 ? refuse_capable(c) : true;
}

static bool check_policy(struct admission_case *c)
{
	const struct policy_subject *subject = &c->request->subject;

	c->out->policy = c->request->policy;
	if (c->out->policy)
		return true;
	return check_root(c) &&
	       refuse(c, REFUSAL_NO_POLICY,
		      "none of the %zu policies matches uid %u%s%s; an administrator adds one to "
		      "the "
		      "configuration",
		      c->set->n_policies, subject->uid, subject->cgroup ? " in cgroup " : "",
		      subject->cgroup ? subject->cgroup : "");
}

static bool check_memory_given(struct admission_case *c)
{
	if (!c->out->policy->limit_auto || c->request->memory)
		return true;
	return refuse(
		c, REFUSAL_BAD_REQUEST,
		"policy \"%s\" has limit = \"auto\", which needs the size of the guest's RAM: "
		"give --memory",
		c->out->policy->name);
}

static bool check_owner(struct admission_case *c)
{
	return c->request->capable ? refuse_capable(c) : true;
}

static enum policy_accounting accounting_of(const struct policy *policy,
					    enum policy_accounting wanted)
{
	if (policy->accounting != POLICY_ACCOUNTING_ANY)
		return policy->accounting;
	return wanted == POLICY_ACCOUNTING_NONE ? POLICY_ACCOUNTING_TASK : wanted;
}

static bool check_accounting(struct admission_case *c)
{
	enum policy_accounting wanted = c->request->accounting;
	enum policy_accounting fixed = c->out->policy->accounting;

	if (wanted == POLICY_ACCOUNTING_NONE || wanted == c->out->accounting)
		return true;
	return refuse(c, REFUSAL_NOT_PERMITTED, "policy \"%s\" has accounting = \"%s\", not \"%s\"",
		      c->out->policy->name, policy_accounting_name(fixed),
		      policy_accounting_name(wanted));
}

static bool check_device_allowed(struct admission_case *c, const struct device *device)
{
	const struct policy *policy = c->out->policy;

	if (!policy_device_allowed(policy, device->name, device->vendor, device->device))
		return refuse(c, REFUSAL_DEVICE_NOT_ALLOWED,
			      "device %s is not among the devices of policy \"%s\"", device->name,
			      policy->name);
	if (device->found && policy->require_reset && !device->reset)
		return refuse(c, REFUSAL_DEVICE_NOT_ALLOWED,
			      "device %s has no way to be reset, which policy \"%s\" requires "
			      "(require-reset)",
			      device->name, policy->name);
	return true;
}

bool admission_wants_p2p(const struct policy *policy, size_t n_devices)
{
	return policy->multi_device == POLICY_MULTI_P2P && n_devices > 1;
}

static bool check_device_p2p(struct admission_case *c, const struct admission_device *entry)
{
	const struct device *device = entry->device;
	const char *policy = c->out->policy->name;

	if (entry->p2p == ADMISSION_P2P_YES)
		return true;
	if (entry->p2p == ADMISSION_P2P_NO)
		return refuse(
			c, REFUSAL_DEVICE_NOT_ALLOWED,
			"device %s cannot be kept from reaching others before it is stopped "
			"(no RUNNING_P2P), which policy \"%s\" requires of the devices of one "
			"session (multi-device)",
			device->name, policy);
	return refuse(c, REFUSAL_DEVICE_NOT_ALLOWED,
		      "policy \"%s\" requires RUNNING_P2P of the devices of one session "
		      "(multi-device), and whether %s has it is not known: root runs 'pinbroker "
		      "device %s' first, with the device on its VFIO driver",
		      policy, device->name, device->name);
}

static bool check_device_found(struct admission_case *c, const struct device *device)
{
	const char *policy = c->out->policy->name;

	if (!device->found)
		return refuse(c, REFUSAL_DEVICE_NOT_FOUND,
			      "device %s (policy \"%s\") is not on this host", device->name,
			      policy);
	if (device->cdev[0] || c->request->unbound)
		return true;
	if (!device->driver[0])
		return refuse(c, REFUSAL_DEVICE_NOT_FOUND,
			      "device %s (policy \"%s\") has no driver; bind it to vfio-pci",
			      device->name, policy);
	return refuse(c, REFUSAL_DEVICE_NOT_FOUND,
		      "device %s (policy \"%s\") is on driver %s and has no VFIO character device; "
		      "bind it to vfio-pci (the kernel needs CONFIG_VFIO_DEVICE_CDEV)",
		      device->name, policy, device->driver);
}

/* Who has it, as far as the requester may know. */
static const char *busy_with(const struct admission_device *entry, char buf[static 32])
{
	if (entry->busy_hidden)
		return "another user's session";
	(void)snprintf(buf, 32, "session %" PRIx64, entry->busy_id); /* it fits */
	return buf;
}

static bool check_device_free(struct admission_case *c, const struct admission_device *entry)
{
	const struct device *device = entry->device;
	const char *policy = c->out->policy->name;
	char buf[32];

	if (entry->busy_id && entry->busy_peer && !entry->busy_hidden)
		return refuse(
			c, REFUSAL_DEVICE_BUSY,
			"device %s (policy \"%s\") shares IOMMU group %d with %s, which %s has",
			device->name, policy, device->group, entry->busy_peer,
			busy_with(entry, buf));
	if (entry->busy_id && entry->busy_peer)
		return refuse(
			c, REFUSAL_DEVICE_BUSY,
			"device %s (policy \"%s\") shares IOMMU group %d with one that %s has",
			device->name, policy, device->group, busy_with(entry, buf));
	if (entry->busy_id)
		return refuse(c, REFUSAL_DEVICE_BUSY, "device %s (policy \"%s\") is in %s",
			      device->name, policy, busy_with(entry, buf));
	if (device->host_peer[0] && !c->request->unbound)
		return refuse(
			c, REFUSAL_DEVICE_BUSY,
			"device %s (policy \"%s\") shares IOMMU group %d with %s, which the host "
			"uses by driver %s",
			device->name, policy, device->group, device->host_peer,
			device->host_peer_driver);
	return true;
}

/* Of what is not there, or on no VFIO driver, that is said and nothing else. */
static bool check_together(struct admission_case *c)
{
	const struct admission_request *request = c->request;

	if (!admission_wants_p2p(c->out->policy, request->n_devices + c->n_others))
		return true;
	for (size_t i = 0; i < request->n_devices; i++) {
		const struct device *device = request->devices[i].device;

		if (device->found && (device->cdev[0] || request->unbound) &&
		    !check_device_p2p(c, &request->devices[i]))
			return false;
	}
	for (size_t i = 0; i < c->n_others; i++)
		if (!check_device_p2p(c, &c->others[i]))
			return false;
	return true;
}

/* All devices for one reason before any for the next: the order of reasons is the contract. */
static bool check_devices(struct admission_case *c)
{
	const struct admission_request *request = c->request;

	for (size_t i = 0; i < request->n_devices; i++)
		if (!check_device_allowed(c, request->devices[i].device))
			return false;
	if (!check_together(c))
		return false;
	for (size_t i = 0; i < request->n_devices; i++)
		if (!check_device_found(c, request->devices[i].device))
			return false;
	for (size_t i = 0; i < request->n_devices; i++)
		if (!check_device_free(c, &request->devices[i]))
			return false;
	return true;
}

uint64_t admission_host_limit(const struct policy_set *set, uint64_t mem_total)
{
	if (!set->host_reserve_checked)
		return POLICY_UNLIMITED;
	return mem_total > set->host_reserve ? mem_total - set->host_reserve : 0;
}

static void compute_limits(struct admission_case *c)
{
	const struct policy *policy = c->out->policy;
	struct admission *out = c->out;

	out->memory = c->request->memory;
	out->factor = limits_factor(c->request->viommu, c->request->n_devices);
	out->auto_limit = out->memory ? limits_auto(out->memory, out->factor) : POLICY_UNLIMITED;
	out->limit = policy->limit_auto ? POLICY_UNLIMITED : policy->limit;
	if (out->auto_limit < out->limit)
		out->limit = out->auto_limit;
	out->accounting = accounting_of(policy, c->request->accounting);
	out->user_limit = policy->user_limit;
	out->host_limit = admission_host_limit(c->set, out->sums.mem_total);
	out->max_mappings = policy->max_mappings_auto
				    ? limits_mappings_auto(out->memory, out->factor)
				    : policy->max_mappings;
}

static bool check_session_limit(struct admission_case *c)
{
	struct admission *out = c->out;
	char memory[SIZE_TEXT_MAX], limit[SIZE_TEXT_MAX];
	uint64_t needed;

	if (out->memory > out->limit)
		return refuse(c, REFUSAL_SESSION_LIMIT,
			      "%s of guest RAM is above the limit of %s per session of policy "
			      "\"%s\"",
			      size_text(out->memory, memory), size_text(out->limit, limit),
			      out->policy->name);
	needed = limits_needed(out->memory, out->factor);
	if (out->memory && out->limit < needed)
		(void)snprintf(out->warning, sizeof(out->warning),
			       "the limit of %s (policy \"%s\") is below %u × %s of guest RAM plus "
			       "the 1M that firmware needs: the guest may fail to start",
			       size_text(out->limit, limit), out->policy->name, out->factor,
			       size_text(out->memory, memory));
	return true;
}

static bool check_count(struct admission_case *c)
{
	const struct admission *out = c->out;

	if (out->sums.n_sessions < out->policy->max_sessions)
		return true;
	return refuse(c, REFUSAL_TOO_MANY_SESSIONS,
		      "uid %u has %" PRIu64
		      " sessions under policy \"%s\", whose max-sessions is %" PRIu64,
		      c->request->subject.uid, out->sums.n_sessions, out->policy->name,
		      out->policy->max_sessions);
}

static bool check_user_limit(struct admission_case *c)
{
	const struct admission *out = c->out;
	char limit[SIZE_TEXT_MAX], sum[SIZE_TEXT_MAX], user_limit[SIZE_TEXT_MAX];

	if (limits_add(out->sums.user, out->limit) <= out->user_limit)
		return true;
	return refuse(
		c, REFUSAL_USER_LIMIT,
		"%s more than the %s that the other sessions of uid %u have would be above the "
		"user-limit of %s of policy \"%s\"",
		size_text(out->limit, limit), size_text(out->sums.user, sum),
		c->request->subject.uid, size_text(out->user_limit, user_limit), out->policy->name);
}

static bool check_host_reserve(struct admission_case *c)
{
	const struct admission *out = c->out;
	char limit[SIZE_TEXT_MAX], sum[SIZE_TEXT_MAX], host[SIZE_TEXT_MAX], kept[SIZE_TEXT_MAX];
	char others[SIZE_TEXT_MAX], besides[SIZE_TEXT_MAX + 64] = "";

	if (limits_add(limits_add(out->sums.host, out->sums.others), out->limit) <= out->host_limit)
		return true;
	if (out->sums.others)
		(void)snprintf(besides, sizeof(besides), " and the %s that others have pinned",
			       size_text(out->sums.others, others)); /* it fits */
	return refuse(c, REFUSAL_HOST_RESERVE,
		      "%s (policy \"%s\") more than the %s that all other sessions have%s would "
		      "be above the %s that this host has besides host-reserve = %s",
		      size_text(out->limit, limit), out->policy->name,
		      size_text(out->sums.host, sum), besides, size_text(out->host_limit, host),
		      size_text(c->set->host_reserve, kept));
}

static bool check_gate(struct admission_case *c)
{
	if (!c->set->require_gate || c->out->sums.gate_exact)
		return true;
	return refuse(c, REFUSAL_KERNEL,
		      "require-gate = true, and nothing in this kernel keeps the limits of policy "
		      "\"%s\" exactly",
		      c->out->policy->name);
}

void admission_decide(const struct policy_set *set, const struct admission_request *request,
		      admission_sums_fn sums_of, void *arg, struct admission *ret_admission)
{
	struct admission_case c = {.set = set, .request = request, .out = ret_admission};

	*ret_admission = (struct admission){.refusal = REFUSAL_NONE};
	if (!check_policy(&c))
		return;

	/* The numbers are for explain too, which shows them whatever the verdict. */
	sums_of(request->subject.uid, ret_admission->policy, &ret_admission->sums, arg);
	compute_limits(&c);
	bool granted = check_root(&c) && check_memory_given(&c) && check_owner(&c) &&
		       check_accounting(&c) && check_devices(&c) && check_session_limit(&c) &&
		       check_count(&c) && check_user_limit(&c) && check_host_reserve(&c) &&
		       check_gate(&c);

	assert(granted == (ret_admission->refusal == REFUSAL_NONE));
}

/* The checks of a change are those of a request, on what is known of it. */
static void change_from(const struct admission *out, struct admission_change *change)
{
	change->refusal = out->refusal;
	memcpy(change->text, out->text, sizeof(change->text));
}

/* After a reload that took the policy away only what is above all policies can be asked. */
void admission_raise(const struct policy_set *set, const struct admission_sums *sums, uint64_t from,
		     uint64_t to, struct admission_change *change)
{
	struct policy gone = {.user_limit = POLICY_UNLIMITED};
	const struct admission_request request = {.subject = {.uid = change->uid}};
	struct admission out = {
		.policy = change->policy ? change->policy : &gone,
		.limit = to,
		.sums = *sums,
		.host_limit = admission_host_limit(set, sums->mem_total),
	};
	struct admission_case c = {.set = set, .request = &request, .out = &out};
	char name[POLICY_NAME_MAX + 1];

	(void)snprintf(name, sizeof(name), "%s", change->policy_name); /* it fits */
	gone.name = name;
	out.user_limit = out.policy->user_limit;
	out.sums.user -= from;
	out.sums.host -= from;
	if (check_user_limit(&c))
		(void)check_host_reserve(&c);
	change_from(&out, change);
}

void admission_attach(const struct policy_set *set, const struct admission_device *device,
		      struct admission_change *change)
{
	const struct admission_request request = {
		.subject = {.uid = change->uid}, .devices = device, .n_devices = 1};
	struct admission out = {.policy = change->policy};
	struct admission_case c = {.set = set,
				   .request = &request,
				   .others = change->others,
				   .n_others = change->n_others,
				   .out = &out};

	if (out.policy)
		(void)check_devices(&c);
	else
		(void)refuse(&c, REFUSAL_NO_POLICY,
			     "policy \"%s\" of the session is not in the configuration any more",
			     change->policy_name);
	change_from(&out, change);
}
