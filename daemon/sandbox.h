/* SPDX-License-Identifier: MIT */
/*
 * The sandbox: what the daemon gives up before it serves anybody. It is entered in stages, in this
 * order, and no stage can be taken back. sandbox.c says of each what it needs, what it drops, and
 * what must not have been done yet.
 *
 * Its table of capabilities and that of sandbox_calls.c are the whole of what is kept.
 * contrib/systemd/pinbrokerd.service repeats the capabilities, and a test compares the two.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include <stddef.h>

#define SANDBOX_FAULT_MAX 256

/*
 * Sanitizers make system calls of their own and trace the process when it ends: programs built with
 * one have no filter, and stay dumpable. Every other stage is the same.
 */
#ifdef __has_feature /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) /* gcc */
#define SANDBOX_SANITIZED 1
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* A capability that is kept. */
struct sandbox_capability {
	int number; /* CAP_* */
	const char *name;
	const char *why;
};

/* All of them, in ascending order; ends with a row without a name. */
extern const struct sandbox_capability sandbox_capabilities[];

/* Likewise, what it starts with besides, and gives up before it serves. */
extern const struct sandbox_capability sandbox_start_capabilities[];

/**
 * sandbox_prepare() - the first stage, before anything is opened but 0 to 2 (stdfds_fill())
 *
 * Return: 0; -errno.
 */
int sandbox_prepare(void);

/*
 * The other stages, for sandbox_enter() and its tests. Each returns 0, or -errno with a sentence in
 * ret_fault; what was dropped until then stays dropped.
 */
int sandbox_limit_capabilities(char ret_fault[static SANDBOX_FAULT_MAX]);
int sandbox_forbid_gain(char ret_fault[static SANDBOX_FAULT_MAX]);
int sandbox_filter_calls(char ret_fault[static SANDBOX_FAULT_MAX]);

/**
 * sandbox_enter() - all stages but the first
 *
 * Needs: everything the daemon opens by itself is open: configuration, directories, ring, socket,
 * record. One thread.
 *
 * Return: 0; -errno, logged: the process is half confined and must not serve.
 */
int sandbox_enter(void);

#endif
