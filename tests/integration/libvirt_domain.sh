#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: ROOT=sid
# vm: SYSTEMD=1
# vm: TMO=1800
# libvirt's domains: the hook has a session reserved before libvirt opens anything, QEMU gets the
# policy's limits and no others, and whatever ends it ends the session; what is refused does not
# start, and virsh says why.
# shellcheck source=tests/integration/libvirt.bash
. tests/integration/libvirt.bash

cat >"$config" <<'C'
unmanaged = "deny"
policy "databases" {
	users = {"libvirt-qemu"} domains = {"db-*"} cgroups = {"/machine.slice"}
	accounting = "task" limit = "256M" devices = {"0000:00:0[56].0"}
}
policy "per-user" { domains = {"web-*"} accounting = "user" limit = "256M" devices = {"*"} }
C
broker_start
[[ $("$pinbroker" status --json | jq -r .gate) = exact ]] || { echo "no gate here"; exit 4; }
hook_install
domain db-1 128 0000:00:05.0
domain db-2 128 0000:00:05.0
domain db-3 512 0000:00:06.0
domain web-1 128 0000:00:06.0
domain mail 128 0000:00:06.0

# Granted: before and after it is adopted the limits are the policy's.
started db-1
qemu=$(pid_of db-1)
is "the session" "$(session '[.name, .policy, .uid, .pid, .accounting, .limit_bytes, .devices, .state, .exact]')" \
	"[\"db-1\",\"databases\",$(id -u libvirt-qemu),$qemu,\"task\",$((256 * mib)),[\"0000:00:05.0\"],\"active\",true]"
is "all its memory is pinned" "$(session '[.mapped_bytes / 1024, .pinned_bytes / 1024, .denied]')" '[131328,131328,0]'
like "its cgroup" "$(session .cgroup)" '^"/machine.slice/machine-qemu.*db'
is "its limit is ours, not libvirt's" "$(memlock "$qemu")" "$((256 * mib)) $((256 * mib))"
id=$(session .id | tr -d '"')
log_wait "reserved: session=$id "
log_wait "bound: session=$id "
log_wait "adopted: session=$id "

# Refused, with the reason.
refuses() { # NAME PATTERN
	exits "$1 does not start" 1 virsh start "$1"
	like "$1: what virsh says" "$err" "$2"
	is "$1 does not run" "$(virsh domstate "$1")" "shut off"
}
refuses db-2 "pinbroker: refused: device-busy: device 0000:00:05.0 \\(policy \"databases\"\\) is in session $id"
refuses db-3 'pinbroker: refused: session-limit: 512M of guest RAM is above the limit of 256M'
refuses web-1 'pinbroker: refused: not-permitted: policy "per-user" has accounting = "user", and a context that the broker does not open is charged per task'
refuses mail 'pinbroker: refused: no-policy: none of the 2 policies matches uid'
is "only that one" "$("$pinbroker" list --json | jq length)" 1

# Limits of the one that runs.
exits "lowered" 0 "$pinbroker" set "$id" limit=200M
is "its limit, lowered" "$(memlock "$qemu")" "$((200 * mib)) $((200 * mib))"

# Destroyed, killed, and begun anew.
exits "destroyed" 0 virsh destroy db-1
log_wait "ended: session=$id "
gone destroyed
started db-2
kill -9 "$(pid_of db-2)"
gone killed
until [[ $(virsh domstate db-2) = "shut off" ]]; do :; done
started db-1

# libvirt's daemon is restarted, and killed, while it runs.
qemu=$(pid_of db-1)
systemctl restart libvirtd.service
is "it runs on" "$(virsh domstate db-1) $(pid_of db-1)" "running $qemu"
is "so does its session" "$(session '[.pid, .state]')" "[$qemu,\"active\"]"
systemctl kill -s KILL libvirtd.service
systemctl start libvirtd.service
is "after a kill, too" "$(virsh domstate db-1) $(session .pid)" "running $qemu"
exits "destroyed by the new one" 0 virsh destroy db-1
gone "destroyed by the new one"

# A QEMU that does not come up leaves nothing. libvirt itself has the device open when it takes it
# back then, and waits for itself.
to_vfio 0000:00:06.0
managed=no domain db-4 128 0000:00:06.0 "<disk type='file' device='disk'><source file='/dev/full'/><target dev='vda' bus='virtio'/></disk>"
exits "no image" 1 virsh start db-4
gone "a start that failed"
broker_stop
