#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# The library in a poll loop against the daemon: the same calls, none of which waits; a list of
# several pages; a call that is given up leaves no descriptor behind.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
policy "tenants" {
	users = {"1000"}
	accounting = "task"
	limit = "1M"
	max-sessions = 301
}
C
broker_start
coproc manager { exec setpriv --reuid 1000 --regid 1000 --clear-groups "$here/tests/manager" -p; }
# shellcheck disable=SC2154 # coproc sets it
child=$manager_PID

# answer: the manager's next line is left in $result.
answer() {
	read -r -t 60 -u "${manager[0]}" result || { fail "the manager says nothing"; exit 1; }
}

# tell COMMAND: the same after a command.
tell() {
	echo "$1" >&"${manager[1]}"
	answer
}

tell "open vm 0"
like "open" "$result" '^granted [0-9a-f]+ vm$'
id=${result#granted } id=${id% vm}
is "its owner" "$("$pinbroker" show "$id" --json | jq .pid)" "$child"
tell "open vm 2M"
is "a refusal" "$result" "refused session-limit"
tell "list"
is "list" "$result" "listed 1"
fds=$(find "/proc/$child/fd" -mindepth 1 | wc -l)
kill -STOP "$daemon"
until grep -q '^State:.T' "/proc/$daemon/status"; do :; done
tell "abandon lost 0"
is "a call that is given up" "$result" abandoned
echo list >&"${manager[1]}"
until grep -q '^7 ' "/proc/$child/syscall"; do :; done # poll
kill -CONT "$daemon"
answer
is "its session" "$result" "listed 2"
is "its descriptors" "$(find "/proc/$child/fd" -mindepth 1 | wc -l)" "$fds"
tell "waits"
like "it did not wait in the library" "$result" '^waits [1-9]'
for ((i = 2; i < 300; i++)); do
	tell "open - 0"
	like "open $i" "$result" '^granted '
done
tell "list"
is "more than a page, less the one given up" "$result" "listed 299"
tell "drop"
is "drop" "$result" "dropped 299"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
daemon=
tell "list"
is "without the daemon" "$result" "failed ECONNRESET"
tell "list"
is "no daemon to connect to" "$result" "failed ECONNREFUSED"
