#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What Debian's packages ask before they touch a service: README.policy-rc.d of init-system-helpers.
# Those that need a gate which is closed are left alone: OpenRC starts them when it opens. An LSB
# script, run by rc-service, would not wait for what it needs.

held_by=/etc/rc.conf.d/eyrie-gate.conf # rc_NAME_need, from eyrie gate sync
marks=/run/eyrie/gate

[ "${1-}" != --quiet ] || shift
[ "${1-}" != --list ] || exit 0
service=${1-} actions=${2-}
case $actions in
"("*) exit 101 ;; # not of this runlevel: denied, as it is where nobody is asked
status) exit 0 ;;
esac
[ -e /run/openrc/softlevel ] && [ -r "$held_by" ] || exit 0

# shellcheck disable=SC2034 # what is sourced reads it
rc_need=
# shellcheck source=/dev/null
. "$held_by"
name=$(printf %s "$service" | tr -c 'A-Za-z0-9' _)
eval "needs=\${rc_${name}_need-}"
# shellcheck disable=SC2154 # set there
for need in $needs; do
	case $need in
	eyrie-gate.*) [ -e "$marks/${need#eyrie-gate.}" ] || exit 101 ;;
	esac
done
exit 0
