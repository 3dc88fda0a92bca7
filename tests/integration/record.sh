#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# The record beside the socket: sessions stay as they are over any end of the daemon, a record that
# is not this boot's, not this version's or not ours is told, a full file system loses nothing, and
# many sessions are taken over quickly. What happens between two steps: killed.sh.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

record=$socket.record
cat >"$config" <<'C'
max-requests = 0
host-reserve = "off"
policy "user" {
	users = {"1000"}
	accounting = "user"
	limit = "16M"
	max-sessions = 10
	devices = {"0000:0[01]:0[1-8].0"}
}
policy "task" { users = {"1001"} accounting = "task" limit = "8M" max-sessions = 4000 }
C
for device in 0000:00:05.0 0000:00:06.0; do to_vfio "$device"; done

# owner UID COMMAND...: a process with a session; its pid is $owner. They end with stdin.
mkfifo "$tmp/hold"
exec 9<>"$tmp/hold"
: >"$tmp/owners"
chmod 666 "$tmp/owners"
owner() {
	local lines
	lines=$(wc -l <"$tmp/owners")
	# shellcheck disable=SC2016 # for the inner shell
	setpriv --reuid "$1" --regid "$1" --clear-groups prlimit --memlock=1048576:3145728 \
		"$pinbroker" run "${@:2}" -- bash -c 'echo $$; exec sleep 1000' \
		<&9 >>"$tmp/owners" 2>>"$tmp/complaints" &
	owner=$!
	until (($(wc -l <"$tmp/owners") > lines)); do
		kill -0 "$owner" || { fail "no session: $(cat "$tmp/complaints")"; return; }
	done
}
# All that can be seen but the daemon's own pid.
seen() {
	"$pinbroker" list --json
	"$pinbroker" status --json | jq 'del(.pid)'
	local pid
	for pid in "${owners[@]}"; do memlock "$pid"; done
}
# starts_not WHAT PATTERN: the daemon ends at once and says why in one line.
starts_not() {
	exits "$1" 70 timeout 20 "$pinbrokerd"
	like "$1: why" "$err" "^pinbrokerd: cannot use the record $record: [^"$'\n'"]*$2[^"$'\n'"]*$"
}

broker_start
is "mode and owner of the record" "$(stat -c '%a %u' "$record")" "600 0"
owners=()
owner 1000 --name a --device 0000:00:05.0; owners+=("$owner")
owner 1000 --name a; owners+=("$owner")
owner 1001 --memory 4M; owners+=("$owner")
id=$("$pinbroker" list --json | jq -r '.[0].id')
exits "one more device" 0 as 1000 "$pinbroker" attach "$id" 0000:00:06.0 -- true
exits "lower limits" 0 as 1000 "$pinbroker" set "$id" limit=4M max-mappings=77
exits "given up" 0 as 1001 "$pinbroker" close "$("$pinbroker" list --json | jq -r '.[2].id')"
is "limits" "$(memlock "${owners[0]}"), $(memlock "${owners[1]}"), $(memlock "${owners[2]}")" \
	"20971520 20971520, 20971520 20971520, 1048576 3145728"
before=$(seen)

# Stopped, and killed: everything is as it was.
for end in broker_stop broker_kill broker_kill broker_stop; do
	$end
	is "limits without a daemon ($end)" "$(memlock "${owners[0]}")" "20971520 20971520"
	broker_start
	is "after $end" "$(diff <(echo "$before") <(seen))" ""
	like "what it says" "$(cat "$log")" 'took over 3 sessions'
done

# Owners that exit while no daemon runs: one in user mode, whose share the other's limit had.
broker_stop
kill "${owners[0]}" "${owners[2]}"
wait "${owners[0]}" "${owners[2]}" 2>/dev/null || true
broker_start
is "who is left" "$("$pinbroker" list --json | jq -c '[.[] | [.name, .pid]]')" "[[\"a-2\",${owners[1]}]]"
is "its limit" "$(memlock "${owners[1]}")" "16777216 16777216"
is "how often it is said" "$(grep -c 'it was over before this daemon started' "$log")" 2
is "sums" "$("$pinbroker" status --json | jq -c '[.sessions, .host_sum_bytes]')" "[1,16777216]"
owner 1000 --device 0000:00:06.0 # free again
kill "$owner"
log_wait 'ended: '

