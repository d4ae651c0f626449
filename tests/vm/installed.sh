#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An installed machine, booted by its own firmware and loader: it is what its layout says, and
# kernels and initramfs images that come and go reach every disk, or are kept from it.
#
# lab: --boot KEPT

# shellcheck disable=SC2016 # esp() expands what is quoted

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
LAYOUT=/etc/eyrie/eyrie.yaml
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)

# initrds NAME: sums of the images that entries on this disk name; not of what is fallen back to.
initrds() {
	esp "$1" 'grep -L "^version .*~before" loader/entries/eyrie-*.conf |
		xargs sed -n "s/^initrd //p" |
		while read -r image; do sha256sum <".$image"; done | sort'
}

published() {
	esp "$1" 'sed -n "s/^version //p" loader/entries/eyrie-*.conf | grep -v "~before" | sort | xargs'
}

# fallback NAME: files of entries for what the machine was started by, while /boot has another image.
fallback() {
	esp "$1" 'cd loader/entries && grep -l "^version .*~before" eyrie-*.conf'
}

# selected: the entry that the machine was started by, without a counter.
selected() {
	tail -c +5 < <(cat /sys/firmware/efi/efivars/LoaderEntrySelected-*) | tr -d '\0' |
		sed 's/+[0-9-]*\.conf/.conf/'
}

in_step() {
	same "$1: the EFI system partitions hold the same" "$(esp_files left)" "$(esp_files right)"
	same "$1: the initramfs of /boot" "$(sha256sum <"/boot/initrd.img-$kernel")" "$(initrds left)"
	status 0 "$1: the plan is empty" eyrie plan --check
}

test_state() {
	same "the root" zfs "$(findmnt -no FSTYPE /)"
	same "no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
	same "it is running" running "$(systemctl is-system-running --wait)"
	status 0 "the plan is empty" eyrie plan --check
	says "the plan says so" "^Nothing to do"
	check "observe" eyrie observe
	same "its layout is root's alone" "600 root" "$(stat -c '%a %U' "$LAYOUT")"
	in_step "as installed"
}

