#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Disks that are not this machine's are plugged in while it boots: a pool of the same name, and the
# two members of another machine that the same passphrase opens. One question, the right pool, and
# nothing is written to what is foreign.
#
# lab: --boot KEPT --file KEPT/passphrase --disk pool=:256M --disk hers=:640M --disk his=:640M

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SECRET=/cargo/passphrase
own=$(zpool list -H -o name | head -n 1)

make_foreign_pool() {
	zpool create -t stranger -m none "$own" "$(disk pool)" && zpool export stranger
}

make_foreign_set() {
	apply && umount -R /mnt/eyrie && zpool export tank &&
		cryptsetup close tank-hers && cryptsetup close tank-his
}

case $round in
1)
	check "a pool of the same name" make_foreign_pool
	layout "$OTHER_ID" "hers his"
	check "another machine's disks" make_foreign_set
	sums pool hers his >/root/sums
	again
	;;
2)
	same "one pool is imported" "$own" "$(zpool list -H -o name)"
	same "it is this machine's" "$(sed -n 's/.*"pool-guid": *"\([0-9]*\)".*/\1/p' \
		/etc/eyrie/unlock.json)" "$(zpool list -H -p -o guid)"
	same "it is whole" ONLINE "$(zpool list -H -o health)"
	same "no foreign member is open" "" \
		"$(find /dev/mapper -name '*-hers' -o -name '*-his')"
	status 0 "the plan is empty" eyrie plan --check
	same "foreign disks are as they were" "$(cat /root/sums)" "$(sums pool hers his)"
	;;
esac
finish
