#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# Sessions for contexts that somebody else opens: reserved before, taken by the first BIND of a device
# before anything is mapped, with the session's limits from there on; and what nobody comes for ends.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cat >"$config" <<'C'
unmanaged = "deny"
policy "domains" {
	domains = {"db-*"} users = {"1000"}
	accounting = "any" limit = "64M" max-mappings = 10 devices = {"0000:00:0[5-7].0"}
}
policy "user" { users = {"1001"} accounting = "user" limit = "64M" devices = {"*"} }
C
mib=$((1 << 20))
broker_start
exact_or_skip

coproc manager { exec "$here/tests/manager"; }
# shellcheck disable=SC2154 # coproc sets it
manager_pid=$manager_PID to_manager=${manager[1]}
# told WHAT PATTERN COMMAND...: the manager's answer, left in $answer, is like that.
told() {
	echo "${*:3}" >&"$to_manager"
	read -r -t 60 -u "${manager[0]}" answer || fail "the manager does not answer to '${*:3}'"
	like "$1" "$answer" "^$2\$"
}
# reserve WHAT WAIT_MS DEVICE...: for uid 1000; its id is $id.
reserve() {
	told "$1" 'reserved [0-9a-f]+ vm' reserve "$2" uid=1000 domain=db-1 -- vm 32M "${@:3}"
	id=$(cut -d' ' -f2 <<<"$answer")
}
shown() { "$pinbroker" show "$1" --json | jq -c "$2"; }

# opens MODE DEVICE UID OP...: a VMM that got its descriptors from root, who opened them, as libvirt does.
opens() {
	exec 9<>/dev/iommu 10<>"$(cdev "$2")"
	[[ $1 = 0 ]] || [[ $("$vmm" 9 set-mode "$1") = *ok* ]] || fail "no mode $1"
	background as "$3" "$vmm" 9 10 "${@:4}"
	exec 9<&- 10<&-
}

told "its connection" 'listed 0' list
fds=$(broker_fds)

# Nothing is bound yet, and no device on vfio-pci.
reserve "reserved" 600000 0000:00:05.0 0000:00:06.0
is "what is reserved" "$(shown "$id" '[.name, .policy, .uid, .pid, .accounting, .limit_bytes, .state, .devices]')" \
	"[\"vm\",\"domains\",1000,0,\"task\",$((64 * mib)),\"pending\",[\"0000:00:05.0\",\"0000:00:06.0\"]]"
told "a device twice" 'refused device-busy' reserve 1000 uid=1000 domain=db-2 -- vm 1M 0000:00:06.0
told "in user mode" 'refused not-permitted' reserve 1000 uid=1001 -- vm 1M 0000:00:07.0
log_wait 'charged per task'
told "for root" 'refused capable-owner' reserve 1000 uid=0 domain=db-2 -- vm 1M 0000:00:07.0
told "without a device" 'failed EINVAL' reserve 1000 uid=1000 domain=db-2 -- vm 1M
told "a domain of no policy" 'refused no-policy' reserve 1000 uid=1000 domain=web -- vm 1M 0000:00:07.0
refused "set" bad-request "$pinbroker" set "$id" limit=1M
exits "not another user's" 66 as 1001 "$pinbroker" close "$id"
refused "its user's, before it is that user's" not-permitted as 1000 "$pinbroker" close "$id"
is "it is there" "$(shown "$id" .state)" '"pending"'
for device in 0000:00:05.0 0000:00:06.0 0000:00:07.0; do to_vfio "$device"; done

# Somebody else: per user, where it could map what its user's other processes may not; and what is
# unmanaged, and denied.
opens 0 0000:00:05.0 1000 bind 0 hold
child_wait ^ready
is "in the wrong mode" "$(grep bind "$tmp/child")" "bind 0: EPERM"
child_end
opens 1 0000:00:07.0 1000 bind 0 alloc-ioas hold
child_wait ^ready
is "of no session" "$(grep -v ready "$tmp/child" | tr '\n' ' ')" "bind 0: ok id=1 alloc-ioas: EPERM "
child_end
is "it waits still" "$(shown "$id" '[.state, .mapped_bytes]')" '["pending",0]'

