# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What a confined daemon keeps, what it can do all the same, and what it cannot. Sourced instead of
# lib.bash.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash
inject=$here/tests/inject

# promised PID: what /proc says of the process.
promised() {
	local status

	status=$(cat "/proc/$1/status")
	field() { sed -n "s/^$1:[[:space:]]*//p" <<<"$status"; }
	is "permitted" "$(capsh --decode="$(field CapPrm)")" "0x$(field CapPrm)=cap_kill,cap_sys_resource"
	is "effective" "$(field CapEff)" "$(field CapPrm)"
	is "bounding" "$(field CapBnd)" "$(field CapPrm)"
	is "inheritable and ambient" "$(field CapInh) $(field CapAmb)" "0000000000000000 0000000000000000"
	is "NoNewPrivs" "$(field NoNewPrivs)" 1
	is "uid" "$(field Uid)" $'0\t0\t0\t0'
	[[ ${SAN:-} ]] || is "Seccomp: a filter" "$(field Seccomp)" 2
}

# call PID RESULT CALL ARG...: what a system call of that process would come to.
call() {
	is "${*:3} in the daemon" "$("$inject" "$1" "${@:3}")" "$3: $2"
}

# result PID CALL ARG...: prints the number that it returns.
result() {
	local said

	said=$("$inject" "$@")
	[[ $said =~ ^$2:\ ([0-9]+)$ ]] || fail "${*:2} in the daemon: got '$said', wanted a number"
	echo "${BASH_REMATCH[1]:-0}"
}

# policies NAME: one for that user and group, one for uid 1001 in our cgroup.
policies() {
	cat >"$config" <<-C
		policy "named" {
			users = {"$1", "nobody-has-this-name"}
			groups = {"$1"}
			accounting = "task"
			limit = "64M"
			devices = {"0000:00:05.0"}
		}
		policy "cgroup" {
			users = {"1001"}
			cgroups = {"$(sed -n 's/^0:://p' /proc/self/cgroup)"}
			accounting = "user"
			limit = "1M"
		}
	C
}

# served: everything that a client can ask for, as uid 1000, in a policy that matches it by a name.
served() {
	exits "a grant with a device" 0 as 1000 "$pinbroker" run --memory 32M --device 0000:00:05.0 -- \
		bash -c "'$pinbroker' list --json | jq -c . && '$vmm' \"\$0\" \"\$1\" get-mode bind 0 attach 0 map 4096" \
		"{iommufd}" "{device:0}"
	is "list" "$(head -n 1 <<<"$out" | jq -c '.[] | [.policy, .limit_bytes, .devices]')" \
		'["named",67108864,["0000:00:05.0"]]'
	like "its accounting" "$out" 'get-mode: ok mode=1'
	like "map" "$out" 'map 4096: ok'
	exits "explain" 0 as 1000 "$pinbroker" explain --memory 32M --device 0000:00:05.0
	# The capabilities of a process of another user, and of root.
	refused "root is capable" capable-owner "$pinbroker" run -- true
	exits "capable, but in a user namespace of its own" 0 \
		as 1000 unshare --user --map-root-user "$pinbroker" run -- true
	exits "cgroup" 0 as 1001 "$pinbroker" run -- true
	refused "no policy" no-policy as 1002 "$pinbroker" run -- true
}

echo 'sandboxed:x:1000:1000::/:/bin/sh' >>/etc/passwd
echo 'sandboxed:x:1000:' >>/etc/group
