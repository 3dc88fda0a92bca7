#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# The client that pinbroker-protocol(7) gives as an example lists what there is.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

command -v python3 >/dev/null || { echo "no python3 to run the example with"; exit 4; }
cat >"$config" <<'C'
policy "tenants" {
	users = {"1000"}
	accounting = "task"
	limit = "1M"
}
C
broker_start
awk '/^\.Bd/ { on = 1; next } /^\.Ed/ { on = 0 } on { gsub(/\\e/, "\\"); print }' \
	man/pinbroker-protocol.7 >"$tmp/list.py"
is "without sessions" "$(python3 "$tmp/list.py")" ""
background as 1000 "$pinbroker" run --name guest -- "$vmm" "{iommufd}" hold
child_wait ^ready
id=$("$pinbroker" list --json | jq -r '.[0].id')
is "with one" "$(python3 "$tmp/list.py")" "$id guest"
is "for its user" "$(as 1000 python3 "$tmp/list.py")" "$id guest"
is "for another" "$(as 1001 python3 "$tmp/list.py")" ""
child_end
broker_stop
