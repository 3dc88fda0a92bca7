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
policy "large" { users = {"2001", "2002"} domains = {"large-*"} accounting = "user" limit = "1088M" devices = {"*"} }
policy "own" {
	users = {"guest"} domains = {"own-*"} admins = {"guest"}
	accounting = "user" limit = "auto" user-limit = "4G" devices = {"*"}
}
policy "own-low" { users = {"guest"} domains = {"low-*"} admins = {"guest"} accounting = "task" limit = "256M" devices = {"*"} }
policy "others" { users = {"other"} accounting = "task" limit = "2G" devices = {"*"} }
C
useradd -m -u 1000 guest
useradd -m -u 1001 other
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
# context_of PID: the descriptor of its iommufd.
context_of() {
	local fd

	for fd in "/proc/$1/fd/"*; do
		[[ $(readlink "$fd") != */dev/iommu ]] || echo "${fd##*/}"
	done
}
started_with() { # NAME MODE LIMIT
	local id qemu

	exits "$1 starts" 0 "$pinbroker" virsh-start "$1"
	id=$out
	qemu=$(pid_of "$1")
	is "$1: the session" "$(list_exact | jq -c ".[] | select(.id == \"$id\") | [.name, .pid, .accounting, .limit_bytes, .mapped_bytes / 1024, .denied, .state]")" \
		"[\"$1\",$qemu,\"$2\",$(($3 * mib)),131328,0,\"active\"]"
	is "$1: its limit" "$(memlock "$qemu")" "$(($3 * mib)) $(($3 * mib))"
	is "$1: the mode of its context" "$("$vmm" "$qemu:$(context_of "$qemu")" get-mode)" \
		"get-mode: ok mode=$([[ $2 = task ]] && echo 1 || echo 0)"
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
exits "one that runs not here" 64 "$pinbroker" virsh-start --connect qemu+ssh://host/system db-1
managed=no fdgroup=" fdgroup='pinbroker'" domain db-4 128 0000:00:05.0 "<disk type='file' device='disk'><source file='/dev/full'/><target dev='vda' bus='virtio'/></disk>"
exits "a start that fails" 70 "$pinbroker" virsh-start db-4
gone "a start that failed"
# Two large ones at a time, per user: with a user each, nobody pays for another. libvirt's directories
# are for its group.
large() { # NAME UID DEVICE
	seclabel="<seclabel type='static' model='dac' relabel='yes'><label>+$2:+$(id -g libvirt-qemu)</label></seclabel>"
	fdgroup=" fdgroup='pinbroker'" domain "$1" 1040 "$3"
	exits "$1 starts" 0 "$pinbroker" virsh-start "$1"
	is "$1 runs as" "$(awk '/^Uid/ {print $2}' "/proc/$(pid_of "$1")/status")" "$2"
}
large large-1 2001 0000:00:05.0
large large-2 2002 0000:00:06.0
is "both" "$(list_exact | jq -c '[.[] | [.name, .uid, .accounting, .mapped_bytes / 1048576 >= 1040, .limit_bytes, .denied]]')" \
	"[[\"large-1\",2001,\"user\",true,$((1088 * mib)),0],[\"large-2\",2002,\"user\",true,$((1088 * mib)),0]]"
large_end 1088

# Again and again.
soak web-1 "$pinbroker" virsh-start web-1

# Without the descriptor libvirt starts none of these, and the hook leaves them alone.
exits "virsh start" 1 virsh start db-1
like "it says" "$err" 'pinbroker'

# By a user's own libvirt daemon, whose limit is the session's until QEMU runs.
own() { # UID COMMAND...
	local home=/home/guest

	[[ $1 = 1000 ]] || home=/home/other
	as "$1" env HOME=$home XDG_RUNTIME_DIR="/run/user/$1" "${@:2}"
}
for uid in 1000 1001; do install -d -m 700 -o $uid -g $uid /run/user/$uid; done
virsh() { own 1000 virsh -q -c qemu:///session "$@"; }
pid_of() { cat "/run/user/1000/libvirt/qemu/run/$1.pid"; }
seclabel=''
chmod 755 "$tmp"
fdgroup=" fdgroup='pinbroker'" domain own-1 128 0000:00:05.0
fdgroup=" fdgroup='pinbroker'" domain low-1 128 0000:00:05.0
virtd=$(cat /run/user/1000/libvirt/libvirtd.pid)
before=$(memlock "$virtd")
own_start() { own "$1" "$pinbroker" virsh-start --connect qemu:///session "$2"; }
exits "a device that is not the user's" 77 own_start 1000 own-1
like "it says" "$err" 'libvirt cannot be handed a device.s descriptor, and cannot open /dev/vfio/devices/vfio[0-9]+ of device 0000:00:05.0 itself: Permission denied'
cdev=/dev/vfio/devices/$(ls /sys/bus/pci/devices/0000:00:05.0/vfio-dev)
chgrp guest "$cdev"
chmod 660 "$cdev"
exits "a limit that libvirt's is above" 78 own_start 1000 low-1
like "it says" "$err" 'libvirt gives QEMU an RLIMIT_MEMLOCK of 1152M, and policy "own-low" allows 256M'
sessions_end
is "the daemon's limit, back" "$(memlock "$virtd")" "$before"
exits "granted" 0 own_start 1000 own-1
id=$out
qemu=$(pid_of own-1)
is "the session" "$(session '[.id, .name, .policy, .uid, .pid, .accounting, .limit_bytes, .mapped_bytes / 1024, .state]')" \
	"[\"$id\",\"own-1\",\"own\",1000,$qemu,\"user\",$((1152 * mib)),131328,\"active\"]"
is "QEMU's limit" "$(memlock "$qemu")" "$((1152 * mib)) $((1152 * mib))"
is "the daemon's limit, back again" "$(memlock "$virtd")" "$before"
exits "destroyed" 0 virsh destroy own-1
gone "of a user's own"
virsh() { own 1001 virsh -q -c qemu:///session "$@"; }
fdgroup=" fdgroup='pinbroker'" domain own-1 128 0000:00:05.0
chgrp other "$cdev"
refused "of a user who is no admin" not-permitted own_start 1001 own-1
broker_stop
