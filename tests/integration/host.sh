#!/bin/bash
# SPDX-License-Identifier: MIT
# pinbroker host against what is known otherwise: contexts that nobody handed out, a container of
# VFIO's type1, a process that locks memory, one with a buffer in an io_uring, a session; and the
# kernel's own count of pins. Then without a gate.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

holder=$here/tests/holder
echo 'policy "p" { users = {"1000"} accounting = "task" limit = "64M" devices = {"0000:00:05.0"} }' >"$config"
for device in 0000:00:05.0 0000:00:06.0 0000:00:07.0; do to_vfio "$device"; done

# hold NAME COMMAND...: in the background until the test ends, which keeps its standard input open;
# its pid is ${held[NAME]}.
declare -A held=()
hold() {
	local fd

	mkfifo "$tmp/$1.in"
	: >"$tmp/$1.out"
	"${@:2}" <"$tmp/$1.in" >"$tmp/$1.out" 2>&1 &
	held[$1]=$!
	# shellcheck disable=SC2034 # it stays open
	exec {fd}>"$tmp/$1.in"
	file_wait "$tmp/$1.out" ^ready || fail "$1 never said ready: $(cat "$tmp/$1.out")"
}

# shown FILTER: of the object, by jq.
shown() { "$pinbroker" host --json | jq -c "$1"; }
kib() { awk -v key="$2:" '$1 == key { print $2 * 1024 }' "/proc/$1/status"; }
group_of() { basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")"; }
# What processors have counted for themselves is added up.
pins() {
	cat /proc/sys/vm/stat_refresh
	awk '$1 == "nr_foll_pin_acquired" { n += $2 } $1 == "nr_foll_pin_released" { n -= $2 }
		END { print n * 4096 }' /proc/vmstat
}

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
broker_start
like "the gate" "$("$pinbroker" status)" $'\ngate: exact'

exits "others than root" 77 as 1000 "$pinbroker" host
like "why" "$err" '^pinbroker: refused: not-permitted: '
is "nobody has anything" "$(shown '[.contexts, .containers]')" '[[],[]]'

# cgroup_hold CGROUP NAME COMMAND...: as hold, in a cgroup of its own.
cgroup_hold() {
	# shellcheck disable=SC2016 # for that shell
	hold "$2" bash -c 'echo $$ >"/sys/fs/cgroup$0/cgroup.procs" && exec "$@"' "$1" "${@:3}"
}

# in_cgroup CGROUP: what is shown of it.
in_cgroup() {
	shown ".cgroups[] | select(.cgroup == \"$1\") | [.mapped_bytes, .pinned_bytes, .mappings]"
}
mkdir -p /sys/fs/cgroup/own.slice /sys/fs/cgroup/vms.slice/one.scope /sys/fs/cgroup/vms.slice/gone

# Root's own context, with a device, of which a child has a descriptor, too.
exec 3<>/dev/iommu 4<>"$(cdev 0000:00:06.0)"
cgroup_hold /own.slice root "$vmm" 3 4 bind 0 attach 0 map 1M map 64K map 4K hold
is "what is mapped and pinned" \
	"$(shown ".contexts[] | select(.session == null) | [.mapped_bytes, .pinned_bytes, .mappings, .exact]")" \
	"[1118208,1118208,3,false]"
# Shells of $(...) have what this one has.
"$pinbroker" host --json >"$tmp/json" 3>&- 4>&-
is "who has it" "$(jq -c '.contexts[0] | [.holders, (.processes | map(.pid))]' "$tmp/json")" \
	"[2,$(printf '%s\n' $$ "${held[root]}" | jq -sc sort)]"
exec 3>&- 4>&-
is "who still has it" "$(shown ".contexts[0].processes")" \
	"[{\"pid\":${held[root]},\"uid\":0,\"comm\":\"vmm\"}]"
is "who is charged: nobody, as root is privileged" \
	"$(shown '.payers[] | [.session, .pid, .uid, .comm, .accounting, .mapped_bytes, .pinned_bytes]')" \
	"[null,${held[root]},0,\"vmm\",null,1118208,1118208]"
is "its process" "$(shown ".processes[] | select(.pid == ${held[root]}) | .pinned_bytes")" \
	"$(kib "${held[root]}" VmPin)"

# A session, read by the gate itself.
cgroup_hold /vms.slice/one.scope session setpriv --reuid 1000 --regid 1000 --clear-groups \
	"$pinbroker" run --device 0000:00:05.0 -- "$vmm" '{iommufd}' '{device:0}' bind 0 attach 0 map 128K hold
id=$("$pinbroker" list --json | jq -r '.[0].id')
is "a session" "$(shown ".contexts[] | select(.session) | [.session, .accounting, .mapped_bytes, .pinned_bytes, .mappings]")" \
	"[\"$id\",\"task\",131072,131072,1]"

is "whom it is charged to" \
	"$(shown '.payers[] | select(.session) | [.session, .pid, .uid, .comm, .accounting, .mapped_bytes, .pinned_bytes]')" \
	"[\"$id\",${held[session]},1000,\"vmm\",\"task\",131072,131072]"
is "what the user has" \
	"$(shown '.users[] | select(.uid == 1000) | [.mapped_bytes, .pinned_bytes, .mappings, .locked_bytes]')" \
	"[131072,131072,1,0]"
is "what its cgroup has" "$(in_cgroup /vms.slice/one.scope)" "[131072,131072,1]"
is "and another" "$(in_cgroup /own.slice)" "[1118208,1118208,3]"
is "whose inode it is" "$(shown '.cgroups[] | select(.cgroup == "/vms.slice/one.scope").cgroup_inode')" \
	"$(stat -c %i /sys/fs/cgroup/vms.slice/one.scope)"