# Of another boot, of another version, and no record at all: cleared, and said.
for place in 8 0; do
	broker_kill
	printf X | dd of="$record" bs=1 seek="$place" conv=notrunc status=none
	broker_start
	like "a record with another byte at $place" "$(cat "$log")" \
		"the record $record was of another boot or version: no session of before is known"
	is "what is known" "$("$pinbroker" list --json)" "[]"
done
broker_kill
echo "no record" >"$record"
chmod 600 "$record"
broker_start
like "something else" "$(cat "$log")" 'of another boot or version'
broker_kill
rm "$record"
broker_start
[[ $(cat "$log") != *"another boot"* ]] || fail "nothing was there, and it was cleared"
kill "${owners[1]}"

# Not ours: no daemon, and the file stays as it is.
broker_stop
mv "$record" "$tmp/record"
ln -s "$tmp/record" "$record"
starts_not "a symlink" "it is a symbolic link"
rm "$record"
cp "$tmp/record" "$record"
chmod 600 "$record"
chown 1000 "$record"
starts_not "somebody else's" "not a file of the daemon's user alone"
chown 0 "$record"
chmod 660 "$record"
starts_not "one that others may write" "not a file of the daemon's user alone"
chmod 600 "$record"
ln "$record" "$record.2"
starts_not "one with two names" "not a file of the daemon's user alone"
is "and it is as it was" "$(cmp "$record" "$tmp/record" && echo same)" same
rm "$record" "$record.2"
mkfifo -m 600 "$record"
starts_not "a pipe" "not a file of the daemon's user alone"
rm "$record"
mkdir "$record"
starts_not "a directory" "Is a directory"
rmdir "$record"

# Nor is its directory.
directory=${socket%/*}
chown 1000 "$directory"
starts_not "somebody else's directory" "its directory $directory is not root's or the daemon's user's"
chown 0 "$directory"
mode=$(stat -c %a "$directory")
for bad in 775 757; do
	chmod "$bad" "$directory"
	starts_not "a directory of mode $bad" "writable for group or others and not sticky"
done
chmod "$mode" "$directory"

# No room at all; then room for 1,024 sessions of as many processes less what there is besides.
mount -t tmpfs -o size=64k,mode=755 tmpfs "${socket%/*}"
starts_not "a full file system" "its file system is full"
mount -o remount,size=600k "${socket%/*}"
broker_start
owner 1000 --device 0000:00:05.0 # three entries: an odd number is left
background as 1001 "$here/tests/client" -k 1030 1M
child_wait '^granted' 120
is "granted while there is room" "$(cat "$tmp/child")" "granted 1022 refused 8 kernel"
refused "one more" kernel as 1001 "$pinbroker" run -- true
like "the sentence" "$err" 'cannot record process [0-9]+ as the owner: No space left on device$'
first=$("$pinbroker" list --json | jq -r '.[0].id')
attach() { as 1000 "$pinbroker" attach "$first" "$1" -- true; }
to_vfio 0000:00:07.0
exits "one more device, in the last place" 0 attach 0000:00:06.0
refused "one more than that" kernel attach 0000:00:07.0
like "the sentence" "$err" 'cannot record device 0000:00:07.0: No space left on device$'
refused "one more" kernel as 1001 "$pinbroker" run -- true
like "the sentence" "$err" 'cannot reserve and record a session: No space left on device$'
before=$("$pinbroker" list --json)
is "who is there" "$(jq length <<<"$before")" 1023

# Nothing of it is lost, also not over a restart, which does not take long.
for end in broker_kill broker_stop; do
	$end
	began=${EPOCHREALTIME/./}
	broker_start 8>&-
	"$pinbroker" list --json >"$tmp/list"
	echo "1,023 sessions were taken over and listed in $(((${EPOCHREALTIME/./} - began) / 1000)) ms ($end)"
	is "after $end" "$(cmp <(echo "$before") "$tmp/list" && echo same)" same
	refused "one more" kernel as 1001 "$pinbroker" run -- true
done

# There is room again.
mount -o remount,size=2m "${socket%/*}"
exits "one more" 0 as 1001 "$pinbroker" run -- true
exits "the device" 0 attach 0000:00:07.0
exec 8>&-
wait "$child"
kill "$owner"
sessions_end
is "sums" "$("$pinbroker" status --json | jq -c '[.host_sum_bytes, .users]')" "[0,[]]"
broker_stop
umount "${socket%/*}"
