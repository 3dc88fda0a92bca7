#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=1200
# vm: MEM=1024
# With a hog outside that takes all of the host's memory, a protected machine keeps its working set:
# what it has to fetch again is less than a tenth of what it was without protection. The same where
# nobody protects the cgroup above it, where what is pinned is huge pages, and where the same memory
# is mapped twice: what is pinned and what is charged differ then.
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

# Each page that comes back is one fault; workingset_refault_* miss those that left no shadow.
refaults() { # refaults CGROUP
	stat_of "$1" pgmajfault
}

# rises NAME FILE MINIMUM: soon it is no less; more if the guest had more when it was looked at.
rises() {
	local began=$SECONDS

	until (($(limit "$1" "$2") >= $3)); do
		((SECONDS - began < 20)) || { fail "$1/$2 is $(limit "$1" "$2"), not $3"; return; }
	done
}

# presses CGROUP BEFORE TURNS: the hog takes all that it has again, so many times; without a number
# until the machine has lost half of what it works with, and $turns is how many that were.
presses() {
	local turn

	for ((turn = 1; turn <= ${3:-12}; turn++)); do
		(($2 - $(stat_of "$1" anon) < 32 * mib)) || [[ $3 ]] || break
		echo >&"$hog_fd"
		file_wait "$tmp/hog" "^turn $turn\$" 1 600 || fail "the hog takes no turn"
	done
	turns=$((turn - 1))
}

# measure UID CGROUP PROTECTION TURNS MAP SIZE: a machine that has 64 MiB pinned and 64 MiB that it works
# with, and a hog that takes more than the rest; how much it had to fetch again to work is $count.
measure() {
	local uid=$1 name=$2 protection=$3 before had hog hog_fd pid

	rm -f "$tmp/vmm"
	mkfifo -m 666 "$tmp/vmm"
	cgroup_make "$name"
	inside_as "$uid" "$name" "$pinbroker" run --name guest --device 0000:00:05.0 -- bash -c \
		"'$vmm' \$PINBROKER_IOMMUFD \$PINBROKER_DEVICE_0 bind 0 attach 0 $5 $6 hold <>'$tmp/vmm' &
		'$here/tests/eater' turns 64M; kill %1; wait"
	child_wait '^map.*: ok' 300
	echo >&8
	child_wait '^turn 1' 300
	until (($(list_exact | jq '.[0].pinned_bytes') == 64 * mib)); do :; done
	[[ ! $protection ]] || rises "$name" memory.min "$protection"
	cgroup_make machines/hog
	hog=$(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) + 320 * 1024))
	rm -f "$tmp/hogs"
	mkfifo "$tmp/hogs"
	exec {hog_fd}<>"$tmp/hogs"
	had=$(stat_of "$name" anon)
	# shellcheck disable=SC2016 # the inner shell's
	bash -c 'echo $$ >"$0" && exec "$@"' $cgroups/machines/hog/cgroup.procs \
		"$here/tests/eater" turns "${hog}K" <"$tmp/hogs" >"$tmp/hog" 8>&- &
	pid=$!
	file_wait "$tmp/hog" ^ready 1 600 || fail "the hog was never full"
	presses "$name" "$had" "$4"
	before=$(refaults "$name")
	echo >&8
	child_wait '^turn 2' 300
	count=$(($(refaults "$name") - before))
	echo "$name: $count pages were fetched again beside a hog of $((hog / 1024)) MiB, $turns turns"
	exec {hog_fd}>&-
	kill $pid
	wait $pid || true
	child_end
	sessions_end
}

# compare NAME PROTECTION MAP SIZE: without protection and with it.
compare() {
	local bare

	measure 1000 "machines/$1-bare" '' '' "${@:3}"
	bare=$count
	((bare > 4000)) || fail "$1: without protection only $bare pages of 16384: the hog is no hog"
	measure 1001 "machines/$1" "$2" "$turns" "${@:3}"
	((count * 10 <= bare)) || fail "$1: $count pages of $bare were fetched again in spite of protection"
	becomes "it is over" machines memory.min 0
}

compare plain $((192 * mib)) map 67108864
compare twice $((160 * mib)) map-many 2x33554432
echo 32 >/proc/sys/vm/nr_hugepages
[[ $(</proc/sys/vm/nr_hugepages) = 32 ]] || fail "no memory in pieces of 2 MiB"
compare huge $((128 * mib)) map-huge 67108864
broker_stop
