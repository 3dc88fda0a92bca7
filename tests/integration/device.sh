#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# pinbroker device and migration, on the kernel's sample device mtty, whose driver implements it.
# vm: TMO=600
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
types=/sys/devices/virtual/mtty/mtty/mdev_supported_types
[[ -d $types ]] || { echo "no mtty in this kernel"; exit 4; }
one=4b20d080-1b54-4048-85b3-a6a62d165c01
two=4b20d080-1b54-4048-85b3-a6a62d165c02
kept=$socket.devices

mdev_make() { # mdev_make UUID
	echo "$1" >"$types/mtty-1/create"
	[[ -d /sys/bus/mdev/devices/$1/vfio-dev ]] || fail "$1 has no VFIO device"
}

mdev_remove() { echo 1 >"/sys/bus/mdev/devices/$1/remove"; }

device() { "$pinbroker" device --json "$@"; }

cat >"$config" <<EOF2
max-requests = 0
policy "p" {
	users = {"1000"} accounting = "task" limit = "64M"
	devices = {"$one", "$two", "0000:00:05.0"}
}
EOF2
mdev_make "$one"
mdev_make "$two"

# Without a broker, and for who may not ask the device.
exits "a device that nobody has asked" 0 as 1000 "$pinbroker" device "$one"
like "it" "$out" 'migration: not known: only root may ask it'
[[ ! -e $kept ]] || fail "an ordinary user has left $kept"
exits "left alone" 0 "$pinbroker" device --cached "$one"
like "left alone" "$out" 'migration: not known: it was not asked'
exits "no device" 64 "$pinbroker" device
exits "no name of one" 64 "$pinbroker" device /dev/vfio/devices/vfio0
refused "one that is not there" device-not-found "$pinbroker" device 0000:77:00.0

# Root asks, and others are told what it was told.
is "what the driver says" \
	"$(device "$one" | jq -c '[.driver, .migration.stop_copy, .migration.p2p, .migration.pre_copy, .not_read]')" \
	'["mtty",true,true,true,null]'
is "of what age" "$(device "$one" | jq .migration.age_seconds)" 0
is "the file's mode and owner" "$(stat -c '%a %u' "$kept" "$kept/$one" | paste -sd ' ')" "755 0 644 0"
is "what others are told" \
	"$(as 1000 "$pinbroker" device --json "$one" | jq -c '[.migration.p2p, .not_read]')" \
	'[true,"only root may ask it"]'
exits "for people" 0 "$pinbroker" device "$one"
like "for people" "$out" 'migration: STOP_COPY P2P PRE_COPY'

# A file that somebody else may have written is not believed.
chmod o+w "$kept/$one"
is "a file that others may write" "$(device --cached "$one" | jq .migration)" null
chmod o-w "$kept/$one"
chown 1000 "$kept/$one"
is "somebody's file" "$(device --cached "$one" | jq .migration)" null
is "once root has asked again" "$(device "$one" | jq .migration.p2p)" true
is "and after that" "$(device --cached "$one" | jq .migration.p2p)" true

# What was read is of this device, and not of the next one under its name.
mdev_remove "$one"
mdev_make "$one"
is "a device of the same name" "$(device --cached "$one" | jq .migration)" null

# PCI: no migration, but the rest; nothing is left bound.
to_vfio 0000:00:05.0
is "a PCI device" \
	"$(device 0000:00:05.0 | jq -c '[.driver, .vendor_device, .migration.stop_copy, (.bars | length > 0), .not_read]')" \
	'["vfio-pci","1234:11e8",false,true,null]'

# In a session it is left alone, also before it is bound.
broker_start
device "$one" >"$tmp/asked"
is "with a broker" "$(jq .migration.p2p "$tmp/asked")" true
fds=$(broker_fds)
background as 1000 "$pinbroker" run --name vm --device "$one" -- "$vmm" "{iommufd}" "{device:0}" hold bind 0 hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[0].id')
is "a device in use" "$(device "$one" | jq -c '[.session, .migration.p2p, .not_read]')" \
	"[\"$id\",true,\"session $id has it, or a device of its group\"]"
echo >&8
child_wait '^bind 0: ok'
is "another user sees no session" \
	"$(as 1001 "$pinbroker" device --json "$one" | jq -c '[.session, .migration.p2p]')" '[null,true]'
child_end
sessions_end
is "free again" "$(device "$one" | jq -c '[.session, .not_read]')" '[null,null]'
broker_fds_are "once it was asked" "$fds"

# States, step by step, while somebody listens.
exact_or_skip
is "events that this kernel cannot give" \
	"$("$pinbroker" status --json | jq '.trace_missing | any(. == "migrate" or . == "disorder")')" false

