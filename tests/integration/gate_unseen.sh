#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# vm: APPEND=preempt=full lsm=landlock,yama
# Where the kernel may skip the gate's programs, nobody is killed for what they have not seen: not for
# a MAP that is larger than the one before it, which failed, where nobody saw that one end and this
# one begin.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
is "the level" "$level" best-effort
rm /sys/fs/bpf/pinbroker/[0-9]*/gate_over
unhooked iommufd_fops_ioctl
# Who is preempted inside such a program, and has to wait for the processor, makes others go unseen.
beside_begin full as 1000 nice "$pinbroker" run -- \
	"$gate" full --mode slots --count 0 --threads 6 --slots $slots_max
file_wait "$tmp/full.out" ^full || fail "nobody at the last slot: $(cat "$tmp/full.out")"
sessions_beside=$((sessions_beside + 1))
uid=1003
attack honest --mode lost --threads 2 --count "${COUNT:-4000}" --level 50 --slots 2000 --limit 32M
is "exit status" "$status" 0
is "the kernel agrees" "$(fact unmapped_pages)" "$(fact live_pages)"
echo "$(fact maps) mapped, $(fact refused) refused ($(fact again) EAGAIN); seed $(fact seed)"
beside_end full
sessions_beside=$((sessions_beside - 1))
gate_stop
