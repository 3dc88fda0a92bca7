# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Attacks on a session's limits and what to make of them: without a gate in the kernel each one
# must succeed, or it is none; with one that is exact it must not. Beside all of them there is a
# neighbour, whom nothing may disturb. Sourced instead of lib.bash.
#
# GATE_AS says what is otherwise than usual; see gate_again.bash:
#   none   there is no gate
#   bare   of its programs only those are attached that the kernel never skips
#   noise  others keep the processors busy with bpf(2) map calls
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash
gate=$here/tests/gate
gate_as=${GATE_AS:-}
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
policy "beside" {
	users = {"1005"}
	accounting = "task"
	limit = "4M"
	max-mappings = 200
}
C

# preempt_is: which preemption is on; a kernel that has not the one it was booted for skips the test.
preempt_is() {
	local on wanted

	on=$(sed 's/.*(\(.*\)).*/\1/' /sys/kernel/debug/sched/preempt)
	wanted=$(sed -n 's/.*\<preempt=\([a-z]*\).*/\1/p' /proc/cmdline)
	if [[ $wanted && $wanted != "$on" ]]; then
		echo "this kernel has no preempt=$wanted"
		exit 4
	fi
	preempt=$on
}

# beside_begin NAME COMMAND...: a program beside the test until beside_end, with its standard input
# held open and its output in $tmp/NAME.out. What holds it open is a process, which nobody inherits.
declare -A beside_pid=() beside_holder=()
beside_begin() {
	local fd name=$1

	shift
	: >"$tmp/$name.out"
	exec {fd}< <(exec sleep infinity)
	beside_holder[$name]=$!
	# Without a shell between: its pid is that of the program.
	[[ $1 != as ]] || set -- setpriv --reuid "$2" --regid "$2" --clear-groups "${@:3}"
	"$@" <&"$fd" >"$tmp/$name.out" 2>&1 &
	beside_pid[$name]=$!
	exec {fd}<&-
}

# beside_end NAME: $status is its exit status.
beside_end() {
	kill "${beside_holder[$1]}"
	status=0
	wait "${beside_pid[$1]}" || status=$?
	unset "beside_pid[$1]" "beside_holder[$1]"
}

# beside_fact BESIDE NAME
beside_fact() {
	sed -n "s/^$2 //p" "$tmp/$1.out"
}

# One on each processor, where they preempt and are preempted by whoever is there.
noise_begin() {
	local cpu

	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		beside_begin "noise$cpu" taskset -c "$cpu" "$here/tests/noise" "$1"
		file_wait "$tmp/noise$cpu.out" ^ready || fail "no noise: $(cat "$tmp/noise$cpu.out")"
	done
}

noise_end() {
	local cpu

	for ((cpu = 0; cpu < $(nproc); cpu++)); do
		beside_end "noise$cpu"
		like "noise on processor $cpu (status $status)" "$(cat "$tmp/noise$cpu.out")" 'calls [1-9]'
	done
}

# Takes off what the kernel may skip: nobody but the pins holds it.
gate_strip() {
	rm -f /sys/fs/bpf/pinbroker/[0-9]*/gate_{map,map_file,unmap,over}
	unhooked iopt_map_user_pages iopt_map_file_pages iopt_unmap_iova iommufd_fops_ioctl
}

# What tests before have left of the gate, which may be some of its programs.
gate_purge() {
	"$pinbrokerd" --purge
}

# Starts the broker; $level is its gate's, asked from within a session. $skips: the kernel may skip
# what reserves; $keeps: who waits in it keeps its processor.
gate_start() {
	preempt_is
	to_vfio "$device"
	if [[ $gate_as == none ]]; then
		mountpoint -q /sys/fs/bpf && umount /sys/fs/bpf
	else
		gate_purge
	fi
	broker_start
	level=$(as "$uid" "$pinbroker" run -- "$pinbroker" status --json | jq -r .gate)
	like "the gate's level" "$level" '^(none|observe|best-effort|exact)$'
	sessions_end
	echo "gate: $level${gate_as:+, $gate_as}; preempt: $preempt"
	# shellcheck disable=SC2034 # the tests use it
	case $level,$preempt in
	best-effort,none | best-effort,voluntary) skips='' keeps=1 ;;
	exact,*) skips='' keeps='' ;;
	*) skips=1 keeps='' ;;
	esac
	case $gate_as in
	none) is "the level without bpffs" "$level" none ;;
	bare) gate_strip ;;
	noise) noise_begin batch ;;
	esac
	beside_begin neighbour as 1005 "$pinbroker" run -- \
		"$gate" honest --mode calm --threads 2 --level 90 --slots 200 --limit 4M
	sessions_beside=1
	file_wait "$tmp/neighbour.out" ^seed || fail "no neighbour: $(cat "$tmp/neighbour.out")"
}

# beside_is_served NAME: an honest one was refused nothing. A crowded machine may keep its threads in
# the kernel for longer than one of them waits for a reading: now and then that is EAGAIN.
beside_is_served() {
	local again

	again=$(beside_fact "$1" again)
	is "what the $1 was refused, but for EAGAIN" $(($(beside_fact "$1" refused) - again)) 0
	((again <= $(beside_fact "$1" maps) / 1000)) || fail "the $1 was told EAGAIN $again times"
}

# Stops it. The neighbour has not noticed anything, and is not what did not work anyway.
gate_stop() {
	beside_end neighbour
	sessions_beside=0
	is "exit status of the neighbour" "$status" 0
	beside_is_served neighbour
	like "what the neighbour mapped" "$(beside_fact neighbour maps)" '^[1-9]'
	is "what the neighbour had at last" "$(beside_fact neighbour unmapped_pages)" \
		"$(beside_fact neighbour live_pages)"
	[[ $gate_as != noise ]] || noise_end
	broker_stop
	echo "the neighbour: $(beside_fact neighbour maps) mapped; skipped: $(misses)"
}

# What the kernel has skipped of each of the gate's programs, those of each generation.
misses() {
	bpftool -j prog list | jq -r '[.[] | select((.name // "") | startswith("gate_")) |
		"\(.name) \(.recursion_misses // 0)"] | join(", ")'
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
	while read -r -u 6 line && [[ $line != ready ]]; do :; done
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
