#!/bin/bash
# SPDX-License-Identifier: MIT
# A real QEMU as uid 1000 boots with the broker's descriptors and pins its RAM; with too small a
# limit it says so itself, and nothing is left behind.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

qemu=$(tests/vm/qemu10)
cat >"$config" <<'C'
policy "vms" { users = {"1000"} accounting = "task" limit = "256M" devices = {"0000:00:05.0"} }
policy "small" { users = {"1001"} accounting = "task" limit = "128M" devices = {"0000:00:05.0"} }
C
to_vfio 0000:00:05.0
broker_start
fds=$(broker_fds)
guest=("$qemu" -M q35 -accel tcg -m 128 -nodefaults -display none -S -qmp stdio
	-object 'iommufd,id=iommufd0,fd={iommufd}'
	-device 'vfio-pci,id=hd0,iommufd=iommufd0,fd={device:0}')

background as 1000 "$pinbroker" run --name vm1 --memory 128M --device 0000:00:05.0 -- "${guest[@]}"
# It maps, unmaps and maps again while it starts; it answers once its machine is complete.
printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-status"}' >&8
child_wait '"prelaunch"' 300
json=$(list_exact)
is "the session" "$(jq -c '.[] | [.name, .uid, .pid, .accounting, .limit_bytes, .devices, .state]' <<<"$json")" \
	"[\"vm1\",1000,$child,\"task\",268435456,[\"0000:00:05.0\"],\"active\"]"
is "pinned: 131,328 KiB" "$(jq '.[0].pinned_bytes / 1024' <<<"$json")" 131328
is "it runs as" "$(stat -c %u "/proc/$child")" 1000
is "without capabilities" "$(awk '/^CapEff/ {print $2}' "/proc/$child/status")" 0000000000000000
echo '{"execute":"quit"}' >&8
child_end
log_wait ended
is "after it quit" "$("$pinbroker" list --json)" '[]'

exits "too small a limit" 1 as 1001 "$pinbroker" run --memory 128M --device 0000:00:05.0 -- "${guest[@]}"
like "the broker's warning" "$err" 'pinbroker: warning: .*128M'
like "QEMU's own error" "$err" 'vfio_container_dma_map\(.*= -12 \(Cannot allocate memory\)'
log_wait ended 2
is "nothing left" "$("$pinbroker" list --json)" '[]'
broker_settle
is "descriptors of the daemon" "$(broker_fds)" "$fds"
is "pages left pinned" "$(awk '/nr_foll_pin_acquired/ {a = $2} /nr_foll_pin_released/ {r = $2} END {print a - r}' /proc/vmstat)" 0
broker_stop
