#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: MEM=6144
# vm: TMO=1200
# The attacks where there is no gate: each succeeds, or would show nothing where there is one.
# shellcheck source=tests/integration/again.bash
. tests/integration/again.bash
again none evade limits commands cdev race
