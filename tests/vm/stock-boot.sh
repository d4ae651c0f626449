# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Sourced after common.sh, in an installed machine with unlock: peer.

# stock_boot: from here on it boots as crypttab(5) has it, with systemd's own time limits.
stock_boot() {
	local conf=/etc/eyrie/unlock.json kernel

	kernel=$(uname -r)
	paste -d ' ' <(sed -n 's/.*"mapping": *"\([^"]*\)".*/\1/p' $conf) \
		<(sed -n 's/.*"uuid": *"\([^"]*\)".*/UUID=\1 none luks,x-initrd.attach/p' $conf) \
		>>/etc/crypttab
	sed -i 's/ eyrie dracut-systemd / systemd-cryptsetup dracut-systemd /' \
		/etc/dracut.conf.d/50-eyrie.conf
	echo 'install_items+=" /etc/crypttab "' >/etc/dracut.conf.d/60-stock.conf
	make_image "$kernel" && eyrie boot sync
}
