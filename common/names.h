/* SPDX-License-Identifier: MIT */
/*
 * Names to ids by the name service. May block (LDAP), so never on the way of a request.
 */
#ifndef COMMON_NAMES_H
#define COMMON_NAMES_H

#include <sys/types.h>

/* Return: 0; -ENOENT: nobody has that name; -errno. arg is not used: the type is policy_env's. */
int names_uid(const char *name, uid_t *ret_uid, void *arg);
int names_gid(const char *name, gid_t *ret_gid, void *arg);

#endif
