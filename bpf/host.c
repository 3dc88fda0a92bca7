/* SPDX-License-Identifier: MIT */
#include "bpf/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpf/gate.h"
#include "bpf/gate_pool.h"
#include "bpf/host_map.h"
#include "common/cleanup.h"

#define HOST_READ_SIZE 65536 /* at a time */
#define HOST_PAGES_MAX (1ULL << 48) /* more than any machine has: a negative number as unsigned */

void host_free(struct host *host)
{
	if (!host)
		return;
	free(host->objects);
	free(host->holders);
	free(host->charges);
	free(host->processes);
	free(host->users);
	free(host->cgroups);
	free(host);
}

void host_freep(struct host **host)
{
	host_free(*host);
}

/* VmPin and its like are signed, and can be wrong. */
static uint64_t host_pages(uint64_t pages)
{
	return pages < HOST_PAGES_MAX ? pages : 0;
}

static int host_compare(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* --- contexts and containers */

/* By object, the record with the figures first, then by process. */
static int host_file_compare(const void *a, const void *b)
{
	const struct host_file *f = a, *g = b;
	int order = host_compare(f->object, g->object);

	if (!order)
		order = host_compare(g->flags & HOST_READ, f->flags & HOST_READ);
	return order ? order : host_compare(f->pid, g->pid);
}

static int host_holder_compare(const void *a, const void *b)
{
	const struct host_holder *h = a, *i = b;

	return host_compare(h->pid, i->pid);
}

static uint32_t host_first_pid(const struct host *host, const struct host_object *object)
{
	return object->n_holders ? host->holders[object->first_holder].pid : 0;
}

/* Sessions by id, other contexts, containers; these by the first process that has them. */
static int host_object_compare(const void *a, const void *b, void *arg)
{
	const struct host_object *o = a, *p = b;
	int order = host_compare(o->container, p->container);

	if (!order) /* 0 comes last */
		order = host_compare(o->session - 1, p->session - 1);
	return order ? order : host_compare(host_first_pid(arg, o), host_first_pid(arg, p));
}

static void host_sort_objects(struct host *host)
{
	if (host->n_objects)
		qsort_r(host->objects, host->n_objects, sizeof(*host->objects), host_object_compare,
			host);
}

static void host_add_holder(struct host *host, const struct host_file *file)
{
	struct host_holder *holder = &host->holders[host->n_holders++];

	*holder = (struct host_holder){.pid = file->pid, .uid = file->uid};
	memcpy(holder->comm, file->comm, sizeof(holder->comm));
	holder->comm[sizeof(holder->comm) - 1] = '\0';
}

static void host_add_charges(struct host *host, struct host_object *object,
			     const struct host_file *file)
{
	object->first_charge = host->n_charges;
	for (size_t i = 0; i < HOST_PAYERS && file->payers[i].used; i++) {
		const struct host_payer *payer = &file->payers[i];

		host->charges[host->n_charges++] = (struct host_charge){
			.pid = payer->pid,
			.uid = payer->used == HOST_PAYER_OTHERS ? UINT32_MAX : payer->uid,
			.gone = payer->used != HOST_PAYER_LIVES,
			.cgroup = payer->cgroup,
			.mapped = payer->pages,
			.pinned = payer->pinned,
			.mappings = payer->mappings,
			.task = payer->accounting == HOST_ACCOUNT_TASK,
			.nobody = payer->accounting == HOST_ACCOUNT_NONE,
		};
	}
	object->n_charges = host->n_charges - object->first_charge;
}

/* One for each process, whose descriptors may be many. */
static void host_unite_holders(struct host *host, struct host_object *object)
{
	struct host_holder *holders = host->holders + object->first_holder;
	size_t n = host->n_holders - object->first_holder, kept = 0;

	qsort(holders, n, sizeof(*holders), host_holder_compare);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || holders[kept - 1].pid != holders[i].pid)
			holders[kept++] = holders[i];
	object->n_holders = kept;
	host->n_holders = object->first_holder + kept;
}

