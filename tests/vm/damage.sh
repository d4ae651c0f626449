#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Commands that only look write nothing, whatever is damaged, and say what is wrong.
#
# lab: --disk left=:536M --disk right=:536M

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
install_eyrie
layout "$ID" "left right"

# overwrite NODE OFFSET SIZE: with noise, and remember what was there.
overwrite() {
	dd if="$1" of=/tmp/saved bs=4096 iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
	head -c "$3" /dev/urandom >/tmp/noise
	dd if=/tmp/noise of="$1" bs=4096 oflag=seek_bytes seek="$2" conv=notrunc,fsync status=none
	udevadm settle
}

# restore NODE OFFSET SIZE: after a look whether the noise is still there.
restore() {
	check "$name: what is damaged stays so" cmp /tmp/noise <(
		dd if="$1" bs=4096 iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none
	)
	dd if=/tmp/saved of="$1" bs=4096 oflag=seek_bytes seek="$2" conv=notrunc,fsync status=none
	udevadm settle
}

# looks REGEX: every command that only looks.
looks() {
	local before

	before=$(writes left right)
	status 0 "$name: plan" plan
	says "$name: plan says so" "$1"
	check "$name: observe" eyrie observe
	check "$name: init" eyrie init --disk one="$(disk left)" --disk two="$(disk right)" --host x
	eyrie boot sync "$LAYOUT" >"$OUT" 2>&1
	same "$name: no request to write" "$before" "$(writes left right)"
}

# damaged NAME REGEX NODE OFFSET SIZE: the bytes are put back, and then all must be as it was.
damaged() {
	local name=$1

	overwrite "${@:3}"
	looks "$2"
	restore "${@:3}"
	same "$name: nothing is written" "$whole" "$(sums left right)"
}

status 0 "a set is made" apply
release
member=$(part left member)
size=$(blockdev --getsize64 "$(disk left)")

whole=$(sums left right)

name=whole
looks "import the pool"
damaged "first LUKS header" "first copy of its LUKS header is damaged" "$member" 4096 512
damaged "second LUKS header" "second copy of its LUKS header is damaged" "$member" 20480 512
damaged "both LUKS headers" "LUKS header of its member is not readable" "$member" 0 32768
damaged "first partition table" "partition table" "$(disk left)" 512 16896
damaged "second partition table" "partition table" "$(disk left)" $((size - 16896)) 16896
damaged "EFI system partition" "holds no FAT" "$(part left esp)" 0 65536
damaged "label of the pool's member" "import the pool" "$member" $((16 * 1048576)) 524288
finish
