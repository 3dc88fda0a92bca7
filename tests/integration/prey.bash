# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# shellcheck disable=SC2034 # the tests use what is set here
# Who has a descriptor of a session, in ways that make him hard to find or to kill, and a daemon to do
# it. Sourced instead of lib.bash.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
max-requests = 0
policy "p" { users = {"0", "1000"} accounting = "task" limit = "64M" }
C
broker_start
is "the gate" "$("$pinbroker" status --json | jq -r .gate)" "${level:-exact}"
fds=$(broker_fds)
mkfifo "$tmp/life"
chmod 666 "$tmp/life"

# prey AS WAY [NUMBER]: until they are there; $id is their session, and as long as descriptor 9 has
# not come to its end one of them is alive. $word: the process that is told to go on.
prey() {
	$1 "$pinbroker" run -- "$here/tests/prey" "${@:2}" >"$tmp/life" 2>"$tmp/prey" &
	hunted=$!
	exec 9<"$tmp/life"
	read -r -u 9 line word || fail "no prey: $(cat "$tmp/prey")"
	is "prey $2" "$line" ready
	id=$("$pinbroker" list --json | jq -r '.[0].id')
}
user="as 1000"
root="setpriv --bounding-set -ipc_lock" # or no limit would hold for it
# prey_hunt WHAT
prey_hunt() {
	since=${EPOCHREALTIME/./}
	exits "$1" 0 "$pinbroker" revoke "$id" --kill
}
# prey_dead WHAT: all of it is, $ms after $since; and the session with it. Where the clock counts
# instructions it runs away while nobody does any: a test there sets patience=0, for no time-out.
prey_dead() {
	timeout "${patience:-120}" cat <&9 >/dev/null || fail "$1: some are alive: $("$pinbroker" list)"
	ms=$(((${EPOCHREALTIME/./} - since) / 1000))
	exec 9<&-
	wait "$hunted" 2>/dev/null || true
	echo "$1: dead after $ms ms"
	until [[ $("$pinbroker" list --json) == '[]' ]]; do :; done
}