# The one it is for.
opens 1 0000:00:05.0 1000 bind 0 hold attach 0 map $((64 * mib)) hold map 4096 hold
child_wait ^ready
log_wait "bound: session=$id "
log_wait "payer: session=$id "
is "its limit" "$(memlock "$child")" "$((64 * mib)) $((64 * mib))"
# Where there is no time for a reading the last one counts: of before the BIND it would say idle.
for ((i = 0; i < 100; i++)); do
	[[ $(shown "$id" .state) != '"active"' ]] || break
done
is "taken" "$(shown "$id" '[.state, .pid]')" '["active",0]'
background_child=$child
setpriv --reuid 1000 --regid 1000 --clear-groups sleep 1000 & other=$!
until [[ $(<"/proc/$other/comm") = sleep ]]; do :; done # its capabilities go with setpriv
refused "another process" not-permitted "$pinbroker" adopt "$id" "$other"
like "which says why" "$err" "process $other has not bound a device of the session $id"
kill "$other"
exits "adopted" 0 "$pinbroker" adopt "$id" "$background_child"
kill -TERM "$child"
child_wait '^map 67108864: ok'
is "up to the limit" "$(shown "$id" '[.pid, .state, .mapped_bytes, .mappings, .denied]')" \
	"[$child,\"active\",$((64 * mib)),1,0]"
kill -TERM "$child"
child_wait '^map 4096: ENOMEM'
is "and no further" "$(shown "$id" '[.mapped_bytes, .denied]')" "[$((64 * mib)),1]"

# The second device of the session, to its context only.
opens_also() {
	exec 9<>/dev/iommu 10<>"$(cdev 0000:00:06.0)"
	"$vmm" 9 set-mode 1 >/dev/null
	"$vmm" 9 10 bind 0
	exec 9<&- 10<&-
}
is "its other device to another context" "$(opens_also)" "bind 0: EPERM"
child_end
log_wait "ended: session=$id "
is "nobody has it" "$("$pinbroker" list --json)" '[]'

# What nobody comes for ends, by its time or by a word; a VMM that comes too late is nobody's.
reserve "for a moment" 1 0000:00:05.0
log_wait "ended: session=$id .*did not come in time"
reserve "for longer" 600000 0000:00:05.0
told "given up" 'ok pending' close "$id"
is "that is all" "$("$pinbroker" list --json)" '[]'
opens 1 0000:00:05.0 1000 bind 0 alloc-ioas hold
child_wait ^ready
is "too late" "$(grep alloc "$tmp/child")" "alloc-ioas: EPERM"
child_end

# A device that comes later, as libvirt plugs one in: by the session's policy, or not at all. It goes
# again when the VMM closes it, and does not when the VMM ends.
to_vfio 0000:00:08.0
reserve "for a VMM that gets more" 600000 0000:00:05.0
opens_more() { # OP...
	exec 9<>/dev/iommu 10<>"$(cdev 0000:00:05.0)" 11<>"$(cdev 0000:00:07.0)" 12<>"$(cdev 0000:00:08.0)"
	"$vmm" 9 set-mode 1 >/dev/null
	background as 1000 "$vmm" 9 10 11 12 "$@"
	exec 9<&- 10<&- 11<&- 12<&-
}
plugged_are() { is "$1" "$(shown "$id" .devices)" "$2"; }
opens_more bind 0 bind 1 attach 1 map 4096 bind 2 hold close-device 1 hold
child_wait ^ready
like "one that the policy allows" "$(<"$tmp/child")" $'bind 1: ok.*\nattach 1: ok.*\nmap 4096: ok'
is "and one that it does not" "$(grep '^bind 2' "$tmp/child")" "bind 2: EPERM"
log_wait "plugged: session=$id .*device=0000:00:07.0 process=$child"
log_wait "refused: reason=device-not-allowed session=$id .*device=0000:00:08.0 process=$child text=\"device 0000:00:08.0 .*policy \\\\\"domains"
plugged_are "it is the session's" '["0000:00:05.0","0000:00:07.0"]'
is "what was denied" "$(shown "$id" .denied)" 1
told "nobody else's" 'refused device-busy' reserve 1000 uid=1000 domain=db-2 -- vm 1M 0000:00:07.0
kill -TERM "$child"
child_wait '^close-device 1: ok'
log_wait "unplugged: session=$id .*device=0000:00:07.0"
plugged_are "unplugged" '["0000:00:05.0"]'
told "it is free" 'reserved [0-9a-f]+ vm-2' reserve 600000 uid=1000 domain=db-1 -- vm 32M 0000:00:07.0
told "given back" 'ok pending' close "$(cut -d' ' -f2 <<<"$answer")"
child_end
log_wait "ended: session=$id "

