# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Sourced by the scripts here: where the cache is, and an apt of our own.
#
# The cache holds what takes long to make: kernels, downloaded packages, the
# QEMU under test. It is $PINBROKER_CACHE, else pinbroker/ under
# $XDG_CACHE_HOME or ~/.cache, for root and everyone else alike. That it may lie
# under a 0700 home does not matter: `vm` opens the way to it in the guest's
# throw-away copy of the tree (see job). Remove it at any time.

# The kernels tests run on by default: the oldest supported, and the latest.
# shellcheck disable=SC2034
lab_series=(6.12 7.2)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit "${die_status:-1}"; }

cache=${PINBROKER_CACHE:-}
if [[ -z $cache ]]; then
	home=~ # from passwd where HOME is unset
	cache=${XDG_CACHE_HOME:-$home/.cache}/pinbroker
fi
[[ $cache = /* ]] || die "the cache directory '$cache' must be an absolute path"
umask 022 # for the other users of the guest
mkdir -p "$cache" || die "cannot make the cache '$cache': set PINBROKER_CACHE"

# need PROGRAM...: stop unless all are there.
need() {
	local p missing=()
	for p; do command -v "$p" >/dev/null || missing+=("$p"); done
	((${#missing[@]} == 0)) || die "not installed: ${missing[*]}; run tests/deps"
}

# lock NAME: one holder at a time, until this script and its children end.
lock() {
	exec {lock_fd}>"$cache/$1.lock"
	flock -n "$lock_fd" && return
	say "waiting for another run that is making $1"
	flock "$lock_fd"
}

# space MEBIBYTES WHAT: stop early rather than fail half way.
space() {
	local free
	free=$(($(stat -f -c '%a * %S' "$cache") >> 20))
	((free >= $1)) || die "$2 needs $1 MiB in '$cache', which has $free:" \
		"free some, or set PINBROKER_CACHE"
}

# kernel_source SERIES: the package with a lab kernel's source, once tests/vm/kernel has got it.
kernel_source() {
	local name
	name=linux-source-$(<"$cache/kernel/$1.series") &&
		find "$cache/kernel" -maxdepth 1 -name "${name}_*.deb" | grep .
}

# kernel_unpack PACKAGE DIRECTORY PATH...: these paths of that source.
kernel_unpack() {
	local deb=$1 dir=$2 name=${1##*/}
	name=${name%%_*}
	shift 2
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$name.tar.xz" |
		tar -xJ -C "$dir" --strip-components=1 "${@/#/$name/}"
}

# mirrors: the base addresses this machine gets Debian itself from. apt knows
# them, whatever the format of its sources, and needs no lists for it.
mirrors() {
	local codename
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	# shellcheck disable=SC2016 # apt fills these in
	apt-get indextargets --no-release-info \
		--format '$(COMPONENT) $(RELEASE) $(REPO_URI)' |
		awk -v own="$codename" '$1 == "main" && !seen[$3]++ &&
			($2 == own || $2 ~ /^(old)*stable$/) { print $3 }'
}

# own_apt SUITE...: lets `apt` below see these suites and nothing else, in the
# cache, so that the machine's sources, lists and pins are neither used nor
# changed. What applies to its network (proxies, ...) stays in force.
own_apt() {
	apt_dir=$cache/apt-$1
	apt_suites=("$@")
	mkdir -p "$apt_dir/lists/partial"
	# _apt, apt's user for downloads, could not enter a 0700 home. Signatures
	# are checked whoever downloads.
	cat >"$apt_dir/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$apt_dir/sources.list";
		Dir::Etc::sourceparts "/dev/null";
		Dir::Etc::preferences "/dev/null";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State "$apt_dir";
		Dir::State::lists "$apt_dir/lists";
		Dir::State::status "/var/lib/dpkg/status";
		Dir::Cache "$apt_dir";
		Dir::Cache::archives "$apt_dir/archives";
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		#clear APT::Default-Release;
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear DPkg::Pre-Invoke;
		#clear DPkg::Pre-Install-Pkgs;
		#clear DPkg::Post-Invoke;
	EOF
}

own() { "$1" -c "$apt_dir/apt.conf" "${@:2}"; }

# own_update: fetch the lists, from the first mirror that has all the suites.
own_update() {
	local mirror suite log=$apt_dir/update.log
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg
	[[ -r $keys ]] || die "no '$keys': install debian-archive-keyring"
	: >"$log"
	for mirror in $(mirrors); do
		for suite in "${apt_suites[@]}"; do
			# Only the package lists, whatever else apt is set up to fetch.
			echo "deb [arch=amd64 target=Packages signed-by=$keys]" \
				"$mirror $suite main"
		done >"$apt_dir/sources.list"
		own apt-get update -q --error-on=any >>"$log" 2>&1 && return
	done
	sed 's/^/  /' "$log" >&2
	die "no Debian mirror among apt's sources has ${apt_suites[*]} (apt says why above)"
}
