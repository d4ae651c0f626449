#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Makes what a rehearsal boots, from Debian packages, into a cache folder.
#
#   appliance.sh builder     CACHE SUITE             a tree with compiler and built ZFS modules
#   appliance.sh zfs-modules CACHE SUITE             those modules as a package; linux-image.deb beside it
#   appliance.sh deb         CACHE SUITE SOURCE OUT  the package of a source tree, put in OUT/SUITE
#   appliance.sh image       CACHE ROOT_TARBALL      a folder with root.img, vmlinuz, initrd
#
# Prints the path of what it made, or found made before; words go to stderr. An entry is named by
# the hash of what goes in and gets its name only when it is whole, so that an interrupted build
# is never taken for one. Runs as root, or as a user who has subordinate ids (newuidmap).

set -euo pipefail
export LC_ALL=C.UTF-8

self=$(readlink -f "$0")
components=main,contrib
build_packages=(gcc libc6-dev make meson ninja-build pkgconf debhelper dpkg-dev scdoc
	libcryptsetup-dev libfdisk-dev libblkid-dev libsmartcols-dev libjson-c-dev libfyaml-dev
	libmount-dev uuid-dev libssl-dev libcmocka-dev)
kernel_packages=(linux-headers-amd64 zfs-dkms)

# What the appliance's initramfs loads, in this order; one that a kernel lacks is built in.
modules=(virtio_pci virtio_blk crc32c_generic crc32c_intel ext4 overlay)

work=

die() {
	printf 'appliance: %s\n' "$*" >&2
	exit 1
}

say() {
	printf 'appliance: %s\n' "$*" >&2
}

need() {
	local program

	for program; do
		command -v "$program" >/dev/null || die "$program is not installed"
	done
}

# Run a command as root of namespaces of its own: what it mounts and starts ends with it.
isolated() {
	local map=()

	((EUID == 0)) || map=(--user --map-auto --map-root-user)
	unshare "${map[@]}" --mount --pid --ipc --uts --fork --kill-child -- "$@"
}

# The same in a tree; MOUNTED, when it is set, is seen as /mnt.
enter() {
	isolated "$self" inside-enter "${MOUNTED:-}" "$@"
}

inside_enter() {
	local mounted=$1 tree=$2

	shift 2
	mount --rbind /dev "$tree/dev"
	mount -t proc proc "$tree/proc" 2>/dev/null || mount --rbind /proc "$tree/proc"
	mount -t tmpfs tmpfs "$tree/run"
	mount -t tmpfs tmpfs "$tree/tmp"
	[[ -z $mounted ]] || mount --bind "$mounted" "$tree/mnt"
	exec chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}

# hash_of WORD...: 16 digits are plenty for a name. Functions that make an entry go in as text.
hash_of() {
	printf '%s\0' "$@" | sha256sum | cut -c1-16
}

clean() {
	[[ -z $work ]] || isolated rm -rf -- "$work"
}

# One maker of a kind at a time. What an interrupted one left behind goes first.
begin() {
	local cache=$1 kind=$2

	mkdir -p "$cache"
	exec 9>"$cache/.lock-$kind"
	flock -n 9 || { say "waiting for another one that makes the same"; flock 9; }
	isolated rm -rf -- "$cache/.new-$kind"
}

# aside CACHE KIND: the folder that is filled before it gets its name.
aside() {
	work=$1/.new-$2
	mkdir "$work"
}

# Commit: from here on the entry counts as made. Those of its kind that nobody asked for in two
# days go afterwards; a younger one may be in use.
finish() {
	local cache=$1 kind=$2 entry=$3 old

	sync -f "$work"
	touch "$work"
	mv -T "$work" "$cache/$entry"
	work=
	for old in "$cache/$kind"-*; do
		[[ -z $(find "$old" -maxdepth 0 -mtime +1) ]] || isolated rm -rf -- "$old"
	done
}

