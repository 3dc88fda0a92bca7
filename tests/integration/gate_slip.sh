#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: APPEND=lsm=landlock,yama
# Where the gate can be skipped a mapping above the limit may slip through: one whose argument the
# fallback cannot read, as nobody has touched its page. slip = report tells of it, slip = kill ends
# the session, and neither does anything to one that keeps to its limits.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

gate=$here/tests/gate
policy='policy "tiny" { users = {"1005"} accounting = "any" limit = "2K" }
policy "p" { users = {"1000"} accounting = "any" limit = "64M" max-mappings = 4 }'

# slip: a session that may map nothing maps a page; until it is told, or dead.
slip() {
	background as 1005 "$pinbroker" run -- "$gate" static
	log_wait "$1: .* policy=tiny"
}

echo "$policy" >"$config"
broker_start
is "the level" "$("$pinbroker" status --json | jq -r .gate)" best-effort
slip slipped
child_wait ^ready
like "it has it" "$(cat "$tmp/child")" 'static ok'
is "and is no less a session" "$("$pinbroker" list --json | jq -c '.[0] | [.mapped_bytes, .state]')" '[4096,"active"]'
child_end
sessions_end

# The same session, and an honest one: two programs, so not by background.
mkfifo "$tmp/other"
setpriv --reuid 1000 --regid 1000 --clear-groups "$pinbroker" run -- \
	"$vmm" "{iommufd}" alloc-ioas map 8M map 60M hold map 1M hold <"$tmp/other" >"$tmp/honest" 2>&1 &
honest=$!
exec 5>"$tmp/other"
file_wait "$tmp/honest" 'map 60M: ENOMEM'
printf 'slip = "kill"\n%s\n' "$policy" >"$config"
kill -HUP "$daemon"
log_wait 'loaded'
slip poisoned
status=0
wait "$child" || status=$?
is "its process" "$status" 137
exec 8>&-
until [[ $("$pinbroker" list --json | jq -r '[.[].policy] | join(" ")') == p ]]; do :; done
kill "$honest"
file_wait "$tmp/honest" 'map 1M: ok'
is "who asks for too much and is refused is not touched" \
	"$("$pinbroker" list --json | jq -c '.[0] | [.state, .mapped_bytes, .denied]')" "[\"active\",$((9 << 20)),1]"
kill "$honest"
wait "$honest" || fail "the honest one ended with $?"
sessions_end
broker_stop
