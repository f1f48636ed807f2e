"""What is special to a place behind FTP: the shipped proftpd.conf, passwords, TLS, and servers that lack something."""

from __future__ import annotations

import ftplib
import io
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from delivery.address import Access, open_place, parse_address
from delivery.ftp import PASSWORD, FtpPlace
from delivery.place import Fault
from tests.conftest import need
from tests.delivery.conftest import JOB, SECRET, TREE, Centre, Ftp, MakeBuild, MakeCentre, run_proftpd

trustme = pytest.importorskip("trustme")


@pytest.fixture
def far(make_centre: MakeCentre, monkeypatch: pytest.MonkeyPatch) -> Centre:
    monkeypatch.setenv(PASSWORD, SECRET)
    return make_centre("ftp")


def log_in(server: Ftp) -> ftplib.FTP:
    ftp = ftplib.FTP()
    ftp.connect("127.0.0.1", server.port, timeout=20)
    ftp.login("images", SECRET)
    return ftp


def test_links_are_absolute(far: Centre, make_build: MakeBuild) -> None:
    """A link is absolute, by the path that the disk has, and root names lead through `current` all the same."""
    far.have(make_build(1), make_build(2))
    assert os.readlink(far.tree / "current") == f"{far.tree}/builds/{JOB}/2"
    assert os.readlink(far.tree / "vmlinuz") == f"{far.tree}/current/vmlinuz"


def test_user_stays_in_the_tree(proftpd: Ftp) -> None:
    """The shipped configuration lets the user read and write nothing beside the tree, by path or by link."""
    with log_in(proftpd) as ftp:
        for command in ("RETR /etc/passwd", "STOR /tmp/delivery-test", "RETR ../conf/proftpd.conf", "MKD /tmp/d"):
            with pytest.raises(ftplib.error_perm):
                ftp.sendcmd("TYPE I")
                if command.startswith("MKD"):
                    ftp.sendcmd(command)
                elif command.startswith("STOR"):
                    ftp.storbinary(command, io.BytesIO(b"x"))
                else:
                    ftp.retrbinary(command, lambda _: None)
        with pytest.raises(ftplib.error_perm):
            ftp.sendcmd(f"SITE SYMLINK /etc/passwd {proftpd.tree}/passwd")
    assert not (proftpd.tree / "passwd").is_symlink()


