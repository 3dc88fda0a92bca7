#!/bin/bash
# SPDX-License-Identifier: MIT
# Everybody who has a descriptor of a session is killed, whatever he does about it, and nobody else.
# shellcheck source=tests/integration/prey.bash
. tests/integration/prey.bash

prey "$user" table
prey_hunt "a thread with a table of its own"
prey_dead "a thread with a table of its own"
prey "$user" bomb 200
prey_hunt "who forks on and on"
prey_dead "who forks on and on"
prey "$user" hop 8
prey_hunt "who is another at each moment"
prey_dead "who is another at each moment"

# Somebody else's process is not killed for what it was sent. Nor is the daemon, which is root, too.
prey "$root" stranger 1001
prey_hunt "a stranger"
log_wait "process $word of uid 1001 has a descriptor of session $id of uid 0: it is not killed"
log_wait "orphaned: session=$id "
kill -0 "$word" || fail "a stranger was killed"
is "a child of root meanwhile" "$(bash -c '(exit 7); echo $?')" 7
kill -9 "$word"
prey_dead "a stranger, by somebody else"

# Whom nobody can find: the session stays, closed, until somebody has it again. So it does when the
# daemon is another by then.
for way in flight ring restart; do
	prey "$user" "${way/restart/flight}"
	prey_hunt "$way"
	log_wait "orphaned: session=$id "
	is "$way: its state" "$("$pinbroker" show "$id" --json | jq -r .state)" revoked
	kill -0 "$word" || fail "$way: who has no descriptor was killed"
	is "$way: a child of that user meanwhile" "$(as 1000 bash -c '(exit 7); echo $?')" 7
	if [[ $way == restart ]]; then
		broker_fds_are "after all" "$fds"
		kill -9 "$daemon"
		wait "$daemon" || true
		broker_start
	fi
	kill -TERM "$word"
	prey_dead "$way, then received"
done
is "after all" "$("$pinbroker" list --json)" '[]'
broker_stop
