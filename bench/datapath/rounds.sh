#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs in the appliance that bench-datapath measures: a mirror of two disks, encrypted in each way in
# turn, /cargo/runs times; fio writes and reads /cargo/size MiB.

# shellcheck disable=SC2317 # functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
runs=$(cat /cargo/runs)
size=$(cat /cargo/size)
luks=(cryptsetup luksFormat --batch-mode --type luks2 --key-size 512 --cipher aes-xts-plain64
	--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file "$SECRET")

# open_luks FORMAT_OPTION... -- OPEN_OPTION...: both disks, as /dev/mapper/bench-NAME.
open_luks() {
	local format=() name

	while [[ $1 != -- ]]; do
		format+=("$1")
		shift
	done
	shift
	for name in left right; do
		"${luks[@]}" "${format[@]}" "$(disk "$name")" &&
			cryptsetup open --allow-discards "$@" --key-file "$SECRET" "$(disk "$name")" \
				"bench-$name" || return
	done
}

make_pool() {
	zpool create -f -o ashift=12 -O compression=off -O atime=off -O mountpoint=/bench "$@"
}

# What a layout gets that says nothing else.
make_eyrie() {
	open_luks --sector-size 4096 -- && make_pool bench mirror /dev/mapper/bench-{left,right}
}

make_recipe() {
	open_luks --sector-size 512 -- && make_pool bench mirror /dev/mapper/bench-{left,right}
}

make_no_queues() {
	open_luks --sector-size 4096 -- --perf-no_read_workqueue --perf-no_write_workqueue &&
		make_pool bench mirror /dev/mapper/bench-{left,right}
}

make_native() {
	make_pool -O encryption=on -O keyformat=passphrase -O pbkdf2iters=100000 bench mirror \
		"$(disk left)" "$(disk right)" <"$SECRET"
}

make_none() {
	make_pool bench mirror "$(disk left)" "$(disk right)"
}

close_all() {
	zpool destroy -f bench 2>/dev/null
	for name in left right; do
		[[ ! -e /dev/mapper/bench-$name ]] || cryptsetup close "bench-$name"
		wipefs -qaf "$(disk "$name")"
	done
	udevadm settle
}

# Nothing of what was written stays in memory.
forget() {
	zpool export bench
	if [[ $1 == native ]]; then
		zpool import -l -d /dev bench <"$SECRET" >/dev/null
	else
		zpool import -d /dev/mapper -d /dev bench
	fi
}

# Hundredths of a second that the processors worked.
busy() {
	awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat
}

# Sectors written to both disks so far.
written() {
	local fields name sum=0

	for name in left right; do
		read -ra fields <"/sys/block/$(basename "$(disk "$name")")/stat"
		sum=$((sum + fields[6]))
	done
	echo $sum
}

# run_fio WRITE_OR_READ: "cpu=… time=…", seconds for each GiB.
run_fio() {
	local began=$EPOCHREALTIME before

	before=$(busy)
	fio --name=bench --filename=/bench/file --rw="$1" --bs=1M --size="${size}M" --ioengine=psync \
		--end_fsync=1 --minimal >"$OUT" 2>&1 || return
	[[ $1 != write ]] || zpool sync bench
	awk -v b="$before" -v a="$(busy)" -v s="$began" -v e="$EPOCHREALTIME" -v mib="$size" -v n="$1" \
		'BEGIN { g = 1024 / mib; printf "%s-cpu=%.2f %s-time=%.2f", n, (a - b) / 100 * g, n, (e - s) * g }'
}

# One way, once. ZFS encrypts above the mirror, dm-crypt below it: what is on the disks was
# encrypted once for both, or once for each.
measure() {
	local way=$1 before write times=1

	close_all
	"make_${way//-/_}" >"$OUT" 2>&1 || return
	before=$(written)
	write=$(run_fio write) || return
	[[ $way != native ]] || times=2
	echo "bench: way=$way $write $(
		forget "$way" >"$OUT" 2>&1
		run_fio read
	) encrypted=$(awk -v s=$(($(written) - before)) -v mib="$size" -v t=$times \
		'BEGIN { printf "%.2f", s * 512 / t / mib / 1048576 }')"
}

for ((round = 0; round < runs; round++)); do
	for way in eyrie recipe no-queues native none; do
		measure $way || { cat "$OUT"; exit 1; }
	done
done
close_all
exit 0
