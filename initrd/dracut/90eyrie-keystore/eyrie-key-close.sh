#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Closes the key device, and sees that it is closed. The unit that opened it is not asked to: to
# stop it would stop those that needed it, which are the members.

is_open() {
	for name in /sys/block/dm-*/dm/name; do
		[ "$(cat "$name" 2>/dev/null)" != keyfile ] || return 0
	done
	return 1
}

tries=50
while is_open; do
	tries=$((tries - 1))
	if [ "$tries" = 0 ]; then
		echo "eyrie: the key device cannot be closed"
		exit 1
	fi
	cryptsetup close keyfile 2>/dev/null || sleep 0.2
done
