/* SPDX-License-Identifier: MIT */
/* For cgroup/ alone: who was started by whom. */
#ifndef CGROUP_KIN_H
#define CGROUP_KIN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* For qsort(3) and bsearch(3). */
int cgm_pid_compare(const void *a, const void *b);

/*
 * Is there such a process? For root, too, /proc can be without one that there is (hidepid=). One of
 * another pid namespace, 0, is there.
 */
bool cgm_pid_lives(pid_t pid);

/* The parent in a line of /proc/PID/stat, whose second field is any text in parentheses. */
bool cgm_kin_parse(const char *stat, pid_t *ret_parent);

/**
 * cgm_kin_is() - is a process one of these, or was it started by one, or by who was?
 * @pids: ascending
 *
 * Whose parent has exited is nobody's kin any more: nothing tells who it was. Return: true, also
 * for a process that has exited.
 */
bool cgm_kin_is(pid_t pid, const pid_t *pids, size_t n_pids);

#endif
