#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A living machine moves between peer, shared and keystore: its layout is edited and applied, each
# start asks once, and what the way before it needed is there until the machine came up in the new one,
# and gone when the layout is applied once more.
#
# lab: --boot KEPT --file KEPT/passphrase

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LAYOUT=/etc/eyrie/eyrie.yaml
SECRET=/cargo/passphrase
# shellcheck source=/dev/null
[[ ! -e /root/at ]] || . /root/at

# to UNLOCK: edit, look, apply.
to() {
	local before

	before=$(members_hash)
	sed -i "/#/!s/unlock: .*/unlock: $1/" "$LAYOUT"
	status 5 "to $1: there is something to do" eyrie plan --check
	says "to $1: it says what" "open its disks by unlock: $1 instead of"
	[[ $now == shared ]] ||
		says "to $1: and what stays until the next start" "started by its new initramfs once"
	status 0 "to $1: apply" eyrie apply --passphrase-file "$SECRET" --yes
	status 0 "to $1: nothing is left to do" eyrie plan --check
	same "to $1: no data was written again" "$before" "$(members_hash)"
	check "to $1: the old passphrase still opens left" opens left
	check "to $1: and right" opens right
}

# The volume keys are what they were: nobody encrypted anything anew.
members_hash() {
	dmsetup table --showkeys --target crypt | grep -v swap | sha256sum
}

opens() {
	cryptsetup open --test-passphrase --key-file "$SECRET" "$(part "$1" member)"
}

# tokens NAME: types of them.
tokens() {
	cryptsetup luksDump --dump-json-metadata "$(part "$1" member)" |
		sed -n 's/.*"type": *"\(eyrie-[a-z]*\)".*/\1/p' | xargs
}

# slots NAME: how many key slots are in use.
slots() {
	cryptsetup luksDump "$(part "$1" member)" | grep -c '^  [0-9]*: .*luks2'
}

no_slot() {
	cryptsetup isLuks "$1" && ! cryptsetup luksDump "$1" | grep -q '^  [0-9]*: luks2'
}

journal() {
	journalctl -b -o short --no-pager
}

# expect NAME HOW: who opened the members at this start.
expect() {
	same "$1: the pool is whole" ONLINE "$(zpool list -H -o health)"
	same "$1: no unit failed" "" "$(systemctl list-units --failed --plain --no-legend)"
	same "$1: it is running" running "$(systemctl is-system-running --wait)"
	status 0 "$1: the plan is empty" eyrie plan --check
	case $2 in
	eyrie) check "$1: eyrie-unlock opened them" grep -q "$EYRIE_UNLOCK" <(journal) ;;
	stock)
		check "$1: systemd-cryptsetup opened them" grep -q 'systemd-cryptsetup\[' <(journal)
		status 1 "$1: eyrie-unlock had no part in it" grep -q "$EYRIE_UNLOCK" <(journal)
		;;
	esac
}

expect_closed() {
	check "keystore: the key device is closed" test ! -e /dev/mapper/keyfile
	same "keystore: nothing waits for it" "" "$(systemctl list-jobs --plain --no-legend |
		grep -Ev 'eyrie-drill|multi-user|graphical|systemd-update-utmp')"
	same "keystore: nobody holds its array" "" \
		"$(ls "/sys/block/$(basename "$(readlink -f /dev/md/eyrie-key)")/holders")"
	status 1 "keystore: no mount or swap is on it" grep -q mapper/keyfile /proc/self/mountinfo /proc/swaps
}

# Every way from one to another, in a circle; a machine enters it where it is.
ways=(peer shared keystore peer keystore shared peer)
: "${at:=-1}"

# What there is before the next start: the way that the machine came up by is still open.
expect_both() {
	local type types="$1 $2"

	types=${types/keystore/keyfile}
	for type in $types; do
		[[ $type == shared ]] || same "to $2: the token of $type is there" \
			"eyrie-$type eyrie-$type" "$(for name in left right; do
				tokens "$name" | tr ' ' '\n' | grep -x "eyrie-$type"
			done | xargs)"
	done
	[[ $1 != keystore ]] ||
		status 1 "to $2: the key device still has a key slot" no_slot /dev/md/eyrie-key
}

# to WAY came up: the way before goes.
finish_move() {
	status 5 "$1 came up: there is something to do" eyrie plan --check
	says "$1 came up: it says what" "take away the key"
	status 0 "$1 came up: apply" eyrie apply --passphrase-file "$SECRET" --yes
}

# What is on the members and the key device once a move to WAY has been finished.
expect_slots() {
	case $1 in
	shared)
		same "$1: no token" " " "$(tokens left) $(tokens right)"
		same "$1: the passphrase's slot alone" "1 1" "$(slots left) $(slots right)"
		;;
	keystore)
		same "$1: a token of the key device" "eyrie-keyfile eyrie-keyfile" \
			"$(tokens left) $(tokens right)"
		same "$1: two slots" "2 2" "$(slots left) $(slots right)"
		;;
	peer)
		same "$1: its token" "eyrie-peer eyrie-peer" "$(tokens left) $(tokens right)"
		same "$1: three slots" "3 3" "$(slots left) $(slots right)"
		;;
	esac
	[[ $1 == keystore || ! -e /dev/md/eyrie-key ]] ||
		check "$1: the key device has no key slot" no_slot /dev/md/eyrie-key
}

declare -A by=([peer]=eyrie [shared]=stock [keystore]=stock)
now=$(sed -n '/#/!s/.*unlock: \([a-z]*\).*/\1/p' "$LAYOUT")
# Between shared and keystore or peer there is nothing to take away when shared was before.
if ((at >= 0)); then
	[[ ${ways[$at - 1]} == shared ]] || finish_move "$now"
	expect_slots "$now"
fi
expect "start $round, $now" "${by[$now]}"
[[ $now != keystore ]] || expect_closed
if ((round <= 6)); then
	if ((at < 0)); then
		for at in 0 1 2; do
			[[ ${ways[$at]} != "$now" ]] || break
		done
	fi
	at=$((at % 6 + 1))
	to "${ways[$at]}"
	expect_both "$now" "${ways[$at]}"
	echo "at=$at" >/root/at
	again
fi
finish
