#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: ROOT=sid
# vm: SYSTEMD=1
# vm: TMO=1800
# pinbroker virsh-start: libvirt starts a domain with the broker's context, in either mode; what it
# cannot start, or the policy refuses, leaves nothing.
# shellcheck source=tests/integration/libvirt.bash
. tests/integration/libvirt.bash

cat >"$config" <<'C'
unmanaged = "deny"
policy "task" { domains = {"db-*"} accounting = "task" limit = "256M" devices = {"0000:00:05.0"} }
policy "user" { domains = {"web-*"} accounting = "user" limit = "300M" devices = {"0000:00:06.0"} }
C
to_vfio 0000:00:05.0
to_vfio 0000:00:06.0
broker_start
hook_install
managed=no
fdgroup=" fdgroup='pinbroker'"
domain db-1 128 0000:00:05.0
domain db-2 512 0000:00:05.0
domain web-1 128 0000:00:06.0
domain mail 128 0000:00:06.0
fdgroup=''
domain db-3 128 0000:00:05.0
started_with() { # NAME MODE LIMIT
	local id qemu

	exits "$1 starts" 0 "$pinbroker" virsh-start "$1"
	id=$out
	qemu=$(pid_of "$1")
	is "$1: the session" "$(list_exact | jq -c ".[] | select(.id == \"$id\") | [.name, .pid, .accounting, .limit_bytes, .mapped_bytes / 1024, .denied, .state]")" \
		"[\"$1\",$qemu,\"$2\",$(($3 * mib)),131328,0,\"active\"]"
	is "$1: its limit" "$(memlock "$qemu")" "$(($3 * mib)) $(($3 * mib))"
	is "$1 runs" "$(virsh domstate "$1")" running
}
started_with db-1 task 256
# Nobody else's sessions are charged to the one in user mode.
started_with web-1 user 300
exits "a device that is taken" 77 "$pinbroker" virsh-start db-2
exits "destroyed" 0 virsh destroy db-1
exits "destroyed" 0 virsh destroy web-1
gone "destroyed"

refused "more than the limit" session-limit "$pinbroker" virsh-start db-2
refused "of no policy" no-policy "$pinbroker" virsh-start mail
exits "without fdgroup" 78 "$pinbroker" virsh-start db-3
like "it says" "$err" "domain 'db-3' has no <iommufd enabled='yes' fdgroup='...'/>"
exits "no such domain" 70 "$pinbroker" virsh-start nobody
like "it says" "$err" "domain 'nobody': libvirt: Domain not found"
exits "one that runs not here" 64 "$pinbroker" virsh-start --connect qemu:///session db-1
managed=no fdgroup=" fdgroup='pinbroker'" domain db-4 128 0000:00:05.0 "<disk type='file' device='disk'><source file='/dev/full'/><target dev='vda' bus='virtio'/></disk>"
exits "a start that fails" 70 "$pinbroker" virsh-start db-4
gone "a start that failed"
# Without the descriptor libvirt starts none of these, and the hook leaves them alone.
exits "virsh start" 1 virsh start db-1
like "it says" "$err" 'pinbroker'
broker_stop
