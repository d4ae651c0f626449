#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs in the machine that bench-gate measures: /cargo/runs says how often, /cargo/idle for how many
# seconds both wait. The peer is what people write by hand: until zfs says so, sleep 1.

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
runs=$(cat /cargo/runs)
idle=$(cat /cargo/idle)

now() {
	cut -d ' ' -f 1 /proc/uptime
}

minus() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a - b }'
}

# pool COUNT: so many encryption roots, one passphrase; keys unloaded. The first is the pool's own.
pool() {
	local i

	zpool destroy -f nest 2>/dev/null
	zpool create -f -m none -O encryption=on -O keyformat=passphrase -O pbkdf2iters=100000 nest \
		"$(disk one)" <"$SECRET" || return
	for ((i = 1; i < $1; i++)); do
		zfs create -o mountpoint="/srv/nest/$i" -o encryption=on -o keyformat=passphrase \
			-o pbkdf2iters=100000 "nest/$i" <"$SECRET" || return
	done
	zfs create -o mountpoint=/srv/nest/data nest/data && away
}

away() {
	zfs unmount -a && zfs list -Hro encryptionroot nest | sort -ru | while read -r root; do
		zfs unload-key "$root" || return
	done
}

units() {
	local who

	for who in gated peered; do
		printf '[Service]\nExecStart=/bin/sh -c "cut -d\\\\  -f1 /proc/uptime >/run/%s; exec sleep infinity"\n[Install]\nWantedBy=multi-user.target\n' \
			$who >/etc/systemd/system/$who.service
	done
	systemctl enable gated
	cat >/usr/local/sbin/peer <<-'EOF'
		#!/bin/sh
		until [ "$(zfs get -H -o value keystatus nest)" = available ]; do sleep 1; done
		zfs mount -a
		systemctl start --no-block peered
	EOF
	chmod +x /usr/local/sbin/peer
	printf '[Service]\nExecStart=/usr/local/sbin/peer\nCPUAccounting=yes\n' >/etc/systemd/system/peer.service
	mkdir -p /etc/systemd/system/eyrie-gate.service.d
	printf '[Service]\nCPUAccounting=yes\n' >/etc/systemd/system/eyrie-gate.service.d/bench.conf
	echo 'gates: { nest: { hold: listed, services: [gated] } }' >/etc/eyrie/gate.yaml
	eyrie gate sync && systemctl daemon-reload && systemctl restart eyrie-gate
}

# until_started WHO: the end of all measuring when it does not come.
until_started() {
	local end=$((SECONDS + 120))

	while [[ ! -s /run/$1 ]]; do
		sleep 0.05
		((SECONDS < end)) || { systemctl status --no-pager "$1" eyrie-gate peer; return 1; }
	done
}

# Seconds from the key to the start, of the one and of the other, each alone.
latency() {
	local how=$1 who=$2 begun

	rm -f /run/gated /run/peered
	systemctl start gated
	[[ $who == eyrie ]] || systemctl start peer
	[[ $who == eyrie ]] || systemctl stop eyrie-gate
	sleep "$((2 + RANDOM % 2)).$((RANDOM % 10))"
	if [[ $how == unlock ]]; then
		begun=$(now)
		eyrie unlock nest --quiet --passphrase-file "$SECRET" || return
	else
		zfs load-key nest <"$SECRET" || return
		begun=$(now)
	fi
	until_started "$([[ $who == eyrie ]] && echo gated || echo peered)" || return
	echo "bench: case=$how who=$who value=$(minus "$(cat /run/gated /run/peered 2>/dev/null)" "$begun")"
	if [[ $who == eyrie ]]; then
		eyrie lock nest --quiet
	else
		systemctl stop peered peer && away && systemctl start eyrie-gate
	fi
}

cpu() {
	systemctl show -P CPUUsageNSec "$1"
}

# Processor milliseconds of a minute of waiting.
waiting() {
	local count=$1 gate peer

	systemctl start peer
	sleep 5
	gate=$(cpu eyrie-gate)
	peer=$(cpu peer)
	sleep "$idle"
	gate=$((($(cpu eyrie-gate) - gate) * 60 / idle / 1000))
	peer=$((($(cpu peer) - peer) * 60 / idle / 1000))
	systemctl stop peer
	echo "bench: case=waiting-$count who=eyrie value=$(minus "${gate}e-3" 0)"
	echo "bench: case=waiting-$count who=peer value=$(minus "${peer}e-3" 0)"
}

# One passphrase for all of them, to the service; the peer is zfs load-key in a loop, typed each time.
opening() {
	local count=$1 begun

	rm -f /run/gated /run/peered
	systemctl start gated
	begun=$(now)
	eyrie unlock nest --quiet --passphrase-file "$SECRET" && until_started gated || return
	echo "bench: case=opening-$count who=eyrie value=$(minus "$(cat /run/gated)" "$begun")"
	eyrie lock nest --quiet || return
	systemctl stop eyrie-gate
	begun=$(now)
	zfs list -Hro encryptionroot nest | sort -u | while read -r root; do
		zfs load-key "$root" <"$SECRET" || return
	done
	zfs mount -a
	systemctl start --no-block peered
	until_started peered || return
	echo "bench: case=opening-$count who=peer value=$(minus "$(cat /run/peered)" "$begun")"
	systemctl stop peered
	away
	systemctl start eyrie-gate
}

# Nobody watches meanwhile: the gate would open while its keys are there.
new_pool() {
	systemctl stop eyrie-gate gated
	pool "$1" && systemctl start eyrie-gate
}

rounds() {
	local i count

	pool 1 && units || return
	for ((i = 0; i < runs; i++)); do
		latency load-key eyrie && latency unlock eyrie && latency load-key peer || return
	done
	for count in 1 10 100; do
		((count == 1)) || new_pool $count || return
		waiting $count && opening $count || return
	done
}

# The initramfs has no part in this, and takes minutes to be made.
ln -s /bin/true /usr/local/sbin/dracut
dpkg -i /cargo/eyrie.deb >/dev/null
rounds && exit 0
journalctl -b -u eyrie-gate --no-pager | tail -n 20
eyrie gate status
zfs list -o name,keystatus,mounted
exit 1
