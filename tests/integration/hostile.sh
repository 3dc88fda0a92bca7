#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# Attacks of unprivileged local users on the daemon and on the limits. Each one worked before it
# was stopped.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
policy "p" { users = {"1000"} accounting = "user" limit = "64M" user-limit = "64M" max-sessions = 1 }
C
broker_start

# A packet whose descriptor takes for ever to close, alone and behind a harmless one. The daemon is
# stopped meanwhile, so that it finds both in the queue.
for packet in first second; do
	kill -STOP "$daemon"
	background as 1999 "$here/tests/attack" "linger-$packet"
	child_wait ^sent
	kill -CONT "$daemon"
	exits "served beside linger-$packet" 0 timeout 20 "$pinbroker" list
	child_end
done

# A stranger that asks all day writes neither the log nor keeps others waiting.
lines=$(wc -l <"$log")
is "flood of requests" "$(as 1999 "$here/tests/attack" flood-requests)" "done"
is "flood of connections" "$(as 1999 "$here/tests/attack" flood-connections)" "done"
lines=$(($(wc -l <"$log") - lines))
((lines < 300)) || fail "2,000 requests and 10,000 connections wrote $lines lines"
exits "served after the floods" 0 "$pinbroker" list

# Each generation inherits a raised limit, locks that much and asks anew: the limit does not grow.
is "generations of locked memory" "$(as 1000 "$here/tests/attack" ratchet)" "limit $((72 << 20))"
broker_stop
