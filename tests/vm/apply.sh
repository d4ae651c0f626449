#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What apply makes is what the layout says, is there again after everything was closed, and is
# not made twice.
#
# lab: --disk left=:768M --disk right=:832M --disk up=:640M --disk down=:896M
# lab: --disk log-a=:576M --disk log-b=:576M --disk meta-a=:576M --disk meta-b=:576M
# lab: --disk fast=:576M --disk rest=:768M

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
install_eyrie

property() {
	zfs get -Hp -o value "$1" "$2"
}

# complete NAME: the set is as it should be, and running again does nothing.
complete() {
	status 0 "$1: the plan is empty" plan --check
	says "$1: it says so" "^Nothing to do"
	status 0 "$1: apply again" apply
	same "$1: it does nothing" "" "$(grep '^\[' "$OUT")"
}

test_volume_swap() {
	local uuid

	MORE='
datasets:
  ROOT/debian: { mountpoint: /, properties: { compression: zstd } }
  home: { mountpoint: /home, properties: { quota: 64M } }
  home/me: {}
  srv: { mountpoint: none }
volumes:
  scratch: { size: 16MiB, properties: { volblocksize: 16K } }
swap: { on: volume, size: 64MiB }'
	layout "$ID" "left right"
	status 0 "disks of unequal size: planned" plan
	says "disks of unequal size: said" "not of one size.* 64\.0 MiB"
	status 5 "there is something to do" plan --check
	status 0 "apply" apply
	complete "after apply"
	same "members are equally large" "$(blockdev --getsize64 "$(part left member)")" \
		"$(blockdev --getsize64 "$(part right member)")"
	same "a mirror of both" "tank-left ONLINE tank-right ONLINE" \
		"$(zpool status tank | awk '/tank-/ { printf "%s%s %s", s, $1, $2; s = " " }')"
	same "mounted" "/mnt/eyrie /mnt/eyrie/home /mnt/eyrie/home/me" \
		"$(findmnt -rnt zfs -o TARGET | sort | xargs)"
	same "compression" zstd "$(property compression tank/ROOT/debian)"
	same "the root is not mounted by itself" noauto "$(property canmount tank/ROOT/debian)"
	same "a quota" 67108864 "$(property quota tank/home)"
	same "a default of the pool" posix "$(property acltype tank/srv)"
	same "ashift" 12 "$(zpool get -Hp -o value ashift tank)"
	same "bootfs" tank/ROOT/debian "$(zpool get -Hp -o value bootfs tank)"
	same "a volume" 16777216 "$(property volsize tank/scratch)"
	same "swap is made" swap "$(blkid -p -o value -s TYPE /dev/zvol/tank/swap)"
	same "sectors of the encryption, for a system that nobody knows" 512 \
		"$(cryptsetup status tank-left | awk '/sector size/ { print $3 }')"
	uuid=$(blkid -p -o value -s UUID /dev/zvol/tank/swap)
	echo precious >/mnt/eyrie/home/me/file

	release
	status 5 "closed: there is something to do" plan --check
	says "closed: open" "open 'left' as /dev/mapper/tank-left"
	says "closed: import" "import the pool 'tank'"
	says "closed: look again" "look at what is inside"
	status 0 "closed: apply brings it back" apply
	same "closed: mounted" "/mnt/eyrie /mnt/eyrie/home /mnt/eyrie/home/me" \
		"$(findmnt -rnt zfs -o TARGET | sort | xargs)"
	same "closed: the file is there" precious "$(cat /mnt/eyrie/home/me/file)"
	same "closed: swap was not made again" "$uuid" \
		"$(blkid -p -o value -s UUID /dev/zvol/tank/swap)"
	complete "brought back"

	zfs set compression=off tank/ROOT/debian
	zfs umount tank/home/me
	status 5 "changed by hand" plan --check
	says "changed by hand: the property" "compression=zstd"
	status 0 "changed by hand: apply" apply
	same "changed by hand: set again" zstd "$(property compression tank/ROOT/debian)"
	complete "set again"

	release
	cryptsetup open "$(part left member)" tank-left --key-file "$SECRET"
	status 0 "half open: apply" apply
	complete "half open"
	release

	cryptsetup open "$(part left member)" other-left --key-file "$SECRET"
	status 3 "open under another name: apply" apply
	says "open under another name: what to do" "cryptsetup close other-left"
	cryptsetup close other-left
	cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file /dev/urandom \
		"$(disk up)" tank-left
	status 1 "its name is of another device: apply" apply
	says "its name is of another device: it says so" "/dev/mapper/tank-left is open already, and is not of"
	same "its name is of another device: nothing is imported" "" "$(zpool list -H -o name)"
	cryptsetup close tank-left
	release
	blank left right
}

test_one_disk_gone() {
	layout "$ID" "left right"
	status 0 "apply" apply
	release
	blkdiscard -f -q "$(disk right)"
	blockdev --rereadpt "$(disk right)"
	udevadm settle
	status 0 "one disk is blank: apply" apply
	says "one disk is blank: it is left alone" "disk 'right' .*no member of the pool 'tank' and is left alone"
	check "one disk is blank: it stays so" bash -c "! blkid -p $(disk right)"
	status 0 "one disk is blank: the plan is empty" eyrie plan "$LAYOUT" --check
	release
	blank left
}

