#!/bin/bash
# SPDX-License-Identifier: MIT
# Cgroups that the broker makes: for a session, with the sums of its user and policy above it, and
# none of them stays. The cgroup of all machines has what the host's reserve leaves.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
host-reserve = "1G"
top-cgroup = "/machines"
max-requests = 0
policy "small ones" { users = {"1000-1001"} accounting = "task" limit = "64M" headroom = "8M"
	cgroup-mirror = "both" cgroup-parent = "/machines/pinbroker" migration-buffers = "1M" }
policy "plain" { users = {"1002"} accounting = "task" limit = "64M" }
C
cgroup_make machines
broker_start
one=$(((64 + 8) * mib))
total=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) * 1024))
becomes "all machines" machines memory.max $((total - (1 << 30)))

background as 1000 "$pinbroker" run --cgroup vm1 -- "$vmm" "{iommufd}" hold
child_wait ^ready
place=machines/pinbroker/small_ones/1000
is "where it is" "$(sed -n 's/^0:://p' "/proc/$child/cgroup")" "/$place/vm1"
becomes "its maximum" $place/vm1 memory.max $one
becomes "its user's" $place memory.max $one
becomes "its policy's" machines/pinbroker/small_ones memory.max $one
is "anybody may look" "$(stat -c %a $cgroups/$place/vm1)" 755
like "not above" "$(limit machines/pinbroker memory.max)" "^(max|$one)$"
first=$child
exec 9>&8

background as 1000 "$pinbroker" run --cgroup vm2 -- "$vmm" "{iommufd}" hold
child_wait ^ready
becomes "two of one user" $place memory.max $((2 * one))
second=$child
exec 5>&8
background as 1001 "$pinbroker" run --cgroup vm1 -- "$vmm" "{iommufd}" hold
child_wait ^ready
becomes "another user's" machines/pinbroker/small_ones/1001 memory.max $one
becomes "three of one policy" machines/pinbroker/small_ones memory.max $((3 * one))
is "its protection" "$(limit machines/pinbroker/small_ones/1001 memory.min)" $((8 * mib))
becomes "and of all" machines memory.min $((3 * 8 * mib))

refused "a name that is taken" kernel as 1000 "$pinbroker" run --cgroup vm1 -- true
like "why" "$err" "there is a cgroup /$place/vm1"
# What the kernel calls its own files is another name; nobody may have two, or ask without end.
exits "the name of a file" 0 as 1000 "$pinbroker" run --cgroup memory.max -- cat /proc/self/cgroup
is "where it was" "$out" "0::/$place/memory_max"
goes $place/memory_max
fds=$(broker_fds)
for _ in {1..40}; do as 1000 "$pinbroker" run --cgroup vm1 -- true 2>/dev/null && fail "a name that is taken"; done
sessions_beside=3 sessions_end
broker_fds_are "after forty that were refused" "$fds"
refused "no cgroup-parent" not-permitted as 1002 "$pinbroker" run --cgroup vm1 -- true
like "why" "$err" 'policy "plain": its policy has no cgroup-parent'
for name in . .. ../x a/b cgroup.procs; do
	"$pinbroker" run --cgroup "$name" -- true 2>/dev/null && fail "--cgroup $name"
	as 1000 "$pinbroker" run --cgroup "$name" -- true 2>/dev/null && fail "--cgroup $name of a user"
done
sessions_beside=3 sessions_end
sessions_beside=0

# Who is left in it keeps it, and lets it go.
child_end
goes machines/pinbroker/small_ones/1001
becomes "two of one policy" machines/pinbroker/small_ones memory.max $((2 * one))
sleep 1000 5>&- 8>&- 9>&- &
guest=$!
echo $guest >$cgroups/$place/vm2/cgroup.procs
exec 8>&5 5>&-
child=$second child_end
becomes "one of one user" $place memory.max $one
[[ -d $cgroups/$place/vm2 ]] || fail "a cgroup with a process in it is gone"
kill $guest
wait $guest || true
goes $place/vm2

# A broker that was killed knows what it has made.
kill -9 "$daemon"
wait "$daemon" || true
broker_start
exec 8>&9 9>&-
child=$first child_end
goes machines/pinbroker/small_ones
[[ -d $cgroups/machines/pinbroker ]] || fail "what an administrator has named is gone"
sessions_end

# Without top-cgroup it has what it had.
sed -i '/top-cgroup/d' "$config"
kill -HUP "$daemon"
becomes "without a reserve" machines memory.max max
is "no protection" "$(limit machines memory.min)" 0
broker_stop