# listen FILE: two listeners in the background, one with JSON; their pids are $listener.
listen() {
	: >"$1"
	: >"$1.text"
	setpriv --reuid 1000 --regid 1000 --clear-groups "$pinbroker" trace --json >"$1" 2>&1 &
	listener=$!
	setpriv --reuid 1000 --regid 1000 --clear-groups "$pinbroker" trace >"$1.text" 2>&1 &
	listener="$listener $!"
	file_wait "$1.text" '^TIME' || fail "a listener never began"
	# JSON has no line of headings: the first session that it tells of is its beginning.
	until grep -q '"grant"' "$1"; do as 1000 "$pinbroker" run --name first -- true; done
	sessions_end
}

hang_up() {
	# shellcheck disable=SC2086 # two of them
	kill $listener
	# shellcheck disable=SC2086
	wait $listener 2>/dev/null || true
}

walk() { # walk FILE DEVICE: the steps that are told of it
	jq -r "select(.event == \"migrate\" and .error == null and .what == \"$2\") | .from + \" \" + .to" "$1"
}

# vmm_states STATE...: a VMM with both devices, that goes there. What it says is in $tmp/child.
vmms=0
vmm_states() {
	local ops=() state

	# mtty stays as the one before left it; others begin in RUNNING.
	for state in 0:RUNNING 1:RUNNING "$@"; do ops+=(state "$state"); done
	background as 1000 "$pinbroker" run --name "vm$((++vmms))" --device "$one" --device "$two" -- \
		"$vmm" "{iommufd}" "{device:0}" "{device:1}" bind 0 bind 1 "${ops[@]}" hold
	child_wait ^ready
	child_end
	sessions_end
	file_wait "$tmp/events" "\"end\".*\"vm$vmms\"" || fail "no end is told"
}

listen "$tmp/events"

# Every step that a driver takes; those between are told, too. What two said is written to one.
vmm_states 1:STOP 0:RUNNING_P2P 0:RUNNING 0:PRE_COPY 0:PRE_COPY_P2P 0:PRE_COPY 0:RUNNING 0:RUNNING_P2P \
	0:PRE_COPY_P2P 0:RUNNING_P2P 0:STOP 0:RUNNING_P2P 0:PRE_COPY_P2P 0:STOP_COPY 0:STOP \
	0:STOP_COPY 0:STOP 0:RESUMING 0:STOP 0:RUNNING 0:STOP_COPY 0:RUNNING
is "each state is reached" "$(grep -c '^state 0:\([A-Z_0-9]*\): ok state=\1$' "$tmp/child")" 22
walk "$tmp/events" "$one" >"$tmp/steps"
cat >"$tmp/wanted" <<'EOF2'
RUNNING RUNNING_P2P
RUNNING_P2P RUNNING
RUNNING PRE_COPY
PRE_COPY PRE_COPY_P2P
PRE_COPY_P2P PRE_COPY
PRE_COPY RUNNING
RUNNING RUNNING_P2P
RUNNING_P2P PRE_COPY_P2P
PRE_COPY_P2P RUNNING_P2P
RUNNING_P2P STOP
STOP RUNNING_P2P
RUNNING_P2P PRE_COPY_P2P
PRE_COPY_P2P STOP_COPY
STOP_COPY STOP
STOP STOP_COPY
STOP_COPY STOP
STOP RESUMING
RESUMING STOP
STOP RUNNING_P2P
RUNNING_P2P RUNNING
RUNNING RUNNING_P2P
RUNNING_P2P STOP
STOP STOP_COPY
STOP_COPY STOP
STOP RUNNING_P2P
RUNNING_P2P RUNNING
EOF2
diff "$tmp/wanted" "$tmp/steps" || fail "steps: < wanted, > told"
is "whose they are" "$(jq -r 'select(.event == "migrate").name' "$tmp/events" | sort -u)" vm1
is "figures of a state" \
	"$(jq -c 'select(.event == "migrate") | [.bytes, .mappings]' "$tmp/events" | sort -u)" '[null,null]'
# The first stop was one while the other device ran.
is "disorder of the first stop" "$(jq -r 'select(.event == "disorder") | .what + " " + .from' "$tmp/events")" \
	"$one RUNNING"

# Both are quiet before the first is stopped: nothing is reported.
vmm_states 0:RUNNING_P2P 1:RUNNING_P2P 0:STOP 1:STOP 0:STOP_COPY 1:STOP_COPY
vmm_states 0:PRE_COPY 1:PRE_COPY 0:PRE_COPY_P2P 1:PRE_COPY_P2P 0:STOP_COPY 1:STOP_COPY
is "disorder where there is none" "$(grep -c '"disorder"' "$tmp/events")" 1

