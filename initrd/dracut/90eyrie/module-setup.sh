#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # moddir and initdir are set by dracut
# dracut module of eyrie (unlock: peer): eyrie-unlock opens the members and imports the root pool.
# It takes the place of zfs-import-scan.service, so that everything that comes after the import
# still does; the other import unit is masked: one import, of one pool.

check() {
	[[ -e /etc/eyrie/unlock.json ]] || return 1
	return 255
}

depends() {
	echo systemd systemd-ask-password dm zfs
}

install() {
	local unit=/etc/systemd/system/zfs-import-scan.service

	inst_multiple eyrie-unlock systemd-ask-password zpool
	inst_simple /etc/eyrie/unlock.json
	inst_simple "$moddir/eyrie-unlock.service" "$unit"
	ln -sfn /dev/null "$initdir/etc/systemd/system/zfs-import-cache.service"
}
