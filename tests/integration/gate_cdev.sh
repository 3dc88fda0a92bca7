#!/bin/bash
# SPDX-License-Identifier: MIT
# What the kernel drops with a device is in the figures at once. A cdev that was never bound outlives
# its session in a process that kept it. It must not serve to take the device from whoever gets it next.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start

# By an ioctl of the device, and by the end of its file, nothing is unmapped: it is not pinned any more.
shown() { "$pinbroker" show "$id" --json | jq -c '[.mapped_bytes, .pinned_bytes]'; }
for way in detach close-device; do
	[[ $level != none ]] || break
	background as 1003 "$pinbroker" run --device "$device" -- "$vmm" "{iommufd}" "{device:0}" \
		bind 0 attach 0 map 8M hold "$way" 0 hold
	child_wait ^ready
	like "attached" "$(cat "$tmp/child")" $'\nattach 0: ok[^\n]*\nmap 8M: ok'
	id=$("$pinbroker" list --json | jq -r '.[] | select(.uid == 1003).id')
	list_exact >/dev/null
	is "pinned" "$(shown)" "[$((8 * mib)),$((8 * mib))]"
	kill "$child"
	file_wait "$tmp/child" ^ready 2
	like "$way" "$(cat "$tmp/child")" "$way 0: ok"
	is "$way: figures" "$(shown)" "[$((8 * mib)),0]"
	child_end
	sessions_end
done

# One session ends, its cdev is kept: the device is another user's then, or is still busy.
run_options=(--device "$device")
pins_before=$(pins)
background as 1000 "$pinbroker" run "${run_options[@]}" -- "$gate" keep
child_wait ^ready
keeper=$(fact keeper)
child_end
log_wait "owner has exited"
: >"$tmp/next"
chmod 666 "$tmp/next"
mkfifo "$tmp/next-stdin"
# Without a shell between: $next is the program itself.
setpriv --reuid 1002 --regid 1002 --clear-groups "$pinbroker" run --device "$device" -- \
	"$vmm" "{iommufd}" "{device:0}" hold bind 0 attach 0 hold >"$tmp/next" 2>&1 <>"$tmp/next-stdin" &
next=$!
file_wait "$tmp/next" '^(ready|pinbroker: refused)' || fail "nothing of the next one: $(cat "$tmp/next")"
if grep -q 'refused: device-busy' "$tmp/next"; then
	verdict "the device while its cdev is kept" 0 "$(cat "$tmp/next")"
	wait "$next" || true
	kill "$keeper"
	sessions_end
	gate_stop
	exit
fi

# It is another's now, who has not bound it yet.
run_options=()
attack_begin use
verdict "a cdev of an earlier session" "$(said bind ok)" \
	"BIND $(fact bind), ATTACH $(fact attach)"
echo >"$tmp/next-stdin"
file_wait "$tmp/next" '^attach' || fail "nothing of the next one: $(cat "$tmp/next")"
[[ $level != exact ]] || like "the next one gets it" "$(cat "$tmp/next")" $'\nbind 0: ok.*\nattach 0: ok'
echo "the next one: $(grep ^bind "$tmp/next")"
kill "$next"
attack_end
gate_stop
