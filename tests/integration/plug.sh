#!/bin/bash
# SPDX-License-Identifier: MIT
# A device that nobody handed out, bound to the context of a session: by the session's policy or not
# at all, whatever way the ioctl takes, from the first session of a gate on. Who asks too much waits.
# Devices that come and go: reserve.sh, libvirt_domain.sh.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf
cat >"$config" <<'C'
policy "one" { users = {"1000"} accounting = "task" limit = "64M" devices = {"0000:00:06.0"} }
C
for slot in 5 6; do to_vfio "0000:00:0$slot.0"; done
broker_start
exact_or_skip
cdevs=("$(cdev 0000:00:05.0)" "$(cdev 0000:00:06.0)")

# run OP...: what a session's VMM did, that has no device of the broker's, but both cdevs.
run() {
	as 1000 "$pinbroker" run --name vm -- "$vmm" '{iommufd}' 11 12 "$@" 11<>"${cdevs[0]}" 12<>"${cdevs[1]}"
}
exits "before any device was handed out" 0 run bind 0 attach 0
like "what the policy does not allow" "$out" $'^bind 0: EPERM\nattach 0: EINVAL'
log_wait 'refused: reason=device-not-allowed .*device=0000:00:05.0'
exits "by the way of 32-bit programs" 0 run bind-narrow 0 attach 0
like "it is of no use" "$out" $'^bind-narrow 0: ok\nattach 0: EPERM'
exits "and the one that it allows" 0 run bind 1 attach 1 map 4096
like "that is bound" "$out" $'^bind 1: ok.*\nattach 1: ok.*\nmap 4096: ok'
log_wait 'plugged: .*device=0000:00:06.0'
sessions_end

# What is bound to others' contexts is nobody's business here, while sessions live.
background as 1000 "$pinbroker" run --name vm -- "$vmm" '{iommufd}' hold
child_wait ^ready
exits "nobody's" 0 "$vmm" 9 11 bind 0 attach 0 9<>/dev/iommu 11<>"${cdevs[0]}"
like "nobody's" "$out" $'^bind 0: ok.*\nattach 0: ok'
child_end
sessions_end

# Again and again: each is looked at, or refused without a look.
told() { grep -c 'refused: reason=device-not-allowed' "$log" || true; }
before=$(told)
again=()
for ((i = 0; i < 100; i++)); do again+=(bind 0); done
exits "a hundred times" 0 run "${again[@]}"
like "it is told to wait" "$out" $'\nbind 0: EAGAIN'
is "others were refused, and told of" "$(($(told) - before))" "$(grep -c EPERM <<<"$out")"
sessions_end

# Nobody answers: it is refused, after three seconds.
background as 1000 "$pinbroker" run --name vm -- "$vmm" '{iommufd}' 11 hold bind 0 hold 11<>"${cdevs[0]}"
child_wait ^ready
kill -STOP "$daemon"
began=${EPOCHREALTIME/./}
echo >&8
child_wait '^bind 0: '
took=$(((${EPOCHREALTIME/./} - began) / 1000))
kill -CONT "$daemon"
is "what nobody answers" "$(grep '^bind 0' "$tmp/child")" "bind 0: EPERM"
((took >= 3000 && took < 20000)) || fail "what nobody answers took $took ms"
child_end
sessions_end
broker_stop
