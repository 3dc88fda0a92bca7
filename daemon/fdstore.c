/* SPDX-License-Identifier: MIT */
#include "daemon/fdstore.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "bpf/gate_spare.h"
#include "common/cleanup.h"
#include "common/log.h"

#define FDSTORE_NAME_MAX 256 /* a longer one the service manager does not take */

/* What is kept under one name. */
struct fdstore_entry {
	const char *name; /* borrowed from fdstore.names; with the prefix */
	int fd; /* owned; -1: it has been looked at */
	enum gate_spare_state state;
	bool wanted; /* it is of the gate that acts */
	bool gone; /* the service manager was told to close it */
};

/* A socket of a session's. */
struct fdstore_handoff {
	uint64_t id; /* of the session; 0: the name says none */
	const char *name; /* borrowed, as above; NULL: of this process's life */
	int fd; /* owned; -1: it was taken */
};

struct fdstore {
	int socket_fd; /* owned; -1: none */
	struct fdstore_handoff handoffs[FDSTORE_HANDOFFS_MAX]; /* those that are kept */
	size_t n_handoffs;
	char **names; /* owned, with what is in it; NULL: none were passed */
	struct fdstore_entry *entries; /* owned */
	size_t n_entries;
	size_t n_kept; /* of the entries that are not gone, and what was added */
	size_t n_missing; /* of the gate that acts: what is not kept yet */
	unsigned int n_room; /* descriptors that it keeps at most; UINT_MAX: it does not say */
};

void fdstore_free(struct fdstore *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->n_entries; i++)
		fd_closep(&store->entries[i].fd);
	free(store->entries);
	for (size_t i = 0; i < store->n_handoffs; i++)
		fd_closep(&store->handoffs[i].fd);
	for (char **name = store->names; name && *name; name++)
		free(*name);
	free(store->names);
	fd_closep(&store->socket_fd);
	free(store);
}

void fdstore_freep(struct fdstore **store)
{
	fdstore_free(*store);
}

/* --- what was passed */

static bool fdstore_is_ours(const char *name)
{
	return strncmp(name, FDSTORE_PREFIX, strlen(FDSTORE_PREFIX)) == 0;
}

static bool fdstore_is_handoff(const char *name)
{
	return strncmp(name, FDSTORE_HANDOFF, strlen(FDSTORE_HANDOFF)) == 0;
}

/* Hexadecimal, as it was written; 0: it is not. */
static uint64_t fdstore_handoff_id(const char *name)
{
	const char *text = name + strlen(FDSTORE_HANDOFF);
	size_t len = strspn(text, "0123456789abcdef");

	return len && len <= 16 && !text[len] ? strtoull(text, NULL, 16) : 0;
}

/* One too many was kept by nobody here. */
static void fdstore_take_socket_of(struct fdstore *store, int *fd, const char *name)
{
	if (store->n_handoffs < FDSTORE_HANDOFFS_MAX)
		store->handoffs[store->n_handoffs++] = (struct fdstore_handoff){
			.id = fdstore_handoff_id(name), .name = name, .fd = STEAL_FD(*fd)};
}

/* Whether it is the socket to listen on is the listener's question: a wrong one is an error. */
static int fdstore_take_one(struct fdstore *store, int passed_fd, const char *name)
{
	CLEANUP(fd_closep) int fd = passed_fd;
	struct stat st;

	if (name && fdstore_is_ours(name)) {
		store->entries[store->n_entries++] =
			(struct fdstore_entry){.name = name, .fd = STEAL_FD(fd)};
		return 0;
	}
	if (name && fdstore_is_handoff(name)) {
		fdstore_take_socket_of(store, &fd, name);
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode)) {
		log_warning("the service manager passed descriptor %d, \"%s\", which is neither a "
			    "socket nor known here: closed",
			    fd, name ? name : "");
		return 0;
	}
	if (store->socket_fd >= 0)
		return -EINVAL;
	store->socket_fd = STEAL_FD(fd);
	return 0;
}

/* systemd says it since 254. */
static unsigned int fdstore_room(void)
{
	const char *text = getenv("FDSTORE");
	unsigned long room = text ? strtoul(text, NULL, 10) : 0;

	return room && room < UINT_MAX ? (unsigned int)room : UINT_MAX;
}

