# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034 # the scripts use what is set here
#
# Sourced by the scripts that lab runs, first thing. One line of TAP for each check; what the
# command of a failed one said follows it.

set -u
export LC_ALL=C.UTF-8

# ID and OTHER_ID are set ids; LAYOUT is what layout() writes.
ID=0f0e0d0c-0b0a-4908-8706-050403020100
OTHER_ID=f0e0d0c0-b0a0-4908-8706-050403020100
LAYOUT=/tmp/layout.yaml
SECRET=/tmp/secret
OUT=/tmp/out
n_checks=0
n_failed=0
round=1

# What the journal has of a start at which eyrie-unlock ran, which says nothing by itself.
EYRIE_UNLOCK="Open the members of the root pool"

# What a script that was started again has behind it.
STORY=/root/checks
# shellcheck source=/dev/null
[[ ! -e $STORY ]] || . $STORY

install_eyrie() {
	dpkg-deb -x /cargo/eyrie.deb / && ldconfig
}

# report VERDICT NAME [FILE]: FILE says why not.
report() {
	local verdict=$1 name=$2 why=${3:-$OUT}

	n_checks=$((n_checks + 1))
	if [[ $verdict == 0 ]]; then
		echo "ok $n_checks - $name"
		return
	fi
	n_failed=$((n_failed + 1))
	echo "not ok $n_checks - $name"
	[[ ! -s $why ]] || tail -n 25 "$why" | sed 's/^/# /'
}

# check NAME COMMAND...: passes when the command succeeds.
check() {
	local name=$1

	shift
	"$@" >"$OUT" 2>&1
	report $? "$name"
}

# status WANTED NAME COMMAND...: passes when the command ends with that exit status.
status() {
	local wanted=$1 name=$2 is

	shift 2
	"$@" >"$OUT" 2>&1 </dev/null
	is=$?
	[[ $is == "$wanted" ]] || echo "(exit status $is instead of $wanted)" >>"$OUT"
	[[ $is == "$wanted" ]]
	report $? "$name"
}

# says NAME REGEX: passes when the last command of check or status said so.
says() {
	grep -Eq -- "$2" "$OUT"
	report $? "$1"
}

# same NAME A B: passes when the two texts are equal.
same() {
	local name=$1

	diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") >/tmp/diff
	report $? "$name" /tmp/diff
}

# The last words of a script.
finish() {
	echo "1..$n_checks"
	exit $((n_failed > 0))
}

# esp NAME COMMAND: a shell's words, run in the EFI system partition of a disk, which stays as it is.
esp() {
	local command=$2

	mkdir -p "/tmp/esp-$1"
	mount -o ro "$(part "$1" esp)" "/tmp/esp-$1"
	(cd "/tmp/esp-$1" && eval "$command")
	umount "/tmp/esp-$1"
}

# esp_files NAME: sums of what is on it.
esp_files() {
	esp "$1" 'find . -type f ! -name random-seed -exec sha256sum {} + | sort -k 2'
}

# again [pulled]: run the script once more, as round 2 and so on, in the machine started anew; its
# disks are as they are now, without those of --pull for this once when that is asked for.
# shellcheck disable=SC2120 # who sources this does
again() {
	echo "n_checks=$n_checks n_failed=$n_failed round=$((round + 1))" >$STORY
	sync
	exit $((${1:+1} + 90))
}

# start_in DATASET: another root goes on with the script, once the machine is started from it.
start_in() {
	mkdir -p /tmp/other
	mount -t zfs -o zfsutil "$1" /tmp/other
	echo "n_checks=$n_checks n_failed=$n_failed round=$((round + 1))" >"/tmp/other$STORY"
	umount /tmp/other
	# shellcheck disable=SC2119 # all its disks are there
	again
}

# make_image VERSION: an initramfs, by whoever makes them here.
make_image() {
	if command -v mkinitramfs >/dev/null; then
		mkinitramfs -o "/boot/initrd.img-$1" "$1"
	else
		# Without its hooks, which would sync at once.
		NO_POST_UPDATE_HOOKS=1 dracut --force --quiet --kver "$1" "/boot/initrd.img-$1"
	fi
}

# disk NAME: its node, whatever the kernel calls it today.
disk() {
	readlink -f "/dev/disk/by-id/virtio-$1"
}

# part NAME ROLE: the node of a partition that eyrie made.
part() {
	readlink -f "/dev/disk/by-partlabel/eyrie-$2-$1"
}

