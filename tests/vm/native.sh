#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A pool that ZFS encrypts itself (encryption: native) in a rescue system: eyrie unlock imports it by its
# GUID from the disks that are there, waits for one that is late and not for one that is dead, and loads
# its key; a wrong passphrase is told.
#
# lab: --disk left=:768M --disk right=:832M

# shellcheck disable=SC2317 # functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
printf 'not the right one' >/tmp/wrong

native_layout() {
	layout "$ID" "left right"
	sed -i 's/^encryption:/&\n  unlock: native/' "$LAYOUT"
}

# As on the system that would be on it.
write_config() {
	mkdir -p /tmp/root /etc/eyrie && eyrie boot write "$LAYOUT" --root /tmp/root &&
		cp /tmp/root/etc/eyrie/unlock.json /etc/eyrie
}

unlock() {
	eyrie unlock --passphrase-file "$SECRET"
}

# expect NAME HEALTH KEY
expect() {
	same "$1: the pool" "$2" "$(zpool list -H -o health)"
	same "$1: its key" "$3" "$(zfs get -Hpo value keystatus tank)"
	same "$1: nothing is mounted" "" "$(zfs list -H -o name,mounted | awk '$2 == "yes"')"
}

install_eyrie
native_layout
status 0 "apply" apply
check "the configuration is written" write_config
release

status 1 "wrong passphrase: eyrie unlock" eyrie unlock --passphrase-file /tmp/wrong
says "wrong passphrase: it says so" "the passphrase is wrong; the pool is imported"
expect "wrong passphrase" ONLINE unavailable
status 3 "imported: eyrie unlock is refused" unlock
says "imported: it says why" "the pool tank is imported already"
expect imported ONLINE unavailable
release

status 0 "both: eyrie unlock" unlock
same "both: nobody is waited for" "" "$(grep waiting "$OUT")"
expect both ONLINE available
release

pull right
status 0 "left alone: eyrie unlock" unlock
says "left alone: who did not come" "right did not come: "
expect "left alone" DEGRADED available
release

(sleep 3 && plug right) &
status 0 "right is late: eyrie unlock" unlock
says "right is late: it is waited for" "waiting [0-9]+ s for right"
same "right is late: it came" "" "$(grep 'did not come' "$OUT")"
check "right is late: it is brought up to date" zpool wait -t resilver tank
expect "right is late" ONLINE available
release
finish
