#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Starts the array of the key device with the legs that are there. udev puts a leg into it as it
# comes and starts it with the last one; when one does not come, dracut would do so after two
# minutes, and only where something else waits, too. It is never written, so a leg that comes later
# has missed nothing.

patience=20 # tenths of a second, from the moment when udev has seen all that is there

wanted=$(sed -n 's|^ARRAY [^ ]*/eyrie-key .*UUID=||p' /etc/mdadm.conf | tr -d ':-')

# The name of the array as the kernel has it: what mdadm put together so far, begun or not.
find_array() {
	[ -e /run/mdadm/map ] || return 1
	while read -r name _ uuid _; do
		[ "$(echo "$uuid" | tr -d ':-')" = "$wanted" ] || continue
		echo "$name"
		return 0
	done </run/mdadm/map
	return 1
}

udevadm settle --timeout=30
waited=0
while :; do
	array=$(find_array) && state=$(cat "/sys/block/$array/md/array_state" 2>/dev/null) || state=
	case $state in
	'') ;;
	clear | inactive)
		waited=$((waited + 1))
		if [ "$waited" -gt "$patience" ]; then
			echo "eyrie: a leg of the key device is missing; starting it without"
			mdadm --quiet --run "/dev/$array"
		fi
		;;
	*) exit 0 ;;
	esac
	sleep 0.1
done
