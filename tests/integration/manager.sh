#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# Sessions for other processes: a manager opens, a guest adopts, devices are added, limits change
# while it runs; and nobody may do any of it to a session that is none of his business.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
host-reserve = 0
max-requests = 0
policy "guests" {
	users = {"1000"}
	accounting = "any"
	limit = "64M"
	user-limit = "256M"
	devices = {"0000:0[01]:0[1-8].0"}
	admins = {"root", "1002"}
}
policy "domains" {
	domains = {"db-*"}
	accounting = "task"
	limit = "32M"
	admins = {"1002"}
}
policy "nosy" { users = {"1003"} accounting = "task" limit = "1M" devices = {"0000:01:*"} }
policy "others" { users = {"1001", "1002"} accounting = "task" limit = "64M" }
C
for device in 0000:00:05.0 0000:00:06.0 0000:00:08.0 0000:01:01.0 0000:01:02.0; do to_vfio "$device"; done
broker_start
fds=$(broker_fds)
mib=$((1 << 20))

# What a guest says goes to a file of its own.
cat >"$tmp/guest" <<'G'
#!/bin/bash
exec >>"$1" 2>&1
shift
exec "$@"
G
chmod 755 "$tmp/guest"
: >"$tmp/said"
chmod 666 "$tmp/said"

