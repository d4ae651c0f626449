#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Starts the array of the key device with the legs that are there: the only array that mdadm.conf
# of this image admits. udev puts a leg into it as it comes and starts it with the last one; when
# one does not come, dracut would do so after two minutes, and only where something else waits,
# too. It is never written, so a leg that comes later has missed nothing.

patience=20 # tenths of a second, from the moment when udev has seen all that is there

# The array that has some legs and waits for others; nothing while there is none. 1: one runs.
find_array() {
	for state in /sys/block/md*/md/array_state; do
		[ -e "$state" ] || return 0
		case $(cat "$state") in
		clear | inactive) ;;
		*) return 1 ;;
		esac
		array=${state#/sys/block/}
		echo "${array%%/*}"
		return 0
	done
}

udevadm settle --timeout=30
waited=0
while array=$(find_array); do
	[ -z "$array" ] || waited=$((waited + 1))
	if [ "$waited" -gt "$patience" ]; then
		echo "eyrie: a leg of the key device is missing; starting it without"
		mdadm --quiet --run "/dev/$array"
		waited=0
	fi
	sleep 0.1
done
