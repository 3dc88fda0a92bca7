#!/bin/bash
# SPDX-License-Identifier: MIT
# An unprivileged process gets an iommufd in per-task mode and a device, maps up to its limit and
# not a page more, and is listed; afterwards nothing is left.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
policy "tenants" {
	users = {"1000"}
	accounting = "task"
	limit = "64M"
	devices = {"0000:00:05.0", "1234:11e8"}
}
C
to_vfio 0000:00:05.0
to_vfio 0000:00:06.0
broker_start
fds=$(broker_fds)

background as 1000 "$pinbroker" run --name guest --memory 32M --device 0000:00:05.0 -- \
	"$vmm" "{iommufd}" "{device:0}" get-mode set-mode 0 set-mode 1 bind 0 attach 0 \
	map 67108864 map 4096 unmap map 4096 status hold
child_wait ^ready
said=$(cat "$tmp/child")
like "OP_GET" "$said" $'(^|\n)get-mode: ok mode=1'
like "OP_SET 0" "$said" $'\nset-mode 0: EPERM'
like "OP_SET 1" "$said" $'\nset-mode 1: EPERM'
like "bind" "$said" $'\nbind 0: ok'
like "attach" "$said" $'\nattach 0: ok'
like "map up to the limit" "$said" $'\nmap 67108864: ok'
like "one page more" "$said" $'\nmap 67108864: ok[^\n]*\nmap 4096: ENOMEM'
like "after unmap there is room" "$said" $'\nunmap: ok[^\n]*\nmap 4096: ok'
like "no_new_privs and RLIMIT_MEMLOCK" "$said" 'no_new_privs=1'
is "RLIMIT_MEMLOCK of the owner" \
	"$(awk '/^Max locked memory/ {print $4, $5}' "/proc/$child/limits")" "67108864 67108864"

json=$(list_exact)
is "one session" "$(jq length <<<"$json")" 1
is "fields" "$(jq -c '.[0] | keys_unsorted | sort' <<<"$json")" \
	'["accounting","cgroup","denied","devices","exact","id","limit_bytes","mapped_bytes","mappings","max_mappings","mirror","name","pid","pinned_bytes","pinned_peak_bytes","policy","state","uid"]'
is "figures" "$(jq -c '.[0] | [.name, .policy, .uid, .pid, .accounting, .limit_bytes, .pinned_bytes,
	.pinned_peak_bytes, .mapped_bytes, .mappings, .max_mappings, .denied, .devices, .state, .exact]' <<<"$json")" \
	"[\"guest\",\"tenants\",1000,$child,\"task\",67108864,4096,67108864,4096,1,65535,1,[\"0000:00:05.0\"],\"active\",true]"
is "cgroup" "$(jq -r '.[0].cgroup' <<<"$json")" "$(sed -n 's/^0:://p' "/proc/$child/cgroup")"
id=$(jq -r '.[0].id' <<<"$json")
is "show by its owner" "$(as 1000 "$pinbroker" show "$id" --json | jq -r .name)" guest
is "list of its owner" "$(as 1000 "$pinbroker" list --json | jq length)" 1
is "list of another user" "$(as 1001 "$pinbroker" list --json)" '[]'
exits "show by another user" 66 as 1001 "$pinbroker" show "$id"
exits "show of no session" 66 "$pinbroker" show 1
like "table" "$("$pinbroker" list)" "guest +tenants +1000 +$child +task"
is "the environment" "$(tr '\0' '\n' <"/proc/$child/environ" | grep -E '^PINBROKER_(SESSION|IOMMUFD|DEVICE)' | sed 's/=.*//' | sort | xargs)" \
	"PINBROKER_DEVICE_0 PINBROKER_IOMMUFD PINBROKER_SESSION"
is "PINBROKER_SESSION" "$(tr '\0' '\n' <"/proc/$child/environ" | sed -n 's/^PINBROKER_SESSION=//p')" "$id"
refused "its device is busy" device-busy as 1000 "$pinbroker" run --device 0000:00:05.0 -- true

# The second session of one name, and a device found by its vendor and device ids.
exits "a second guest" 0 as 1000 "$pinbroker" run --name guest --device 0000:00:06.0 -- \
	bash -c "'$pinbroker' show \$PINBROKER_SESSION --json"
is "its name" "$(jq -r .name <<<"$out")" guest-2

# What explain says is what run does.
exits "explain: granted" 0 as 1000 "$pinbroker" explain --memory 32M --device 0000:00:06.0
like "its limit" "$out" 'session limit: 64M'
exits "explain: busy" 77 as 1000 "$pinbroker" explain --device 0000:00:05.0 --json
is "the sum of the other session" "$(jq -c '[.granted, .reason, .user_sum_bytes]' <<<"$out")" \
	'[false,"device-busy",67108864]'
refused "explain for another user" not-permitted as 1000 "$pinbroker" explain --uid 1001
exits "explain for another user, as root" 77 "$pinbroker" explain --uid 1001
like "no policy" "$out" 'none'

child_end
log_wait "ended: session=$id "
is "after the exit" "$("$pinbroker" list --json)" '[]'
broker_settle
is "descriptors of the daemon" "$(broker_fds)" "$fds"

# The device is free at once: its files went with the process, before the broker heard of it.
exits "the device once more" 0 as 1000 "$pinbroker" run --device 0000:00:05.0 -- \
	"$vmm" "{iommufd}" "{device:0}" bind 0
like "bind" "$out" 'bind 0: ok'
broker_stop