# One is not.
vmm_states 0:RUNNING_P2P 0:STOP 1:RUNNING_P2P 1:STOP
is "an order that is none" "$(jq -r 'select(.event == "disorder").what' "$tmp/events" | paste -sd ' ')" "$one $two"
like "a line in the log" "$(grep "disorder.*vm4" "$log")" \
	"disorder: session=[0-9a-f]+ name=vm4 .*stopped=$one running=$two"

# A way that no driver knows is told as what it was answered.
vmm_states 0:PRE_COPY 1:STOP_COPY 1:PRE_COPY
is "an illegal step" \
	"$(jq -r 'select(.event == "migrate" and .error != null) | .what + " " + .from + " " + .to + " " + .error' "$tmp/events")" \
	"$two STOP_COPY PRE_COPY EINVAL"
hang_up
like "for people" "$(cat "$tmp/events.text")" \
	" migrate +[0-9]+ vmm .* $one RUNNING -> RUNNING_P2P vm1"

broker_stop
# A session of before may have it, and nobody says so.
is "where a broker was" "$(device "$one" | jq -c '[.not_read, .migration.p2p]')" \
	'["no broker says whether a session of before has it",true]'

# Several devices of one session must be known to have P2P, where the policy says so.
sed -i 's/limit = "64M"/limit = "64M" multi-device = "p2p"/' "$config"
rm -r "$kept"
broker_start
run() { as 1000 "$pinbroker" run "$@" -- "$vmm" "{iommufd}" "{device:0}" bind 0; }
exits "a device alone" 0 run --device "$one"
refused "two that nobody has asked" device-not-allowed run --device "$one" --device "$two"
like "what is to be done" "$err" "multi-device.*root runs 'pinbroker device $one' first"
device "$one" >/dev/null
refused "one of them" device-not-allowed run --device "$one" --device "$two"
like "the other" "$err" "pinbroker device $two"
device "$two" >/dev/null
exits "both" 0 run --device "$one" --device "$two"
like "both" "$out" '^bind 0: ok'
exits "as explain says" 0 as 1000 "$pinbroker" explain --device "$one" --device "$two"
like "as explain says" "$out" 'multi-device: p2p'
exits "without a daemon" 0 "$pinbroker" explain --config "$config" --uid 1000 --device "$one" --device "$two"
is "in JSON" "$(as 1000 "$pinbroker" explain --json | jq -r .multi_device)" p2p
device 0000:00:05.0 >/dev/null
refused "one without P2P" device-not-allowed run --device "$one" --device 0000:00:05.0
like "why" "$err" '0000:00:05.0 .*no RUNNING_P2P'
exits "the same without a daemon" 77 \
	"$pinbroker" explain --config "$config" --uid 1000 --device "$one" --device 0000:00:05.0
# One more for a session counts as well.
background as 1000 "$pinbroker" run --device 0000:00:05.0 -- "$vmm" "{iommufd}" "{device:0}" hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[0].id')
refused "attach to one without P2P" device-not-allowed "$pinbroker" attach "$id" "$one"
like "which one has none" "$err" '0000:00:05.0 .*no RUNNING_P2P'
child_end
sessions_end
exec 12<>"/dev/vfio/devices/$(ls "/sys/bus/mdev/devices/$one/vfio-dev")"
background as 1000 "$pinbroker" run --device 0000:00:05.0 -- "$vmm" "{iommufd}" "{device:0}" 12 bind 0 bind 1 hold
exec 12<&-
child_wait ^ready
is "nor is it plugged in" "$(grep '^bind 1' "$tmp/child")" "bind 1: EPERM"
log_wait 'refused: reason=device-not-allowed .*no RUNNING_P2P'
child_end
sessions_end
background as 1000 "$pinbroker" run --device "$one" -- "$vmm" "{iommufd}" "{device:0}" hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[0].id')
exits "attach of one with P2P" 0 "$pinbroker" attach "$id" "$two"
child_end
sessions_end
# What root knew is of the device as it was bound then.
mdev_remove "$two"
mdev_make "$two"
refused "a device that was made anew" device-not-allowed run --device "$one" --device "$two"
broker_stop

# What QEMU is told of the policy's cap on state that is queued at a migration's destination.
args() { as 1000 "$pinbroker" run -- echo 'vfio-pci,id=hd0{vfio-args}'; }
broker_start
is "no cap" "$(args)" vfio-pci,id=hd0
broker_stop
sed -i 's/limit = "64M"/limit = "64M" migration-buffers = "2G"/' "$config"
broker_start
is "a cap" "$(args)" vfio-pci,id=hd0,x-migration-max-queued-buffers-size=2147483648
refused "nobody's" no-policy as 2000 "$pinbroker" run -- echo '{vfio-args}'
exits "attach knows of none" 64 "$pinbroker" attach 1 "$one" -- echo '{vfio-args}'
broker_stop
