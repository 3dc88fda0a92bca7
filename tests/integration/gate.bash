# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Attacks on a session's limits and what to make of them: without a gate in the kernel each one
# must succeed, or it is none; with one that is exact it must not. Sourced instead of lib.bash.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash
gate=$here/tests/gate
mib=$((1 << 20))
# shellcheck disable=SC2034 # the tests use it
pages_max=$((64 * mib / 4096)) slots_max=1000 # of the policy below
device=0000:00:05.0
uid=1000
run_options=() # of pinbroker run

cat >"$config" <<C
host-reserve = 0
max-requests = 0
policy "tenants" {
	users = {"1000"}
	accounting = "task"
	limit = "64M"
	max-mappings = $slots_max
	devices = {"$device"}
}
policy "wide" {
	users = {"1001"}
	accounting = "task"
	limit = "512M"
	max-mappings = 65535
}
policy "neighbours" {
	users = {"1002"}
	accounting = "task"
	limit = "64M"
	devices = {"$device"}
}
policy "small" {
	users = {"1003"}
	accounting = "task"
	limit = "32M"
	max-mappings = 2000
	devices = {"$device"}
}
policy "tight" {
	users = {"1004"}
	accounting = "task"
	limit = "12M"
	max-mappings = 400
	devices = {"$device"}
}
C

# What the kernel has pinned, in pages: every processor's part of it.
pins() {
	cat /proc/sys/vm/stat_refresh # whose reading gathers them
	awk '/^nr_foll_pin_acquired/ {n += $2} /^nr_foll_pin_released/ {n -= $2} END {print n}' \
		/proc/vmstat
}

# Starts the broker; $level is its gate's, asked from within a session.
gate_start() {
	to_vfio "$device"
	broker_start
	level=$(as "$uid" "$pinbroker" run -- "$pinbroker" status --json | jq -r .gate)
	like "the gate's level" "$level" '^(none|observe|best-effort|exact)$'
	sessions_end
	echo "gate: $level"
}

# fact NAME: what the attack said.
fact() {
	sed -n "s/^$1 //p" "$tmp/child"
}

# said NAME VALUE: 1 if the attack said that, else 0.
said() {
	if [[ $(fact "$1") == "$2" ]]; then echo 1; else echo 0; fi
}

# attack_begin NAME OPTION...: until the attack is ready, or dead. $held: so many more pages are
# pinned than before; $id: its session.
attack_begin() {
	local line reader

	pins_before=$(pins)
	background as "$uid" "$pinbroker" run "${run_options[@]}" -- "$gate" "$@"
	exec 6< <(exec tail -n +1 -s 0.02 --pid="$child" -f "$tmp/child")
	reader=$!
	while read -r -t 300 -u 6 line && [[ $line != ready ]]; do :; done
	kill "$reader" 2>/dev/null || true
	exec 6<&-
	# shellcheck disable=SC2034 # the tests use it, as the next one
	held=$(($(pins) - pins_before))
	# shellcheck disable=SC2034
	id=$(fact session)
}

# attack_end: and what it had is gone; $status is the exit status of the attack.
attack_end() {
	exec 8>&-
	status=0
	wait "$child" || status=$?
	sessions_end
	[[ $status == 137 || ! $(fact failed) ]] || fail "the attack could not be tried: $(fact failed)"
	local left=$(($(pins) - pins_before))
	((left < 256 && left > -256)) || fail "$left pages more are pinned after it than before"
}

attack() {
	attack_begin "$@"
	attack_end
}

# verdict WHAT SUCCEEDED FIGURES: an attack that succeeded (1) or did not (0).
verdict() {
	local word=stopped

	((! $2)) || word=succeeded
	echo "$word: $1: $3"
	case $level in
	none) (($2)) || fail "$1: there is no gate, but it did not succeed: $(cat "$tmp/child")" ;;
	exact) ((! $2)) || fail "$1: it succeeded: $(cat "$tmp/child")" ;;
	esac
}
