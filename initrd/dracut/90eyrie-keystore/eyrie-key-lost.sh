#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The key device did not come in time, or does not open: the passphrase opens members, too, since each
# has a slot for it. The units that wait for the key device are told to at the end, and the import of
# the pool goes on.

key=/dev/mapper/keyfile

# attach NAME DEVICE: as often as it takes; what was typed is kept for the next one.
attach() {
	if [ -e "/dev/mapper/$1" ]; then
		return
	elif [ -e "$2" ]; then
		/usr/lib/systemd/systemd-cryptsetup attach "$1" "$2" none luks,tries=0
	else
		echo "eyrie: $1 is not there"
	fi
}

echo "eyrie: there is no key device that opens; the passphrase opens the members themselves"
grep "^[^#]* $key " /etc/crypttab >/run/eyrie-members
while read -r name device _ <&3; do
	attach "$name" "/dev/disk/by-uuid/${device#UUID=}"
done 3</run/eyrie-members
systemctl stop --no-block dev-mapper-keyfile.device
