"""The Foreman templates: which words reach the kernel, and which parameters boot nothing at all."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from liveagent.boot import make_request, read_sources
from liveagent.cmdline import parse_cmdline
from liveagent.host import Host
from liveagent.plan import make_plan
from liveagent.tasks import Registry
from tests.conftest import REPOSITORY, need
from tests.foreman.boot import (
    LOADERS,
    MAC,
    TEMPLATES,
    TOKEN,
    Server,
    ask_ruby,
    is_local_boot,
    read_line,
    render_all,
    render_boots,
)

NAME = "node02.lab.example.com"
BASE = {"livesystem_url": "http://images.example.test/live"}
WIPE = {**BASE, "hk_speedtest_autotask": "wipe", "liveagent_host": NAME, "liveagent_expect_serial": "SN2"}
FULL = {
    **WIPE,
    "live_squash": "speedtest-41.squashfs",
    "mainparams": "quiet nomodeset pci=realloc",
    "modprobe": "modprobe.blacklist=nouveau rd.driver.pre=megaraid_sas",
    "live_consoles": "tty0 ttyS1,115200n8",
    "liveagent_callback": "https://receiver.example.test/events?site=a&row=7",
    "liveagent_config": "https://config.example.test/node02.json",
    "liveagent_options": "wipe.disks=size:>=1TB,kind:ssd countdown=60",
}
FIXED = (
    *("rd.live.image", "rd.live.overlay.overlayfs=1", "ip=dhcp", "rd.neednet=1", "rd.md=0", "rd.dm=0", "rd.lvm=0"),
    *("rd.luks=0", "noeject"),
)
BOOTIF = {loader: f"BOOTIF=01-{MAC if loader == 'grub2' else MAC.replace(':', '-')}" for loader in LOADERS}
INITRD = {"pxelinux": ["initrd=http://images.example.test/live/initrd"], "ipxe": ["initrd=initrd"], "grub2": []}
HOSTILE = (
    *(
        '"',
        "'",
        "`",
        "\\",
        "$(x)",
        "${x}",
        "$x",
        "{",
        "}",
        ";",
        "#",
        "|",
        "||",
        " && reboot",
        "\n",
        "\r",
        "\t",
        "\0",
        "\x1b[2J",
    ),
    *(
        "\x7f",
        "\u00a0",
        "\u2003",
        "\u0435",
        "\u202e",
        "\nSAY x",
        "\nboot",
        '" SPEEDISO=wipe "',
        "\n  APPEND SPEEDISO=wipe",
    ),
)
# What the template reads, but for the switch: hostile text in it is a "no" and never rendered.
PARAMETERS = (
    *("livesystem_url", "live_squash", "live_kernel", "live_initrd", "mainparams", "modprobe", "live_consoles"),
    *("liveagent_callback", "liveagent_config", "liveagent_options", "liveagent_expect_serial", "liveagent_host"),
    "hk_speedtest_autotask",
)


def list_words(line: str) -> list[str]:
    """The words of a command line by the agent's reading of it."""
    parsed = parse_cmdline(line.encode())
    assert not parsed.unterminated and not parsed.may_be_cut and all(word.is_utf8 for word in parsed.words)
    return [word.name if word.value is None else f"{word.name}={word.value}" for word in parsed.words]


def list_faults(loader: str, text: str) -> list[str]:
    """The reasons that a boot gives, each of which stands in a comment and on the screen."""
    assert is_local_boot(loader, text), text
    comments = [line[4:] for line in text.splitlines() if line.startswith("#   ")]
    shown = [re.sub(r"^(SAY|echo -|echo)\s+|'", "", line).strip() for line in text.splitlines()]
    assert comments and set(comments) <= set(shown), text
    return comments


