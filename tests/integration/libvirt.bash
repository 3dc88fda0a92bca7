# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What the tests with a real libvirt share: sourced by a test that runs under systemd in a Debian sid.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

[[ -d /run/systemd/system && -x /usr/sbin/libvirtd ]] || { echo "no libvirt here"; exit 4; }
hook=/etc/libvirt/hooks/qemu.d/50-pinbroker
# shellcheck disable=SC2034 # the tests use it
mib=$((1 << 20))

# hook_install: the daemon looks for hooks when it starts.
hook_install() {
	install -D "$here/50-pinbroker" "$hook"
	# What else it may look for and wait on is not here.
	systemctl start dbus.socket
	systemctl start libvirtd.service
}

virsh() { command virsh -q -c qemu:///system "$@"; }

# hostdev DEVICE: its XML. libvirt gives it to vfio-pci and takes it back, unless managed=no.
hostdev() {
	local slot=${1#*:*:}

	cat <<-X
		<hostdev mode='subsystem' type='pci' managed='${managed:-yes}'>
		  <source><address domain='0x0000' bus='0x00' slot='0x${slot%.*}' function='0x0'/></source>
		</hostdev>
	X
}

# domain NAME MEMORY-MIB DEVICE [XML]: defines one, with more XML among its devices, and $seclabel.
domain() {
	cat >"$tmp/$1.xml" <<-X
		<domain type='qemu'>
		  <name>$1</name>
		  <memory unit='MiB'>$2</memory>
		  <vcpu>1</vcpu>
		  <os><type arch='x86_64' machine='q35'>hvm</type></os>
		  <iommufd enabled='yes'${fdgroup:-}/>
		  <devices>
		    <emulator>/usr/bin/qemu-system-x86_64</emulator>
		    <controller type='usb' model='none'/>
		    <memballoon model='none'/>
		    $(hostdev "$3")
		    ${4:-}
		  </devices>
		  ${seclabel:-}
		</domain>
	X
	virsh define "$tmp/$1.xml" >/dev/null
}

pid_of() { cat "/run/libvirt/qemu/$1.pid"; }
# limit_is WHAT PID MIB: soon.
limit_is() {
	local began=$SECONDS wanted="$(($3 * mib)) $(($3 * mib))"

	until [[ $(memlock "$2") = "$wanted" ]]; do
		((SECONDS - began < 20)) || { is "$1" "$(memlock "$2")" "$wanted"; return; }
	done
}
# session FILTER: of the only one, once it was read exactly.
session() { list_exact | jq -c ".[] | $1"; }

# started NAME: it runs, and what it has pinned.
started() {
	exits "$1 starts" 0 virsh start "$1"
	is "$1 runs" "$(virsh domstate "$1")" running
}

# traces: whatever a domain may leave behind: descriptors of the daemon, pins in bpffs, cgroups.
traces() {
	broker_settle
	broker_fds
	find /sys/fs/bpf/pinbroker | sort
	find /sys/fs/cgroup/machine.slice -type d 2>/dev/null | sort
}

# soak NAME COMMAND...: a domain is started by that again and again, and ends in one way or the other;
# nothing is left.
soak() {
	local name=$1 before n=3 i

	shift
	[[ ! ${SOAK:-} ]] || n=50
	before=$(traces)
	for ((i = 0; i < n; i++)); do
		exits "start $i" 0 "$@"
		if ((i % 3 == 1)); then
			kill -9 "$(pid_of "$name")"
			until [[ $(virsh domstate "$name") = "shut off" ]]; do :; done
		else
			exits "destroyed $i" 0 virsh destroy "$name"
		fi
	done
	gone "after $n starts"
	for ((i = 0; i < 200; i++)); do
		[[ $(traces) != "$before" ]] || return 0
	done
	fail "after $n starts there is more: $(diff <(echo "$before") <(traces) | tr '\n' ' ')"
}

# gone WHAT: nothing is left of any domain.
gone() {
	sessions_end
	is "$1: pages left pinned" "$(pins)" 0
	is "$1: what the hook remembers" "$(ls /run/pinbroker/libvirt 2>/dev/null || true)" ""
}

# large_end MIB: large-1 and large-2 have that limit, and end.
large_end() {
	local name

	for name in large-1 large-2; do
		is "$name: its limit" "$(memlock "$(pid_of $name)")" "$(($1 * mib)) $(($1 * mib))"
		exits "destroyed" 0 virsh destroy $name
	done
	gone "two large ones"
}