bootstrap() {
	local suite=$1 target=$2 mode=unshare packages
	local options=()

	((EUID != 0)) || mode=root
	packages=$(IFS=,; echo "${build_packages[*]},${kernel_packages[*]}")
	if [[ $suite == bookworm ]]; then
		# Its own ZFS is too old for what eyrie asks of it. The source is derived from
		# the one that mmdebstrap chose.
		packages=${packages/zfs-dkms/zfs-dkms\/bookworm-backports}
		# shellcheck disable=SC2016 # the hook's own shell expands it
		options+=(--setup-hook='sed -n "s/ bookworm / bookworm-backports /p" "$1"/etc/apt/sources.list >"$1"/etc/apt/sources.list.d/backports.list')
	fi
	# The kernel's own package is kept: a mirror forgets old ones, the modules fit only this.
	# shellcheck disable=SC2016
	options+=(--customize-hook='cd "$1"/root && chroot "$1" sh -c "cd /root && apt-get download linux-image-\$(ls /lib/modules)"')
	mmdebstrap --quiet --mode="$mode" --variant=apt --components="$components" --format=tar \
		--include="$packages" --aptopt='APT::Install-Recommends "false"' \
		--aptopt='APT::Sandbox::User "root"' "${options[@]}" \
		"$suite" - | isolated tar -C "$target" --exclude='./dev/*' -xpf - >&2
}

cmd_builder() {
	local cache=$1 suite=$2 entry

	entry=builder-$suite-$(hash_of "$suite" "$components" "${build_packages[@]}" \
		"${kernel_packages[@]}" "$(declare -f bootstrap)")
	if [[ ! -d $cache/$entry ]]; then
		begin "$cache" "builder-$suite"
		if [[ ! -d $cache/$entry ]]; then
			need mmdebstrap tar
			say "making the builder for $suite; most of the time is the ZFS module's"
			aside "$cache" "builder-$suite"
			bootstrap "$suite" "$work"
			compgen -G "$work/lib/modules/*/updates/dkms/zfs.ko*" >/dev/null ||
				die "the ZFS module was not built"
			finish "$cache" "builder-$suite" "$entry"
		fi
		exec 9>&-
	fi
	touch "$cache/$entry"
	echo "$cache/$entry"
}

zfs_control() {
	cat <<-EOF
	Package: zfs-modules-$1
	Version: $2
	Architecture: amd64
	Maintainer: eyrie <root@localhost>
	Provides: zfs-modules (= $2)
	Description: ZFS modules for $1, built ahead
	EOF
}

zfs_postinst() {
	cat <<-EOF
	#!/bin/sh
	[ ! -e /lib/modules/$1/modules.order ] || depmod $1
	EOF
}

# The package is unpacked before its kernel is configured, so its maker wants no order of them.
make_zfs_package() {
	local tree=$1 kernel version folder

	kernel=$(ls "$tree/lib/modules")
	# shellcheck disable=SC2016 # dpkg-query expands it
	version=$(enter "$tree" dpkg-query -W -f '${Version}' zfs-dkms)
	folder=usr/lib/modules/$kernel/updates/dkms
	mkdir -p "$work/tree/DEBIAN" "$work/tree/$folder"
	cp "$tree/$folder"/{spl,zfs}.ko* "$work/tree/$folder/"
	zfs_control "$kernel" "$version" >"$work/tree/DEBIAN/control"
	zfs_postinst "$kernel" >"$work/tree/DEBIAN/postinst"
	chmod 755 "$work/tree/DEBIAN/postinst"
	MOUNTED=$work enter "$tree" dpkg-deb --root-owner-group -Zgzip -z1 -b /mnt/tree \
		/mnt/zfs-modules.deb >&2
	cp "$tree"/root/linux-image-*.deb "$work/linux-image.deb"
	rm -rf "$work/tree"
}

cmd_zfs_modules() {
	local cache=$1 suite=$2 tree entry

	tree=$(cmd_builder "$cache" "$suite")
	entry=zfs-modules-$suite-$(hash_of "$tree" "$(declare -f make_zfs_package zfs_control zfs_postinst)")
	if [[ ! -d $cache/$entry ]]; then
		begin "$cache" "zfs-modules-$suite"
		if [[ ! -d $cache/$entry ]]; then
			aside "$cache" "zfs-modules-$suite"
			make_zfs_package "$tree"
			finish "$cache" "zfs-modules-$suite" "$entry"
		fi
	fi
	touch "$cache/$entry"
	echo "$cache/$entry/zfs-modules.deb"
}

