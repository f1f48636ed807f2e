"""The lab's network: a namespace with a bridge, DHCP, TFTP and HTTP, and no way to anywhere else.

Everything a guest can reach is 10.77.0.1. No route leads out of the namespace and no interface of the host is
in it, so a service in the image that calls home finds nobody.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from .command import CommandFailed, attempt, end, run, spawn
from .namespace import run_inside
from .web import FileServer

PREFIX = "liveagent-lab-"
BRIDGE = "br0"
ADDRESS = "10.77.0.1"
GUESTS = range(10, 100)  # a guest's number is the last byte of its MAC and of its address
LEASE = "2h"
# Guests with these numbers are told to load PXELINUX, all others iPXE's script; a UEFI asks for GRUB by itself.
FOR_PXELINUX = range(90, 100)
PXELINUX = ("/usr/lib/PXELINUX/lpxelinux.0", "/usr/lib/syslinux/modules/bios/ldlinux.c32")
GRUB = "/usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi"
# Where each loader looks for the file of one server, below the TFTP server's root; {mac} has dashes, {colons} colons.
SERVER_FILES = {
    "ipxe": "boot-{mac}.ipxe",
    "pxelinux": "pxelinux.cfg/01-{mac}",
    "grub2": "grub/grub.cfg-{colons}",
}

MAC_BY_IPXE = "${net0/mac:hexhyp}"  # iPXE's word for the address of its card, with dashes
BOOT_SCRIPT = f"#!ipxe\nchain boot-{MAC_BY_IPXE}.ipxe\n"
GRUB_SCRIPT = "configfile $prefix/grub.cfg-$net_default_mac\n"
GUEST_SCRIPT = """#!ipxe
kernel {files}/vmlinuz initrd=initramfs {cmdline}
initrd --name initramfs {files}/initramfs
boot
"""


@dataclass(frozen=True)
class Plug:
    """Where a guest is plugged in: its tap device, and what DHCP will give it."""

    tap: str
    mac: str
    address: str
    cmdline: str = ""  # the kernel's, as iPXE would have filled it in


class Network:
    """The network of one run of the lab, from `with` to its end."""

    def __init__(self, folder: Path, files: dict[str, Path]) -> None:
        self.name = f"{PREFIX}{os.getpid()}"
        self._folder = folder
        self._files = files
        self._numbers = iter(number for number in GUESTS if number not in FOR_PXELINUX)
        self._numbers_for_pxelinux = iter(FOR_PXELINUX)
        self._dnsmasq: subprocess.Popen[bytes] | None = None
        self._server: FileServer | None = None

    def __enter__(self) -> Network:
        remove_abandoned()
        run(["ip", "netns", "add", self.name], timeout=30)
        try:
            self._set_up()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tear_down()

    def _set_up(self) -> None:
        for command in (
            "link set lo up",
            # Without this a bridge port stays silent for 15 s, and the NIC's ROM gives up on DHCP.
            f"link add {BRIDGE} type bridge forward_delay 0",
            f"address add {ADDRESS}/24 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        ):
            run(["ip", "-netns", self.name, *command.split()], timeout=30)
        for folder in ("", "pxelinux.cfg", "grub"):
            (self._folder / "tftp" / folder).mkdir()
        for loader in (*PXELINUX, GRUB):
            shutil.copy(loader, self._folder / "tftp")
        (self._folder / "tftp/boot.ipxe").write_text(BOOT_SCRIPT)
        (self._folder / "tftp/grub/grub.cfg").write_text(GRUB_SCRIPT)
        # This GRUB brings no http of its own, as that of EL does, and loads it from beside its configuration.
        (self._folder / "tftp/grub/x86_64-efi").symlink_to(Path(GRUB).parents[1])
        self._server = FileServer(self.listen(), self._files)
        self._start_dnsmasq()

    def _start_dnsmasq(self) -> None:
        hosts = self._folder / "hosts"
        tags = dict.fromkeys(FOR_PXELINUX, "set:pxelinux,")
        lines = (f"{mac_of(number)},{tags.get(number, '')}10.77.0.{number},infinite\n" for number in GUESTS)
        hosts.write_text("".join(lines))
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--log-dhcp"]
        argv += [f"--interface={BRIDGE}", "--bind-interfaces", "--dhcp-authoritative", "--no-ping", "--log-facility=-"]
        # Options 3 and 6 without a value: no router and no name server is offered.
        argv += [f"--dhcp-range=10.77.0.10,static,255.255.255.0,{LEASE}", "--dhcp-option=3", "--dhcp-option=6"]
        argv += ["--enable-tftp", f"--tftp-root={self._folder}/tftp", "--dhcp-boot=boot.ipxe"]
        argv += [f"--dhcp-boot=tag:pxelinux,{Path(PXELINUX[0]).name}"]
        argv += ["--dhcp-match=set:uefi,option:client-arch,7", f"--dhcp-boot=tag:uefi,{Path(GRUB).name}"]
        argv += [f"--dhcp-hostsfile={hosts}", f"--dhcp-leasefile={self._folder}/leases"]
        log = self._folder / "dnsmasq.log"
        with log.open("wb") as out:
            self._dnsmasq = spawn(self.command(argv), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        try:
            self._dnsmasq.wait(0.5)  # an option that it does not like ends it at once
        except subprocess.TimeoutExpired:
            return
        raise CommandFailed(f"dnsmasq ended at once:\n{log.read_text()}")

    def _tear_down(self) -> None:
        if self._server:
            self._server.close()
        if self._dnsmasq:
            end(self._dnsmasq)
        attempt(["ip", "netns", "delete", self.name], timeout=30)

    def command(self, argv: list[str]) -> list[str]:
        """The same command, run inside the network."""
        return ["ip", "netns", "exec", self.name, *argv]

    def listen(self, port: int = 0) -> socket.socket:
        """A socket that listens on the bridge; whichever thread uses it later, it stays inside."""
        return run_inside(self.name, lambda: socket.create_server((ADDRESS, port), backlog=64))

    def serve(self, files: dict[str, Path]) -> None:
        """Hand out these files from now on, and count anew what is sent."""
        assert self._server
        self._server.files = files
        self._server.sent = 0

    @property
    def address(self) -> str:
        """Where guests find the files."""
        if not self._server:
            raise CommandFailed("The lab's network is not up")
        return f"http://{ADDRESS}:{self._server.port}"

    @property
    def sent(self) -> int:
        """Bytes of files that were handed out."""
        assert self._server
        return self._server.sent

    def plug(self, cmdline: str) -> Plug:
        """A place for one more guest, which will boot the lab's image with this kernel command line."""
        files = self.address
        cmdline = cmdline.replace("{files}", files)
        script = GUEST_SCRIPT.format(files=files, cmdline=cmdline)
        plug = self.plug_with("ipxe", script)
        return replace(plug, cmdline=cmdline.replace(MAC_BY_IPXE, plug.mac.replace(":", "-")))

    def plug_with(self, loader: str, text: str) -> Plug:
        """A place for one more guest, whose loader (`ipxe`, `pxelinux`, `grub2`) reads this text."""
        number = next(self._numbers_for_pxelinux if loader == "pxelinux" else self._numbers)
        plug = Plug(f"tap{number}", mac_of(number), f"10.77.0.{number}")
        for command in (
            f"tuntap add dev {plug.tap} mode tap",
            f"link set {plug.tap} master {BRIDGE}",
            f"link set {plug.tap} up",
        ):
            run(["ip", "-netns", self.name, *command.split()], timeout=30)
        name = SERVER_FILES[loader].format(mac=plug.mac.replace(":", "-"), colons=plug.mac)
        (self._folder / "tftp" / name).write_text(text)
        return plug

    def unplug(self, plug: Plug) -> None:
        """Take the tap device of a guest that has ended away."""
        attempt(["ip", "-netns", self.name, "link", "delete", plug.tap], timeout=30)


def mac_of(number: int) -> str:
    """The MAC address of a guest, in QEMU's own range."""
    return f"52:54:00:77:00:{number:02x}"


def scratch_of(name: str) -> Path:
    """Where the lab of this name keeps its disk files while it is up."""
    return Path(tempfile.gettempdir(), name)


def remove_abandoned() -> None:
    """Remove what labs that were killed left behind: their last processes, namespaces, files and sockets."""
    for line in run(["ip", "netns", "list"], timeout=30).splitlines():
        name = line.split()[0]
        # A lab may have further namespaces: liveagent-lab-PID-NAME.
        if not name.startswith(PREFIX) or Path("/proc", name[len(PREFIX) :].split("-")[0]).exists():
            continue
        # Nothing but a lab starts anything in there; dnsmasq outlives it, since it changes its credentials.
        for pid in run(["ip", "netns", "pids", name], timeout=30).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
        attempt(["ip", "netns", "delete", name], timeout=30)
        shutil.rmtree(scratch_of(name), ignore_errors=True)
        for control in Path("/run").glob(f"{name}-*"):
            control.unlink()
