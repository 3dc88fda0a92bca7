#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: MEM=6144
# vm: TMO=1800
# vm: APPEND=preempt=full
# The attacks beside somebody else's bpf(2) map calls on each processor, for which the kernel skips
# what it may.
# shellcheck source=tests/integration/again.bash
. tests/integration/again.bash
again noise evade limits commands cdev race random
