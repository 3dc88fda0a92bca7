#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# Contexts of iommufd that nobody here handed out: with unmanaged = allow they map what they like;
# with limit no more than their limit, which the kernel keeps whether the daemon lives or not.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

chmod 666 /dev/iommu
mib=$((1 << 20))
declare -A pids=() inputs=() holds=()

policies='policy "vms" { users = {"1000"} accounting = "any" limit = "32M" max-mappings = 3 max-objects = 2 }
policy "auto" { users = {"1003"} accounting = "any" limit = "auto" user-limit = "1G" max-objects = 2 }'

# rule UNMANAGED: with a limit of 64 MiB.
rule() {
	printf 'unmanaged = "%s"\nunmanaged-limit = "64M"\n%s\n' "$1" "$policies" >"$config"
}

reload() {
	rule "$1"
	kill -HUP "$daemon"
	((reloads += 1))
	log_wait ': loaded' "$reloads"
}

# own NAME UID OP...: a program with a context that it opened; each hold ends with a step. Returns
# with the first one.
own() {
	local name=$1 uid=$2 input

	shift 2
	mkfifo "$tmp/$name.in"
	: >"$tmp/$name"
	exec {input}<>"$tmp/$name.in" 9<>/dev/iommu
	setpriv --reuid "$uid" --regid "$uid" --clear-groups "$vmm" 9 "$@" hold <"$tmp/$name.in" >"$tmp/$name" 2>&1 {input}<&- &
	pids[$name]=$!
	inputs[$name]=$input
	holds[$name]=1
	exec 9<&-
	file_wait "$tmp/$name" ^ready || fail "$name never was ready"
}

# step NAME: up to its next hold; the last one ends it.
step() {
	echo >&"${inputs[$1]}"
	holds[$1]=$((holds[$1] + 1))
	file_wait "$tmp/$1" ^ready "${holds[$1]}" || fail "$1 went no further than $(cat "$tmp/$1")"
}

# over NAME...: each has ended, and the kernel has released what it had.
over() {
	local name input

	for name; do
		input=${inputs[$name]}
		echo >&"$input"
		wait "${pids[$name]}" || true
		exec {input}<&-
	done
}

# said NAME: what it did, without the figures that differ, in one line.
said() {
	sed 's/ [a-z]*=.*//' "$tmp/$1" | grep -v -e ^ready -e ^hold | tr '\n' ' ' | sed 's/ $//'
}

# listed FILTER [UID]: of what a user sees, in order.
listed() {
	setpriv --reuid "${2:-0}" --regid "${2:-0}" --clear-groups "$pinbroker" list --json | jq -c "$1"
}

# id_of NAME: by the process that has it.
id_of() {
	"$pinbroker" list --json | jq -r ".[] | select(.pid == ${pids[$1]}) | .id"
}

# figures NAME
figures() {
	"$pinbroker" show "$(id_of "$1")" --json |
		jq -c "[.state, .policy, .uid, .limit_bytes, .mapped_bytes, .mappings, .denied]"
}

# One from before any daemon, which goes on under it.
own before 1001 alloc-ioas map 40M hold map 40M map 16M

# Allowed: the attack.
reloads=0
rule allow
broker_start
is "the level" "$("$pinbroker" status --json | jq -r .gate)" exact
own attack 1001 alloc-ioas map 80M map 80M
is "without a rule anybody maps anything" "$(said attack)" "alloc-ioas: ok map 80M: ok map 80M: ok"
is "and nobody is told" "$(listed .)" '[]'
over attack

# Limited, and honest up to the limit.
reload limit
own honest 1001 alloc-ioas map 32M map 32M map 4K unmap map 32M mock ioctl 0x66
like "up to the limit, and no further" "$(said honest)" \
	'^alloc-ioas: ok map 32M: ok map 32M: ok map 4K: ENOMEM unmap: ok map 32M: ok mock: ENOTTY ioctl 0x66: ENOTTY$'
is "its figures" "$(figures honest)" "[\"unmanaged\",null,1001,$((64 * mib)),$((64 * mib)),2,3]"
log_wait "unmanaged: session=$(id_of honest) uid=1001 pid=${pids[honest]} "
step before
is "what was mapped before counts" "$(said before)" "alloc-ioas: ok map 40M: ok map 40M: ENOMEM map 16M: ok"
is "and is seen" "$(figures before)" "[\"unmanaged\",null,1001,$((64 * mib)),$((56 * mib)),2,1]"
is "nothing of it is in a sum" "$("$pinbroker" status --json | jq -c '[.sessions, .host_sum_bytes]')" "[0,0]"

