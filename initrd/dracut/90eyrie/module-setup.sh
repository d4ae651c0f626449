#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # moddir and initdir are set by dracut
# dracut module of eyrie (unlock: peer, encryption: native): eyrie-unlock opens the members and imports the root pool.
# With systemd it takes the place of zfs-import-scan.service, so that everything that comes after
# the import still does, and the other import unit is masked: one import, of one pool. Without
# systemd it is a hook before the one that mounts the root.

check() {
	[[ -e /etc/eyrie/unlock.json ]] || return 1
	return 255
}

depends() {
	echo dm zfs
	! dracut_module_included systemd || echo systemd-ask-password
}

install_unit() {
	local unit=/etc/systemd/system/zfs-import-scan.service

	inst_multiple systemd-ask-password
	inst_simple "$moddir/eyrie-unlock.service" "$unit"
	ln -sfn /dev/null "$initdir/etc/systemd/system/zfs-import-cache.service"
}

install_hook() {
	inst_multiple grep modprobe sed
	inst_hook pre-mount 50 "$moddir/eyrie-unlock.sh"
}

install() {
	inst_multiple eyrie-unlock zpool
	inst_multiple -o cryptsetup # for the person in the rescue shell
	inst_simple /etc/eyrie/unlock.json
	if dracut_module_included systemd; then
		install_unit
	else
		install_hook
	fi
}
