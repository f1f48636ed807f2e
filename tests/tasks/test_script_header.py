"""Script metadata: what a header says, what is refused rather than half understood, and the arguments it leads to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from liveagent.options import Setting, parse_options, rows
from liveagent.tasks.script.header import LIMIT, Header, Parallel, parse_header
from liveagent.tasks.script.parameters import BadHeader, Type, list_secrets, make_arguments, make_options
from liveagent.tasks.script.targets import make_disk_target
from tests.tasks.test_wipe_select import make_disk

START = "# --- Start MAAS 1.0 script metadata ---\n"
END = "# --- End MAAS 1.0 script metadata ---\n"


def header(yaml: str) -> Header:
    lines = "".join(f"# {line}\n" for line in yaml.splitlines())
    found = parse_header(f"#!/bin/sh\n#\n{START}{lines}{END}\nexit 0\n".encode())
    assert found is not None
    return found


def parameter(yaml: str, name: str = "x") -> str:
    indented = "\n".join(f"    {line}" for line in yaml.splitlines())
    return f"parameters:\n  {name}:\n{indented}"


def arguments(yaml: str, values: dict[str, str] | None = None, target: Any = None) -> list[str]:
    """What a script with that header is called with; every value has to be a right one."""
    found = header(yaml)
    options = make_options(found.parameters)
    settings = {name: Setting(value, "test") for name, value in (values or {}).items()}
    parsed = parse_options(options, settings, "liveagent.mine.")
    assert parsed.faults == ()
    return make_arguments(found.parameters, parsed.options, target or {})


def faults(yaml: str, values: dict[str, str]) -> list[str]:
    options = make_options(header(yaml).parameters)
    parsed = parse_options(options, {name: Setting(value, "test") for name, value in values.items()}, "")
    return [fault.message for fault in parsed.faults]


# -- the header -------------------------------------------------------------------------------------


def test_all_that_a_header_says() -> None:
    """Every key, as it is written in the field; what means nothing here is noted where it matters."""
    found = header(
        "name: disk-check\ntitle: Disk check\ndescription: >\n  Looks at\n  a disk.\ntags: [a, b]\nscript_type: test\n"
        "hardware_type: storage\nparallel: instance\ntimeout: 00:05:00\ndestructive: True\nmay_reboot: true\n"
        "for_hardware: pci:8086:1918\npackages: {apt: smartmontools}\nrecommission: true\n"
        "apply_configured_networking: true\ncomment: third\n"
        "results:\n  speed:\n    title: Speed\n    description: in MB/s\n  heat: Temperature\n"
        "parameters:\n  storage: {type: storage}"
    )
    assert (found.name, found.title, found.description) == ("disk-check", "Disk check", "Looks at a disk.")
    assert (found.timeout, found.parallel, found.destructive, found.may_reboot) == (300, Parallel.INSTANCE, True, True)
    assert found.results == {"speed": {"title": "Speed", "description": "in MB/s"}, "heat": {"title": "Temperature"}}
    assert [note.split()[0] for note in found.notes] == [
        "script_type",
        "recommission",
        "for_hardware",
        "packages",
        "apply_configured_networking",
    ]
    assert found.target is found.parameters[0]


def test_no_header() -> None:
    """A script that only speaks of headers carries none."""
    assert parse_header(b"#!/bin/sh\necho '# --- Start MAAS 1.0 script metadata ---'\n") is None
    assert parse_header(b"\x7fELF\0\0") is None


@pytest.mark.parametrize(
    "marker",
    [
        "# --- START maas 1.0 Script Metadata ---",
        "#--- Start MAAS 1.0 script metadata ---",
        "  # - Start MAAS 1.0 script metadata -",
        "# ---------- Start  MAAS 1.0\tscript metadata --------- (do not touch)",
    ],
)
def test_markers_as_they_are_spelled(marker: str) -> None:
    """Whatever MAAS takes for a header is one: else its `destructive` would be lost."""
    script = f"#!/bin/sh\n{marker}\n# destructive: true\n{marker.lower().replace('start', 'end')}\r\nexit 0\n"
    found = parse_header(script.encode())
    assert found is not None and found.destructive


@pytest.mark.parametrize(
    "marker",
    [
        "# Start MAAS 1.0 script metadata",
        "# --- Begin MAAS 1.0 script metadata ---",
        "# --- Start MAAS script metadata ---",
        "## --- Start MAAS 1.0 script metadata ---",
        "# --- Start MAAS 1.0 script-metadata ---",
        "# --- Start MAAS 1.0\N{NO-BREAK SPACE}script metadata ---",
        "#!/bin/sh\r# --- Start MAAS 1.0 script metadata ---\r# destructive: true\r",
    ],
)
@pytest.mark.parametrize("behind", ["", START + END])
def test_markers_that_are_almost_right(marker: str, behind: str) -> None:
    """A comment that means to be a header is never passed over, whatever stands behind it."""
    with pytest.raises(BadHeader, match="no first line of script metadata"):
        parse_header(f"#!/bin/sh\n{marker}\n# destructive: true\n{behind}".encode())


def test_a_header_that_says_nothing() -> None:
    """It is as good as none: a day to run, one run, nothing destroyed."""
    assert header("") == Header(timeout=LIMIT, parallel=Parallel.DISABLED, destructive=False)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [("60", 60), ("00:05:00", 300), ("14:00:00", 50400), ("01:30:00", 5400), ("05:30", 330), ("0", None), ("1.5", 1.5)],
)
def test_timeout(timeout: str, seconds: float | None) -> None:
    """Seconds or HH:MM:SS, also where YAML takes the colons for a number to the base 60; 0 is no limit."""
    assert header(f"timeout: {timeout}").timeout == seconds


def test_results_as_a_list() -> None:
    """Names alone are results without titles."""
    assert header("results: [read, write]").results == {"read": {}, "write": {}}


@pytest.mark.corpus
def test_headers_of_the_field(corpus: Path) -> None:
    """Every header that was collected is understood, templates once their places are filled in."""
    found = {}
    for path in sorted((corpus / "maas-header").iterdir()):
        text = re.sub(r"\{\{.*?\}\}", "60", path.read_text())
        found[path.name] = parse_header(text.encode())
    carried = {name: one for name, one in found.items() if one}
    assert len(carried) >= 18
    assert carried["stress-ng-memory-long.sh.txt"].timeout == 14 * 3600
    assert [one.type for one in carried["gateway-connectivity.sh.txt"].parameters] == [Type.INTERFACE]
    assert [one.words for one in carried["smartctl.py.txt"].parameters] == [("{path}",)]
    assert [one.type for one in carried["maas_wipe.py.txt"].parameters] == [Type.BOOLEAN, Type.BOOLEAN]
    assert len(carried["bmc_config.py.txt"].parameters) == 5 and len(carried["seven_z.py.txt"].results) == 4


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"{START}# name: x\n", "have no end"),
        (START.replace("1.0", "2.0") + END, "version 2.0"),
        (f"{START}name: x\n{END}", "is no comment"),
        (f"{START}# name: [\n{END}", "no YAML: line"),
        (f"{START}# - a\n{END}", "no mapping"),
        (f"{START}# x: &a [1]\n# y: *a\n{END}", "alias"),
        (f"{START}# destructive: false\n# destructive: true\n{END}", "destructive stands there twice"),
        (f"{START}# name: !!python/object:os.system x\n{END}", "no YAML: line"),
        (f"{START}# {'[' * 5000}\n{END}", "no YAML: it is nested too deeply"),
        (f"{START}# timeout: 2026-13-45\n{END}", "no YAML"),
        (f"{START}# timeout: 0x{'f' * 5000}\n{END}", "more than 64 bits"),
        (f"{START}# 0x{'f' * 500}: x\n{END}", "more than 64 bits"),
        (f"{START}# results: [-0x{'f' * 5000}]\n{END}", "more than 64 bits"),
        (f"{START}# timeout: {'9' * 5000}\n{END}", "no YAML"),
        (f"{START}# timeout: !!int ''\n{END}", "not what its tag says"),
        (f"{START}# destructive: !!bool x\n{END}", "not what its tag says"),
        (f"{START}# title: !!timestamp x\n{END}", "not what its tag says"),
        (f'{START}# title: "\\ud800"\n{END}', "no YAML"),
        (f"{START}# parameters: {{on: {{type: boolean}}}}\n{END}", "True is no name: put it into quotes"),
    ],
)
def test_broken_headers(script: str, words: str) -> None:
    """What cannot be read may be `destructive`: such a script is not run, and the reason is said."""
    with pytest.raises(BadHeader, match=re.escape(words)):
        parse_header(f"#!/bin/sh\n{script}".encode())


def test_a_header_that_is_not_utf_8() -> None:
    """A letter of another encoding is said, not guessed at."""
    with pytest.raises(BadHeader, match="not UTF-8"):
        parse_header(START.encode() + b"# title: gr\xf6\xdfe\n" + END.encode())


@pytest.mark.parametrize(
    ("yaml", "words"),
    [
        ("destuctive: true", "did you mean destructive?"),
        ("destructive: maybe", "true or false"),
        ("timeout: soon", "neither seconds nor HH:MM:SS"),
        ("parallel: all", "none of disabled, instance, any"),
        ("results: 3", "neither a list of names nor a mapping"),
        ("title: [a]", "title is no text"),
        ("parameters: [a]", "no mapping of names"),
        (parameter("type: disk"), "is none of storage, interface, url"),
        (parameter("type: string\nmaximum: 3"), "did you mean max?"),
        (parameter("type: storage\nmin: 3"), "has no min or max"),
        (parameter("type: string\nmin: 4\nmax: 3"), "more than its max"),
        (parameter("type: string\nmax: many"), "whole numbers"),
        (parameter("type: choice"), "needs a list of choices"),
        (parameter("type: choice\nchoices: [[a, b, c]]"), "neither a choice nor a pair"),
        (parameter("type: choice\nchoices: [a]\ndefault: b"), "its default is wrong"),
        (parameter("type: string\nchoices: [a]"), "only a parameter of type choice"),
        (parameter("type: string\nallow_list: true"), "only a parameter of type url"),
        (parameter("type: string\nrequired: 3"), "true or false"),
        (parameter("type: string\ndefault: [a]"), "no single value"),
        (parameter("type: string\ndefault: off"), "put the word into quotes"),
        (parameter("type: string\ndefault: 1.10"), "put the word into quotes"),
        (parameter("type: choice\nchoices: [on, off]"), "put the word into quotes"),
        (parameter("type: string\nargument_format: --x"), "has to hold one of {input}"),
        (parameter("type: string\nargument_format: --x={path}"), "no other braces"),
        (parameter("type: string\nargument_format: '{input.__class__}'"), "no other braces"),
        (parameter("type: string\nargument_format: '{input} {'"), "no other braces"),
        (parameter('type: string\nargument_format: "\'{input}"'), "cannot be split"),
        (parameter('type: string\nargument_format: "{input}\\0"'), "a zero byte"),
        (parameter("type: string", "a.b"), "letters, digits"),
        ("parameters:\n  a-b: {type: string}\n  A_b: {type: string}", "two parameters are called a_b"),
        ("parameters:\n  a: {type: storage}\n  b: {type: interface}", "only one parameter"),
        ("parameters:\n  a: 3", "no mapping with a type"),
    ],
)
def test_headers_that_are_wrong(yaml: str, words: str) -> None:
    """A key or value that is not understood is never passed over."""
    with pytest.raises(BadHeader, match=re.escape(words)):
        header(yaml)


# -- parameters -------------------------------------------------------------------------------------

DISK = make_disk_target(make_disk(name="sda", model="A model", serial="S1")).values
NIC = {"name": "eth0", "mac": "aa:bb", "mac_address": "aa:bb", "vendor": "V", "product": "P", "input": "eth0"}


@pytest.mark.parametrize(
    ("yaml", "values", "target", "expected"),
    [
        ("type: storage", {}, DISK, ["--storage=/dev/sda"]),
        ("type: storage\nargument_format: '{path}'", {}, DISK, ["/dev/sda"]),
        (
            "type: storage\nargument_format: '-d {name} {model} {serial} {input}'",
            {},
            DISK,
            ["-d", "sda", "A model", "S1", "/dev/sda"],
        ),
        ("type: interface", {}, NIC, ["--interface=eth0"]),
        ("type: interface\nargument_format: '{mac} {vendor} {product}'", {}, NIC, ["aa:bb", "V", "P"]),
        ("type: url", {"x": "http://a.test/b"}, None, ["--url=http://a.test/b"]),
        ("type: url\nallow_list: true", {"x": "a.test, ::1"}, None, ["--url=a.test,::1"]),
        ("type: url\ndefault: 192.0.2.1", {}, None, ["--url=192.0.2.1"]),
        ("type: runtime", {"x": "5m"}, None, ["--runtime=300"]),
        ("type: runtime\ndefault: 90", {}, None, ["--runtime=90"]),
        ("type: runtime", {}, None, []),
        ("type: password", {"x": "a b"}, None, ["--password=a b"]),
        ("type: string", {"x": "a b"}, None, ["--string=a b"]),
        ("type: string\ndefault: 80", {}, None, ["--string=80"]),
        ("type: string", {}, None, []),
        ("type: string\nargument_format: --a '{input} of {input}'", {"x": "1"}, None, ["--a", "1 of 1"]),
        ("type: boolean\nargument_format: --quick -v", {"x": "yes"}, None, ["--quick", "-v"]),
        ("type: boolean\nargument_format: --quick", {}, None, []),
        ("type: boolean", {"x": "1"}, None, ["--x"]),
        ("type: boolean\ndefault: true\nargument_format: --x={input}", {"x": "no"}, None, ["--x=false"]),
        ("type: choice\nchoices: [[USER, User], ADMIN]", {"x": "admin"}, None, ["--choice=ADMIN"]),
        ("type: choice\nchoices: [a, b]\ndefault: b", {}, None, ["--choice=b"]),
    ],
)
def test_arguments(yaml: str, values: dict[str, str], target: Any, expected: list[str]) -> None:
    """Each type with its format, or with the one it has by default; a value with a space stays one argument."""
    assert arguments(parameter(yaml), values, target) == expected


def test_runtime_is_the_timeout_where_nothing_else_is_said() -> None:
    """A header with a timeout and a runtime asks the script to use the time it has."""
    assert arguments(f"timeout: 00:02:00\n{parameter('type: runtime')}") == ["--runtime=120"]


@pytest.mark.parametrize(
    ("yaml", "value", "words"),
    [
        ("type: url", "http://", "no URL"),
        ("type: url", "gopher://a.test", "no URL"),
        ("type: url", "a.test/b c", "no URL"),
        ("type: url", "a" * 80 + "!", "no URL"),
        ("type: runtime\nmin: 60\nmax: 120", "10s", "at least 60 and at most 120"),
        ("type: runtime", "soon", "not a duration"),
        ("type: string\nmax: 2", "abc", "at most 2 letters"),
        ("type: boolean", "maybe", "neither yes nor no"),
        ("type: choice\nchoices: [fast, slow]", "fest", "did you mean fast?"),
        ("type: storage", ",", "names none"),
    ],
)
def test_values_that_are_wrong(yaml: str, value: str, words: str) -> None:
    """They are faults of the plan, like those of any task."""
    (fault,) = faults(parameter(yaml), {"x": value})
    assert words in fault


def test_a_password_is_a_secret() -> None:
    """Neither a fault nor a list of options shows it."""
    yaml = parameter("type: password\nmin: 8")
    assert faults(yaml, {"x": "geheim"}) == ["x: the value given is not a password"]
    found = header(yaml)
    options = make_options(found.parameters)
    assert [row.secret for row in rows(options)] == [True]
    (shown,) = rows(make_options(header(parameter("type: password\ndefault: geheim12")).parameters))
    assert (shown.default, shown.default_text) == ("geheim12", "[secret]")
    assert list_secrets(found.parameters, options(x="geheim12")) == ("geheim12",)


def test_names_of_options() -> None:
    """Dashes, case, and words that Python keeps for itself make no difference to whoever sets them."""
    yaml = "parameters:\n  Max-Rate: {type: string}\n  class: {type: string, title: Class, description: of service}"
    assert [(row.name, row.help) for row in rows(make_options(header(yaml).parameters))] == [
        ("max_rate", "Max-Rate"),
        ("class", "Class of service"),
    ]
    assert arguments(yaml, {"class": "a", "max_rate": "b"}) == ["--string=b", "--string=a"]
