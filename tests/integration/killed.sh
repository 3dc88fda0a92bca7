#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# The daemon is killed between every two steps of what it is asked for, and started again, while
# the client lives on: then all of it was done, or nothing, limits and sums included. Something
# that hands out descriptors may only have been done if the client got them, or may have: the
# answer was on its way.
#
# Killed at entry and at exit of each system call from a request's arrival (recvmsg) until its
# answer is out and the next is awaited. Without SOAK=1 only of those calls by which something that
# can be seen from outside may change: with the record as it is just after such a change, and with
# all that was written to it before the next.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

calls=(recvmsg openat ioctl fallocate prlimit64 sendmsg)
[[ ! ${SOAK:-} ]] || calls=()
cat >"$config" <<'C'
max-requests = 0
policy "p" { users = {"1000"} accounting = "user" limit = "16M" devices = {"0000:00:0[5-8].0"} }
C
to_vfio 0000:00:05.0
to_vfio 0000:00:06.0

# The daemon, its killer and its log: one of each at a time.
killer='' killed=0
mkfifo "$tmp/killer.in" "$tmp/killer.out" "$tmp/log.pipe"
exec {killer_in}<>"$tmp/killer.in" {killer_out}<>"$tmp/killer.out" {log_pipe}<>"$tmp/log.pipe"

serve() {
	local line=

	"$here/tests/killer" "${calls[@]/#/-c}" "$pinbrokerd" \
		<&"$killer_in" >&"$killer_out" 2>&"$log_pipe" &
	daemon=$! killer=$!
	while [[ $line != *": ready"* ]]; do
		read -r -t 20 -u "$log_pipe" line || { echo "FAILED: no daemon"; exit 1; }
		echo "$line" >>"$log"
	done
}
# killer_says WHAT: its next line is $said.
killer_says() {
	read -r -t 20 -u "$killer_out" said || { echo "FAILED: no '$1' of the killer"; exit 1; }
}

# Managers, which keep a connection and what they are granted.
declare -A pid in out
# actor NAME UID: its limit is another than any that the daemon sets, soft and hard.
actor() {
	mkfifo "$tmp/$1.in" "$tmp/$1.out"
	exec {fd}<>"$tmp/$1.in"
	in[$1]=$fd
	exec {fd}<>"$tmp/$1.out"
	out[$1]=$fd
	rm "$tmp/$1.in" "$tmp/$1.out"
	prlimit --memlock=1048576:3145728 setpriv --reuid "$2" --regid "$2" --clear-groups \
		"$here/tests/manager" <&"${in[$1]}" >&"${out[$1]}" 2>/dev/null &
	pid[$1]=$!
	tell "$1" list # it is what it is to be by now
}
# told WHAT PATTERN ACTOR COMMAND...: the answer is $answer, and like that.
told() {
	tell "${@:3}"
	like "$1" "$answer" "^($2)\$"
}
tell() {
	echo "${@:2}" >&"${in[$1]}"
	read -r -t 20 -u "${out[$1]}" answer || { echo "FAILED: no answer to '$*'"; exit 1; }
}
# open NAME ACTOR [DEVICE]: the session is $id.
open() {
	told "$1" "granted [0-9a-f]+ $1" "$2" open "$1" 4M "${@:3}"
	id=${answer#granted } id=${id% *}
}
# Its sessions end with it.
dismiss() {
	kill -9 "${pid[$1]}"
	wait "${pid[$1]}" 2>/dev/null || true
	fd=${in[$1]}
	exec {fd}>&-
	fd=${out[$1]}
	exec {fd}>&-
	unset "pid[$1]"
}
# Its RLIMIT_MEMLOCK, soft/hard, as $memlock.
memlock() {
	local line words

	while read -r line; do
		[[ $line != "Max locked memory"* ]] || read -ra words <<<"$line"
	done <"/proc/${pid[$1]}/limits"
	memlock=${words[3]}/${words[4]}
}

# All that can be seen: sessions, sums, limits. Processes by name; with $makes, a session by none:
# each has its own id.
look() {
	local actor words word

	tell root look
	[[ $answer != *failed* ]] || tell root look # that was the daemon before
	read -ra words <<<"$answer"
	state=
	for word in "${words[@]}"; do
		case $word in
		id=*) [[ ! $makes ]] || word='id=' ;;
		pid=*) for actor in "${!pid[@]}"; do
			[[ $word != "pid=${pid[$actor]}" ]] || word="pid=$actor"
		done ;;
		esac
		state+="$word "
	done
	for actor in client sibling other; do
		[[ ${pid[$actor]:-} ]] || continue
		memlock "$actor"
		state+="| $actor $memlock "
	done
}
# As look, until it is what is wanted: the kernel's notice of an exit is on its way.
look_for() {
	local tries

	for ((tries = 0; tries < 100; tries++)); do
		look
		[[ $state != "$1" ]] || return 0
	done
	differs "what should be there again is not" "$1"
}
# differs WHAT WANTED: nothing after this would mean anything.
differs() {
	fail "$1: $(diff <(tr ' ' '\n' <<<"$2") <(tr ' ' '\n' <<<"$state"))"
	exit 1
}

