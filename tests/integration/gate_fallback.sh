#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: APPEND=lsm=landlock,yama
# A kernel whose LSMs do not include bpf: the gate falls back to hooks that may be skipped, says so,
# and is not enough where require-gate asks for more. It outlives the daemon, and --purge removes it.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

pins=/sys/fs/bpf/pinbroker
policy='policy "p" { users = {"1000"} accounting = "any" limit = "64M" max-mappings = 4 }'
echo "$policy" >"$config"
broker_start
programs_are_small
is "the level" "$("$pinbroker" status --json | jq -r .gate)" best-effort
like "why" "$("$pinbroker" status)" 'boot with lsm=[a-z,]*,bpf'

background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas map 8M map 16M map 48M map 1M hold map 1M \
	map 1M hold unmap hold
child_wait ^ready
like "what fits is mapped, and what does not is not" "$(cat "$tmp/child")" \
	$'map 8M: ok[^\n]*\nmap 16M: ok[^\n]*\nmap 48M: ENOMEM[^\n]*\nmap 1M: ok'
is "figures" "$(list_exact | jq -c '.[0] | [.mapped_bytes, .mappings, .denied, .exact]')" \
	"[$((25 << 20)),3,1,true]"

# Killed: what is in the kernel goes on.
broker_kill
kill "$child"
child_wait 'map 1M: ENOSPC'
broker_start
is "the session, after a restart" "$(list_exact | jq -c '.[0] | [.mapped_bytes, .mappings, .denied]')" \
	"[$((26 << 20)),4,2]"
is "generations that are left" "$(find "$pins" -mindepth 1 -maxdepth 1 -type d | wc -l)" 1

# unmap_unseen: the child unmaps while no program sees an ioctl begin; then there is a broker again.
unmap_unseen() {
	broker_kill
	rm $pins/[0-9]*/gate_fallback_ioctl
	unhooked security_file_ioctl
	kill "$child"
	child_wait '^unmap: ok'
	broker_start
}

# An ioctl that no program has seen is in the figures as soon as somebody asks.
unmap_unseen
is "after an UNMAP that nobody saw" "$("$pinbroker" list --json | jq -c '.[0] | [.mapped_bytes, .mappings]')" \
	"[$((25 << 20)),3]"
kill "$child"
child_end
sessions_end

# Nor is anybody refused for what such an ioctl has taken away.
background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas map 1M map 1M map 1M map 1M map 1M \
	hold unmap hold map 1M map 1M hold
child_wait '^ready'
is "full" "$(grep -c '^map 1M: ENOSPC' "$tmp/child")" 1
unmap_unseen
kill "$child"
file_wait "$tmp/child" '^ready' 3
like "after an UNMAP that nobody saw" "$(cat "$tmp/child")" 'unmap: ok.*map 1M: ok.*map 1M: ENOSPC'
kill "$child"
child_end
sessions_end

# A context that nobody handed out, where that is not for all.
echo "unmanaged = limit unmanaged-limit = 64M $policy" >"$config"
kill -HUP "$daemon"
log_wait 'loaded'
exec 9<>/dev/iommu
like "a context of somebody else" "$(as 1001 "$vmm" 9 alloc-ioas map 8M map 60M map 8M)" \
	$'map 8M: ok[^\n]*\nmap 60M: ENOMEM[^\n]*\nmap 8M: ok'
id=$("$pinbroker" list --json | jq -r '.[0].id')
is "is seen" "$("$pinbroker" show "$id" --json | jq -c '[.state, .uid, .mapped_bytes, .denied]')" \
	"[\"unmanaged\",1001,$((16 << 20)),1]"
exec 9<&-
sessions_end

echo "require-gate = true $policy" >"$config"
kill -HUP "$daemon"
log_wait 'loaded' 2
refused "require-gate" kernel as 1000 "$pinbroker" run -- true
exits "--purge beside a daemon" 70 "$pinbrokerd" --purge
broker_stop
exits "--purge" 0 "$pinbrokerd" --purge
[[ ! -e $pins ]] || fail "something is left in $pins: $(ls "$pins")"
