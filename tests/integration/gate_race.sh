#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# vm: APPEND=preempt=full
# Arguments that change between two looks at them. Three quarters of the limit are used; what fits is
# a page, what is wanted 32 MiB. With a gate the racer is killed, or the larger one never comes.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
run_options=(--device "$device")
tries_racers=20
tries=40 # of each kind, that began with what fits
[[ ! ${SOAK:-} ]] || tries=35000 tries_racers=1000

# raced WHAT: whether it lives and has, or had, more than the limit. $n tries so far, by $racers.
raced() {
	local larger killed

	larger=$(fact larger) killed=$(fact killed)
	[[ $status != 137 ]] || killed=1 # who watched was killed, too
	n=$((n + $(fact tries) - $(fact refused))) racers=$((racers + 1)) kills=$((kills + ${killed:-0}))
	seen=$((seen + $(fact refused))) larger_all=$((larger_all + ${larger:-0}))
	if ((${larger:-0} > 0 && !${killed:-0})); then
		won=$((won + 1))
	fi
	((worst >= held)) || worst=$held
	[[ $level != exact ]] || ((held <= pages_max + 256)) || fail "$1: $held pages stay pinned"
}

# races WHAT OPTION...: until there were so many tries. Whoever wins is killed, and the next one has
# a session of its own.
races() {
	n=0 racers=0 kills=0 won=0 seen=0 larger_all=0 worst=0
	# Some are refused each time: they are not asked for ever.
	while ((n < tries && racers < tries_racers)); do
		attack "${@:2}" --attach 1 --limit 64M --count $((tries - n))
		raced "$1"
		[[ $level != none ]] || break # one has all of them
	done
	verdict "$1" $((won > 0)) "$racers racers, $n tries beside $seen refused (at last $(fact error)), \
$larger_all larger, $kills killed, $won not; at most $worst pages pinned of $pages_max"
}

for mode in unmap sleep spin; do
	races "a length that flips, then $mode" flip --mode $mode --hold 20000
done

# Whoever reads it waits for what this program likes to say, each time anew.
sysctl -q vm.unprivileged_userfaultfd=1
mode='sleep'
[[ $level != none ]] || mode=plain
wanted=$tries tries=1 tries_racers=1
races "a length that is another when read again" swap --mode "$mode"
tries=$wanted
for mode in first second; do
	attack delay --mode "$mode" --limit 64M
	verdict "an argument that comes late, at the $mode look" $(($(fact mapped_pages) > pages_max)) \
		"$(fact filled_pages) pages meanwhile ($(fact fill_error)), then MAP $(fact late)"
	is "the kernel agrees" "$(fact unmapped_pages)" "$(fact mapped_pages)"
done
gate_stop
