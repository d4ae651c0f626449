#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A pre-mount hook of dracut without systemd: opens the members and imports the root pool. udev
# still runs, so late disks come. Ends only when the pool is there: mount-zfs.sh, which comes next,
# takes the bootfs of what is imported, and with nothing there would import all that it finds.

eyrie_config=/etc/eyrie/unlock.json

# True when the pool that the configuration means is imported.
eyrie_is_imported() {
	zpool list -H -o guid 2>/dev/null |
		grep -qxF "$(sed -n 's/.*"pool-guid" *: *"\([0-9]*\)".*/\1/p' $eyrie_config)"
}

# OpenZFS's own hook takes a systemctl in the image, which others bring, for a systemd that runs, and
# waits for it without end. mount-zfs.sh has no need of it.
rm -f "${hookdir:-/lib/dracut/hooks}"/pre-mount/*zfs-load-key.sh

if [ -n "$(sed -n '/"native" *: *true/p' $eyrie_config)" ]; then
	eyrie_by_hand="To do it by hand:
  zpool import -N -f -o cachefile=none -d /dev/disk/by-partuuid POOL
  zfs load-key POOL"
else
	eyrie_by_hand="To do it by hand, for one member of each mirror (eyrie heal brings the others back), then once:
  cryptsetup open /dev/disk/by-uuid/UUID NAME    UUID and mapping stand in $eyrie_config
  zpool import -N -f -o cachefile=none -d /dev/mapper POOL"
fi

modprobe -q -a dm_crypt zfs
eyrie-unlock $eyrie_config
while ! eyrie_is_imported; do
	emergency_shell -n eyrie "eyrie: the root pool is not imported; why stands above.
$eyrie_by_hand
Or ask again: eyrie-unlock $eyrie_config
Then go on: exit"
done
