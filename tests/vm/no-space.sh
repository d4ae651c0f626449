#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A system that is larger than the pool: said clearly, and a smaller one goes on.
#
# lab: --disk left=:544M --disk right=:544M

# shellcheck disable=SC2317 # called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
install_eyrie

# tarball NAME PIECES: so many times the same 16 MiB of noise; ZFS finds no duplicates.
tarball() {
	local i

	mkdir -p "/tmp/$1/usr/bin"
	echo "$1" >"/tmp/$1/usr/bin/what"
	for ((i = 0; i < $2; i++)); do
		cp /tmp/noise "/tmp/$1/noise-$i"
	done
	tar -C "/tmp/$1" -cf "/tmp/$1.tar" .
	rm -rf "/tmp/${1:?}"
}

system() {
	MORE="
datasets: { ROOT/debian: { mountpoint: / } }
system: { tarball: /tmp/$1.tar, network: none }"
	layout "$ID" "left right"
}

# What these tarballs hold is no system: it is unpacked, and then cannot be configured.
install() {
	eyrie install "$LAYOUT" --deb /cargo/eyrie.deb --passphrase-file "$SECRET" --yes
}

state() {
	zfs get -H -o value eyrie:state tank/ROOT/debian | cut -d: -f1
}

head -c 16M /dev/urandom >/tmp/noise
tarball large 10
tarball small 1

system large
status 1 "too large: it fails" install
says "too large: says why" "No space left on device"
says "too large: says what helps" "larger disks or a smaller system"
same "too large: it is known to be half" populating "$(state)"
status 1 "too large, again: the same" install
says "too large, again: says why" "No space left on device"

system small
status 1 "smaller: goes on" install
says "smaller: is unpacked and is configured next" "\[.*configure it"
same "smaller: it is known to be unpacked" unpacked "$(state)"
same "smaller: it is there" small "$(cat /mnt/eyrie/usr/bin/what)"
same "smaller: nothing of the large one is left" noise-0 \
	"$(cd /mnt/eyrie && echo noise-*)"
finish
