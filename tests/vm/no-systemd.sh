#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# unlock: peer in a dracut without systemd: one question, the whole pool and nothing else, and the
# same with a disk pulled.
#
# lab: --boot KEPT --pull right

# shellcheck disable=SC2317 # functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)

# As on a root that has none. Later files of dracut.conf.d win.
without_systemd() {
	sed 's|/lib/systemd/systemd"|/nowhere"|g' /etc/dracut.conf.d/50-eyrie.conf \
		>/etc/dracut.conf.d/60-no-systemd.conf
	make_image "$kernel"
}

lists() {
	lsinitrd "/boot/initrd.img-$kernel" | grep -Eq " $1\$"
}

expect_machine() {
	same "$1: the root" zfs "$(findmnt -no FSTYPE /)"
	same "$1: systemd began with this root" 0 "$(systemctl show -P InitRDTimestampMonotonic)"
	same "$1: no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
	same "$1: it is running" running "$(systemctl is-system-running --wait)"
	same "$1: the pool" "$2" "$(zpool list -H -o health)"
	status 0 "$1: the plan is empty" eyrie plan --check
}

case $round in
1)
	check "an initramfs without systemd is made" without_systemd
	status 1 "systemd is not in it" lists usr/lib/systemd/systemd
	status 1 "systemd-ask-password is not in it" lists usr/bin/systemd-ask-password
	check "eyrie-unlock is in it" lists usr/sbin/eyrie-unlock
	status 0 "sync" eyrie boot sync
	again
	;;
2)
	expect_machine "all disks" ONLINE
	again pulled
	;;
3)
	expect_machine "right pulled" DEGRADED
	;;
esac
finish
