#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The gate on an installed machine with real services: PostgreSQL on nest/pg and nginx serving from
# nest/www, a second pool with another passphrase, and one that is missing altogether.
#
# lab: --boot KEPT --disk one=:512MiB --disk two=:512MiB --disk three=:256MiB

# shellcheck disable=SC2016,SC2119,SC2317 # again takes no word; inner shells expand; functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
OTHER=/tmp/other-secret
PG=postgresql@17-main.service
LIST=/etc/zfs/zfs-list.cache/nest
PACKAGES=(postgresql-17 nginx)
printf 'another one entirely' >"$OTHER"
printf 'not the right one' >/tmp/wrong

sql() {
	runuser -u postgres -- psql -XAtqc "$1" 2>&1
}

# since TIME: the seconds from then, $EPOCHREALTIME of it, until now.
since() {
	awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
}

# Seconds that a command took; ends as that did.
seconds() {
	local begun=$EPOCHREALTIME is

	"$@" >"$OUT" 2>&1 </dev/null
	is=$?
	since "$begun"
	return $is
}

get() {
	exec 3<>/dev/tcp/127.0.0.1/80 || return
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	cat <&3
	exec 3>&-
}

active() {
	systemctl show -P ActiveState "$1"
}

# within SECONDS COMMAND...: until it succeeds.
within() {
	local end=$((SECONDS + $1))

	shift
	until "$@"; do
		((SECONDS < end)) || return
		sleep 0.5
	done
}

# until_active UNIT [SECONDS]
until_active() {
	local end=$((SECONDS + ${2:-60}))

	while ((SECONDS < end)); do
		[[ $(active "$1") != active ]] || return 0
		sleep 0.2
	done
	systemctl status --no-pager "$1"
	journalctl -b -u eyrie-gate -u "$1" --no-pager | tail -n 30
	return 1
}

is_down() {
	same "$2: $1 does not run" inactive "$(active "$1")"
}

jobs_are_none() {
	same "$1: no job waits" "" "$(systemctl list-jobs --plain --no-legend |
		grep -Ev 'eyrie-(drill|boot|gate-sync)|multi-user|graphical|systemd-update-utmp')"
}

lock_nest() {
	status 0 "$1: eyrie lock nest" eyrie lock nest
	same "$1: the key is gone" unavailable "$(zfs get -Hpo value keystatus nest)"
}

# Round 1: the machine is made, as its owner would.
make_pools() {
	zpool create -m none -O encryption=on -O keyformat=passphrase -O pbkdf2iters=100000 nest \
		mirror "$(disk one)" "$(disk two)" <"$SECRET" || return
	zpool create -m none -O encryption=on -O keyformat=passphrase -O pbkdf2iters=100000 cellar \
		"$(disk three)" <"$OTHER" || return
	zfs create -o mountpoint=/srv/www nest/www && zfs create -o mountpoint=/srv/cellar cellar/wine
}

move_postgresql() {
	[[ -e /var/lib/postgresql/17/main ]] || pg_createcluster 17 main || return
	systemctl stop postgresql "$PG"
	mv /var/lib/postgresql /var/lib/postgresql.old &&
		zfs create -o mountpoint=/var/lib/postgresql nest/pg &&
		chown postgres: /var/lib/postgresql &&
		cp -a /var/lib/postgresql.old/. /var/lib/postgresql &&
		rm -r /var/lib/postgresql.old && systemctl enable --now postgresql
}

make_website() {
	echo 'a falcon lives here' >/srv/www/index.html
	printf 'server { listen 80 default_server; root /srv/www; }\n' >/etc/nginx/sites-available/default
	systemctl enable nginx && systemctl restart nginx
}

# What fails because the database is not there; who looks into the cellar; who waits for nothing.
make_units() {
	cat >/etc/systemd/system/app.service <<-EOF
		[Unit]
		After=postgresql.service
		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=runuser -u postgres -- psql -XAtqc "select 1"
		[Install]
		WantedBy=multi-user.target
	EOF
	for name in cellarer lost; do
		cat >/etc/systemd/system/$name.service <<-EOF
			[Unit]
			$([[ $name != cellarer ]] || echo RequiresMountsFor=/srv/cellar)
			[Service]
			ExecStart=/bin/sleep infinity
			[Install]
			WantedBy=multi-user.target
		EOF
	done
	systemctl enable app cellarer lost
}

write_gates() {
	cat >/etc/eyrie/gate.yaml <<-EOF
		gates:
		  nest: { services: [nginx] }
		  cellar: { hold: listed, services: [cellarer], wait: 40, then: continue }
		  attic: { hold: listed, services: [lost], wait: 20 }
	EOF
}

