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

refaults() { # refaults CGROUP
	stat_of "$1" workingset_refault_anon workingset_refault_file
}

# measure UID CGROUP: a machine that has 64 MiB pinned and 64 MiB that it works with, and a hog that
# takes more than the rest; how much it had to fetch again to work is $count.
measure() {
	local uid=$1 name=$2 before hog pid

	rm -f "$tmp/vmm"
	mkfifo -m 666 "$tmp/vmm"
	cgroup_make "$name"
	inside_as "$uid" "$name" "$pinbroker" run --name guest --device 0000:00:05.0 -- bash -c \
		"'$vmm' \$PINBROKER_IOMMUFD \$PINBROKER_DEVICE_0 bind 0 attach 0 map 67108864 hold <>'$tmp/vmm' &
		'$here/tests/eater' turns 64M; kill %1; wait"
	child_wait '^map .*: ok' 300
	echo >&8
	child_wait '^turn 1' 300
	until (($(list_exact | jq '.[0].pinned_bytes') == 64 * mib)); do :; done
	[[ $uid = 1000 ]] || becomes "its protection" "$name" memory.min $((192 * mib))
	cgroup_make machines/hog
	hog=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) + 320 * 1024))
	mkfifo "$tmp/hog$uid"
	# shellcheck disable=SC2016 # the inner shell's
	bash -c 'echo $$ >"$0" && exec "$@"' $cgroups/machines/hog/cgroup.procs \
		"$here/tests/eater" eat "${hog}K" <>"$tmp/hog$uid" >"$tmp/hog" 8>&- &
	pid=$!
	file_wait "$tmp/hog" ^ready 1 600 || fail "the hog was never full"
	before=$(refaults "$name")
	echo >&8
	child_wait '^turn 2' 300
	count=$(($(refaults "$name") - before))
	echo "$name: $count pages were fetched again beside a hog of $((hog / 1024)) MiB"
	kill $pid
	wait $pid || true
	child_end
	sessions_end
}

measure 1000 machines/bare
bare=$count
((bare > 4000)) || fail "without protection only $bare pages of 16384: the hog is no hog"
measure 1001 machines/protected
((count * 10 <= bare)) || fail "$count pages of $bare were fetched again in spite of protection"
becomes "it is over" machines memory.min 0
broker_stop
