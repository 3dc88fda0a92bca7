#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: SYSTEMD=1 TMO=1200
# Where systemd owns cgroups it is asked: over the bus, and where there is none, directly.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

top=/sys/fs/cgroup
mib=$((1 << 20))
memory_min=0 memory_max=1 # enum cgm_key
capable=(setpriv "--bounding-set=-all,+kill,+sys_resource" "$here/tests/cgroups")

# says WHAT WANTED COMMAND...: all of its output; an error is its name.
says() { is "$1" "$("${capable[@]}" --confined "${@:3}" </dev/null)" "$2"; }
property() { systemctl show -P "$2" "$1"; }

systemd-run --quiet --unit=guest.service --property=Delegate=yes sleep infinity
group=/system.slice/guest.service
mkdir "$top$group/below"

# asked HOW: all questions.
asked() {
	local sleeper

	says "$1: a service" guest.service unit $group
	says "$1: a slice" system.slice unit /system.slice
	says "$1: below a unit" ENOENT unit $group/below
	says "$1: no unit" ENOENT unit "/with space"
	says "$1: minimum" "" property guest.service $memory_min $((3 * mib))
	says "$1: maximum" "" property guest.service $memory_max $((64 * mib))
	is "$1: minimum" "$(property guest.service MemoryMin) $(cat $top$group/memory.min)" "$((3 * mib)) $((3 * mib))"
	is "$1: maximum" "$(property guest.service MemoryMax) $(cat $top$group/memory.max)" "$((64 * mib)) $((64 * mib))"
	says "$1: no limit" "" property guest.service $memory_max max
	is "$1: no limit" "$(property guest.service MemoryMax) $(cat $top$group/memory.max)" "infinity max"
	says "$1: of no unit" ENOENT property none.service $memory_max $mib
	says "$1: huge pages" EINVAL property guest.service 2 $mib
	sleep infinity &
	sleeper=$!
	says "$1: a scope" "" scope "pinbroker-$1.scope" pinbroker-tenants.slice $sleeper
	is "$1: where it is" "$(cut -d: -f3 /proc/$sleeper/cgroup)" \
		"/pinbroker.slice/pinbroker-tenants.slice/pinbroker-$1.scope"
	[[ -f $top$(cut -d: -f3 /proc/$sleeper/cgroup)/memory.max ]] || fail "$1: the scope has no memory files"
	says "$1: once more" EEXIST scope "pinbroker-$1.scope" pinbroker-tenants.slice $sleeper
	kill $sleeper
	wait $sleeper 2>/dev/null || true
	says "$1: nobody" ESRCH scope "pinbroker-$1-nobody.scope" pinbroker-tenants.slice $sleeper
	says "$1: no name" EINVAL scope "pinbroker-$1" pinbroker-tenants.slice $$
}

# reconnects HOW COMMAND...: a connection is lost meanwhile.
reconnects() {
	background "${capable[@]}" --confined unit $group
	child_wait '^guest.service'
	"${@:2}"
	echo >&8
	file_wait "$tmp/child" '^guest.service' 2 || fail "$1: it does not answer again: $(cat "$tmp/child")"
	child_end
}

is "the bus" "$(systemctl is-active dbus.service)" active
asked bus
reconnects "the bus" systemctl restart dbus.service
reconnects "systemd" systemctl daemon-reexec

# One that lets nobody in takes five seconds, not a minute and a half.
# shellcheck disable=SC2016 # a script of python's
coproc /usr/bin/python3 -IS -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print("ready", flush=True)
sys.stdin.read()' "$tmp/mute"
read -r -u "${COPROC[0]}" || fail "nobody listens"
SECONDS=0
is "behind a mute bus" "$(DBUS_SYSTEM_BUS_ADDRESS=unix:path=$tmp/mute timeout 60 "${capable[@]}" --confined \
	unit $group </dev/null)" guest.service
((SECONDS >= 4 && SECONDS < 30)) || fail "it took $SECONDS s"

systemctl stop dbus.socket dbus.service
is "no bus" "$(systemctl is-active dbus.socket dbus.service | xargs)" "inactive inactive"
asked direct
reconnects "directly" systemctl daemon-reexec