# reinstall PACKAGE WHEN: the seconds are in `took`.
reinstall() {
	local is

	took=$(seconds apt-get install --reinstall -y "/var/tmp/$1.deb")
	is=$?
	same "reinstall of $1, $2: it ends well" 0 $is
	says "reinstall of $1, $2: it was done" "Setting up $1"
}

# What the package's scripts said, and systemd knows of who wants it, when it is not.
database_is_back() {
	until_active "$PG" && return
	tail -n 12 /tmp/apt
	systemctl show -p ActiveState,Wants postgresql.service
	return 1
}

reinstall_open() {
	local name took

	for name in "${PACKAGES[@]}"; do
		check "$name is packed again" repack "$name"
		reinstall "$name" open
		echo "$took" >"/var/tmp/$name.seconds"
		cp "$OUT" /tmp/apt
		[[ $name != postgresql-* ]] || check "reinstall: the database runs" database_is_back
	done
}

# With such a list OpenZFS's own generator makes mounts of the pool. zed fills it when the file is there
# and a property is set.
make_list() {
	mkdir -p "${LIST%/*}" && touch "$LIST" && zfs set canmount=on nest/pg &&
		within 60 grep '^nest/pg' "$LIST"
}

round_one() {
	# The initramfs has no part in this, and takes minutes to be made.
	ln -s /bin/true /usr/local/sbin/dracut
	ln -s /bin/true /usr/local/sbin/update-initramfs
	check "the package is put on" dpkg -i /cargo/eyrie.deb
	check "the pools are made" make_pools
	check "PostgreSQL moves to nest/pg" move_postgresql
	check "nginx serves from nest/www" make_website
	make_units
	until_active "$PG" >/dev/null
	check "a row is written" sql 'create table t (n int); insert into t values (1)'
	write_gates
	status 0 "gate check" eyrie gate check
	says "gate check: the database, by its path" "holds $PG: it needs /var/lib/postgresql"
	says "gate check: nginx, since it is listed" "holds nginx.service: it is listed"
	says "gate check: what it cannot know" "cannot know whether these use it.*app.service"
	says "gate check: a pool that is not there" "the pool of attic is not imported"
	cp "$OUT" /root/gate-check
	status 0 "gate sync" eyrie gate sync
	status 0 "gate sync again" eyrie gate sync
	says "gate sync again: nothing changed" "nothing changed"
	check "the gate runs" until_active eyrie-gate.service
	check "nest is open" timeout 60 eyrie gate wait nest
	reinstall_open
	systemctl enable eyrie-gate 2>/dev/null
	systemctl is-enabled eyrie-gate
	check "zed lists nest for OpenZFS's generator" make_list
	again
}

# Round 2: booted without a key.
test_closed() {
	same "closed: the machine is up" 0 "$(systemctl is-active --quiet multi-user.target; echo $?)"
	is_down "$PG" closed
	is_down nginx.service closed
	same "closed: app has failed without its database" failed "$(active app.service)"
	check "closed: ssh listens" bash -c '</dev/tcp/127.0.0.1/22'
	same "closed: logins are allowed" "" "$(find /run/nologin 2>/dev/null)"
	check "closed: the hint is where getty shows it" grep -Fx "Run 'eyrie unlock nest'" \
		/run/issue.d/50-eyrie-gate.issue
	check "closed: it says who waits" grep -E "^nest is locked; waiting for it: .*$PG" \
		/run/issue.d/50-eyrie-gate.issue
	check "closed: it says what is missing" grep -E '^attic is not there' \
		/run/issue.d/50-eyrie-gate.issue
	script -qec "agetty --show-issue" /dev/null >"$OUT" 2>&1 </dev/null
	says "closed: getty shows it" "Run 'eyrie unlock nest'"
	systemctl status --no-pager "$PG" >"$OUT" 2>&1
	says "closed: systemctl status tells why" "ConditionPathExists=/run/eyrie/gate/nest was not met"
	systemctl status --no-pager eyrie-gate >"$OUT" 2>&1
	says "closed: the gate's status tells what to do" "nest is closed, holds .*Run 'eyrie unlock nest'"
	jobs_are_none closed
}

