#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=900
# Mappings, bytes and objects of a session end exactly where they should, whoever tries, however
# often and by whatever means.
# shellcheck source=tests/integration/gate.bash
. tests/integration/gate.bash
gate_start
tries=8000 rows=2000
if [[ ${SOAK:-} ]]; then
	tries=10000000 rows=20000
	[[ $level == exact ]] || tries=1000000 # some may be through
fi

# count WHAT NAME LIMIT: so many went through, and the limit allows that many.
count() {
	verdict "$1" $(($(fact "$2") > $3)) "$(fact "$2") of $3 $2, then $(fact error)"
	[[ $level != exact ]] || is "$1: neither more nor less" "$(fact "$2")" "$3"
}

# Each has its session to itself, nothing attached: the kernel charges nobody.
attack slots --slots $slots_max
count "mappings" mapped $slots_max
if [[ $level == exact ]]; then
	is "one more than there are" "$(fact error)" ENOSPC
	is "one for one, and then" "$(fact after_unmap) $(fact after_that)" "ok ENOSPC"
fi
attack slots --slots $slots_max --size 68K # 1,000 of them would be more than the bytes
verdict "bytes" $(($(fact mapped) * 17 > pages_max)) "$(fact mapped) mappings of 17 pages, then $(fact error)"
if [[ $level == exact ]]; then
	is "one more than there are bytes for" "$(fact error) $(fact mapped)" "ENOMEM $((pages_max / 17))"
	is "one for one, and then" "$(fact after_unmap) $(fact after_that)" "ok ENOMEM"
fi
# Without a device an area may be a byte long, and a COPY of one page makes thousands of them.
attack slots --slots $slots_max --size 1
verdict "areas of a byte" $(($(fact mapped) > 0)) "$(fact mapped) mapped, then $(fact error)"
attack copy --mode each --count $((slots_max + 100))
count "COPY, one at a time" mapped $slots_max
attack copy --mode many --count $((slots_max * 6 / 10))
verdict "COPY, many at once" $(($(fact mapped) > slots_max)) "$(fact mapped) mappings of $slots_max, then $(fact error)"
attack readonly --count $((slots_max + 100))
count "an argument that cannot be written back" efault $slots_max
is "each of those is mapped" "$(fact unmapped_pages)" "$(fact efault)"
attack objects --count 1100
verdict "objects" $(($(fact through) >= 1024)) "$(fact through) IOASes beside the first, then $(fact error)"
if [[ $level == exact ]]; then
	is "objects: neither more nor less" "$(fact through)" 1023
	is "one more, and one for one" "$(fact error) $(fact after_destroy)" "ENOSPC ok"
fi

# Threads where nothing is left.
for mode in slots bytes few; do # few: four slots for all of them
	[[ $mode != few || ! ${SOAK:-} ]] || tries=200000 # most of them map something
	attack full --mode "$mode" --count "$tries" --threads 8
	is "errors of another kind" "$(fact error)" ok
	verdict "8 threads at the last $mode" $(($(fact through) > 0)) \
		"$(fact through) of $tries through, $(fact again) EAGAIN"
	[[ $skips ]] || is "through at the last $mode" "$(fact through)" 0
	[[ $mode != few ]] || (($(fact mapped) >= tries / 20)) || fail "few: only $(fact mapped) mapped"
done

# Rows of 3 MiB where four of eight fit; while one is taken down another thread may look.
uid=1004 run_options=(--device "$device")
attached=1
[[ $level != none ]] || attached=0 # RLIMIT_MEMLOCK would refuse it
attack rows --attach $attached --threads 8 --count $rows --size 192K --limit 12M
is "errors of another kind" "$(fact error)" ok
verdict "rows" $(($(fact through) > 0)) "$(fact through) of $(fact mapped) through"
[[ $skips ]] || is "through in rows" "$(fact through)" 0
(($(fact mapped) >= rows * 16 / 4)) || fail "rows: only $(fact mapped) mapped"

# The most there can be. Where nobody sees what a MAP comes to each one takes a reading of all.
uid=1001 run_options=()
if [[ $gate_as != bare ]]; then
	attack slots --slots 65535
	count "the most mappings" mapped 65535
	[[ $level != exact ]] ||
		is "one for one, and then" "$(fact after_unmap) $(fact after_that)" "ok ENOSPC"
fi

# Honest: an initialised argument that nobody has read from the program's file yet.
uid=1000
attack static
is "an argument in an untouched page" "$(fact static)" ok
gate_stop
