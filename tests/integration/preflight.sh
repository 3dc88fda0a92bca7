#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# Whether a guest will fit is known before it starts: by the broker, by a configuration, and by
# what a session then gets.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

cat >"$config" <<'C'
host-reserve = "off"
max-requests = 0
policy "machines" {
	cgroups = {"/machine.slice/machine-db.slice"}
	accounting = "task"
	limit = "auto"
	user-limit = "1T"
	devices = {"0000:00:0[56].0"}
	max-mappings = 65535
	headroom = "512M"
	migration-buffers = "2G"
}
policy "named" { domains = {"named-*"} accounting = "task" limit = "3G" devices = {"0000:00:05.0"} }
policy "own" { users = {"1000"} accounting = "task" limit = "2G" devices = {"0000:00:0*"} }
C
for device in 0000:00:05.0 0000:00:06.0; do to_vfio "$device"; done
gib=$((1 << 30)) mib=$((1 << 20))
label="<seclabel type='dynamic' model='dac'><label>+1000:+1000</label></seclabel>"
db='<resource><partition>/machine/db</partition></resource>'

hostdev() { # hostdev SLOT: a device by iommufd
	printf "<hostdev type='pci'><driver iommufd='yes'/><source><address slot='%s'/></source></hostdev>" "$1"
}
# domain NAME MEMORY_MIB DEVICES [MORE]: the file of a domain, $xml.
domain() {
	xml=$tmp/$1.xml
	cat >"$xml" <<-X
		<domain type='kvm'>
		<name>$1</name>
		<memory unit='MiB'>$2</memory>
		${4:-}
		<os><type arch='x86_64' machine='q35'>hvm</type></os>
		<devices>$3</devices>
		</domain>
	X
}
# preflight WHAT STATUS WORDS...: with $how; $json is its object.
how=()
preflight() {
	exits "$1" "$2" "$pinbroker" preflight "${how[@]}" "${@:3}" --json
	json=$out
}
# has WHAT FILTER WANTED: of $json.
has() { is "$1" "$(jq -c "$2" <<<"$json")" "$3"; }

exits "no broker" 69 "$pinbroker" preflight --memory 1G
domain idle 64 "" "$label"
exits "nobody is asked about a guest without a device" 0 "$pinbroker" preflight "$xml"
like "which it says" "$out" $'\nsession: none is needed\nverdict: fits'