told "its connection" 'listed 0' list
broker_fds_are "after all of that" "$fds"

# Plugged in, and closed while there is no daemon; then nothing is plugged in.
reserve "for one more" 600000 0000:00:05.0
opens_more bind 0 bind 1 hold close-device 1 bind 2 hold
child_wait ^ready
log_wait "plugged: session=$id "
kill -9 "$daemon"
wait "$daemon" || true
kill -TERM "$child"
child_wait '^bind 2: EPERM'
broker_start
log_wait "unplugged: session=$id .*device=0000:00:07.0"
plugged_are "closed meanwhile" '["0000:00:05.0"]'
child_end
log_wait "ended: session=$id "
is "that is all of it" "$("$pinbroker" list --json)" '[]'
told "its connection is gone" 'failed ECONNRESET' list

# Where others map without the gate, what was mapped before the first BIND counts: with more than the
# limits nothing is bound or added until there is less.
ulimit -l 1048576 # as libvirt would
sed -i 's/^unmanaged = .*/unmanaged = "allow"/' "$config"
kill -HUP "$daemon"
log_wait ": loaded $config"
reserve "for one that comes full" 600000 0000:00:05.0
opens 1 0000:00:05.0 1000 map $((64 * mib)) map 8192 bind 0 attach 0 map 4096 unmap bind 0 attach 0 hold
child_wait ^ready
is "with more bytes" "$(sed 's/ [a-z]*=[^ ]*//g' "$tmp/child" | tr '\n' ' ')" \
	"map 67108864: ok map 8192: ok bind 0: ENOMEM attach 0: ENOMEM map 4096: ENOMEM unmap: ok bind 0: ok attach 0: ok ready "
is "what counts" "$(shown "$id" '[.state, .mapped_bytes, .mappings, .denied]')" "[\"active\",$((64 * mib)),1,3]"
child_end
log_wait "ended: session=$id "
reserve "for one with many" 600000 0000:00:05.0
opens 1 0000:00:05.0 1000 map-many 11x4096 bind 0 unmap bind 0 hold
child_wait ^ready
is "with more mappings" "$(grep -o 'bind 0: [^ ]*' "$tmp/child" | tr '\n' ' ')" "bind 0: ENOSPC bind 0: ok "
child_end
log_wait "ended: session=$id "

# A thread that was inside already maps past the gate: it is found without one more ioctl.
sysctl -q vm.unprivileged_userfaultfd=1
reserve "for one that is late" 600000 0000:00:05.0
opens 1 0000:00:05.0 1000 late $((128 * mib)) bind 0 alloc-ioas hold arrive hold
child_wait ^ready
like "what it did" "$(<"$tmp/child")" $'late 134217728: ok\nbind 0: ok.*\nalloc-ioas: ok'
until [[ $(shown "$id" .exact) = true ]]; do :; done # nobody looks any more
kill -TERM "$child"
log_wait "poisoned: session=$id "
log_wait "ended: session=$id "
child_end

# A daemon that is killed: what is reserved waits on, and is taken also while there is none.
reserve "before a kill" 600000 0000:00:05.0 0000:00:06.0
kill -9 "$daemon"
wait "$daemon" || true
broker_start
is "it waits for the next daemon" "$(shown "$id" .state)" '"pending"'
kill -9 "$daemon"
wait "$daemon" || true
opens 1 0000:00:06.0 1000 bind 0 attach 0 map $((64 * mib)) map 4096 hold
child_wait ^ready
like "limits hold without a daemon" "$(<"$tmp/child")" $'map 67108864: ok.*\nmap 4096: ENOMEM'
broker_start
is "the next one knows" "$(shown "$id" '[.state, .pid, .mapped_bytes, .denied]')" \
	"[\"active\",0,$((64 * mib)),1]"
exits "adopted" 0 "$pinbroker" adopt "$id" "$child"
is "as if it had been handed out" "$(shown "$id" '[.state, .pid]')" "[\"active\",$child]"
kill -9 "$child"
child_end
log_wait "ended: session=$id "

exec {to_manager}>&-
wait "$manager_pid"
is "pages left pinned" "$(pins)" 0
broker_stop
