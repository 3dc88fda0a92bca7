#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: TMO=1200
# Somebody removes the gate's pins while no daemon runs. Without a service manager that keeps
# descriptors its limits are gone with them; with one they hold, and the next daemon has the pins,
# sessions and figures back. What is kept is of one gate and one generation, and anything else that
# is passed changes nothing.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash
pinned=/sys/fs/bpf/pinbroker
own=$(realpath "$pinbrokerd") next=$(realpath "$here/next/pinbrokerd")

configure() { # configure allow|deny: of what is unmanaged
	echo "max-requests = 0 unmanaged = $1 policy \"p\"" \
		'{ users = {"1000"} accounting = "task" limit = "64M" max-mappings = 3 }' >"$config"
}
configure allow

# Whether any program hangs on ioctl(2).
attached() { grep -qE '^(bpf_lsm_file_ioctl|security_file_ioctl) ' /sys/kernel/tracing/enabled_functions; }

# One who has as many mappings as it may, and tries one more whenever it is asked to.
tenant_begin() {
	local i more=()

	for ((i = 0; i < 24; i++)); do more+=(map 1M hold); done
	background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas map 4K map 4K map 4K \
		hold "${more[@]}" 9>&-
	child_wait ^ready
	is "what it may map" "$(grep -c '^map 4K: ok' "$tmp/child")" 3
	tries=0
}

# one_more WHAT yes|no: whether that is mapped.
one_more() {
	local got=no

	tries=$((tries + 1))
	echo >&8
	file_wait "$tmp/child" ^ready $((tries + 1)) || fail "$1: nothing more of it"
	[[ $(grep '^map 1M' "$tmp/child" | tail -n 1) != *": ok"* ]] || got=yes
	is "$1: one more is mapped" "$got" "$2"
}

# --- nobody keeps anything: what somebody can do

broker_start
level=$("$pinbroker" status --json | jq -r .gate)
like "the level" "$level" '^(best-effort|exact)$'
tenant_begin
one_more "with pins" no
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
one_more "with pins and no daemon" no
rm -r $pinned
while attached; do :; done
one_more "with neither" yes
child_end
broker_start
sessions_end
broker_stop
"$pinbrokerd" --purge
while attached; do :; done

# --- a service manager that keeps what it is given

starts=0
: >"$log"
mkfifo "$tmp/orders"
ln -s "$own" "$tmp/pinbrokerd"
"$here/tests/store" "$socket" "$tmp/pinbrokerd" <"$tmp/orders" >"$tmp/store" 2>>"$log" &
store=$!
exec 9>"$tmp/orders"

order() { echo "$*" >&9; }
start() {
	starts=$((starts + 1))
	order start
	log_wait ': ready' $starts
	daemon=$(sed -n 's/^started //p' "$tmp/store" | tail -n 1)
}
ends=0
end() { # kill|stop
	ends=$((ends + 1))
	daemon=
	order "$1"
	file_wait "$tmp/store" '^ended' $ends || fail "the daemon does not end"
}
kept() { # what is kept, sorted
	local before

	before=$(grep -c '^listed' "$tmp/store")
	order list
	file_wait "$tmp/store" '^listed' $((before + 1)) || fail "no list"
	awk -v n="$before" '/^listed/ {i++} i == n && sub("^kept ", "")' "$tmp/store" | sort
}
# The name of what is kept of this gate begins so.
prefix() { echo "pinbroker-gate/$(bpftool -j map show pinned $pinned/gate_control | jq .id)"; }
pins() { find $pinned -mindepth 1 | sort; }
# What is kept if that is the pins: maps, and links of one generation.
wanted() { find $pinned -mindepth 1 -type f -printf "$(prefix)/%P\n" | sort; }
sessions() { "$pinbroker" list --json | jq -c 'map(del(.denied))'; } # figures() has that
figures() { "$pinbroker" show "$id" --json | jq -c '[.mappings, .mapped_bytes, .denied]'; }

