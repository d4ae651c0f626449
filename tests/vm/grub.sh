#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An installed machine with a BIOS: GRUB and its menu follow the kernels, a broken GRUB is mended,
# a full /boot loses nothing, and a leg of /boot that was away comes back by itself.
#
# lab: --boot KEPT --pull right

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)
MENU=/boot/eyrie/grub/grub.cfg

entries() {
	sed -n "s/^menuentry .*--id '\(.*\)' {/\1/p" "$MENU" | xargs
}

hook() {
	run-parts --exit-on-error --arg="$1" --arg="/boot/vmlinuz-$1" --regex '^zz-' \
		/etc/kernel/postinst.d
}

# mbr NAME: the first block of a disk and that of its GRUB.
grub_of() {
	{
		dd if="$(disk "$1")" bs=512 count=1 status=none
		dd if="$(part "$1" bios)" bs=1M count=1 status=none
	} | sha256sum
}

test_state() {
	same "the root" zfs "$(findmnt -no FSTYPE /)"
	check "no UEFI here" test ! -d /sys/firmware/efi
	same "no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
	same "it is running" running "$(systemctl is-system-running --wait)"
	check "/boot is on md" grep -q ' /boot .* /dev/md' /proc/self/mountinfo
	status 0 "the plan is empty" eyrie plan --check
	same "the menu has the kernel" "$kernel" "$(entries)"
	check "what update-grub writes is not there" test ! -e /boot/grub/grub.cfg
	same "everything in fstab is nofail or noauto" "" \
		"$(grep -v '^#' /etc/fstab | grep -Ev 'nofail|noauto')"
}

test_hook() {
	local before

	before=$(sha256sum "$MENU")
	status 0 "kernel hooks, ours and those of grub2-common" hook "$kernel"
	same "kernel hooks: nothing to do, nothing done" "$before" "$(sha256sum "$MENU")"
	echo "# by hand" >>"$MENU"
	status 0 "kernel hooks: the menu was changed" hook "$kernel"
	says "kernel hooks: it is said what went" '^ *-# by hand$'
	same "kernel hooks: it is ours again" "$before" "$(sha256sum "$MENU")"
}

# A second kernel joins the menu only with its own zfs.ko in its initramfs.
test_kernels() {
	local fake=6.1.0-fake

	cp -r "/usr/lib/modules/$kernel" "/usr/lib/modules/$fake"
	depmod "$fake"
	cp "/boot/vmlinuz-$kernel" "/boot/vmlinuz-$fake"
	status 0 "a kernel without an initramfs: sync" eyrie boot sync
	same "a kernel without an initramfs: not in the menu" "$kernel" "$(entries)"
	check "its initramfs is made" make_image "$fake"
	status 0 "a kernel with one: sync" eyrie boot sync
	same "a kernel with one: in the menu, newest first" "$kernel $fake" "$(entries)"
	check "the menu falls back to it" grep -qx 'set fallback="1"' "$MENU"
	rm -r "/boot/vmlinuz-$fake" "/boot/initrd.img-$fake" "/usr/lib/modules/$fake"
	status 0 "it is gone: sync" eyrie boot sync
	same "it is gone from the menu" "$kernel" "$(entries)"
	status 0 "it is gone: the plan is empty" eyrie plan --check
}

test_broken_grub() {
	local before

	before=$(grub_of right)
	dd if=/dev/zero of="$(disk right)" bs=440 count=1 conv=notrunc,fsync status=none
	status 5 "no boot code on right: there is something to do" eyrie plan --check
	says "no boot code on right: it says what" "install GRUB on 'right'"
	status 0 "no boot code on right: sync" eyrie boot sync
	same "no boot code on right: it is as it was" "$before" "$(grub_of right)"
	dd if=/dev/urandom of="$(part right bios)" bs=4k seek=4 count=1 conv=notrunc,fsync status=none
	status 5 "a torn GRUB on right: there is something to do" eyrie plan --check
	status 0 "a torn GRUB on right: sync" eyrie boot sync
	same "a torn GRUB on right: it is as it was" "$before" "$(grub_of right)"
	status 0 "then the plan is empty" eyrie plan --check
}

# grubs: the folders of GRUBs in /boot.
grubs() {
	find /boot/eyrie/grub -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | xargs
}

