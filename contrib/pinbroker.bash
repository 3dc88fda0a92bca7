# SPDX-License-Identifier: MIT
# Completion of pinbroker(1) for bash; install as
# /usr/share/bash-completion/completions/pinbroker.
# shellcheck shell=bash

# What is on a VFIO driver: the names that --device takes.
_pinbroker_devices()
{
	local link

	for link in /sys/class/vfio-dev/*/device; do
		[[ -e $link ]] && basename -- "$(readlink -f -- "$link")"
	done
}

# Ids of the sessions that the caller may see; $1: the broker's socket, or nothing.
_pinbroker_ids()
{
	pinbroker ${1:+--socket "$1"} list 2>/dev/null | awk 'NR > 1 { print $1 }'
}

# Words for the argument number $2 of command $1; $3: the broker's socket.
_pinbroker_argument()
{
	case $1:$2 in
	set:0 | attach:0 | adopt:0 | close:0 | revoke:0 | show:0) _pinbroker_ids "$3" ;;
	device:0) _pinbroker_devices ;;
	set:*) echo 'limit= max-mappings= max-objects= migration-buffers=' ;;
	attach:*) _pinbroker_devices && echo -- ;; # whose colons make many words of one
	adopt:1) compgen -G '/proc/[0-9]*' | sed 's:.*/::' ;;
	esac
}

# Words for the value of option $1; $2: the broker's socket. Fails for what is no option with a value of words.
_pinbroker_value()
{
	case $1 in
	--device) words=$(_pinbroker_devices) ;;
	--accounting) words='task user' ;;
	--uid) words=$(compgen -u) ;;
	--gid) words=$(compgen -g) ;;
	--sort) words='pinned peak mapped mappings limit denied uid id name' ;;
	--session) words=$(_pinbroker_ids "$2") ;;
	--connect) words='qemu:///system qemu:///session' ;;
	--memory | --name | --cgroup | --domain | --count | --delay | --mode | --wait) words= ;; # and explain's --cgroup, see below
	*) return 1 ;;
	esac
	return 0
}

_pinbroker()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local request='--memory --device --viommu --accounting --help'
	local command='' socket='' words='' args=0 i

	COMPREPLY=()
	# A PCI address has colons, at which bash breaks words.
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n : cur prev
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--socket | --name | --memory | --device | --accounting | --config | --uid | --gid | --cgroup | \
			--domain | --session | --sort | --count | --delay | --listen | --mode | --wait | --connect)
			[[ ${COMP_WORDS[i]} != --socket ]] || socket=${COMP_WORDS[i + 1]-}
			((i++))
			;;
		--)
			# What follows is a command line of its own.
			if declare -F _command_offset >/dev/null; then
				_command_offset $((i + 1))
			else
				mapfile -t COMPREPLY < <(compgen -c -- "$cur")
			fi
			return
			;;
		-*) ;;
		*)
			[[ -z $command ]] || ((++args))
			[[ -n $command ]] || command=${COMP_WORDS[i]}
			;;
		esac
	done
	case $command:$prev in
	*:--socket | *:--config | *:--listen | explain:--cgroup)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	esac
	if ! _pinbroker_value "$prev" "$socket"; then
		case $command in
		'') words='run list show explain preflight device set attach adopt close revoke status host trace top virsh-start handoff --socket --help --version' ;;
		run) words="--name --cgroup $request --" ;;
		list | show | status | host) words='--json --help' ;;
		device) words='--cached --json --help' ;;
		set | attach | adopt | close) words=--help ;;
		revoke) words='--kill --help' ;;
		trace) words='--json --session --help' ;;
		top) words='--batch --count --delay --reverse --sort --help' ;;
		virsh-start) words='--connect --help' ;;
		handoff) words="--listen --uid --gid --cgroup --mode --wait --name $request" ;;
		explain) words="--config --uid --gid --cgroup $request --json" ;;
		preflight)
			words="--config --uid --gid --cgroup --domain $request --json"
			if [[ $cur != -* ]]; then
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
				return
			fi
			;;
		esac
		case $command:$prev$cur in
		set:*=*) words= ;; # a value
		show:* | device:* | set:* | attach:* | adopt:* | close:* | revoke:*)
			[[ $cur == -* ]] || words=$(_pinbroker_argument "$command" "$args" "$socket")
			;;
		esac
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
	[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$cur"
	fi
}

complete -F _pinbroker pinbroker
