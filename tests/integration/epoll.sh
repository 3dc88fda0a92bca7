#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: TMO=900
# Where io_uring is switched off (a common hardening) the daemon serves on epoll, says so once, and
# other tests pass as they do on io_uring.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

sysctl=/proc/sys/kernel/io_uring_disabled
[[ -e $sysctl ]] || { echo "this kernel cannot switch io_uring off"; exit 4; }
echo 2 >"$sysctl"
echo 'policy "p" { users = {"1000"} accounting = "task" limit = "64M" }' >"$config"
broker_start
is "said once" "$(grep -c 'io_uring is switched off.*epoll' "$log")" 1
broker_stop
others=(run lifecycle hostile)
[[ ! ${SOAK:-} ]] || others+=(refusals config leaks)
for test in "${others[@]}"; do
	"tests/integration/$test.sh" || fail "$test on epoll"
done