is "which its payer is in" "$(shown '.payers[] | select(.session).cgroup_inode')" \
	"$(stat -c %i /sys/fs/cgroup/vms.slice/one.scope)"

hold mlock "$holder" mlock 40K
is "mlock" "$(shown ".processes[] | select(.pid == ${held[mlock]}) | [.locked_bytes, .comm]")" \
	'[40960,"holder"]'
is "as /proc has it" "$(kib "${held[mlock]}" VmLck)" 40960

hold uring setpriv --reuid 1001 --regid 1001 --clear-groups "$holder" uring 256K
is "a registered buffer" "$(shown ".processes[] | select(.pid == ${held[uring]}) | [.uid, .pinned_bytes]")" \
	"[1001,$(kib "${held[uring]}" VmPin)]"
locked=$(shown '.users[] | select(.uid == 1001) | .locked_bytes')
((locked >= 262144 && locked < 400000)) || fail "its user has $locked bytes locked"

hold type1 "$holder" type1 512K "$(group_of 0000:00:07.0)"
is "a container" "$(shown '.containers[] | [.session, .mapped_bytes, .pinned_bytes, .mappings, .processes[0].pid]')" \
	"[null,524288,524288,1,${held[type1]}]"
is "its process has it locked" "$(kib "${held[type1]}" VmLck)" 524288

# Pins whose process is gone are the context's still.
exec 3<>/dev/iommu
# shellcheck disable=SC2016 # for that shell
bash -c 'echo $$ >/sys/fs/cgroup/vms.slice/gone/cgroup.procs && exec "$0" 3 mock map 32K' "$vmm" \
	>"$tmp/orphan" 2>&1 || true
orphan=0
if grep -q 'mock: ok' "$tmp/orphan"; then orphan=32768; fi
is "mapped by one that is gone" \
	"$(shown "[.contexts[] | select(.processes[0].pid == $$) | [.mapped_bytes, .pinned_bytes]]")" \
	"[[32768,$orphan]]"

is "charged to one that is gone" \
	"$(shown '[.payers[] | select(.comm == null) | [.uid, .mapped_bytes]]')" "[[0,32768]]"

gone=$(stat -c %i /sys/fs/cgroup/vms.slice/gone)
is "in the cgroup where it exited, which has nobody to tell its name" \
	"$(shown ".cgroups[] | select(.cgroup_inode == $gone) | [.cgroup, .mapped_bytes, .pinned_bytes, .mappings]")" \
	"[null,32768,$orphan,1]"
echo $$ >/sys/fs/cgroup/vms.slice/gone/cgroup.procs
is "named by who has the context" "$(in_cgroup /vms.slice/gone)" "[32768,$orphan,1]"
echo $$ >/sys/fs/cgroup/cgroup.procs
rmdir /sys/fs/cgroup/vms.slice/gone
is "it is still there when the cgroup is not" \
	"$(shown ".cgroups[] | select(.cgroup_inode == $gone) | [.cgroup, .mapped_bytes]")" "[null,32768]"
is "cgroups have all that payers have" "$(shown '[([.cgroups[].mapped_bytes] | add) - ([.payers[].mapped_bytes] | add),
	([.cgroups[].mappings] | add) - ([.contexts[].mappings] | add)]')" "[0,0]"

# Everything together is what the kernel has counted; ours are all that pin here.
sum=$((1118208 + 131072 + 524288 + 262144 + orphan))
is "the kernel's count" "$(pins)" "$sum"
is "explained" "$(shown '[.foll_pin_bytes, .explained_bytes, .unexplained_bytes]')" "[$sum,$sum,0]"
like "for people" "$("$pinbroker" host)" \
	"unexplained: 0"$'\n\n'"KIND .*"$'\n'"context +$id .*"$'\n'"context +unmanaged .*"$'\n'"container +- .*"$'\n'"user +- .*"$'\n\n'"CGROUP .*"$'\n'"/vms.slice/one.scope +128K +128K +1"$'\n'"inode $gone +32K "

# A name that would paint the terminal.
cp "$holder" "$tmp/"$'\e[31mred'
hold named "$tmp/"$'\e[31mred' mlock 4K
like "a name in a table" "$("$pinbroker" host)" 'x1b\[31mred'
if "$pinbroker" host | grep -q $'\e'; then fail "a name was not escaped"; fi

# Processes begin and end while it looks.
(for ((i = 0; i < 200; i++)); do "$holder" mlock 4K </dev/null >/dev/null & done; wait) &
crowd=$!
while kill -0 "$crowd" 2>/dev/null; do
	is "in a crowd" "$(shown '[.contexts[] | select(.session)] | length')" 1
done
wait "$crowd"

# A daemon that was killed, and another: the same.
kill -9 "$daemon"
wait "$daemon" || true
broker_start
is "after a restart" "$(shown '[.explained_bytes, (.contexts | length)]')" "[$sum,3]"
broker_stop

# Without a gate: processes, from /proc.
"$pinbrokerd" --purge 2>/dev/null || true
umount /sys/fs/bpf
broker_start
is "without a gate" "$(shown '[.contexts, .containers, .users, .cgroups, .explained_bytes, .unexplained_bytes]')" \
	"[null,null,null,null,null,null]"
is "processes all the same" "$(shown ".processes[] | select(.pid == ${held[mlock]}) | .locked_bytes")" 40960
broker_stop