@pytest.mark.parametrize("loader", LOADERS)
def test_every_parameter_makes_its_words_and_no_other(loader: str) -> None:
    """All three loaders hand the kernel the same words, each as it was meant."""
    (boot,) = render_boots([Server(FULL)])
    words = list_words(read_line(loader, boot[loader]))
    assert sorted(words) == sorted(
        [
            *INITRD[loader],
            "root=live:http://images.example.test/live/speedtest-41.squashfs",
            *FIXED,
            *("console=tty0", "console=ttyS1,115200n8", "quiet", "nomodeset", "pci=realloc"),
            *("modprobe.blacklist=nouveau", "rd.driver.pre=megaraid_sas"),
            *("liveagent.wipe.disks=size:>=1TB,kind:ssd", "liveagent.countdown=60"),
            "liveagent.callback=https://receiver.example.test/events?site=a&row=7",
            f"liveagent.config=https://config.example.test/node02.json?token={TOKEN}",
            *("liveagent.expect_serial=SN2", BOOTIF[loader], "systemd.setenv=SPEEDISO=wipe"),
        ]
    )


@pytest.mark.parametrize("loader", LOADERS)
def test_the_agent_takes_what_was_meant(loader: str, tmp_path: Path) -> None:
    """The agent's own plan of the rendered line is a wipe with these options, for this serial, without a fault."""
    (boot,) = render_boots([Server({**FULL, "liveagent_config": ""})])
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cmdline").write_text(read_line(loader, boot[loader]) + "\n")
    host = Host(root=str(tmp_path))
    words, files, policy, line = read_sources(host)
    plan = make_plan(make_request({}, words, files, policy, line), Registry(host))
    assert plan.faults == ()
    assert [step.encode()["task"] for step in plan.steps] == ["wipe"]
    assert (plan.settings.expect_serial, plan.settings.countdown) == ("SN2", 60)
    assert plan.settings.callbacks == {"callback": ("https://receiver.example.test/events?site=a&row=7",)}


@pytest.mark.parametrize("loader", LOADERS)
def test_without_parameters_the_server_idles(loader: str) -> None:
    """Nothing but the address of the images: a live system with an empty word, which is no word for the agent."""
    (boot,) = render_boots([Server(BASE)])
    words = list_words(read_line(loader, boot[loader]))
    assert sorted(words) == sorted(
        [
            *INITRD[loader],
            "root=live:http://images.example.test/live/speedtest.squashfs",
            *(*FIXED, "console=tty0", "console=ttyS0,115200", BOOTIF[loader], "systemd.setenv=SPEEDISO="),
        ]
    )


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_hostile_values_boot_nothing(parameter: str) -> None:
    """No value adds a word, a line or a command: it is named, not shown, and no kernel is booted."""
    good = str({**FULL, "live_kernel": "http://h/k", "live_initrd": "http://h/i"}[parameter])
    values = [value for text in HOSTILE for value in (good + text, text + good, text)]
    for value, boot in zip(values, render_boots([Server({**FULL, parameter: value}) for value in values])):
        for loader, text in boot.items():
            faults = list_faults(loader, text)
            assert any(parameter in fault for fault in faults), (value, faults)
            assert not re.search(r"[^\n -~]|[$`\\\"{};|]", text) and "SPEEDISO" not in text, (value, text)


