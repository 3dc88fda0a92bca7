#!/bin/bash
# SPDX-License-Identifier: MIT
# Peers from other pid and user namespaces, cgroups whose name drives a terminal, and a host that has
# no open files left.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
policy "p" { users = {"1000", "100000"} accounting = "task" limit = "64M" }
C
broker_start
fds=$(broker_fds)
limit=$((64 << 10)) # ulimit counts in KiB
# shellcheck disable=SC2016 # for the shell inside
whoami='echo "pid $$ uid $(id -u) limit $(ulimit -l)"'

# served WHAT OUTPUT COMMAND...: it is granted a session of uid 1000, or $uid, and its process is one
# of ours in log and list: what it is called in there is its own business.
served() {
	local what=$1 wanted=$2 pid

	: >"$log"
	exits "$what" 0 "${@:3}" "$pinbroker" run --name inside -- bash -c "$whoami"
	like "$what" "$out" "^$wanted limit $limit$"
	log_wait 'granted: .* name=inside '
	pid=$(sed -n "s/.*granted: .* name=inside .* uid=${uid:-1000} owner=\([0-9]*\) .*/\1/p" "$log")
	((${pid:-0} > 1)) || fail "$what: granted to process '$pid'"
	log_wait "ended: .* name=inside .* owner=$pid "
}

# Namespaces below ours: the kernel translates, whatever the ids are in there.
served "a child pid namespace" 'pid 1 uid 1000' unshare --pid --fork --mount-proc \
	setpriv --reuid 1000 --regid 1000 --clear-groups
served "a user namespace" 'pid [0-9]+ uid 1000' as 1000 unshare --user --map-current-user
served "root of one's own" 'pid [0-9]+ uid 0' as 1000 unshare --user --map-root-user
served "root of both" 'pid 1 uid 0' as 1000 unshare --user --map-root-user --pid --fork --mount-proc
served "no mapping" 'pid [0-9]+ uid 65534' as 1000 unshare --user

# A rootless container as engines make them: its root is uid 100000, its users are further up.
background unshare --user sleep infinity
until [[ $(readlink "/proc/$child/ns/user") != "$(readlink /proc/self/ns/user)" ]]; do :; done
echo "0 100000 65536" >"/proc/$child/uid_map"
echo "0 100000 65536" >"/proc/$child/gid_map"
inside() { nsenter --user --target "$child" --setuid "$1" --setgid "$1" "${@:2}"; }
uid=100000 served "root of a container" 'pid [0-9]+ uid 0' inside 0
refused "a user of a container" no-policy inside 5 "$pinbroker" run -- true
like "as it is called here" "$err" '100005'
kill "$child"
child_end

# The other way round: a broker below its peers' pid namespace has no pid for them.
broker_fds_are "strangers" "$fds"
broker_stop
: >"$log"
unshare --pid --fork --kill-child "$pinbrokerd" 2>>"$log" </dev/null &
daemon=$!
log_wait ': ready'
refused "a pid namespace above" bad-request as 1000 "$pinbroker" run -- true
like "what helps" "$err" 'hostPID'
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true

# Who may name a cgroup names it as it likes; kernel and JSON have it as it is, people do not.
broker_start
cgroup=/sys/fs/cgroup/$'a\e[31mb\x07'
mkdir "$cgroup"
background as 1000 bash -c 'kill -STOP $$; exec "$@"' bash "$pinbroker" run -- "$vmm" "{iommufd}" hold
until grep -q ' T ' "/proc/$child/stat"; do :; done
echo "$child" >"$cgroup/cgroup.procs"
kill -CONT "$child"
child_wait ^ready
id=$("$pinbroker" list --json | sed -n 's/.*"id": "\([0-9a-f]*\)".*/\1/p')
for command in "list" "list --json" "show $id" "show $id --json"; do
	# shellcheck disable=SC2086 # words
	shown=$("$pinbroker" $command)
	[[ $shown != *[$'\e\a']* ]] || fail "$command prints an escape sequence"
	[[ $command == list || $shown == *31mb* ]] || fail "$command: no cgroup in $shown"
done
[[ $(<"$log") != *[$'\e\a']* ]] || fail "the log has an escape sequence"
child_end

# No file is to be had on the whole host. Root's are not counted, so this broker is not quite root.
# Whoever comes is turned away or waits, nothing spins, and then all is as it was.
broker_stop
: >"$log"
setpriv --bounding-set -sys_admin --inh-caps -sys_admin "$pinbrokerd" 2>>"$log" </dev/null &
daemon=$!
log_wait ': ready'
exits "before" 0 "$pinbroker" list
fds=$(broker_fds) max=$(</proc/sys/fs/file-max)
ticks() { awk '{print $14 + $15}' "/proc/$daemon/stat"; }
read -r open _ </proc/sys/fs/file-nr
echo $((open + 500)) >/proc/sys/fs/file-max
background as 1999 "$here/tests/attack" hog-files
child_wait ^full
before=$(ticks)
timeout 2 "$pinbroker" list >"$tmp/out" 2>&1 && fail "served without a file"
timeout 2 "$pinbroker" list >"$tmp/out" 2>&1 && fail "served without a file"
echo "$max" >/proc/sys/fs/file-max
spent=$(($(ticks) - before))
((spent < 50)) || fail "the daemon used $spent hundredths of a second while it could do nothing"
exits "after" 0 timeout 20 "$pinbroker" list
child_end
broker_fds_are "after" "$fds"
echo "without files: $spent hundredths of a second"
broker_stop
