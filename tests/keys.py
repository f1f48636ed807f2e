"""Keys for tests, made and used by the real ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import need


class Key:
    """A private key in a file, and what stock OpenSSH makes of it."""

    def __init__(self, path: Path, passphrase: str = "") -> None:
        need(shutil.which("ssh-keygen"), "ssh-keygen")
        self.path = path
        argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "", "-f", str(path)]
        subprocess.run(argv, check=True, timeout=30)

    @property
    def text(self) -> str:
        return self.path.read_text()

    @property
    def public(self) -> str:
        return self.path.with_suffix(".pub").read_text().strip()

    @property
    def fingerprint(self) -> str:
        argv = ["ssh-keygen", "-l", "-f", str(self.path)]
        return subprocess.run(argv, check=True, timeout=30, capture_output=True, text=True).stdout.split()[1]

    def verify(self, text: bytes, signature: Path, namespace: str) -> bool:
        """Whether stock OpenSSH takes the signature for this key's, as anybody would ask it."""
        signers = self.path.with_name(f"{self.path.name}.signers")
        signers.write_text(f"me {self.public}\n")
        argv = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "me", "-n", namespace, "-s", str(signature)]
        return subprocess.run(argv, input=text, timeout=30, capture_output=True).returncode == 0