# pull NAME, plug NAME: the disk is gone, and there again.
declare -A place
pull() {
	place[$1]=$(basename "$(readlink -f "/sys/block/$(basename "$(disk "$1")")/device")")
	echo "${place[$1]}" >/sys/bus/virtio/drivers/virtio_blk/unbind
	udevadm settle
}

plug() {
	echo "${place[$1]}" >/sys/bus/virtio/drivers/virtio_blk/bind
	udevadm settle
}

# How much was ever written to a disk or discarded on it.
writes() {
	local name fields

	for name; do
		blockdev --flushbufs "$(disk "$name")"
		read -ra fields <"/sys/block/$(basename "$(disk "$name")")/stat"
		echo "$name: ${fields[4]} ${fields[6]} ${fields[11]:-} ${fields[13]:-}"
	done
}

# Sums of all bytes of disks, side by side.
sums() {
	local name

	for name; do
		dd if="$(disk "$name")" bs=4M iflag=direct status=none | md5sum >"/tmp/sum-$name" &
	done
	wait
	for name; do
		echo "$name: $(cat "/tmp/sum-$name")"
	done
}

# Where signatures are: what writes() cannot see through a cache is on the disk here.
edges() {
	local name size

	for name; do
		size=$(blockdev --getsize64 "$(disk "$name")")
		echo "$name: $({
			dd if="$(disk "$name")" bs=1M count=2 status=none
			dd if="$(disk "$name")" bs=1M skip=$((size / 1048576 - 2)) status=none
		} | md5sum)"
	done
}

# layout ID VDEV...: a cheap layout of these vdevs, each a mirror, "left right", or of the kind that it
# says, "raidz1:left right up", and of the YAML in MORE. It is written to LAYOUT.
MORE='datasets: { ROOT/debian: { mountpoint: / } }'
layout() {
	local id=$1 vdev kind name

	shift
	{
		printf 'id: %s\nhost: falcon\ndisks:\n' "$id"
		# shellcheck disable=SC2048 # each is several
		for name in $*; do
			name=${name#*:}
			printf '  %s: { path: /dev/disk/by-id/virtio-%s }\n' "$name" "$name"
		done
		printf 'encryption:\n  kdf: { memory: 32MiB, iterations: 4 }\n'
		printf 'boot:\n  esp-size: 256MiB\n'
		printf 'pool:\n  name: tank\n  vdevs:\n'
		for vdev; do
			kind=mirror
			[[ $vdev != *:* ]] || kind=${vdev%%:*}
			vdev=${vdev#*:}
			printf '    - %s: [%s]\n' "$kind" "${vdev// /, }"
		done
		printf '%s\n' "$MORE"
	} >"$LAYOUT"
}

# eyrie COMMAND of LAYOUT with the right passphrase, further words behind.
apply() {
	eyrie apply "$LAYOUT" --passphrase-file "$SECRET" --yes "$@"
}

plan() {
	eyrie plan "$LAYOUT" "$@"
}

# Let go of everything that apply opened.
release() {
	local mapping

	zpool export -a 2>/dev/null
	for mapping in /dev/mapper/*-*; do
		[[ ! -b $mapping ]] || cryptsetup close "$mapping"
	done
	udevadm settle
}

# blank NAME...: as if it came out of its box. Discarding is writing, and is counted.
blank() {
	local name

	for name; do
		blkdiscard -qf "$(disk "$name")"
		blockdev --rereadpt "$(disk "$name")" 2>/dev/null
	done
	udevadm settle
}

# repack PACKAGE: its package again, from what is installed, as /var/tmp/PACKAGE.deb.
repack() {
	local name=$1 tree=/tmp/repack file

	rm -rf "$tree"
	mkdir -p "$tree/DEBIAN"
	dpkg-query -L "$name" | while read -r file; do
		[[ -d $file && ! -L $file ]] || cp -a --parents "$file" "$tree"
	done
	dpkg-query --status "$name" | sed '/^Status:/d; /^Conffiles:/,/^[^ ]/{/^Conffiles:/d;/^ /d}' \
		>"$tree/DEBIAN/control"
	for file in preinst postinst prerm postrm config templates triggers; do
		[[ ! -e /var/lib/dpkg/info/$name.$file ]] ||
			cp "/var/lib/dpkg/info/$name.$file" "$tree/DEBIAN/$file"
	done
	dpkg-deb -Znone --build "$tree" "/var/tmp/$name.deb" >/dev/null
}

printf 'correct horse battery staple' >"$SECRET"
