"""`make bench`: the inventory of a server in the boot lab, with disks of three kinds and QEMU's own firmware.

The peers come into the guest as what their packages install; the guest has no way out to install them itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.bench import inventories
from tests.bench.inventories import COLLECT, IPA, LIVEAGENT, LSHW, render
from tests.bench.peer import make_peer

from .command import run
from .disks import make_disk
from .guest import Guest, Hardware
from .lab import Lab

pytestmark = [pytest.mark.bench, pytest.mark.timeout(3600)]

ROUNDS = 5
# Debian's own, with all that the image lacks of what it is linked with.
LSHW_PACKAGES = ("lshw", "libsqlite3-0")
# ironic-python-agent calls lshw as well.
WITH_LSHW = {
    "PATH": "/srv/lshw/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LD_LIBRARY_PATH": "/srv/lshw/usr/lib/x86_64-linux-gnu",
}
DISKS = (("nvme", "NVME0301"), ("scsi", "SCSI0301"), ("scsi", "SCSI0302"), ("sata", "SATA0301"))


def test_inventory(lab: Lab) -> None:
    """The same commands as on this machine, in one guest, once it is at rest."""
    place = lab.disk_folder()
    disks = tuple(make_disk(place, kind, serial) for kind, serial in DISKS)
    try:
        with lab.boot("bench-inventory", "", Hardware(serial="LABBENCH", disks=disks)) as guest:
            guest.wait_ssh()
            fetch_peers(lab, guest, place)
            guest.run("systemctl is-system-running --wait || true", timeout=300)
            commands = {
                LSHW: {"argv": ["lshw", "-json", "-quiet"], "env": WITH_LSHW},
                IPA: {"argv": ["python3", "-c", COLLECT], "env": {**WITH_LSHW, "PYTHONPATH": "/srv/ipa"}},
                LIVEAGENT: {"argv": ["liveagent", "inventory", "--json"]},
            }
            guest.put(Path(inventories.__file__).read_text(), "/srv/inventories.py")
            order = json.dumps({"rounds": ROUNDS, "commands": commands})
            rows = json.loads(guest.run("python3 /srv/inventories.py", stdin=order, timeout=1800))
            print(f"\nguest, {lab.accelerator}, {len(disks)} disks, medians of {ROUNDS}")
            print("\n".join(render(rows)))
            guest.cut_power()
    finally:
        lab.network.serve(lab.image.boot_files)


def fetch_peers(lab: Lab, guest: Guest, place: Path) -> None:
    """Unpack both in the guest: lshw from its packages, ironic-python-agent with all that it needs."""
    lshw, ipa = place / "lshw.tar", place / "ipa.tar"
    tree = place / "lshw"
    run(["apt-get", "download", *LSHW_PACKAGES], timeout=120, cwd=place)
    for package in sorted(place.glob("*.deb")):
        run(["dpkg", "--extract", str(package), str(tree)], timeout=60)
    run(["tar", "-C", str(tree), "-cf", str(lshw), "."], timeout=60)
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = make_peer() / "lib" / python / "site-packages"
    run(["tar", "-C", str(packages), "-cf", str(ipa), "."], timeout=120)
    lab.network.serve({**lab.image.boot_files, lshw.name: lshw, ipa.name: ipa})
    for packed in (lshw, ipa):
        into = f"/srv/{packed.stem}"
        address = f"{lab.network.address}/{packed.name}"
        guest.run(f"mkdir -p {into} && curl -sS --fail {address} | tar -C {into} -x", timeout=300)
