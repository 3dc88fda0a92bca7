#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# What a session maps, unmaps and may have becomes limits of its cgroup, and goes with it.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
max-requests = 0
policy "protected" {
	users = {"1000"} accounting = "task" limit = "256M" headroom = "8M"
	devices = {"0000:00:05.0"} cgroup-mirror = "protect"
}
C
to_vfio 0000:00:05.0
broker_start
fds=$(broker_fds)

cgroup_make machines/vm1
inside machines/vm1 "$pinbroker" run --name guest --device 0000:00:05.0 -- "$vmm" "{iommufd}" \
	"{device:0}" bind 0 attach 0 hold map 67108864 hold unmap hold
child_wait ^ready
headroom=$((8 * mib))
becomes "nothing is mapped" machines/vm1 memory.min $headroom
becomes "and above it" machines memory.min $headroom
: >"$tmp/child"
echo >&8
child_wait ^ready
becomes "64 MiB are pinned" machines/vm1 memory.min $((64 * mib + headroom))
echo "after a map: $took ms"
becomes "and above it" machines memory.min $((64 * mib + headroom))
: >"$tmp/child"
echo >&8
child_wait ^ready
becomes "and no more" machines/vm1 memory.min $headroom
echo "after an unmap: $took ms"
child_end
sessions_end
becomes "the session is over" machines/vm1 memory.min 0
becomes "and above it" machines memory.min 0
broker_settle
broker_fds_are "after it" "$fds"
broker_stop
