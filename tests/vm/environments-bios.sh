#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Boot environments of an installed machine with a BIOS, whose /boot all of them share: made, activated,
# started, destroyed; each keeps its kernels, whatever another one does to /boot, and half-made ones, those
# that do not fit, and those that somebody destroyed with zfs(8) leave nothing there.
#
# lab: --boot KEPT

# shellcheck disable=SC2119,SC2317 # functions are called by name, and take no more words

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
LAYOUT=/etc/eyrie/eyrie.yaml
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
kernel=$(uname -r)
fake=6.1.0-fake
MENU=/boot/eyrie/grub/grub.cfg
root=$(findmnt -no SOURCE /)
folder=${root%/*}
pool=${root%%/*}

# entries: the --id of each, in their order.
entries() {
	sed -n "s/^menuentry .*--id '\(.*\)' {/\1/p" "$MENU" | xargs
}

# started: the datasets that entries name.
started() {
	sed -n 's/^\tlinux .* root=zfs:\([^ ]*\).*/\1/p' "$MENU" | sort -u | xargs
}

# files_of ID: what GRUB reads for that entry.
files_of() {
	sed -n "/--id '$1' {/,/^}/s/^\t\(linux\|initrd\) \([^ ]*\).*/\/boot\2/p" "$MENU"
}

# initrd_of ID: its sum.
initrd_of() {
	sha256sum <"$(files_of "$1" | tail -n 1)"
}

has_files() {
	local file files

	mapfile -t files < <(sed -n 's/^\t\(linux\|initrd\) \([^ ]*\).*/\/boot\2/p' "$MENU")
	for file in "${files[@]}"; do
		[[ -s $file ]] || { echo "$file is not there" && return 1; }
	done
}

n_folders() {
	find /boot/eyrie/kernels -mindepth 1 -maxdepth 1 2>/dev/null | wc -l
}

in_step() {
	check "$1: the menu has its files" has_files
	status 0 "$1: the plan is empty" eyrie plan --check
}

test_create() {
	status 0 "list: one" eyrie boot list
	says "list: it is active and runs" '^debian +yes +yes '
	same "one alone: bootfs decides" AUTO "$(started)"
	same "one alone: its kernel is in /boot itself" "/boot/vmlinuz-$kernel /boot/initrd.img-$kernel" \
		"$(files_of "$kernel" | xargs)"
	status 0 "create" eyrie boot create before
	in_step "create"
	same "create: two entries" "debian-$kernel before-$kernel" "$(entries)"
	same "create: they share the kernel" 1 "$(n_folders)"
	same "create: what /boot has is of this one" debian "$(cat /boot/eyrie/owner)"
	status 3 "create: it is there" eyrie boot create before
	says "create: it says so" "'before' is there already"
}

# The newer one gets another initramfs, which dracut writes over the old one, and another kernel.
test_kernels() {
	local before

	before=$(initrd_of "before-$kernel")
	echo "# touched" >>/etc/crypttab
	check "new initramfs" make_image "$kernel"
	same "new initramfs: until the sync, nothing in the menu has changed" "$before" \
		"$(initrd_of "debian-$kernel")"
	status 0 "new initramfs: sync" eyrie boot sync
	in_step "new initramfs"
	same "new initramfs: the older one keeps its own" "$before" "$(initrd_of "before-$kernel")"
	same "new initramfs: it is in the menu" "$(sha256sum <"/boot/initrd.img-$kernel")" \
		"$(initrd_of "debian-$kernel")"
	zfs snapshot "$folder/debian@old"
	cp -r "/usr/lib/modules/$kernel" "/usr/lib/modules/$fake"
	depmod "$fake"
	cp "/boot/vmlinuz-$kernel" "/boot/vmlinuz-$fake"
	check "a second kernel: its initramfs" make_image "$fake"
	status 0 "a second kernel: sync" eyrie boot sync
	in_step "a second kernel"
	same "a second kernel: this one has it" "debian-$kernel debian-$fake before-$kernel" "$(entries)"
	status 0 "an older snapshot: create" eyrie boot create old --from debian@old
	same "an older snapshot: it has no modules for it" \
		"debian-$kernel debian-$fake before-$kernel old-$kernel" "$(entries)"
	status 0 "an older snapshot: destroy" eyrie boot destroy old
	in_step "an older snapshot"
}