# layout_native: a further pool that ZFS encrypts, and in it a dataset with a key of its own, a file.
layout_native() {
	MORE='
datasets: { ROOT/debian: { mountpoint: / } }
pools:
  nest:
    filesystem-properties: { encryption: aes-256-gcm, keyformat: passphrase, pbkdf2iters: 150000 }
    vdevs:
      - mirror: [up, down]
    datasets:
      www:
        mountpoint: /srv/www
        properties: { encryption: aes-128-gcm, keyformat: raw, keylocation: "file:///tmp/www.key" }'
	layout "$ID" "left right"
	sed -i '/^  right:/a\
  up: { path: /dev/disk/by-id/virtio-up }\
  down: { path: /dev/disk/by-id/virtio-down }' "$LAYOUT"
	printf 'a passphrase of the nest' >/tmp/nest-secret
	head -c 32 /dev/urandom >/tmp/www.key
}

keys_are_as_written() {
	same "$1: pbkdf2iters" 150000 "$(property pbkdf2iters nest)"
	same "$1: a passphrase that is asked for" "passphrase prompt" \
		"$(property keyformat nest) $(property keylocation nest)"
	same "$1: a key that is a file" "raw file:///tmp/www.key" \
		"$(property keyformat nest/www) $(property keylocation nest/www)"
	same "$1: it is a root of its own" nest/www "$(property encryptionroot nest/www)"
	same "$1: its cipher" aes-128-gcm "$(property encryption nest/www)"
	same "$1: both keys are there" "available available" \
		"$(property keystatus nest) $(property keystatus nest/www)"
	same "$1: it is mounted" /mnt/eyrie/srv/www \
		"$(findmnt -rnt zfs -o TARGET -S nest/www)"
}

test_native() {
	layout_native
	status 3 "native: without its passphrase nothing is begun" apply
	says "native: which one is told" "--key-file nest=FILE"
	status 0 "native: apply" apply --key-file nest=/tmp/nest-secret
	complete native
	keys_are_as_written native
	echo precious >/mnt/eyrie/srv/www/file
	release
	status 0 "native: apply brings it back" apply --key-file nest=/tmp/nest-secret
	keys_are_as_written "native, brought back"
	same "native: the file is there" precious "$(cat /mnt/eyrie/srv/www/file)"
	complete "native, brought back"
	release
	status 0 "native: stock tools open it" bash -c 'zpool import -N -d /dev/disk/by-partlabel nest &&
		zfs load-key nest </tmp/nest-secret && zfs load-key nest/www'
	release
	blank left right up down
}

test_stripes_and_partition_swap() {
	MORE='
datasets: { ROOT/debian: { mountpoint: / } }
swap: { on: partition, size: 64MiB }'
	layout "$ID" "left right" "up down"
	status 0 "two mirrors: apply" apply
	complete "two mirrors"
	same "two mirrors: in pairs" \
		"mirror-0 tank-left tank-right mirror-1 tank-up tank-down" \
		"$(zpool status tank | awk '/mirror-|tank-/ { printf "%s%s", s, $1; s = " " }')"
	same "two mirrors: a swap partition on each" 4 \
		"$(find /dev/disk/by-partlabel -name 'eyrie-swap-*' | wc -l)"
	same "two mirrors: of its size" 67108864 "$(blockdev --getsize64 "$(part up swap)")"
	release
	status 0 "two mirrors: apply brings them back" apply
	complete "two mirrors, brought back"
	release
}

# The pool as zpool has it: classes, kinds and devices.
devices() {
	zpool status tank | awk '/^config:/ { config = 1 } /^errors:/ { exit }
		config && /^\t/ && $1 !~ /^(NAME|tank)$/ {
			sub("-[0-9]+$", "", $1); printf "%s%s", s, $1; s = " " }'
}

spare_state() {
	zpool status tank | awk '$1 == "spares" { spares = 1 } spares && $1 == "falcon-rest" { print $2 }'
}

# Nobody but ZFS has a word for a spare that waits, and for one that is in use. Mappings have the names of
# the labels: what the machine calls them is in its root.
unlocked() {
	release
	status 0 "$1: eyrie unlock" eyrie unlock --passphrase-file "$SECRET"
	same "$1: every member has a part" "" "$(grep 'has no part' "$OUT")"
	same "$1: the pool" ONLINE "$(zpool list -H -o health)"
	same "$1: the spare" "$2" "$(spare_state)"
}

test_kinds_of_vdevs() {
	local kinds="raidz1 tank-left tank-right tank-up special mirror tank-meta-a tank-meta-b"

	kinds+=" logs mirror tank-log-a tank-log-b cache tank-fast spares tank-rest"
	MORE='datasets: { ROOT/debian: { mountpoint: / } }'
	blank left right up down
	layout "$ID" cache:fast "log:log-a log-b" "raidz1:left right up" spare:rest \
		"special:meta-a meta-b"
	status 0 "kinds of vdevs: apply" apply
	complete "kinds of vdevs"
	same "kinds of vdevs: each is of its kind" "$kinds" "$(devices)"
	release
	status 0 "kinds of vdevs: apply brings them back" apply
	complete "kinds of vdevs, brought back"
	unlocked "a spare that waits" AVAIL
	check "the spare takes a place" zpool replace -w tank /dev/mapper/falcon-{left,rest}
	unlocked "a spare in use" INUSE
	check "the spare is let go" zpool detach tank /dev/mapper/falcon-rest
	unlocked "a spare that waits again" AVAIL
	same "kinds of vdevs: as they were" "${kinds//tank-/falcon-}" "$(devices)"
	release
	blank left right up log-a log-b meta-a meta-b fast rest

	layout "$ID" "raidz3:left right up down"
	status 0 "raidz3: apply" apply
	complete raidz3
	same "raidz3: of its kind" "raidz3 tank-left tank-right tank-up tank-down" "$(devices)"
	release
	status 0 "raidz3: apply brings it back" apply
	complete "raidz3, brought back"
	release
}

test_volume_swap
test_one_disk_gone
test_native
test_stripes_and_partition_swap
test_kinds_of_vdevs
finish
