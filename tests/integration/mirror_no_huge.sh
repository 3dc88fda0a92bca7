#!/bin/bash
# SPDX-License-Identifier: MIT
# Where a cgroup has no files of huge pages none of them is wanted, and that is no drift.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
max-requests = 0
policy "capped" {
	users = {"1000"} accounting = "task" limit = "256M" headroom = "8M" migration-buffers = "1M"
	devices = {"0000:00:05.0"} cgroup-mirror = "both"
}
C
to_vfio 0000:00:05.0
broker_start
mkdir $cgroups/plain
echo "+memory -hugetlb" >$cgroups/plain/cgroup.subtree_control
mkdir $cgroups/plain/vm1
inside_as 1000 plain/vm1 "$pinbroker" run --name guest --device 0000:00:05.0 -- "$vmm" "{iommufd}" \
	"{device:0}" bind 0 attach 0 hold
child_wait ^ready
becomes "the cap" plain/vm1 memory.max $((265 * mib))
id=$("$pinbroker" list --json | jq -r '.[0].id')
is "what is told of it" "$(mirror_of "$id" hugetlb drift reason)" "[[],false,null]"
is "the line in the list" "$("$pinbroker" list | awk 'NR == 2 { print $(NF - 1), $NF }')" \
	"both 8M/265M"
child_end
sessions_end
broker_stop
