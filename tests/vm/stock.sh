#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The disks of an installed machine in a plain Debian without eyrie: stock tools open them, each
# member alone with the passphrase, and either disk boots the same.
#
# lab: --overlay left=KEPT/left.img --overlay right=KEPT/right.img --file KEPT/passphrase

# shellcheck disable=SC2317 # open() is called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh

# A pool can be busy for a moment after it was used.
export_pool() {
	for _ in 1 2 3 4 5 6 7 8 9; do
		zpool export "$pool" 2>/dev/null && return
		sleep 1
	done
	zpool export "$pool"
}

# Its name in the pool is that of the mapping, which is nothing but a name.
open() {
	cryptsetup open "$(part "$1" member)" "stock-$1" --key-file /cargo/passphrase
}

members() {
	zpool status -P "$pool" | awk '/\/dev\// { printf "%s%s %s", s, $1, $2; s = " " }'
}

same "no eyrie here" "" "$(type -P eyrie)"
check "left opens alone" open left
same "left holds the pool" "zfs_member" "$(blkid -p -o value -s TYPE /dev/mapper/stock-left)"
check "right opens alone" open right
same "right holds the pool" "zfs_member" "$(blkid -p -o value -s TYPE /dev/mapper/stock-right)"
pool=$(zpool import -d /dev/mapper | awk '$1 == "pool:" { print $2 }')
check "zpool import" zpool import -f -N -d /dev/mapper -R /mnt "$pool"
same "the pool is healthy" ONLINE "$(zpool list -H -o health "$pool")"
same "both members are online" "/dev/mapper/stock-left ONLINE /dev/mapper/stock-right ONLINE" \
	"$(members)"
root=$(zpool get -H -o value bootfs "$pool")
check "its root mounts" zfs mount "$root"
check "its files are there" test -x /mnt/usr/lib/systemd/systemd
check "its layout is there" test -s /mnt/etc/eyrie/eyrie.yaml
if grep -q 'unlock: shared' /mnt/etc/eyrie/eyrie.yaml; then
	check "its stock crypttab is there" grep -q x-initrd.attach /mnt/etc/crypttab
else
	same "its members are known" 2 "$(grep -c '"uuid"' /mnt/etc/eyrie/unlock.json)"
fi
status 0 "a scrub" zpool scrub -w "$pool"
same "a scrub finds no errors" "errors: No known data errors" \
	"$(zpool status "$pool" | grep ^errors)"
check "zpool export" export_pool

left=$(esp_files left)
right=$(esp_files right)
same "both EFI system partitions hold the same" "$left" "$right"
for file in EFI/BOOT/BOOTX64.EFI EFI/systemd/systemd-bootx64.efi loader/loader.conf; do
	check "there is $file" grep -q " ./$file$" <<<"$left"
done
check "there is a kernel" grep -Eq ' ./eyrie/.*/linux$' <<<"$left"
check "there is its initramfs" grep -Eq ' ./eyrie/.*/initrd$' <<<"$left"
check "there is an entry" grep -Eq ' ./loader/entries/eyrie-.*\.conf$' <<<"$left"

# One member alone is enough to read everything, years from now.
for name in left right; do
	check "zpool import of $name alone" sh -c "cryptsetup close stock-left; cryptsetup close stock-right
		cryptsetup open $(part "$name" member) stock-$name --key-file /cargo/passphrase &&
		zpool import -f -N -d /dev/mapper -R /mnt -o readonly=on $pool"
	same "$name alone: degraded" DEGRADED "$(zpool list -H -o health "$pool")"
	check "$name alone: its root mounts" zfs mount "$root"
	check "$name alone: every file can be read" tar -C /mnt/usr/bin -cf /dev/null .
	export_pool
done
finish