@pytest.mark.parametrize("parameter", [name for name in PARAMETERS if name not in ("mainparams", "liveagent_options")])
def test_a_blank_adds_no_words(parameter: str) -> None:
    """A blank in a value that is no list is refused, and in a list of a kind a word of another kind is."""
    value = {**FULL, "live_kernel": "http://h/k", "live_initrd": "http://h/i"}[parameter]
    lists = ("modprobe", "live_consoles")
    ends = ("SPEEDISO=wipe", "a.b") if parameter in lists else ("SPEEDISO=wipe", "wipe", "")
    for boot in render_boots([Server({**FULL, parameter: f"{value} {end}"}) for end in ends]):
        for loader, text in boot.items():
            assert any(parameter in fault for fault in list_faults(loader, text))
            assert "SPEEDISO" not in text


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (
            "mainparams",
            (
                *("SPEEDISO=wipe", "systemd.setenv=SPEEDISO=wipe", "liveagent.expect_serial=X", "liveagent.wipe.x=1"),
                *("root=live:http://h/x", "initrd=x", "init=/bin/sh", "rdinit=/bin/sh", "--", "-", "=x", "BOOTIF=01-x"),
                *("systemd.run=x", "systemd.run_success_action=x", "systemd.unit=x", "rd.live.image", "rd.live.ram"),
                *("rd.md=1", "&&", "&& reboot", "*", "systemd.setenv", "SPEEDISO"),
            ),
        ),
        (
            "liveagent_options",
            ("callback=http://h/", "config=http://h/", "expect-serial=X", "liveagent.x=1", "-x", "="),
        ),
        ("modprobe", ("nouveau", "SPEEDISO=wipe", "liveagent.x=1", "--")),
        ("live_consoles", ("-", "ttyS0=x", "tty0.x")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_list_takes_words_of_its_kind_only(parameter: str, words: tuple[str, ...]) -> None:
    """A list cannot set which image boots or what the agent does, and no word of it is a command to a loader."""
    start = {"modprobe": "modprobe.blacklist=x", "live_consoles": "tty0"}.get(parameter, "quiet")
    servers = [Server({**BASE, parameter: f"{start} {word}"}) for word in words]
    for word, boot in zip(words, render_boots(servers)):
        for loader, text in boot.items():
            assert any(parameter in fault for fault in list_faults(loader, text)), word


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"liveagent_host": "", "liveagent_expect_serial": ""}, id="a group's word"),
        pytest.param({"liveagent_host": ""}, id="a group's word and serial"),
        pytest.param({"liveagent_host": "node01.lab.example.com"}, id="another host's"),
        pytest.param({"liveagent_host": "node02"}, id="a part of the name"),
        pytest.param({"liveagent_expect_serial": ""}, id="no serial"),
    ],
)
def test_a_destructive_word_is_bound_to_one_server(change: dict[str, str]) -> None:
    """What a group hands down, or a copied host brought along, destroys nothing."""
    tasks = ("wipe", "burnin", "lininstall", "hwdiag,wipe", "an-own-task", "Wipe", "wipe,", ",wipe")
    for boot in render_boots([Server({**WIPE, "hk_speedtest_autotask": task, **change}) for task in tasks]):
        for loader, text in boot.items():
            assert any("hk_speedtest_autotask may destroy data" in fault for fault in list_faults(loader, text))


@pytest.mark.parametrize("loader", LOADERS)
def test_the_word_is_the_last_one_of_the_template(loader: str) -> None:
    """Whatever is cut off a line takes the word along."""
    (boot,) = render_boots([Server(FULL)])
    lines = [line.split(" || ")[0] for line in boot[loader].splitlines() if "SPEEDISO" in line]
    assert [line.rstrip("'").split("SPEEDISO=")[1] for line in lines] == ["wipe"]


def test_a_harmless_word_may_be_inherited() -> None:
    """A group may hand down a word that destroys nothing; a list of further harmless ones cannot make wipe one."""
    harmless = {**BASE, "hk_speedtest_autotask": "hwdiag,speedtest,ours", "liveagent_harmless": "ours wipe"}
    boots = render_boots([Server(harmless), Server({**harmless, "hk_speedtest_autotask": "ours,wipe"})])
    for loader in LOADERS:
        assert "systemd.setenv=SPEEDISO=hwdiag,speedtest,ours" in list_words(read_line(loader, boots[0][loader]))
        assert len(list_faults(loader, boots[1][loader])) == 2


