/* SPDX-License-Identifier: MIT */
/*
 * Each page is of a reading of its own: what a page before has told is passed over by number. With
 * the gate the kernel's structures are read; without, what /proc says of processes is all there is.
 */
#include "daemon/host_report.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "accounting/admission.h"
#include "bpf/gate.h"
#include "bpf/host.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proto.h"
#include "daemon/broker.h"
#include "daemon/peer.h"
#include "daemon/procfs.h"
#include "daemon/request.h"
#include "daemon/session.h"

/* A page in the making: records go into the broker's packet. */
struct host_page {
	struct broker *broker;
	const struct host *host; /* NULL: from /proc */
	uint64_t page_size;
	uint64_t skip;
	size_t room;
	size_t len;
	uint32_t n;
	bool more;
};

static uint64_t host_bytes(const struct host_page *page, uint64_t pages)
{
	return pages == UINT64_MAX ? PROTO_UNKNOWN : pages * page->page_size;
}

static void host_put_holder(char *out, const struct host_holder *from)
{
	struct proto_holder holder = {.pid = from->pid, .uid = from->uid};

	proto_text_set(holder.comm, sizeof(holder.comm), from->comm);
	memcpy(out, &holder, sizeof(holder));
}

/*
 * @holders: n_told of them; NULL: none
 * @cgroup: cgroup_len of it; NULL: none
 *
 * Return: true: go on, there may be room for the next.
 */
static bool host_put(struct host_page *page, const struct proto_holding *holding,
		     const struct host_holder *holders, const char *cgroup)
{
	size_t told = holding->n_told * sizeof(struct proto_holder);
	size_t size = sizeof(*holding) + told + holding->cgroup_len;
	char *out = page->broker->packet.bytes + page->len;

	if (page->skip) {
		page->skip--;
		return true;
	}
	page->more = page->room - page->len < size;
	if (page->more)
		return false;
	memcpy(out, holding, sizeof(*holding));
	out += sizeof(*holding);
	for (size_t i = 0; holders && i < holding->n_told; i++)
		host_put_holder(out + i * sizeof(struct proto_holder), &holders[i]);
	if (cgroup)
		memcpy(out + told, cgroup, holding->cgroup_len);
	page->len += size;
	page->n++;
	return true;
}

static uint32_t host_accounting(const struct host_page *page, const struct host_object *object)
{
	const struct session *session = NULL;

	if (object->container)
		return PROTO_ACCOUNTING_POLICY; /* 0: does not apply */
	if (object->session)
		session = session_find(page->broker->sessions, object->session);
	if (session)
		return (uint32_t)session->accounting;
	return object->task ? PROTO_ACCOUNTING_TASK : PROTO_ACCOUNTING_USER;
}

static bool host_put_charge(struct host_page *page, uint64_t session,
			    const struct host_charge *charge)
{
	struct proto_holding holding = {
		.session = session,
		.mapped = host_bytes(page, charge->mapped),
		.pinned = host_bytes(page, charge->pinned),
		.mappings = charge->mappings,
		.locked = PROTO_UNKNOWN,
		.cgroup = charge->cgroup,
		.kind = PROTO_HOLDING_PAYER,
		.uid = charge->uid,
		.pid = charge->pid,
		.accounting = charge->nobody ? PROTO_ACCOUNTING_POLICY
			      : charge->task ? PROTO_ACCOUNTING_TASK
					     : PROTO_ACCOUNTING_USER,
	};

	proto_text_set(holding.comm, sizeof(holding.comm), charge->comm);
	return host_put(page, &holding, NULL, NULL);
}

static bool host_put_object(struct host_page *page, const struct host_object *object)
{
	struct proto_holding holding = {
		.session = object->session,
		.mapped = host_bytes(page, object->mapped),
		.pinned = host_bytes(page, object->pinned),
		.mappings = object->mappings == UINT64_MAX ? PROTO_UNKNOWN : object->mappings,
		.locked = PROTO_UNKNOWN,
		.kind = object->container ? PROTO_HOLDING_CONTAINER : PROTO_HOLDING_CONTEXT,
		.flags = object->exact ? PROTO_HOLDING_EXACT : 0,
		.accounting = host_accounting(page, object),
		.n_holders = (uint32_t)object->n_holders,
		.n_told = object->n_holders < PROTO_HOLDERS_MAX ? (uint32_t)object->n_holders
								: PROTO_HOLDERS_MAX,
	};

	if (!host_put(page, &holding, page->host->holders + object->first_holder, NULL))
		return false;
	for (size_t i = 0; i < object->n_charges; i++)
		if (!host_put_charge(page, object->session,
				     &page->host->charges[object->first_charge + i]))
			return false;
	return true;
}

static bool host_put_process(const struct procfs_process *process, void *arg)
{
	struct host_page *page = arg;
	struct proto_holding holding = {
		.mapped = PROTO_UNKNOWN,
		.pinned = process->locked.pinned,
		.mappings = PROTO_UNKNOWN,
		.locked = process->locked.locked,
		.kind = PROTO_HOLDING_PROCESS,
		.uid = process->uid,
		.pid = (uint32_t)process->pid,
	};

	if (!holding.pinned && !holding.locked)
		return true;
	proto_text_set(holding.comm, sizeof(holding.comm), process->comm);
	return host_put(page, &holding, NULL, NULL);
}