# With unlock: peer no stock tool knows of the members.
test_crypttab() {
	local name

	if ! grep -q 'unlock: shared' "$LAYOUT"; then
		same "no member in crypttab" "" "$(grep -v '^#' /etc/crypttab)"
		return
	fi
	for name in left right; do
		check "member of $name: noauto, for the initramfs, with a time limit" grep -Eq \
			"^[a-z]+-$name UUID=[^ ]+ none luks,noauto,x-initrd.attach,x-systemd.device-timeout=" \
			/etc/crypttab
		same "member of $name: nobody starts it here" "" \
			"$(find /run/systemd/generator -path "*.target.wants/*cryptsetup*$name*" -o \
				-path "*.target.requires/*cryptsetup*$name*" | grep -v umount)"
	done
}

# What belongs to one disk must not hold up a machine that has lost it.
test_units() {
	local device

	same "everything in fstab is nofail or noauto" "" \
		"$(grep -v '^#' /etc/fstab | grep -Ev 'nofail|noauto')"
	# A second wait for members would be a start job of the running system.
	same "no job waits" "" "$(systemctl list-jobs --plain --no-legend |
		grep -Ev 'eyrie-drill|multi-user|graphical|systemd-update-utmp')"
	! grep -q 'unlock: native' "$LAYOUT" || return 0
	for device in /dev/mapper/*-left /dev/mapper/*-right; do
		check "$device is open" test -b "$device"
	done
}

test_kernel_hook() {
	local before

	before=$(esp_files left)
	status 0 "kernel hook" run-parts --exit-on-error --verbose --arg="$kernel" \
		--arg="/boot/vmlinuz-$kernel" --regex '^zz-eyrie$' /etc/kernel/postinst.d
	same "kernel hook: nothing to do, nothing done" "$before" "$(esp_files left)"
	esp_node=$(part right esp)
	mount "$esp_node" /tmp/esp-right
	rm -r /tmp/esp-right/loader/entries /tmp/esp-right/EFI/BOOT
	umount /tmp/esp-right
	status 5 "something is gone from one disk: there is something to do" eyrie plan --check
	status 0 "something is gone: the hook" run-parts --exit-on-error --arg="$kernel" \
		--arg="/boot/vmlinuz-$kernel" --regex '^zz-eyrie$' /etc/kernel/postinst.d
	in_step "after the hook"
}

test_new_initramfs() {
	local before

	before=$(initrds left)
	echo "# touched" >>/etc/crypttab
	check "a new initramfs is made" make_image "$kernel"
	status 5 "a new initramfs: there is something to do" eyrie plan --check
	status 0 "a new initramfs: sync" eyrie boot sync
	check "a new initramfs: it is another one" test "$before" != "$(initrds left)"
	same "a new initramfs: the old one stays" 2 "$(esp left 'ls eyrie | wc -l')"
	same "a new initramfs: as what is fallen back to" "$(selected)" "$(fallback right)"
	same "a new initramfs: its boots are counted" 1 \
		"$(esp left 'ls loader/entries | grep -c "^eyrie-.*+3\.conf"')"
	in_step "a new initramfs"
}

# initramfs-tools has hooks for what comes after it.
test_update_initramfs() {
	local before

	before=$(initrds left)
	echo "# touched again" >>/etc/crypttab
	status 0 "update-initramfs" update-initramfs -u -k "$kernel"
	check "update-initramfs: it is another one" test "$before" != "$(initrds left)"
	same "update-initramfs: what was not started is gone" 2 "$(esp left 'ls eyrie | wc -l')"
	in_step "update-initramfs"
}

# What is on a full partition is whole, and is replaced when there is room again.
test_full_esp() {
	local before

	before=$(initrds left)
	mount "$(part left esp)" /tmp/esp-left
	dd if=/dev/zero of=/tmp/esp-left/filler bs=1M status=none 2>/dev/null
	umount /tmp/esp-left
	echo "# touched once more" >>/etc/crypttab
	check "a full ESP: a new initramfs is made" make_image "$kernel"
	status 1 "a full ESP: sync" eyrie boot sync
	says "a full ESP: it says so" "disk 'left'.*the EFI system partition has no room for kernel"
	says "a full ESP: what to do" "remove a kernel package that you do not need"
	same "a full ESP: nothing is lost" "$before" "$(initrds left)"
	mount "$(part left esp)" /tmp/esp-left
	rm /tmp/esp-left/filler
	umount /tmp/esp-left
	status 0 "there is room again: sync" eyrie boot sync
	in_step "there is room again"
}

# image_without_zfs VERSION
image_without_zfs() {
	if command -v mkinitramfs >/dev/null; then
		cp -a /usr/share/initramfs-tools/hooks/zfs /tmp/zfs-hook
		printf '#!/bin/sh\n' >/usr/share/initramfs-tools/hooks/zfs
		make_image "$1"
		cp -a /tmp/zfs-hook /usr/share/initramfs-tools/hooks/zfs
	else
		mkdir -p /tmp/no-conf
		dracut --force --quiet --conf /dev/null --confdir /tmp/no-conf --no-hostonly \
			--modules base --kver "$1" "/boot/initrd.img-$1"
	fi
}

# A kernel whose module did not get into its initramfs: it would not find its root.
test_without_zfs() {
	local fake=6.99.0-without

	cp -r "/usr/lib/modules/$kernel" "/usr/lib/modules/$fake"
	depmod "$fake"
	cp "/boot/vmlinuz-$kernel" "/boot/vmlinuz-$fake"
	image_without_zfs "$fake" >/tmp/image-log 2>&1 || sed 's/^/# /' /tmp/image-log
	check "an initramfs without zfs.ko was made" test -s "/boot/initrd.img-$fake"
	status 0 "without zfs.ko: sync" eyrie boot sync
	says "without zfs.ko: a warning" "kernel $fake has no initramfs with its own zfs.ko"
	same "without zfs.ko: not published" "$kernel" "$(published left)"
	status 0 "without zfs.ko: the hook" run-parts --exit-on-error --arg="$fake" \
		--arg="/boot/vmlinuz-$fake" --regex '^zz-eyrie$' /etc/kernel/postinst.d
	same "without zfs.ko: still not published" "$kernel" "$(published right)"
	rm -r "/boot/vmlinuz-$fake" "/boot/initrd.img-$fake" "/usr/lib/modules/$fake"
	in_step "gone again"
}

test_state
test_crypttab
test_units
test_kernel_hook
test_new_initramfs
! command -v update-initramfs >/dev/null || test_update_initramfs
test_without_zfs
test_full_esp
finish
