#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The disks of an installed machine (unlock: peer) in a rescue system: eyrie unlock finds the set by
# itself and imports its pool, with both disks and with each one alone; after that neither it nor
# apply brings the two together.
#
# lab: --overlay left=KEPT/left.img --overlay right=KEPT/right.img --file KEPT/passphrase
# lab: --file KEPT/layout.yaml

# shellcheck disable=SC2317 # functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
SECRET=/cargo/passphrase

# unlocks NAME HEALTH MEMBER...: these run, and nobody else.
unlocks() {
	local name=$1 health=$2

	shift 2
	status 0 "$name: eyrie unlock" eyrie unlock --passphrase-file "$SECRET"
	cp "$OUT" /tmp/unlocked
	same "$name: the pool" "$health" "$(zpool list -H -o health)"
	same "$name: who runs" "$*" "$(zpool list -HPv -o name,health |
		awk '$1 ~ "^/dev/" && $NF == "ONLINE" { sub(".*-", "", $1); printf "%s%s", s, $1; s = " " }')"
	cp /tmp/unlocked "$OUT"
}

install_eyrie
unlocks both ONLINE left right
same "both: nothing is mounted" "" "$(zfs list -H -o name,mounted | awk '$2 == "yes"')"
release

pull right
unlocks "left alone" DEGRADED left
release
plug right
pull left
unlocks "right alone" DEGRADED right
release
plug left

status 3 "apart: apply is refused" eyrie apply /cargo/layout.yaml --passphrase-file "$SECRET" --yes
says "apart: it says why" "ran without the others.*merging them would lose"
says "apart: it says what to do" "eyrie heal --discard"
same "apart: nothing was imported" "" "$(zpool list -H -o name)"
same "apart: nothing was opened" "" "$(find /dev/mapper -name '*-left' -o -name '*-right')"

for name in left right; do
	cryptsetup open "$(part "$name" member)" "rpool-$name" --key-file "$SECRET"
done
status 3 "apart and open: apply is refused" eyrie apply /cargo/layout.yaml --passphrase-file "$SECRET" --yes
says "apart and open: it says why" "ran without the others.*merging them would lose"
same "apart and open: nothing was imported" "" "$(zpool list -H -o name)"
release

unlocks apart DEGRADED right
says "apart: who stays closed" "left stays closed: it ran without the others"
zpool export rpool
status 3 "left open: apply is refused" eyrie apply /cargo/layout.yaml --passphrase-file "$SECRET" --yes
says "left open: it says what to close" "cryptsetup close falcon-right"
release
finish
