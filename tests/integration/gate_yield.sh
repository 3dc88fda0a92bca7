#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# vm: APPEND=preempt=none
# Where the kernel does not preempt itself, who waits for another thread must let it run.
OPERATIONS=2000
# shellcheck source=tests/integration/gate_honest.sh
. tests/integration/gate_honest.sh
