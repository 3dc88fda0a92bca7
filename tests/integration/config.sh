#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# A configuration is taken whole or not at all, and only from who may write it.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

good='policy "p" { users = {"1000"} accounting = "task" limit = "64M" }'
bad() { # bad WHAT LINE TEXT
	printf '%s' "$3" >"$config"
	exits "$1" 78 "$pinbrokerd" --check
	like "$1: where" "$err" "$config:$2: "
	exits "$1: as a daemon" 78 "$pinbrokerd"
}

bad "a file that ends inside a block" '[0-9]+' $'policy "p" {\n users = {"1000"}\n accounting = "task"\n limit = "1M"\n'
bad "an unknown key" 2 $'policy "p" {\n colour = "red"\n}\n'
bad "a bad size" 2 $'policy "p" { users = {"1000"} accounting = "task"\n limit = "64Q"\n}\n'
bad "a policy twice" 2 "$good"$'\n'"$good"$'\n'
printf '%s\n' "$good" >"$config"
exits "a good file" 0 "$pinbrokerd" --check

chmod 0664 "$config"
exits "group may write it" 78 "$pinbrokerd" --check
like "why" "$err" "$config"
chmod 0644 "$config"
chown 1000 "$config"
exits "somebody's own" 78 "$pinbrokerd" --check
chown 0 "$config"
cp "$config" "$tmp/own.conf"
chown 1000 "$tmp/own.conf"
exits "the caller's own is fine to check" 0 as 1000 "$pinbrokerd" --config "$tmp/own.conf" --check
exits "and to explain" 0 as 1000 "$pinbroker" explain --config "$tmp/own.conf" --memory 1M
exits "no such file" 78 "$pinbrokerd" --config /nonexistent --check
exits "no such option" 64 "$pinbrokerd" --nonsense
mkdir "${config%/*}/policy.d"
echo 'policy "q" { users = {"1001"} accounting = "task" limit = "1Q" }' >"${config%/*}/policy.d/10-q.conf"
exits "a bad drop-in" 78 "$pinbrokerd" --check
like "where" "$err" "policy.d/10-q.conf:1: "
rm "${config%/*}/policy.d/10-q.conf"

# A reload: a bad file changes nothing, a good one counts from now on and spares live sessions.
broker_start
background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" hold
child_wait ^ready
echo 'policy "p" { users = {' >"$config"
kill -HUP "$daemon"
log_wait "is not taken"
like "file and line" "$(cat "$log")" "$config:[0-9]+: "
exits "the old policy" 0 as 1000 "$pinbroker" run -- true
echo 'policy "r" { users = {"1000"} accounting = "task" limit = "32M" }' >"$config"
kill -HUP "$daemon"
log_wait "loaded $config"
is "the new policy, and the live session as it was" \
	"$(as 1000 "$pinbroker" run -- "$pinbroker" list --json | jq -c '[.[] | [.policy, .limit_bytes]]')" \
	'[["p",67108864],["r",33554432]]'
child_end
broker_stop
