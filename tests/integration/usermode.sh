#!/bin/bash
# SPDX-License-Identifier: MIT
# Accounting per user: every guest of a uid reaches its limit, none is restarted, and nobody touches
# a limit by hand. Then both modes mixed, with a limit that changes in between.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
host-reserve = 0
policy "guests" {
	users = {"1000"}
	accounting = "any"
	limit = "48M"
	user-limit = "512M"
	extra-memlock = "4M"
	devices = {"0000:00:0[5-8].0"}
}
C
for device in 0000:00:05.0 0000:00:06.0; do to_vfio "$device"; done
broker_start
mib=$((1 << 20))

# guest FILE OPTION... -- OPERATION...: a guest of uid 1000 that says what it does in FILE; its pid
# is $guest. It goes on at each SIGTERM.
guest() {
	local said=$tmp/$1 options=()

	shift
	while [[ $1 != -- ]]; do options+=("$1"); shift; done
	: >"$said"
	# Without a shell between: $guest is the program itself.
	setpriv --reuid 1000 --regid 1000 --clear-groups "$pinbroker" run "${options[@]}" -- \
		"$vmm" "${@:2}" <"$tmp/never" >>"$said" 2>&1 &
	guest=$!
	said_wait "$said" ^ready
}
# said_wait FILE PATTERN: until the guest has said it.
said_wait() {
	file_wait "$1" "$2" || fail "the guest never said '$2': $(cat "$1")"
}
go_on() { # PID FILE PATTERN
	kill -TERM "$1"
	said_wait "$tmp/$2" "$3"
}
memlock() { awk '/^Max locked memory/ {print $4 / 1048576, $5 / 1048576}' "/proc/$1/limits"; }
id_of() { "$pinbroker" list --json | jq -r ".[] | select(.pid == $1) | .id"; }
ended() { wait "$1" || true; log_wait "ended: session=$2 "; }
mkfifo "$tmp/never"
exec 6<>"$tmp/never" # an end of file would let them go on

# The first one at its limit and not a page beyond; then the second one, likewise.
guest a --name a --accounting user --device 0000:00:05.0 -- "{iommufd}" "{device:0}" get-mode \
	bind 0 attach 0 hold map $((48 * mib)) map 4096 hold unmap hold map $((48 * mib)) hold
a=$guest a_id=$(id_of "$a")
is "the first one's limit" "$(memlock "$a")" "52 52"
like "the kernel counts per user" "$(cat "$tmp/a")" 'get-mode: ok mode=0'
go_on "$a" a 'map 4096: ENOMEM'
like "it reaches its limit" "$(cat "$tmp/a")" "map $((48 * mib)): ok"
guest b --name b --accounting user --device 0000:00:06.0 -- "{iommufd}" "{device:0}" \
	bind 0 attach 0 hold map $((48 * mib)) map 4096 hold
b=$guest b_id=$(id_of "$b")
is "the second one's limit: both" "$(memlock "$b")" "100 100"
is "the first one's, while it runs" "$(memlock "$a")" "100 100"
go_on "$b" b 'map 4096: ENOMEM'
like "the second one reaches its limit" "$(cat "$tmp/b")" "map $((48 * mib)): ok"

# What ends gives back, also to those who run; and what was unmapped can be mapped again.
go_on "$a" a 'hold: ok by=term'
go_on "$b" b 'hold: ok by=term'
ended "$b" "$b_id"
is "the first one's limit is back" "$(memlock "$a")" "52 52"
go_on "$a" a "map $((48 * mib)): ok"

# A limit that somebody else set meanwhile is put right at the next change, and is what comes back.
prlimit --pid "$a" --memlock=$((9 * mib)):$((2000 * mib))
exits "lowered" 0 "$pinbroker" set "$a_id" limit=32M
is "its limit after that" "$(memlock "$a")" "36 36"
exits "closed by its user" 0 as 1000 "$pinbroker" close "$a_id"
is "closed: what somebody else had set" "$(memlock "$a")" "9 2000"
kill -KILL "$a"
ended "$a" "$a_id"

# Mixed: two in task mode of one process each, one in user mode; at each step the rule holds.
guest c --name c --accounting task -- "{iommufd}" hold hold
c=$guest c_id=$(id_of "$c") original=$(ulimit -l)
is "task mode: its own" "$(memlock "$c")" "52 52"
guest d --name d --accounting user -- "{iommufd}" hold hold
d=$guest d_id=$(id_of "$d")
exits "raised" 0 "$pinbroker" set "$d_id" limit=128M
is "user mode, raised" "$(memlock "$d")" "132 132"
is "task mode beside it: the larger sum" "$(memlock "$c")" "132 132"
guest e --name e --accounting task -- "{iommufd}" hold hold
e=$guest e_id=$(id_of "$e")
is "another in task mode" "$(memlock "$e")" "132 132"
exits "lowered" 0 "$pinbroker" set "$d_id" limit=8M
is "user mode, lowered" "$(memlock "$d")" "12 12"
is "task mode: its own again" "$(memlock "$c") $(memlock "$e")" "52 52 52 52"
exits "closed" 0 "$pinbroker" close "$c_id"
is "closed: the original" "$(memlock "$c")" "$((original / 1024)) $((original / 1024))"
exits "raised beyond" 0 "$pinbroker" set "$d_id" limit=200M
is "the closed one is left alone" "$(memlock "$c")" "$((original / 1024)) $((original / 1024))"
is "the others are not" "$(memlock "$d") $(memlock "$e")" "204 204 204 204"
for guest in "$c" "$d" "$e"; do kill -KILL "$guest"; done
for id in "$c_id" "$d_id" "$e_id"; do log_wait "ended: session=$id "; done
is "after all" "$("$pinbroker" list --json)" '[]'
broker_stop
