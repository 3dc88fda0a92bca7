# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Cgroups for tests of the mirror. Sourced instead of lib.bash.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash
cgroups=/sys/fs/cgroup
# shellcheck disable=SC2034 # the tests use them
mib=$((1 << 20)) page=4096

grep -q memory $cgroups/cgroup.controllers || { echo "no cgroup v2 with memory here"; exit 4; }
echo "+memory +hugetlb" >$cgroups/cgroup.subtree_control

# cgroup_make NAME: a cgroup, with those above it, each with memory for those below.
cgroup_make() {
	local path=$cgroups part

	for part in ${1//\// }; do
		[[ $path = "$cgroups" ]] || echo "+memory +hugetlb" >"$path/cgroup.subtree_control"
		path+=/$part
		[[ -d $path ]] || mkdir "$path"
	done
}

# limit NAME FILE: what is there.
limit() {
	cat "$cgroups/$1/$2" 2>/dev/null || echo gone
}

# becomes WHAT NAME FILE WANTED [SECONDS]: soon; $took: in so many milliseconds.
becomes() {
	follows "$1" "$2" "$3" "${5:-20}" echo "$4"
}

# follows WHAT NAME FILE SECONDS COMMAND...: soon it is what the command says then.
follows() {
	local what=$1 file=$2/$3 seconds=$4 began=${EPOCHREALTIME/./} got wanted

	shift 4
	until got=$(limit "${file%/*}" "${file##*/}") && wanted=$("$@") && [[ $got = "$wanted" ]]; do
		took=$(((${EPOCHREALTIME/./} - began) / 1000))
		if ((took > seconds * 1000)); then
			fail "$what: $file is $got, wanted $wanted"
			return
		fi
	done
	took=$(((${EPOCHREALTIME/./} - began) / 1000))
}

# goes NAME: soon it is no more.
goes() {
	local began=$SECONDS

	while [[ -d $cgroups/$1 ]]; do
		((SECONDS - began < 30)) || { fail "$1 is still there"; return; }
	done
}

# stat_of NAME KEY...: the sum of these lines of memory.stat.
stat_of() {
	local name=$1

	shift
	awk -v keys=" $* " 'index(keys, " " $1 " ") { n += $2 } END { print n + 0 }' \
		"$cgroups/$name/memory.stat"
}

# inside_as UID NAME COMMAND...: a program of a user in a cgroup, as background does it.
inside_as() {
	local uid=$1 name=$2

	shift 2
	# shellcheck disable=SC2016 # the inner shell's
	background bash -c 'echo $$ >"$0" && exec "$@"' "$cgroups/$name/cgroup.procs" \
		setpriv --reuid "$uid" --regid "$uid" --clear-groups "$@"
}

# mirror_of ID KEY...: of what is mirrored for a session.
mirror_of() {
	local id=$1 IFS=,

	shift
	"$pinbroker" show "$id" --json | jq -c "[.mirror | ${*/#/.}]"
}
