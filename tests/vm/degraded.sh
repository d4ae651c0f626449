#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# An installed machine that has lost a disk: it says so, waits for it once and not again, and
# keeps the disk that is left in step.
#
# lab: --boot KEPT --without right

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

same "no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
same "it is running" running "$(systemctl is-system-running --wait)"
same "the pool is degraded" DEGRADED "$(zpool list -H -o health)"
same "no second wait" 0 "$(vain_waits)"
status 0 "the plan is empty" eyrie plan --check
says "it says who is missing" "disk 'right'.* is not there"
if [[ -s /etc/eyrie/unlock.json ]]; then
	check "stock cryptsetup opens by the key that waits for the other disk" \
		cryptsetup open --test-passphrase --token-only "$(part left member)"
fi
status 0 "kernel hook" run-parts --exit-on-error --arg="$kernel" \
	--arg="/boot/vmlinuz-$kernel" --regex '^zz-eyrie$' /etc/kernel/postinst.d
check "a new initramfs" make_image "$kernel"
status 0 "sync to the disk that is left" eyrie boot sync
status 0 "then nothing is left to do" eyrie plan --check
finish
