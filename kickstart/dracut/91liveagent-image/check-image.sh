#!/bin/sh
# Stands before dmsquash-live-root: an image that is not the one that was meant is never mounted.
#
#   image.sha256=HEX   the image's SHA-256
#   image.build=URL    a build.json, which names the images of a build with their sums; URL.sig has to be a signature in
#                      the namespace liveagent-build by somebody in /etc/liveagent/image_signers
#   image.least=N      the smallest number that a build at image.build may have; so may /etc/liveagent/image_least say,
#                      and the larger one counts
#
# The first counts where both are given: it names one image, which needs no number. With neither nothing is checked, and
# that is said. A signature has no end: an older build is one that was signed as well. So the number in build.json has to
# be that of the folder /builds/JOB/N/ in the address of either, and not below the least.

# shellcheck disable=SC1091  # they are in the initramfs
type getarg > /dev/null 2>&1 || . /lib/dracut-lib.sh

PATH=/usr/sbin:/usr/bin:/sbin:/bin
SIGNERS=/etc/liveagent/image_signers
LEAST=/etc/liveagent/image_least

# On every console, whatever `quiet` says: somebody stands before the rack.
say() {
    warn "$*"
    echo "liveagent: $*" > /dev/console 2> /dev/null || :
}

stop() {
    say "STOPPED: $*"
    die "liveagent: $*"
    exit 1
}

# The file system that a path is on, by the mount closest above it. The initramfs itself, under systemd, is none.
kind_of() {
    best='' kind='' seen=''
    while read -r _ point type _; do
        seen=1
        case "$1" in
        "${point%/}"/*) [ "${#point}" -lt "${#best}" ] || { best=$point; kind=$type; } ;;
        esac
    done < /proc/mounts
    echo "${kind:-${seen:+rootfs}}"
}

# What is read from elsewhere a second time, to be used, need not be what was read to be checked.
want_memory() {
    [ -f "$1" ] || stop "$2 is no file, and cannot be checked"
    kind=$(kind_of "$1")
    case "$kind" in
    rootfs | ramfs | tmpfs) ;;
    *) stop "$2 is not in memory but on ${kind:-what is not known}, and cannot be checked" ;;
    esac
}

# A build's number, as it is given to one.
is_number() {
    case "$1" in
    '' | 0* | *[!0-9]* | ??????????*) return 1 ;;
    esac
}

# Whether somebody in the allowed-signers file $1 has signed the build $2 by the signature $3. A key may have several
# names, of which not each need count.
is_signed_by() {
    ssh-keygen -Y find-principals -f "$1" -s "$3" < /dev/null 2> /dev/null | {
        while read -r who; do
            said=$(ssh-keygen -Y verify -f "$1" -I "$who" -n liveagent-build -s "$3" < "$2" 2> /dev/null) || continue
            case "$said" in 'Good "liveagent-build" signature '*) exit 0 ;; esac
        done
        exit 1
    }
}

# Whether somebody who may has signed the build $1 by the signature $2. ssh-keygen looks at the first line with the key
# alone, which may let it sign something else: so it gets one line at a time.
is_signed() {
    one=$(mktemp) || stop "there is no room in memory to check a signature"
    good=1
    while [ "$good" -ne 0 ] && { read -r line || [ -n "$line" ]; }; do
        case "$line" in '' | '#'*) continue ;; esac
        printf '%s\n' "$line" > "$one"
        is_signed_by "$one" "$1" "$2" && good=0
    done < "$SIGNERS"
    rm -f "$one"
    return "$good"
}

# That the build.json $1, which came from $2, is of the build that was asked for, also by the image's address $3.
want_number() {
    number=$(grep -o '^ *"number": *[^,]*' "$1" | cut -d ':' -f 2 | tr -d ' ')
    is_number "$number" || stop "$2 does not say which build it is of"
    for part in $(echo "$2 $3" | grep -o '/builds/[^/ ]*/[0-9][0-9]*/'); do
        part=${part%/}
        [ "${part##*/}" = "$number" ] || stop "$2 is of build $number, and not of ${part##*/}, which was asked for"
    done
    [ -z "$least" ] || [ "$number" -ge "$least" ] ||
        stop "THE BUILD IS TOO OLD: $2 is of build $number, and the smallest that may boot is $least"
}

