#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The gate with OpenRC and real services, Debian's own init scripts: the runlevel is reached with
# the key missing, and what needs it starts when it has come. OpenRC runs beside the appliance's
# process 1; the runlevels are entered as at boot.
#
# root: gate
# lab: --disk one=:512MiB --disk two=:512MiB --disk three=:256MiB OPENRC

# shellcheck disable=SC2016,SC2317 # inner shells expand; functions are called by name

# shellcheck source=tests/vm/common.sh
. /cargo/common.sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
OTHER=/tmp/other-secret
printf 'another one entirely' >"$OTHER"
printf 'not the right one' >/tmp/wrong

sql() {
	runuser -u postgres -- psql -XAtqc "$1" 2>&1
}

get() {
	exec 3<>/dev/tcp/127.0.0.1/80 || return
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	cat <&3
	exec 3>&-
}

# within SECONDS COMMAND...
within() {
	local end=$((SECONDS + $1))

	shift
	while ((SECONDS < end)); do
		! "$@" >"$OUT" 2>&1 || return 0
		sleep 0.2
	done
	rc-status --all 2>&1
	cat "$OUT" /tmp/openrc.log 2>/dev/null
	return 1
}

install_openrc() {
	local deb

	for deb in /cargo/*.deb; do
		[[ $deb == */eyrie.deb ]] || dpkg-deb --fsys-tarfile "$deb" |
			tar -C / -x --keep-directory-symlink || return
	done
	install_eyrie
	ldconfig
	ip link set lo up
	rm -f /etc/runlevels/*/*
	# invoke-rc.d asks for the runlevel, which is in utmp where OpenRC is process 1, and starts nothing else.
	rm -f /sbin/runlevel
	printf '#!/bin/sh\necho N 2\n' >/sbin/runlevel && chmod +x /sbin/runlevel
}

make_pools() {
	zpool create -m none -O encryption=on -O keyformat=passphrase -O pbkdf2iters=100000 nest \
		mirror "$(disk one)" "$(disk two)" <"$SECRET" &&
		zpool create -m none -O encryption=on -O keyformat=passphrase -O pbkdf2iters=100000 \
			cellar "$(disk three)" <"$OTHER" &&
		zfs create -o mountpoint=/srv/www nest/www &&
		zfs create -o mountpoint=/tmp/pg nest/pg &&
		zfs create -o mountpoint=/srv/cellar cellar/wine
}

fill_pool() {
	[[ -e /var/lib/postgresql/17/main ]] || pg_createcluster 17 main || return
	cp -a /var/lib/postgresql/. /tmp/pg && chown postgres: /tmp/pg && rm -rf /var/lib/postgresql/* &&
		zfs set mountpoint=/var/lib/postgresql nest/pg || return
	echo 'a falcon lives here' >/srv/www/index.html
	printf 'server { listen 80 default_server; root /srv/www; }\n' >/etc/nginx/sites-available/default
	ln -sf ../sites-available/default /etc/nginx/sites-enabled/default
	pg_ctlcluster 17 main start && sql 'create table t (n int); insert into t values (1)' &&
		pg_ctlcluster 17 main stop
}

# Services that have nothing to do but to run.
make_services() {
	local name

	for name in cellarer lost; do
		cat >"/etc/init.d/$name" <<-EOF
			#!/sbin/openrc-run
			command=/bin/sleep
			command_args=infinity
			command_background=yes
			pidfile=/run/$name.pid
		EOF
		chmod 755 "/etc/init.d/$name"
	done
}

configure() {
	local name

	make_services
	{
		openrc sysinit
		openrc boot
	} >/tmp/openrc.log 2>&1 </dev/null
	cat >/etc/eyrie/gate.yaml <<-EOF
		gates:
		  nest: { hold: listed, services: [nginx, postgresql] }
		  cellar: { hold: listed, services: [cellarer], wait: 40, then: continue }
		  attic: { hold: listed, services: [lost], wait: 20 }
	EOF
	eyrie gate sync || return
	for name in nginx postgresql cellarer lost; do
		rc-update add "$name" default || return
	done
}

# As at boot: the pools are imported, their keys are not there.
enter_runlevel() {
	zpool export nest cellar && zpool import -N -d /dev nest &&
		zpool import -N -d /dev cellar || return
	openrc default >>/tmp/openrc.log 2>&1 </dev/null
	cat /tmp/openrc.log
	[[ $(rc-status -r) == default ]]
}

down() {
	check "$1: no database" bash -c '! pgrep -x postgres'
	check "$1: no nginx" bash -c '! pgrep -x nginx'
}

runs() {
	check "$1: the database runs" within 60 sql 'select 1'
	check "$1: nginx runs" within 60 pgrep -x nginx
	same "$1: the row is there" 1 "$(sql 'select count(*) from t where n = 1')"
	get >"$OUT" 2>&1
	says "$1: the page is there" "a falcon lives here"
	check "$1: the gate is started" rc-service eyrie-gate.nest status
}

# Without its data the service runs when the wait is over, and once more when the key has come.
test_continue() {
	local before

	check "cellar: its service runs without it" within 120 rc-service cellarer status
	check "cellar: the gate knows that its data is not there" bash -c \
		'[[ -e /run/eyrie/gate/cellar && ! -s /run/eyrie/gate/cellar ]]'
	before=$(cat /run/cellarer.pid)
	status 1 "cellar: nest's passphrase does not open it" \
		eyrie unlock cellar --passphrase-file "$SECRET"
	status 0 "cellar: its own does" eyrie unlock cellar --passphrase-file "$OTHER"
	same "cellar: it is mounted" yes "$(zfs get -Hpo value mounted cellar/wine)"
	check "cellar: its service runs with it" within 60 rc-service cellarer status
	check "cellar: it was started again" test "$(cat /run/cellarer.pid)" != "$before"
}

test_missing() {
	check "attic: the log says that the wait is over" within 60 \
		grep "attic: the key did not come in time" /var/log/eyrie-gate.log
	check "attic: its service does not run" bash -c '! rc-service lost status'
	status 1 "attic: unlock says what is wrong" eyrie unlock attic --passphrase-file "$SECRET"
	says "attic: that is, no such pool" "no such pool available"
}

watcher() {
	pgrep -fx '/usr/sbin/eyrie gate watch'
}

another_watches() {
	[[ -n $(watcher) && $(watcher) != "$1" ]]
}

# test_daemon WHEN: it is killed, and it is started again; who runs runs on.
test_daemon() {
	local before

	before=$(watcher)
	check "$1: the gate is killed" kill -KILL "$before"
	check "$1: it comes back" within 60 another_watches "$before"
	before=$(watcher)
	check "$1: the gate is started again" rc-service eyrie-gate restart
	check "$1: another one watches" within 30 another_watches "$before"
}

# Who installs a newer database while nobody has brought the key has it installed, and not started.
test_reinstall() {
	check "nginx is packed again" repack nginx
	status 0 "reinstall of nginx ends well" timeout 300 dpkg -i /var/tmp/nginx.deb
	says "reinstall of nginx: it was done" "Setting up nginx"
	check "postgresql-17 is packed again" repack postgresql-17
	status 0 "reinstall of postgresql-17 ends well" timeout 300 dpkg -i /var/tmp/postgresql-17.deb
	says "reinstall of postgresql-17: it was done" "Setting up postgresql-17"
	says "reinstall of postgresql-17: its stop and its start are denied" "policy-rc.d denied"
	down "after reinstall"
}

test_reinstall_open() {
	status 0 "open: reinstall of postgresql-17 ends well" timeout 300 dpkg -i \
		/var/tmp/postgresql-17.deb
	says "open: reinstall of postgresql-17: it was done" "Setting up postgresql-17"
	runs "open: reinstall of postgresql-17"
}

start_ssh() {
	mkdir -p /root/.ssh && chmod 700 /root /root/.ssh && ssh-keygen -A &&
		ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519 &&
		cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys && rc-service ssh start
}

# Somebody comes in over the network and does what the hint says.
test_ssh() {
	local ssh="ssh -o BatchMode=yes -o StrictHostKeyChecking=no 127.0.0.1"

	check "ssh: it listens" start_ssh
	status 0 "ssh: eyrie unlock nest" bash -c "$ssh eyrie unlock nest --passphrase-file - <$SECRET"
	runs ssh
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
	status 0 "under load: eyrie lock nest" eyrie lock nest
	same "under load: the key is gone" unavailable "$(zfs get -Hpo value keystatus nest)"
	status 0 "under load: eyrie unlock nest" eyrie unlock nest --passphrase-file "$SECRET"
	check "under load: the database runs" within 60 sql 'select 1'
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

test_refused_lock() {
	(cd /srv/www && exec sleep 300) &
	stranger=$!
	sleep 1
	status 3 "eyrie lock nest is refused" eyrie lock nest
	says "refused: it says who" "nest is in use by sleep \(process"
	runs "refused"
	kill $stranger
	wait $stranger 2>/dev/null
}

check "OpenRC is put on" install_openrc
mkdir -p /etc/eyrie /etc/conf.d /run/issue.d
check "the pools are made" make_pools
check "database and pages are on it" fill_pool
check "the gate is configured" configure
check "configured: the gate is a service of the runlevel" test -x /etc/runlevels/default/eyrie-gate.nest
check "configured: nginx needs it" grep 'rc_nginx_need=.* eyrie-gate.nest"$' \
	/etc/rc.conf.d/eyrie-gate.conf
echo 'gates: { nest: { services: [nginx] } }' >/tmp/gate.yaml
status 3 "what OpenRC cannot hold is refused" eyrie gate check /tmp/gate.yaml
says "refused: it says why" "which services need a path is asked of systemd"
check "the runlevel is reached without the key" enter_runlevel
down closed
check "closed: the gate is inactive" bash -c 'rc-status default | grep -E "eyrie-gate.nest.*inactive"'
check "closed: the hint is where getty shows it" grep -Fx "Run 'eyrie unlock nest'" \
	/run/issue.d/50-eyrie-gate.issue
timeout 30 rc-service postgresql restart >"$OUT" 2>&1 </dev/null
check "closed: restart of the database ends" test $? != 124
down "after restart"
test_daemon closed
down "after that"
test_reinstall
status 1 "wrong passphrase" eyrie unlock nest --passphrase-file /tmp/wrong
down "wrong passphrase"
status 0 "eyrie unlock nest" eyrie unlock nest --passphrase-file "$SECRET"
runs unlock
before=$(pgrep -ox postgres)
test_daemon open
same "open: the database ran all the while" "$before" "$(pgrep -ox postgres)"
test_reinstall_open
test_refused_lock
status 0 "eyrie lock nest" eyrie lock nest
down lock
same "lock: the key is gone" unavailable "$(zfs get -Hpo value keystatus nest)"
check "lock: the gate is inactive" bash -c 'rc-status default | grep -E "eyrie-gate.nest.*inactive"'
status 0 "zfs load-key" bash -c "zfs load-key nest <$SECRET && zfs mount -a"
runs load-key
test_load
status 0 "eyrie lock nest, again" eyrie lock nest
test_ssh
test_continue
test_missing
rc-status --all 2>&1 | sed 's/^/# /'
finish