static int fdstore_take(struct fdstore *store, int n)
{
	int err = 0, one;

	store->entries = calloc((size_t)n, sizeof(*store->entries));
	if (!store->entries)
		return -ENOMEM;
	for (int i = 0; i < n; i++) {
		one = fdstore_take_one(store, SD_LISTEN_FDS_START + i,
				       store->names ? store->names[i] : NULL);
		err = err ? err : one; /* all of them are ours to close */
	}
	store->n_kept = store->n_entries + store->n_handoffs;
	return err;
}

int fdstore_new(struct fdstore **ret_store)
{
	CLEANUP(fdstore_freep) struct fdstore *store = calloc(1, sizeof(*store));
	int n, err = 0;

	if (!store)
		return -ENOMEM;
	store->socket_fd = -1;
	store->n_room = fdstore_room();
	n = sd_listen_fds_with_names(0, &store->names);
	/* Not as many names as descriptors: those are as good as none. The environment goes. */
	if (n >= 0)
		(void)sd_listen_fds(1);
	else
		n = sd_listen_fds(1);
	if (n > 0)
		err = fdstore_take(store, n);
	if (n < 0 || err)
		return n < 0 ? n : err;
	*ret_store = STEAL(store);
	return 0;
}

int fdstore_take_socket(struct fdstore *store)
{
	return store ? STEAL_FD(store->socket_fd) : -1;
}

/* --- pins that are gone */

static void fdstore_report(const struct fdstore *store)
{
	size_t n_restored = 0;

	for (size_t i = 0; i < store->n_entries; i++) {
		const struct fdstore_entry *entry = &store->entries[i];

		if (entry->state == GATE_SPARE_BAD)
			log_warning("the service manager kept \"%s\", and what it passed is no "
				    "such thing: closed",
				    entry->name);
		if (entry->state == GATE_SPARE_RESTORED)
			n_restored++;
	}
	if (n_restored)
		log_warning("%zu pins of the gate were gone, and are made again from what the "
			    "service manager kept: limits were kept meanwhile",
			    n_restored);
}

int fdstore_restore(struct fdstore *store, const char *dir)
{
	CLEANUP(freep) struct gate_spare *spares = NULL;
	int err;

	if (!store || !store->n_entries)
		return 0;
	spares = calloc(store->n_entries, sizeof(*spares));
	for (size_t i = 0; spares && i < store->n_entries; i++)
		spares[i] = (struct gate_spare){
			.name = store->entries[i].name + strlen(FDSTORE_PREFIX),
			.fd = store->entries[i].fd,
		};
	err = spares ? gate_spare_restore(dir, spares, store->n_entries) : -ENOMEM;
	for (size_t i = 0; i < store->n_entries; i++) {
		store->entries[i].state = spares ? spares[i].state : GATE_SPARE_UNTRIED;
		fd_closep(&store->entries[i].fd); /* who passed it has another */
	}
	fdstore_report(store);
	return err;
}

/* --- what is kept */

/* The service manager closes all of one name. What is unseen may be of a gate that acts: it stays.
 */
static void fdstore_remove(struct fdstore *store, const char *name)
{
	for (size_t i = 0; i < store->n_entries; i++)
		if (strcmp(store->entries[i].name, name) == 0 &&
		    store->entries[i].state == GATE_SPARE_UNTRIED)
			return;
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	/* If not, they are there at the next start, and looked at again. */
	for (size_t i = 0; i < store->n_entries; i++) {
		struct fdstore_entry *entry = &store->entries[i];

		if (entry->gone || strcmp(entry->name, name) != 0)
			continue;
		entry->gone = true;
		store->n_kept--;
	}
}

static void fdstore_clear(struct fdstore *store)
{
	for (size_t i = 0; i < store->n_entries; i++)
		if (!store->entries[i].wanted && !store->entries[i].gone)
			fdstore_remove(store, store->entries[i].name);
}

/* One that is there, and good, and the only one of its name: others go with it. */
static struct fdstore_entry *fdstore_find(struct fdstore *store, const char *name)
{
	struct fdstore_entry *found = NULL;

	for (size_t i = 0; i < store->n_entries; i++) {
		struct fdstore_entry *entry = &store->entries[i];

		if (entry->gone || strcmp(entry->name, name) != 0)
			continue;
		if (found ||
		    (entry->state != GATE_SPARE_PINNED && entry->state != GATE_SPARE_RESTORED))
			return NULL;
		found = entry;
	}
	return found;
}

static int fdstore_name(const char *name, char ret_full[static FDSTORE_NAME_MAX])
{
	return snprintf(ret_full, FDSTORE_NAME_MAX, FDSTORE_PREFIX "%s", name) >= FDSTORE_NAME_MAX
		       ? -ENAMETOOLONG
		       : 0;
}

