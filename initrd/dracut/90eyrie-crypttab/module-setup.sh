#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2154 # initdir is set by dracut
# dracut module of eyrie (unlock: shared, keystore): of crypttab the lines that say x-initrd.attach, which
# are those of the members and of the key device. systemd in the initramfs starts every line that it
# finds, and what is not needed for the root would ask or wait there for a key that is not in the image.

check() {
	return 255
}

install() {
	mkdir -p "$initdir/etc"
	awk '!/^[[:space:]]*#/ && ("," $4 ",") ~ /,x-initrd[.]attach,/' /etc/crypttab \
		>"$initdir/etc/crypttab"
}
