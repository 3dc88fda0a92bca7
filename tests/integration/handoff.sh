#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: TMO=900
# Sessions that are handed off at a socket, to receivers in Go that do what KubeVirt's does: the right
# one gets a context that works, and nobody else anything; what nobody comes for ends; and neither a
# broker nor a client that is killed loses the hand-off.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

receiver=$here/tests/receiver
[[ -x $receiver ]] || { echo "no $receiver: make vm-test builds it, with golang-go"; exit 4; }
mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cgroups=/sys/fs/cgroup
mkdir -p $cgroups/pods/pod1/compute $cgroups/pods/pod10
cat >"$config" <<'C'
policy "pods" {
	cgroups = {"/pods"} users = {"1000"} accounting = "any" limit = "64M" user-limit = "100M"
	devices = {"0000:00:05.0"}
}
C
mib=$((1 << 20)) at=$tmp/iommufd.sock
broker_start
to_vfio 0000:00:05.0
exact=$([[ $("$pinbroker" status --json | jq -r .gate) != exact ]] || echo 1)

shown() { "$pinbroker" show "$1" --json | jq -c "$2"; }

# offer OPTION...: hands a session off; its id is $id, the client $offer.
offer() {
	: >"$tmp/offer"
	"$pinbroker" handoff --listen "$at" --uid 1000 --cgroup /pods/pod1 --memory 32M "$@" \
		>"$tmp/offer" 2>&1 </dev/null 7>&- 8>&- 9>&- &
	offer=$!
	file_wait "$tmp/offer" '^[0-9a-f]+$' || fail "nothing is offered: $(cat "$tmp/offer")"
	id=$(head -n 1 "$tmp/offer")
}
# offer_ends WHAT STATUS [PATTERN]: and says that.
offer_ends() {
	local status=0

	wait "$offer" || status=$?
	is "$1: the client" "$status" "$2"
	like "$1: it says" "$(sed 1d "$tmp/offer")" "${3:-^$}"
}

