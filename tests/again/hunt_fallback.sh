#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: APPEND=lsm=landlock,yama
# A hunt where the gate is by hooks that may be skipped, that in fork among them.
export level=best-effort
exec tests/integration/hunt.sh
