"""A machine's certificate as a page for people and print: one file without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liveagent.report.page import make_environment


def render_certificate(
    certificate: Mapping[str, Any], disks: Mapping[str, Mapping[str, Any]], checked: Mapping[str, Any] | None = None
) -> str:
    """The HTML of a machine's certificate and of its disks' certificates by name.

    `checked` is what `liveagent verify` found (as it encodes it), None where the page is made beside the certificate.
    """
    template = make_environment().get_template("certificate.html.j2")
    return template.render(certificate=certificate, disks=disks, checked=checked)