static int fdstore_want(const char *name, int fd, void *arg)
{
	struct fdstore *store = arg;
	struct fdstore_entry *entry;
	char full[FDSTORE_NAME_MAX];
	int err = fdstore_name(name, full);

	(void)fd;
	if (err)
		return err;
	entry = fdstore_find(store, full);
	if (entry)
		entry->wanted = true;
	else
		store->n_missing++;
	return 0;
}

static int fdstore_add(const char *name, int fd, void *arg)
{
	struct fdstore *store = arg;
	char full[FDSTORE_NAME_MAX], message[FDSTORE_NAME_MAX + 64];
	int err = fdstore_name(name, full);

	if (err || fdstore_find(store, full))
		return err;
	/* A link can be polled, and there is nothing to wait for. */
	(void)snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", full);
	err = sd_pid_notify_with_fds(0, 0, message, &fd, 1);
	store->n_kept += err > 0;
	return err < 0 ? err : 0;
}

/* A part of a gate is none: what goes with the pins shall go as a whole. */
static void fdstore_give_up(struct fdstore *store)
{
	log_warning("the service manager keeps %u descriptors, too few for the gate, which needs "
		    "%zu: it keeps none, and the gate goes where somebody removes its pins; raise "
		    "FileDescriptorStoreMax= of the unit",
		    store->n_room, store->n_kept + store->n_missing);
	for (size_t i = 0; i < store->n_entries; i++)
		store->entries[i].wanted = false;
	fdstore_clear(store);
}

void fdstore_fill(struct fdstore *store, const struct gate *gate)
{
	int err;

	if (!store || !getenv("NOTIFY_SOCKET"))
		return;
	err = gate_spare_each(gate, fdstore_want, store);
	if (!err) {
		fdstore_clear(store); /* what it gives up makes room */
		if (store->n_kept + store->n_missing > store->n_room) {
			fdstore_give_up(store);
			return;
		}
		err = gate_spare_each(gate, fdstore_add, store);
	}
	if (err)
		log_warning(
			"the service manager does not keep the gate (%s): it goes where somebody "
			"removes its pins",
			strerror(-err));
}

/* --- sockets of sessions */

static struct fdstore_handoff *fdstore_find_handoff(struct fdstore *store, uint64_t id)
{
	for (size_t i = 0; store && i < store->n_handoffs; i++)
		if (store->handoffs[i].id == id)
			return &store->handoffs[i];
	return NULL;
}

int fdstore_take_handoff(struct fdstore *store, uint64_t id)
{
	struct fdstore_handoff *handoff = fdstore_find_handoff(store, id);

	return handoff ? STEAL_FD(handoff->fd) : -1;
}

bool fdstore_keep_handoff(struct fdstore *store, uint64_t id, int fd)
{
	char message[sizeof(FDSTORE_HANDOFF) + 64];

	if (!store || !getenv("NOTIFY_SOCKET") || store->n_kept >= store->n_room ||
	    store->n_handoffs == FDSTORE_HANDOFFS_MAX)
		return false;
	(void)snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=" FDSTORE_HANDOFF "%llx",
		       (unsigned long long)id);
	if (sd_pid_notify_with_fds(0, 0, message, &fd, 1) <= 0)
		return false;
	store->handoffs[store->n_handoffs++] = (struct fdstore_handoff){.id = id, .fd = -1};
	store->n_kept++;
	return true;
}

/* What it had for us is closed here first: whoever closes last is the one who waits. */
static void fdstore_forget_handoff(struct fdstore *store, struct fdstore_handoff *handoff)
{
	fd_closep(&handoff->fd);
	if (handoff->name)
		(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", handoff->name);
	else
		(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=" FDSTORE_HANDOFF "%llx",
				 (unsigned long long)handoff->id);
	store->n_kept--;
	*handoff = store->handoffs[--store->n_handoffs];
}

void fdstore_drop_handoff(struct fdstore *store, uint64_t id)
{
	struct fdstore_handoff *handoff;

	while ((handoff = fdstore_find_handoff(store, id)))
		fdstore_forget_handoff(store, handoff);
}

void fdstore_drop_handoffs(struct fdstore *store)
{
	for (size_t i = 0; store && i < store->n_handoffs;) {
		if (store->handoffs[i].fd >= 0)
			fdstore_forget_handoff(store, &store->handoffs[i]);
		else
			i++;
	}
}
