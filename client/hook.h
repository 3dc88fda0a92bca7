/* SPDX-License-Identifier: MIT */
/*
 * Inside libvirt's hook: one process for each step of a domain's life, which knows from the one
 * before it what is in a file. It never calls libvirt, which waits for it.
 */
#ifndef CLIENT_HOOK_H
#define CLIENT_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/pinbroker.h"

struct domain;

#define HOOK_STATE_DIR "/run/pinbroker/libvirt" /* made with mode 0700, and gone after a boot */
#define HOOK_QEMU_CONF "/etc/libvirt/qemu.conf"
#define HOOK_PID_DIR "/run/libvirt/qemu" /* of the system's libvirt daemon */
#define HOOK_GIDS_MAX 64

/* --- hook_config.c */

/* hook-fallback of the configuration; false, too, where that cannot be read. */
bool hook_fallback_allows(void);

/**
 * hook_qemu_user() - whom libvirt runs a domain as that does not say so
 * @conf: bytes of qemu.conf; NULL: there is none
 * @ret_user: "user" of it, else the first of the distributions' users that there is; freed by the
 *	caller
 *
 * Return: 0; -ENOENT: there is none of those; -ENOMEM.
 */
int hook_qemu_user(const char *conf, char **ret_user);

/* --- hook_request.c */

/* What a domain asks for, and for whom. */
struct hook_request {
	struct pinbroker_subject subject; /* what it points to is in here, or the domain's */
	struct pinbroker_request request; /* likewise */
	gid_t gids[HOOK_GIDS_MAX];
	char *cgroup; /* owned */
	char name[72];
	const char *devices[PINBROKER_DEVICES_MAX];
};

/**
 * hook_request() - of a domain with devices by iommufd
 * @domain: borrowed until hook_request_fini()
 *
 * Return: 0; -errno after a line on stderr, which libvirt shows.
 */
int hook_request(const struct domain *domain, struct hook_request *ret_request);

/* As hook_request(), of one that libvirt's daemon runs as itself: the subject is that process. */
int hook_request_session(const struct domain *domain, int pidfd, struct hook_request *ret_request);
void hook_request_fini(struct hook_request *request);

/* --- hook_state.c: the session of a domain, by its UUID */

/* Return: 0; -errno. */
int hook_state_write(const char *dir, const char *uuid, uint64_t id);

/* Return: 0; -ENOENT: there is none; -errno. */
int hook_state_read(const char *dir, const char *uuid, uint64_t *ret_id);

/* Fine without one. Return: 0; -errno. */
int hook_state_remove(const char *dir, const char *uuid);

/**
 * hook_pidfd() - the process whose pid libvirt wrote down
 * @dir: HOOK_PID_DIR, or a test's
 * @ret_pidfd: owned by the caller
 *
 * Return: 0; -ENOENT: there is no such file; -EBADMSG: it holds no pid; -ESRCH; -errno.
 */
int hook_pidfd(const char *dir, const char *name, int *ret_pidfd);

#endif