/* Files of one object, n of them at least 1. */
static void host_add_object(struct host *host, const struct host_file *files, size_t n)
{
	struct host_object *object = &host->objects[host->n_objects++];
	bool read = files->flags & HOST_READ;

	*object = (struct host_object){
		.mapped = read ? files->pages : UINT64_MAX,
		.pinned = read ? files->pinned : UINT64_MAX,
		.mappings = read ? files->mappings : UINT64_MAX,
		.orphaned = read ? host_pages(files->orphaned) : 0,
		.container = files->kind == HOST_CONTAINER,
		.task = files->accounting == HOST_ACCOUNT_TASK,
		.first_holder = host->n_holders,
	};
	for (size_t i = 0; i < n; i++) {
		if (files[i].session)
			object->session = files[i].session;
		host_add_holder(host, &files[i]);
	}
	host_unite_holders(host, object);
	host_add_charges(host, object, files);
	host->explained += object->orphaned;
	if (object->container && read)
		host->explained += host_pages(object->pinned);
}

/* Sorts its argument. */
static int host_add_files(struct host *host, struct host_file *files, size_t n_files)
{
	host->objects = calloc(n_files + 1, sizeof(*host->objects));
	host->holders = calloc(n_files + 1, sizeof(*host->holders));
	host->charges = calloc(n_files + 1, sizeof(*host->charges) * HOST_PAYERS);
	if (!host->objects || !host->holders || !host->charges)
		return -ENOMEM;
	qsort(files, n_files, sizeof(*files), host_file_compare);
	for (size_t i = 0, n; i < n_files; i += n) {
		n = 1;
		while (i + n < n_files && files[i + n].object == files[i].object)
			n++;
		if (files[i].object) /* 0: devices that are not bound */
			host_add_object(host, &files[i], n);
	}
	return 0;
}

/* --- processes, users and cgroups */

static int host_mm_compare(const void *a, const void *b)
{
	const struct host_task *t = a, *u = b;
	int order = host_compare(t->mm, u->mm);

	return order ? order : host_compare(t->pid, u->pid);
}

static int host_process_compare(const void *a, const void *b)
{
	const struct host_process *p = a, *q = b;

	return host_compare(p->pid, q->pid);
}

static int host_user_compare(const void *a, const void *b)
{
	const struct host_user *u = a, *v = b;

	return host_compare(u->uid, v->uid);
}

static void host_add_process(struct host *host, const struct host_task *task)
{
	struct host_process *process = &host->processes[host->n_processes];

	*process = (struct host_process){
		.pid = task->pid,
		.uid = task->uid,
		.pinned = host_pages(task->pinned),
		.locked = host_pages(task->locked),
	};
	memcpy(process->comm, task->comm, sizeof(process->comm));
	process->comm[sizeof(process->comm) - 1] = '\0';
	host->explained += process->pinned;
	if (process->pinned || process->locked)
		host->n_processes++;
}

static void host_add_user(struct host *host, const struct host_charge *charge)
{
	if (charge->mapped && charge->uid != UINT32_MAX)
		host->users[host->n_users++] = (struct host_user){.uid = charge->uid,
								  .mapped = charge->mapped,
								  .pinned = charge->pinned,
								  .mappings = charge->mappings};
}

static void host_unite_users(struct host *host)
{
	size_t kept = 0;

	qsort(host->users, host->n_users, sizeof(*host->users), host_user_compare);
	for (size_t i = 0; i < host->n_users; i++) {
		const struct host_user *user = &host->users[i];

		if (kept == 0 || host->users[kept - 1].uid != user->uid) {
			host->users[kept++] = *user;
			continue;
		}
		if (host->users[kept - 1].locked < user->locked)
			host->users[kept - 1].locked = user->locked;
		host->users[kept - 1].mapped += user->mapped;
		host->users[kept - 1].pinned += user->pinned;
		host->users[kept - 1].mappings += user->mappings;
	}
	host->n_users = kept;
}