# The files of a source tree, NUL-terminated: what git would take, or all but a build folder.
source_files() {
	local file

	cd "$1"
	if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -co --exclude-standard -z
	else
		find . -path ./build -prune -o -type f -print0
	fi | sort -zu | while IFS= read -rd '' file; do
		[[ ! -e $file ]] || printf '%s\0' "$file"
	done
}

source_hash() {
	(
		cd "$1"
		source_files . | xargs -0 sh -c 'stat -c "%n %a" "$@"; sha256sum "$@"' files |
			sha256sum
	)
}

build_package() {
	local tree=$1 source=$2

	mkdir "$work/source"
	source_files "$source" | tar -C "$source" --null -T - -cf - | tar -C "$work/source" -xf -
	[[ -e $work/source/debian/control ]] || die "$source has no debian/control"
	# shellcheck disable=SC2016
	MOUNTED=$work enter "$tree" sh -euc '
		cd /mnt/source
		export DEB_BUILD_OPTIONS="nocheck noautodbgsym parallel=$(nproc)"
		dpkg-checkbuilddeps -I
		dpkg-buildpackage -d -b -us -uc' >"$work/log" 2>&1 ||
		{ tail -n 40 "$work/log" >&2; die "the package was not built"; }
	rm -rf "$work/source"
	compgen -G "$work/*.deb" >/dev/null || die "the build made no package"
}

cmd_deb() {
	local cache=$1 suite=$2 source=$3 out=$4 tree entry deb

	tree=$(cmd_builder "$cache" "$suite")
	entry=deb-$suite-$(hash_of "$tree" "$(source_hash "$source")" "$(declare -f build_package)")
	if [[ ! -d $cache/$entry ]]; then
		begin "$cache" "deb-$suite"
		if [[ ! -d $cache/$entry ]]; then
			say "building the package for $suite"
			aside "$cache" "deb-$suite"
			build_package "$tree" "$source"
			finish "$cache" "deb-$suite" "$entry"
		fi
	fi
	mkdir -p "$out/$suite"
	for deb in "$cache/$entry"/*.deb; do
		cmp -s "$deb" "$out/$suite/${deb##*/}" || cp "$deb" "$out/$suite/"
		echo "$out/$suite/${deb##*/}"
	done
}

initrd_init() {
	cat <<-'EOF'
	#!/bin/busybox sh
	export PATH=/bin
	/bin/busybox --install -s /bin
	mount -t proc proc /proc
	mount -t sysfs sys /sys
	mount -t devtmpfs dev /dev
	for m in /modules/*.ko; do insmod "$m" 2>/dev/null; done
	if grep -q eyrie.probe /proc/cmdline; then
		echo eyrie: the appliance is alive
		poweroff -f
	fi
	n=0
	until disk=$(grep -lx root /sys/block/vd*/serial 2>/dev/null); do
		n=$((n + 1))
		[ $n -lt 200 ] || { echo "eyrie: no disk called root"; poweroff -f; }
		sleep 0.05
	done
	disk=${disk#/sys/block/}
	mount -t ext4 -o ro "/dev/${disk%/serial}" /lower
	mount -t tmpfs -o size=75% tmpfs /upper
	mkdir /upper/files /upper/work
	mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root
	for d in dev proc sys; do mount --move /$d /root/$d; done
	exec switch_root /root /eyrie-init
	EOF
}

