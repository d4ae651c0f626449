#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A machine with a key device: it is open for as long as the initramfs needs it and no longer, with
# all disks, without one, and when that comes back. Without the key device the passphrase is enough. What
# is shipped for an initramfs that leaves it open closes it, and does no harm where that did not happen.
#
# lab: --boot KEPT --file KEPT/passphrase --pull left

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# expect NAME HEALTH
expect() {
	same "$1: the pool" "$2" "$(zpool list -H -o health)"
	same "$1: no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
	same "$1: it is running" running "$(systemctl is-system-running --wait)"
	same "$1: the key device is not among the mappings" "" \
		"$(cat /sys/block/dm-*/dm/name | grep -x keyfile)"
	same "$1: nobody holds its array" "" \
		"$(ls "/sys/block/$(basename "$(readlink -f /dev/md/eyrie-key)")/holders")"
	same "$1: no job waits" "" "$(systemctl list-jobs --plain --no-legend |
		grep -Ev 'eyrie-|multi-user|graphical|systemd-update-utmp|boot.mount')"
	same "$1: it was closed before this root" "closed" "$(
		journalctl -b -o short-monotonic --no-pager | awk '
			/Switching root|Reached target.*Switch Root/ { print closed ? "closed" : "open"; exit }
			/Finished.*eyrie-key-close/ { closed = 1 }')"
	check "$1: systemd-cryptsetup opened the members" grep -q 'systemd-cryptsetup\[' \
		<(journalctl -b -o short --no-pager)
}

said() {
	journalctl -b -o cat --no-pager | grep -c 'a leg of the key device is missing'
}

lose_key_device() {
	mdadm --stop /dev/md/eyrie-key && mdadm --zero-superblock "$(part left key)" "$(part right key)"
}

# close_by NAME COMMAND...
close_by() {
	local name=$1

	shift
	check "$name: the key device is opened by hand" \
		cryptsetup open /dev/md/eyrie-key keyfile --key-file /cargo/passphrase
	status 0 "$name: it runs" "$@"
	same "$name: the key device is closed" "" "$(cat /sys/block/dm-*/dm/name | grep -x keyfile)"
	status 0 "$name: it runs once more" "$@"
}

# As their first lines say; the unit is there at the next starts, too.
close_later() {
	local examples=/usr/share/doc/eyrie/examples

	check "the unit is put on" cp $examples/eyrie-keyfile-close.service /etc/systemd/system
	check "the unit is enabled" systemctl enable eyrie-keyfile-close
	close_by "eyrie-keyfile-close" systemctl start eyrie-keyfile-close
	close_by "keyfile.start" $examples/keyfile.start
}

case $round in
1)
	expect "all disks" ONLINE
	same "all disks: the array had all legs" 0 "$(said)"
	status 0 "all disks: the plan is empty" eyrie plan --check
	close_later
	again pulled
	;;
2)
	expect "left pulled" DEGRADED
	same "left pulled: it says so, once" 1 "$(said)"
	again
	;;
3)
	expect "both again" ONLINE
	for _ in {1..60}; do
		! cat /sys/block/md*/md/degraded | grep -q '[1-9]' || sleep 1
	done
	same "both again: no array lacks a leg" "" "$(cat /sys/block/md*/md/degraded | grep '[1-9]')"
	status 0 "both again: the plan is empty" eyrie plan --check
	check "the key device is lost" lose_key_device
	again
	;;
4)
	same "key device lost: the pool" ONLINE "$(zpool list -H -o health)"
	check "key device lost: it says so" grep -q 'there is no key device that opens' \
		<(journalctl -b -o cat --no-pager)
	;;
esac
finish
