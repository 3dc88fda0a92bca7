#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# A cap gives a machine what it needs, and who takes more beside it in its cgroup is killed, which is
# told; another machine does not notice.
# shellcheck source=tests/integration/mirror.bash
. tests/integration/mirror.bash

qemu=$(tests/vm/qemu10)
cat >"$config" <<'C'
max-requests = 0
policy "capped" {
	users = {"1000", "1001"} accounting = "task" limit = "256M" headroom = "160M"
	devices = {"0000:00:05.0"} cgroup-mirror = "cap" migration-buffers = "0"
}
C
to_vfio 0000:00:05.0
broker_start
cap=$(((256 + 160) * mib))

# Another machine, with memory of its own.
cgroup_make machines/vm2
inside_as 1001 machines/vm2 "$pinbroker" run --name other -- "$here/tests/eater" eat 32M
child_wait ^ready
becomes "the other one" machines/vm2 memory.max $cap
other=$child
exec 9>&8

cgroup_make machines/vm1
background "$pinbroker" trace --json
trace=$child
exec 6>&8
mv "$tmp/child" "$tmp/trace"
inside_as 1000 machines/vm1 "$pinbroker" run --name vm1 --memory 128M --device 0000:00:05.0 -- \
	"$qemu" -M q35 -accel tcg -m 128 -nodefaults -display none -S -qmp stdio \
	-object "iommufd,id=iommufd0,fd={iommufd}" -device "vfio-pci,id=hd0,iommufd=iommufd0,fd={device:0}"
guest=$child
printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-status"}' >&8
child_wait '"prelaunch"' 300
becomes "the guest's" machines/vm1 memory.max $cap
id=$("$pinbroker" list --json | jq -r '.[] | select(.name == "vm1").id')
until (($(list_exact | jq ".[] | select(.name == \"vm1\").pinned_bytes") >= 128 * mib)); do :; done
echo "QEMU has $(limit machines/vm1 memory.current) of $cap bytes, and $(stat_of machines/vm1 anon shmem) in anon and shmem"
is "nobody was killed" "$(awk '$1 == "oom_kill" { print $2 }' $cgroups/machines/vm1/memory.events)" 0
like "QEMU lives" "$(tr '\0' ' ' <"/proc/$guest/cmdline")" qemu

# Nobody sheds the cap: not by a process that is nobody's child, nor by what cannot be looked at.
# shellcheck disable=SC2016 # the inner shell's
bash -c 'echo $$ >"$0" && exec setsid sleep 10000 8>&- 9>&- 6>&-' $cgroups/machines/vm1/cgroup.procs &
stranger=$!
until grep -q "^$stranger$" $cgroups/machines/vm1/cgroup.procs; do :; done
"$pinbroker" set "$id" migration-buffers=4K
log_wait "session $id is not mirrored as it should be: process $stranger is of no session"
becomes "a cap that changes, with a stranger" machines/vm1 memory.max $((cap + page))
"$pinbroker" set "$id" migration-buffers=0
becomes "and back" machines/vm1 memory.max $cap
kill $stranger

# A hog, started by nobody of the session: it is killed as the largest, and so is no one else.
# shellcheck disable=SC2016 # the inner shell's
status=0
bash -c 'echo $$ >"$0" && echo 1000 >/proc/self/oom_score_adj && exec "$@"' \
	$cgroups/machines/vm1/cgroup.procs "$here/tests/eater" grow >"$tmp/hog" || status=$?
is "the hog was killed" $status 137
echo "the hog: $(tail -n 1 "$tmp/hog")"
(($(limit machines/vm1 memory.peak) <= cap + mib)) || fail "memory.peak $(limit machines/vm1 memory.peak), the cap is $cap"
kill -0 "$guest" || fail "QEMU was killed"
kill -0 "$other" || fail "the other machine was killed"
is "events of the other" "$(awk '{ n += $2 } END { print n }' $cgroups/machines/vm2/memory.events)" 0
log_wait 'oom-kill: session=.* name=vm1 .* cgroup=/machines/vm1 .* memory_max='
file_wait "$tmp/trace" '"oom-kill"' || fail "trace does not tell of it"
until [[ $("$pinbroker" show "$id" --json | jq .mirror.oom_kills) = 1 ]]; do :; done

kill "$guest" "$trace"
wait "$guest" "$trace" || true
exec 8>&- 6>&-
sessions_beside=1
sessions_end
becomes "it is over" machines/vm1 memory.max max
exec 9>&-
wait "$other" || true
broker_stop