test_half_made() {
	zfs set eyrie:state=cloning "$folder/before"
	status 0 "half-made: sync" eyrie boot sync
	same "half-made: in no menu" AUTO "$(started)"
	same "half-made: nothing is kept" 0 "$(n_folders)"
	status 0 "half-made: created again" eyrie boot create before
	in_step "half-made"
	same "half-made: in the menu" "$folder/before $folder/debian" "$(started)"
}

test_not_possible() {
	local before

	status 0 "no room: one alone" eyrie boot destroy before
	before=$(sha256sum "$MENU")
	dd if=/dev/zero of=/boot/filler bs=1M status=none 2>/dev/null
	status 1 "no room" eyrie boot create before
	says "no room: it says so" "/boot has no room for a copy of kernel"
	says "no room: taken back" "'before' was taken back"
	status 1 "no room: nothing is left" zfs list "$folder/before"
	same "no room: the menu is as it was" "$before" "$(sha256sum "$MENU")"
	rm /boot/filler
	in_step "no room"
	status 0 "room again" eyrie boot create before
	in_step "room again"
	check "/boot is unmounted" umount /boot
	status 3 "/boot is not mounted: create" eyrie boot create other
	says "/boot is not mounted: it says so" "/boot is not mounted"
	check "/boot is mounted again" mount /boot
}

test_activate() {
	status 3 "destroy: what runs" eyrie boot destroy debian
	status 0 "activate" eyrie boot activate before
	same "activate: bootfs" "$folder/before" "$(zpool get -H -o value bootfs "$pool")"
	in_step "activate"
	same "activate: the menu's first" "before-$kernel" "$(entries | cut -d ' ' -f 1)"
	status 3 "destroy: what is active" eyrie boot destroy before
}

case $round in
1)
	test_create
	test_kernels
	test_half_made
	test_not_possible
	# What this one has and the other one has not, for when it comes back.
	echo "# touched again" >>/etc/crypttab
	check "one more initramfs" make_image "$kernel"
	status 0 "one more initramfs: sync" eyrie boot sync
	sha256sum "/boot/initrd.img-$kernel" "/boot/vmlinuz-$fake" >/root/left
	test_activate
	start_in "$folder"/before
	;;
2)
	same "it is the other one" "$folder/before" "$root"
	same "it is running" running "$(systemctl is-system-running --wait)"
	status 0 "list" eyrie boot list
	says "list: it is active and runs" '^before +yes +yes '
	in_step "the other one"
	same "what /boot has is of this one" before "$(cat /boot/eyrie/owner)"
	same "its own initramfs is there" "$(initrd_of "before-$kernel")" \
		"$(sha256sum <"/boot/initrd.img-$kernel")"
	check "what its menu has is not that of the first one" \
		test "$(initrd_of "before-$kernel")" != "$(initrd_of "debian-$kernel")"
	check "a new initramfs here" make_image "$kernel"
	status 0 "a new initramfs here: sync" eyrie boot sync
	in_step "a new initramfs here"
	# It was made when the first one had the second kernel, and so it has it, too.
	rm -r "/boot/vmlinuz-$fake" "/boot/initrd.img-$fake" "/usr/lib/modules/$fake"
	status 0 "a kernel removed here: sync" eyrie boot sync
	in_step "a kernel removed here"
	same "a kernel removed here: the first one has it" "before-$kernel debian-$kernel debian-$fake" \
		"$(entries)"
	status 0 "back" eyrie boot activate debian
	start_in "$folder"/debian
	;;
3)
	same "it is the first one again" "$folder/debian" "$root"
	same "it is running" running "$(systemctl is-system-running --wait)"
	check "what it left in /boot is there again" sha256sum --quiet -c /root/left
	in_step "the first one again"
	status 0 "destroy" eyrie boot destroy before
	in_step "destroy"
	same "destroy: one alone" AUTO "$(started)"
	same "destroy: nothing is kept" 0 "$(n_folders)"
	check "destroy: nobody's" test ! -e /boot/eyrie/owner
	status 1 "destroy: its snapshot is gone" zfs list "$folder/debian@eyrie-before"
	status 0 "create for zfs" eyrie boot create gone
	check "zfs destroy" zfs destroy "$folder/gone"
	status 5 "destroyed by zfs: there is something to do" eyrie plan --check
	status 0 "destroyed by zfs: sync" eyrie boot sync
	same "destroyed by zfs: in no menu" AUTO "$(started)"
	same "destroyed by zfs: nothing is kept" 0 "$(n_folders)"
	in_step "destroyed by zfs"
	;;
esac
finish
