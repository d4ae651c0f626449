#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Process 1 of the appliance: brings up what an installation needs, runs /cargo/run on the
# console and switches the machine off. What it did is told on the second serial port, one JSON
# object a line.

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
export TERM=dumb

report() {
	printf '%s\n' "$1" >/dev/ttyS1
}

# No systemd runs here: the kernel is asked directly, after a moment in which the host reads what
# was said before the kernel adds its own words. It takes the disks away first, so nothing can be
# started any more; process 1 must not end before it is done.
off() {
	sync
	# stty waits until everything written before was sent, however slowly that goes.
	stty -F /dev/ttyS0 -echo
	stty -F /dev/ttyS1 -echo
	sleep 0.3
	echo o >/proc/sysrq-trigger
	read -rt 60 _ </dev/ttyS0
}

fail() {
	echo "appliance: $1"
	report "{\"failure\":\"$1\"}"
	off
}

mount_all() {
	mountpoint -q /proc || mount -t proc proc /proc
	mountpoint -q /sys || mount -t sysfs sys /sys
	mountpoint -q /dev || mount -t devtmpfs dev /dev
	mkdir -p /dev/pts /dev/shm /run /cargo
	mount -t devpts -o gid=5,mode=620 devpts /dev/pts
	mount -t tmpfs tmpfs /dev/shm
	mount -t tmpfs -o mode=755 tmpfs /run
	mount -t tmpfs tmpfs /tmp
	ln -sf /proc/self/fd /dev/fd
	ln -sf fd/0 /dev/stdin
	ln -sf fd/1 /dev/stdout
	ln -sf fd/2 /dev/stderr
	mkdir -p /run/lock /run/cryptsetup
	[ ! -d /sys/firmware/efi ] || mount -t efivarfs efivarfs /sys/firmware/efi/efivars
}

start_udev() {
	local daemon

	for daemon in /usr/lib/systemd/systemd-udevd /lib/systemd/systemd-udevd; do
		[ ! -x $daemon ] || break
	done
	$daemon --daemon
	udevadm trigger --type=subsystems --action=add
	udevadm trigger --type=devices --action=add
	udevadm settle --timeout=60
}

main() {
	local module status

	mount_all
	stty -F /dev/ttyS1 raw -echo
	start_udev
	for module in dm-crypt raid1 vfat zfs; do
		modprobe "$module" || fail "the kernel module $module does not load"
	done
	mount -t ext4 -o ro /dev/disk/by-id/virtio-cargo /cargo || fail "there is no cargo"
	udevadm settle --timeout=60
	report '{"up":true}'
	# The end of a session hangs its terminal up, and what was not sent by then is lost: stty waits.
	# shellcheck disable=SC2016 # the inner one expands
	setsid --ctty --wait sh -c '/cargo/run; status=$?; stty -echo; exit $status' \
		</dev/ttyS0 >/dev/ttyS0 2>&1
	status=$?
	report "{\"exit\":$status}"
	off
}

main
