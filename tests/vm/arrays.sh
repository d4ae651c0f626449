#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The md arrays of a machine with a BIOS and a key device: ours by their UUID on any host, made
# again while they are marked new and never after, and nothing of others is taken for ours.
#
# lab: --disk left=:800M --disk right=:800M

# shellcheck disable=SC2317 # functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
install_eyrie
MORE='datasets: { ROOT/debian: { mountpoint: / } }
firmware: bios
encryption: { unlock: keystore, kdf: { memory: 32MiB, iterations: 4 } }
boot: { size: 256MiB, bios-size: 1MiB }'

# bios_layout: what layout() writes, without the two blocks that MORE has.
bios_layout() {
	layout "$ID" "left right"
	sed -i '/^encryption:$/,+1d; /^boot:$/,+1d' "$LAYOUT"
}

# detail ARRAY KEY: what md says of it.
detail() {
	mdadm --detail --export "/dev/md/$1" | sed -n "s/^$2=//p"
}

stop_all() {
	umount /mnt/eyrie/boot 2>/dev/null
	release
	mdadm --stop --scan >/dev/null 2>&1
	udevadm settle
}

# refused NAME REGEX: nothing is written to either disk.
refused() {
	local before

	before=$(edges left right)
	status 3 "$1: refused" plan
	says "$1: says why" "$2"
	same "$1: nothing is written" "$before" "$(edges left right)"
}

key_opens() {
	printf 'correct horse battery staple' |
		cryptsetup open --key-file - "/dev/md/eyrie-key" keyfile &&
		cryptsetup open --test-passphrase --key-file /dev/mapper/keyfile --keyfile-size 64 \
			"$(part "$1" member)"
	local r=$?
	cryptsetup close keyfile
	return "$r"
}

# No MiB of the open key device is what another one is, and none is zero.
is_random() {
	local at sums=''

	printf 'correct horse battery staple' |
		cryptsetup open --readonly --key-file - /dev/md/eyrie-key keyfile || return 1
	for ((at = 0; at < $(blockdev --getsize64 /dev/mapper/keyfile) / 1048576; at++)); do
		sums+=$(dd if=/dev/mapper/keyfile bs=1M skip="$at" count=1 status=none | md5sum)$'\n'
	done
	sums+=$(head -c 1M /dev/zero | md5sum)$'\n'
	cryptsetup close keyfile
	[[ $(sort <<<"$sums" | uniq -d) == '' && $at -gt 8 ]]
}

test_made() {
	bios_layout
	status 0 "apply" apply
	same "/boot is mounted" "ext4" "$(findmnt -no FSTYPE /mnt/eyrie/boot)"
	same "the array of /boot is of any host" "any:eyrie-boot" "$(detail eyrie-boot MD_NAME)"
	same "so is that of the key device" "any:eyrie-key" "$(detail eyrie-key MD_NAME)"
	same "both are RAID1" "raid1 raid1" "$(detail eyrie-boot MD_LEVEL) $(detail eyrie-key MD_LEVEL)"
	same "both are in step" "idle idle" \
		"$(cat /sys/block/md*/md/sync_action | xargs)"
	check "the key device is closed" test ! -e /dev/mapper/keyfile
	check "it opens left" key_opens left
	check "it opens right" key_opens right
	check "all of it is random" is_random
	check "the passphrase opens left, too" cryptsetup open --test-passphrase --key-file "$SECRET" \
		"$(part left member)"
	status 0 "nothing is left to do" plan --check
}

# Power on again: udev put the arrays together, or nobody did.
test_found() {
	stop_all
	status 0 "stopped: apply" apply
	same "stopped: /boot is mounted" "ext4" "$(findmnt -no FSTYPE /mnt/eyrie/boot)"
	status 0 "stopped: nothing is left to do" plan --check
}

# One leg away and back.
test_leg() {
	echo here >/mnt/eyrie/boot/file
	check "a leg fails" mdadm --quiet /dev/md/eyrie-boot --fail "$(part right boot)"
	status 0 "a leg failed: nothing is done about it" plan --check
	says "a leg failed: it says so" "the mirror of the /boot partition has given up a part"
	check "a leg is taken out" mdadm --quiet /dev/md/eyrie-boot --remove "$(part right boot)"
	status 5 "a leg is away: there is something to do" plan --check
	says "a leg is away: it says so" "take 'right' back into the mirror of the /boot partition"
	status 0 "a leg is away: apply" apply
	same "it is back" "0" "$(cat "/sys/block/$(basename "$(readlink -f /dev/md/eyrie-boot)")/md/degraded")"
	status 0 "it is back: nothing is left to do" plan --check
}