/* What a process has pinned is in its VmPin, so that it is among those that are known. */
static void host_name_charges(struct host *host)
{
	for (size_t i = 0; i < host->n_charges; i++) {
		struct host_charge *charge = &host->charges[i];
		const struct host_process key = {.pid = charge->pid}, *process;

		process = host->n_processes && !charge->gone
				  ? bsearch(&key, host->processes, host->n_processes, sizeof(key),
					    host_process_compare)
				  : NULL;
		if (process)
			memcpy(charge->comm, process->comm, sizeof(charge->comm));
	}
}

/* Sorts its argument. */
static int host_add_tasks(struct host *host, struct host_task *tasks, size_t n_tasks)
{
	host->processes = calloc(n_tasks + 1, sizeof(*host->processes));
	host->users = calloc(n_tasks + host->n_charges + 1, sizeof(*host->users));
	if (!host->processes || !host->users)
		return -ENOMEM;
	qsort(tasks, n_tasks, sizeof(*tasks), host_mm_compare);
	for (size_t i = 0; i < n_tasks; i++) {
		uint64_t locked = host_pages(tasks[i].user_locked);

		if (i == 0 || tasks[i].mm != tasks[i - 1].mm)
			host_add_process(host, &tasks[i]);
		if (locked)
			host->users[host->n_users++] =
				(struct host_user){.uid = tasks[i].user, .locked = locked};
	}
	qsort(host->processes, host->n_processes, sizeof(*host->processes), host_process_compare);
	for (size_t i = 0; i < host->n_charges; i++)
		host_add_user(host, &host->charges[i]);
	host_unite_users(host);
	host_name_charges(host);
	return 0;
}

static int host_cgroup_compare(const void *a, const void *b)
{
	const struct host_cgroup *c = a, *d = b;

	return host_compare(c->id - 1, d->id - 1); /* 0 comes last */
}

static int host_add_cgroups(struct host *host)
{
	struct host_cgroup *cgroups = calloc(host->n_charges + 1, sizeof(*cgroups));
	size_t kept = 0;

	if (!cgroups)
		return -ENOMEM;
	host->cgroups = cgroups;
	for (size_t i = 0; i < host->n_charges; i++)
		cgroups[i] = (struct host_cgroup){.id = host->charges[i].cgroup,
						  .mapped = host->charges[i].mapped,
						  .pinned = host->charges[i].pinned,
						  .mappings = host->charges[i].mappings};
	qsort(cgroups, host->n_charges, sizeof(*cgroups), host_cgroup_compare);
	for (size_t i = 0; i < host->n_charges; i++) {
		if (kept == 0 || cgroups[kept - 1].id != cgroups[i].id) {
			cgroups[kept++] = cgroups[i];
			continue;
		}
		cgroups[kept - 1].mapped += cgroups[i].mapped;
		cgroups[kept - 1].pinned += cgroups[i].pinned;
		cgroups[kept - 1].mappings += cgroups[i].mappings;
	}
	host->n_cgroups = kept;
	return 0;
}

/* --- the whole */

static void *host_copy(const void *records, size_t n, size_t size)
{
	void *copy = calloc(n + 1, size);

	if (copy && n)
		memcpy(copy, records, n * size);
	return copy;
}

int host_of_records(const struct host_file *files, size_t n_files, const struct host_task *tasks,
		    size_t n_tasks, struct host **ret_host)
{
	CLEANUP(freep) struct host_file *own_files = host_copy(files, n_files, sizeof(*files));
	CLEANUP(freep) struct host_task *own_tasks = host_copy(tasks, n_tasks, sizeof(*tasks));
	CLEANUP(host_freep) struct host *host = calloc(1, sizeof(*host));
	int err;

	if (!host || !own_files || !own_tasks)
		return -ENOMEM;
	err = host_add_files(host, own_files, n_files);
	if (!err)
		err = host_add_tasks(host, own_tasks, n_tasks);
	if (!err)
		err = host_add_cgroups(host);
	if (err)
		return err;
	host_sort_objects(host);
	*ret_host = STEAL(host);
	return 0;
}

