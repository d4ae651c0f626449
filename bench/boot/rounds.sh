#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs in the machine that bench-boot measures, once at each start: /cargo/mode says how it boots,
# /cargo/runs how often with all disks and then with one pulled.

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
# shellcheck source=tests/vm/stock-boot.sh
. /cargo/stock-boot.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
runs=$(cat /cargo/runs)

# A rehearsal waits longer for late members than a layout says: emulation is slow.
eyrie_boot() {
	sed -i "s/\"window\": *[0-9]*/\"window\":$(cat /cargo/window)/" /etc/eyrie/unlock.json
	make_image "$(uname -r)" && eyrie boot sync
}

# Seconds of the kernel's clock at which this was in the journal first.
at() {
	journalctl -b -o short-monotonic --no-pager | grep -m 1 "$1" | sed 's/^\[ *\([0-9.]*\)\].*/\1/'
}

if ((round == 1)); then
	"$(cat /cargo/mode)_boot" >"$OUT" 2>&1 || { cat "$OUT"; exit 1; }
	again
fi
state=$(systemctl is-system-running --wait)
echo "bench: round=$((round - 1)) state=$state pool=$(zpool list -H -o health)" \
	"now=$(cut -d ' ' -f 1 /proc/uptime) root=$(at 'Reached target initrd-root-fs.target')" \
	"ready=$(at 'Reached target multi-user.target')"
((round <= runs)) && again
((round <= 2 * runs)) && again pulled
exit 0