coproc manager { exec "$here/tests/manager"; }
# shellcheck disable=SC2154 # coproc sets it
manager_pid=$manager_PID to_manager=${manager[1]}
# tell COMMAND...: to the manager; its answer is $answer.
tell() {
	echo "$*" >&"$to_manager"
	read -r -t 60 -u "${manager[0]}" answer || fail "the manager does not answer to '$*'"
}
# told WHAT PATTERN COMMAND...: as tell; the answer is like that.
told() {
	tell "${@:3}"
	like "$1" "$answer" "^$2\$"
}
# spawn CMD...: a guest of uid 1000; its pid is $guest.
spawn() {
	told "spawn" 'spawned [0-9]+' spawn 1000 "$tmp/guest" "$tmp/said" "$@"
	guest=${answer#spawned }
}
# go_on PATTERN: lets the guest do the next thing, until it says so.
go_on() {
	kill -TERM "$guest"
	said_wait "$1"
}
said_wait() {
	file_wait "$tmp/said" "$1" || fail "the guest never said '$1': $(cat "$tmp/said")"
}
shown() { "$pinbroker" show "$1" --json | jq -c "$2"; }
user() { as 1000 "$pinbroker" "$@"; }

# The manager opens for another and keeps its own limit, whatever that is.
before=$(memlock "$manager_pid")
told "open for uid 1000" 'granted [0-9a-f]+ vm' open-for uid=1000 -- vm 32M 0000:00:05.0
id=$(cut -d' ' -f2 <<<"$answer")
is "its owner and user" "$(shown "$id" '[.pid, .uid, .policy]')" "[$manager_pid,1000,\"guests\"]"
is "the manager's limit" "$(memlock "$manager_pid")" "$before"

# The guest adopts: its limit, and no longer the manager's.
spawn "$vmm" "{iommufd}" "{device:0}" get-mode hold bind 0 attach 0 map 67108864 map 4096 hold
said_wait ^ready
original=$before # what it inherits; since its first ioctl it has a limit as a payer
told "adopt" 'ok active' adopt "$id" "$guest"
is "its limit" "$(memlock "$guest")" "$((64 * mib)) $((64 * mib))"
is "the owner now" "$(shown "$id" .pid)" "$guest"
go_on 'map 4096: ENOMEM'
like "it maps up to its limit" "$(cat "$tmp/said")" $'\nmap 67108864: ok'
tell drop

# A second device, and limits up and down while it runs.
told "attach" 'ok active' attach "$id" 0000:00:06.0
is "its devices" "$(shown "$id" .devices)" '["0000:00:05.0","0000:00:06.0"]'
refused "a device it has" device-busy "$pinbroker" attach "$id" 0000:00:06.0 -- true
refused "a device of no policy" device-not-allowed "$pinbroker" attach "$id" 0000:00:1f.0 -- true
refused "a device that is not there" device-not-found "$pinbroker" attach "$id" 0000:00:04.0 -- true
exits "lowered" 0 "$pinbroker" set "$id" limit=16M max-mappings=100
is "its limit, lowered" "$(memlock "$guest")" "$((16 * mib)) $((16 * mib))"
is "what is shown" "$(shown "$id" '[.limit_bytes, .max_mappings]')" "[$((16 * mib)),100]"
exits "raised" 0 "$pinbroker" set "$id" limit=128M max-mappings=unlimited
is "its limit, raised" "$(memlock "$guest")" "$((128 * mib)) $((128 * mib))"
refused "beyond the user's sum" user-limit "$pinbroker" set "$id" limit=257M
exits "up to the user's sum" 0 "$pinbroker" set "$id" limit=256M
exits "and back" 0 "$pinbroker" set "$id" limit=128M
exits "no such key" 64 "$pinbroker" set "$id" colour=blue

# Its own user, neither root nor an admin, adds one to it: one that his policy has.
refused "a device of no policy, by its user" device-not-allowed user attach "$id" 0000:00:1f.0 -- true
exits "attached by its user" 0 user attach "$id" 0000:00:08.0 -- readlink "/proc/self/fd/{device:0}"
like "its descriptor" "$out" '^/dev/vfio/devices/vfio[0-9]+$'
is "its devices by then" "$(shown "$id" .devices)" '["0000:00:05.0","0000:00:06.0","0000:00:08.0"]'
refused "which nobody else gets" device-busy as 1000 "$pinbroker" run --device 0000:00:08.0 -- true

# An ordinary user: nothing of another's session, and of its own only downwards.
for command in "set $id limit=1M" "attach $id 0000:01:01.0 -- true" "close $id" "revoke $id" \
	"revoke $id --kill" "adopt $id $$" "show $id"; do
	# shellcheck disable=SC2086 # words
	exits "uid 1001: $command" 66 as 1001 "$pinbroker" $command
done
refused "raised by its user" not-permitted user set "$id" limit=129M
refused "mappings raised by its user" not-permitted user set "$id" limit=1M max-mappings=unlimited max-objects=5000
refused "adopted by its user" not-permitted user adopt "$id" $$
refused "revoked by its user" not-permitted user revoke "$id"
is "nothing of that was done" "$(shown "$id" '[.limit_bytes, .state]')" "[$((128 * mib)),\"active\"]"
exits "lowered by its user" 0 user set "$id" limit=100M
is "its limit, lowered by its user" "$(memlock "$guest")" "$((100 * mib)) $((100 * mib))"

# Who cannot adopt: one of another user, one with CAP_IPC_LOCK, one that is gone.
sleep 1000 & other=$!
refused "one with CAP_IPC_LOCK" capable-owner "$pinbroker" adopt "$id" "$other"
kill "$other"; wait "$other" || true
background as 1001 sleep 1000
until [[ $(awk '/^Uid/ {print $2}' "/proc/$child/status") == 1001 ]]; do :; done
refused "one of another user" not-permitted "$pinbroker" adopt "$id" "$child"
kill "$child"; child_end

# A user who lowers a limit has not unmapped anything: the share stays. Root may say otherwise.
sums() { "$pinbroker" status --json | jq -c '[.users[] | select(.uid == 1000)][0].sum_bytes'; }
is "the share after that" "$(sums)" $((128 * mib))
exits "lowered by its user to nothing" 0 user set "$id" limit=1
is "the share" "$(sums)" $((128 * mib))
exits "raised by root" 0 "$pinbroker" set "$id" limit=100M
is "the share by root's word" "$(sums)" $((100 * mib))

# An admin who is not root: his own policies' subjects only, and not with root's manager.
refused "no admin of that policy" not-permitted as 1002 "$pinbroker" explain --uid 1001
exits "an admin" 0 as 1002 "$pinbroker" explain --uid 1000
exits "an admin lowers" 0 as 1002 "$pinbroker" set "$id" limit=64M
told "a domain" 'granted [0-9a-f]+ vm' open-for uid=1003 domain=db-1 -- vm 16M
held=$(cut -d' ' -f2 <<<"$answer")
refused "an admin and root's manager" not-permitted as 1002 "$pinbroker" revoke "$held" --kill
is "which lives" "$(shown "$held" .state)" '"idle"'
exits "an admin closes" 0 as 1002 "$pinbroker" close "$held"
told "another domain" 'refused no-policy' open-for uid=1005 domain=web-1 -- vm 16M

# What an admin says of a process does not make it his: one of a user that no policy of his lists.
background as 4444 sleep 1000
until [[ $(awk '/^Uid/ {print $2}' "/proc/$child/status") == 4444 ]]; do :; done
original_of_4444=$(memlock "$child")
is "another user's process by a domain" \
	"$(echo "open-for pid=$child domain=db-1 -- vm 16M" | as 1002 "$here/tests/manager")" "refused not-permitted"
is "another user by a domain" \
	"$(echo "open-for uid=4444 domain=db-1 -- vm 16M" | as 1002 "$here/tests/manager")" "refused not-permitted"
is "its limit" "$(memlock "$child")" "$original_of_4444"
told "a domain of that user" 'granted [0-9a-f]+ vm' open-for uid=4444 domain=db-1 -- vm 16M
lent=$(cut -d' ' -f2 <<<"$answer")
refused "to its process, by an admin" not-permitted as 1002 "$pinbroker" adopt "$lent" "$child"
exits "to its process, by root" 0 "$pinbroker" adopt "$lent" "$child"
refused "a device for another of that uid" not-permitted as 4444 "$pinbroker" attach "$lent" 0000:01:01.0 -- true
# It lowers its own hard limit; from whom a session is taken that does not help.
as 4444 prlimit --pid "$child" --memlock=$((32 * mib - 4096)):$((32 * mib - 4096))
exits "taken from it" 0 "$pinbroker" revoke "$lent"
is "its limit is the original" "$(memlock "$child")" "$original_of_4444"
kill "$child"; child_end
log_wait "orphaned: session=$lent " # the manager has its descriptors
is "an orphan" "$(shown "$lent" .state)" '"revoked"'
tell drop
log_wait "ended: session=$lent "

# The IOMMU group is the unit: the neighbour is busy for others, and free for its own session.
told "one of a group" 'granted [0-9a-f]+ vm-2' open-for uid=1000 -- vm 16M 0000:01:01.0
grouped=$(cut -d' ' -f2 <<<"$answer")
refused "its neighbour, for another" device-busy "$pinbroker" attach "$id" 0000:01:02.0 -- true
like "the sentence" "$err" "shares IOMMU group [0-9]+ with 0000:01:01.0, which session $grouped has"
refused "its neighbour, for a stranger" device-busy as 1003 "$pinbroker" run --device 0000:01:02.0 -- true
like "which learns no id" "$err" "with one that another user's session has"
told "its neighbour, for itself" 'ok active' attach "$grouped" 0000:01:02.0
tell close "$grouped"
told "nothing for what was closed" 'refused bad-request' attach "$grouped" 0000:00:07.0

# Closed while it lives: the limit goes back at once; share and devices stay as long as it does.
exits "closed by its user" 0 user close "$id"
is "its limit is the original" "$(memlock "$guest")" "$original"
is "its state" "$(shown "$id" .state)" '"revoked"'
refused "nothing can be set" bad-request "$pinbroker" set "$id" limit=1M
refused "its device stays with it" device-busy as 1000 "$pinbroker" run --device 0000:00:05.0 -- true
exits "closed twice" 0 user close "$id"
is "its share" "$("$pinbroker" status --json | jq -c '[.users[] | select(.uid == 1000)][0] | [.policy, .sessions, .sum_bytes]')" \
	"[\"guests\",2,$((164 * mib))]"
exits "revoked and killed" 0 "$pinbroker" revoke "$id" --kill
log_wait "ended: session=$id "
exits "it is gone" 66 "$pinbroker" show "$id"

# A process by its pid, which is subject and owner at once; then nobody is left.
spawn sleep 1000
until [[ $(tr '\0' ' ' <"/proc/$guest/cmdline") == "sleep 1000 " ]]; do :; done
told "for a process" 'granted [0-9a-f]+ vm' open-for pid="$guest" -- vm 16M
is "its limit" "$(memlock "$guest")" "$((64 * mib)) $((64 * mib))"
told "a process and another uid" 'refused bad-request' open-for uid=1001 pid="$guest" -- vm 16M
kill "$guest"
exec {to_manager}>&-
wait "$manager_pid"
log_wait 'ended: ' 5
is "after all" "$("$pinbroker" list --json)" '[]'
broker_settle
is "descriptors of the daemon" "$(broker_fds)" "$fds"
broker_stop
