#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# A real QEMU as uid 1000 runs a guest with the broker's descriptors and pins its RAM; it is revoked,
# taken away, killed. With too small a limit of either kind it says so itself. Nothing is left behind.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

qemu=${QEMU:-$(tests/vm/qemu10)}
version=$("$qemu" --version | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
((version >= 10)) || fail "QEMU $version"
cat >"$config" <<'C'
policy "vms" { users = {"1000"} accounting = "task" limit = "256M" devices = {"0000:00:05.0"} }
policy "small" { users = {"1001"} accounting = "task" limit = "128M" devices = {"0000:00:05.0"} }
policy "few" { users = {"1002"} accounting = "task" limit = "256M" max-mappings = 1 devices = {"0000:00:05.0"} }
C
to_vfio 0000:00:05.0
broker_start
fds=$(broker_fds)
guest=("$qemu" -M q35 -accel tcg -m 128 -nodefaults -display none -S -qmp stdio
	-chardev "file,id=firmware,path=$tmp/firmware" -device 'isa-debugcon,iobase=0x402,chardev=firmware'
	-object 'iommufd,id=iommufd0,fd={iommufd}'
	-device 'vfio-pci,id=hd0,iommufd=iommufd0,fd={device:0}')

# field FILTER: of the only session.
field() {
	list_exact | jq -c ".[] | $1"
}

# guest_start: until its machine is complete, and what it maps, unmaps and maps again meanwhile.
guest_start() {
	rm -f "$tmp/firmware"
	: >"$tmp/firmware"
	chmod 666 "$tmp/firmware"
	background as 1000 "$pinbroker" run --name vm1 --memory 128M --device 0000:00:05.0 -- "${guest[@]}"
	printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-status"}' >&8
	child_wait '"prelaunch"' 300
}

# guest_go PATTERN: it runs until its firmware has said so.
guest_go() {
	echo '{"execute":"cont"}' >&8
	file_wait "$tmp/firmware" "$1" 1 300 ||
		fail "the firmware never said '$1': $(tail -n 5 "$tmp/firmware")"
}
found='^PCI: init bdf=.* id=1234:11e8' # the device

# guest_end WHAT STATUS: how it has ended, and that nothing is left of it. $ended: so many have.
ended=0
guest_end() {
	local status=0

	exec 8>&-
	wait "$child" || status=$?
	is "$1: exit status" "$status" "$2"
	nothing_left "$1"
}

nothing_left() { # WHAT
	ended=$((ended + 1))
	log_wait 'ended: ' "$ended"
	is "$1: sessions" "$("$pinbroker" list --json)" '[]'
	broker_fds_are "$1" "$fds"
	is "$1: pages left pinned" "$(pins)" 0
}

# rejected WHAT UID ERROR: QEMU ends with an error of its own that names what it could not map.
rejected() {
	exits "$1" 1 as "$2" "$pinbroker" run --memory 128M --device 0000:00:05.0 -- "${guest[@]}"
	like "$1: QEMU's own error" "$err" "vfio_container_dma_map\\(.*= $3"
	echo "$1: $(tail -n 1 <<<"$err")"
	nothing_left "$1"
}

guest_start
is "the gate" "$("$pinbroker" status --json | jq -r .gate)" exact
is "the session" "$(field '[.name, .uid, .pid, .accounting, .limit_bytes, .devices, .state]')" \
	"[\"vm1\",1000,$child,\"task\",268435456,[\"0000:00:05.0\"],\"active\"]"
is "mapped, pinned: 131,328 KiB" "$(field '[.mapped_bytes / 1024, .pinned_bytes / 1024, .denied, .exact]')" \
	'[131328,131328,0,true]'
is "it runs as" "$(stat -c %u "/proc/$child")" 1000
is "without capabilities" "$(awk '/^CapEff/ {print $2}' "/proc/$child/status")" 0000000000000000
# Once there is nothing to boot from it maps no more. The firmware has cut its RAM in parts.
guest_go '^No bootable device'
is "what the guest sees of the device" "$(grep -c "$found" "$tmp/firmware")" 1
is "running" "$(field '[.state, .mapped_bytes / 1024, .pinned_bytes / 1024, .denied, .exact]')" \
	'["active",131328,131328,0,true]'
echo "running: $(field .mappings) areas"

# Revoked, it keeps what it has mapped.
exits "revoke" 0 "$pinbroker" revoke "$(field .id | jq -r .)"
is "revoked" "$(field '[.state, .mapped_bytes / 1024, .denied]')" '["revoked",131328,0]'
echo '{"execute":"query-status"}' >&8
child_wait '"status": "running"'
echo '{"execute":"quit"}' >&8
guest_end "revoked, then quit" 0

guest_start
guest_go "$found"
exits "revoke --kill" 0 "$pinbroker" revoke "$(field .id | jq -r .)" --kill
guest_end "taken away" 137

guest_start
guest_go "$found"
kill -KILL "$child"
guest_end "killed" 137

rejected "too small a limit" 1001 '-12 \(Cannot allocate memory\)'
like "the broker's warning" "$err" 'pinbroker: warning: .*128M'
rejected "too few mappings" 1002 '-28 \(No space left on device\)'
broker_stop
