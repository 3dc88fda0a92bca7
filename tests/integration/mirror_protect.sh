#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=1200
# vm: MEM=1024
# With a hog outside that takes all of the host's memory, a protected machine keeps its working set:
# what it has to fetch again is less than a tenth of what it was without protection. The same where
# nobody protects the cgroup above it.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
max-requests = 0
policy "bare" { users = {"1000"} accounting = "task" limit = "128M" devices = {"0000:00:05.0"} }
policy "protected" { users = {"1001"} accounting = "task" limit = "128M" headroom = "128M"
	devices = {"0000:00:05.0"} cgroup-mirror = "protect" }
C
to_vfio 0000:00:05.0
echo lz4 >/sys/block/zram0/comp_algorithm 2>/dev/null || true
echo 2G >/sys/block/zram0/disksize || { echo "no zram here"; exit 4; }
mkswap /dev/zram0 >/dev/null
swapon /dev/zram0
echo 0 >/proc/sys/vm/page-cluster # each fault fetches a page
broker_start

# More than there is beside the machine.
hog=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)

refaults() { # refaults CGROUP
	stat_of "$1" workingset_refault_anon workingset_refault_file
}

# measure UID CGROUP: a machine that has 64 MiB pinned and 64 MiB that it works with, and a hog beside
# it; how much it had to fetch again is $count.
measure() {
	local uid=$1 name=$2 before

	cgroup_make "$name"
	inside_as "$uid" "$name" "$pinbroker" run --name guest --device 0000:00:05.0 -- bash -c \
		"'$vmm' \$PINBROKER_IOMMUFD \$PINBROKER_DEVICE_0 bind 0 attach 0 map 67108864 hold </dev/stdin &
		exec 3<&0; '$here/tests/eater' turns 64M <&3"
	child_wait ^turn 600
	until (($(list_exact | jq '.[0].pinned_bytes') == 64 * mib)); do :; done
	[[ $uid = 1000 ]] || becomes "its protection" "$name" memory.min $((192 * mib))
	before=$(refaults "$name")
	cgroup_make machines/hog
	# shellcheck disable=SC2016 # the inner shell's
	bash -c 'echo $$ >"$0" && exec "$@"' $cgroups/machines/hog/cgroup.procs \
		"$here/tests/eater" turns "${hog}K" 2 >"$tmp/hog"
	count=$(($(refaults "$name") - before))
	echo "$name: $count pages were fetched again while a hog had $((hog / 1024)) MiB; $(limit "$name" memory.current) bytes in memory"
	child_end
	sessions_end
}

measure 1000 machines/bare
bare=$count
((bare > 1000)) || fail "without protection only $bare pages: the hog is no hog"
measure 1001 machines/protected
((count * 10 <= bare)) || fail "$count pages of $bare were fetched again in spite of protection"
becomes "it is over" machines memory.min 0
broker_stop
