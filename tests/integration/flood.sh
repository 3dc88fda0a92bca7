#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: SMP=1
# vm: ICOUNT=1
# A thousand silent connections and a hundred clients that attack in every way they can: what an
# honest client notices of it (flood.c says how that is measured), and what is left of it.
# shellcheck source=tests/integration/lib.bash
. tests/integration/lib.bash

# Everything is at its default but for who is known: budgets are what has to hold the crowd. A
# thousand silent connections are twenty users' at fifty each, below max-connections; descriptors
# are as many as the unit file allows.
cat >"$config" <<'C'
policy "honest" { users = {"1000"} accounting = "task" limit = "64M" }
policy "crowd" { users = {"2000-2019", "3000-3001"} accounting = "task" limit = "1M" }
C
ulimit -n 65536
broker_start
rss() { awk '/^VmRSS/ {print $2}' "/proc/$daemon/status"; }

fds=$(broker_fds)
"$here/tests/flood" 1 20 100 1000 >/dev/null || true # tables for so many exist from here on
broker_fds_are "before" "$fds"
before=$(rss)
"$here/tests/flood" 6 150 100 1000 || fail "an honest client waits"
broker_fds_are "after" "$fds"
is "sessions left" "$("$pinbroker" list --json)" "[]"
after=$(rss)
((after - before <= 256)) || fail "RSS grew from $before to $after KiB"
echo "RSS $before KiB before, $after KiB after; $(wc -l <"$log") lines of log"
broker_stop
