#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: TMO=1200
# What cgroup/ reads and writes, in the kernel's own hierarchy: by a process with the privileges of
# the daemon, under its filter of system calls.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

top=/sys/fs/cgroup
mib=$((1 << 20))
memory_min=0 memory_max=1 huge_max=2 # enum cgm_key

capable=(setpriv "--bounding-set=-all,+kill,+sys_resource" "$here/tests/cgroups")
cgroups() { "${capable[@]}" --confined "$@" || true; }
# says WHAT WANTED COMMAND...: all of its output; an error is its name.
says() { is "$1" "$(cgroups "${@:3}")" "$2"; }
unconfined() { is "$1" "$("${capable[@]}" "${@:3}")" "$2"; }
# made PATH...: the broker makes it.
made() {
	local path

	for path; do
		like "making $path" "$("${capable[@]}" make "$path")" '^[0-9]+$'
	done
}
# inside PATH COMMAND...: in that cgroup from its first instruction on, instead of this shell.
inside() {
	# shellcheck disable=SC2016 # the shell inside expands it
	exec bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$top$1" "${@:2}"
}

# --- the host

says "the host" $'huge 2097152\nhuge-in-memory 0' host
mount -o remount,memory_hugetlb_accounting $top
says "the host, with huge pages in memory" $'huge 2097152\nhuge-in-memory 1' host
mount -t cgroup2 -o remount cgroup2 $top # from scratch: no options of before
says "the host, without again" $'huge 2097152\nhuge-in-memory 0' host
# What others see of it, and where there is none.
mkdir $top/space
is "from a namespace below" \
	"$(inside /space unshare -C "$here/tests/cgroups" host)" EXDEV
is "without" "$(unshare -m bash -c "umount $top && exec $here/tests/cgroups host")" ENODEV
is "with version 1 only" "$(unshare -m bash -c "umount $top &&
	mount -t cgroup -o none,name=lab lab $top && exec $here/tests/cgroups host")" EOPNOTSUPP
rmdir $top/space

# --- paths

# Its directory may not be written by its owner.
unconfined "making below the root" EACCES make /a
mkdir $top/{d,init.scope,machine.slice,many,t,user.slice}
for path in '/t/with space' '/t/machine-qemu\x2d7\x2ddb.scope' '/t/ünï/b'; do
	made "$path"
	says "where $path is" "$path" find "$(cgroups name "$path")"
	is "the id of $path" "$(cgroups name "$path")" "$(stat -c %i "$top$path")"
	says "removing $path" "" remove "$path"
	says "removed, $path" ENOENT name "$path"
done
rmdir $top/t/ünï
mkdir "$top/"$'a\nb' 2>/dev/null && fail "a name may have a newline"
says "no path" EINVAL name a
says "no path" EINVAL name /a//b
says "no path" EINVAL name /a/./b
says "outside" EXDEV place /../b
long=$(printf 'a%.0s' {1..250}) deep=/t
for ((i = 0; i < 16; i++)); do deep+=/$long; done # as far as "too long" is not the shell's
made "$deep"
says "a deep one" "set $mib" set "$deep" $memory_min $mib
below() { (cd "$top$deep" && "$@"); } # what has no path
below mkdir "$long"
says "a path that is too long" ENAMETOOLONG name "$deep/$long"
says "what has no path" ENAMETOOLONG processes "/t/$long"
says "others are found all the same" "$deep" find "$(cgroups name "$deep")"
below rmdir "$long"
long=${long:0:60}
below mkdir "$long"
says "what libcgroup would cut" ENAMETOOLONG set "$deep/$long" $memory_min 0
says "what is in it" "" processes "$deep"
find "$top/t/${deep:3:250}" -depth -type d -exec rmdir {} +

# --- limits

made /t/a
says "new" $'memory.min 0\nmemory.max max\nhugetlb.2MB.max max' limits /t/a
says "memory.min" "set $((3 * mib))" set /t/a $memory_min $((3 * mib - 1))
says "memory.max" "set $((64 * mib))" set /t/a $memory_max $((64 * mib))
says "huge pages" "set $((6 * mib))" set /t/a $huge_max $((5 * mib))
says "set" "memory.min $((3 * mib))
memory.max $((64 * mib))
hugetlb.2MB.max $((6 * mib))" limits /t/a
says "no limit" "set max" set /t/a $memory_max max
says "no limit, nearly" "set max" set /t/a $huge_max $(((1 << 63) - 2))
says "no size" ENODATA set /t/a 3 0
says "of the root" ENODATA set / $memory_max $mib
says "of nothing" ENOENT limits /t/b
echo -memory >$top/t/cgroup.subtree_control
says "without the controller" ENODATA set /t/a $memory_min $mib
says "limits without the controller" "hugetlb.2MB.max max" limits /t/a
made /t/a
says "with it again" $'memory.min 0\nmemory.max max\nhugetlb.2MB.max max' limits /t/a

