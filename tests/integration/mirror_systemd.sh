#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: SYSTEMD=1
# vm: TMO=900
# Where systemd owns the cgroup its properties are set, through it: what it is told by others later,
# or a reload, does not take them back; run --cgroup is a scope of it.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

[[ -d /run/systemd/system ]] || { echo "not under systemd: tests/run boots it"; exit 4; }
service=pinbrokerd.service
cat >"$config" <<'C'
max-requests = 0
policy "both" { users = {"1000"} accounting = "task" limit = "64M" headroom = "8M"
	devices = {"0000:00:05.0"} migration-buffers = "0" cgroup-mirror = "both"
	cgroup-parent = "/pinbroker.slice" }
C
to_vfio 0000:00:05.0
make -s install B="$here" ${SAN:+SAN="$SAN"} >/dev/null
systemctl daemon-reload
systemctl start pinbrokerd.socket
cap=$((72 * mib)) headroom=$((8 * mib))

# A unit of somebody's: a machine as systemd-run starts it.
mkfifo "$tmp/stdin"
exec 8<>"$tmp/stdin"
: >"$tmp/child"
chmod 666 "$tmp/child" "$tmp/stdin"
systemd-run -q --unit=vm1 --slice=machine.slice --uid=1000 -p StandardInput=file:"$tmp/stdin" \
	-p StandardOutput=append:"$tmp/child" -p StandardError=append:"$tmp/child" \
	"$PWD/$pinbroker" run --name vm1 --device 0000:00:05.0 -- "$PWD/$vmm" "{iommufd}" "{device:0}" \
	bind 0 attach 0 map 16777216 hold
child_wait ^ready 120
vm1=machine.slice/vm1.service
becomes "its maximum" $vm1 memory.max $cap
becomes "its protection" $vm1 memory.min $((16 * mib + headroom))
becomes "and above it" machine.slice memory.min $((16 * mib + headroom))
id=$("$pinbroker" list --json | jq -r '.[0].id')
is "by whom" "$(mirror_of "$id" by cgroup)" "[\"systemd\",\"/$vm1\"]"
is "systemd knows" "$(systemctl show -P MemoryMax vm1.service) $(systemctl show -P MemoryMin vm1.service)" \
	"$cap $((16 * mib + headroom))"
systemctl daemon-reload
systemctl set-property --runtime vm1.service CPUWeight=50 # all of the unit is written anew
is "after that" "$(limit $vm1 memory.max) $(limit $vm1 memory.min)" "$cap $((16 * mib + headroom))"
echo >&8
sessions_end
becomes "and above it, afterwards" machine.slice memory.min 0

# A cgroup of its own is a scope.
exits "run --cgroup" 0 setpriv --reuid 1000 --regid 1000 --clear-groups "$pinbroker" run --cgroup vm2 -- \
	cat /proc/self/cgroup
like "where it was" "$out" '0::/pinbroker.slice/pinbroker-both.slice/pinbroker-both-1000.slice/pinbroker-[0-9a-f]+-vm2.scope'
systemd-run -q --unit=two --uid=1000 -p StandardInput=file:"$tmp/stdin" -p StandardOutput=append:"$tmp/child" \
	"$PWD/$pinbroker" run --cgroup vm3 -- "$PWD/$vmm" "{iommufd}" hold
: >"$tmp/child"
child_wait ^ready
scope=$("$pinbroker" list --json | jq -r '.[0].cgroup')
like "its scope" "$scope" '/pinbroker-[0-9a-f]*-vm3.scope$'
becomes "its maximum" "${scope#/}" memory.max $cap
becomes "its user's" pinbroker.slice/pinbroker-both.slice/pinbroker-both-1000.slice memory.max $cap
becomes "its policy's" pinbroker.slice/pinbroker-both.slice memory.max $cap
: >"$tmp/child"
echo >&8
sessions_end
goes "${scope#/}"
systemctl stop "$service" pinbrokerd.socket
is "how it ended" "$(systemctl show -P Result "$service")" success
