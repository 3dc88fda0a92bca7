/* SPDX-License-Identifier: MIT */
#ifndef TESTS_UNIT_POISON_H
#define TESTS_UNIT_POISON_H

/*
 * A TCP socket whose last close takes until its other end reads or goes: its queue is full, and it
 * lingers. The attack of the review: sent to the broker, it stopped the loop.
 */
int poison(int *ret_reader);

#endif