chown 1000 $top/t/a/memory.max
says "of somebody else" EACCES set /t/a $memory_max $mib
chown root $top/t/a/memory.max

# Another one at the same place, and none.
for again in "mkdir $top/t/a" :; do
	background "${capable[@]}" --confined \
		replaced /t/a $memory_max $mib
	child_wait ^ready
	rmdir $top/t/a
	$again
	echo >&8
	child_wait '^E'
	is "replaced, $again" "$(tail -n 1 "$tmp/child")" "$([[ $again = : ]] && echo ENOENT || echo ESTALE)"
	[[ $again = : ]] || is "the limit of the other one" "$(cat $top/t/a/memory.max)" max
	child_end
done

# --- never below what is in use

made /t/used
(inside /t/used head -c 32M /dev/zero >/dev/shm/used)
used=$(cat $top/t/used/memory.current)
says "usage" "current $used
anon 0
shmem $((32 * mib))
huge 0" usage /t/used
like "below usage" "$(cgroups set /t/used $memory_max 4096)" '^set [0-9]{8}$'
((used - $(cat $top/t/used/memory.max) < mib)) || fail "memory.max is below what is in use"
is "killed" "$(grep oom_kill\  $top/t/used/memory.events)" "oom_kill 0"
is "what is left of it" "$(cgroups usage /t/used | grep shmem)" "shmem $((32 * mib))"
says "room again" "set max" set /t/used $memory_max max
echo 8 >/proc/sys/vm/nr_hugepages
(inside /t/used fallocate -l 6M /dev/hugepages/used)
is "huge pages in use" "$(cgroups usage /t/used | tail -n 1)" "huge $((6 * mib))"
says "huge pages below usage" "set $((6 * mib))" set /t/used $huge_max 0
is "huge pages are no memory" "$(($(cat $top/t/used/memory.current) < 36 * mib))" 1
rm /dev/shm/used /dev/hugepages/used
echo 0 >/proc/sys/vm/nr_hugepages

# --- processes

made /t/p /t/p/x /t/p/y # whose own have the controllers, so that /t/p has none
# filled PATH COMM...: until these are in it, and nobody else.
filled() {
	local comms=none pid

	until [[ $comms = "${*:2}" ]]; do
		comms=$(while read -r pid; do cat "/proc/$pid/comm"; done <"$top$1/cgroup.procs" | sort | xargs)
	done
}
sleeper() { # sleeper PATH: a process there; its pid is $pid
	inside "$1" sleep infinity &
	pid=$!
	filled "$1" sleep
}
sleeper /t/p/x
one=$pid
sleeper /t/p/y
two=$pid
says "processes" "$(sort -n <<<"$one"$'\n'"$two")" processes /t/p
says "moving" "" move /t/p/x "$two"
is "moved" "$(cut -d: -f3 "/proc/$two/cgroup")" /t/p/x
says "moving nobody" ESRCH move /t/p/x 4194304
says "moving to what has controllers below" EBUSY move /t "$two"
unconfined "making below processes" EBUSY make /t/p/x/below
says "removing what is in use" EBUSY remove /t/p/x

# --- targets

says "a target" "processes of sessions only: /t/p/x"$'\nabove /t/p\nabove /t' place /t/p/x "$one" "$two"
says "others" "process $two is of no session, and in it, too: /t/p/x"$'\nabove /t/p\nabove /t' \
	place /t/p/x "$one"
mkdir $top/t/p/x/bare
says "the nearest" "processes of sessions only: /t/p/x"$'\nabove /t/p\nabove /t' place /t/p/x/bare "$one" "$two"
# shellcheck disable=SC2016 # the shell inside expands it
inside /t/p/y bash -c '(sleep infinity & exec sleep infinity) & wait' &
family=$!
filled /t/p/y bash sleep sleep
is "children" "$(cgroups place /t/p/y "$family" | head -n 1)" "processes of sessions only: /t/p/y"
kill "$family"
wait "$family" 2>/dev/null || true
like "orphans" "$(cgroups place /t/p/y "$family" | head -n 1)" '^process [0-9]+ is of no session'
xargs kill <$top/t/p/y/cgroup.procs
says "the root" "no cgroup there has the memory controller" place /
for path in /user.slice/user-1000.slice/session-3.scope /user.slice/user-1000.slice/user@1000.service \
	/user.slice/user-1000.slice/user@1000.service/init.scope /init.scope; do
	made "$path"
	is "a login's" "$(cgroups place "$path" | head -n 1)" "the cgroup of a login is never written: $path"