start
is "what is kept" "$(kept)" "$(wanted)"
like "how much" "$(kept | wc -l)" '^[1-9][0-9]$'
tenant_begin
id=$("$pinbroker" list --json | jq -r '.[].id')
one_more "while it runs" no
pins_were=$(pins) sessions_were=$(sessions) kept_were=$(kept)
fds=$(broker_fds)

# back WHAT: all is as it was.
back() {
	is "$1: pins" "$(pins)" "$pins_were"
	is "$1: sessions" "$(sessions)" "$sessions_were"
	is "$1: figures" "$(figures)" "[3,12288,$tries]"
	is "$1: the level" "$("$pinbroker" status --json | jq -r .gate)" "$level"
	is "$1: what is kept" "$(kept)" "$kept_were"
	one_more "$1" no
	broker_fds_are "$1: descriptors" "$fds"
}

end kill
start
like "nothing was to be restored" "$(grep -c 'pins of the gate were gone' "$log")" '^0$'
fds=$(broker_fds) # one that has not loaded its programs
back "restarted"

end kill
rm -r $pinned
attached || fail "the programs are gone with their pins"
one_more "pins removed" no
start
log_wait 'pins of the gate were gone'
back "pins removed"

# Started by hand, where nobody passes anything: no gate is made beside the one that is kept, which
# holds all the same.
end stop
rm -r $pinned
: >"$tmp/hand.log"
"$own" --socket "$tmp/hand" </dev/null 2>"$tmp/hand.log" 9>&- &
hand=$!
file_wait "$tmp/hand.log" ': ready' || fail "by hand it does not start: $(cat "$tmp/hand.log")"
like "by hand: the gate" "$("$pinbroker" --socket "$tmp/hand" status)" \
	$'\ngate: none: another gate acts, of which nothing is in '
is "by hand: pins" "$(pins)" ""
one_more "by hand" no
kill $hand
wait $hand || fail "by hand it does not stop"
start
back "after one by hand"

# Some of them only: the rest stays as it is.
end stop
rm $pinned/gate_files $pinned/[0-9]*/gate_*ioctl
one_more "some pins removed" no
start
back "some pins removed"

# While it runs.
rm -r $pinned
one_more "pins removed under a daemon" no
end kill
start
back "pins removed under a daemon"

# No bpffs: who starts then cannot look into the gate, takes sessions for alive, and leaves it. It
# was told to deny what it does not know, and knows nothing that is opened now.
configure deny
kill -HUP "$daemon"
log_wait ': loaded '
end kill
umount /sys/fs/bpf
one_more "no bpffs" no
start
log_wait 'cannot be pinned in'
is "no bpffs: the level" "$("$pinbroker" status --json | jq -r .gate)" none
is "no bpffs: the session" "$("$pinbroker" list --json | jq -r '.[].id')" "$id"
is "no bpffs: what is kept" "$(kept)" "$kept_were"
one_more "no bpffs, a daemon" no
log_wait 'denies what is unmanaged.*: nothing is granted'
refused "no bpffs, deny" kernel as 1000 "$pinbroker" run -- true
like "why" "$err" 'denies contexts that are not in it'
configure allow
end kill
mount -t bpf bpf /sys/fs/bpf
start
back "bpffs again"

# Beside the control of a gate that this daemon cannot read.
foreign() { # foreign: has one kept that is as new as none of this gate's
	bpftool map create /sys/fs/bpf/foreign type array key 4 value 8 entries 1 name gate_control
	foreign=pinbroker-gate/$(bpftool -j map show pinned /sys/fs/bpf/foreign | jq .id)/gate_control
	order pin "$foreign" /sys/fs/bpf/foreign
	file_wait "$tmp/store" "^stored $foreign" || fail "it is not kept"
	rm /sys/fs/bpf/foreign
}
end kill
foreign
rm -r $pinned
start
back "behind one that cannot be read"

