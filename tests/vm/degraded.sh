#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An installed machine that has lost a disk: it says so, waits for it once and not again, and
# keeps the disk that is left in step.
#
# lab: --boot KEPT --without right

# shellcheck disable=SC2317 # functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)

# Waits that ended in vain once the machine ran from its own root.
vain_waits() {
	journalctl -b -o cat --no-pager |
		awk '/[Ss]witching root|^Switch Root/ { n = 0 } /Timed out waiting for device/ { n++ }
			END { print n + 0 }'
}

# Of the member that is left, which is open: its header, some room, and a UUID of its own.
copy_member() {
	cryptsetup luksHeaderBackup "$(part left member)" --header-backup-file /root/member.img &&
		truncate -s +16M /root/member.img &&
		cryptsetup luksUUID --batch-mode /root/member.img \
			--uuid "$(cat /proc/sys/kernel/random/uuid)"
}

# headless: it fails where it would have to ask.
attach() {
	/usr/lib/systemd/systemd-cryptsetup attach tried /root/member.img none luks,headless
}

same "no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
same "it is running" running "$(systemctl is-system-running --wait)"
same "the pool is degraded" DEGRADED "$(zpool list -H -o health)"
same "no second wait" 0 "$(vain_waits)"
status 0 "the plan is empty" eyrie plan --check
says "it says who is missing" "disk 'right'.* is not there"
if [[ -s /etc/eyrie/unlock.json ]]; then
	check "stock cryptsetup opens by the key that waits for the other disk" \
		cryptsetup open --test-passphrase --token-only "$(part left member)"
	check "a copy of the member" copy_member
	SYSTEMD_CRYPTSETUP_USE_TOKEN_MODULE=0 \
		status 1 "systemd-cryptsetup without token handlers would have to ask" attach
	status 0 "systemd-cryptsetup opens by that key, too" attach
	check "the copy is open" test -b /dev/mapper/tried
	status 0 "and closed" /usr/lib/systemd/systemd-cryptsetup detach tried
	rm -f /root/member.img
fi
status 0 "kernel hook" run-parts --exit-on-error --arg="$kernel" \
	--arg="/boot/vmlinuz-$kernel" --regex '^zz-eyrie$' /etc/kernel/postinst.d
check "a new initramfs" make_image "$kernel"
status 0 "sync to the disk that is left" eyrie boot sync
status 0 "then nothing is left to do" eyrie plan --check
finish