# What OpenZFS's generator made of the list is there, and systemd goes by ours.
test_generators() {
	local unit

	for unit in var-lib-postgresql.mount srv-www.mount; do
		check "generators: $unit of OpenZFS is bound to the key" grep -x \
			"BindsTo=zfs-load-key@nest.service" "/run/systemd/generator/$unit"
		same "generators: ours lies in front of it" "/run/systemd/generator.early/$unit" \
			"$(systemctl show -P FragmentPath "$unit")"
	done
	check "generators: OpenZFS would ask for the key" \
		test -f /run/systemd/generator/zfs-load-key@nest.service
	same "generators: ours masks that" masked "$(systemctl show -P LoadState zfs-load-key@nest)"
}

# It must end at once, and start nothing.
test_restart() {
	local took

	took=$(seconds systemctl restart "$PG")
	check "restart of the held database ends at once: $took s" awk "BEGIN { exit !($took < 30) }"
	took=$(seconds deb-systemd-invoke restart nginx.service)
	check "deb-systemd-invoke restart ends at once: $took s" awk "BEGIN { exit !($took < 30) }"
	is_down "$PG" "after restart"
	is_down nginx.service "after restart"
	jobs_are_none "after restart"
}

# The emulator is slow and has neighbours: what tells waiting from that is what the same took with the
# gate open, and that whoever waits for systemd does so for 90 s at least.
test_reinstall() {
	local name open took

	for name in "${PACKAGES[@]}"; do
		open=$(<"/var/tmp/$name.seconds")
		reinstall "$name" closed
		echo "# reinstall of $name: $open s with the gate open, $took s closed"
		check "reinstall of $name, closed: it does not wait" \
			awk "BEGIN { exit !($took < $open + 90) }"
	done
	is_down "$PG" "after reinstall"
	is_down nginx.service "after reinstall"
}

test_gate_dies() {
	check "the gate is killed" systemctl kill -s KILL eyrie-gate
	check "killed: it comes back" until_active eyrie-gate.service 30
	check "the gate is restarted" systemctl restart eyrie-gate
	check "daemon-reload" systemctl daemon-reload
	check "dpkg -i of the same" dpkg -i /cargo/eyrie.deb
	is_down "$PG" "after all that"
	check "after all that: the hint is there" grep -Fx "Run 'eyrie unlock nest'" \
		/run/issue.d/50-eyrie-gate.issue
	jobs_are_none "after all that"
}

test_wrong() {
	status 1 "wrong passphrase" eyrie unlock nest --passphrase-file /tmp/wrong
	says "wrong passphrase: says so" "the passphrase does not open nest"
	says "wrong passphrase: the command again" "Run 'eyrie unlock nest'"
	is_down "$PG" "after a wrong passphrase"
}

runs_with_data() {
	check "$1: the database runs" until_active "$PG"
	check "$1: nginx runs" until_active nginx.service
	check "$1: what failed runs" until_active app.service 120
	same "$1: the row is there" "$2" "$(sql 'select count(*) from t where n = 1')"
	get >"$OUT" 2>&1
	says "$1: the page is there" "a falcon lives here"
	check "$1: the gate knows" timeout 60 eyrie gate wait nest
	check "$1: no hint of it is left" within 30 no_hint
}

no_hint() {
	! grep nest /run/issue.d/50-eyrie-gate.issue
}

test_unlock() {
	status 0 "eyrie unlock nest" eyrie unlock nest --passphrase-file "$SECRET"
	runs_with_data unlock 1
}

make_ssh_key() {
	mkdir -p /root/.ssh && chmod 700 /root/.ssh &&
		ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 &&
		cat /root/.ssh/id_ed25519.pub >>/root/.ssh/authorized_keys
}

# Nobody is near the machine: somebody comes in over the network and does what the hint says.
test_ssh() {
	local ssh="ssh -o BatchMode=yes -o StrictHostKeyChecking=no localhost" begun

	check "ssh: root has a key" make_ssh_key
	status 0 "ssh: eyrie gate status" bash -c "$ssh eyrie gate status nest"
	says "ssh: it says what to do" "^Run 'eyrie unlock nest'"
	begun=$EPOCHREALTIME
	status 0 "ssh: eyrie unlock nest" bash -c "$ssh eyrie unlock nest --passphrase-file - <$SECRET"
	check "ssh: the database answers" within 120 sql 'select 1'
	echo "# ssh: the database answered $(since "$begun") s after the login began"
	runs_with_data ssh 1
}

