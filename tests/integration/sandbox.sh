#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: SYSTEMD=1
# The daemon gives up what it promises to and serves all the same, on io_uring and on epoll; where
# it cannot give it up, it does not serve. (Under systemd for its journal only: units.sh has the
# units.)
# shellcheck source=tests/integration/confined.bash
. tests/integration/confined.bash

# What only an intruder would try ends the daemon: once each.
killed() { # killed CALL ARG...
	local status=0

	broker_start
	call "$daemon" killed "$@"
	wait "$daemon" 2>/dev/null || status=$?
	daemon=
	is "what $1 did to the daemon" "$((status - 128))" "$(kill -l SYS)"
}

# All that its privileges leave it is tried in the daemon itself.
cannot() {
	local victim pidfd status=0

	call "$daemon" "$daemon" getpid # so that what follows is the filter's doing, not inject's
	# Files: those that are root's, none of others, and to be looked at only.
	echo secret >"$tmp/others"
	chown 1000 "$tmp/others"
	chmod 600 "$tmp/others"
	call "$daemon" EACCES openat -100 "=$tmp/others" 0
	# Processes of others: to be ended, and nothing else. Not by pid, which another may have.
	background as 1000 cat
	victim=$child
	pidfd=$(result "$daemon" pidfd_open "$victim" 0)
	[[ ${SAN:-} ]] || call "$daemon" ENOSYS pidfd_send_signal "$pidfd" "$(kill -l STOP)" 0 0
	call "$daemon" 0 pidfd_send_signal "$pidfd" "$(kill -l KILL)" 0 0
	exec 8>&-
	wait "$victim" 2>/dev/null || status=$?
	is "how the other ended" "$((status - 128))" "$(kill -l KILL)"
	call "$daemon" 0 close "$pidfd"
	[[ ! ${SAN:-} ]] || return 0
	call "$daemon" EROFS openat -100 "=/etc/passwd" "$((0x401))" # O_WRONLY | O_APPEND
	call "$daemon" EROFS openat -100 "=$tmp/new" "$((0x42))" 0600 # O_RDWR | O_CREAT
	call "$daemon" EAFNOSUPPORT socket 2 1 0
	call "$daemon" EINVAL prctl 4 1 # PR_SET_DUMPABLE
	call "$daemon" EPERM clone "$(kill -l CHLD)" 0 0 0 0
	call "$daemon" ENOSYS prlimit64 1 7 "=no limit" 0 # RLIMIT_NOFILE
	call "$daemon" ENOSYS bind 0 =x 1
	call "$daemon" ENOSYS mkdir "=$tmp/directory" 0700
}

to_vfio 0000:00:05.0
for PINBROKER_LOOP in io_uring epoll; do
	export PINBROKER_LOOP
	policies sandboxed
	exec 9<"$0" # nothing of ours is to be inherited
	broker_start
	exec 9<&-
	is "it serves on $PINBROKER_LOOP" \
		"$(find "/proc/$daemon/fd" -lname 'anon_inode:\[io_uring\]' | wc -l)" \
		"$([[ $PINBROKER_LOOP = epoll ]] || echo 1)$([[ $PINBROKER_LOOP = io_uring ]] || echo 0)"
	promised "$daemon"
	is "descriptors of ours" "$(find "/proc/$daemon/fd" -lname "*${0##*/}" | wc -l)" 0
	cannot
	served
	promised "$daemon"
	broker_stop
	if [[ ! ${SAN:-} ]]; then
		killed execve =/bin/true 0 0
		killed setresuid 1000 1000 1000
		killed capset 0 0
		killed io_uring_register 0 0 0 0
		killed unshare "$((0x00020000))" # CLONE_NEWNS
	fi
done
unset PINBROKER_LOOP

# A reload, names and all.
broker_start
echo 'policy "named" { users = {"1"} accounting = "task" limit = "64M" }' >"$config"
kill -HUP "$daemon"
log_wait "loaded $config"
refused "the reloaded policy" no-policy as 1000 "$pinbroker" run -- true
policies sandboxed
kill -HUP "$daemon"
log_wait "loaded $config" 2
served
is "a warning for each name nobody has, at each load of it" \
	"$(grep -c 'no user "nobody-has-this-name"' "$log")" 2

# A device that is not root's is nobody's to give: there is no CAP_DAC_OVERRIDE.
chown 1000 /dev/vfio/devices/vfio0
chmod 600 /dev/vfio/devices/vfio0
refused "a device of somebody else" kernel as 1000 "$pinbroker" run --device 0000:00:05.0 -- true
like "why" "$err" 'cannot open /dev/vfio/devices/vfio0 .*: Permission denied'
chown 0 /dev/vfio/devices/vfio0
exits "a device of root" 0 as 1000 "$pinbroker" run --device 0000:00:05.0 -- true
broker_stop

# Where /proc hides processes, it takes the group that sees them: there is no CAP_SYS_PTRACE.
mount -o remount,hidepid=invisible,gid=4242 /proc
broker_start
refused "processes are hidden" bad-request as 1000 "$pinbroker" run -- true
broker_stop
printf '#!/bin/sh\nexec setpriv --groups 4242 %q\n' "$PWD/$pinbrokerd" >"$tmp/in-group"
chmod 755 "$tmp/in-group"
pinbrokerd=$tmp/in-group broker_start
exits "hidden from others" 0 as 1000 "$pinbroker" run -- true
broker_stop
mount -o remount,hidepid=off,gid=0 /proc

# Without what it needs it does not serve, and says why.
for capability in sys_resource kill; do
	exits "without $capability" 70 setpriv --bounding-set "-$capability" "$pinbrokerd"
	like "which" "$err" "does not serve: CAP_${capability^^} is missing"
done
exits "unable to drop the others" 70 setpriv --bounding-set -setpcap "$pinbrokerd"
like "why" "$err" 'does not serve: .*CAP_SETPCAP'
exits "with nothing to drop, as in a container" 0 \
	setpriv --bounding-set -all,+sys_resource,+kill --inh-caps -all \
	timeout --preserve-status -s TERM 3 "$pinbrokerd"
like "it serves" "$err" ': ready'
exits "--check as an ordinary user" 0 as 1000 "$pinbrokerd" --check
if [[ ! ${SAN:-} ]]; then
	exits "with a mode of the filter that is none" 70 env PINBROKER_SECCOMP=off "$pinbrokerd"
	like "what is one" "$err" 'PINBROKER_SECCOMP=off is not "log"'
	PINBROKER_SECCOMP=log broker_start
	like "a warning" "$(cat "$log")" 'system calls are not refused, only logged'
	call "$daemon" "$(awk '{ print $5 }' "/proc/$daemon/stat")" getpgid 0
	broker_stop
fi
[[ ! -e $socket ]] || fail "a daemon that did not serve left its socket"

# The unit tests of it, with all capabilities, which `make check` may lack.
exits "the unit tests" 0 "$here/unit" sandbox
if [[ ! ${SAN:-} && -d /run/systemd/system ]]; then
	like "none skipped" "$out" '(^|[^0-9])0 tests skipped'
	journalctl --sync
	# "small", and 16 MiB less what comes before "=", each with the end of its line.
	is "lines and bytes in the journal" "$(journalctl -q -a -F PINBROKER_TEST | wc -lc | xargs)" \
		"2 $((5 + (16 << 20) - 15 + 2))"
fi
