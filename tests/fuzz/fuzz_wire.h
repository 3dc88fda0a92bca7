/* SPDX-License-Identifier: MIT */
/* Bytes of an input, and what both ends' rules of the wire make of them. */
#ifndef TESTS_FUZZ_FUZZ_WIRE_H
#define TESTS_FUZZ_FUZZ_WIRE_H

#include <stddef.h>
#include <stdint.h>

/*
 * NUL bytes of an input are shortened, as most of a packet is NUL: 00 N stands for N+1 of them.
 * Return: the length, cut to size.
 */
size_t fuzz_wire_unpack(const uint8_t *data, size_t len, char *ret_bytes, size_t size);

/* How much of what is left is the next packet: as its header says, or all of it. */
size_t fuzz_wire_packet_len(const char *bytes, size_t left);

/* What is taken for a message is one, in every field that somebody is going to believe. */
void fuzz_wire_check(const char *packet, size_t len);

#endif