test_lock() {
	(cd /srv/www && exec sleep 300) &
	stranger=$!
	sleep 1
	status 3 "eyrie lock nest is refused" eyrie lock nest
	says "refused: it says who" "nest is in use by sleep \(process"
	same "refused: the database runs on" active "$(active "$PG")"
	kill $stranger
	wait $stranger 2>/dev/null
	check "a folder of it is mounted elsewhere" mount --bind /srv/www /mnt
	status 3 "bind mount: eyrie lock nest is refused" eyrie lock nest
	says "bind mount: it says which" "nest is in use: nest/www on /mnt is mounted"
	same "bind mount: the database runs on" active "$(active "$PG")"
	umount /mnt
	lock_nest lock
	is_down "$PG" lock
	is_down nginx.service lock
	check "lock: the hint is back" grep -Fx "Run 'eyrie unlock nest'" \
		/run/issue.d/50-eyrie-gate.issue
}

# A key that is a file opens it, and does not undo a lock.
test_key_file() {
	cp "$SECRET" /root/nest.key
	check "key file: it is one now" zfs set keylocation=file:///root/nest.key nest
	lock_nest "key file"
	sleep 5
	same "key file: it stays locked" unavailable "$(zfs get -Hpo value keystatus nest)"
	status 0 "key file: unlock asks nothing" eyrie unlock nest
	runs_with_data "key file" 1
	check "key file: it is none any more" zfs set keylocation=prompt nest
	rm /root/nest.key
	lock_nest "key file, again"
}

nothing_is_mounted() {
	! zfs get -Hpo value mounted nest/pg nest/www | grep yes
}

# With the units of OpenZFS alone systemd unmounts at once what was opened by hand (zfs#12418).
test_without_ours() {
	local generator=/etc/systemd/system-generators/eyrie-gate-generator

	mkdir -p "${generator%/*}"
	ln -s /dev/null "$generator"
	check "without ours: the gate is stopped" systemctl stop eyrie-gate
	check "without ours: daemon-reload" systemctl daemon-reload
	status 0 "without ours: zfs load-key" bash -c "zfs load-key nest <$SECRET && zfs mount -a"
	check "without ours: systemd unmounts it again" within 30 nothing_is_mounted
	check "without ours: the key goes" zfs unload-key nest
	rm "$generator"
	check "with ours again: daemon-reload" systemctl daemon-reload
	check "with ours again: the gate is started" systemctl start eyrie-gate
	is_down "$PG" "with ours again"
}

# What OpenZFS has for it: nothing of eyrie is called.
test_load_key() {
	status 0 "zfs load-key" bash -c "zfs load-key nest <$SECRET && zfs mount -a"
	runs_with_data "load-key" 1
	sleep 10
	same "load-key: nothing undid it" $'yes\nyes' \
		"$(zfs get -Hpo value mounted nest/pg nest/www)"
}

# Rows are written as fast as they are acknowledged, while the gate closes and opens.
test_load() {
	local acknowledged

	: >/tmp/rows
	(while :; do
		sql 'insert into t values (2) returning n' | grep -qx 2 && echo >>/tmp/rows
	done) 2>/dev/null &
	writer=$!
	sleep 5
	lock_nest "under load"
	status 0 "under load: unlock" eyrie unlock nest --passphrase-file "$SECRET"
	check "under load: the database runs" until_active "$PG"
	sleep 5
	kill $writer
	wait $writer 2>/dev/null
	sleep 1
	acknowledged=$(wc -l </tmp/rows)
	echo "# $acknowledged rows were acknowledged"
	check "under load: some rows were written" test "$acknowledged" -gt 2
	check "under load: none is lost" test "$(sql 'select count(*) from t where n = 2')" -ge \
		"$acknowledged"
}

test_others() {
	check "cellar: its service runs without it" until_active cellarer.service 90
	check "cellar: the gate knows that its data is not there" bash -c \
		'[[ -e /run/eyrie/gate/cellar && ! -s /run/eyrie/gate/cellar ]]'
	same "cellar: nothing is mounted" no "$(zfs get -Hpo value mounted cellar/wine)"
	status 1 "cellar: nest's passphrase does not open it" eyrie unlock cellar --passphrase-file "$SECRET"
	status 0 "cellar: its own does" eyrie unlock cellar --passphrase-file "$OTHER"
	same "cellar: it is mounted" yes "$(zfs get -Hpo value mounted cellar/wine)"
	same "attic: it is told as failed" failed "$(active eyrie-gate-overdue@attic.service)"
	is_down lost.service attic
	status 1 "attic: unlock says what is wrong" eyrie unlock attic --passphrase-file "$SECRET"
	says "attic: that is, no such pool" "no such pool available"
}

((round > 1)) || round_one
test_closed
test_generators
test_restart
test_reinstall
test_gate_dies
test_wrong
test_unlock
test_lock
test_without_ours
test_load_key
test_key_file
test_ssh
test_load
test_others
finish