done
path=/user.slice/user-1000.slice/user@1000.service/app.slice/vm.scope
made "$path"
is "a login's machine" "$(cgroups place "$path" | head -n 1)" "processes of sessions only: $path"
deep=''
for ((i = 0; i < 33; i++)); do deep+=/d; done
unconfined "making too deep" ENAMETOOLONG make "$deep"
[[ ! -d $top/d/d ]] || fail "what was made on the way to it is left"
made "${deep%/d}"
echo +memory >"$top${deep%/d}/cgroup.subtree_control"
mkdir -p "$top$deep/d"
is "not too deep" "$(cgroups place "$deep" | head -n 1)" "processes of sessions only: $deep"
is "with all above" "$(cgroups place "$deep" | grep -c above)" 32
echo +memory >"$top$deep/cgroup.subtree_control"
says "too deep" "it has more than 32 cgroups above" place "$deep/d"

# --- a machine as libvirt lays it out: without and with memory files below the scope

scope='/machine.slice/machine-qemu\x2d1\x2dvm.scope'
made "$scope"
mkdir "$top$scope/libvirt" "$top$scope/libvirt/emulator"
echo threaded >"$top$scope/libvirt/emulator/cgroup.type"
is "its type" "$(cat "$top$scope/libvirt/cgroup.type")" "domain threaded"
sleeper "$scope/libvirt"
vm=$pid
echo "$vm" >"$top$scope/libvirt/emulator/cgroup.threads"
sleeper "$scope" # swtpm, say
beside=$pid
is "where it is" "$(cut -d: -f3 "/proc/$vm/cgroup")" "$scope/libvirt/emulator"
machine="a machine of sessions only: $scope"$'\nabove /machine.slice'
says "a machine" "$machine" place "$scope/libvirt/emulator" "$vm"
says "a machine from its domain" "$machine" place "$scope/libvirt" "$vm"
is "not from beside it" "$(cgroups place "$scope" "$beside" | head -n 1)" \
	"process $vm is of no session, and in it, too: $scope"
says "its processes" "$(printf '%s\n' "$vm" "$beside" | sort -n)" processes "$scope"
says "a thread's" EOPNOTSUPP processes "$scope/libvirt/emulator"
kill "$beside"
wait "$beside" 2>/dev/null || true
echo +memory >"$top$scope/cgroup.subtree_control"
[[ -f $top$scope/libvirt/memory.max ]] || fail "libvirt/ has no memory files"
unconfined "making below a threaded one" EOPNOTSUPP make "$scope/libvirt/emulator/below"
says "a machine with memory below" "$machine" place "$scope/libvirt/emulator" "$vm"
kill "$vm"

# --- events

made /t/oom
cgroups set /t/oom $memory_max $((16 * mib)) >/dev/null
background "${capable[@]}" --confined events /t/oom
child_wait '^ready max 0 oom 0 oom_kill 0'
{ (inside /t/oom tail /dev/zero); } 2>/dev/null && fail "the hog was not killed"
child_wait 'oom_kill 1$'
rmdir $top/t/oom # of which no file tells
echo >&8
child_wait '^ENODEV'
child_end
made /t/slow
background "${capable[@]}" --confined pressure /t/slow 50
child_wait ^ready
echo $((8 * mib)) >$top/t/slow/memory.high
inside /t/slow tail /dev/zero &
hog=$!
child_wait '^pressure'
kill "$hog"
wait "$hog" 2>/dev/null || true
child_end
says "too much of a second" EINVAL pressure /t/slow 1001
says "events of nothing" ENOENT events /t/nothing
says "events of the root" ENODATA events /
echo 0 >$top/t/slow/cgroup.pressure
says "pressure, where it is off" EOPNOTSUPP pressure /t/slow 50

# --- while others make and remove cgroups

made /t/busy
(while mkdir -p $top/t/busy/{1,2,3}/{1,2,3} && rmdir $top/t/busy/{1,2,3}/{1,2,3} $top/t/busy/{1,2,3}; do :; done) &
busy=$!
for ((i = 0; i < 8; i++)); do
	like "all processes" "$(cgroups processes / | tail -n 1)" '^[0-9]+$'
	like "a place" "$(cgroups place /t/busy/1/1 | head -n 1)" '^(ENOENT|processes of .*)$'
	says "not there" ENOENT find 18446744073709551614
done
kill "$busy"
wait "$busy" 2>/dev/null || true

# --- a thousand

echo "+memory +hugetlb" >$top/many/cgroup.subtree_control
mkdir $top/many/{0..999}
says "one in a thousand" /many/999 find "$(cgroups name /many/999)"
costs=$(cgroups cost /many/999 15)
echo "costs in us, with a thousand cgroups: ${costs//$'\n'/, }"
is "calls that were timed" "$(wc -l <<<"$costs")" 7
