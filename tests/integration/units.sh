#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: SYSTEMD=1
# What "make install" installs, under systemd: started by its socket the daemon serves, is confined
# from outside too, writes to the journal, and what it keeps outlives it.
# shellcheck source=tests/integration/confined.bash
. tests/integration/confined.bash

[[ -d /run/systemd/system ]] || { echo "not under systemd: tests/run boots it"; exit 4; }
service=pinbrokerd.service

main() { systemctl show -P MainPID "$service"; }

# journal_has WHAT PATTERN: some line of the service's process, without a look at the clock.
journal_has() {
	journalctl --sync
	journalctl -q -o cat _PID="$(main)" >"$log"
	like "$1" "$(<"$log")" "$2"
}

make -s install B="$here" ${SAN:+SAN="$SAN"} >/dev/null
rmdir "${socket%/*}"
systemd-tmpfiles --create pinbroker.conf
is "the directory of the socket, without systemd's unit" "$(stat -c '%a %U' "${socket%/*}")" "755 root"
rmdir "${socket%/*}"
systemctl daemon-reload
systemctl start pinbrokerd.socket
is "the directory of the socket" "$(stat -c '%a %U' "${socket%/*}")" "755 root"
is "the socket's mode" "$(stat -c %a "$socket")" 666
to_vfio 0000:00:05.0
policies sandboxed
is "who had it started is served" "$(as 1000 "$pinbroker" list --json)" '[]'
is "what runs" "$(readlink "/proc/$(main)/exe")" /usr/local/sbin/pinbrokerd
promised "$(main)"
served
journal_has "it says what it did" 'granted: session=[0-9a-f]+ .* uid=1000 '
is "each of that is a field" "$(journalctl -q -o json _PID="$(main)" PINBROKER_EVENT=granted |
	jq -s -r '.[0] | [.PINBROKER_POLICY, .PINBROKER_UID, .PINBROKER_PEER_UID, .PRIORITY] | join(" ")')" \
	"named 1000 1000 6"
pid=$(main)
systemctl reload "$service"
served
is "the process after a reload" "$(main)" "$pid"

# inside COMMAND...: what the service's file systems let anybody do.
inside() { nsenter -m -t "$(main)" "$@"; }
is "the record's mode" "$(stat -c '%a %U' "$socket.record")" "600 root"
record=$(stat -c %i "$socket.record")
systemctl restart "$service"
served

# The service manager keeps the gate, whatever becomes of its pins.
pinned=/sys/fs/bpf/pinbroker
pins() { find $pinned -mindepth 1 -type f | sort; }
n_kept() { systemctl show -P NFileDescriptorStore "$service"; }
pins_were=$(pins)
[[ $pins_were ]] || fail "nothing is pinned"
is "descriptors that are kept" "$(n_kept)" "$(wc -l <<<"$pins_were")"
rm -r $pinned
systemctl restart "$service"
served
is "the pins, after they were removed" "$(pins)" "$pins_were"
journal_has "why" 'pins of the gate were gone'
is "descriptors that are kept then" "$(n_kept)" "$(wc -l <<<"$pins_were")"
systemctl stop "$service"
is "the record after a restart and a stop" "$(stat -c %i "$socket.record")" "$record"
is "who comes next starts it again" "$(as 1000 "$pinbroker" list --json)" '[]'
exits "elsewhere nothing can be written" 1 inside bash -c ': >/etc/written'
like "why" "$err" 'Read-only file system'
exits "sysfs" 1 inside bash -c 'echo 1 >/sys/bus/pci/rescan'
exits "homes" 1 inside bash -c 'ls -A /root | grep .'
is "the gate, with what the unit leaves" "$("$pinbroker" status --json | jq -r .gate)" exact
is "what it makes is its own" "$(sed -n 's/^Umask:\t//p' "/proc/$(main)/status")" 0077
[[ /proc/$(main)/ns/net -ef /proc/self/ns/net ]] && fail "it has the host's network"

# A shell in the service's cgroup: its devices are those of the unit.
procs=/sys/fs/cgroup/system.slice/$service/cgroup.procs
# shellcheck disable=SC2016 # the inner shell's
exits "its devices" 0 bash -c 'echo $$ >"$0"; : <>/dev/iommu <>/dev/vfio/devices/vfio0 <>/dev/null' "$procs"
for device in /dev/vfio/vfio /dev/kmsg; do
	# shellcheck disable=SC2016
	exits "not $device" 1 bash -c 'echo $$ >"$0"; : <"$1"' "$procs" "$device"
	like "why" "$err" 'Operation not permitted'
done

# An audit line as sd_journal_sendv(3) sends it; a large one is a sealed memfd. The daemon itself
# does it, through both filters and whatever hides from it.
pid=$(main)
line=$'MESSAGE=from within the service\n' # the newline is the protocol's
address=$(printf '\1\0/run/systemd/journal/socket' | od -An -v -tx1 | tr -d ' \n')
fd=$(result "$pid" socket 1 "$((0x80002))" 0) # AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC
call "$pid" 0 connect "$fd" "x:$address" $((${#address} / 2))
call "$pid" ${#line} sendto "$fd" "=$line" ${#line} "$((0x4000))" 0 0 # MSG_NOSIGNAL
call "$pid" 0 close "$fd"
journal_has "the line" '(^|[[:space:]])from within the service($|[[:space:]])'
fd=$(result "$pid" memfd_create =line 3) # MFD_CLOEXEC | MFD_ALLOW_SEALING
call "$pid" 0 fcntl "$fd" 1033 15 # F_ADD_SEALS: all four
call "$pid" 0 close "$fd"

# A bug that a filter catches is not the end of the service.
if [[ ! ${SAN:-} ]]; then
	call "$pid" killed execve =/bin/true 0 0
	is "after SIGSYS" "$(as 1000 "$pinbroker" list --json)" '[]'
	[[ $(main) != "$pid" ]] || fail "it was not started again"
fi
systemctl stop "$service" pinbrokerd.socket
is "how it ended" "$(systemctl show -P Result "$service")" success
