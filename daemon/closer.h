/* SPDX-License-Identifier: MIT */
/*
 * Closing what a peer may have poisoned. A socket that is closed with packets unread drops the
 * descriptors in them, and the last close of somebody else's file can take as long as its owner
 * likes: a TCP socket lingers, a FUSE file waits for its file system. That must not be our loop.
 *
 * Each such socket is closed by a thread of its own, which first leaves the process's descriptor
 * table: whatever it waits for, it holds nothing else of ours, not even when the daemon exits.
 */
#ifndef DAEMON_CLOSER_H
#define DAEMON_CLOSER_H

struct closer;
struct loop;

typedef void (*closer_done_fn)(void *arg);

int closer_new(struct loop *loop, struct closer **ret_closer);

/* Calls done for every close that is under way; those threads end by themselves. NULL is fine. */
void closer_free(struct closer *closer);

/**
 * closer_close() - hang up, without waiting for what the peer has left in the queue
 * @fd: a SOCK_SEQPACKET unix socket with SO_PASSCRED; owned by the closer from here on, and shut
 * down
 * @done: NULL or called once when it is closed, before this returns or later from the loop
 *
 * Where no thread can be had the socket waits for the next close that ends or begins.
 */
void closer_close(struct closer *closer, int fd, closer_done_fn done, void *arg);

/**
 * closer_close_stream() - likewise, of a connection on a stream socket
 *
 * What is in its queue cannot be looked at packet by packet: a thread closes it unless that is
 * empty.
 */
void closer_close_stream(struct closer *closer, int fd, closer_done_fn done, void *arg);

/* Urgent bytes of a connection on a stream socket are read like all others from here on. */
void closer_show_urgent(int fd);

/* Likewise, of anything, always by a thread; it is not shut down. */
void closer_close_any(struct closer *closer, int fd);

#endif