# Its policy's limits, where one matches.
own vm 1000 alloc-ioas map 1M hold map 32M map 16M map 1M map 1M alloc-ioas alloc-ioas
log_wait "unmanaged: session=$(id_of vm) policy=vms uid=1000 "
step vm
is "the policy's limits" "$(said vm)" \
	"alloc-ioas: ok map 1M: ok map 32M: ENOMEM map 16M: ok map 1M: ok map 1M: ENOSPC alloc-ioas: ok alloc-ioas: ENOSPC"
is "which are told" "$(figures vm)" "[\"unmanaged\",\"vms\",1000,$((32 * mib)),$((18 * mib)),3,3]"
own auto 1003 alloc-ioas
log_wait "policy=auto"
is "what a policy leaves to requests stays" "$(figures auto | jq -c '.[1,3]')" $'"auto"\n'$((64 * mib))

# Who sees it and may do what.
vm=$(id_of vm)
is "its user sees its own" "$(listed '[.[].id]' 1000)" "[\"$vm\"]"
is "others see theirs" "$(listed '[.[].uid] | unique' 1001)" '[1001]'
exits "another's is none" 66 as 1001 "$pinbroker" show "$vm"
exits "its user may look" 0 as 1000 "$pinbroker" show "$vm"
refused "but not set it" not-permitted as 1000 "$pinbroker" set "$vm" limit=1G
refused "nor revoke it" not-permitted as 1000 "$pinbroker" revoke "$vm"
refused "nobody closes it" not-permitted "$pinbroker" close "$vm"
exits "root sets it" 0 "$pinbroker" set "$vm" limit=20M max-mappings=9
is "as it says" "$("$pinbroker" show "$vm" --json | jq -c '[.limit_bytes, .max_mappings, .state]')" "[$((20 * mib)),9,\"unmanaged\"]"

# Without a daemon the kernel goes on, and takes in more.
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
own orphan 1001 alloc-ioas map 60M map 8M
is "while no daemon runs" "$(said orphan)" "alloc-ioas: ok map 60M: ok map 8M: ENOMEM"
own gone 1001 alloc-ioas
over gone auto
broker_start
reloads=0
is "with the same id, limit and figures" "$(figures vm)" "[\"unmanaged\",\"vms\",1000,$((20 * mib)),$((18 * mib)),3,3]"
is "id" "$(id_of vm)" "$vm"
is "who came meanwhile" "$(figures orphan)" "[\"unmanaged\",null,1001,$((64 * mib)),$((60 * mib)),1,1]"
is "who went meanwhile" "$(listed '[.[].uid] | sort')" '[1000,1001,1001,1001]'
is "no id twice" "$(listed '[.[].id] | length - (unique | length)')" 0

# Revoked, and killed.
exits "root revokes it" 0 "$pinbroker" revoke "$vm"
is "its state" "$(figures vm | jq -r '.[0]')" revoked
exits "and kills who has it" 0 "$pinbroker" revoke "$vm" --kill
wait "${pids[vm]}" || status=$?
is "its end" "${status:-0}" 137
until [[ $(listed '[.[].uid] | unique') == '[1001]' ]]; do :; done

# Who races is killed, and whoever has it besides.
sysctl -q vm.unprivileged_userfaultfd=1
exec 9<>/dev/iommu
setpriv --reuid 1001 --regid 1001 --clear-groups sleep infinity &
beside=$!
as 1001 env PINBROKER_IOMMUFD=9 "$here/tests/gate" swap --mode sleep </dev/null >"$tmp/out" 2>&1 || true
like "a racer" "$(cat "$tmp/out")" 'killed 1'
status=0
wait "$beside" || status=$?
is "who has it besides" "$status" 137
log_wait 'poisoned: session=[0-9a-f]* uid=1001 '
is "its state" "$("$pinbroker" list --json | jq -r 'max_by(.id).state')" poisoned
exec 9<&-

# If he was the last, that is told all the same.
kill -STOP "$daemon"
exec 9<>/dev/iommu
as 1001 env PINBROKER_IOMMUFD=9 "$here/tests/gate" swap --mode sleep </dev/null >"$tmp/out" 2>&1 || true
like "a racer, and nobody hears of it" "$(cat "$tmp/out")" 'killed 1'
exec 9<&-
kill -CONT "$daemon"
log_wait 'poisoned: session=[0-9a-f]* .*the kernel has released all of it'