def test_the_serial_comes_from_the_facts_where_they_are_known() -> None:
    """A fact stands in for the parameter; a filler or a serial with a blank is none; two that differ boot nothing."""
    unset = {**WIPE, "liveagent_expect_serial": ""}
    servers = [Server(unset, {name: "SN9"}) for name in ("serialnumber", "dmi::product::serial_number")]
    servers += [
        Server(unset, {"serialnumber": serial}) for serial in ("None", "To be filled by O.E.M.", "a b", "", "0")
    ]
    servers += [Server({**BASE}, {"serialnumber": "VMware-42 1f"}), Server(WIPE, {"serialnumber": "SN9"})]
    boots = render_boots(servers)
    for loader in LOADERS:
        for boot in boots[:2]:
            assert "liveagent.expect_serial=SN9" in list_words(read_line(loader, boot[loader]))
        for boot in boots[2:7]:
            assert list_faults(loader, boot[loader]) == [
                "hk_speedtest_autotask may destroy data, and the serial of this host is not known"
            ]
        assert "expect_serial" not in read_line(loader, boots[7][loader])
        assert "another serial" in list_faults(loader, boots[8][loader])[0]


def test_a_line_that_is_too_long_boots_nothing() -> None:
    """1,800 bytes are the last that boot, whichever loader; 3 KiB in any one parameter boot nothing."""
    (short,) = render_boots([Server({**WIPE, "mainparams": "x"})])
    for loader in LOADERS:
        size = len(re.sub(r"BOOTIF=\S+ ?", "", read_line(loader, short[loader])))
        own = {"pxelinux": 0, "ipxe": len("BOOTIF=01-${netX/mac:hexhyp} "), "grub2": len("BOOTIF=01-$net_default_mac ")}
        # What PXELINUX adds by itself is not in its line; read_line left a blank where it stood.
        room = 1800 - size - own[loader] + (loader == "pxelinux")
        servers = [Server({**WIPE, "mainparams": "x" * (1 + room + more)}) for more in (0, 1)]
        fits, does_not = render_boots(servers)
        assert "x" * (1 + room) in list_words(read_line(loader, fits[loader]))
        assert "1801 bytes" in list_faults(loader, does_not[loader])[0]
    for parameter in PARAMETERS:
        (boot,) = render_boots([Server({**FULL, parameter: str(FULL.get(parameter, "http://h/")) + "x" * 3072})])
        for loader in LOADERS:
            assert list_faults(loader, boot[loader])


def test_the_config_url_carries_the_token_of_the_build() -> None:
    """The token is Foreman's own for this build; without one the server is not sent to ask in vain."""
    config = {**BASE, "liveagent_config": "https://config.example.test/c?h=a"}
    servers = [Server(config), Server(config, token=None), Server({**config, "liveagent_config_token": False})]
    with_token, without, unwanted = render_boots(servers)
    for loader in LOADERS:
        shown = "liveagent.config=https://config.example.test/c?h=a"
        assert f"{shown}&token={TOKEN}" in list_words(read_line(loader, with_token[loader]))
        assert "wants a token, and the host has none" in list_faults(loader, without[loader])[0]
        assert shown in list_words(read_line(loader, unwanted[loader]))


def test_each_loader_gets_a_kernel_that_it_can_fetch() -> None:
    """GRUB names a server by a device, PXELINUX and GRUB take no https, iPXE takes no bare path."""
    tftp = {"live_kernel": "boot/live/vmlinuz", "live_initrd": "boot/live/initrd"}
    secure = {"livesystem_url": "https://images.example.test/live/"}
    plain, paths, https = render_boots([Server(BASE), Server({**BASE, **tftp}), Server(secure)])
    assert "  LINUX http://images.example.test/live/vmlinuz\n" in plain["pxelinux"]
    assert "initrd --name initrd http://images.example.test/live/initrd || goto failed\n" in plain["ipxe"]
    assert "  linux '(http,images.example.test)/live/vmlinuz' " in plain["grub2"]
    assert "  initrd '(http,images.example.test)/live/initrd'\n" in plain["grub2"]
    assert "  LINUX boot/live/vmlinuz\n  APPEND initrd=boot/live/initrd " in paths["pxelinux"]
    assert "  linux 'boot/live/vmlinuz' " in paths["grub2"]
    assert len(list_faults("ipxe", paths["ipxe"])) == 2
    assert "kernel https://images.example.test/live/vmlinuz " in https["ipxe"]
    for loader in ("pxelinux", "grub2"):
        assert "https" in list_faults(loader, https[loader])[0]
    # To PXELINUX a comma parts several initramfs files.
    (several,) = render_boots([Server({**BASE, "live_initrd": "http://h/a,http://h/b"})])
    for loader in LOADERS:
        assert "live_initrd" in list_faults(loader, several[loader])[0]


