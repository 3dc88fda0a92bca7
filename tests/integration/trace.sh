#!/bin/bash
# SPDX-License-Identifier: MIT
# pinbroker trace and top: who is told what, and that nothing is attached while nobody listens.
# vm: TMO=900
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cat >"$config" <<'EOF'
max-requests = 0
policy "p" {
	users = {"1000", "1001"} accounting = "task" limit = "64M" max-mappings = "4"
	devices = {"0000:00:05.0"}
}
EOF
to_vfio 0000:00:05.0
broker_start

exact_or_skip

# links: how many programs of the tracer are attached.
links() {
	bpftool -j prog show | jq -r '.[] | select(.name // "" | startswith("trace_")) | .id' |
		sort >"$tmp/programs"
	bpftool -j link show | jq -r '.[].prog_id' | sort | join - "$tmp/programs" | wc -l
}

links_wait() { # links_wait WHAT WANTED
	local i

	for ((i = 0; i < 500; i++)); do
		if (($2 ? $(links) > 0 : $(links) == 0)); then return; fi
	done
	fail "$1: $(links) programs are attached"
}

# listen FILE UID ARG...: a listener in the background; its pid is $listener.
listen() {
	local file=$1 uid=$2

	shift 2
	: >"$file"
	setpriv --reuid "$uid" --regid "$uid" --clear-groups "$pinbroker" trace "$@" >"$file" 2>&1 &
	listener=$!
	# Until then it is a shell, which would clean up when it is killed.
	until [[ $(<"/proc/$listener/comm") = pinbroker ]]; do :; done
	[[ $* = *--json* ]] || file_wait "$file" '^TIME' || fail "a listener of $uid never began"
}

hang_up() {
	kill "$1"
	wait "$1" 2>/dev/null || true
}

# kinds FILE SESSION: the kinds of its events, each once, sorted.
kinds() {
	awk -v id="$2" '$2 == id { print $3 }' "$1" | sort -u | tr '\n' ' '
}

# missing: what the kernel has no function for, as it says itself. One of each line will do.
missing() {
	local kind names

	while read -r kind names; do
		grep -qE "^(${names// /|})( |\$)" /sys/kernel/tracing/available_filter_functions || echo "$kind"
	done <<-'EOF'
		open iommufd_fops_open
		map iommufd_ioas_map
		copy iommufd_ioas_copy
		unmap iommufd_ioas_unmap
		charge iopt_pages_update_pinned do_update_pinned
		uncharge iopt_pages_update_pinned do_update_pinned
		bind vfio_df_ioctl_bind_iommufd
		attach vfio_df_ioctl_attach_pt
		release iommufd_fops_release
		migrate vfio_mig_get_next_state
		disorder vfio_mig_get_next_state
	EOF
}
is "events that this kernel cannot give" \
	"$("$pinbroker" status --json | jq -r '.trace_missing | join(" ")')" "$(missing | paste -sd ' ')"
is "those that the log names" "$(sed -n 's/.*trace: no \([a-z]*\) events.*/\1/p' "$log")" "$(missing)"

is "programs attached before anybody listens" "$(links)" 0

# Who sees what.
listen "$tmp/root" 0
root=$listener
links_wait "while somebody listens" 1
attached=$(links)
((attached >= 14)) || fail "only $attached programs are attached"
listen "$tmp/own" 1000
own=$listener
listen "$tmp/other" 1001
other=$listener
listen "$tmp/json" 0 --json
json=$listener
background as 1000 "$pinbroker" run --name vm --device 0000:00:05.0 -- "$vmm" "{iommufd}" \
	"{device:0}" alloc-ioas map 1M map 2M unmap map 1G map 4K map 4K map 4K map 4K map 4K \
	bind 0 attach 0 unmap-all ioctl 0x3b88 hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[0].id')
refused "a refusal" no-policy as 2000 "$pinbroker" run -- true
child_end
sessions_end
file_wait "$tmp/own" " $id +end " || fail "no end is told"
file_wait "$tmp/root" " $id +release " || fail "no release is told"
file_wait "$tmp/json" '"end"' || fail "no end in JSON"

