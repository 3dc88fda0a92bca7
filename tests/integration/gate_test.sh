#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: APPEND=intel_iommu=off
# IOMMUFD's test command makes a device and pins past what the gate can read of it. It is refused
# but to the policy that allows it, and there the next reservation begins with a reading, so that
# the limits hold for what it made, too. (Without an IOMMU: the mock device needs that on 6.12.)
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
policy "plain" { users = {"1000"} accounting = "any" limit = "64M" }
policy "tester" { users = {"1005"} accounting = "any" limit = "64M" max-objects = 4 max-mappings = 3
	allow-test-commands = true }
C
broker_start
is "the level" "$("$pinbroker" status --json | jq -r .gate)" exact

out=$(as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas mock map 1M)
like "who is not allowed" "$out" $'mock: ENOTTY\nmap 1M: ok'

# The IOAS and what the mock device is made of are more objects than were reserved.
background as 1005 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas mock map 1M alloc-ioas map 1M map 1M map 1M hold
child_wait ^ready
like "who is" "$(cat "$tmp/child")" $'mock: ok[^\n]*\nmap 1M: ok[^\n]*\nalloc-ioas: ENOSPC\n'
like "its limits hold" "$(cat "$tmp/child")" $'map 1M: ok[^\n]*\nmap 1M: ok[^\n]*\nmap 1M: ENOSPC'
is "figures" "$("$pinbroker" list --json | jq -c '.[0] | [.mapped_bytes, .pinned_bytes, .mappings, .denied, .state, .exact]')" \
	"[$((3 << 20)),$((3 << 20)),3,2,\"active\",true]"

# A reload changes nothing for who lives, and for who comes it does.
sed -i 's/allow-test-commands = true//' "$config"
kill -HUP "$daemon"
log_wait loaded
kill "$child"
child_end
sessions_end
like "who comes later" "$(as 1005 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas mock)" 'mock: ENOTTY'
broker_stop
