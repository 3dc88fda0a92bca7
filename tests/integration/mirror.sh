#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# What a session maps, unmaps and may have becomes limits of its cgroup, by each mode, and goes with
# it. Nothing is loosened, and what others set stays.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

device=0000:00:05.0
policy() { # policy NAME USER MODE
	cat <<-C
		policy "$1" { users = {"$2"} accounting = "task" limit = "256M" headroom = "8M"
			devices = {"$device"} migration-buffers = "16M" cgroup-mirror = "$3" }
	C
}
{
	echo 'max-requests = 0'
	policy protected 1000 protect
	policy capped 1001 cap
	policy both 1002 both
	policy tracked 1003 track
} >"$config"
to_vfio "$device"
broker_start
fds=$(broker_fds)
headroom=$((8 * mib)) cap=$(((256 + 8 + 16) * mib))

# guest UID CGROUP OPERATION...: a session with the device, bound and attached.
guest() {
	local uid=$1 cgroup=$2

	shift 2
	cgroup_make "$cgroup"
	inside_as "$uid" "$cgroup" "$pinbroker" run --name guest --device "$device" -- "$vmm" \
		"{iommufd}" "{device:0}" bind 0 attach 0 "$@"
	child_wait ^ready
	id=$("$pinbroker" list --json | jq -r '.[-1].id')
}

# guest_next: its next hold.
guest_next() {
	: >"$tmp/child"
	echo >&8
	child_wait ^ready
}

# guest_end: and nothing is left of it.
guest_end() {
	child_end
	sessions_end
}

# Protection follows what is pinned, up to the top.
guest 1000 machines/vm1 hold map 67108864 hold unmap hold
becomes "nothing is mapped" machines/vm1 memory.min $headroom
becomes "and above it" machines memory.min $headroom
guest_next
becomes "64 MiB are pinned" machines/vm1 memory.min $((64 * mib + headroom))
echo "after a map: $took ms"
becomes "and above it" machines memory.min $((64 * mib + headroom))
is "no maximum" "$(limit machines/vm1 memory.max)" max
is "what show says" "$(mirror_of "$id" mode by cgroup memory_min_bytes memory_min_now_bytes memory_max_bytes drift reason)" \
	"[\"protect\",\"broker\",\"/machines/vm1\",$((64 * mib + headroom)),$((64 * mib + headroom)),null,false,null]"
guest_next
becomes "and no more" machines/vm1 memory.min $headroom
echo "after an unmap: $took ms"
guest_end
becomes "the session is over" machines/vm1 memory.min 0
becomes "and above it" machines memory.min 0

# A cap is what it may have, and follows what that is.
guest 1001 machines/vm2 hold
becomes "a cap" machines/vm2 memory.max $cap
becomes "of huge pages" machines/vm2 hugetlb.2MB.max $((256 * mib))
is "no protection" "$(limit machines/vm2 memory.min)" 0
is "nothing above it" "$(limit machines memory.max)" max
"$pinbroker" set "$id" limit=64M
becomes "a lower limit" machines/vm2 memory.max $((cap - 192 * mib))
becomes "of huge pages" machines/vm2 hugetlb.2MB.max $((64 * mib))
"$pinbroker" set "$id" limit=128M migration-buffers=1M
becomes "a higher one, and less to migrate" machines/vm2 memory.max $(((128 + 8 + 1) * mib))
# What is in use stays, whatever is asked for.
"$pinbroker" set "$id" limit=4K migration-buffers=0
becomes "as little as there can be" machines/vm2 memory.max $((headroom + page))
guest_end
becomes "the session is over" machines/vm2 memory.max max
becomes "of huge pages" machines/vm2 hugetlb.2MB.max max

# Both; nothing is looser than it was.
cgroup_make machines/vm3
echo $((100 * mib)) >$cgroups/machines/vm3/memory.max
echo $((20 * mib)) >$cgroups/machines/vm3/memory.min
guest 1002 machines/vm3 map 4194304 hold map 33554432 hold
becomes "huge pages" machines/vm3 hugetlb.2MB.max $((256 * mib))
is "a maximum that was lower" "$(limit machines/vm3 memory.max)" $((100 * mib))
is "a minimum that was higher" "$(limit machines/vm3 memory.min)" $((20 * mib))
guest_next
becomes "until more is pinned" machines/vm3 memory.min $((36 * mib + headroom))
guest_end
becomes "what was there" machines/vm3 memory.min $((20 * mib))
is "what was there" "$(limit machines/vm3 memory.max)" $((100 * mib))

