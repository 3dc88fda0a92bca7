#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: TMO=900
# Brokers that are killed at any moment: limits stay, the next one goes on, and what was there before
# comes back, by it or by --purge.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

cat >"$config" <<'C'
max-requests = 0
policy "both" { users = {"1000"} accounting = "task" limit = "64M" headroom = "8M" max-sessions = 100
	cgroup-mirror = "both" migration-buffers = "1M" devices = {"0000:00:05.0"} }
C
to_vfio 0000:00:05.0
times=20
[[ ! ${SOAK:-} ]] || times=200
headroom=$((8 * mib)) cap=$(((64 + 8) * mib))

broker_kill() {
	kill -9 "$daemon"
	wait "$daemon" || true
	daemon=
}

# session CGROUP: there, until it is killed; its pid is the last of $owners.
owners=()
session() {
	cgroup_make "$1"
	# shellcheck disable=SC2016 # the inner shell's
	bash -c 'echo $$ >"$0" && exec "$@"' "$cgroups/$1/cgroup.procs" setpriv --reuid 1000 --regid 1000 \
		--clear-groups "$pinbroker" run -- sleep 10000 &
	owners+=($!)
}

# Killed at moments that are spread by a growing delay loop, while sessions come and go.
for ((i = 0; i < times; i++)); do
	broker_start
	echo $((4 * mib + i * page)) >$cgroups/machines/vm$i/memory.min 2>/dev/null || true
	session "machines/vm$i"
	for ((k = 0; k < i * 300 % 6000; k++)); do :; done
	if ((i % 3 == 2)); then kill -9 "${owners[-1]}" 2>/dev/null || true; fi
	broker_kill
done
broker_start
n=$("$pinbroker" list --json | jq length)
echo "$n sessions after $times brokers that were killed"
for ((i = 0; i < times; i++)); do
	if "$pinbroker" list --json | jq -e ".[] | select(.cgroup == \"/machines/vm$i\")" >/dev/null; then
		becomes "one that lives" "machines/vm$i" memory.max $cap
		becomes "one that lives" "machines/vm$i" memory.min $headroom
	else
		becomes "one that was killed" "machines/vm$i" memory.max max
		becomes "one that was killed" "machines/vm$i" memory.min 0
	fi
done
becomes "all of them" machines memory.min $((n * headroom))

# They end while no broker runs.
broker_kill
kill -9 "${owners[@]}" 2>/dev/null || true
wait
broker_start
for ((i = 0; i < times; i++)); do
	becomes "they ended meanwhile" "machines/vm$i" memory.max max
	becomes "they ended meanwhile" "machines/vm$i" memory.min 0
done
becomes "and above" machines memory.min 0

# A purge does the same, and leaves what somebody else has set.
owners=()
echo $((2 * mib)) >$cgroups/machines/memory.min
for i in 1 2 3; do session "machines/vm$i"; done
for i in 1 2 3; do becomes "before the purge" "machines/vm$i" memory.max $cap; done
becomes "before the purge" machines memory.min $((3 * headroom))
exits "a purge beside a broker" 70 "$pinbrokerd" --purge
echo $((90 * mib)) >$cgroups/machines/vm3/memory.max
broker_kill
exits "a purge" 0 "$pinbrokerd" --purge
is "after the purge" "$(limit machines memory.min) $(limit machines/vm1 memory.max) $(limit machines/vm2 hugetlb.2MB.max)" \
	"$((2 * mib)) max max"
is "what somebody else has set" "$(limit machines/vm3 memory.max) $(limit machines/vm3 memory.min)" \
	"$((90 * mib)) 0"
exits "another purge" 0 "$pinbrokerd" --purge
kill -9 "${owners[@]}"
wait || true
