#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: SMP=1
# vm: ICOUNT=1
# Thousands who have a descriptor of a session, and those who fork on and on, are killed fast, and
# others are served meanwhile. The processor's clock counts instructions, as long as it is busy.
# shellcheck source=tests/integration/prey.bash
. tests/integration/prey.bash
patience=0

prey "$user" crowd 3000
alone=$("$here/tests/pace" 300 </dev/null | awk '/^longest/ {print $2}')
background "$here/tests/pace" 0
until [[ $(<"$tmp/child") == ready* ]]; do :; done
prey_hunt "3,000 holders"
prey_dead "3,000 holders"
((ms <= 2000)) || fail "it took $ms ms"
child_end
longest=$(awk '/^longest/ {print $2}' "$tmp/child")
echo "an honest client waits for at most $alone µs, during the hunt $longest µs"
((longest <= 50000)) || fail "an honest client waits for $longest µs"

for way in "bomb 500" "hop 8"; do
	# shellcheck disable=SC2086 # words
	prey "$user" $way
	prey_hunt "$way"
	prey_dead "$way"
	# They have the lowest priority, and to die one must run.
	((ms <= 15000)) || fail "it took $ms ms"
done
broker_stop