# run_alone LEG: the array of /boot with that leg, and something that only it has.
run_alone() {
	mdadm --quiet --assemble --run --homehost=any /dev/md/eyrie-boot "$(part "$1" boot)" &&
		mount /dev/md/eyrie-boot /media && head -c 24M /dev/urandom >"/media/$1" &&
		umount /media && mdadm --quiet --stop /dev/md/eyrie-boot
}

# Blocks in which the legs differ, by md's own check.
differences() {
	local md

	md=/sys/block/$(basename "$(readlink -f /dev/md/eyrie-boot)")/md
	echo check >"$md/sync_action"
	while [[ $(cat "$md/sync_action") != idle ]]; do
		sleep 0.2
	done
	cat "$md/mismatch_cnt"
}

# Each leg ran without the other, the one that is taken back for longer: nothing of it stays.
test_alone() {
	stop_all
	check "alone: left" run_alone left
	check "alone: right" run_alone right
	check "alone: right, again" run_alone right
	check "alone: left is started" mdadm --quiet --assemble --run --homehost=any \
		/dev/md/eyrie-boot "$(part left boot)"
	status 0 "alone: apply" apply
	same "alone: left has what it had" left "$(cd /mnt/eyrie/boot && ls left right 2>/dev/null)"
	same "alone: both legs are the same" 0 "$(differences)"
	status 0 "alone: nothing is left to do" plan --check
}

# What was put on an array that is marked new, as a power cut leaves it.
begin_array() {
	printf '#!/bin/sh\nexit 1\n' >/usr/local/sbin/mkfs.ext4
	chmod +x /usr/local/sbin/mkfs.ext4
	status 1 "half built: it gets no further" apply
	rm /usr/local/sbin/mkfs.ext4
	mkfs.ext4 -qF /dev/md/eyrie-boot && mount /dev/md/eyrie-boot /media &&
		echo here >/media/file && umount /media
}

# An array that was begun: the names say new, and one leg has nothing of it.
test_half_built() {
	stop_all
	blank left right
	bios_layout
	begin_array
	stop_all
	check "half built: right has nothing of it" mdadm --zero-superblock \
		"$(readlink -f /dev/disk/by-partlabel/eyrie-new-boot-right)"
	status 5 "half built: there is something to do" plan --check
	status 0 "half built: apply" apply
	same "half built: it is whole" "2" "$(detail eyrie-boot MD_DEVICES)"
	check "half built: it is another one" test ! -e /mnt/eyrie/boot/file
	status 0 "half built: nothing is left to do" plan --check
}

# Whoever put a disk of this set into an array of another host did it on purpose.
test_of_others() {
	stop_all
	mdadm --quiet --zero-superblock "$(part right boot)"
	mdadm --quiet --create /dev/md/other --run --level=1 --raid-devices=2 --homehost=elsewhere \
		--name=other --metadata=1.2 --bitmap=internal "$(part right boot)" missing
	refused "array of others, running" "is a part of an md array of another machine"
	mdadm --stop --scan >/dev/null 2>&1
	refused "array of others" "is a part of an md array of another machine"
	mdadm --quiet --zero-superblock "$(part right boot)"
	status 0 "it is gone: apply goes on with the other leg" apply
	says "it is gone: a warning" "is no part of an array any more"
}

# A UEFI machine's disks have nothing that a BIOS could start.
test_no_bios_partition() {
	stop_all
	blank left right
	MORE='datasets: { ROOT/debian: { mountpoint: / } }'
	layout "$ID" "left right"
	sed -i 's/^boot:$/boot:\n  size: 256MiB/' "$LAYOUT"
	status 0 "a machine with UEFI" apply
	release
	sed -i '1i firmware: bios' "$LAYOUT"
	refused "another firmware" "which 'firmware: bios' does not use"
	says "another firmware: what to do" "put 'firmware: uefi' back"
	sed -i '1s/.*/firmware: both/' "$LAYOUT"
	refused "no BIOS boot partition" "has no BIOS boot partition"
	says "no BIOS boot partition: what to do" "a BIOS starts nothing from a GPT disk without it"
	sed -i '/^encryption:$/,+1d; 1s/.*/encryption: { unlock: keystore }/' "$LAYOUT"
	refused "no key partition" "has no key device"
	says "no key partition: what to do" "no room for one once a disk is partitioned"
}

test_made
test_found
test_leg
test_alone
test_half_built
test_of_others
test_no_bios_partition
finish