everything() { # by the broker, and without one
	domain db 2048 "$(hostdev 5)" "$label$db"
	preflight "it fits" 0 "$xml"
	has "libvirt's limit" '[.libvirt_rule, .libvirt_limit_bytes]' "[\"devices\",$((3 * gib))]"
	has "each way's" '[.legacy_limit_bytes, .iommufd_limit_bytes, .viommu_limit_bytes]' \
		"[$((3 * gib)),$((3 * gib)),$((3 * gib))]"
	has "the policy of its slice, and auto" '[.decision | .policy, .limit_bytes]' "[\"machines\",$((3 * gib))]"
	has "what is needed" '[.fits, .findings, .needed_bytes, .short_bytes]' "[true,[],$((2049 * mib)),0]"
	# edu has one BAR of 1 MiB, which is shown and counted, and not added to any size.
	has "BARs" .devices '[{"name":"0000:00:05.0","bars":1,"bar_bytes":1048576}]'
	has "mappings" '[.blocks, .memslots, .bars, .spaces, .mappings]' '[0,512,2,1,514]'
	# 3G + 512M + 1 x 2G; 2G + 512M
	has "cgroup" '[.memory_max_bytes, .memory_min_bytes]' "[$((5632 * mib)),$((2560 * mib))]"

	preflight "a device that an option names, too" 0 "$xml" --device 0000:00:05.0
	has "is one" '[.vfio_devices, .iommufd_devices, (.devices | length)]' '[1,1,1]'
	preflight "a vIOMMU that libvirt does not see" 77 "$xml" --device 0000:00:06.0 --viommu
	like "which is too little" "$err" \
		'refused: kernel: libvirt sets RLIMIT_MEMLOCK to 3G \(devices\), and 4097M will be locked: 1025M short'
	has "for a session it is enough" '[.decision.limit_bytes, .needed_bytes, .spaces]' "[$((5 * gib)),$((4097 * mib)),2]"

	domain db-viommu 1024 "$(hostdev 5)$(hostdev 6)<iommu model='intel'/>" "$label$db"
	preflight "one that it sees" 0 "$xml"
	has "RAM twice" '[.libvirt_limit_bytes, .decision.limit_bytes, .decision.factor]' "[$((3 * gib)),$((3 * gib)),2]"

	domain db-hard 2048 "$(hostdev 5)" "$label$db<memtune><hard_limit unit='GiB'>2</hard_limit></memtune>"
	preflight "a hard_limit without room for firmware" 77 "$xml"
	like "by 1M" "$err" 'refused: kernel: .* 2G \(hard-limit\), and 2049M will be locked: 1M short'

	domain db-huge 2048 "$(hostdev 5)" "$label$db<memoryBacking><hugepages><page size='2' unit='M'/></hugepages></memoryBacking>"
	preflight "huge pages" 0 "$xml"
	has "are no memory of a cgroup" '[.hugetlb, .memory_max_bytes]' \
		"[[{\"page_bytes\":$((2 * mib)),\"bytes\":$((2 * gib))}],$((3584 * mib))]"

	# 512 slots and 2 mappings for BARs: 65021 blocks of 1M fit.
	local mem="<memory model='virtio-mem'><target><size unit='MiB'>%s</size><block unit='MiB'>1</block></target></memory>"
	local cells="<cpu><numa><cell memory='1' unit='GiB'/></numa></cpu>"
	# shellcheck disable=SC2059 # it is the format
	domain db-blocks 1024 "$(hostdev 5)$(printf "$mem" 65020)" "$label$db$cells"
	preflight "as many blocks as fit" 0 "$xml"
	has "mappings" '[.blocks, .mappings, .decision.max_mappings]' '[65020,65534,65535]'
	# shellcheck disable=SC2059
	domain db-more-blocks 1024 "$(hostdev 5)$(printf "$mem" 65022)" "$label$db$cells"
	preflight "one more" 77 "$xml"
	like "with the numbers" "$err" \
		'refused: session-limit: .*65022 blocks .* 65536 mappings, max-mappings of policy "machines" is 65535: 1 too many'

	domain named-1 3072 "$(hostdev 5)" "$label"
	preflight "a policy for names, RAM without firmware" 77 "$xml"
	like "is a MiB short" "$err" 'refused: session-limit: .* policy "named" is 3G: 1M short'
	has "as a number" '[.fits, .short_bytes]' "[false,$mib]"
	domain other 1024 "$(hostdev 5)" "$label"
	preflight "for its user" 0 "$xml"
	has "another policy" .decision.policy '"own"'
	preflight "under another name" 0 "$xml" --domain named-2
	has "the policy of names" .decision.policy '"named"'
	preflight "in another cgroup" 0 "$xml" --cgroup /machine.slice/machine-db.slice/a.scope
	has "the policy of that" .decision.policy '"machines"'
	preflight "nobody's" 77 "$xml" --uid 1234
	like "no policy" "$err" 'refused: no-policy: '
	domain other-device 1024 "$(hostdev 7)" "$label"
	preflight "a device that the host has" 77 "$xml"
	like "needs another driver" "$err" 'refused: device-not-found: '
	domain many 1024 "$(for i in {0..16}; do hostdev "$i"; done)" "$label"
	preflight "17 devices" 77 "$xml"
	like "are too many" "$err" 'refused: bad-request: 17 devices are more than the 16 that a session has'
	domain nowhere 1024 "$(hostdev 5)" "$label<resource><partition>machine</partition></resource>"
	exits "a partition that is none" 64 "$pinbroker" preflight "${how[@]}" "$xml"
	preflight "which an option replaces" 0 "$xml" --cgroup /a
	domain nowhere 1024 "$(hostdev 5)" "$label<resource><partition>$(printf '/a%.0s' {1..100})</partition></resource>"
	exits "a cgroup that is too long" 64 "$pinbroker" preflight "${how[@]}" "$xml"
	domain nobody 1024 "$(hostdev 5)"
	exits "root says who runs it" 64 "$pinbroker" preflight "${how[@]}" "$xml"
	preflight "which may be an option" 0 "$xml" --uid 1000
	preflight "options alone" 0 --memory 1G --device 0000:00:05.0 --uid 1000
	has "are no domain" '[.domain, .libvirt_rule, .iommufd_limit_bytes]' "[null,null,$((2 * gib))]"
}

