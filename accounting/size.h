/* SPDX-License-Identifier: MIT */
/* Sizes as people write them: a number with an optional K, M, G or T (powers of 1024). */
#ifndef ACCOUNTING_SIZE_H
#define ACCOUNTING_SIZE_H

#include <stdint.h>

#define SIZE_TEXT_MAX 32

/**
 * size_parse() - "512M" to bytes
 * @text: digits, then at most one of K M G T in either case; nothing else, no sign, no spaces
 *
 * Return: 0; -EINVAL for another form (the empty string too); -ERANGE above 2^63 - 1 bytes.
 */
int size_parse(const char *text, uint64_t *ret_bytes);

/**
 * size_text() - bytes for people: "16G", "131328K", "123"; exact, never rounded
 * @bytes: UINT64_MAX is written "unlimited"
 *
 * Return: buf.
 */
const char *size_text(uint64_t bytes, char buf[static SIZE_TEXT_MAX]);

#endif