static bool host_put_user(struct host_page *page, const struct host_user *user)
{
	const struct proto_holding holding = {
		.mapped = host_bytes(page, user->mapped),
		.pinned = host_bytes(page, user->pinned),
		.mappings = user->mappings,
		.locked = host_bytes(page, user->locked),
		.kind = PROTO_HOLDING_USER,
		.uid = user->uid,
	};

	return host_put(page, &holding, NULL, NULL);
}

/* Whether a process is in a cgroup, whose path is said then. The number proves it. */
static bool host_cgroup_of(uint32_t pid, uint64_t id, char ret_path[static PROCFS_CGROUP_MAX])
{
	uint64_t found;

	return procfs_cgroup((pid_t)pid, ret_path) == 0 &&
	       procfs_cgroup_id(ret_path, &found) == 0 && found == id;
}

/* Of whoever pays for a context in a cgroup, or else has that context open. "": not known. */
static void host_cgroup_path(const struct host *host, uint64_t id,
			     char ret_path[static PROCFS_CGROUP_MAX])
{
	for (size_t i = 0; id && i < host->n_charges; i++)
		if (host->charges[i].cgroup == id && !host->charges[i].gone &&
		    host_cgroup_of(host->charges[i].pid, id, ret_path))
			return;
	for (size_t i = 0; id && i < host->n_objects; i++) {
		const struct host_object *object = &host->objects[i];
		bool pays = false;

		for (size_t j = 0; j < object->n_charges; j++)
			pays = pays || host->charges[object->first_charge + j].cgroup == id;
		for (size_t j = 0; pays && j < object->n_holders; j++)
			if (host_cgroup_of(host->holders[object->first_holder + j].pid, id,
					   ret_path))
				return;
	}
	ret_path[0] = '\0';
}

static bool host_put_cgroup(struct host_page *page, const struct host_cgroup *cgroup)
{
	char path[PROCFS_CGROUP_MAX];
	struct proto_holding holding = {
		.mapped = host_bytes(page, cgroup->mapped),
		.pinned = host_bytes(page, cgroup->pinned),
		.mappings = cgroup->mappings,
		.locked = PROTO_UNKNOWN,
		.cgroup = cgroup->id,
		.kind = PROTO_HOLDING_CGROUP,
	};

	static_assert(PROTO_CGROUP_MAX == PROCFS_CGROUP_MAX, "fits");
	host_cgroup_path(page->host, cgroup->id, path);
	holding.cgroup_len = (uint32_t)strlen(path);
	return host_put(page, &holding, NULL, path);
}

static void host_put_all(struct host_page *page)
{
	const struct host *host = page->host;
	bool fits = true;

	for (size_t i = 0; fits && i < host->n_objects; i++)
		fits = host_put_object(page, &host->objects[i]);
	for (size_t i = 0; fits && i < host->n_processes; i++) {
		const struct host_process *from = &host->processes[i];
		struct procfs_process process = {
			.pid = (pid_t)from->pid,
			.uid = from->uid,
			.locked = {.locked = host_bytes(page, from->locked),
				   .pinned = host_bytes(page, from->pinned)},
		};

		memcpy(process.comm, from->comm, sizeof(process.comm));
		fits = host_put_process(&process, page);
	}
	for (size_t i = 0; fits && i < host->n_users; i++)
		fits = host_put_user(page, &host->users[i]);
	for (size_t i = 0; fits && i < host->n_cgroups; i++)
		fits = host_put_cgroup(page, &host->cgroups[i]);
}

/* NULL: there is no gate, or it could not be asked. */
static struct host *host_ask_gate(struct gate *gate)
{
	struct host *host = NULL;
	int err;

	if (!gate)
		return NULL;
	gate_set_devices(gate, procfs_device_number("/proc/misc", "iommu"), procfs_cdev_major());
	err = host_read(gate, &host);
	if (err)
		log_warning("cannot read who has what pinned from the kernel: %s", strerror(-err));
	return host;
}

static void host_fill(struct host_page *page, struct proto_host *head)
{
	int err = 0;

	if (page->host)
		host_put_all(page);
	else
		err = procfs_processes(host_put_process, page);
	if (err)
		log_warning("cannot read what processes have locked: %s", strerror(-err));
	head->flags = page->host ? PROTO_HOST_KERNEL : 0;
	head->explained = page->host ? host_bytes(page, page->host->explained) : PROTO_UNKNOWN;
	head->n = page->n;
	head->more = page->more;
}

int host_report(struct peer *peer, const struct proto_header *header, const void *body)
{
	struct broker *broker = peer->broker;
	CLEANUP(host_freep) struct host *host = NULL;
	struct proto_host_ask ask;
	struct proto_host head = {.held = PROTO_UNKNOWN};
	struct host_page page = {
		.broker = broker,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.room = PROTO_MESSAGE_MAX - sizeof(*header) - sizeof(head),
	};
	struct peer_answer answer = {
		.request = header,
		.kind = PROTO_REPLY,
		.parts = {{.iov_base = &head, .iov_len = sizeof(head)},
			  {.iov_base = broker->packet.bytes}},
		.n_parts = 2,
	};
	uint64_t pins;

	memcpy(&ask, body, sizeof(ask));
	if (ask.zero)
		return request_malformed(peer, header);
	if (peer->cred.uid != 0)
		return request_refuse(peer, header, REFUSAL_NOT_PERMITTED,
				      "what the whole host has pinned is for root");
	page.skip = ask.skip;
	if (procfs_pins(&pins) == 0)
		head.held = host_bytes(&page, pins);
	host = host_ask_gate(broker->gate);
	page.host = host;
	host_fill(&page, &head);
	answer.parts[1].iov_len = page.len;
	return peer_send(peer, &answer);
}