# Everything a tree needs of its kernel's modules, in loading order, unpacked.
copy_modules() {
	local tree=$1 kernel=$2 into=$3 module path n=100
	local -A seen=()

	for module in "${modules[@]}"; do
		while read -r verb path _; do
			[[ $verb == insmod && -z ${seen[$path]:-} ]] || continue
			seen[$path]=1
			n=$((n + 1))
			module=$into/$n-$(basename "${path%%.ko*}").ko
			case $path in
			*.xz) xz -dc "$tree/$path" >"$module" ;;
			*.zst) zstd -qdc "$tree/$path" >"$module" ;;
			*) cp "$tree/$path" "$module" ;;
			esac
		done < <(chroot "$tree" modprobe -S "$kernel" --show-depends "$module" 2>/dev/null)
	done
	((n > 100)) || die "the root tarball has no modules for its kernel $kernel"
}

find_busybox() {
	local busybox

	for busybox in "$1/bin/busybox" "$(command -v busybox)"; do
		[[ -x $busybox ]] || continue
		! ldd "$busybox" >/dev/null 2>&1 || continue
		echo "$busybox"
		return
	done
	die "no static busybox, neither here nor in the root tarball (package busybox-static)"
}

make_initrd() {
	local tree=$1 kernel=$2 into=$3 busybox

	busybox=$(find_busybox "$tree")
	mkdir -p "$into"/{bin,dev,proc,sys,modules,lower,upper,root}
	cp "$busybox" "$into/bin/busybox"
	initrd_init >"$into/init"
	chmod 755 "$into/init"
	copy_modules "$tree" "$kernel" "$into/modules"
	(cd "$into" && find . | "$busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$into.img"
}

# In the namespace, where files of any owner can be read: WORK gets the three files.
inside_image() {
	local into=$1 tarball=$2 tree=$1/tree kernel size

	mkdir "$tree"
	tar -C "$tree" --exclude='./dev/*' -xpf "$tarball"
	install -m 755 "$(dirname "$self")/appliance-init.sh" "$tree/eyrie-init"
	kernel=$(cd "$tree/lib/modules" && printf '%s\n' * | sort -V | tail -n 1)
	[[ -e $tree/boot/vmlinuz-$kernel ]] || die "the root tarball has no kernel"
	cp "$tree/boot/vmlinuz-$kernel" "$into/vmlinuz"
	make_initrd "$tree" "$kernel" "$into/initrd.d"
	mv "$into/initrd.d.img" "$into/initrd"
	size=$(($(du -sm --apparent-size "$tree" | cut -f1) * 6 / 5 + 128))
	mke2fs -q -t ext4 -O ^has_journal -m 0 -N 0 -d "$tree" "$into/root.img" "${size}M" >&2
	rm -rf "$tree" "$into/initrd.d"
}

cmd_image() {
	local cache=$1 tarball=$2 entry

	[[ -r $tarball ]] || die "cannot read the root tarball $tarball"
	entry=image-$(hash_of "$(sha256sum <"$tarball")" \
		"$(sha256sum <"$(dirname "$self")/appliance-init.sh")" "${modules[@]}" \
		"$(declare -f inside_image initrd_init make_initrd copy_modules)")
	if [[ ! -d $cache/$entry ]]; then
		begin "$cache" image
		if [[ ! -d $cache/$entry ]]; then
			need mke2fs xz gzip
			say "making the appliance"
			aside "$cache" image
			isolated "$self" inside-image "$work" "$tarball"
			finish "$cache" image "$entry"
		fi
	fi
	touch "$cache/$entry"
	echo "$cache/$entry"
}

usage() {
	sed -n '6,9s/^# *//p' "$self" >&2
	exit 2
}

main() {
	local command=${1:-} words

	declare -A words=([builder]=2 [zfs-modules]=2 [deb]=4 [image]=2)
	case $command in
	inside-enter) shift && inside_enter "$@" ;;
	inside-image) shift && inside_image "$@" ;;
	*)
		[[ -n ${words[$command]:-} && $# == $((words[$command] + 1)) ]] || usage
		need unshare flock sha256sum
		mkdir -p "$2"
		set -- "$1" "$(readlink -f "$2")" "${@:3}"
		trap clean EXIT
		trap 'exit 130' INT TERM
		"cmd_${command//-/_}" "${@:2}"
		;;
	esac
}

main "$@"
