#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Boot environments of an installed machine with UEFI: made, activated, started, destroyed; half-made
# ones, those that do not fit, and those that somebody destroyed with zfs(8).
#
# lab: --boot KEPT

# shellcheck disable=SC2016,SC2119 # esp() expands what is quoted; again() takes no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
LAYOUT=/etc/eyrie/eyrie.yaml
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)
root=$(findmnt -no SOURCE /)
folder=${root%/*}
pool=${root%%/*}

n_folders() {
	esp "$1" 'ls eyrie | wc -l'
}

# started NAME: the datasets that entries name.
started() {
	esp "$1" 'sed -n "s/^options root=zfs:\([^ ]*\).*/\1/p" loader/entries/eyrie-*.conf | sort -u'
}

in_step() {
	same "$1: the EFI system partitions hold the same" "$(esp_files left)" "$(esp_files right)"
	status 0 "$1: the plan is empty" eyrie plan --check
}

test_create() {
	status 0 "list: one" eyrie boot list
	says "list: it is active and runs" '^debian +yes +yes '
	same "one alone: bootfs decides" AUTO "$(started left)"
	status 0 "create" eyrie boot create before
	in_step "create"
	same "create: two entries" "$folder/before $folder/debian" "$(started left | xargs)"
	same "create: they share the kernel" 1 "$(n_folders left)"
	same "create: what is set on it" "noauto / done:" "$(zfs get -H -o value \
		canmount,mountpoint,eyrie:state "$folder/before" | sed 's/done:.*/done:/' | xargs)"
	same "create: how it opens its disks" "$(zfs get -H -o value eyrie:unlock "$folder/debian")" \
		"$(zfs get -H -o value eyrie:unlock "$folder/before")"
	status 3 "create: it is there" eyrie boot create before
	says "create: it says so" "'before' is there already"
	status 2 "create: a bad name" eyrie boot create Before+3
	status 3 "create: no such snapshot" eyrie boot create other --from debian@never
	says "create: which one is not there" "no snapshot $folder/debian@never"
}

# The newer one gets another initramfs, and one more: the older one keeps its own.
test_kernels() {
	local i

	for i in 1 2; do
		echo "# touched $i" >>/etc/crypttab
		check "new initramfs $i" make_image "$kernel"
		status 0 "new initramfs $i: sync" eyrie boot sync
		in_step "new initramfs $i"
		same "new initramfs $i: the older one stays, too" 2 "$(n_folders right)"
		[ "$i" = 2 ] || zfs snapshot "$folder/debian@old"
	done
}

test_half_made() {
	zfs set eyrie:state=cloning "$folder/before"
	status 0 "half-made: sync" eyrie boot sync
	same "half-made: in no menu" AUTO "$(started left)"
	status 0 "half-made: list" eyrie boot list
	says "half-made: it says so" 'before .*half-made'
	status 3 "half-made: not activated" eyrie boot activate before
	status 0 "half-made: created again" eyrie boot create before
	in_step "half-made"
	same "half-made: in the menu" "$folder/before $folder/debian" "$(started right | xargs)"
}

test_not_possible() {
	local before

	before=$(esp_files left)
	mount "$(part left esp)" /tmp/esp-left
	dd if=/dev/zero of=/tmp/esp-left/filler bs=1M status=none 2>/dev/null
	umount /tmp/esp-left
	status 1 "no room" eyrie boot create old --from debian@old
	says "no room: it says so" "no room for kernel .* of the environment old"
	says "no room: taken back" "'old' was taken back"
	status 1 "no room: nothing is left" zfs list "$folder/old"
	mount "$(part left esp)" /tmp/esp-left
	rm /tmp/esp-left/filler
	umount /tmp/esp-left
	same "no room: the menus are as they were" "$before" "$(esp_files left)"
	in_step "no room"
	status 0 "room again" eyrie boot create old --from debian@old
	in_step "room again"
	status 0 "destroy" eyrie boot destroy old
	in_step "destroy"
	status 1 "without a kernel" eyrie boot create nothing --from debian@empty
	says "without a kernel: it says so" "would have no kernel"
	in_step "without a kernel"
}

test_activate() {
	status 3 "destroy: what runs" eyrie boot destroy debian
	status 0 "activate" eyrie boot activate before
	same "activate: bootfs" "$folder/before" "$(zpool get -H -o value bootfs "$pool")"
	in_step "activate"
	same "activate: the menu's first" eyrie "$(esp left \
		'sed -n "s/^sort-key //p" loader/entries/eyrie-before-*.conf')"
	status 3 "destroy: what is active" eyrie boot destroy before
}

case $round in
1)
	test_create
	test_kernels
	test_half_made
	test_not_possible
	test_activate
	start_in "$folder"/before
	;;
2)
	same "it is the other one" "$folder/before" "$root"
	same "it is running" running "$(systemctl is-system-running --wait)"
	status 0 "list" eyrie boot list
	says "list: it is active and runs" '^before +yes +yes '
	in_step "the other one"
	same "its boots are not counted any more" 0 "$(esp left \
		'ls loader/entries | grep -cE "^eyrie-before-.*[+][0-9]+(-[0-9]+)?[.]conf$"')"
	status 0 "back" eyrie boot activate debian
	start_in "$folder"/debian
	;;
3)
	same "it is the first one again" "$folder/debian" "$root"
	status 0 "destroy" eyrie boot destroy before
	in_step "destroy"
	same "destroy: one alone" AUTO "$(started left)"
	status 1 "destroy: its snapshot is gone" zfs list "$folder/debian@eyrie-before"
	status 0 "create for zfs" eyrie boot create gone
	check "zfs destroy" zfs destroy "$folder/gone"
	status 5 "destroyed by zfs: there is something to do" eyrie plan --check
	status 0 "destroyed by zfs: sync" eyrie boot sync
	same "destroyed by zfs: in no menu" AUTO "$(started right)"
	in_step "destroyed by zfs"
	;;
esac
finish
