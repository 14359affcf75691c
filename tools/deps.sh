#!/bin/bash
# deps.sh [GROUP...]: installs the Debian packages of tools/packages.txt that are missing (groups: build, test;
# default: build). Says nothing when nothing is missing. Needs root or sudo; else it prints the command to run.
set -eu
tools=$(cd "$(dirname "$0")" && pwd)
groups=${*:-build}

wanted=$(awk -v groups=" $groups " '
    /^\[/ {take = index(groups, " " substr($1, 2, length($1) - 2) " ") > 0; next}
    take && NF && $1 !~ /^#/ {print $1}' "$tools/packages.txt")
if [ -z "$wanted" ]; then echo "deps.sh: no such group: $groups (see tools/packages.txt)" >&2; exit 2; fi

missing_of() {
    # shellcheck disable=SC2086
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' $wanted 2>/dev/null |
        awk -v wanted="$wanted" '
            $1 == "installed" {have[$2] = 1}
            END {n = split(wanted, name, /[ \n]+/); for (i = 1; i <= n; i++) if (!(name[i] in have)) print name[i]}'
}

if ! command -v dpkg-query >/dev/null; then
    echo "deps.sh: this is no Debian system; install by hand what matches: ${wanted//$'\n'/ }" >&2
    exit 0
fi
mapfile -t missing < <(missing_of)
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo=(sudo)
    else
        echo "deps.sh: missing packages; run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# apt-get with its progress as one line that moves (on a terminal) or a line per quarter.
apt_run() {
    # sudo closes all descriptors but three: the one for the progress is opened behind it.
    { "${sudo[@]}" sh -c 'log=$1; shift; DEBIAN_FRONTEND=noninteractive exec apt-get -q -y \
        -o APT::Status-Fd=3 -o DPkg::Lock::Timeout=300 "$@" 3>&1 >"$log" 2>&1' sh "$log" "$@" && echo done; } | {
        last=-1; good=1
        while IFS=: read -r kind _ percent text; do
            case $kind in
            done) good=0;;
            dlstatus | pmstatus)
                step=downloading; [ "$kind" = pmstatus ] && step=installing
                whole=${percent%%.*}
                if [ -t 1 ]; then printf '\r  %-11s %3d %%  %-50.50s' "$step" "$whole" "$text"
                elif [ $((whole / 25)) != "$last" ]; then last=$((whole / 25)); echo "  $step ${whole} %"; fi;;
            esac
        done
        [ -t 1 ] && printf '\r%*s\r' 72 ''
        exit $good
    }
}

fail() { tail -n 15 "$log" >&2; echo "deps.sh: $1" >&2; exit 1; }

echo "deps: installing ${#missing[@]} Debian packages: ${missing[*]}"
fresh=0
if [ -z "$(find /var/lib/apt/lists -maxdepth 1 -name '*Packages*' -print -quit 2>/dev/null)" ]; then
    apt_run update || fail "apt-get update failed: is the network there?"
    fresh=1
fi
if ! apt_run install --no-install-recommends "${missing[@]}"; then
    [ $fresh = 0 ] || fail "apt-get install failed"
    apt_run update || fail "apt-get update failed: is the network there?" # the lists may be old
    apt_run install --no-install-recommends "${missing[@]}" || fail "apt-get install failed"
fi
mapfile -t missing < <(missing_of)
[ ${#missing[@]} = 0 ] || fail "still missing: ${missing[*]}"
echo "deps: done"