# What a pod runs: in a cgroup, as a user. Its process is the shell's.
# shellcheck disable=SC2016 # that shell expands it
pod=(bash -c 'echo $$ >"/sys/fs/cgroup$0/cgroup.procs" &&
	exec setpriv --reuid "$1" --regid "$1" --clear-groups "${@:2}"')
# in_pod CGROUP UID MODE BYTES: a receiver, until it has nothing more to do; what it says is $said.
in_pod() {
	said=$("${pod[@]}" "$1" "$2" "$receiver" "$at" "$3" "$4" </dev/null 2>&1 | tr '\n' ' ')
}
# pod_begin CGROUP MODE BYTES: one that goes on, as $child.
pod_begin() { background "${pod[@]}" "$1" 1000 "$receiver" "$at" "$2" "$3" 9>&-; }
got="connect: ok got 1 bytes, 1 descriptors receive: ok answer: ok end after 0 bytes: ok alloc-ioas: ok map: ok"
says() { tr '\n' ' ' <"$tmp/child" | sed 's/ ready *$//'; }

broker_settle
fds=$(broker_fds)

# The first of the right ones.
offer --name vm --device 0000:00:05.0
is "what is offered" "$(shown "$id" '[.name, .policy, .uid, .pid, .accounting, .limit_bytes, .state, .devices]')" \
	"[\"vm\",\"pods\",1000,0,\"task\",$((64 * mib)),\"pending\",[\"0000:00:05.0\"]]"
is "whose the socket is" "$(stat -c '%u %a' "$at")" "1000 600"
ln "$at" "$at.too" # the client removes the other
pod_begin /pods/pod1/compute ack $((64 * mib))
child_wait ^ready
is "the right one" "$(says)" "$got"
offer_ends "picked up" 0
is "it is the owner" "$(shown "$id" '[.pid, .state]')" "[$child,\"active\"]"
is "its limit" "$(memlock "$child")" "$((64 * mib)) $((64 * mib))"
[[ ! $exact ]] || is "what it has mapped" "$(shown "$id" .mapped_bytes)" $((64 * mib))
log_wait "handed-off: session=$id .*receiver=$child "
log_wait "picked-up: session=$id "
[[ ! -e $at ]] || fail "the socket's file is still there"
mv "$at.too" "$at"
in_pod /pods/pod1 1000 ack 4096
like "a second one" "$said" '^connect: .*connection refused'
rm "$at"
child_end
sessions_end
log_wait "ended: session=$id "

# The context has the session's limit, in either mode, and not more.
offer --accounting user
pod_begin /pods/pod1 ack $((64 * mib + 4096))
child_wait ^ready
like "beyond its limit" "$(says)" 'alloc-ioas: ok map: cannot allocate memory$'
is "in user mode" "$(shown "$id" .accounting)" '"user"'
offer_ends "in user mode" 0
child_end
sessions_end

# Others, before the right one.
offer --mode 0666
for wrong in "/pods/pod10 1000" "/pods 1000" "/ 1000" "/pods/pod1 1001" "/pods/pod1 0"; do
	in_pod "${wrong% *}" "${wrong#* }" ack 4096
	like "in $wrong" "$said" '^connect: ok receive: '
	[[ $said != *descriptors* ]] || fail "in $wrong: it got something: $said"
done
log_wait "turned-away: session=$id .*it is in cgroup /pods/pod10"
is "it waits on" "$(shown "$id" '[.pid, .state]')" '[0,"pending"]'
pod_begin /pods/pod1 ack 4096
child_wait ^ready
is "after the wrong ones" "$(says)" "$got"
offer_ends "after the wrong ones" 0
child_end
sessions_end

# Nobody.
offer --wait 1
[[ $(shown "$id" .state) = '"pending"' ]] || true # or it is over already
offer_ends "nobody came" 66 "^pinbroker: session $id ended before anybody came for it$"
log_wait "ended: session=$id .*nobody came for it in time"
is "nothing is left" "$("$pinbroker" list --json)" '[]'
is "nor of the share" "$("$pinbroker" status --json | jq .host_sum_bytes)" 0
[[ ! -e $at ]] || fail "nobody came, and the socket's file is still there"
broker_fds_are "before it is killed" "$fds"

# The broker is killed: who comes meanwhile waits, and the next broker has the socket of the client.
offer
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
pod_begin /pods/pod1 ack 4096
child_wait ^connect
is "without a broker" "$(says)" "connect: ok "
broker_start
child_wait ^ready
is "the next broker" "$(says)" "$got"
is "the same session" "$(shown "$id" '[.pid, .state]')" "[$child,\"active\"]"
offer_ends "the next broker" 0
# And once more, with the context picked up: nothing is handed off twice.
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
broker_start
is "picked up before a kill" "$(shown "$id" '[.pid, .state]')" "[$child,\"active\"]"
child_end
sessions_end

# The client does not take a session that was revoked meanwhile for one that is picked up.
offer
pod_begin /pods/pod1 silent 4096
child_wait ^ready
kill -STOP "$offer"
kill -KILL "$daemon"
wait "$daemon" 2>/dev/null || true
broker_start
is "nobody waits for its byte" "$(shown "$id" '[.pid, .state]')" "[$child,\"active\"]"
exits "revoked meanwhile" 0 "$pinbroker" revoke "$id"
kill -CONT "$offer"
offer_ends "revoked meanwhile" 66 "^pinbroker: session $id is revoked\$"
child_end
sessions_end

broker_settle
fds=$(broker_fds) # of this daemon

# So is the client: the broker goes on. Whom it does not hear of ends.
offer
"$pinbroker" list >/dev/null # it has the socket: it serves in order
kill -KILL "$offer"
wait "$offer" 2>/dev/null || true
pod_begin /pods/pod1 ack 4096
child_wait ^ready
is "without the client" "$(says)" "$got"
child_end
sessions_end
rm "$at"
offer
kill -TERM "$offer"
offer_ends "the client is stopped" 143
sessions_end
[[ ! -e $at ]] || fail "the client is stopped, and the socket's file is still there"
offer
exits "given up" 0 "$pinbroker" close "$id"
offer_ends "given up" 66 "ended before anybody came for it"

# One that does not say that it has it: nothing new is mapped.
offer
pod_begin /pods/pod1 silent 4096
child_wait ^ready
like "a silent one" "$(says)" 'got 1 bytes, 1 descriptors receive: ok alloc-ioas: ok'
log_wait "unacknowledged: session=$id .*sent no byte in time"
is "its session" "$(shown "$id" .state)" '"revoked"'
offer_ends "a silent one" 66 "is revoked: who came for it did not say that it has it"
child_end
sessions_end

# What cannot be.
offer
refused "the sums" user-limit "$pinbroker" handoff --listen "$at.2" --uid 1000 --cgroup /pods/pod1
exits "somebody listens there" 70 "$pinbroker" handoff --listen "$at" --uid 1000 --cgroup /pods/pod1
like "which it says" "$err" "cannot listen at $at: somebody listens there"
kill "$offer"
offer_ends "stopped" 143
: >"$at"
exits "a file" 70 "$pinbroker" handoff --listen "$at" --uid 1000 --cgroup /pods/pod1
[[ -f $at ]] || fail "it removed a file"
rm "$at"
refused "another cgroup" no-policy "$pinbroker" handoff --listen "$at" --uid 1000 --cgroup /system
refused "another user" no-policy "$pinbroker" handoff --listen "$at" --uid 1001 --cgroup /pods/pod1
mkdir -m 777 "$tmp/open"
refused "not root" not-permitted as 1000 "$pinbroker" handoff --listen "$tmp/open/s" --uid 1000 --cgroup /pods/pod1
[[ ! -e $at && ! -e $tmp/open/s ]] || fail "refused, and the socket's file is there"
exits "no cgroup" 64 "$pinbroker" handoff --listen "$at" --uid 1000
exits "everybody's" 64 "$pinbroker" handoff --listen "$at" --uid 1000 --cgroup /
exits "no broker" 69 "$pinbroker" --socket "$tmp/none" handoff --listen "$at" --uid 1000 --cgroup /pods/pod1

sessions_end
broker_fds_are "after all of that" "$fds"
broker_stop

# A service manager that keeps the socket, too: nobody has to pass it again.
: >"$log"
mkfifo "$tmp/orders"
"$here/tests/store" "$socket" "$pinbrokerd" <"$tmp/orders" >"$tmp/store" 2>>"$log" &
store=$!
exec 9>"$tmp/orders"
echo start >&9
log_wait ': ready'
offer
file_wait "$tmp/store" "^stored pinbroker-handoff/$id\$" || fail "the socket is not kept"
kill -KILL "$offer"
wait "$offer" 2>/dev/null || true
echo kill >&9
file_wait "$tmp/store" '^ended' || fail "the daemon does not end"
pod_begin /pods/pod1 ack 4096
child_wait ^connect
echo start >&9
log_wait ': ready' 2
child_wait ^ready
is "kept" "$(says)" "$got"
is "kept: the same session" "$(shown "$id" '[.pid, .state]')" "[$child,\"active\"]"
file_wait "$tmp/store" "^removed pinbroker-handoff/$id\$" || fail "the socket is kept for ever"
child_end
sessions_end
exec 9>&-
status=0
wait "$store" || status=$?
is "exit status of the service manager" "$status" 0
