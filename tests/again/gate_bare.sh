#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: MEM=6144
# vm: TMO=1800
# vm: APPEND=preempt=full
# Everything that the kernel may skip is skipped, always: attacks, honest load and the figures.
# shellcheck source=tests/integration/again.bash
. tests/integration/again.bash
again bare evade limits commands cdev race honest random
