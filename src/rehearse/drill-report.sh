#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# drill-report.sh off|stay NUMBER [TASK [DISK|ENVIRONMENT]]
#
# Runs in a machine that is rehearsed, put there from outside and never installed: notes the
# number of this start on its root, does its task, and tells on the second serial port, one JSON
# object a line and with stock tools only, what came up. Switches the machine off when told so.

exec >/dev/ttyS1 2>/dev/null </dev/null
stty -F /dev/ttyS1 raw -echo
echo # ends what the firmware and its boot menu left on this line

tell() {
	name=$1
	shift
	value=$("$@" | tr '\n' ' ')
	printf '{"%s":%s}\n' "$name" "${value:-null}"
}

# Until the pool is whole and nothing is left to copy; the drill's deadline ends it, too.
wait_until_whole() {
	until [ "$(zpool list -H -o health)" = ONLINE ] &&
		! zpool status | grep -q 'resilver in progress'; do
		sleep 1
	done
}

if [ -d /run/systemd/system ]; then
	tell_jobs() {
		printf '{"jobs":"%s"}\n' "$(systemctl list-jobs --no-legend --plain |
			while read -r _ unit _; do echo "$unit"; done | xargs)"
	}
	list_failed() {
		systemctl list-units --failed --output=json --no-pager
	}
	switch_off() {
		systemctl poweroff --no-block
	}
else # OpenRC
	tell_jobs() {
		echo '{"jobs":""}'
	}
	list_failed() {
		rc-status --format ini sysinit boot default | {
			separator='['
			while IFS=' =' read -r service state; do
				case $state in
				stopped | crashed | failed)
					printf '%s{"unit":"%s"}' "$separator" "$service"
					separator=,
					;;
				esac
			done
			[ "$separator" = , ] || printf '['
			printf ']'
		}
	}
	switch_off() {
		poweroff
	}
fi

memory=/var/lib/eyrie-drill
echo "$2" >>"$memory"
case $3 in
whole)
	echo '{"up":true}'
	wait_until_whole
	;;
environment)
	echo '{"up":true}'
	eyrie boot create "$4" >/dev/ttyS0 2>&1
	mv /usr/lib/systemd/systemd /usr/lib/systemd/systemd.broken
	;;
discard)
	eyrie heal --discard "$4" >/dev/ttyS0 2>&1
	wait_until_whole
	;;
esac
printf '{"seen":"%s"}\n' "$(xargs <"$memory")"
sync
zpool sync
printf '{"mapped":"%s"}\n' "$(cat /sys/block/dm-*/dm/name | xargs)"
tell_jobs
tell root findmnt -J -o SOURCE,FSTYPE /
tell pool zpool status -j
tell failed list_failed
tell uptime cut -d' ' -f1 /proc/uptime
echo '{"done":true}'
[ "$1" != off ] || switch_off
