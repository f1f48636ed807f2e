#!/bin/sh
# Stands before dmsquash-live-root: an image that is not the one that was meant is never mounted.
#
#   image.sha256=HEX   the image's SHA-256
#   image.build=URL    a build.json, which names the images of a build with their sums; URL.sig has to be a signature in
#                      the namespace liveagent-build by somebody in /etc/liveagent/image_signers
#
# The first counts where both are given. With neither nothing is checked, and that is said.

# shellcheck disable=SC1091  # they are in the initramfs
type getarg > /dev/null 2>&1 || . /lib/dracut-lib.sh

PATH=/usr/sbin:/usr/bin:/sbin:/bin
SIGNERS=/etc/liveagent/image_signers

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
    who=$(ssh-keygen -Y find-principals -f "$SIGNERS" -s "$signature" 2> /dev/null | { read -r line && echo "$line"; }) ||
        stop "$1 is signed by nobody in $SIGNERS"
    ssh-keygen -Y verify -f "$SIGNERS" -I "$who" -n liveagent-build -s "$signature" < "$build" > /dev/null 2>&1 ||
        stop "$1 is not what $who signed"
    name=${2##*/}
    # One file a line, as build.json is written.
    sum=$(grep -F "\"name\": \"$name\"" "$build" | grep -o '"sha256": "[0-9a-f]*"' | cut -d '"' -f 4)
    # An unversioned name is a link to the numbered one, and the build has one image.
    [ -n "$sum" ] || sum=$(grep -F '.squashfs"' "$build" | grep -o '"sha256": "[0-9a-f]*"' | cut -d '"' -f 4)
    [ "${#sum}" -eq 64 ] || stop "$1 names no sum for $name"
    echo "$sum"
}

# A word that is there and says nothing, or two that say different things, ask for a check that nobody could make.
wanted='' build_url='' asked=''
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
    esac
done

if [ -n "$asked" ]; then
    want_memory "$1" "the image"
    [ -z "$(getarg live.updates=)" ] || stop "live.updates would put over the image what nobody checked"
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
