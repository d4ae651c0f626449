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
printf 'another one entirely' >"$OTHER"
printf 'not the right one' >/tmp/wrong

sql() {
	runuser -u postgres -- psql -XAtqc "$1" 2>&1
}

# Seconds that a command took, whatever came of it.
seconds() {
	local begun=$EPOCHREALTIME

	"$@" >"$OUT" 2>&1 </dev/null
	awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
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
	systemctl enable eyrie-gate 2>/dev/null
	systemctl is-enabled eyrie-gate
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

# repack PACKAGE: its package again, from what is installed.
repack() {
	local name=$1 tree=/tmp/repack file

	rm -rf "$tree"
	mkdir -p "$tree/DEBIAN"
	dpkg-query -L "$name" | while read -r file; do
		[[ -d $file && ! -L $file ]] || cp -a --parents "$file" "$tree"
	done
	dpkg-query --status "$name" | sed '/^Status:/d; /^Conffiles:/,/^[^ ]/{/^Conffiles:/d;/^ /d}' \
		>"$tree/DEBIAN/control"
	for file in preinst postinst prerm postrm; do
		[[ ! -e /var/lib/dpkg/info/$name.$file ]] ||
			cp "/var/lib/dpkg/info/$name.$file" "$tree/DEBIAN"
	done
	dpkg-deb -Znone --build "$tree" "/tmp/$name.deb" >/dev/null
}

test_reinstall() {
	local took name

	for name in postgresql-17 nginx; do
		check "$name is packed again" repack $name
	done
	took=$(seconds apt-get install --reinstall -y /tmp/postgresql-17.deb /tmp/nginx.deb)
	says "reinstall: it was done" "Setting up postgresql-17"
	echo "# apt-get install --reinstall took $took s"
	tail -n 5 "$OUT" | sed 's/^/# /'
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
	check "$1: no hint of it is left" until_no_hint
}

until_no_hint() {
	local end=$((SECONDS + 30))

	while grep nest /run/issue.d/50-eyrie-gate.issue; do
		((SECONDS < end)) || return
		sleep 0.5
	done
	return 0
}

test_unlock() {
	status 0 "eyrie unlock nest" eyrie unlock nest --passphrase-file "$SECRET"
	runs_with_data unlock 1
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

# What OpenZFS has for it: nothing of eyrie is called.
test_load_key() {
	status 0 "zfs load-key" bash -c "zfs load-key nest <$SECRET && zfs mount -a"
	runs_with_data "load-key" 1
	sleep 5
	same "load-key: nothing undid it" yes "$(zfs get -Hpo value mounted nest/pg)"
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
test_restart
test_reinstall
test_gate_dies
test_wrong
test_unlock
test_lock
test_load_key
test_key_file
test_unlock
test_load
test_others
finish
