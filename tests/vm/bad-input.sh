#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What must be refused is refused, with words that help and without a byte written; with the
# --wipe that the words name it goes through. A disk that no layout names is left alone.
#
# lab: --disk left=:640M --disk right=:640M --disk third=:64M

# shellcheck disable=SC2317 # stamps are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
install_eyrie
layout "$ID" "left right"

# refused STATUS NAME REGEX COMMAND...: nothing is written to either disk.
refused() {
	local wanted=$1 name=$2 regex=$3 before after

	shift 3
	before=$(writes left right; edges left right)
	status "$wanted" "$name: refused" "$@"
	says "$name: says why" "$regex"
	after=$(writes left right; edges left right)
	same "$name: nothing is written" "$before" "$after"
}

# Stamps: each puts something on the disk with this node.

stamp_ext4() {
	mkfs.ext4 -qF -L memories "$1"
}

# A boot sector and a master file table, as far as blkid looks.
stamp_ntfs() {
	python3 - "$1" <<-'END'
	import struct, sys
	boot = bytearray(512)
	boot[0:11] = b"\xebR\x90NTFS    "
	struct.pack_into("<HB", boot, 11, 512, 8)
	boot[21] = 0xf8
	struct.pack_into("<QQQbxxxbxxxQ", boot, 40, 100000, 4, 8, -10, 1, 0x1234567890abcdef)
	boot[510:512] = b"\x55\xaa"
	with open(sys.argv[1], "r+b") as disk:
	    disk.write(boot)
	    for cluster in 4, 8:
	        for record in range(4):
	            disk.seek(cluster * 4096 + record * 1024)
	            disk.write(b"FILE".ljust(1024, b"\0"))
	END
}

stamp_gpt() {
	python3 - "$1" <<-'END'
	import os, struct, sys, uuid, zlib
	with open(sys.argv[1], "r+b") as disk:
	    n = disk.seek(0, 2) // 512
	    linux = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le
	    entry = linux + uuid.uuid4().bytes_le + struct.pack("<QQQ", 2048, 65535, 0)
	    entries = (entry + "photos".encode("utf-16-le").ljust(72, b"\0")).ljust(128 * 128, b"\0")
	    id = uuid.uuid4().bytes_le
	    def header(here, there, table):
	        def pack(crc):
	            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, here,
	                               there, 34, n - 34, id, table, 128, 128, zlib.crc32(entries))
	        return pack(zlib.crc32(pack(0))).ljust(512, b"\0")
	    mbr = bytearray(512)
	    mbr[446:462] = struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, n - 1)
	    mbr[510:512] = b"\x55\xaa"
	    for at, data in ((0, mbr), (1, header(1, n - 1, 2)), (2, entries), (n - 33, entries),
	                     (n - 1, header(n - 1, 1, n - 33))):
	        disk.seek(at * 512)
	        disk.write(data)
	END
	blockdev --rereadpt "$1"
	udevadm settle
	mkfs.ext4 -qF "${1}1"
}

stamp_luks() {
	cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$1" "$SECRET"
}

stamp_md() {
	mdadm --create /dev/md/stamp --run --level=1 --raid-devices=2 "$1" missing
	udevadm settle
	mdadm --stop /dev/md/stamp
}

stamp_zfs() {
	zpool create -f -m none memories "$1" && zpool export memories
}

stamp() {
	"stamp_$1" "$2" >/tmp/stamp 2>&1 || { echo "# cannot make $1"; sed 's/^/# /' /tmp/stamp; }
	sync
	udevadm settle
}

# carries LEFT WORD RIGHT WORD: both disks carry something, and each wants its own --wipe.
carries() {
	stamp "$1" "$(disk left)"
	stamp "$3" "$(disk right)"
	refused 4 "$1 and $3" "\b$2\b" apply
	says "$1 and $3: the right disk too" "\b$4\b"
	says "$1 and $3: names --wipe left" "--wipe left\b"
	says "$1 and $3: names --wipe right" "--wipe right\b"
	refused 4 "$1 and $3, only --wipe left" "--wipe right\b" apply --wipe left
	refused 4 "$1 and $3, --yes is no --wipe" "--wipe right\b" apply --yes
	status 0 "$1 and $3: goes through with both" apply --wipe left --wipe right
	status 0 "$1 and $3: nothing is left to do" plan --check
	release
	blank left right
}

# uses NAME REGEX: whatever is said, a disk in use is not touched.
uses() {
	refused 3 "$1" "$2" apply
	refused 3 "$1, even with --wipe" "$2" apply --wipe left --wipe right
}

test_signatures() {
	carries ext4 ext4 ntfs ntfs
	carries gpt photos md linux_raid_member
	carries luks crypto_LUKS zfs zfs_member
}

