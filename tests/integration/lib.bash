# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the lab tests share. Sourced by a test that runs as root in the lab, in the project's
# directory. A check that fails is printed and counted; the test goes on and fails at its end.
set -euo pipefail

here=${B:-build}
pinbroker=$here/pinbroker
pinbrokerd=$here/pinbrokerd
# shellcheck disable=SC2034 # the tests use it
vmm=$here/tests/vmm
config=/etc/pinbroker/pinbroker.conf
socket=/run/pinbroker/socket
tmp=$(mktemp -d)
chmod 755 "$tmp" # the unprivileged side reads its scripts there
log=$tmp/log
failures=0 daemon=

[[ ${PINBROKER_LAB:-} ]] || { echo "this test changes the machine it runs on: use tests/run"; exit 4; }
mkdir -p "${config%/*}" "${socket%/*}"

finish() {
	local status=$?

	[[ $daemon ]] && kill -9 "$daemon" 2>/dev/null
	if ((status != 4 && (status || failures))); then # 4: skipped; the last line says why
		echo "--- the daemon's log"
		tail -n 60 "$log" 2>/dev/null
	fi
	rm -rf "$tmp"
	((status)) && exit "$status"
	exit $((failures > 0))
}
trap finish EXIT

fail() {
	echo "FAILED: $*"
	failures=$((failures + 1))
}

# is WHAT GOT WANTED: the two are the same text.
is() {
	[[ $2 == "$3" ]] || fail "$1: got '$2', wanted '$3'"
}

# like WHAT GOT PATTERN: an extended regular expression matches somewhere in it.
like() {
	[[ $2 =~ $3 ]] || fail "$1: got '$2', wanted something like '$3'"
}

# exits WHAT STATUS COMMAND...: its output is left in $out, what it complained of in $err.
exits() {
	local what=$1 wanted=$2 status=0

	shift 2
	"$@" >"$tmp/out" 2>"$tmp/err" </dev/null || status=$?
	out=$(tr -d '\0' <"$tmp/out") err=$(tr -d '\0' <"$tmp/err")
	[[ $status == "$wanted" ]] || fail "$what: exit status $status, wanted $wanted: $out $err"
}

# refused WHAT REASON COMMAND...: 77 and exactly one line, with the reason and a sentence.
refused() {
	local what=$1 reason=$2

	shift 2
	exits "$what" 77 "$@"
	[[ $err =~ ^"pinbroker: refused: $reason: "[^$'\n']+$ ]] ||
		fail "$what: got '$err', wanted one line with $reason"
}

# as UID COMMAND...: unprivileged, in its own group only.
as() {
	local uid=$1

	shift
	setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
}

# to_vfio DEVICE: hands a PCI device to vfio-pci.
to_vfio() {
	echo vfio-pci >"/sys/bus/pci/devices/$1/driver_override"
	echo "$1" >/sys/bus/pci/drivers_probe
	[[ -d /sys/bus/pci/devices/$1/vfio-dev ]] || fail "$1 has no VFIO device"
}

# file_wait FILE PATTERN [COUNT [SECONDS]]: until so many lines of the file are like that; an event,
# not a delay. False after so long (a minute) without any line.
file_wait() {
	local line count=${3:-1} reader

	exec 7< <(exec tail -n +1 -s 0.02 -f "$1")
	reader=$!
	while ((count > 0)) && read -r -t "${4:-60}" -u 7 line; do
		[[ ! $line =~ $2 ]] || count=$((count - 1))
	done
	kill "$reader"
	exec 7<&-
	((count == 0))
}

# log_wait PATTERN [COUNT]: until the daemon has logged it (so many times).
log_wait() {
	file_wait "$log" "$1" "${2:-1}" || fail "the daemon never logged '$1'"
}

broker_start() {
	: >"$log"
	"$pinbrokerd" 2>>"$log" </dev/null &
	daemon=$!
	log_wait ': ready'
}

# memlock PID: its soft and hard RLIMIT_MEMLOCK, in bytes.
memlock() { awk '/^Max locked memory/ {print $4, $5}' "/proc/$1/limits"; }
# cdev BDF: of a device that is on vfio-pci.
cdev() { echo "/dev/vfio/devices/$(ls "/sys/bus/pci/devices/$1/vfio-dev")"; }