def test_password_from_netrc(far: Centre, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password comes from a file as well; one for another user, or none, is said without asking the server."""
    monkeypatch.delenv(PASSWORD)
    monkeypatch.setenv("HOME", str(tmp_path))
    netrc = tmp_path / ".netrc"
    with pytest.raises(Fault, match="no password for ftp://images@127.0.0.1"):
        far.open()
    for user, good in (("images", True), ("else", False)):
        netrc.write_text(f"machine 127.0.0.1 login {user} password {SECRET}\n")
        netrc.chmod(0o600)
        if good:
            far.open().close()
        else:
            with pytest.raises(Fault, match="no password for"):
                far.open()


def test_wrong_password(far: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password is the server's own word, and the password is not repeated."""
    monkeypatch.setenv(PASSWORD, "not-this-one")
    with pytest.raises(Fault, match="Failed to log in .* 530 Login incorrect") as caught:
        far.open()
    assert "not-this-one" not in str(caught.value)


def drop(pattern: str) -> str:
    return rf"^{pattern}.*\n"


@pytest.mark.parametrize(("lacks", "said"), [
    (r"LoadModule mod_site_misc", "the server offers no SITE SYMLINK: proftpd with mod_site_misc does"),
    (r"FactsOptions UseSlink", "FactsOptions UseSlink"),
    (r"AllowOverwrite on", "Failed to move to"),
])  # fmt: skip
def test_server_that_lacks_something(
    make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch, lacks: str, said: str
) -> None:  # fmt: skip
    """A server that cannot do what a release needs is said so, and nothing that was live is lost."""
    monkeypatch.setenv(PASSWORD, SECRET)
    with run_proftpd(lambda text: re.sub(drop(lacks), "", text, flags=re.M)) as server:
        old = server.tree / TREE / "builds" / JOB / "1"
        old.mkdir(parents=True)
        (server.tree / TREE / "current").symlink_to(f"builds/{JOB}/1")
        for folder, _, _ in os.walk(server.tree):
            os.chown(folder, server.tree.stat().st_uid, -1)
        centre = server.centre(server.tree)
        with pytest.raises(Fault, match=said):
            centre.have(make_build(2))
        assert centre.current == f"builds/{JOB}/1"


def test_server_without_sums(make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server makes no sums, a build is read back whole, and one that arrived otherwise is found out."""
    monkeypatch.setenv(PASSWORD, SECRET)
    without = "(LoadModule mod_digest|Digest)"
    with run_proftpd(lambda text: re.sub(drop(without), "", text, flags=re.M)) as server:
        centre = server.centre(server.tree)
        with centre.open() as place:
            assert not place.can_sum
        centre.have(make_build(1), make_build(2))
        assert centre.current == f"builds/{JOB}/2"
        done = centre.deliver("rollback")
        assert done.returncode == 0 and "the server makes no sums" in done.stderr
        real = FtpPlace.send

        def send_badly(self: FtpPlace, *words: object) -> None:
            real(self, *words)  # type: ignore[arg-type]
            with (server.tree / str(words[1]) / "speedtest-3.squashfs").open("r+b") as stream:
                stream.write(b"X")

        monkeypatch.setattr(FtpPlace, "send", send_badly)
        with pytest.raises(Fault, match="speedtest-3.squashfs arrived otherwise than sent"):
            centre.have(make_build(3))
        assert centre.numbers == [1, 2] and centre.hidden == []


def test_sums_are_of_the_disk(far: Centre, tmp_path: Path) -> None:
    """The server reads the file for its sum: what is altered behind its back has another one."""
    (tmp_path / "file").write_bytes(b"a" * 100_000)
    with far.open() as place:
        assert place.can_sum
        place.make_folder("x")
        place.send({"file": tmp_path / "file"}, "x")
        (before,) = place.sums("x", ["file"]).values()
        stat = (far.path / "x" / "file").stat()
        with (far.path / "x" / "file").open("r+b") as stream:
            stream.write(b"b")
        os.utime(far.path / "x" / "file", (stat.st_mtime, stat.st_mtime))
    with far.open() as place:
        assert place.sums("x", ["file"])["file"] != before


def test_chroot_with_the_same_path_inside(make_build: MakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a chroot links are right where the tree's path leads to the tree inside as well: one link does that."""
    need(os.geteuid() == 0, "root, for a chroot")
    monkeypatch.setenv(PASSWORD, SECRET)
    with run_proftpd(lambda text: f"{text}\nDefaultRoot ~\n") as server:
        inside = server.tree / str(server.tree.parent).lstrip("/")
        inside.mkdir(parents=True)
        up = "/".join([".."] * len(server.tree.parent.parts[1:]))
        (inside / server.tree.name).symlink_to(up)
        centre = server.centre(server.tree)
        centre.have(make_build(1), make_build(2))
        assert os.readlink(server.tree / TREE / "current") == f"{server.tree}/{TREE}/builds/{JOB}/2"
        assert (server.tree / TREE / "vmlinuz").read_text().startswith("kernel 2")


# -- with TLS ---------------------------------------------------------------------------------------


def test_tls(make_build: MakeBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped configuration with TLS: by a CA that is named, and by no other."""
    need(list(Path("/usr").glob("lib*/**/proftpd/mod_tls.so")), "proftpd's mod_tls")
    monkeypatch.setenv(PASSWORD, SECRET)
    ca, other = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")

    def lay_out(text: str) -> str:
        folder = Path(re.findall(r"TLSRSACertificateFile (\S+)", text)[0]).parent
        certificate.cert_chain_pems[0].write_to_path(folder / "server.crt")
        certificate.private_key_pem.write_to_path(folder / "server.key")
        (folder / "server.key").chmod(0o600)
        return text

    for authority, name in ((ca, "ca.pem"), (other, "other.pem")):
        authority.cert_pem.write_to_path(tmp_path / name)
    with run_proftpd(lay_out, ("-D", "TLS")) as server:
        centre = server.centre(server.tree, "ftps")
        address = parse_address(centre.url)
        for wrong in ("", str(tmp_path / "other.pem")):
            with pytest.raises(Fault, match="certificate verify failed"):
                open_place(address, Access(ca=wrong))
        with pytest.raises(Fault, match="550 SSL/TLS required"):
            open_place(parse_address(centre.url.replace("ftps", "ftp")), Access())
        done = centre.publish(make_build(1, size=3_000_000), "--ca", tmp_path / "ca.pem")
        assert done.returncode == 0, done.stderr
        assert centre.current == f"builds/{JOB}/1"


def test_shipped_configuration() -> None:
    """The server itself finds nothing wrong with the configuration that the other tests run."""
    with run_proftpd() as server:
        config = server.tree.parent / "conf" / "proftpd.conf"
        program = shutil.which("proftpd", path=f"{os.environ['PATH']}:/usr/sbin")
        done = subprocess.run([str(program), "-t", "-c", str(config)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and "warning" not in done.stderr.lower(), done.stderr
