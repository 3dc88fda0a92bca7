#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# vm: APPEND=preempt=full
# Several processes do at random to one context whatever one can, and account for it themselves. When
# they pause the kernel's figures and the broker's are theirs.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
ops=20000
[[ ! ${SOAK:-} ]] || ops=100000
[[ $gate_as != bare ]] || ops=$((ops / 10)) # each takes a reading
uid=1004 run_options=(--device "$device") # limits that they reach now and then

vmpin() { # of the processes given, in pages
	awk '/^VmPin:/ {n += $2 / 4} END {print n + 0}' "${@/#//proc/}"
}

# The first pause is where attack_begin would wait for the end: this one goes on line by line.
pins_before=$(pins)
background as "$uid" "$pinbroker" run "${run_options[@]}" -- \
	"$gate" random --threads 6 --count $ops --quiet $((ops / 10)) --attach 1
worst=0
for turn in {1..10}; do
	child_wait "^quiet $turn " 300
	read -r mappings pages pinned < <(sed -n "s/^quiet $turn mappings \([0-9]*\) pages \([0-9]*\) pinned \([0-9]*\).*/\1 \2 \3/p" "$tmp/child")
	mapfile -t workers < <(fact worker)
	workers=("${workers[@]/%//status}")
	is "turn $turn: VmPin of those who map" "$(vmpin "${workers[@]}")" "$pinned"
	held=$(($(pins) - pins_before - pinned))
	((held < 256 && held > -256)) || fail "turn $turn: the kernel has pinned $held pages more than it says"
	shown=$("$pinbroker" show "$(fact session)" --json | jq -c '[.mappings, .mapped_bytes, .pinned_bytes]')
	is "turn $turn: what is shown" "$shown" "[$mappings,$((pages * 4096)),$((pinned * 4096))]"
	[[ $skips ]] || ((mappings <= 400 && pages <= 3072)) || fail "turn $turn: $mappings mappings, $pages pages"
	((worst >= mappings)) || worst=$mappings
	echo >&8
done
child_wait '^ready'
attack_end
is "exit status" "$status" 0
is "all of them lived" "$(fact died)" 0
(($(fact ops) >= ops)) || fail "only $(fact ops) operations"
[[ $level != none ]] || is "refused without a gate" "$(fact map_refused)" 0
echo "seed $(fact seed), $(fact ops) operations, at most $worst mappings at a pause"
most=$(fact most_pinned)
[[ $skips ]] || ((most <= 3072 + 512)) || fail "$most pages of 3072 were pinned at a moment"
echo "at most $most pages pinned of 3072 in $(fact samples) samples"
grep -E '_(ok|refused|again|other) ' "$tmp/child" | paste -sd' ' | fold -sw 100
gate_stop
