/* SPDX-License-Identifier: MIT */
/*
 * Who has what pinned on the whole host, as the kernel's own structures say: also through contexts
 * that nobody here handed out, and through VFIO's containers. Nothing is held up for it: what
 * changes meanwhile may be read half.
 */
#ifndef BPF_HOST_H
#define BPF_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gate;
struct host_file;
struct host_task;

#define HOST_COMM_MAX 16

/* A process that has something open. */
struct host_holder {
	uint32_t pid; /* in the initial namespace, like the uid */
	uint32_t uid;
	char comm[HOST_COMM_MAX];
};

/* Whom the kernel charges for what is mapped through a context. */
struct host_charge {
	uint32_t pid; /* it may have exited; 0: of several processes */
	uint32_t uid; /* UINT32_MAX: of several */
	char comm[HOST_COMM_MAX]; /* "": it has exited */
	uint64_t cgroup; /* id of that it is in, or was when it exited; 0: of several */
	uint64_t mapped; /* pages */
	uint64_t pinned;
	uint64_t mappings;
	bool task; /* the process, else its user, … */
	bool nobody; /* … or nobody: it was privileged; or several, and not known */
	bool gone; /* it has exited: its pid may be another's */
};

/* A context of iommufd, or a container of VFIO's type1. Pages are the kernel's. */
struct host_object {
	uint64_t session; /* id; 0: nobody here handed it out */
	uint64_t mapped; /* pages; in several areas of a context once. UINT64_MAX, as the next two:
			    not known */
	uint64_t pinned;
	uint64_t mappings;
	uint64_t orphaned; /* pages of those pinned: the process that mapped them is gone */
	bool container;
	bool task; /* of a context: charges the process, not its user */
	bool exact; /* nothing changed meanwhile, which is known of sessions only */
	size_t first_holder, n_holders; /* in host.holders */
	size_t first_charge, n_charges; /* in host.charges */
};

struct host_process {
	uint32_t pid;
	uint32_t uid;
	uint64_t pinned; /* pages: VmPin */
	uint64_t locked; /* pages: VmLck */
	char comm[HOST_COMM_MAX];
};

struct host_user {
	uint32_t uid;
	uint64_t locked; /* pages: what RLIMIT_MEMLOCK is compared with in user mode */
	uint64_t mapped; /* pages: its processes' through contexts, in either mode; like the next */
	uint64_t pinned;
	uint64_t mappings;
};

/* What processes have through contexts that are in it, not below it. */
struct host_cgroup {
	uint64_t id; /* its inode's number; 0: of several, nobody knows how much each */
	uint64_t mapped; /* pages */
	uint64_t pinned;
	uint64_t mappings;
};

struct host {
	struct host_object *objects; /* owned, like the next five; sessions, contexts, containers */
	size_t n_objects;
	struct host_holder *holders;
	size_t n_holders;
	struct host_charge *charges;
	size_t n_charges;
	struct host_process *processes; /* by pid; who shares memory is told once */
	size_t n_processes;
	struct host_user *users; /* by uid; who has no process is not seen */
	size_t n_users;
	struct host_cgroup *cgroups; /* by id, 0 last; those that have something mapped */
	size_t n_cgroups;
	/*
	 * Pages that are accounted for: VmPin of all processes, what containers have pinned, what
	 * contexts have for processes that are gone.
	 */
	uint64_t explained;
};

/**
 * host_read() - look at every descriptor and process there is
 *
 * Some milliseconds for a host with thousands of processes, and some microseconds for each mapping.
 * Contexts that no process has open (in flight between two, in a ring) are not seen unless they
 * are sessions or bound to a device that one has open.
 *
 * Return: 0, freed with host_free(); -ENOMEM; -errno.
 */
int host_read(const struct gate *gate, struct host **ret_host);

/* The same from records that were read. */
int host_of_records(const struct host_file *files, size_t n_files, const struct host_task *tasks,
		    size_t n_tasks, struct host **ret_host);

/*
 * Adds what a gate knows of its sessions and of the contexts in its pool, and those that no process
 * has open: they are there all the same. Return: 0; -ENOMEM.
 */
int host_add_sessions(struct host *host, const struct gate *gate);

/* NULL is fine. */
void host_free(struct host *host);
void host_freep(struct host **host);

#endif
