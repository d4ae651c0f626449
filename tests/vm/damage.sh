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
	SAVED="$1 $2"
	head -c "$3" /dev/urandom |
		dd of="$1" bs=4096 oflag=seek_bytes seek="$2" conv=notrunc,fsync status=none
}

restore() {
	dd if=/tmp/saved of="${SAVED% *}" bs=4096 oflag=seek_bytes seek="${SAVED#* }" \
		conv=notrunc,fsync status=none
}

# looks NAME STATUS REGEX: every command that only looks.
looks() {
	local before

	before=$(writes left right; sums left right)
	status "$2" "$1: plan" plan
	says "$1: plan says so" "$3"
	check "$1: observe" eyrie observe
	check "$1: init" eyrie init --disk one="$(disk left)" --disk two="$(disk right)" --host x
	eyrie boot sync "$LAYOUT" >"$OUT" 2>&1
	same "$1: nothing is written" "$before" "$(writes left right; sums left right)"
}

# damaged NAME STATUS REGEX NODE OFFSET SIZE
damaged() {
	overwrite "$4" "$5" "$6"
	looks "$1" "$2" "$3"
	restore
}

status 0 "a set is made" apply
release
member=$(part left member)
size=$(blockdev --getsize64 "$(disk left)")

looks "whole" 0 "import the pool"
damaged "first LUKS header" 0 "first copy of its LUKS header is damaged" "$member" 4096 512
damaged "second LUKS header" 0 "second copy of its LUKS header is damaged" "$member" 20480 512
damaged "both LUKS headers" 0 "LUKS header of its member is not readable" "$member" 0 32768
damaged "first partition table" 0 "partition table" "$(disk left)" 512 16896
damaged "second partition table" 0 "partition table" "$(disk left)" $((size - 16896)) 16896
damaged "EFI system partition" 0 "holds no FAT" "$(part left esp)" 0 65536
damaged "label of the pool's member" 0 "import the pool" "$member" $((16 * 1048576)) 524288
finish
