#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A machine with unlock: shared or keystore whose owner makes a pool and an encrypted device: the next image
# starts it as before, and the running system has both. Then its root's pool is left as by a rescue
# system that did not export it, and it starts all the same.
#
# lab: --boot KEPT

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)

make_tank() {
	truncate -s 256M /var/lib/tank.img
	zpool create tank /var/lib/tank.img
	zpool set bootfs=tank tank
}

make_data() {
	truncate -s 64M /var/lib/data.img
	head -c 64 /dev/urandom >/root/data.key
	chmod 600 /root/data.key
	cryptsetup luksFormat --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
		/var/lib/data.img /root/data.key
	echo "data /var/lib/data.img /root/data.key luks,nofail" >>/etc/crypttab
}

# initrd_says PATTERN: in the journal, before the root was switched to.
initrd_says() {
	journalctl -b -o short-monotonic --no-pager | sed '/Switching root/q' | grep -q "$1"
}

# The host id that the labels of the root's pool have.
host_of_pool() {
	zdb -l "$(zpool list -HPLv -o name rpool | awk '/dev/ { print $1; exit }')" |
		awk '$1 == "hostid:" { print $2; exit }'
}

# Any change of the pool's configuration writes the host id that ZFS has of it, which it reads anew
# for multihost; the image has its own copy of what /etc/hostid was. Without an initramfs to go back
# to nothing exports the pool.
leave_to_another_host() {
	zgenhostid -f deadbeef
	zpool set multihost=off rpool
	zpool set comment=rescued rpool
	zpool sync rpool
	rm -f /run/initramfs/.need_shutdown
}

case $round in
1)
	check "a pool of the owner's" make_tank
	check "zpool.cache has it" test -s /etc/zfs/zpool.cache
	check "a device of the owner's" make_data
	check "an image" make_image "$kernel"
	status 0 "it goes onto the disks" eyrie boot sync
	again
	;;
2)
	same "the root's pool is whole" ONLINE "$(zpool list -H -o health rpool)"
	same "the root is of that pool" rpool "$(findmnt -no SOURCE / | cut -d / -f 1)"
	same "the owner's pool is there" ONLINE "$(zpool list -H -o health tank)"
	check "the owner's device is open" test -b /dev/mapper/data
	status 1 "the initramfs did not look for it" initrd_says "cryptsetup@data\|/var/lib/data"
	check "the initramfs imported the root's pool" initrd_says "Import the root pool"
	status 1 "it imported by no cache" initrd_says "Finished.*Import ZFS pools"
	check "another host has the pool" leave_to_another_host
	same "its labels say so" "$((0xdeadbeef))" "$(host_of_pool)"
	again
	;;
3)
	same "it starts with the pool of another host" ONLINE "$(zpool list -H -o health rpool)"
	same "that one had it last" rescued "$(zpool get -H -o value comment rpool)"
	;;
esac
finish
