#!/bin/bash
# SPDX-License-Identifier: MIT
# Processes that map through a session they do not own: the kernel compares what they map with a
# limit of their own, which is right before they map, over a restart, and goes back at the end.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cat >"$config" <<'C'
policy "guests" {
	users = {"1000"} accounting = "any" limit = "48M" extra-memlock = "4M"
	devices = {"0000:00:05.0", "0000:00:06.0"}
}
C
for device in 0000:00:05.0 0000:00:06.0; do to_vfio "$device"; done
broker_start
exact_or_skip
mib=$((1 << 20))

memlock() { awk '/^Max locked memory/ {print $4 / 1024, $5 / 1024}' "/proc/$1/limits"; }
memlock_wait() { # WHAT PID WANTED
	local i

	for ((i = 0; i < 500; i++)); do
		if [[ $(memlock "$2") = "$3" ]]; then return; fi
	done
	fail "$1: RLIMIT_MEMLOCK is $(memlock "$2") KiB, wanted $3"
}
# start SCRIPT: a session of uid 1000, owned by a shell that starts others; $payer is its child.
start() {
	background as 1000 "$pinbroker" run --name vm --accounting "$1" --device 0000:00:05.0 -- \
		sh -c "exec 7<&0; { $2; } <&7 & read -r _"
	child_wait ^ready
	payer=$(<"/proc/$child/task/$child/children")
	payer=${payer% }
	id=$("$pinbroker" list --json | jq -r '.[0].id')
}
go_on() { # PATTERN
	kill -TERM "$payer"
	child_wait "$1"
}
over() {
	child_end
	log_wait "ended: session=$id "
}
operations="$vmm {iommufd} {device:0} bind 0 attach 0 hold map $((48 * mib)) map 4096 hold"
before=$(ulimit -l)

for mode in task user; do
	# A limit of its own, far too low: as a manager's child has it that no one raised.
	start $mode "ulimit -l 64; exec $operations"
	memlock_wait "$mode: a payer" "$payer" "53248 53248"
	go_on 'map 4096: ENOMEM'
	like "$mode: it maps what was granted" "$(cat "$tmp/child")" "map $((48 * mib)): ok"

	exits "$mode: lowered" 0 "$pinbroker" set "$id" limit=16M
	is "$mode: a payer's limit, lowered" "$(memlock "$payer")" "20480 20480"
	kill -KILL "$daemon"
	wait "$daemon" || true
	broker_start
	is "$mode: after a restart" "$(memlock "$payer")" "20480 20480"
	exits "$mode: raised" 0 "$pinbroker" set "$id" limit=32M
	is "$mode: after a restart, raised" "$(memlock "$payer")" "36864 36864"
	exits "$mode: revoked" 0 "$pinbroker" revoke "$id"
	is "$mode: revoked" "$(memlock "$payer")" "64 64"
	over
done

# A child has the limit from its parent, who has it from us: neither keeps it.
start task "exec $operations"
memlock_wait "a child" "$payer" "53248 53248"
log_wait " payer: session=$id .*payer=$payer "
exits "the owner gives it up" 0 as 1000 "$pinbroker" close "$id"
is "a child of the owner: what the owner had" "$(memlock "$payer")" "$before $before"
over

# It becomes the owner, and the owner is none any more; the session lives with it.
start task "ulimit -l 64; exec $operations"
memlock_wait "before it is adopted" "$payer" "53248 53248"
exits "adopted" 0 "$pinbroker" adopt "$id" "$payer"
is "adopted" "$(memlock "$payer") $(memlock "$child")" "53248 53248 $before $before"
kill -KILL "$payer"
over

# Orphaned: the owner has exited, and who maps can go on.
start task "ulimit -l 64; exec $operations"
memlock_wait "before the owner exits" "$payer" "53248 53248"
kill -KILL "$child"
log_wait "orphaned: session=$id "
is "of an orphan" "$(memlock "$payer")" "53248 53248"
go_on 'map 4096: ENOMEM'
like "an orphan maps what was granted" "$(cat "$tmp/child")" "map $((48 * mib)): ok"
kill -KILL "$payer"
over

# Many that come and go: each has what it needs, and none of them is kept.
fds=$(broker_fds)
start task "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	(ulimit -l 64; exec $vmm {iommufd} {device:0} alloc-ioas); done; ulimit -l 64; $operations"
memlock_wait "after many" "$payer" "53248 53248"
broker_fds_are "payers that have exited" "$(printf '%s\n' "$fds" 'anon_inode:[pidfd]' 'anon_inode:[pidfd]' | sed 's/\[[0-9]*\]//' | sort)"
over

# Another user's process: its limit is none of the session's.
start task "exec $operations"
"$pinbroker" attach "$id" 0000:00:06.0 -- setpriv --reuid 1001 --regid 1001 --clear-groups \
	prlimit --memlock=65536:65536 "$vmm" - '{device:0}' info 0 hold <"$tmp/stdin" \
	>"$tmp/other" 2>&1 &
other=$!
file_wait "$tmp/other" ^ready
"$pinbroker" list >/dev/null # what the gate has told by now is served
is "of another user" "$(memlock "$other")" "64 64"
kill -KILL "$other"
wait "$other" || true
over
is "after all" "$("$pinbroker" list --json)" '[]'
broker_stop
