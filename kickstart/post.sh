#!/usr/bin/env bash
# Runs in the image's own root, at the end of its installation: what no package can do, since it is about other
# packages' files or about this one build. IMAGE_BUILD is its number, IMAGE_COMMIT what it was built from; IMAGE_CA and
# IMAGE_SIGNERS are files in base64.
set -euo pipefail
: "${IMAGE_BUILD:?}" "${IMAGE_COMMIT:=unknown}"

# -- which build this is -----------------------------------------------------------------------------
os_release=/usr/lib/os-release
[ -e "$os_release" ] || os_release=/etc/os-release
sed -i -e '/^IMAGE_ID=/d' -e '/^IMAGE_VERSION=/d' -e '/^BUILD_ID=/d' "$os_release"
printf 'IMAGE_ID=speedtest\nIMAGE_VERSION=%s\nBUILD_ID=%s\n' "$IMAGE_BUILD" "$IMAGE_COMMIT" >> "$os_release"
printf 'Live image speedtest %s (%s). To see what runs: liveagent status\n' "$IMAGE_BUILD" "$IMAGE_COMMIT" > /etc/motd
# \4 and \6 are the addresses, \l is the line.
printf 'Live image speedtest %s on \\n (\\l)\naddress \\4 \\6\n\n' "$IMAGE_BUILD" > /etc/issue

# -- whom it believes; the initramfs is made from here, and takes both along ----------------------------
if [ -n "${IMAGE_CA:-}" ]; then
    anchors=/etc/pki/ca-trust/source/anchors update=update-ca-trust
    [ -d "$anchors" ] || anchors=/usr/local/share/ca-certificates update=update-ca-certificates
    base64 --decode <<< "$IMAGE_CA" > "$anchors/image.crt"
    "$update"
fi
if [ -n "${IMAGE_SIGNERS:-}" ]; then
    mkdir -p /etc/liveagent
    base64 --decode <<< "$IMAGE_SIGNERS" > /etc/liveagent/image_signers
fi

# -- disks are looked at before anything is made of them ------------------------------------------------
# What is put together, swapped to or mounted by itself would be held, or changed, before the agent has seen it.
echo "# a live system mounts nothing by itself, and swaps to nothing" > /etc/fstab
mdadm_conf=/etc/mdadm.conf
[ -d /etc/mdadm ] && mdadm_conf=/etc/mdadm/mdadm.conf
printf '# the agent must see members, not arrays\nAUTO -all\n' > "$mdadm_conf"
if [ -d /etc/lvm ]; then
    printf '# the agent must see members, not volumes\nglobal {\n    event_activation = 0\n}\nactivation {\n    auto_activation_volume_list = []\n}\n' > /etc/lvm/lvmlocal.conf
fi
if [ -d /etc/multipath ] || command -v multipath > /dev/null; then
    printf '# maps are made where a person asks for them\nblacklist {\n    devnode ".*"\n}\n' > /etc/multipath.conf
fi
# A preset would do for what is new; these were enabled by their own packages.
for unit in swap.target lvm2-monitor.service lvm2-lvmpolld.socket lvm2-lvmpolld.service dm-event.socket dm-event.service \
    mdmonitor.service mdmonitor-oneshot.timer mdcheck_start.timer mdcheck_continue.timer mdadm-shutdown.service \
    multipathd.service multipathd.socket fstrim.timer e2scrub_all.timer e2scrub_reap.service nvmefc-boot-connections.service \
    nvmf-autoconnect.service systemd-pstore.service smartmontools.service smartd.service \
    dnf-makecache.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
    dracut-shutdown.service uuidd.socket; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done

# -- nothing that one boot leaves to another, or that all would share ----------------------------------------
# Every boot makes host keys of its own: those of a public image are everybody's.
[ -n "${IMAGE_KEEP_HOST_KEYS:-}" ] || rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed
rm -rf /boot/*rescue* /var/cache/dnf /var/cache/yum /var/log/anaconda
find /var/log -type f -exec truncate --size 0 {} +
