#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: MODULES=later
# vm: TMO=1200
# iommufd and VFIO as modules, as distributions have them. Loaded before the daemon all is as where
# they are built in. What comes after it the daemon cannot know any more: it grants nothing of that
# until it is started again, and says so.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

device=0000:00:05.0
echo "policy \"p\" { users = {\"1000\"} accounting = \"task\" limit = \"64M\" devices = {\"$device\"} }" >"$config"

level() { "$pinbroker" status --json | jq -r .gate; }
# vm_of OP...: what a session's VMM did, with the device.
vm_of() { as 1000 "$pinbroker" run --device "$device" -- "$vmm" '{iommufd}' '{device:0}' "$@"; }
again() { # the daemon
	broker_stop
	broker_start
}
# unload MODULE...: soon, as the kernel frees programs later.
unload() {
	local tries

	for ((tries = 0; tries < 1000; tries++)); do
		modprobe -r "$@" 2>/dev/null || true
		[[ -e /sys/module/${*: -1} ]] || return 0
	done
	fail "${*: -1} stays: $(lsmod | tr '\n' ';')"
}

# Neither is there.
[[ ! -e /sys/module/iommufd ]] || fail "iommufd is there already"
broker_start
is "without iommufd: the level" "$(level)" none
like "without iommufd: why" "$("$pinbroker" status --json | jq -r .gate_reason)" '^iommufd is not there, .*: load the module'
refused "without iommufd" kernel as 1000 "$pinbroker" run -- true
like "without iommufd: why" "$err" 'no iommufd when pinbrokerd started'

# It comes: a session of this daemon would have no gate.
modprobe iommufd
refused "iommufd after the daemon" kernel as 1000 "$pinbroker" run -- true
like "iommufd after the daemon: why" "$err" 'restart pinbrokerd'
again
is "iommufd before the daemon: the level" "$(level)" exact
exits "iommufd before the daemon" 0 as 1000 "$pinbroker" run -- "$vmm" '{iommufd}' map 32M map 32M map 4K
like "iommufd before the daemon: its limit" "$out" $'map 32M: ok[^\n]*\nmap 32M: ok[^\n]*\nmap 4K: ENOMEM'
broker_stop
if modprobe -r iommufd 2>/dev/null; then fail "iommufd went, with programs that hang on it"; fi
broker_start

# VFIO comes: nobody could tell which context one of its devices is bound to.
modprobe vfio-pci
to_vfio "$device"
exits "VFIO after the daemon: no device" 0 as 1000 "$pinbroker" run -- "$vmm" '{iommufd}' map 32M
refused "VFIO after the daemon" kernel vm_of bind 0
like "VFIO after the daemon: why" "$err" 'VFIO was loaded after pinbrokerd started'
exec 3<>/dev/vfio/vfio
is "VFIO after the daemon: a container" "$("$pinbroker" host --json | jq -c '.containers[].mapped_bytes')" null
exec 3<&-
is "VFIO after the daemon: nothing is left" "$("$pinbroker" list --json)" '[]'
again
is "both before the daemon: the level" "$(level)" exact
exits "both before the daemon" 0 vm_of bind 0 attach 0 map 64M map 4K
like "both before the daemon: its limit" "$out" $'map 64M: ok[^\n]*\nmap 4K: ENOMEM'

# VFIO is loaded anew, elsewhere in memory. While the daemon runs it cannot go.
echo "$device" >"/sys/bus/pci/devices/$device/driver/unbind"
if modprobe -r vfio-pci vfio_iommu_type1 vfio 2>/dev/null; then fail "VFIO went, with the daemon's programs for it"; fi
broker_stop
was=$(</sys/module/vfio/sections/.text)
unload vfio-pci vfio_iommu_type1 vfio irqbypass
modprobe mdev # has their place
modprobe vfio-pci
[[ $(</sys/module/vfio/sections/.text) != "$was" ]] || fail "VFIO is where it was"
to_vfio "$device"
broker_start
exits "VFIO anew" 0 vm_of bind 0 attach 0 map 64M map 4K
like "VFIO anew: its limit" "$out" $'map 64M: ok[^\n]*\nmap 4K: ENOMEM'
broker_stop

# And goes with the gate.
"$pinbrokerd" --purge
echo "$device" >"/sys/bus/pci/devices/$device/driver/unbind"
unload vfio-pci vfio_iommu_type1 vfio
unload iommufd