# shot WHEN N ACTOR COMMAND...: asks for it with the killer armed; the answer is $got, what the
# killer says $said.
shot() {
	echo "$1 $2" >&"$killer_in"
	killer_says "armed"
	[[ $said == armed ]] || fail "the killer says '$said'"
	tell "${@:3}"
	got=$answer
	killer_says "killed"
	[[ $said != killed* ]] || {
		wait "$killer"
		killed=$((killed + 1))
		serve
	}
}

# judge WHAT: the state is the old one or the new one, and which is $now.
judge() {
	look
	now=new
	if [[ $state == "$old" ]]; then
		now=old
		[[ $got == failed* ]] || fail "$1, $said: undone, and the client has '$got'"
	elif [[ $state == "$new" ]]; then
		[[ ! $sends || $got != failed* || $said == *" sendmsg" ]] ||
			fail "$1, $said: done, and the client has nothing"
	else
		differs "$1, $said: neither old (which is compared) nor new" "$old"
	fi
}

# hunt WHAT UNDO ACTOR COMMAND...: kills at every step. UNDO is a function, @id the session. With
# $sends it hands out descriptors, with $makes it makes the session.
hunt() {
	local what=$1 undo=$2 when n old new now last began=$SECONDS before=$killed undone=0

	shift 2
	tell "$1" list # its connection may be to a daemon of before: a new one, then
	look
	old=$state
	shot entry 100000 "${@/@id/$id}"
	last=${said#unharmed }
	like "$what" "$got" '^(granted|ok) '
	look
	new=$state
	[[ $new != "$old" ]] || fail "$what: nothing to be seen"
	"$undo"
	look_for "$old"
	for when in entry exit; do
		for ((n = 1; n <= last; n++)); do
			shot "$when" "$n" "${@/@id/$id}"
			[[ $said == killed* ]] || fail "$what: at $when of call $n: $said"
			judge "$what"
			undone=$((undone + 1))
			[[ $now == new ]] || continue
			undone=$((undone - 1))
			"$undo"
			look_for "$old"
		done
	done
	[[ $undone != 0 ]] || fail "$what was never undone"
	echo "$what: killed $((killed - before)) times, undone $undone times, $((SECONDS - began)) s"
}

serve
actor root 0
actor sibling 1000
open sibling sibling
memlock sibling
is "the sibling's limit" "$memlock" 16777216/16777216
actor client 1000
sends=1 makes=1
new_client() {
	dismiss client
	actor client 1000
}
hunt "grant" new_client client open client 4M 0000:00:05.0

new_session() {
	new_client
	look_for "$empty"
	open client client 0000:00:05.0
}
look
empty=$state
open client client 0000:00:05.0
hunt "attach" new_session client attach @id 0000:00:06.0

sends='' makes=''
low() { told "lowered" 'ok active' root set "$id" limit=8M max-mappings=100; }
high() { told "raised" 'ok active' root set "$id" limit=16M max-mappings=200; }
low
hunt "raise" low root set @id limit=16M max-mappings=200
high
hunt "lower" high root set @id limit=8M max-mappings=100
actor other 1000
back() { told "back" 'ok active' root adopt "$id" "${pid[client]}"; }
hunt "adopt" back root adopt @id "${pid[other]}"
dismiss other
makes=1
new_session
hunt "close" new_session client close @id

# No limit was left as it was for want of knowing whose it is, nor anything else thrown away.
! grep -E 'somebody else|makes no sense' "$log" || fail "the daemon was at a loss"
kill "$killer" # and the daemon with it
wait "$killer" 2>/dev/null || true
daemon=
echo "killed $killed times in all"
