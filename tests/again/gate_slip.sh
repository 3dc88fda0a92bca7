#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: MEM=6144
# vm: TMO=1800
# vm: APPEND=preempt=full lsm=landlock,yama
# Where bpf is not among the LSMs an attack may slip through, and says how often; honest load and
# figures are as they are elsewhere.
# shellcheck source=tests/integration/again.bash
. tests/integration/again.bash
again '' evade limits commands cdev race honest random
