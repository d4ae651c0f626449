#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A machine with unlock: peer, without eyrie at boot: lines in crypttab and an initramfs are enough,
# and the same disks boot by stock systemd-cryptsetup.
#
# lab: --boot KEPT --file SOURCE/tests/vm/stock-boot.sh

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
# shellcheck source=tests/vm/stock-boot.sh
. /cargo/stock-boot.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

case $round in
1)
	check "an initramfs of stock parts" stock_boot
	again
	;;
2)
	same "the pool is whole" ONLINE "$(zpool list -H -o health)"
	check "systemd-cryptsetup opened the members" grep -q systemd-cryptsetup \
		<(journalctl -b -o short --no-pager)
	status 1 "eyrie-unlock had no part in it" grep -q "$EYRIE_UNLOCK" \
		<(journalctl -b -o short --no-pager)
	;;
esac
finish
