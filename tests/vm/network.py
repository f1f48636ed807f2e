"""The lab's network: a namespace with a bridge, DHCP, TFTP and HTTP, and no way to anywhere else.

Everything a guest can reach is 10.77.0.1. No route leads out of the namespace and no interface of the host is
in it, so a service in the image that calls home finds nobody.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .command import CommandFailed, attempt, end, run, spawn
from .web import FileServer

PREFIX = "liveagent-lab-"
BRIDGE = "br0"
ADDRESS = "10.77.0.1"
GUESTS = range(10, 100)  # a guest's number is the last byte of its MAC and of its address
LEASE = "2h"
CLONE_NEWNET = 0x40000000  # linux/sched.h

MAC_BY_IPXE = "${net0/mac:hexhyp}"  # iPXE's word for the address of its card, with dashes
BOOT_SCRIPT = f"#!ipxe\nchain boot-{MAC_BY_IPXE}.ipxe\n"
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
    cmdline: str  # the kernel's, as iPXE would have filled it in


class Network:
    """The network of one run of the lab, from `with` to its end."""

    def __init__(self, folder: Path, files: dict[str, Path]) -> None:
        self.name = f"{PREFIX}{os.getpid()}"
        self._folder = folder
        self._files = files
        self._numbers = iter(GUESTS)
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
        (self._folder / "tftp").mkdir()
        (self._folder / "tftp/boot.ipxe").write_text(BOOT_SCRIPT)
        self._server = FileServer(self.listen(), self._files)
        self._start_dnsmasq()

    def _start_dnsmasq(self) -> None:
        hosts = self._folder / "hosts"
        hosts.write_text("".join(f"{mac_of(number)},10.77.0.{number},infinite\n" for number in GUESTS))
        argv = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--log-dhcp"]
        argv += [f"--interface={BRIDGE}", "--bind-interfaces", "--dhcp-authoritative", "--no-ping", "--log-facility=-"]
        # Options 3 and 6 without a value: no router and no name server is offered.
        argv += [f"--dhcp-range=10.77.0.10,static,255.255.255.0,{LEASE}", "--dhcp-option=3", "--dhcp-option=6"]
        argv += ["--enable-tftp", f"--tftp-root={self._folder}/tftp", "--dhcp-boot=boot.ipxe"]
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
        result: list[socket.socket | OSError] = []
        # A namespace belongs to a thread: one that ends right after this takes nobody else along.
        helper = threading.Thread(target=self._listen_inside, args=(port, result))
        helper.start()
        helper.join()
        if isinstance(result[0], OSError):
            raise result[0]
        return result[0]

    def _listen_inside(self, port: int, result: list[socket.socket | OSError]) -> None:
        try:
            with open(f"/run/netns/{self.name}") as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(namespace.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            result.append(socket.create_server((ADDRESS, port), backlog=64))
        except OSError as error:
            result.append(error)

    def plug(self, cmdline: str) -> Plug:
        """A place for one more guest, which will boot the live image with this kernel command line."""
        if not self._server:
            raise CommandFailed("The lab's network is not up")
        number = next(self._numbers)
        files = f"http://{ADDRESS}:{self._server.port}"
        cmdline = cmdline.replace("{files}", files)
        dashed = mac_of(number).replace(":", "-")
        plug = Plug(f"tap{number}", mac_of(number), f"10.77.0.{number}", cmdline.replace(MAC_BY_IPXE, dashed))
        for command in (
            f"tuntap add dev {plug.tap} mode tap",
            f"link set {plug.tap} master {BRIDGE}",
            f"link set {plug.tap} up",
        ):
            run(["ip", "-netns", self.name, *command.split()], timeout=30)
        script = GUEST_SCRIPT.format(files=files, cmdline=cmdline)
        (self._folder / f"tftp/boot-{dashed}.ipxe").write_text(script)
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
        if not name.startswith(PREFIX) or Path("/proc", name[len(PREFIX) :]).exists():
            continue
        # Nothing but a lab starts anything in there; dnsmasq outlives it, since it changes its credentials.
        for pid in run(["ip", "netns", "pids", name], timeout=30).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
        attempt(["ip", "netns", "delete", name], timeout=30)
        shutil.rmtree(scratch_of(name), ignore_errors=True)
        for control in Path("/run").glob(f"{name}-*"):
            control.unlink()
