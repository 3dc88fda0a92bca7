#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=1200
# The broker is killed and started again while sessions map, by itself or by another build of it:
# each keeps its id and its figures, no cap is missed for a moment, and nothing is left behind.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
cycles=5 upgrades=4
[[ ! ${SOAK:-} ]] || cycles=200 upgrades=40
per_turn=600
pinned=/sys/fs/bpf/pinbroker

# Three who map, all the time: where nothing is left, where all fits, and whatever one can. They give
# way to the broker on its processor, and have the other.
beside_begin full as 1000 nice "$pinbroker" run -- \
	"$gate" full --mode slots --count 0 --threads 2 --slots $slots_max
beside_begin honest as 1003 nice "$pinbroker" run -- \
	"$gate" honest --count 0 --threads 2 --slots 2000 --limit 32M --level 90
file_wait "$tmp/full.out" ^full || fail "nobody at the last slot: $(cat "$tmp/full.out")"
file_wait "$tmp/honest.out" ^seed || fail "no honest one: $(cat "$tmp/honest.out")"
uid=1004 run_options=(--device "$device")
background as "$uid" nice "$pinbroker" run "${run_options[@]}" -- "$gate" random --threads 3 --attach 1 \
	--count $(((cycles + upgrades + 1) * per_turn)) --quiet $per_turn
turn=0

sessions() { # what of them stays
	"$pinbroker" list --json | jq -c 'map([.id, .name, .uid, .policy, .limit_bytes, .max_mappings,
		.devices]) | sort'
}

# What is pinned, but for the generation's number; and how many there are of what bpf(2) makes.
left_behind() {
	find $pinned -mindepth 1 | sed 's|/[0-9][0-9]*|/N|' | sort
	for kind in prog map link; do
		bpftool -j "$kind" list | jq -r "\"$kind \(length)\""
	done
}

# settled WHAT COMMAND WANTED: it says that, or soon: the kernel frees later.
settled() {
	local i

	for ((i = 0; i < 20; i++)); do
		[[ $($2) != "$3" ]] || return 0
	done
	fail "$1: $(diff <(echo "$3") <($2))"
}

# The random one pauses: its figures are the kernel's.
quiet() {
	local mappings pages pages_pinned

	turn=$((turn + 1))
	child_wait "^quiet $turn " 600
	read -r mappings pages pages_pinned < <(sed -n "s/^quiet $turn mappings \([0-9]*\) pages \([0-9]*\) pinned \([0-9]*\).*/\1 \2 \3/p" "$tmp/child")
	is "turn $turn: figures" \
		"$("$pinbroker" show "$(fact session)" --json | jq -c '[.mappings, .mapped_bytes, .pinned_bytes]')" \
		"[$mappings,$((pages * 4096)),$((pages_pinned * 4096))]"
	is "turn $turn: sessions" "$(sessions)" "$were"
}

# restart SIGNAL PROGRAM
restart() {
	echo >&8 # they go on
	kill "-$1" "$daemon"
	wait "$daemon" 2>/dev/null || true
	pinbrokerd=$2
	broker_start 8>&-
}

child_wait "^quiet 1 "
were=$(sessions)
is "sessions" "$(jq length <<<"$were")" 4
quiet
broker_settle
own=$pinbrokerd next=$here/next/pinbrokerd
fds_fresh=$(broker_fds) behind_fresh=$(left_behind) # with programs that this broker has loaded

for ((i = 0; i < cycles; i++)); do
	restart KILL "$own"
	quiet
	if ((i == 0)); then # it looks after programs that are there
		broker_settle
		fds=$(broker_fds) behind=$(left_behind)
	fi
done
broker_fds_are "descriptors after $cycles restarts" "$fds"
settled "left behind by $cycles restarts" left_behind "$behind"
echo "$cycles times killed and started again"

# Another build takes over, and the first one again, which is the last. Every other time one is killed on its way there.
for ((i = 0; i < upgrades; i++)); do
	((i % 2)) && other=$own || other=$next
	generation=$(basename $pinned/[0-9]*)
	if ((i / 2 % 2)); then
		kill -KILL "$daemon"
		wait "$daemon" 2>/dev/null || true
		timeout -s KILL "0.$((RANDOM % 900 + 100))" "$other" 2>/dev/null 8>&- || true
		"$other" --check 2>/dev/null # it is sound
		pinbrokerd=$other
		echo >&8
		broker_start 8>&-
	else
		restart TERM "$other"
	fi
	quiet
	like "level after $other" "$("$pinbroker" status --json | jq -r .gate)" "^$level\$"
	is "generations after $other" "$(find $pinned -mindepth 1 -maxdepth 1 -name '[0-9]*' | wc -l)" 1
	[[ $(basename $pinned/[0-9]*) != "$generation" ]] || fail "$other has not taken over"
done
broker_fds_are "descriptors after $upgrades upgrades" "$fds_fresh"
settled "left behind by $upgrades upgrades" left_behind "$behind_fresh"
echo "$upgrades times another build took over"

echo >&8
child_wait '^ready'
child_end
is "all of the random ones lived" "$(fact died)" 0
beside_end honest
beside_is_served honest
is "what the honest one had at last" "$(beside_fact honest unmapped_pages)" "$(beside_fact honest live_pages)"
beside_end full
verdict "at the last slot" $(($(beside_fact full through) > 0)) \
	"$(beside_fact full through) through, $(beside_fact full refused) refused ($(beside_fact full error))"
echo "the honest one: $(beside_fact honest maps) mapped"
gate_stop