# A hunt is for one context: whoever gets its slot is left alone, though a daemon that was killed has
# marked it for processes of the same user.
exec 9<>/dev/iommu
as 1001 "$vmm" 9 alloc-ioas >"$tmp/out"
hunted=$("$pinbroker" list --json | jq -r 'max_by(.id).id')
exits "nobody is left to be killed" 0 "$pinbroker" revoke "$hunted" --kill
log_wait "process $$ of uid 0 has a descriptor of session $hunted of uid 1001: it is not killed"
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
exec 9<&-
exec 9<>/dev/iommu
# shellcheck disable=SC2016 # for the shell that forks
fork='"$0" 9 map 4K alloc-ioas; (exit 7); echo "child: $?"'
like "who has its slot forks" "$(as 1001 bash -c "$fork" "$vmm")" $'alloc-ioas: ok[^\n]*\nchild: 7'
broker_start
reloads=0
next=$("$pinbroker" list --json | jq -r 'max_by(.id).id')
is "the slot" "${next: -2}" "${hunted: -2}"
[[ $next != "$hunted" ]] || fail "it has the same id"
like "and forks, with a daemon" "$(as 1001 bash -c "$fork" "$vmm")" $'alloc-ioas: ok[^\n]*\nchild: 7'
exec 9<&-

# A reload: those that are in stay limited, others are free; deny is for all.
own stays 1001 alloc-ioas map 60M hold map 8M hold map 1M unmap
reload allow
own free 1001 alloc-ioas map 80M
is "not limited" "$(said free)" "alloc-ioas: ok map 80M: ok"
step stays
reload deny
step stays
is "limited, then denied" "$(said stays)" "alloc-ioas: ok map 60M: ok map 8M: ENOMEM map 1M: EPERM unmap: ok"
over stays free before honest orphan
until [[ $(listed .) == '[]' ]]; do :; done

# take UID: contexts that are used in its name until one is refused, which the caller keeps; $taken
# are more than before.
contexts=()
take() {
	local context said

	taken=0
	while exec {context}<>/dev/iommu; do
		said=$(as "$1" "$vmm" "$context" alloc-ioas)
		[[ $said == "alloc-ioas: ok"* ]] || break
		contexts+=("$context")
		taken=$((taken + 1))
	done
	exec {context}<&-
	like "what $1 was told at last" "$said" '^alloc-ioas: ENOSPC'
}

# One user takes all that it can get: another has a slot all the same, as long as there are users
# with fewer than are free.
reload limit
own late 1010 hold alloc-ioas hold alloc-ioas # before there is anything that it could inherit
take 1001
is "slots of one user" "$taken" 128
log_wait 'no slot is left for user 1001, who has 128 of 256 .*; 128 are free'
for ((uid = 1002; uid < 1010; uid++)); do take "$uid"; done
is "all of them" "$(listed length)" 256
is "each user's" "$(listed 'group_by(.uid) | map(length)')" "[128,64,32,16,8,4,2,1,1]"
is "no id twice" "$(listed '[.[].id] | unique | length')" 256

# None is left: those are refused, others go on.
step late
is "one more" "$(said late)" "alloc-ioas: ENOSPC"
"$vmm" "${contexts[7]}" alloc-ioas map 1M >"$tmp/out"
like "those that are in go on" "$(cat "$tmp/out")" $'alloc-ioas: ok[^\n]*\nmap 1M: ok'
out=$(as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas map 1M)
like "and so do sessions" "$out" 'map 1M: ok'
context=${contexts[9]}
exec {context}<&-
step late
is "a slot that is free is somebody else's" "$(said late)" "alloc-ioas: ENOSPC alloc-ioas: ok"
over late
for context in "${contexts[@]}"; do
	exec {context}<&-
done
until [[ $(listed .) == '[]' ]]; do :; done

# Several at once, who are one user.
exec {ended}<> <(:)
: >"$tmp/takers"
for ((i = 0; i < 4; i++)); do
	(
		contexts=()
		take 1001
		echo ready >>"$tmp/takers"
		read -r <&"$ended"
		exit "$failures"
	) &
	takers[i]=$!
done
file_wait "$tmp/takers" ready 4 120 || fail "they never ended"
n=$(listed length)
((n <= 128 && n > 120)) || fail "one user has $n slots"
for taker in "${takers[@]}"; do echo >&"$ended"; done
for taker in "${takers[@]}"; do wait "$taker" || failures=$((failures + 1)); done
until [[ $(listed .) == '[]' ]]; do :; done
broker_stop