# exact_or_skip: goes on where the gate is exact, as it has to be where the kernel has what that takes.
exact_or_skip() {
	local level

	level=$("$pinbroker" status --json | jq -r .gate)
	[[ $level != exact ]] || return 0
	! grep -qw bpf /sys/kernel/security/lsm || { fail "the gate is $level"; exit 1; }
	echo "no gate here: $level"
	exit 4
}

# unhooked FUNCTION...: until no program hangs on any of them: the kernel takes one off some time after
# its pin is gone.
unhooked() {
	local functions

	functions=$(IFS='|' && echo "$*")
	while grep -qE "^($functions) " /sys/kernel/tracing/enabled_functions; do :; done
}

# programs_are_small: what the broker has loaded is far from all that the verifier looks at in a
# program, a million instructions: the next compiler or kernel may need more. Each takes its time.
programs_are_small() {
	local most

	most=$(awk '/^verified_insns/ {if ($2 > most) most = $2} END {print most + 0}' "/proc/$daemon/fdinfo/"*)
	((most > 0 && most <= 250000)) || fail "the verifier has looked at $most instructions of a program"
}

# Kills the broker: it can tell nobody, and leaves what it leaves.
broker_kill() {
	kill -9 "$daemon"
	wait "$daemon" 2>/dev/null || true
	daemon=
}

# Stops the broker and checks that it went well.
broker_stop() {
	local status=0

	kill "$daemon"
	wait "$daemon" || status=$?
	daemon=
	is "exit status of the daemon" "$status" 0
}

# What the daemon has open, without the numbers of sockets: the same before and after.
broker_fds() {
	find "/proc/$daemon/fd" -type l -printf '%l\n' | sed 's/\[[0-9]*\]//' | sort
}

# The descriptors are as they were once all connections have been seen to hang up: the daemon
# serves in order, so an answer to a new one means that the old ones are done.
broker_settle() {
	"$pinbroker" list >/dev/null
}

# The list, once all of it was read exactly: on a busy host a reading may find no quiet moment, and
# what is shown is that of a moment before.
list_exact() {
	local list

	until list=$("$pinbroker" list --json) && jq -e 'all(.exact)' <<<"$list" >/dev/null; do :; done
	echo "$list"
}

# Until no session is left, or as many as sessions_beside says: exits, and the kernel's notices, are
# on their way.
sessions_beside=0
sessions_end() {
	local n=

	until [[ $n == "$sessions_beside" ]]; do
		n=$("$pinbroker" list --json | jq length) || {
			fail "the broker does not list its sessions"
			return
		}
	done
}

# broker_fds_are WHAT FDS: the descriptors are as they were, or soon: hang-ups and threads that close
# are on their way.
broker_fds_are() {
	local i

	for ((i = 0; i < 200; i++)); do
		broker_settle
		[[ $(broker_fds) != "$2" ]] || return 0
	done
	fail "$1: descriptors $(broker_fds | uniq -c | tr '\n' ' ')"
}

# What the kernel has pinned, in pages: every processor's part of it.
pins() {
	cat /proc/sys/vm/stat_refresh # whose reading gathers them
	awk '/^nr_foll_pin_acquired/ {n += $2} /^nr_foll_pin_released/ {n -= $2} END {print n}' \
		/proc/vmstat
}

# background COMMAND...: a program with its standard input held open by us; its pid is $child, its
# output $tmp/child. It ends at child_end, or when killed.
background() {
	rm -f "$tmp/stdin"
	mkfifo "$tmp/stdin"
	: >"$tmp/child"
	chmod 666 "$tmp/child"
	# Without a shell between: $child is the program itself.
	[[ $1 != as ]] || set -- setpriv --reuid "$2" --regid "$2" --clear-groups "${@:3}"
	"$@" <"$tmp/stdin" >"$tmp/child" 2>&1 &
	child=$!
	exec 8>"$tmp/stdin"
}

# child_wait PATTERN [SECONDS]: until the child's output has such a line.
child_wait() {
	file_wait "$tmp/child" "$1" 1 "${2:-60}" || fail "the child never said '$1': $(cat "$tmp/child")"
}

# fact NAME: what the child said of it.
fact() {
	sed -n "s/^$1 //p" "$tmp/child"
}

child_end() {
	exec 8>&-
	wait "$child" || true
}