# The sum that a signed build.json names for the file that the image was fetched as.
signed_sum() {
    # shellcheck disable=SC1091
    type fetch_url > /dev/null 2>&1 || . /lib/url-lib.sh
    [ -e "$SIGNERS" ] || stop "image.build is given, and this initramfs knows nobody who may sign a build ($SIGNERS)"
    build=$(fetch_url "$1")
    [ -s "$build" ] || stop "$1 cannot be had, so that the image cannot be checked"
    signature=$(fetch_url "$1.sig")
    [ -s "$signature" ] || stop "$1.sig cannot be had, so that the image cannot be checked"
    want_memory "$build" "$1"
    is_signed "$build" "$signature" || stop "$1.sig is no signature of it by anybody who may sign a build ($SIGNERS)"
    want_number "$build" "$1" "$2"
    name=${2##*/}
    # One file a line, as build.json is written.
    sum=$(grep -F "\"name\": \"$name\"" "$build" | grep -o '"sha256": "[0-9a-f]*"' | cut -d '"' -f 4)
    # The unversioned name is a link to the numbered one, and the build has one image. Any other is of another build.
    [ "$name" != speedtest.squashfs ] || sum=$(grep -F '.squashfs"' "$build" | grep -o '"sha256": "[0-9a-f]*"' | cut -d '"' -f 4)
    [ "${#sum}" -eq 64 ] || stop "$1 names no sum for $name"
    echo "$sum"
}

# A word that is there and says nothing, or two that say different things, ask for a check that nobody could make.
wanted='' build_url='' least='' asked=''
for word in $(getcmdline); do
    case "$word" in
    image.sha256 | image.sha256=*)
        asked=1
        value=$(echo "${word#image.sha256}" | tr 'A-F' 'a-f')
        value=${value#=}
        case "$value" in *[!0-9a-f]*) value='' ;; esac
        [ "${#value}" -eq 64 ] || stop "image.sha256 is no SHA-256 in hexadecimal digits"
        [ -z "$wanted" ] || [ "$wanted" = "$value" ] || stop "image.sha256 stands there twice, with two values"
        wanted=$value
        ;;
    image.build | image.build=*)
        asked=1
        value=${word#image.build}
        value=${value#=}
        [ -n "$value" ] || stop "image.build is no address"
        [ -z "$build_url" ] || [ "$build_url" = "$value" ] || stop "image.build stands there twice, with two values"
        build_url=$value
        ;;
    image.least | image.least=*)
        asked=1
        value=${word#image.least}
        value=${value#=}
        is_number "$value" || stop "image.least is no number of a build"
        [ -z "$least" ] || [ "$least" = "$value" ] || stop "image.least stands there twice, with two values"
        least=$value
        ;;
    esac
done

# Whoever has put it into the initramfs wants no image whose number nobody knows.
if [ -e "$LEAST" ]; then
    asked=1
    value=$(cat "$LEAST")
    is_number "$value" || stop "$LEAST in this initramfs holds no number of a build"
    [ "${least:-0}" -ge "$value" ] || least=$value
fi

if [ -n "$asked" ]; then
    want_memory "$1" "the image"
    [ -z "$(getarg live.updates=)" ] || stop "live.updates would put over the image what nobody checked"
    [ -n "$wanted$build_url" ] ||
        stop "no build older than $least may boot, and without image.build or image.sha256 nobody knows which this is"
    [ -n "$wanted" ] || wanted=$(signed_sum "$build_url" "$(getarg root=)") || exit 1
fi

if [ -z "$asked" ]; then
    say "the image was not checked: neither image.sha256 nor image.build is on the command line"
else
    found=$(sha256sum < "$1" | cut -d ' ' -f 1)
    [ "$found" = "$wanted" ] || stop "THE IMAGE IS NOT THE ONE THAT WAS MEANT: its SHA-256 is $found, and not $wanted"
    say "the image is the one that was meant (SHA-256 $found)"
fi

exec /sbin/dmsquash-live-root.unchecked "$@"