wanted='attach bind charge deny end grant map near-limit recount release uncharge unmap '
is "events that the user sees" "$(kinds "$tmp/own" "$id")" "$wanted"
is "events that root sees" "$(kinds "$tmp/root" "$id")" "$wanted"
is "what another user sees" "$(tail -n +2 "$tmp/other")" ""
is "what the user sees of others" "$(awk 'NR > 1' "$tmp/own" | grep -cv " $id ")" 0
like "root sees contexts being opened" "$(cat "$tmp/root")" ' - +open '
like "root sees refusals" "$(cat "$tmp/root")" ' - +refusal .* no-policy'
like "a map" "$(cat "$tmp/own")" " map +[0-9]+ vmm +1M +[0-9.]+[mun]?s vm"
like "an unmap" "$(cat "$tmp/own")" " unmap +[0-9]+ vmm +2M "
like "a limit of bytes" "$(cat "$tmp/own")" " deny .* 1G .* ENOMEM bytes vm"
like "a limit of mappings" "$(cat "$tmp/own")" " deny .* 4K .* ENOSPC mappings vm"
like "a command that is none" "$(cat "$tmp/own")" " deny .* ENOTTY command vm"
like "a device" "$(cat "$tmp/own")" " attach .* 0000:00:05.0 vm"
like "the grant" "$(cat "$tmp/own")" " grant +[0-9]+ pinbroker +64M +[0-9.]+[mun]?s"
is "JSON, line by line" "$(jq -r 'select(.session == "'"$id"'").event' "$tmp/json" | sort -u | tr '\n' ' ')" "$wanted"
is "bytes of a map in JSON" \
	"$(jq -s '[.[] | select(.event == "map" and .error == null)][0] | .bytes' "$tmp/json")" 1048576
is "an error in JSON" \
	"$(jq -rs '[.[] | select(.event == "deny")][0] | .error + " " + .what' "$tmp/json")" "ENOMEM bytes"
hang_up "$json"
hang_up "$own"
hang_up "$other"
[[ $(links) = "$attached" ]] || fail "detached while somebody listens"
hang_up "$root"
links_wait "after the last listener" 0

# One session of two; and listeners come and go while programs are being attached.
background as 1000 "$pinbroker" run --name first -- "$vmm" "{iommufd}" hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[0].id')
listen "$tmp/gone" 0 --json
hang_up "$listener"
listen "$tmp/one" 1000 --session "$id"
one=$listener
as 1000 "$pinbroker" run --name second -- "$vmm" "{iommufd}" alloc-ioas map 1M >/dev/null
"$pinbroker" set "$id" limit=32M
file_wait "$tmp/one" " $id +set " || fail "no event of the one session"
is "other sessions in a trace of one" "$(awk 'NR > 1' "$tmp/one" | grep -cv " $id ")" 0
exits "no such session" 66 "$pinbroker" trace --session ffff
exits "somebody else's session" 66 as 1001 "$pinbroker" trace --session "$id"
exits "session 0" 64 "$pinbroker" trace --session 0
hang_up "$one"
child_end

# No more than so many listen.
many=()
for i in 1 2 3 4; do
	listen "$tmp/many$i" 1000
	many+=("$listener")
done
refused "a listener too many" rate-limit as 1000 "$pinbroker" trace
for i in "${many[@]}"; do hang_up "$i"; done

# Who does not read loses events, is told how many, and keeps nobody waiting.
listen "$tmp/flood" 1000
slow=$listener
kill -STOP "$slow"
maps=()
for _ in {1..50}; do maps+=(map 4K); done
for i in {1..40}; do
	as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas "${maps[@]}" unmap-all >/dev/null
done
background as 1000 "$pinbroker" run -- "$vmm" "{iommufd}" alloc-ioas hold
child_wait ^ready
exits "others are served meanwhile" 0 "$pinbroker" status
kill -CONT "$slow"
file_wait "$tmp/flood" '^lost: [1-9][0-9]* events, read too slowly' || fail "a loss is not told"
child_end
hang_up "$slow"

# top, for programs; and its keys.
background as 1000 "$pinbroker" run --name tops -- "$vmm" "{iommufd}" alloc-ioas map 8M hold
child_wait ^ready
exits "top, two pages" 0 "$pinbroker" top --batch -n 2 --delay 0.1
is "pages" "$(grep -c '^ID ' <<<"$out")" 2
like "a row" "$out" ' tops +1000 +[0-9]+ +[a-z]+ +64M '
exits "top of another user" 0 as 1001 "$pinbroker" top --batch --count 1
[[ $out != *tops* ]] || fail "another user sees the session: $out"
(sleep 2; printf m; sleep 2; printf q) |
	script -qec "stty rows 10 cols 100; '$pinbroker' top --delay 0.5" "$tmp/typescript" >/dev/null
like "top on a terminal" "$(cat "$tmp/typescript")" $'\e\\[\\?1049h.*by pinned.*by mapped.*\e\\[\\?1049l'
child_end

broker_stop
is "programs after the daemon" "$(links)" 0
