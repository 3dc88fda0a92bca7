#!/bin/bash
# SPDX-License-Identifier: MIT
# Guest memory in huge pages is pinned, and charged to hugetlb: it is not protected as memory, and
# what it has there it has not in memory; also where huge pages are memory, and where the same memory
# is mapped twice.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
max-requests = 0
policy "both" { users = {"1000"} accounting = "task" limit = "128M" headroom = "16M"
	devices = {"0000:00:05.0"} migration-buffers = "0" cgroup-mirror = "both" }
C
to_vfio 0000:00:05.0
echo 128 >/proc/sys/vm/nr_hugepages
[[ $(</proc/sys/vm/nr_hugepages) = 128 ]] || { echo "no memory in pieces of 2 MiB here"; exit 4; }
headroom=$((16 * mib))

# guest NAME OPERATION...: up to its hold, and looked at since.
guest() {
	local name=$1

	shift
	cgroup_make "$name"
	inside_as 1000 "$name" "$pinbroker" run --name guest --device 0000:00:05.0 -- "$vmm" \
		"{iommufd}" "{device:0}" bind 0 attach 0 "$@" hold
	child_wait ^ready
	is "all is mapped" "$(grep -c '^map.*: ok' "$tmp/child")" "$(printf '%s\n' "$@" | grep -c '^map')"
	id=$("$pinbroker" list --json | jq -r '.[-1].id')
}

# looked_at WHAT NAME FILE COMMAND...: as follows does. The kernel adds up what is in use some seconds
# late, and the broker looks when a session changes: it does until they agree, twice at most.
changes=(hold churn 1x4096 hold churn 1x4096)
looked_at() {
	local i began

	for i in 1 2; do
		began=$SECONDS
		while ((SECONDS - began < 8)); do
			[[ $(limit "$2" "$3") != "$("${@:4}")" ]] || return 0
		done
		echo >&8
	done
	follows "$1" "$2" "$3" 20 "${@:4}"
}

# protection NAME PINNED: what it should be, by what is charged at this moment.
protection() {
	local in_use pinned=$2

	in_use=$(stat_of "$1" anon shmem)
	echo $(((in_use < pinned ? in_use : pinned) / page * page + headroom))
}

# beside NAME: what is left for huge pages, by what is charged at this moment.
beside() {
	local left=$((128 * mib - ($(stat_of "$1" anon shmem) - headroom)))

	echo $((left - left % (2 * mib)))
}

broker_start
guest machines/vm1 map-huge 67108864
becomes "memory" machines/vm1 memory.max $(((128 - 64 + 16) * mib))
becomes "huge pages" machines/vm1 hugetlb.2MB.max $((128 * mib))
is "huge pages in use" "$(limit machines/vm1 hugetlb.2MB.current)" $((64 * mib))
(($(limit machines/vm1 memory.min) < 2 * headroom)) ||
	fail "memory.min is $(limit machines/vm1 memory.min): huge pages are no memory"
is "what is pinned" "$(list_exact | jq '.[0].pinned_bytes')" $((64 * mib))
child_end
sessions_end
becomes "it is over" machines/vm1 hugetlb.2MB.max max

# Ordinary memory beside them; of the 128 MiB it has what the huge pages leave, and they what it does.
guest machines/vm2 map-huge 33554432 map 67108864 "${changes[@]}"
becomes "memory" machines/vm2 memory.max $(((128 - 32 + 16) * mib))
looked_at "protected" machines/vm2 memory.min protection machines/vm2 $((96 * mib))
follows "huge pages" machines/vm2 hugetlb.2MB.max 20 beside machines/vm2
child_end
sessions_end

# The same memory twice: pinned twice, charged once.
guest machines/vm3 map-many 2x33554432 "${changes[@]}"
is "what is pinned" "$(list_exact | jq '.[0].pinned_bytes')" $((64 * mib))
looked_at "protected" machines/vm3 memory.min protection machines/vm3 $((64 * mib))
child_end
sessions_end
broker_stop

# Where they are memory.
if mount -o remount,memory_hugetlb_accounting $cgroups 2>/dev/null; then
	broker_start
	guest machines/vm4 map-huge 67108864
	becomes "memory that is in huge pages" machines/vm4 memory.max $(((128 + 16) * mib))
	becomes "huge pages" machines/vm4 hugetlb.2MB.max $((128 * mib))
	becomes "protected" machines/vm4 memory.min $((64 * mib + headroom))
	child_end
	sessions_end
	broker_stop
fi
