#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: TMO=1200
# Ten thousand changes in a second are no more than ten writes; a thousand cgroups take little, and
# with nothing to do the broker sleeps.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
max-requests = 0
max-connections = 4000
policy "protected" { users = {"1000"} accounting = "task" limit = "64M" headroom = "1M"
	devices = {"0000:00:05.0"} cgroup-mirror = "protect" }
policy "many" { users = {"1001"} accounting = "task" limit = "1M" headroom = "1M" max-sessions = 4000
	cgroup-mirror = "both" migration-buffers = "0" }
C
to_vfio 0000:00:05.0
many=60
[[ ! ${SOAK:-} ]] || many=1000
broker_start

written() { "$pinbroker" show "$1" --json | jq .mirror.writes; }
ticks() { awk '{ print $14 + $15 }' "/proc/$daemon/stat"; } # of 10 ms

cgroup_make machines/vm1

# Maps and unmaps as fast as it can.
inside_as 1000 machines/vm1 "$pinbroker" run --name guest --device 0000:00:05.0 -- "$vmm" "{iommufd}" \
	"{device:0}" bind 0 attach 0 map 1048576 hold \
	churn 25000x4096 hold
child_wait ^ready
becomes "a MiB" machines/vm1 memory.min $((2 * mib))
id=$("$pinbroker" list --json | jq -r '.[0].id')
before=$(written "$id") began=${EPOCHREALTIME/./}
: >"$tmp/child"
echo >&8
child_wait ^ready 300
ms=$(((${EPOCHREALTIME/./} - began) / 1000))
n=$(($(written "$id") - before)) changes=$(sed -n 's/^churn .*: ok ms=//p' "$tmp/child")
like "it was done" "$changes" '^[0-9]+$'
echo "50000 changes in $changes ms: $n writes in $ms ms"
((n <= ms / 100 + 2)) || fail "$n writes in $ms ms"
becomes "the last value" machines/vm1 memory.min $((2 * mib))
child_end
sessions_end

# Many cgroups, each with a session.
owners=()
for ((i = 0; i < many; i++)); do
	mkdir "$cgroups/machines/m$i"
	# shellcheck disable=SC2016 # the inner shell's
	bash -c 'echo $$ >"$0" && exec "$@"' "$cgroups/machines/m$i/cgroup.procs" setpriv --reuid 1001 \
		--regid 1001 --clear-groups "$pinbroker" run -- sleep 100000 &
	owners+=($!)
done
becomes "all of them" machines memory.min $((many * mib)) 300
is "the last one" "$(limit "machines/m$((many - 1))" memory.max)" $((2 * mib))
before=$(ticks)
id=$("$pinbroker" list --json | jq -r '.[-1].id')
cgroup=$("$pinbroker" list --json | jq -r '.[-1].cgroup')
listed=$(ticks)
"$pinbroker" set "$id" limit=512K
becomes "one of them has changed" "${cgroup#/}" memory.max $((mib + 524288))
after=$(ticks)
echo "$many cgroups, one has changed: $(((after - listed) * 10)) ms of the broker's time (list: $(((listed - before) * 10)) ms)"
((after - listed <= 5)) || fail "a pass took $(((after - listed) * 10)) ms"

# Nothing to do: not one wakeup, of any of its threads.
switches() { cat "/proc/$daemon"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
before=$(switches)
sleep 2 # what must not happen meanwhile is no event to wait for
is "wakeups in two seconds of nothing" "$(switches)" "$before"

kill -9 "${owners[@]}"
wait "${owners[@]}" || true # not for the broker, too
sessions_end
becomes "it is over" machines memory.min 0 60
broker_stop