test_in_use() {
	local right

	right=$(disk right)
	stamp ext4 "$right"
	mkdir -p /tmp/mnt
	mount -o ro "$right" /tmp/mnt
	uses "mounted" "mounted on /tmp/mnt"
	umount /tmp/mnt
	blank right

	stamp gpt "$right"
	mount -o ro "${right}1" /tmp/mnt
	uses "a partition is mounted" "mounted on /tmp/mnt"
	umount /tmp/mnt
	blank right

	echo "0 8192 linear $right 0" | dmsetup create held
	uses "held by device-mapper" "in use by dm-"
	dmsetup remove held

	mkswap -q "$right"
	swapon "$right"
	uses "swap" "mounted on swap|in use by"
	swapoff "$right"
	blank right

	zpool create -f -m none memories "$right"
	zpool sync
	uses "in an imported pool" "in use by"
	zpool destroy memories
	blank right
}

test_other_set() {
	layout "$OTHER_ID" "left right"
	check "another set is made" apply
	release
	layout "$ID" "left right"
	refused 4 "another set" "another machine or set" apply
	refused 4 "another set, one --wipe" "--wipe right" apply --wipe left
	status 0 "another set: goes through" apply --wipe left --wipe right
	status 0 "another set: nothing is left to do" plan --check
	release
}

# After the set was made: the left member is there, the right one is yet to come.
test_passphrase() {
	printf 'something else entirely' >/tmp/wrong
	: >/tmp/empty
	cryptsetup config "$(part left member)" --label eyrie-new-left --subsystem "eyrie:$ID"
	blank right
	refused 1 "another passphrase than the first member's" "does not open 'left'" \
		apply --passphrase-file /tmp/wrong
	release
	refused 3 "an empty passphrase file" "empty" apply --passphrase-file /tmp/empty
	refused 3 "no passphrase file" "cannot open /tmp/none" apply --passphrase-file /tmp/none
	refused 3 "no passphrase and no terminal" "--passphrase-file" eyrie apply "$LAYOUT" --yes
	status 0 "the first member's passphrase goes on" apply
	status 0 "nothing is left to do" plan --check
	release
	blank left right
}

typed() {
	(sleep 3; echo one; sleep 2; echo two; sleep 2) |
		script -qec "eyrie apply $LAYOUT --yes" /dev/null
}

test_layout() {
	refused 3 "no layout file" "/tmp/none.yaml" eyrie apply /tmp/none.yaml
	sed -i 's|virtio-right|virtio-nowhere|' "$LAYOUT"
	refused 3 "a disk that is not there" "virtio-nowhere" apply
	sed -i "s|/dev/disk/by-id/virtio-nowhere|$(disk left)|" "$LAYOUT"
	refused 3 "two names for one disk" "second name" apply
	layout "$ID" "left third"
	refused 3 "too small" "too small by" apply
	layout "$ID" "left right"
	refused 3 "passphrases typed differently" "differ" typed
	refused 3 "not root" "root" setpriv --reuid 65534 --clear-groups eyrie apply "$LAYOUT"
	blockdev --setro "$(disk right)"
	refused 3 "read-only" "read-only" apply
	blockdev --setrw "$(disk right)"
}

test_pool_name() {
	truncate -s 128M /tmp/vdev
	zpool create -m none tank /tmp/vdev
	refused 3 "the pool's name is taken" "'tank' is imported" apply
	zpool destroy tank
}

test_missing_parts() {
	local module

	mv /usr/sbin/mkfs.vfat /usr/sbin/mkfs.hidden
	refused 3 "a program is missing" "apt install dosfstools" apply
	mv /usr/sbin/mkfs.hidden /usr/sbin/mkfs.vfat

	module=$(modinfo -n zfs)
	modprobe -r zfs
	mv "$module" "$module.hidden"
	refused 3 "the zfs module is missing" "apt install zfs-dkms" apply
	mv "$module.hidden" "$module"
	modprobe zfs
}

# udev looks at a disk again when anybody who had it open for writing closes it.
n_written() {
	udevadm settle
	sleep 1
	grep -c "change.*/$(basename "$(disk third)") " /tmp/events
}

dd if=/dev/urandom of="$(disk third)" bs=4M count=16 status=none conv=fsync
sleep 1
udevadm settle
stdbuf -oL udevadm monitor --kernel --subsystem-match=block >/tmp/events &
third=$(writes third; sums third)

test_layout
test_pool_name
test_missing_parts
test_in_use
test_signatures
test_other_set
test_passphrase

same "the third disk is what it was" "$third" "$(writes third; sums third)"
same "the third disk was never open for writing" 0 "$(n_written)"
: <>"$(disk third)"
same "(that would have been seen)" 1 "$(n_written)"
finish
