#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: MEM=6144
# More than one process with one context: each is within its own RLIMIT_MEMLOCK, all of them
# together are not within the session's limit.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
run_options=(--device "$device")

# over WHAT: more is pinned than the limit allows, by the kernel's count.
over() {
	verdict "$1" $((held > pages_max + 256)) \
		"$held pages pinned of $pages_max; $(fact through) through, then $(fact error)"
}

attack crowd --mode exit --attach 1 --count 40 --limit 64M
over "fork, map, exit"
is "the kernel agrees" "$(fact mapped_pages)" "$(fact unmapped_pages)"
attack crowd --mode live --attach 1 --count 3 --limit 64M
over "children that live"
attack crowd --mode shared --attach 1 --count 3 --limit 64M
over "the same memory mapped thrice"
attack crowd --mode lazy --count 3 --limit 64M
over "mapped before the device is attached"

attack crowd --mode file --attach 1 --count 5 --limit 64M
if [[ $(fact error) == ENOTTY ]]; then
	echo "left out: MAP_FILE, which this kernel has not"
else
	over "MAP_FILE"
fi

# A process that the broker has never seen: of the same user, then one with CAP_IPC_LOCK, for which
# the kernel does not even count.
# helper WHAT PROGRAM COUNT
helper() {
	local helper

	: >"$tmp/helper"
	as "$uid" "$2" helper --count "$3" >"$tmp/helper" 2>&1 </dev/null &
	helper=$!
	file_wait "$tmp/helper" ^listening || fail "the helper is not ready"
	attack send --attach 1 --limit 64M
	wait "$helper" || fail "the helper: $(cat "$tmp/helper")"
	over "$1"
}
prlimit --pid $$ --memlock=67108864:67108864 # as a child of the VMM would have it
helper "a helper by SCM_RIGHTS" "$gate" 1
cp "$gate" "$tmp/capable"
setcap cap_ipc_lock=ep "$tmp/capable"
helper "a helper with CAP_IPC_LOCK" "$tmp/capable" 4

# What run starts gets no capability from its file, with or without a gate.
cp "$vmm" "$tmp/capable"
setcap cap_ipc_lock=ep "$tmp/capable"
like "file capabilities without run" "$(as "$uid" "$tmp/capable" - status)" ' cap_eff=0000000000004000 '
like "file capabilities under run" "$(as "$uid" "$pinbroker" run -- "$tmp/capable" - status)" \
	' cap_eff=0000000000000000 no_new_privs=1'
gate_stop
