#!/bin/bash
# SPDX-License-Identifier: MIT
# The gate's maps are full: that grant alone is refused, whoever has a session goes on, and what
# becomes free is granted again.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
pinned=/sys/fs/bpf/pinbroker
room=4 # for sessions; the neighbour has one

# A gate that is taken over keeps its size: one that a broker with little room has left behind.
broker_start
value=$(bpftool -j map show pinned $pinned/gate_sessions | jq .bytes_value)
broker_stop
gate_purge() {
	"$pinbrokerd" --purge
	mkdir -m 700 $pinned
	# 0x400: BPF_F_MMAPABLE. One more for the self-test, and those for who comes without a broker.
	bpftool map create $pinned/gate_sessions type array key 4 value "$value" entries $((room + 257)) \
		name gate_sessions flags 0x400
}
gate_start
is "the level" "$level" "$([[ $(</sys/kernel/security/lsm) == *bpf* ]] && echo exact || echo best-effort)"

# tenant NAME: a session that maps with each line.
tenant() {
	beside_begin "$1" as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas map 1M hold map 2M hold
	file_wait "$tmp/$1.out" '^(ready|pinbroker)' || fail "nothing of $1"
}
all_go_on() { # NAME...: each maps once more
	local name

	for name; do
		kill "${beside_pid[$name]}" # the end of its hold
		file_wait "$tmp/$name.out" '^map 2M' || fail "nothing more of $name"
		like "$name goes on" "$(cat "$tmp/$name.out")" $'\nmap 2M: ok'
		beside_end "$name"
	done
}

for name in one two three; do
	tenant $name
	like "$name is granted" "$(cat "$tmp/$name.out")" $'^alloc-ioas: ok.*\nmap 1M: ok'
done
refused "one session more than there is room for" kernel as 1001 "$pinbroker" run -- true
all_go_on three
exits "one for one" 0 as 1001 "$pinbroker" run -- true
until [[ $("$pinbroker" list --json | jq length) == 3 ]]; do :; done

# The files that the gate knows are in a hash. Somebody fills it with files that are none.
n=0
while bpftool map update pinned $pinned/gate_files key $((n & 255)) $((n >> 8)) 0 0 0 0 0 1 \
	value 0 0 0 0 0 0 0 0 noexist 2>/dev/null; do n=$((n + 1)); done
((n > 0)) || fail "nothing was left in the map of files"
refused "no room for its files" kernel as 1001 "$pinbroker" run -- true
is "sessions that are left by it" "$("$pinbroker" list --json | jq length)" 3
all_go_on two
until [[ $("$pinbroker" list --json | jq length) == 2 ]]; do :; done
exits "room for one file, as one is gone" 0 as 1001 "$pinbroker" run -- true
for ((i = 0; i < n; i++)); do
	bpftool map delete pinned $pinned/gate_files key $((i & 255)) $((i >> 8)) 0 0 0 0 0 1
done
until [[ $("$pinbroker" list --json | jq length) == 2 ]]; do :; done
exits "granted again" 0 as 1001 "$pinbroker" run -- true
all_go_on one
echo "$n files that are none"
gate_stop
