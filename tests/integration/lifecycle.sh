#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# The daemon's own life: one per socket, systemd's socket and notices, sessions that outlive it,
# clients that vanish, and limits that go back.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

echo 'max-requests = 0 policy "p" { users = {"1000"} accounting = "task" limit = "64M" max-sessions = 4000 }' >"$config"
broker_start
is "mode of the socket" "$(stat -c %a "$socket")" 666
exits "a second daemon" 70 "$pinbrokerd"
like "why" "$err" "another pinbrokerd"

background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" get-mode hold
child_wait ^ready
broker_stop
[[ ! -e $socket ]] || fail "the socket outlived the daemon"
is "the owner lives" "$(kill -0 "$child" && echo yes)" yes
is "with its limit" "$(awk '/^Max locked memory/ {print $4}' "/proc/$child/limits")" 67108864
child_end

# A socket file that a killed daemon left behind is no obstacle.
broker_start
kill -9 "$daemon"
wait "$daemon" || true
[[ -S $socket ]] || fail "the socket should have been left behind"
broker_start
fds=$(broker_fds)

# Killed at any moment, a client leaves nothing. The moments are spread by a growing delay loop.
for i in {1..60}; do
	setpriv --reuid 1000 --regid 1000 --clear-groups "$pinbroker" run -- sleep 1000 &
	for ((k = 0; k < i * 60; k++)); do :; done
	kill -9 $!
	wait $! 2>/dev/null || true
done
sessions_end
broker_settle
is "descriptors after clients that vanished" "$(broker_fds)" "$fds"
broker_stop

# Under a service manager: its socket, its notices.
rm -f "$socket" "$socket.record"
background "$here/tests/activate" "$socket" "$pinbrokerd"
until [[ -S $socket ]]; do :; done
is "the client that had it started is served" "$("$pinbroker" list --json)" '[]'
child_wait READY=1
[[ -f $socket.record ]] || fail "there is no record beside a socket of the service manager"

child_end
like "it says that it stops" "$(cat "$tmp/child")" 'STOPPING=1'
[[ -S $socket ]] || fail "the socket is the service manager's, and was removed"