def test_values_of_other_types_boot_nothing() -> None:
    """A json or array parameter is Ruby text in a template, with quotes in it: refused like any other quote."""
    values: list[Any] = [{"a": [1, 2]}, ["quiet"]]
    for boot in render_boots([Server({**BASE, "mainparams": value}) for value in values]):
        for loader in LOADERS:
            assert any("mainparams" in fault for fault in list_faults(loader, boot[loader]))


def test_erb_in_a_value_is_evaluated_and_then_checked() -> None:
    """Foreman evaluates ERB in a value before the template sees it; what comes of it is a value like any other."""
    config = {"liveagent_config": "https://config.example.test/<%= @host.name %>.json", "liveagent_config_token": False}
    good, bad = render_boots([Server({**BASE, **config}), Server({**BASE, "mainparams": "<%= 34.chr %>"})])
    for loader in LOADERS:
        assert f"liveagent.config=https://config.example.test/{NAME}.json" in list_words(
            read_line(loader, good[loader])
        )
        assert any("mainparams" in fault for fault in list_faults(loader, bad[loader]))


def test_grub_understands_what_comes_out(tmp_path: Path) -> None:
    """GRUB's own checker takes a boot with every parameter, and one with every fault."""
    need(shutil.which("grub-script-check"), "grub-script-check")
    bad = dict.fromkeys(PARAMETERS, "'\n{")
    for boot in render_boots([Server(FULL), Server(BASE), Server(bad)]):
        (tmp_path / "grub.cfg").write_text(boot["grub2"])
        argv = ["grub-script-check", str(tmp_path / "grub.cfg")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr


def test_ipxe_scripts_use_known_commands_only() -> None:
    """An iPXE script begins with its mark, and each line with a command, a label or a comment."""
    commands = {"imgfree", "kernel", "initrd", "boot", ":failed", "echo", "sleep", "exit", "#"}
    for boot in render_boots([Server(FULL), Server({"mainparams": "'"})]):
        first, *lines = boot["ipxe"].splitlines()
        assert first == "#!ipxe"
        assert {line.split()[0] for line in lines} <= commands
        assert "${" not in boot["ipxe"].replace("${netX/mac:hexhyp}", "")


def test_headers_say_what_foreman_needs_to_import_them() -> None:
    """Each file names its kind and itself, as Foreman's import reads it."""
    kinds = {}
    for path in sorted(TEMPLATES.glob("*.erb")):
        header = path.read_text().partition("<%#")[2].partition("-%>")[0]
        fields = dict(re.findall(r"^(kind|name|model): (.+)$", header, re.MULTILINE))
        assert fields["model"] == "ProvisioningTemplate" and "description: |" in header
        kinds[fields["name"]] = fields["kind"]
    assert kinds == {
        "liveagent_cmdline": "snippet",
        "liveagent PXELinux": "PXELinux",
        "liveagent iPXE": "iPXE",
        "liveagent PXEGrub2": "PXEGrub2",
    }


def test_the_documentation_names_every_parameter() -> None:
    """A parameter that a template reads stands in the table, and the table holds no other."""
    table = (REPOSITORY / "docs" / "foreman.md").read_text().partition("| parameter |")[2].partition("\n\n")[0]
    told = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    read = {
        name for path in TEMPLATES.glob("*.erb") for name in re.findall(r"host_param\S*\('(\w+)'", path.read_text())
    }
    assert told == read == {*PARAMETERS, "liveagent_config_token", "liveagent_harmless"}


def test_templates_keep_to_safe_mode() -> None:
    """Foreman's safe mode lets every construct and every method of the templates through."""
    done = ask_ruby("safe_mode.rb", *map(str, sorted(TEMPLATES.glob("*.erb"))))
    assert (done.stdout, done.returncode) == ("", 0), done.stdout + done.stderr


def test_the_check_of_safe_mode_can_fail(tmp_path: Path) -> None:
    """What safe mode refuses is found, or the check above would prove nothing."""
    refused = (
        *("File.read('/etc/hostname')", "@host.host_parameters", "host_param('x') =~ /x/", "[1].map(&:to_s)", "@x = 1"),
        *(
            "$stdout",
            "`id`",
            "-> { 1 }",
            "defined?(x)",
            "begin; 1; rescue; 2; end",
            "x = {}; x['a'] = 1",
            "system('id')",
        ),
        *("'a'.match?('a')", "return", "def x; end", "nil&.to_s", "'x'.send('y')", "eval '1'", "x = 1; x += 1", "exit"),
    )
    paths = [tmp_path / f"{number}.erb" for number in range(len(refused))]
    for path, code in zip(paths, refused):
        path.write_text(f"<% {code} -%>\nx\n")
    done = ask_ruby("safe_mode.rb", *map(str, paths))
    found = {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert done.returncode == 1 and not [code for path, code in zip(paths, refused) if str(path) not in found]


def read_case(corpus: Path, name: str) -> dict[str, Any]:
    """One recorded conversation with a real Foreman."""
    case: dict[str, Any] = json.loads((corpus / "foreman-http" / f"{name}.json").read_text())
    return case


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name", ["template-agent-unattended", "template-agent-api-not-in-build", "template-agent-by-mac"]
)
def test_the_stand_in_answers_as_a_real_foreman_did(corpus: Path, name: str) -> None:
    """Templates that a real Foreman rendered come out of the stand-in byte for byte."""
    sources = json.loads(read_case(corpus, "template-agent-unattended")["setup"][0].partition("Template sources: ")[2])
    parameters = {"bm_suite": "burnin", "bm_flag": True, "bm_json": {"a": [1, 2]}}
    seen = 0
    for exchange in read_case(corpus, name)["exchanges"]:
        path, response = exchange["request"]["path"], exchange["response"]
        kind = re.split(r"[?/]", path.partition("/unattended/")[2] or path.rpartition("/")[2])[0]
        if response["status"] != 200 or kind not in sources:
            continue
        text = json.loads(response["body"])["template"] if path.startswith("/api") else response["body"]
        token = re.search(r"token=([0-9a-f-]+)", text)
        server = Server(parameters, token=token.group(1) if token else None)
        assert render_all([({"text": sources[kind]}, server)]) == [{"text": text}]
        seen += 1
    assert seen >= 3


@pytest.mark.corpus
def test_the_stand_in_treats_values_as_a_real_foreman_did(corpus: Path) -> None:
    """ERB in a value is evaluated, nothing is quoted, and a method outside the jail is an error."""
    template = {"text": "suite=<%= host_param('bm_erb') %> name=<%= host_param('bm_html') %>"}
    values = {"bm_erb": "<%= @host.name %>", "bm_html": "a & b <c> \"d\" 'e' $(x) ; y"}
    (answer,) = render_all([(template, Server(values))])
    assert answer == {"text": read_case(corpus, "template-param-values-raw")["exchanges"][0]["response"]["body"]}
    bad = [({"text": f"x <%= {code} %> y"}, Server({})) for code in ("@host.nope", "host_param!('bm_not_there')")]
    cases = ("template-error-undefined-method", "template-error-host-param-bang")
    for case, answer in zip(cases, render_all(bad)):
        assert answer["error"] in read_case(corpus, case)["exchanges"][0]["response"]["body"]