# Somebody else's value stays, now and at the end.
guest 1002 machines/vm4 hold map 4194304 hold
becomes "ours" machines/vm4 memory.max $cap
echo $((200 * mib)) >$cgroups/machines/vm4/memory.max
guest_next
becomes "protection goes on" machines/vm4 memory.min $((4 * mib + headroom))
log_wait 'memory.max of cgroup /machines/vm4 was set by somebody else'
is "theirs" "$(limit machines/vm4 memory.max)" $((200 * mib))
is "what show says" "$(mirror_of "$id" reason drift)" '["memory.max was set by somebody else",true]'
like "and list" "$("$pinbroker" list)" 'drift'
guest_end
becomes "ours goes" machines/vm4 memory.min 0
is "theirs stays" "$(limit machines/vm4 memory.max)" $((200 * mib))

# Only to know.
guest 1003 machines/vm5 map 4194304 hold
until [[ $(mirror_of "$id" memory_min_bytes) = "[$((4 * mib + headroom))]" ]]; do :; done
is "what should be" "$(mirror_of "$id" mode by memory_max_bytes memory_max_now_bytes drift)" \
	"[\"track\",\"nobody\",$cap,\"max\",true]"
is "nothing is written" "$(limit machines/vm5 memory.min) $(limit machines/vm5 memory.max)" "0 max"
guest_end

# Where nothing is written, and why.
unmirrored() { # unmirrored WHAT REASON: of the guest
	local reason

	until reason=$(mirror_of "$id" reason) && [[ $reason != '[null]' ]]; do :; done
	like "$1" "$reason" "$2"
	is "$1: by nobody" "$(mirror_of "$id" by memory_min_bytes)" '["nobody",null]'
	guest_end
}
guest 1000 user.slice/user-1000.slice/session-1.scope map 4194304 hold
unmirrored "a login" 'login'
is "a login" "$(limit user.slice/user-1000.slice/session-1.scope memory.min)" 0
cgroup_make machines/shared
sleep 1000 &
other=$!
echo $other >$cgroups/machines/shared/cgroup.procs
guest 1000 machines/shared map 4194304 hold
unmirrored "with somebody else" "$other"
is "with somebody else" "$(limit machines/shared memory.min)" 0
kill $other
wait $other || true
background as 1000 "$pinbroker" run --device "$device" -- "$vmm" "{iommufd}" "{device:0}" hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[-1].id')
unmirrored "at the top" 'no cgroup there has the memory controller'

# Two sessions in one cgroup; the second ends first.
guest 1002 machines/vm6 map 4194304 hold
first=$child
exec 9>&8
echo $$ >$cgroups/machines/vm6/cgroup.procs
setpriv --reuid 1002 --regid 1002 --clear-groups "$pinbroker" run -- sleep 1000 &
second=$!
echo $$ >$cgroups/cgroup.procs
becomes "two of them" machines/vm6 memory.max $((cap + (256 + 8) * mib))
becomes "two of them" machines/vm6 memory.min $((4 * mib + 2 * headroom))
kill $second
wait $second || true
becomes "the first" machines/vm6 memory.max $cap
child=$first
exec 9>&-
guest_end

# A cgroup that vanishes takes its limits along.
guest 1002 machines/vm7 hold
becomes "ours" machines/vm7 memory.max $cap
becomes "above it" machines memory.min $headroom
mkdir $cgroups/machines/vm8
echo "$child" >$cgroups/machines/vm8/cgroup.procs
rmdir $cgroups/machines/vm7
"$pinbroker" set "$id" limit=64M
becomes "where it is now" machines/vm8 memory.max $((cap - 192 * mib))
guest_end
becomes "the last one is over" machines memory.min 0

broker_settle
broker_fds_are "after all of them" "$fds"
broker_stop
