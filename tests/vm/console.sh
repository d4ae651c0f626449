#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The gates that install put on a machine, from its first start on, and who may bring the key: a
# person who logs in at the console and types what it says, an agent that answers the question there,
# the question of the start itself, the passphrase of the root, a key file that turns up.
#
# lab: --boot KEPT --file KEPT/passphrase
# lab: --answer "login:=root" --answer "Password:=falcon" --answer "falcon:~#=eyrie unlock nest"
# lab: --answer "Passphrase for nest:=" --answer "run 'eyrie unlock nest':="
# lab: --answer "run 'eyrie unlock nest':=another" --answer "Wrong passphrase.="

# shellcheck disable=SC2119,SC2317 # again takes no word; functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
SECRET=/cargo/passphrase
STICK=/run/stick

key() {
	zfs get -Hpo value keystatus nest
}

active() {
	systemctl show -P ActiveState "$1"
}

# until_is UNIT STATE [SECONDS]
until_is() {
	local end=$((SECONDS + ${3:-120}))

	while ((SECONDS < end)); do
		[[ $(active "$1") != "$2" ]] || return 0
		sleep 0.5
	done
	systemctl status --no-pager "$1"
	journalctl -b -u eyrie-gate -u eyrie-gate-boot -u "$1" --no-pager | tail -n 30
	return 1
}

is_held() {
	same "$1: its service does not run" inactive "$(active www)"
	same "$1: its service was skipped" no "$(systemctl show -P ConditionResult www)"
	same "$1: the key is not there" unavailable "$(key)"
	check "$1: the hint is where getty shows it" grep -Fx "Run 'eyrie unlock nest'" \
		/run/issue.d/50-eyrie-gate.issue
}

is_open() {
	check "$1: its service runs" until_is www active
	same "$1: its dataset is mounted" yes "$(zfs get -Hpo value mounted nest/www)"
	check "$1: the gate knows" timeout 60 eyrie gate wait nest
}

# Somebody logs in at the console and types what it says; lab does. A getty hangs it up.
type_it() {
	systemd-run --quiet --unit=console-login -p StandardInput=tty -p StandardOutput=tty \
		-p TTYPath=/dev/ttyS0 agetty --keep-baud 115200 ttyS0 vt100
	until_is www active 240 >"$OUT"
	pgrep -l -u root -t ttyS0 >"$OUT"
	systemctl stop console-login
	exec >/dev/ttyS0 2>&1
}

# The question of a machine that is up, to whoever runs an agent; lab answers there. Its end hangs up
# the console, too.
answer_agent() {
	systemd-run --quiet --unit=console-agent -p StandardInput=tty -p StandardOutput=tty \
		-p TTYPath=/dev/ttyS0 systemd-tty-ask-password-agent --watch
	until_is www active 240 >"$OUT"
	systemctl stop console-agent
	exec >/dev/ttyS0 2>&1
}

# gates KEYS: of nest, from the next start on.
gates() {
	echo "gates: { nest: { $1 } }" >/etc/eyrie/gate.yaml
	status 0 "gate sync: $1" eyrie gate sync
}

# A service that somebody installs while the gate is closed; www is only known by its folder.
add_service() {
	cat >/etc/systemd/system/www.service <<-EOF
		[Service]
		WorkingDirectory=/srv/www
		ExecStart=/bin/sleep infinity
		[Install]
		WantedBy=multi-user.target
	EOF
	systemctl enable --now www
}

# To what this tree has. The initramfs has no part in it, and takes minutes to be made.
upgrade() {
	local program r

	for program in dracut update-initramfs; do
		ln -s /bin/true "/usr/local/sbin/$program"
	done
	dpkg -i /cargo/eyrie.deb
	r=$?
	rm /usr/local/sbin/dracut /usr/local/sbin/update-initramfs
	return "$r"
}

# What has nothing to do with nest.
add_stranger() {
	cat >/etc/systemd/system/stranger.service <<-EOF
		[Service]
		ExecStart=/bin/sleep infinity
		[Install]
		WantedBy=multi-user.target
	EOF
	systemctl enable stranger
}

share() {
	sed -i 's/"share-passphrase": *false/"share-passphrase": true/' /etc/eyrie/unlock.json &&
		grep -q '"share-passphrase": *true' /etc/eyrie/unlock.json && make_image "$(uname -r)" &&
		eyrie boot sync
}

from_file() {
	mkdir -p "$STICK" && cp "$SECRET" "$STICK/key" &&
		zfs change-key -o keylocation="file://$STICK/key" nest
}

case $round in
1)
	check "the gate of the layout was put on" grep -q nest /etc/eyrie/gate.yaml
	check "its daemon runs" until_is eyrie-gate active
	check "eyrie is upgraded while it is closed" upgrade
	check "its daemon runs again" until_is eyrie-gate active
	check "a service is installed while it is closed" add_service
	is_held "first start"
	type_it
	says "typed: in the shell of who logged in there" "bash"
	is_open typed
	gates "prompt: console"
	status 0 "it is locked again" eyrie lock nest
	is_held "prompt: console"
	answer_agent
	is_open "prompt: console"
	gates "hold: boot"
	again
	;;
2)
	is_open "asked before local file systems"
	check "it came before them" test "$(systemctl show -P InactiveExitTimestampMonotonic www)" -gt \
		"$(systemctl show -P ExecMainExitTimestampMonotonic eyrie-gate-boot)"
	gates "share-passphrase: true"
	check "eyrie-unlock shares the passphrase" share
	again
	;;
3)
	is_open "shared"
	check "the key is in a file from now on" from_file
	gates "hold: all"
	add_stranger
	status 0 "gate sync with the stranger" eyrie gate sync
	again
	;;
4)
	is_held "hold: all"
	same "hold: all: who needs nothing of it waits, too" inactive "$(active stranger)"
	check "hold: all: a console can be logged in at" systemctl is-active getty@tty1
	check "the stick is put in" bash -c "mkdir -p $STICK && cp $SECRET $STICK/key"
	is_open "key file"
	check "key file: everything goes on" until_is stranger active
	;;
esac
finish
