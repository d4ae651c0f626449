# bash completion for eyrie: commands and options come from eyrie's own help.
_eyrie()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$(eyrie --help |
			sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p') --help --version" -- "$cur")
		return
	fi
	case $prev in
	--passphrase-file | --output | -o | --observed | --deb | --zfs-modules | --overwrite | --member | -m)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--keep | --cache | --target | --root)
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--discard)
		mapfile -t COMPREPLY < <(compgen -W "$(sed -n 's/.*"name": *"\([^"]*\)".*/\1/p' \
			/etc/eyrie/unlock.json 2>/dev/null)" -- "$cur")
		return
		;;
	--from)
		mapfile -t COMPREPLY < <(compgen -W "$(eyrie boot list 2>/dev/null |
			sed '1d; s/ .*//') $(zfs list -H -o name -t snapshot 2>/dev/null |
			grep /ROOT/)" -- "$cur")
		return
		;;
	--wipe)
		mapfile -t COMPREPLY < <(compgen -W "$(sed -n -e '/^disks:/,/^[^ ]/s/^  \([a-z0-9-]*\):.*/\1/p' \
			-- /etc/eyrie/eyrie.yaml "${COMP_WORDS[@]:2}" 2>/dev/null)" -- "$cur")
		return
		;;
	--disk)
		[[ $cur == *=* ]] || return
		mapfile -t COMPREPLY < <(compgen -P "${cur%%=*}=" -f -- "${cur#*=}")
		return
		;;
	--drill | --cuts | --seed | --host | --key-file)
		return
		;;
	--suite)
		mapfile -t COMPREPLY < <(compgen -W "trixie bookworm" -- "$cur")
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(eyrie "${COMP_WORDS[1]}" --help 2>/dev/null |
			grep -o -- '--[a-z-]*' | sort -u)" -- "$cur")
	elif [[ ${COMP_WORDS[1]} == boot && $COMP_CWORD == 2 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "sync write list create activate destroy" -- "$cur")
	elif [[ ${COMP_WORDS[1]} == boot && ${COMP_WORDS[2]} == @(activate|destroy) ]] &&
		((COMP_CWORD == 3)); then
		mapfile -t COMPREPLY < <(compgen -W "$(eyrie boot list 2>/dev/null |
			sed '1d; s/ .*//')" -- "$cur")
	elif [[ ${COMP_WORDS[1]} == gate && $COMP_CWORD == 2 ]]; then
		mapfile -t COMPREPLY < <(compgen -W "check sync status wait emit" -- "$cur")
	elif [[ ${COMP_WORDS[1]} == gate && ${COMP_WORDS[2]} == check ||
		" ${COMP_WORDS[*]} " == *" --test "* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ ${COMP_WORDS[1]} == lock || ${COMP_WORDS[1]} == unlock ||
		${COMP_WORDS[1]} == gate ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(zfs get -H -o value -t filesystem,volume \
			encryptionroot 2>/dev/null | grep -vx -- - | sort -u)" -- "$cur")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	fi
}
complete -o filenames -F _eyrie eyrie
