"""The way of a build to a server, with every part that a site has, each in its place.

    build host ──FTP──▶ centre: proftpd, nginx ──HTTPS──▶ mirror: nginx ──HTTP, HTTPS──▶ server in the rack
                        (a namespace of its own)          (the lab's network, with DHCP and TFTP)

The configurations are the shipped ones. The rack knows no way to the centre but the mirror.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from delivery.cli import SIGNERS
from tests.delivery.conftest import JOB, Centre, run_proftpd
from tests.delivery.web import Authority, Nginx
from tests.foreman.boot import TEMPLATES, Server, render_all

from .command import attempt, run
from .guest import Guest, Hardware
from .image import Image
from .lab import Lab
from .names import KICKSTART
from .namespace import run_inside
from .network import ADDRESS, Network

CENTRE, MIRROR = "10.78.0.1", "10.78.0.2"
SITE, SECURE_SITE = f"http://{ADDRESS}/live-main", f"https://{ADDRESS}/live-main"
# What the lab adds to every boot (guest.CMDLINE says why), here as a parameter of the host.
WORDS = "rd.shell=0 rd.emergency=poweroff panic=-1 mitigations=off norandmaps"


@dataclass(frozen=True)
class Chain:
    """A site that runs: `publish` and `deliver` are the build host's, `boot` is Foreman's."""

    lab: Lab
    centre: Centre
    central: Nginx
    mirror: Nginx
    inside: str  # the centre's namespace

    def deliver(self, command: str, *words: object) -> str:
        """What a command of `deliver` prints; it has to succeed."""
        return run_inside(self.inside, lambda: self.centre.ok(command, *words))

    def publish(self, image: Image) -> None:
        """Describe, sign and publish a build, which is live then."""
        folder = self.lab.disk_folder()
        for name, source in image.build_files.items():
            shutil.copy(source, folder / name)
        words = ["--build", image.build, "--kernel", image.release, "--commit", "lab", "--key", str(image.keys.build)]
        run([str(KICKSTART / "make-build"), str(folder), *words], timeout=120)
        self.deliver("publish", folder, "--job", JOB)
        shutil.rmtree(folder)

    def boot(self, name: str, loader: str, hardware: Hardware, parameters: Mapping[str, str]) -> Guest:
        """Start a server by the template of one loader; `parameters` are those of its host in Foreman."""
        words = f"{WORDS} {self.lab.image.access} image.build={SECURE_SITE}/build.json"
        site = {"livesystem_url": SITE, "live_squash": f"{SECURE_SITE}/speedtest.squashfs", "mainparams": words}
        host = Server({**site, **parameters}, name=f"{name}.lab.example.com")
        (answer,) = render_all([(str(TEMPLATES / f"liveagent_{loader}.erb"), host)])
        return self.lab.start(name, self.lab.network.plug_with(loader, answer["text"]), hardware)


@contextlib.contextmanager
def run_chain(lab: Lab) -> Iterator[Chain]:
    """A site without a build, until it is no longer needed."""
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(make_namespace(lab.network))
        ftp = run_inside(inside, lambda: stack.enter_context(run_proftpd()))
        authority = Authority(lab.image.keys.authority)
        place = lab.disk_folder()
        (place / "cache").mkdir()
        central = start_nginx(
            inside, authority, "central.conf", place / "central", ("centre.test", CENTRE), {"ROOT": str(ftp.tree)}
        )
        stack.callback(central.stop)
        values = {
            "CENTRE": f"{CENTRE}:443",
            "CENTRE_NAME": "centre.test",
            "CENTRE_CA": str(authority.file),
            "SCHEME": "https",
            "CACHE": str(place / "cache"),
            "TEMPORARY": str(place / "temporary"),
            "SLICES": "127.0.0.1:8081",
            "KEEP": "2g",
            "LEAVE": "1m",
        }
        mirror = start_nginx(lab.network.name, authority, "mirror.conf", place / "mirror", (ADDRESS,), values)
        stack.callback(mirror.stop)
        (place / "signers").write_text(lab.image.keys.signers)
        centre = ftp.centre(ftp.tree)
        environment = {**centre.environment, SIGNERS: str(place / "signers")}
        yield Chain(lab, replace(centre, environment=environment), central, mirror, inside)


@contextlib.contextmanager
def make_namespace(network: Network) -> Iterator[str]:
    """The centre's namespace, with one cable to the lab's network, which passes nothing on."""
    name = f"{network.name}-centre"
    run(["ip", "netns", "add", name], timeout=30)
    try:
        run(
            ["ip", "-netns", name, *f"link add rack type veth peer name centre netns {network.name}".split()],
            timeout=30,
        )
        for namespace, device, address in ((name, "rack", CENTRE), (network.name, "centre", MIRROR)):
            for command in (f"address add {address}/30 dev {device}", f"link set {device} up", "link set lo up"):
                run(["ip", "-netns", namespace, *command.split()], timeout=30)
        yield name
    finally:
        attempt(["ip", "netns", "delete", name], timeout=30)


def start_nginx(
    inside: str, authority: Authority, shipped: str, place: Path, names: tuple[str, ...], values: Mapping[str, str]
) -> Nginx:
    """A shipped configuration in a namespace, on the ports that everybody knows; the last name is its address."""
    identity = authority.issue(*names)
    ports = {"HTTP": f"{names[-1]}:80", "HTTPS": f"{names[-1]}:443"}
    certificate = {"CERTIFICATE": str(identity.certificate), "CERTIFICATE_KEY": str(identity.key)}
    nginx = Nginx(place, shipped, {"NAME": "_", **ports, **certificate, **values})
    run_inside(inside, nginx.start)
    return nginx
