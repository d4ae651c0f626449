#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # moddir, initdir and systemdsystemunitdir are set by dracut
# dracut module of eyrie (unlock: keystore). Stock systemd-cryptsetup opens the key device and, with
# its contents, the members; what this adds is an array that starts with the legs that are there,
# a key device that is closed before the root is switched to, and a way on without one.

check() {
	grep -qs '/eyrie-key ' /etc/mdadm/mdadm.conf /etc/mdadm.conf || return 1
	return 255
}

# A dracut of its earlier days has systemd-cryptsetup in the module crypt.
depends() {
	echo systemd crypt mdraid
	[[ ! -d $(dracut_module_path systemd-cryptsetup) ]] || echo systemd-cryptsetup
}

# The array of the key device, and no other: /boot is the running system's.
install_conf() {
	local conf

	for conf in /etc/mdadm/mdadm.conf /etc/mdadm.conf; do
		[[ ! -e $conf ]] || break
	done
	rm -f "$initdir/etc/mdadm/mdadm.conf"
	{
		grep -v '^ARRAY ' "$conf"
		grep '/eyrie-key ' "$conf"
		echo 'AUTO -all'
	} >"$initdir/etc/mdadm.conf"
}

install() {
	inst_multiple mdadm cryptsetup udevadm cat grep sleep systemctl
	install_conf
	inst_rules "$moddir/66-eyrie-key.rules" "$moddir/99-zz-eyrie-keyfile.rules"
	inst_script "$moddir/eyrie-key-device.sh" /usr/lib/eyrie-key-device
	inst_script "$moddir/eyrie-key-close.sh" /usr/lib/eyrie-key-close
	inst_script "$moddir/eyrie-key-lost.sh" /usr/lib/eyrie-key-lost
	inst_simple "$moddir/eyrie-key-device.service" "$systemdsystemunitdir/eyrie-key-device.service"
	inst_simple "$moddir/eyrie-key-close.service" "$systemdsystemunitdir/eyrie-key-close.service"
	inst_simple "$moddir/eyrie-key-lost.service" "$systemdsystemunitdir/eyrie-key-lost.service"
	inst_simple "$moddir/keyfile.service.conf" \
		"$systemdsystemunitdir/systemd-cryptsetup@keyfile.service.d/50-eyrie.conf"
	inst_simple "$moddir/keyfile.device.conf" \
		"$systemdsystemunitdir/dev-mapper-keyfile.device.d/50-eyrie.conf"
}
