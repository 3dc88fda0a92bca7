#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: ROOT=sid
# vm: SYSTEMD=1
# vm: TMO=1800
# libvirt's domains: the hook has a session reserved before libvirt opens anything, QEMU gets the
# policy's limits and no others, and whatever ends it ends the session; what is refused does not
# start, and virsh says why. Where no broker answers the hook, hook-fallback decides, also about one that
# takes its time; what runs already goes on, and ends as it should.
# shellcheck source=tests/integration/libvirt.bash
. tests/integration/libvirt.bash

cat >"$config" <<'C'
unmanaged = "deny"
policy "databases" {
	users = {"libvirt-qemu"} domains = {"db-*"} cgroups = {"/machine.slice"}
	accounting = "task" limit = "256M" devices = {"0000:00:0[56].0"}
}
policy "large" { domains = {"large-*"} accounting = "task" limit = "1088M" devices = {"0000:00:0[56].0"} }
policy "per-user" { domains = {"web-*"} accounting = "user" limit = "256M" devices = {"*"} }
C
broker_start
exact_or_skip
hook_install
# With a port that is free for one more.
ports="<controller type='pci' index='0' model='pcie-root'/>"
for i in 1 2 3; do ports+="<controller type='pci' index='$i' model='pcie-root-port'/>"; done
domain db-1 128 0000:00:05.0 "$ports"
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
refuses mail 'pinbroker: refused: no-policy: none of the 3 policies matches uid'
is "only that one" "$("$pinbroker" list --json | jq length)" 1

# Plugged in, for which there is no hook: by the policy, too, and within our limit still. The one that
# is refused comes last: QEMU 11 aborts when another comes by its alias.
hostdev 0000:00:06.0 >"$tmp/allowed.xml"
hostdev 0000:00:07.0 >"$tmp/not-allowed.xml"
exits "one that the policy allows" 0 virsh attach-device db-1 "$tmp/allowed.xml"
log_wait "plugged: session=$id .*device=0000:00:06.0 process=$qemu"
limit_is "its limit is ours still" "$qemu" 256
exits "one that it does not" 1 virsh attach-device db-1 "$tmp/not-allowed.xml"
like "virsh says" "$err" 'Operation not permitted'
log_wait "refused: reason=device-not-allowed session=$id .*device=0000:00:07.0 process=$qemu"
is "the session's devices" "$(session '[.devices, .denied, .state]')" \
	'[["0000:00:05.0","0000:00:06.0"],1,"active"]'
is "it runs on" "$(virsh domstate db-1)" running
limit_is "and its limit is ours again" "$qemu" 256

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

# Two large ones at a time.
domain large-1 1040 0000:00:05.0
domain large-2 1040 0000:00:06.0
started large-1
started large-2
is "both" "$(list_exact | jq -c '[.[] | [.name, .mapped_bytes / 1048576 >= 1040, .pinned_bytes == .mapped_bytes, .limit_bytes, .denied]]')" \
	"[[\"large-1\",true,true,$((1088 * mib)),0],[\"large-2\",true,true,$((1088 * mib)),0]]"
large_end 1088

# Again and again.
soak db-1 virsh start db-1

# A QEMU that does not come up leaves nothing. libvirt itself has the device open when it takes it
# back then, and waits for itself.
to_vfio 0000:00:06.0
managed=no domain db-4 128 0000:00:06.0 "<disk type='file' device='disk'><source file='/dev/full'/><target dev='vda' bus='virtio'/></disk>"
exits "no image" 1 virsh start db-4
gone "a start that failed"
broker_stop

# --- without a broker, nor the gate that it leaves
"$pinbrokerd" --purge
policy='policy "databases" { domains = {"db-*"} accounting = "task" limit = "256M" devices = {"0000:00:05.0"} }'
rm "$config"

# Nothing is configured, nobody is there, and nobody answers.
down='pinbroker: refused: domain .db-1. has devices by iommufd, and no broker answers \(No such file or directory\): hook-fallback = refuse'
exits "without a configuration" 1 virsh start db-1
like "it says" "$err" "$down"
echo "$policy" >"$config"
exits "by default" 1 virsh start db-1
like "it says" "$err" "$down"
background "$here/tests/activate" "$socket" /bin/sleep 1000
until [[ -S $socket ]]; do :; done
exits "nobody answers" 1 virsh start db-1
like "it says" "$err" 'pinbroker: refused: the broker did not answer in time'
child_end
rm -f "$socket"
printf 'hook-fallback = "allow"\n%s\n' "$policy" >"$config"

# Allowed: it runs within libvirt's limits, is unknown to a broker that comes later, and ends.
started db-1
is "libvirt's limit" "$(memlock "$(pid_of db-1)")" "$(((128 + 1024) * mib)) $(((128 + 1024) * mib))"
broker_start
is "what the broker knows" "$("$pinbroker" list --json)" '[]'
exits "destroyed" 0 virsh destroy db-1

# With a broker that stops, and one that comes again, while it runs.
started db-1
is "its limit" "$(memlock "$(pid_of db-1)")" "$((256 * mib)) $((256 * mib))"
broker_stop
is "it runs on" "$(virsh domstate db-1)" running
exits "destroyed without a broker" 0 virsh destroy db-1
broker_start
is "nothing is left" "$("$pinbroker" list --json)" '[]'
is "what the hook remembers" "$(ls /run/pinbroker/libvirt 2>/dev/null || true)" ""
started db-1
exits "destroyed with one" 0 virsh destroy db-1
gone "at last"
broker_stop

# By hand: it is libvirt's, and a step that it does not know is none of its business.
exits "by hand" 64 "$hook"
exits "reconnect" 0 "$hook" db-1 reconnect begin -
exits "an operation to come" 0 "$hook" db-1 tomorrow begin -
exits "no domain" 65 "$hook" db-1 prepare begin -
exits "no domain, at its end" 0 "$hook" db-1 release end destroyed
