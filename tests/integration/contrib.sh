#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: ROOT=sid
# vm: SYSTEMD=1
# vm: TMO=900
# What contrib/ has for a QEMU that is started by hand: an ordinary user's, and as a service.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

[[ -d /run/systemd/system ]] || { echo "not under systemd: tests/run boots it"; exit 4; }
export PINBROKER=$PWD/$pinbroker
cat >"$config" <<'C'
max-requests = 0
policy "vms" { users = {"1000"} accounting = "task" limit = "256M" devices = {"0000:00:05.0"}
	headroom = "64M" migration-buffers = "64M" cgroup-mirror = "protect" }
C
getent passwd 1000 >/dev/null || useradd -u 1000 -m guest
to_vfio 0000:00:05.0
make -s install B="$here" ${SAN:+SAN="$SAN"} >/dev/null
systemctl daemon-reload
systemctl start pinbrokerd.socket
quiet=(-accel tcg -display none -S)
# field FILTER: of the only session, once QEMU has mapped all.
field() {
	local began=$SECONDS

	until [[ $(list_exact | jq '.[0].mapped_bytes') = $((131328 * 1024)) ]]; do
		((SECONDS - began < 120)) || { fail "QEMU maps nothing: $(tail -n 3 "$tmp/child")"; break; }
	done
	list_exact | jq -c ".[0] | $1"
}

exits "no device" 64 contrib/qemu/rootless-qemu vm1 128M
exits "no memory" 64 contrib/qemu/systemd-run-qemu 1000 vm1

background as 1000 contrib/qemu/rootless-qemu vm1 128M 0000:00:05.0 "${quiet[@]}" -qmp stdio
is "rootless" "$(field '[.name, .uid, .pid, .devices]')" "[\"vm1\",1000,$child,[\"0000:00:05.0\"]]"
printf '%s\n' '{"execute":"qmp_capabilities"}' \
	'{"execute":"qom-get","arguments":{"path":"/machine/peripheral/hd0","property":"x-migration-max-queued-buffers-size"}}' >&8
child_wait '"return": 67108864' 60
echo '{"execute":"quit"}' >&8
child_end
sessions_end

exits "as a service" 0 contrib/qemu/systemd-run-qemu 1000 vm2 128M 0000:00:05.0 "${quiet[@]}"
is "its session" "$(field '[.name, .uid, .cgroup]')" '["vm2",1000,"/machine.slice/vm-vm2.service"]'
becomes "its protection" machine.slice/vm-vm2.service memory.min $((192 * mib + 256 * 1024)) 60
systemctl stop vm-vm2
sessions_end

domain=contrib/libvirt/domain.xml
exits "libvirt's domain" 77 "$pinbroker" preflight --uid 1000 --json $domain
is "is read" "$(jq -c '[.domain, .memory_bytes]' <<<"$out")" "[\"db-1\",$((4 << 30))]"
systemctl stop pinbrokerd.socket pinbrokerd.service
