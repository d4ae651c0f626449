#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Stock tools changed the members of a set: another passphrase on one, the slot of the set key gone
# on the other; then what each knew of the set gone, as after a reencryption of both. The machine
# boots all the same, says so, and one command mends it.
#
# lab: --boot KEPT --file KEPT/passphrase

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
SECRET=/cargo/passphrase

# slot NAME ROLE: the number of a key slot, as the token says.
slot() {
	cryptsetup token export --token-id 0 "$(part "$1" member)" |
		sed -n "s/.*\"$2\": *\([0-9]*\).*/\1/p"
}

change_passphrase() {
	printf another >/tmp/another
	cryptsetup luksChangeKey --batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1500 \
		--key-slot "$(slot left passphrase)" --key-file "$SECRET" "$(part left member)" \
		/tmp/another
}

kill_set_key() {
	cryptsetup luksKillSlot --batch-mode --key-file "$SECRET" "$(part right member)" \
		"$(slot right set-key)"
}

# A reencryption leaves the passphrase's slot alone, and the token.
lose_set() {
	local name role

	for name in left right; do
		for role in set-key box; do
			cryptsetup luksKillSlot --batch-mode --key-file "$SECRET" \
				"$(part "$name" member)" "$(slot "$name" "$role")" || return
		done
	done
}

opens() {
	cryptsetup open --test-passphrase --key-file "$SECRET" "$(part "$1" member)"
}

# What eyrie-unlock said, under the name that its unit has in the initramfs.
said() {
	journalctl -b -o cat -u zfs-import-scan.service --no-pager
}

case $round in
1)
	slot left passphrase >/root/changed
	check "luksChangeKey on left" change_passphrase
	check "luksKillSlot on right" kill_set_key
	again
	;;
2)
	same "both members are in the pool" ONLINE "$(zpool list -H -o health)"
	check "said of left" grep -q "left: its passphrase slot was changed .*eyrie heal" <(said)
	check "said of right" grep -q "right: another tool changed its key slots.*eyrie heal" <(said)
	status 2 "the passphrase does not open left alone" opens left
	status 0 "heal" eyrie heal --passphrase-file "$SECRET"
	says "it says whom it mended" "left, right: mended"
	says "it names what luksChangeKey wrote" "cryptsetup luksKillSlot /dev/disk/by-uuid/.* $(cat /root/changed)$"
	check "the passphrase of luksChangeKey still opens left" cryptsetup open --test-passphrase \
		--key-file <(printf another) "$(part left member)"
	check "and goes by that command" cryptsetup luksKillSlot --batch-mode --key-file "$SECRET" \
		"$(part left member)" "$(cat /root/changed)"
	check "the passphrase opens left alone" opens left
	check "the passphrase opens right alone" opens right
	status 0 "each opens the other" eyrie unlock --test --passphrase-file "$SECRET" \
		"$(part left member)" "$(part right member)"
	status 0 "heal again finds nothing" eyrie heal --passphrase-file "$SECRET"
	same "and says nothing" "" "$(cat "$OUT")"
	again
	;;
3)
	same "in step again" ONLINE "$(zpool list -H -o health)"
	check "the journal has its start" grep -q "$EYRIE_UNLOCK" <(said)
	status 1 "nothing to mend is said" grep -q "eyrie heal" <(said)
	check "no member knows the set" lose_set
	again
	;;
4)
	same "both came up by the passphrase" ONLINE "$(zpool list -H -o health)"
	check "it says what to run" grep -q "only the passphrase opened it; eyrie heal" <(said)
	status 1 "nobody was waited for" grep -q "waiting " <(said)
	status 0 "heal makes them a set again" eyrie heal --passphrase-file "$SECRET"
	status 0 "each opens the other again" eyrie unlock --test --passphrase-file "$SECRET" \
		"$(part left member)" "$(part right member)"
	again
	;;
5)
	same "a set again" ONLINE "$(zpool list -H -o health)"
	check "its start is in the journal" grep -q "$EYRIE_UNLOCK" <(said)
	status 1 "nothing to mend is said any more" grep -q "eyrie heal" <(said)
	;;
esac
finish
