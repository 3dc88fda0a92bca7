#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: TMO=900
# A thousand grants and a thousand refusals in a row leave descriptors, sessions and memory of the
# daemon as they were.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

n=1000
[[ ! ${SOAK:-} ]] || n=20000
cat >"$config" <<'C'
max-requests = 0
policy "p" { users = {"1000"} accounting = "task" limit = "64M" devices = {"0000:00:05.0"} }
policy "q" { users = {"1001"} accounting = "user" limit = "64M" }
C
to_vfio 0000:00:05.0
broker_start
rss() { awk '/^VmRSS/ {print $2}' "/proc/$daemon/status"; }

# times N UID ANSWER ARG...: so many processes one after the other get that answer.
times() {
	is "$1 clients of uid $2" "$(as "$2" "$here/tests/client" "$1" "${@:4}")" "$3"
}

round() {
	times "$1" 1000 "granted $1 refused 0" 1M 0000:00:05.0
	times "$1" 1001 "granted $1 refused 0" 0
	times "$1" 1000 "granted 0 refused $1 session-limit" 65M 0000:00:05.0
	times "$1" 1002 "granted 0 refused $1 no-policy" 0
	sessions_end
}

round $((n / 20)) # what is kept for good, such as tables, exists from here on
fds=$(broker_fds) before=$(rss)
round $((n / 2))
is "descriptors" "$(broker_fds)" "$fds"
after=$(rss)
((after - before <= 128)) || fail "RSS grew from $before to $after KiB over $((2 * n)) requests"
is "grants in the log" "$(grep -c ': granted' "$log")" $((n + n / 10))
# Of the refusals a hundred of each user, one a second, and how many were left out before it.
refusals=$(awk '/: refused/ {n++} /: left out/ {n += $4} END {print n}' "$log")
((refusals >= 200 && refusals <= n + n / 10)) || fail "$refusals refusals in the log"
echo "RSS $before KiB, $after KiB after $n grants and $n refusals"
broker_stop
