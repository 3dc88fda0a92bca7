#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# What a session can make the daemon hear of: denials as fast as four threads get them, more ends
# at once than there is room for, and a session that is taken away while it maps. Others are served
# all the time, and the log does not grow with it.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
echo 'policy "many" { users = {"1006"} accounting = "task" limit = "1M" max-sessions = 4000 }' >>"$config"
ulimit -n 65536
gate_start
exact_or_skip
shown() { "$pinbroker" show "$id" --json | jq -r "$1"; }

# Denials, with somebody who listens to each of them.
"$pinbroker" trace >"$tmp/traced" 2>&1 &
listener=$!
file_wait "$tmp/traced" ^TIME || fail "no trace"
mkfifo "$tmp/pace"
"$here/tests/pace" 0 <"$tmp/pace" >"$tmp/paced" &
pace=$!
exec 5>"$tmp/pace"
file_wait "$tmp/paced" ^ready || fail "no honest client"
lines=$(wc -l <"$log")
attack_begin full --mode slots --count 20000 --threads 4
echo >&5 # not by its end: others have it, too
wait "$pace"
longest=$(awk '/^longest/ {print $2}' "$tmp/paced")
echo "20,000 denials: an honest client waits for at most $longest µs"
((longest <= 1000000)) || fail "an honest client waits for $longest µs"
is "what was refused" "$(fact refused) $(fact error)" "20000 ok"
(($(shown .denied) >= 20000)) || fail "$(shown .denied) denials of 20000 are counted"
((($(wc -l <"$log") - lines) <= 8)) || fail "the log: $(tail -n "+$lines" "$log")"
kill "$listener"
wait "$listener" || true
attack_end

# More ends than fit between two looks of the daemon: it finds them all the same, and says so.
background as 1006 "$here/tests/client" -k 2500 1M
child_wait '^granted 2500' 600
kill -STOP "$daemon"
child_end
kill -CONT "$daemon"
sessions_end
lost=$("$pinbroker" status --json | jq .lost_events)
((lost > 0)) || fail "nothing was lost of 2500 ends"
echo "2,500 ends at once: $lost lost, none left"

# Taken away in the middle of it, by its user and by root.
for order in close revoke; do
	background as "$uid" "$pinbroker" run -- "$gate" honest --threads 4 --level 70 --count 100000000
	child_wait ^seed
	id=$(fact session)
	until (($(shown .mappings) > 0)); do :; done
	if [[ $order == close ]]; then
		exits "closed" 0 as "$uid" "$pinbroker" close "$id"
		until (($(shown .denied) > 0)); do :; done
		kill "$child"
	else
		exits "revoked" 0 "$pinbroker" revoke "$id" --kill
	fi
	child_end
	sessions_end
done
left=$(($(pins) - pins_before))
((left < 256 && left > -256)) || fail "$left pages more are pinned after it than before"
gate_stop