# What nobody asked for.
end kill
control=$(prefix)
order put "$control/gate_control" /dev/null
order put "pinbroker-gate/../../etc" /dev/null
order put "pinbroker-gate/4000000000/gate_control" /dev/null
order put stored /dev/null
order pin "$control/gate_files" $pinned/gate_events
order pin "$control/4000000000/gate_map" "$(find $pinned -name gate_map)"
order pin "$control/gate_events" "$(find $pinned -name gate_map)"
order pin "$control/gate_mine" $pinned/gate_mine # twice
start
log_wait '"stored", which is neither a socket nor known here: closed'
log_wait 'gate-?/../../etc", and what it passed is no such thing: closed'
is "what is no such thing" "$(grep -c 'is no such thing: closed' "$log")" 5
kept_were=$(sort <<<"$kept_were"$'\nstored')
back "strangers"

# Another build of the object takes over: its generation is kept, and no other.
end kill
ln -sfn "$next" "$tmp/pinbrokerd"
start
kept_were=$(kept)
is "another build: what is kept" "$kept_were" "$(printf '%s\n' "$(wanted)" stored | sort)"
pins_were=$(pins)
is "generations" "$(find $pinned -mindepth 1 -type d | wc -l)" 1
fds=$(broker_fds)
back "another build"
end kill
rm -r $pinned
one_more "another build, pins removed" no
start
fds=$(broker_fds)
back "another build, pins removed"

# Purged is purged, whoever keeps what.
end stop
"$next" --purge
one_more "purged" yes
child_end
start
sessions_end
is "after a purge: what is kept" "$(kept)" "$(printf '%s\n' "$(wanted)" stored | sort)"
[[ $(kept) != "$kept_were" ]] || fail "it is the gate that was purged"

# One that keeps less than the gate has, and says so: it is given none of it, and the gate goes with
# its pins. One that does not say is left with a part: what is made of that is a gate as a whole, or
# it is not exact.
names() { find $pinned -mindepth 1 -type f -printf '%f\n' | sort; }
whole=$(names) # of the gate that the next one is compared with
# too_small WHAT: its pins are removed, and the next daemon has no session beyond its limits.
too_small() {
	end stop
	rm -r $pinned
	start
	if [[ $("$pinbroker" status --json | jq -r .gate) == exact ]]; then
		is "$1: an exact gate" "$(names)" "$whole"
		tenant_begin
		one_more "$1" no
		child_end
		sessions_end
	fi
}
end stop
order drop
order room 10 say
start
log_wait 'keeps 10 descriptors, too few for the gate, which needs '
is "too small: what is kept" "$(kept)" ""
too_small "too small"
# Likewise where somebody has one piece closed.
for piece in gate_files gate_ioctl_compat; do
	end stop
	"$next" --purge # of one without a map programs may act on
	order drop
	order room 256
	start
	control=$(prefix)
	order drop "$(kept | grep "^$control/.*$piece\$")"
	is "without $piece: how much is kept" "$(kept | wc -l)" $(($(wc -w <<<"$whole") - 1))
	too_small "without $piece"
done
for room in 10 18; do
	end stop
	"$next" --purge
	order drop
	order room $room
	start
	is "room for $room, unsaid: how much is kept" "$(kept | wc -l)" $room
	too_small "room for $room, unsaid"
done
end stop
order room 256

# A gate that this daemon cannot read, and no other: it may act, so none is made beside it.
"$next" --purge
order drop
foreign
for again in "" " again"; do
	start
	is "unseen$again: the level" "$("$pinbroker" status --json | jq -r .gate)" none
	like "unseen$again: why" "$("$pinbroker" status --json | jq -r .gate_reason)" 'cannot be pinned in'
	is "unseen$again: pins" "$(find $pinned -mindepth 1)" ""
	is "unseen$again: what is kept" "$(kept)" "$foreign"
	end stop
done
exec 9>&-
status=0
wait "$store" || status=$?
is "exit status of the service manager" "$status" 0