/* Whole records of one size, to the end. Nothing is left of what was read when it fails. */
static int host_read_all(const struct gate *gate, const char *program, size_t size, void **ret,
			 size_t *ret_n)
{
	CLEANUP(freep) char *bytes = NULL;
	CLEANUP(fd_closep) int fd = -1;
	size_t len = 0, room = 0;
	int err = gate_open_iterator(gate, program, &fd);
	ssize_t n;

	if (err)
		return err;
	for (;;) {
		if (room - len < HOST_READ_SIZE) {
			char *larger = realloc(bytes, 2 * room + HOST_READ_SIZE);

			if (!larger)
				return -ENOMEM;
			bytes = larger;
			room = 2 * room + HOST_READ_SIZE;
		}
		n = read(fd, bytes + len, room - len);
		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN) /* many processes without a record: go on */
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	}
	if (len % size)
		return -EPROTO;
	*ret_n = len / size;
	*ret = STEAL(bytes);
	return 0;
}

static int host_session_compare(const void *key, const void *object)
{
	const struct host_object *o = object;

	/* Those that are no session's come behind all that are. */
	return o->session ? host_compare(*(const uint64_t *)key, o->session) : -1;
}

/* Among the first n, which are in order. Of a session with two contexts: the first. */
static struct host_object *host_session(const struct host *host, size_t n, uint64_t id)
{
	struct host_object *object = NULL;

	if (n)
		object = bsearch(&id, host->objects, n, sizeof(*object), host_session_compare);
	while (object && object > host->objects && object[-1].session == id)
		object--;
	return object;
}

/* What the gate knows of a session is better, if it knows. */
static void host_take_figures(struct host_object *object, const struct gate *gate, uint32_t slot)
{
	struct gate_figures figures;

	gate_look(gate, slot, &figures);
	if (!figures.exact && object->mapped != UINT64_MAX)
		return;
	object->mapped = figures.mapped;
	object->pinned = figures.pinned;
	object->mappings = figures.mappings;
	object->exact = figures.exact;
}

/* @n_sorted: of the objects that were found; each that is added is another one */
static int host_add_session(struct host *host, size_t n_sorted, const struct gate *gate,
			    uint32_t slot, uint64_t id)
{
	struct host_object *object = host_session(host, n_sorted, id);

	if (!object) {
		object = reallocarray(host->objects, host->n_objects + 1, sizeof(*object));
		if (!object)
			return -ENOMEM;
		host->objects = object;
		object += host->n_objects++;
		*object = (struct host_object){.session = id, .mapped = UINT64_MAX};
	}
	host_take_figures(object, gate, slot);
	return 0;
}

int host_add_sessions(struct host *host, const struct gate *gate)
{
	const size_t n_sorted = host->n_objects;
	struct gate_context context;
	uint32_t slot = GATE_NO_SLOT;
	uint64_t id;
	int err = 0;

	while (!err && (slot = gate_next(gate, slot, &id)) != GATE_NO_SLOT)
		err = host_add_session(host, n_sorted, gate, slot, id);
	slot = GATE_NO_SLOT;
	while (!err && (slot = gate_pool_next(gate, slot, &context)) != GATE_NO_SLOT)
		err = host_add_session(host, n_sorted, gate, slot, context.id);
	if (!err)
		host_sort_objects(host);
	return err;
}

int host_read(const struct gate *gate, struct host **ret_host)
{
	CLEANUP(host_freep) struct host *host = NULL;
	CLEANUP(freep) void *files = NULL;
	CLEANUP(freep) void *tasks = NULL;
	size_t n_files = 0, n_tasks = 0;
	int err = host_read_all(gate, "host_files", sizeof(struct host_file), &files, &n_files);

	if (!err)
		err = host_read_all(gate, "host_tasks", sizeof(struct host_task), &tasks, &n_tasks);
	if (!err)
		err = host_of_records(files, n_files, tasks, n_tasks, &host);
	if (!err)
		err = host_add_sessions(host, gate);
	if (!err)
		*ret_host = STEAL(host);
	return err;
}
