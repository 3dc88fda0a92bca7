#!/bin/bash
# SPDX-License-Identifier: MIT
# A thread of a session is inside an ioctl for as long as it takes, and others of it are at the limit.
# Whoever waits for a reading is told after three seconds to come back, and nobody else waits for
# that. Where the gate cannot sleep it goes by what there can be at most.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
cat >>"$config" <<C
policy "many" {
	users = {"1006"}
	accounting = "task"
	limit = "512M"
	max-mappings = 65600
	devices = {"$device"}
}
C
gate_start
uid=1004 run_options=(--device "$device")
sysctl -q vm.unprivileged_userfaultfd=1

# waits WHAT: EAGAIN, after three seconds, or less for who keeps its processor meanwhile.
waits() {
	is "$1" "$(fact "$1")" EAGAIN
	(($(fact "$1_ms") >= (keeps ? 90 : 3000))) || fail "$1: after $(fact "$1_ms") ms"
}

attack halfway --attach 1 --limit 12M
is "the MAP" "$(fact late)" ok
had=$(fact unmapped_pages) most=$((12 * mib / 4096))
((had <= most)) || fail "there were $had pages of $most"
if [[ $level == exact ]]; then
	waits again
	waits full
else
	is "what fits, beside a MAP that is halfway there" "$(fact again)" ok
	is "what does not" "$(fact full)" ENOMEM
	((had >= most - 9)) || fail "no more than $had pages of $most" # it counts twice: 4 and 5
fi
echo "halfway: $(fact again) after $(fact again_ms) ms, $(fact full) after $(fact full_ms) ms, \
$had pages of $most in the end"

# It goes by nothing where pages are in two areas, nor where there are very many.
if [[ $level != exact ]]; then
	attack shared --attach 1 --limit 12M
	is "a reading before" "$(fact before)" ENOMEM
	waits again
	echo "shared: $(fact again) after $(fact again_ms) ms"
	uid=1006
	attack many --attach 1 --slots 65600
	waits again
	echo "many: $(fact again) after $(fact again_ms) ms"
fi

uid=1004
attack taken --limit 12M
waits more
is "when they are out again" "$(fact late) $(fact after)" "ok ok"
echo "taken: $(fact more) after $(fact more_ms) ms"

attack unknown --limit 12M
is "the DESTROY" "$(fact late)" ok
if [[ $keeps ]]; then
	is "beside a DESTROY" "$(fact full)" EAGAIN
	(($(fact full_ms) >= 90 && $(fact full_ms) < 2500)) || fail "it has kept its processor for $(fact full_ms) ms"
else
	waits full
fi
(($(fact gap_ms) < 2500)) || fail "its neighbour was without a processor for $(fact gap_ms) ms"
echo "unknown: $(fact full) after $(fact full_ms) ms, the neighbour waited for $(fact gap_ms) ms"
gate_stop
