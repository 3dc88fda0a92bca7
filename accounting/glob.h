/* SPDX-License-Identifier: MIT */
/*
 * Globs as policies use them: anchored, `*`, `?` and `[...]` never cross a slash, a leading period
 * is not special. A backslash stands for itself: systemd writes unit names with "\x2d" in them.
 */
#ifndef ACCOUNTING_GLOB_H
#define ACCOUNTING_GLOB_H

#include <stdbool.h>

bool glob_match(const char *glob, const char *text);

/* The same with both sides in lower case (ASCII). */
bool glob_match_nocase(const char *glob, const char *text);

/**
 * glob_match_ancestor() - whether a glob matches a path or one of the directories above it
 * @path: absolute, without a trailing slash ("/" excepted); "/" is above everything
 */
bool glob_match_ancestor(const char *glob, const char *path);

/* Whether the text holds none of the characters that make a glob of it. */
bool glob_literal(const char *glob);

/* Whether every "[" of the glob has its "]"; fnmatch takes one without for itself, silently. */
bool glob_valid(const char *glob);

#endif
