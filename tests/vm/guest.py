"""One guest: a server in QEMU that boots over the network, with its console, its disks and a shell over SSH."""

from __future__ import annotations

import fcntl
import os
import shlex
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from .attach import device_arguments, device_name, make_device, make_limit, make_node
from .command import CommandFailed, attempt, end, run, spawn
from .console import Console
from .disks import Disk
from .image import Image
from .network import Network, Plug
from .qmp import Qmp

MEMORY = 2048  # MiB; the image is held in it, four times its 180 MB and then the tests' own things
CPUS = 2
SSH_TIMEOUT = 240.0  # from the firmware's first byte, on an emulated CPU that others use as well
KERNEL = r"Linux version \d"
LOGIN = r"login: "
UEFI = "/usr/share/ovmf/OVMF.fd"

# `rd.shell=0 rd.emergency=poweroff`: a boot that fails ends QEMU, instead of a prompt that nobody answers.
# `mitigations=off norandmaps`: QEMU's emulation translates shared code anew for each address it is mapped at, and a
# page with a hundred thousand such translations takes minutes to be cleared byte by byte: soft lockups at random.
CMDLINE = (
    "root=live:{files}/live.squashfs rd.live.image rd.live.overlay.overlayfs=1 ip=dhcp rd.neednet=1 "
    "console=tty0 console=ttyS0,115200 noeject BOOTIF=01-${net0/mac:hexhyp} rd.shell=0 rd.emergency=poweroff panic=-1 "
    "mitigations=off norandmaps image.sha256={sha256}"
)


@dataclass(frozen=True)
class Hardware:
    """What the server is made of."""

    serial: str = "LAB0001"
    disks: tuple[Disk, ...] = ()
    memory: int = MEMORY  # MiB
    direct: bool = (
        False  # kernel and initramfs by QEMU itself: no firmware's network boot, everything after it the same
    )
    uefi: bool = False  # UEFI, and its own network boot, in place of a BIOS and the card's ROM
    more: tuple[str, ...] = ()  # further arguments for QEMU
    sha256: str = ""  # what the command line says of the image, instead of the truth


