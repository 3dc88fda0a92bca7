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
tries=2000 # some of which the flipping thread is not there for
[[ $level == none ]] || tries=5000
[[ ! ${SOAK:-} ]] || tries=$((tries * 20))

# raced WHAT: whether it lives and has, or had, more than the limit.
raced() {
	local larger killed

	larger=$(fact larger) killed=$(fact killed)
	[[ $status != 137 ]] || killed=1 # who watched was killed, too
	verdict "$1" $((${larger:-0} > 0 && !${killed:-0})) "${larger:-?} of $(fact tries) larger, \
$(fact refused) refused ($(fact error)), $held pages pinned of $pages_max; killed: ${killed:-?}, \
after $(fact after_ms) ms"
	[[ $level != exact ]] || ((held <= pages_max + 256)) || fail "$1: $held pages stay pinned"
}

for mode in unmap sleep spin; do
	attack flip --mode "$mode" --attach 1 --limit 64M --count "$tries"
	raced "a length that flips, then $mode"
done

# Whoever reads it waits for what this program likes to say, each time anew.
sysctl -q vm.unprivileged_userfaultfd=1
mode='sleep'
[[ $level != none ]] || mode=plain
attack swap --mode "$mode" --attach 1 --limit 64M
raced "a length that is another when read again"
for mode in first second; do
	attack delay --mode "$mode" --limit 64M
	verdict "an argument that comes late, at the $mode look" $(($(fact mapped_pages) > pages_max)) \
		"$(fact filled_pages) pages meanwhile ($(fact fill_error)), then MAP $(fact late)"
	is "the kernel agrees" "$(fact unmapped_pages)" "$(fact mapped_pages)"
done
gate_stop
