#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# Every way to be told no: the reason, the exit status, one line, and nothing left behind.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
host-reserve = "1G"
max-requests = 0
policy "tenants" {
	users = {"1000"}
	accounting = "task"
	limit = "64M"
	user-limit = "160M"
	max-sessions = 3
	devices = {"0000:00:0[567].0", "0000:00:1f.0", "0000:00:0c.0"}
}
policy "auto" {
	users = {"1001"}
	accounting = "any"
	limit = "auto"
	user-limit = "2T"
}
policy "reset" {
	users = {"1002"}
	accounting = "user"
	limit = "1M"
	devices = {"*"}
	require-reset = true
}
policy "root" { users = {"root"} accounting = "task" limit = "64M" }
policy "many" { users = {"1003"} accounting = "task" limit = "1M" max-sessions = 1 }
C
for device in 0000:00:05.0 0000:01:01.0 0000:01:02.0; do to_vfio "$device"; done
broker_start
fds=$(broker_fds)
run() { as "$1" "$pinbroker" run "${@:2}"; }

refused "nobody's policy" no-policy run 1999 -- true
refused "root's own run" capable-owner "$pinbroker" run -- true
like "how to drop it" "$err" 'setpriv --bounding-set -ipc_lock'
exits "root without the capability" 0 setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock \
	"$pinbroker" run -- true
refused "auto without memory" bad-request run 1001 -- true
refused "another accounting" not-permitted run 1000 --accounting user -- true
exits "any of the two" 0 run 1001 --memory 1M --accounting user -- "$vmm" "{iommufd}" get-mode
like "user mode" "$out" 'mode=0'
refused "not among its devices" device-not-allowed run 1000 --device 0000:00:08.0 -- true
refused "without reset" device-not-allowed run 1002 --device 0000:00:05.0 -- true
like "why" "$err" require-reset
# The kernel looked for ways to reset it when it was alone on its bus.
is "a way to reset one" "$(cat /sys/bus/pci/devices/0000:01:01.0/reset_method)" bus
exits "with a reset" 0 run 1002 --device 0000:01:01.0 -- "$vmm" "{iommufd}" "{device:0}" bind 0
like "it is handed out" "$out" '^bind 0: ok'
refused "its neighbour without" device-not-allowed run 1002 --device 0000:01:02.0 -- true
refused "not there" device-not-found run 1000 --device 0000:00:0c.0 -- true
refused "without a driver" device-not-found run 1000 --device 0000:00:07.0 -- true
driver=$(basename "$(readlink /sys/bus/pci/devices/0000:00:1f.0/driver)")
refused "on a host driver" device-not-found run 1000 --device 0000:00:1f.0 -- true
[[ ! $driver ]] || like "which driver" "$err" "$driver"
exits "the same twice" 64 run 1000 --device 0000:00:05.0 --device 0000:00:05.0 -- true
refused "more RAM than the limit" session-limit run 1000 --memory 65M -- true
like "the numbers" "$err" '65M.*64M.*tenants'
exits "as much RAM as the limit" 0 run 1000 --memory 64M -- true
like "but not what firmware needs" "$err" '^pinbroker: warning: .*64M'

background run 1003 -- "$vmm" "{iommufd}" hold
child_wait ^ready
refused "one session too many" too-many-sessions run 1003 -- true
child_end
log_wait 'ended:' 3 # root, any-of-the-two and as-much-RAM may come first
for i in 1 2; do
	mkfifo "$tmp/in$i"
	run 1000 -- "$vmm" "{iommufd}" hold <"$tmp/in$i" >"$tmp/held$i" &
	eval "exec 1$i>'$tmp/in$i'"
done
log_wait 'granted: .* uid=1000 ' 3
refused "above the user's limit" user-limit run 1000 -- true
like "the numbers" "$err" '64M.*128M.*160M'
exec 11>&- 12>&-
wait %2 %3 2>/dev/null || true
refused "above what the host has" host-reserve run 1001 --memory 900G -- true

mv /dev/iommu /dev/iommu.away
refused "a kernel without IOMMUFD" kernel run 1000 -- true
like "which object" "$err" '/dev/iommu'
mv /dev/iommu.away /dev/iommu
broker_fds_are "descriptors of the daemon" "$fds"
broker_stop

exits "no daemon" 69 run 1000 -- true
like "which socket" "$err" "$socket"
broker_start
fds=$(broker_fds) # one less: what hunts has been loaded already
exits "no such command" 127 run 1000 -- /nonexistent
exits "not executable" 126 run 1000 -- /etc/passwd
exits "a placeholder without its device" 64 run 1000 -- true "{device:0}"
exits "a placeholder of no sense" 64 run 1000 --device 0000:00:05.0 -- true "{device:x}"
exits "no command" 64 run 1000
exits "no such option" 64 run 1000 --nonsense -- true
exits "a path is no device" 64 run 1000 --device /dev/vfio/devices/vfio0 -- true
exits "a bad size" 64 run 1000 --memory 1X -- true
exits "the command's own status" 42 run 1000 -- bash -c 'exit 42'
exits "other braces pass" 0 run 1000 -- echo '{"driver":"x"}' '{foo}' 'a{iommufd}b'
like "as they are" "$out" '^\{"driver":"x"\} \{foo\} a[0-9]+b$'

is "sessions left" "$("$pinbroker" list --json)" '[]'
broker_fds_are "descriptors of the daemon" "$fds"
broker_stop