class Guest:
    """A running guest; `close` ends it whatever state it is in."""

    def __init__(self, network: Network, image: Image, accelerator: str, hardware: Hardware, plug: Plug, folder: Path):
        self.hardware = hardware
        self.folder = folder
        self._network = network
        self._image = image
        self.plug = plug
        self.started = time.monotonic()
        arguments = qemu_arguments(accelerator, hardware, self.plug, self._socket("qmp"))
        if hardware.direct:
            arguments += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", self.plug.cmdline]
        (folder / "qemu.command").write_text(shlex.join(arguments) + "\n")
        with (folder / "qemu.stderr").open("wb") as stderr:
            self._qemu = spawn(network.command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)
        assert self._qemu.stdout and self._qemu.stdin
        self.console = Console(self._qemu.stdout, folder / "console.log")
        self._master = False

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def age(self) -> float:
        """Seconds since QEMU was started."""
        return time.monotonic() - self.started

    def _socket(self, name: str) -> Path:
        # In the results' folder the path could be longer than the 107 bytes that a socket's name may have.
        return Path("/run", f"{self._network.name}-{self.plug.tap}-{name}")

    def type(self, text: str) -> None:
        """Type on the serial console."""
        assert self._qemu.stdin
        self._qemu.stdin.write(text.encode())
        self._qemu.stdin.flush()

    def qmp(self) -> Qmp:
        """A new connection to QEMU's control socket; the caller closes it."""
        return Qmp(self._socket("qmp"))

    def plug_disks(self, disks: Sequence[Disk]) -> None:
        """Put SCSI disks in while the guest runs, and wait until it has seen them all."""
        with self.qmp() as qmp:
            for disk in disks:
                qmp.execute("blockdev-add", make_node(disk))
                qmp.execute("device_add", make_device(disk))
                if disk.write_limit:
                    qmp.execute("block_set_io_throttle", make_limit(disk, disk.write_limit))
        links = " ".join(f"/dev/disk/by-id/wwn-0x{disk.wwn:x}" for disk in disks)
        self.run(f"udevadm wait --settle --timeout=120 {links}", timeout=150)

    def pull_disks(self, disks: Sequence[Disk]) -> None:
        """Take disks out while the guest runs, whatever it is doing with them."""
        with self.qmp() as qmp:
            for disk in disks:
                qmp.execute("device_del", {"id": device_name(disk)})

    def limit_writes(self, disk: Disk, write_limit: int) -> None:
        """Let the disk take that many bytes a second from now on; 0 lifts the limit."""
        with self.qmp() as qmp:
            qmp.execute("block_set_io_throttle", make_limit(disk, write_limit))

    def bytes_written(self, disk: Disk) -> int:
        """What the disk has taken since QEMU started, by QEMU's own count."""
        with self.qmp() as qmp:
            (row,) = (row for row in qmp.execute("query-blockstats") if row.get("qdev") == device_name(disk))
            return int(row["stats"]["wr_bytes"])

    def wait_login(self, timeout: float = SSH_TIMEOUT) -> float:
        """Wait for the login prompt and return the seconds that the kernel and the system took to it."""
        kernel = self.console.seen_at(self.console.wait_for(KERNEL, timeout))
        return self.console.seen_at(self.console.wait_for(LOGIN, timeout)) - kernel

    def since_kernel(self, moment: float) -> float:
        """Seconds from the kernel's first line on the console to this moment of the monotonic clock."""
        return moment - self.console.seen_at(self.console.wait_for(KERNEL, 1))

    def wait_ssh(self, timeout: float = SSH_TIMEOUT) -> None:
        """Open the connection that all later commands share, as soon as the guest's sshd answers."""
        deadline = time.monotonic() + timeout
        while not self._master:
            # To the background once it is logged in; its output must not be a pipe that we would wait for.
            options = ["-M", "-N", "-f", "-E", str(self.folder / "ssh.log"), self._login()]
            with (self.folder / "ssh.stderr").open("wb") as stderr:
                command = self._network.command(self._ssh(options))
                try:
                    code = subprocess.run(
                        command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, timeout=60, check=False
                    ).returncode
                except subprocess.TimeoutExpired:
                    code = 255
            self._master = code == 0
            if self.console.closed:
                raise CommandFailed(f"QEMU ended before SSH answered:\n{self.console.text[-3000:]}")
            if not self._master and time.monotonic() > deadline:
                raise CommandFailed(f"SSH did not answer within {timeout:.0f} s:\n{self.console.text[-3000:]}")
            if not self._master:
                self.console.wait_news(1)  # a booting system always has something to say

    def _login(self) -> str:
        return f"root@{self.plug.address}"

    def _ssh(self, rest: list[str]) -> list[str]:
        options = {
            "ControlPath": str(self._socket("ssh")),
            "UserKnownHostsFile": str(self._image.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "IdentitiesOnly": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "6",
        }
        given = [f"-o{name}={value}" for name, value in options.items()]
        return ["ssh", "-F", "/dev/null", "-i", str(self._image.keys.ssh), *given, *rest]

    def attempt(
        self, command: str, *, timeout: float = 60, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command in the guest, whatever its exit status is."""
        return attempt(self._network.command(self._ssh([self._login(), command])), timeout=timeout, stdin=stdin)

    def run(self, command: str, *, timeout: float = 60, stdin: str | None = None) -> str:
        """Run a shell command in the guest and return its stdout."""
        return run(self._network.command(self._ssh([self._login(), command])), timeout=timeout, stdin=stdin)

    def open_terminal(self, command: str, name: str) -> Terminal:
        """Run a command over SSH on a pseudo-terminal of its own, as a person does; the caller closes it."""
        argv = self._network.command(self._ssh(["-tt", self._login(), command]))
        # A real one at this end, too: of a pipe, ssh makes a terminal on which Ctrl-C is only a character.
        keys, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with (self.folder / f"{name}.stderr").open("wb") as stderr:
            process = spawn(argv, stdin=theirs, stdout=subprocess.PIPE, stderr=stderr)
        os.close(theirs)
        return Terminal(process, keys, self.folder / f"{name}.log")

    def put(self, text: str, path: str, *, mode: str = "644") -> None:
        """Write a file in the guest."""
        self.run(f"install -D -m {mode} /dev/stdin {shlex.quote(path)}", stdin=text)

    def get(self, path: str) -> str:
        """Read a text file of the guest."""
        return self.run(f"cat {shlex.quote(path)}")

    def fetch_tree(self, path: str, target: Path) -> None:
        """Copy a directory of the guest to the host."""
        target.mkdir(parents=True, exist_ok=True)
        packed = target.with_suffix(".tar")
        command = self._network.command(self._ssh([self._login(), f"tar -C {shlex.quote(path)} -c ."]))
        with packed.open("wb") as out:
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, timeout=300, check=True)
        run(["tar", "-x", "-C", str(target), "-f", str(packed)], timeout=60)
        packed.unlink()

    def screen(self) -> str:
        """What the first virtual terminal shows: the VGA console, as text."""
        return self.run("fold -w $(stty size -F /dev/tty1 | cut -d' ' -f2) /dev/vcs1")

    def wait_end(self, timeout: float) -> int:
        """Wait until QEMU ends by itself (power-off, reboot or panic) and return its status."""
        code = self._qemu.wait(timeout)
        self.console.join(10)
        return code

    def power_off(self, timeout: float = 90) -> None:
        """Shut the guest down in order, so that its file systems are whole."""
        self.attempt("systemctl poweroff")
        self.wait_end(timeout)

    def cut_power(self) -> None:
        """End QEMU at once, as a pulled plug would."""
        self._qemu.kill()
        self.wait_end(30)

    def close(self) -> None:
        """End what is left of the guest."""
        if self._master:
            attempt(self._network.command(self._ssh(["-O", "exit", self._login()])), timeout=30)
        end(self._qemu)
        self.console.join(10)
        if self._qemu.stdin:
            self._qemu.stdin.close()
        self._socket("qmp").unlink(missing_ok=True)
        self._network.unplug(self.plug)


class Terminal:
    """What a person has before them: keys to type, and what was shown so far."""

    def __init__(self, process: subprocess.Popen[bytes], keys: int, log: Path) -> None:
        assert process.stdout
        self._process = process
        self._keys = keys
        self.screen = Console(process.stdout, log)

    def type(self, text: str) -> None:
        os.write(self._keys, text.encode())

    def wait(self, timeout: float) -> int:
        """The exit status of the command, when it has ended."""
        code = self._process.wait(timeout)
        self.screen.join(10)
        return code

    def close(self) -> None:
        end(self._process)
        self.screen.join(10)
        os.close(self._keys)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def qemu_arguments(accelerator: str, hardware: Hardware, plug: Plug, control: Path) -> list[str]:
    """The whole command line of this guest's QEMU."""
    serial = hardware.serial
    uuid = f"77000000-0000-4000-8000-{plug.mac.replace(':', '')}"
    identity = f"type=1,manufacturer=Lab,product=Boot Lab,serial={serial},uuid={uuid}"
    machine = ["qemu-system-x86_64", "-machine", "q35", "-accel", accelerator, "-cpu", "max"]
    machine += ["-smp", str(CPUS), "-m", str(hardware.memory), "-smbios", identity, "-rtc", "base=utc"]
    # A reboot ends QEMU: in the lab, a machine that boots again by itself is a finding.
    machine += ["-no-reboot", "-nodefaults", "-no-user-config", "-display", "none", "-device", "VGA"]
    machine += ["-chardev", "stdio,id=serial0,signal=off", "-serial", "chardev:serial0"]
    machine += ["-qmp", f"unix:{control},server=on,wait=off", "-device", "virtio-rng-pci"]
    network = f"tap,id=net0,ifname={plug.tap},script=no,downscript=no"
    # A kernel that QEMU brings along takes the first place for itself.
    first = "" if hardware.direct else ",bootindex=0"
    if hardware.uefi:
        machine += ["-bios", UEFI]
        first += ",romfile="
    machine += ["-netdev", network, "-device", f"virtio-net-pci,netdev=net0,mac={plug.mac}{first}"]
    return [*machine, *device_arguments(hardware.disks), *hardware.more]
