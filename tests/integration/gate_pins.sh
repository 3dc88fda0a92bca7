#!/bin/bash
# SPDX-License-Identifier: MIT
# Pins of the gate are lost while no broker runs: the next one attaches the programs that are not
# there, does not go on with maps that are not, and says so; --purge stops what nobody sees any more.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash
pins=/sys/fs/bpf/pinbroker
cat >"$config" <<'C'
unmanaged = "deny"
policy "p" { users = {"1000"} accounting = "any" limit = "64M" max-mappings = 3 }
C
generation() { basename $pins/[0-9]*; }
pinned() { (cd $pins && find . -mindepth 1 -printf '%f\n' | sed 's/^[0-9].*/N/' | sort); }
level() { "$pinbroker" status --json | jq -r .gate; }
# stranger STATUS: whether a context that nobody here handed out may map.
stranger() {
	local status=0

	"$vmm" 9 alloc-ioas map 4096 9<>/dev/iommu >"$tmp/stranger" || status=$?
	if [[ $1 == mapped ]]; then
		like "a stranger, $2" "$(cat "$tmp/stranger")" 'map 4096: ok'
	else
		like "a stranger, $2" "$(cat "$tmp/stranger")" 'EPERM'
	fi
}

broker_start
exact_or_skip
programs_are_small
were=$(pinned)
stranger refused "with a gate"
background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas map 1M hold map 2M hold map 3M map 4096 hold
child_wait ^ready

# Each program in turn, as if somebody had cleaned up.
for program in "$pins"/[0-9]*/*; do
	program=${program##*/}
	before=$(generation)
	broker_kill
	rm "$pins/$before/$program"
	broker_start
	is "without $program: what is pinned" "$(pinned)" "$were"
	is "without $program: the level" "$(level)" exact
	[[ $(generation) != "$before" ]] || fail "without $program: no programs of its own"
done
kill "$child"
child_wait '^map 2M: ok'
is "the session" "$(list_exact | jq -c '.[0] | [.mapped_bytes, .mappings]')" "[$((3 << 20)),2]"

# A map: what the programs that act have in it is not known, and they go on.
broker_kill
bpftool map pin pinned $pins/gate_bodies /sys/fs/bpf/away
rm $pins/gate_bodies
broker_start
is "without a map: the level" "$(level)" none
like "without a map: why" "$("$pinbroker" status)" "maps are missing in $pins"
[[ ! -e $pins/gate_bodies ]] || fail "another map has its place, which no program has"
refused "nothing is granted" kernel as 1000 "$pinbroker" run -- true
stranger refused "without a map"
kill "$child"
child_wait '^map 4096: ENOSPC'
like "the limit is kept" "$(cat "$tmp/child")" $'\nmap 3M: ok[^\n]*\nmap 4096: ENOSPC'
broker_stop
mv /sys/fs/bpf/away $pins/gate_bodies
broker_start
is "with it again" "$(level)" exact
kill "$child"
child_end
sessions_end

# Nobody sees that an ioctl is over: what another thread has unmapped is found all the same.
# shellcheck disable=SC2016 # for the other shell
background as 1000 "$pinbroker" run -- sh -c 'read -r _; exec "$0" slots --slots 3 --size 4K' "$here/tests/gate"
until [[ $("$pinbroker" list --json | jq length) == 1 ]]; do :; done
broker_kill
rm "$pins"/[0-9]*/gate_{over,unmap}
unhooked iommufd_fops_ioctl iopt_unmap_iova
echo >&8
child_wait '^ready'
is "at the limit" "$(fact error)" ENOSPC
is "one for one that another thread has unmapped" "$(fact after_other)" ok
broker_start
child_end
sessions_end

# No pins, but somebody has the links.
mkdir /sys/fs/bpf/away
n=0
for link in "$pins"/[0-9]*/*; do
	bpftool link pin pinned "$link" /sys/fs/bpf/away/$((++n))
done
broker_stop
rm -r $pins
stranger refused "without pins"
exits "--purge" 0 "$pinbrokerd" --purge
stranger mapped "after a purge"
broker_start
is "after a purge" "$(level)" exact
stranger refused "by the next one"
broker_stop
