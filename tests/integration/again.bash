# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by tests that are others once more, under other conditions.

# again AS TEST...: those of the gate, with GATE_AS as gate.bash has it, in this machine.
again() {
	local test status failed=0

	export GATE_AS=$1
	for test in "${@:2}"; do
		echo "--- $test"
		status=0
		"tests/integration/gate_$test.sh" || status=$?
		((status != 4)) || exit 4 # it has said why
		((!status)) || failed=1
	done
	exit $failed
}
