/* SPDX-License-Identifier: MIT */
/*
 * One packet with file descriptors and credentials over a unix socket. The only place that builds
 * or reads control messages.
 */
#ifndef COMMON_FDMSG_H
#define COMMON_FDMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct sys_ops;

#define FDMSG_FDS_MAX 17

/* What came beside the bytes. */
struct fdmsg {
	int fds[FDMSG_FDS_MAX]; /* owned, -1 where there is none */
	size_t n_fds;
	bool has_cred;
	struct ucred cred; /* of the sender, checked by the kernel */
};

#define FDMSG_INIT         \
	{                  \
		.n_fds = 0 \
	}

/**
 * fdmsg_recv() - receive one packet
 * @fd: a SOCK_SEQPACKET socket, borrowed
 * @buf, @size: where the bytes go
 * @max_fds: how many descriptors the caller can use; with one more the packet is refused
 *           and closed, which can block: for senders one trusts
 * @ret_len: bytes received; 0: the peer has closed
 * @ret_msg: owned by the caller: fdmsg_close()
 *
 * Every descriptor that cannot be handed over is closed. They are close-on-exec.
 *
 * Return: 0; -EAGAIN; -EMSGSIZE for a packet larger than the buffer; -EMFILE: descriptors were lost
 * on the way (MSG_CTRUNC: this process has no room for them, or a security module refused one);
 * -EPROTO for control data that was not expected; -errno of recvmsg(2).
 */
int fdmsg_recv(int fd, void *buf, size_t size, size_t max_fds, int flags, size_t *ret_len,
	       struct fdmsg *ret_msg);

/**
 * fdmsg_recv_plain() - receive one packet of a peer that must not send descriptors
 * @sealed: SO_PASSRIGHTS has been off from before the first packet could be sent, so that the
 *          kernel took none with descriptors
 * @ret_msg: what it says of the sender; there are no descriptors
 *
 * A packet with descriptors, or one that is too long, stays in the queue: to take it would mean to
 * close what came along, and the last close of somebody else's file can take as long as they like.
 * Whoever closes the socket next has the same trouble: daemon/closer.h. Looking before taking is
 * one call more, which a sealed socket is spared.
 *
 * Return: 0; -EAGAIN; -EMSGSIZE; -EPROTO for descriptors; -errno of recvmsg(2).
 */
int fdmsg_recv_plain(int fd, bool sealed, void *buf, size_t size, size_t *ret_len,
		     struct fdmsg *ret_msg);

/* Closes what is still in a message; safe on one that was never filled and after another close. */
void fdmsg_close(struct fdmsg *msg);

/**
 * fdmsg_send() - send one packet with descriptors
 * @iov, @n_iov: the bytes
 * @fds: borrowed; the receiver gets duplicates
 *
 * Return: 0; -errno of sendmsg(2), nothing sent (-EAGAIN, -EPIPE …); -EMSGSIZE when it is too long.
 */
int fdmsg_send(const struct sys_ops *sys, int fd, const struct iovec *iov, size_t n_iov,
	       const int *fds, size_t n_fds);

/**
 * fdmsg_send_cred() - send one packet with the credentials of this process
 *
 * The kernel checks them, and adds them by itself where the receiver had asked for it (SO_PASSCRED)
 * before the packet was sent; on a connection that waited for its daemon to be started it had not.
 * In a user namespace that has no mapping for our ids nobody but the kernel can.
 *
 * Return: as fdmsg_send().
 */
int fdmsg_send_cred(int fd, const struct iovec *iov, size_t n_iov);

#endif
