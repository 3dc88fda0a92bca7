#!/bin/bash
# SPDX-License-Identifier: MIT
# vm: KERNEL=any
# vm: ROOT=sid
# vm: SYSTEMD=1
# vm: TMO=1800
# libvirt's domains where no broker answers the hook: hook-fallback decides, also about one that
# takes its time; what runs already goes on, and ends as it should.
# shellcheck source=tests/integration/libvirt.bash
. tests/integration/libvirt.bash

policy='policy "databases" { domains = {"db-*"} accounting = "task" limit = "256M" devices = {"0000:00:05.0"} }'
hook_install
domain db-1 128 0000:00:05.0

# Nothing is configured, nobody is there, and nobody answers.
down='pinbroker: refused: domain .db-1. has devices by iommufd, and no broker answers \(No such file or directory\): hook-fallback = refuse'
exits "without a configuration" 1 virsh start db-1
like "it says" "$err" "$down"
echo "$policy" >"$config"
exits "by default" 1 virsh start db-1
like "it says" "$err" "$down"
background "$here/tests/activate" "$socket" /bin/sleep 1000
until [[ -S $socket ]]; do :; done
exits "nobody answers" 1 virsh start db-1
like "it says" "$err" 'pinbroker: refused: the broker did not answer in time'
child_end
rm -f "$socket"
printf 'hook-fallback = "allow"\n%s\n' "$policy" >"$config"

# Allowed: it runs within libvirt's limits, is unknown to a broker that comes later, and ends.
started db-1
is "libvirt's limit" "$(memlock "$(pid_of db-1)")" "$(((128 + 1024) * mib)) $(((128 + 1024) * mib))"
broker_start
is "what the broker knows" "$("$pinbroker" list --json)" '[]'
exits "destroyed" 0 virsh destroy db-1

# With a broker that stops, and one that comes again, while it runs.
started db-1
is "its limit" "$(memlock "$(pid_of db-1)")" "$((256 * mib)) $((256 * mib))"
broker_stop
is "it runs on" "$(virsh domstate db-1)" running
exits "destroyed without a broker" 0 virsh destroy db-1
broker_start
is "nothing is left" "$("$pinbroker" list --json)" '[]'
is "what the hook remembers" "$(ls /run/pinbroker/libvirt 2>/dev/null || true)" ""
started db-1
exits "destroyed with one" 0 virsh destroy db-1
gone "at last"
broker_stop

# By hand: it is libvirt's, and a step that it does not know is none of its business.
exits "by hand" 64 "$hook"
exits "reconnect" 0 "$hook" db-1 reconnect begin -
exits "an operation to come" 0 "$hook" db-1 tomorrow begin -
exits "no domain" 65 "$hook" db-1 prepare begin -
exits "no domain, at its end" 0 "$hook" db-1 release end destroyed
