#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# vm: APPEND=lsm=landlock,yama
# Programs that cannot sleep, on 6.12 on a kernel that does not preempt: they keep no processor from
# anybody for long, and refuse nobody for that, nor let anything through.
set -euo pipefail
! grep -qw bpf /sys/kernel/security/lsm || { echo "FAILED: bpf is among the LSMs"; exit 1; }
OPERATIONS=2000 tests/integration/gate_honest.sh
tests/integration/gate_limits.sh
exec tests/integration/gate_stuck.sh