broker_start
fds=$(broker_fds)
everything

# What is found is what a session gets: one function decides.
domain mine 256 "$(hostdev 5)"
json=$(as 1000 "$pinbroker" preflight "$xml" --json)
limit=$(jq .decision.limit_bytes <<<"$json")
is "a user's own domain needs no label" "$(jq -c '[.fits, .decision.policy]' <<<"$json")" '[true,"own"]'
is "the limit is that of a session" "$(as 1000 "$pinbroker" run --memory 256M --device 0000:00:05.0 -- \
	"$pinbroker" list --json | jq '.[0].limit_bytes')" "$limit"
refused "for others root asks" not-permitted as 1000 "$pinbroker" preflight --uid 1001 --memory 1M
sessions_end
broker_fds_are "nothing is left open" "$fds"
broker_stop

how=(--config "$config")
everything
has "what is assumed" '.decision.assumed | length > 0' true
exits "a bad configuration" 78 "$pinbroker" preflight --config /nonexistent --memory 1M

# Every domain of the unit tests, for what it ends with; their numbers are checked there.
for xml in tests/domains/*.xml; do
	status=0
	timeout 20 "$pinbroker" preflight --config "$config" --uid 1000 --json "$xml" >"$tmp/out" 2>"$tmp/err" ||
		status=$?
	[[ $status == 0 || $status == 77 ]] || fail "$xml: exit status $status: $(cat "$tmp/err")"
	like "$xml: its verdict" "$(<"$tmp/out")" "\"fits\": $([[ $status == 0 ]] && echo true || echo false)"
done

is "a domain on standard input" "$("$pinbroker" preflight --config "$config" --uid 1000 --json - \
	<tests/domains/plain.xml | jq -c '[.fits, .domain]')" '[true,"plain"]'

# bad WHAT PATTERN: standard input is refused at once, whatever is in it.
bad() {
	local status=0

	timeout 20 "$pinbroker" preflight --config "$config" --uid 1000 - >"$tmp/out" 2>"$tmp/err" || status=$?
	is "$1: status" "$status" 77
	like "$1" "$(cat "$tmp/err")" "^pinbroker: refused: bad-request: -:$2[^"$'\n'"]*$"
	is "$1: nothing else" "$(cat "$tmp/out")" ""
}
head='<domain><name>a</name><memory>1</memory>'
bad "nothing" '' </dev/null
bad "no XML" '1: ' <<<"memory = 1G"
bad "another document" '1: <network> is no <domain>' <<<'<network/>'
bad "a wrong end" '2: ' <<<$'<domain>\n</network>'
bad "a bad number" "2: memory: '1G' is no number" <<<$'<domain>\n<memory>1G</memory></domain>'
bad "a document type" '1: a document type' <<<"<!DOCTYPE domain SYSTEM 'file:///etc/passwd'>$head</domain>"
bad "entities" '1: a document type' < <(
	printf '<!DOCTYPE d [<!ENTITY a0 "aaaaaaaaaa">'
	for i in {1..30}; do printf '<!ENTITY a%d "&a%d;&a%d;&a%d;&a%d;">' "$i" $((i - 1)){,,,}; done
	printf ']><domain><name>&a30;</name></domain>'
)
bad "100 MB" ' more than 4194304 bytes' < <(
	echo "$head<title>"
	tr '\0' x </dev/zero | head -c 100000000 2>/dev/null
)
bad "deep nesting" '1: more than [0-9]+ elements' < <(
	printf '%s' "$head"
	yes '<a>' | head -n 1000000 | tr -d '\n' 2>/dev/null
)
bad "attributes" '1: an element with [0-9]+ attributes' < <(
	printf '%s<a' "$head"
	seq -f " a%.0f=''" 5000 | tr -d '\n'
	echo '/></domain>'
)
bad "a tag without end" '1: a tag, comment or CDATA of more than' < <(
	printf "%s<a b='" "$head"
	tr '\0' x </dev/zero | head -c 3000000 2>/dev/null
)
exits "no such file" 64 "$pinbroker" preflight --config "$config" "$tmp/none.xml"
exits "a directory" 64 "$pinbroker" preflight --config "$config" "$tmp"
exits "a file and options" 64 "$pinbroker" preflight --memory 1G "$xml"
exits "neither" 64 "$pinbroker" preflight
