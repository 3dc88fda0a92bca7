#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: ROOT=sid
# vm: TMO=900
# The same with the newest there is: built with Debian sid's compilers and libraries, its QEMU as the
# VMM.
QEMU=qemu-system-x86_64 exec tests/integration/qemu.sh
