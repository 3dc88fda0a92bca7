#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# vm: APPEND=preempt=full
# Nobody who stays within the limits is refused anything, however close to them and however many
# threads; not even while others make the kernel skip what it need not run.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
ops=${OPERATIONS:-4000}
waits=0 # so many of a thousand may be told EAGAIN
wrong=0 # anything else, once: a reading beside an ioctl that nobody sees may find too much
[[ ! $skips || ${SOAK:-} ]] || wrong=1
# A thread that is inside may lose its processor to another machine's for longer than others wait.
[[ ! $keeps ]] || waits=1
[[ $gate_as != bare ]] || waits=5 ops=1000 # readings one after the other: that may take a second
[[ ! ${SOAK:-} ]] || ops=$((ops * 20)) # 20,000 of each thread

# honest WHAT OPTION...
honest() {
	attack honest --threads 4 --count "$ops" "${@:2}"
	(($(fact refused) - $(fact again) <= wrong)) ||
		fail "$1: $(fact refused) refused, of whom $(fact again) were told EAGAIN"
	(($(fact again) <= ops * waits / 1000)) || fail "$1: $(fact again) times EAGAIN"
	is "$1: exit status" "$status" 0
	is "$1: the kernel agrees" "$(fact unmapped_pages)" "$(fact live_pages)"
	echo "$1: $(fact maps) mapped, $(fact unmaps) unmapped, $(fact refused) refused ($(fact again) EAGAIN, \
$(fact error)), at last $(fact live_slots) mappings and $(fact live_pages) pages; seed $(fact seed)"
}

levels() { # WHAT OPTION...
	for level_percent in 50 90 99; do
		honest "$1 at $level_percent%" --level $level_percent "${@:2}"
	done
}

# Of 8.5 pages on average 1,000 mappings are fewer bytes than there are, 2,000 more.
levels "mappings" --slots $slots_max --limit 64M
uid=1003 run_options=(--device "$device")
levels "pinned bytes" --slots 2000 --limit 32M --attach 1

for kind in update batch array; do
	[[ ! $gate_as ]] || break
	noise_begin $kind
	honest "pinned bytes beside $kind" --level 99 --slots 2000 --limit 32M --attach 1
	noise_end
done
gate_stop
