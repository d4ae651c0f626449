#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# apply is killed at random moments and goes on; what comes out is whole. The seed is printed: to
# repeat a run, write it down here.
#
# lab: --disk left=:640M --disk right=:640M

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
install_eyrie

KILLS=15
SPAN=14000 # milliseconds, about what an apply takes under emulation
SEED=$(od -An -N2 -tu2 /dev/urandom)
RANDOM=$SEED
echo "# seed: $SEED"

MORE='
datasets: { ROOT/debian: { mountpoint: / }, home: { mountpoint: /home } }
swap: { on: volume, size: 64MiB }'
layout "$ID" "left right"

# Nothing that it started may outlive it: a second one would meet it on the same disks.
survivors() {
	pgrep -x 'zpool|zfs|mkfs.vfat|mkswap|eyrie' | xargs
}

for ((i = 1; i <= KILLS; i++)); do
	moment=$((RANDOM % SPAN))
	eyrie apply "$LAYOUT" --passphrase-file "$SECRET" --yes >"$OUT" 2>&1 &
	sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
	if kill -9 $! 2>/dev/null; then
		wait $! 2>/dev/null
		last=$(grep -o '^\[.*' "$OUT" | tail -n 1)
		echo "# killed after $moment ms: ${last:-before its first step}"
		sleep 0.5
		same "kill $i: nothing goes on" "" "$(survivors)"
	else
		wait $!
		report $? "kill $i: it was done before"
		status 0 "kill $i: the plan is empty" plan --check
		release
		blank left right
	fi
done
status 0 "apply goes on to the end" apply
status 0 "the plan is empty" plan --check
same "the pool is healthy" ONLINE "$(zpool list -H -o health tank)"
echo precious >/mnt/eyrie/home/file
release
status 0 "it comes back" apply
same "with what is in it" precious "$(cat /mnt/eyrie/home/file)"
zpool scrub -w tank
same "a scrub finds no errors" "errors: No known data errors" \
	"$(zpool status tank | grep ^errors)"
finish