# A newer GRUB beside the one that disks start; what an interrupted run left of it is made anew.
test_new_grub() {
	local before folder mod=/usr/lib/grub/i386-pc/normal.mod

	before=$(grubs)
	printf x >>"$mod"
	folder=/boot/eyrie/grub/$(sha256sum "$mod" | cut -c1-16)/grub/i386-pc
	mkdir -p "$folder" && echo torn >"$folder/core.img" && echo torn >"$folder/normal.mod"
	status 5 "a newer GRUB: there is something to do" eyrie plan --check
	says "a newer GRUB: onto the other disk, too" "install GRUB on 'right'"
	says "a newer GRUB: the one of before goes" \
		"remove the GRUB of before from /boot: eyrie/grub/$before"
	status 0 "a newer GRUB: sync" eyrie boot sync
	check "a newer GRUB: it is whole" cmp "$folder/normal.mod" "$mod"
	check "a newer GRUB: it is the only one" test "$(grubs)" = "$(cut -d/ -f5 <<<"$folder")"
	status 0 "a newer GRUB: the plan is empty" eyrie plan --check
}

test_full() {
	local before

	before=$(sha256sum "$MENU" "/boot/initrd.img-$kernel")
	echo "# changed" >>"$MENU"
	dd if=/dev/zero of=/boot/filler bs=1M status=none 2>/dev/null
	dd if=/dev/zero of=/boot/filler2 bs=512 status=none 2>/dev/null
	cp "$MENU" /tmp/menu
	status 1 "/boot is full: sync" eyrie boot sync
	says "/boot is full: it says so" "No space left on device"
	says "/boot is full: what to do" "/boot is full: remove a kernel package"
	check "/boot is full: the menu is whole" cmp "$MENU" /tmp/menu
	rm /boot/filler /boot/filler2
	status 0 "there is room again: sync" eyrie boot sync
	same "nothing was lost" "$before" "$(sha256sum "$MENU" "/boot/initrd.img-$kernel")"
}

# udev starts it 30 s after its first leg came.
boot_is_mounted() {
	local i

	for ((i = 0; i < 180; i++)); do
		! mountpoint -q /boot || return 0
		sleep 1
	done
	return 1
}

missing_legs() {
	cat /sys/block/md*/md/degraded | xargs
}

is_whole() {
	local i

	for ((i = 0; i < 120; i++)); do
		[[ $(missing_legs) =~ [1-9] ]] || return 0
		sleep 1
	done
	return 1
}

# What has no /boot to go by says so, and does not seem to be done.
test_without_boot() {
	check "/boot is unmounted" umount /boot
	status 1 "/boot is not mounted: sync" eyrie boot sync
	says "/boot is not mounted: it says so" "/boot is not mounted"
	check "/boot is mounted again" mount /boot
	status 0 "/boot is mounted again: sync" eyrie boot sync
}

case $round in
1)
	test_state
	test_hook
	test_without_boot
	test_kernels
	test_broken_grub
	test_new_grub
	test_full
	echo kestrel >/etc/hostname # an array of this set is one under any name
	again pulled
	;;
2)
	same "right pulled: the pool is degraded" DEGRADED "$(zpool list -H -o health)"
	same "right pulled: it is running" running "$(systemctl is-system-running --wait)"
	check "right pulled: /boot is mounted" boot_is_mounted
	status 0 "right pulled: the plan is empty" eyrie plan --check
	check "right pulled: a new initramfs" make_image "$kernel"
	status 0 "right pulled: kernel hooks" hook "$kernel"
	printf y >>/usr/lib/grub/i386-pc/normal.mod
	status 0 "right pulled: a newer GRUB waits for it" eyrie plan --check
	echo written >/boot/while-it-was-away
	again
	;;
3)
	same "both again: it is running" running "$(systemctl is-system-running --wait)"
	check "both again: /boot is mounted" boot_is_mounted
	check "both again: the leg that was away is back" is_whole
	same "both again: with what was written without it" written "$(cat /boot/while-it-was-away)"
	status 0 "both again: boot sync" eyrie boot sync
	same "both again: one GRUB for both" 1 "$(grubs | wc -w)"
	status 0 "both again: the plan is empty" eyrie plan --check
	;;
esac
finish
