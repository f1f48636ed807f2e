"""What was asked for: which source wins, what is a fault, and what nobody may override."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import pytest

from liveagent.boot import BY_HAND, Request, Sections, make_request, parse_words, read_sources
from liveagent.cmdline import parse_cmdline
from liveagent.document import Document
from liveagent.host import Host
from liveagent.options import Setting
from liveagent.settings import Policy

Ask = Callable[..., Request]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """A request from a tree: `ask(cmdline, conf, {"10-a.conf": …})`, and beside it what else may speak."""

    def ask(
        cmdline: bytes | str = "",
        conf: bytes | str | None = None,
        conf_d: Mapping[str, str] | None = None,
        config: str | None = None,
        environment: Mapping[str, str] | None = None,
        document: Document | None = None,
        by_hand: Sections | None = None,
    ) -> Request:
        files = {"proc/cmdline": cmdline if isinstance(cmdline, bytes) else cmdline.encode()}
        if conf is not None:
            files["etc/liveagent/liveagent.conf"] = conf if isinstance(conf, bytes) else conf.encode()
        files.update({f"etc/liveagent/conf.d/{name}": text.encode() for name, text in (conf_d or {}).items()})
        for name, content in files.items():
            path = tmp_path / "tree" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        given = ""
        if config is not None:
            (tmp_path / "given.conf").write_text(config)
            given = str(tmp_path / "given.conf")
        words, read, policy, line = read_sources(Host(str(tmp_path / "tree")), given)
        return make_request(environment or {}, words, read, policy, line, document, by_hand)

    return ask


def codes(request: Request) -> list[str]:
    return [fault.code for fault in request.faults]


def values(request: Request, section: str = "agent") -> dict[str, str]:
    return {name: setting.value for name, setting in request.sections.get(section, {}).items()}


def make_document(content: Mapping[str, Any], verified: bool = True, signed_by: str = "") -> Document:
    return Document(content, "config https://h/cfg", verified, signed_by)


# -- SPEEDISO ---------------------------------------------------------------------------------------

FROM_URL = {"speediso": "from-url"}


@pytest.mark.parametrize(
    ("environment", "cmdline", "content", "word"),
    [
        ({}, "ro quiet", {}, None),
        ({"SPEEDISO": "wipe"}, "SPEEDISO=a systemd.setenv=SPEEDISO=b", FROM_URL, "wipe"),
        ({}, "systemd.setenv=SPEEDISO=b SPEEDISO=a", FROM_URL, "b"),
        ({}, "SPEEDISO=a", FROM_URL, "a"),
        ({}, "ro", FROM_URL, "from-url"),
        ({}, "SPEEDISO=a SPEEDISO=b", {}, "b"),
        ({}, "systemd.setenv=SPEEDISO=a systemd.setenv=SPEEDISO=b", {}, "b"),
        ({}, 'systemd.setenv="SPEEDISO=a,b"', {}, "a,b"),
        ({}, '"systemd.setenv=SPEEDISO=a, b"', {}, "a, b"),
        ({}, "ro -- SPEEDISO=a", {}, None),
        ({}, "SPEEDISO", {}, None),
        ({}, "XSPEEDISO=a speediso=a systemd.setenv=XSPEEDISO=a", {}, None),
        # Empty is no word, and hides the weaker ones.
        ({"SPEEDISO": ""}, "SPEEDISO=a", FROM_URL, None),
        ({"SPEEDISO": "  "}, "SPEEDISO=a", FROM_URL, None),
        ({}, "systemd.setenv=SPEEDISO= SPEEDISO=a", FROM_URL, None),
        ({}, "SPEEDISO=a SPEEDISO=", FROM_URL, None),
        ({}, "SPEEDISO=", FROM_URL, None),
        ({}, "ro", {"speediso": ""}, None),
        ({}, "ro", {"speediso": ["hwdiag", "wipe"]}, "hwdiag,wipe"),
        ({}, "ro", {"speediso": None}, None),
    ],
)
def test_which_word_counts(
    ask: Ask, environment: Mapping[str, str], cmdline: str, content: Mapping[str, Any], word: str | None
) -> None:
    """Environment, systemd.setenv=, bare, config URL; the last of repeated words; empty is none."""
    request = ask(cmdline, environment=environment, document=make_document(content))
    assert (request.word.value if request.word else None) == word
    assert not request.faults


@pytest.mark.parametrize(
    ("verified", "signed_by", "taken"),
    [(True, "", True), (False, "ops", True), (True, "ops", True), (False, "", False)],
)
def test_a_word_over_plain_http_is_not_taken(ask: Ask, verified: bool, signed_by: str, taken: bool) -> None:
    """Whoever sits on the way could ask for a wipe: only verified HTTPS or a signature may bring a word."""
    request = ask(document=make_document({"speediso": "wipe"}, verified, signed_by))
    assert (request.word is not None) is taken
    assert codes(request) == ([] if taken else ["plan.config.unverified"])


def test_plain_http_may_bring_options(ask: Ask) -> None:
    """What is not a word may come over plain HTTP, to a task that the cmdline asked for."""
    request = ask("SPEEDISO=wipe", document=make_document({"wipe": {"passes": 2}}, verified=False))
    assert (values(request, "wipe"), codes(request), request.signed) == ({"passes": "2"}, [], False)


def test_a_word_does_nothing_to_a_terminal(ask: Ask) -> None:
    """The word is said on every console before anybody has checked it."""
    odd = "wi\x1b[2Jpe"
    for request in (
        ask(environment={"SPEEDISO": odd + "\udcff"}),
        ask(f"SPEEDISO={odd}"),
        ask(f"systemd.setenv=SPEEDISO={odd}"),
        ask(document=make_document({"speediso": odd})),
    ):
        assert request.word and request.word.value.isprintable() and "[2Jpe" in request.word.value


# -- settings ---------------------------------------------------------------------------------------


def test_the_strongest_source_wins(ask: Ask) -> None:
    """Command line, kernel cmdline, config URL, conf.d with its last file, liveagent.conf."""
    sources = ["hand", "cmdline", "url", "20.conf", "10.conf", "conf"]
    expected = {f"k{rank}": source for rank, source in enumerate(sources)}

    def keys(source: str) -> dict[str, str]:
        return {f"k{rank}": source for rank in range(sources.index(source) + 1)}

    def ini(source: str) -> str:
        return "[toys]\n" + "".join(f"{name} = {value}\n" for name, value in keys(source).items())

    request = ask(
        " ".join(f"liveagent.toys.{name}={value}" for name, value in keys("cmdline").items()),
        ini("conf"),
        {"20.conf": ini("20.conf"), "10.conf": ini("10.conf"), "99.conf.bak": ini("conf")},
        document=make_document({"toys": keys("url")}),
        by_hand={"toys": {name: Setting(value, BY_HAND) for name, value in keys("hand").items()}},
    )
    assert values(request, "toys") == expected and not request.faults
    assert request.sections["toys"]["k1"].origin == "kernel cmdline"
    assert request.sections["toys"]["k3"].origin == "/etc/liveagent/conf.d/20.conf"


def test_an_empty_value_hides_the_weaker_ones(ask: Ask) -> None:
    """What a template renders for an absent parameter unsets what a file says."""
    request = ask("liveagent.callback=", "[agent]\ncallback = http://a/\n")
    assert values(request) == {"callback": ""}


def test_config_stands_in_for_the_files(ask: Ask) -> None:
    """With --config, what /etc/liveagent sets does not count."""
    request = ask("", "[agent]\nsite = a\norder = 1\n", {"a.conf": "[wipe]\npasses = 3\n"}, "[agent]\nsite = b\n")
    assert (values(request), values(request, "wipe")) == ({"site": "b"}, {})


@pytest.mark.parametrize(
    ("cmdline", "section", "expected"),
    [
        ("liveagent.then=reboot", "agent", {"then": "reboot"}),
        ("liveagent.keep-going=1", "agent", {"keep_going": "1"}),
        ("liveagent.keep_going", "agent", {"keep_going": "1"}),
        ("liveagent.callback.dc-1=http://a/", "agent", {"callback.dc_1": "http://a/"}),
        ("liveagent.wipe.also-overwrite=1", "wipe", {"also_overwrite": "1"}),
        ('liveagent.wipe.disks="a b,c"', "wipe", {"disks": "a b,c"}),
        ("liveagent.my-task.x=1", "my-task", {"x": "1"}),
        ("liveagent.wipe.disks=a=b", "wipe", {"disks": "a=b"}),
        ("liveagent.wipe.disks=%d$x", "wipe", {"disks": "%d$x"}),
    ],
)
def test_words_of_the_cmdline(ask: Ask, cmdline: str, section: str, expected: dict[str, str]) -> None:
    """`liveagent.KEY=` is the agent's, `liveagent.TASK.OPTION=` a task's; dashes and underscores are the same."""
    request = ask(cmdline)
    assert (values(request, section), codes(request)) == (expected, [])


@pytest.mark.parametrize(
    ("cmdline", "code"),
    [
        (b'SPEEDISO=wipe liveagent.wipe.disks="a', "plan.cmdline.quote"),
        (b'SPEEDISO=wipe "', "plan.cmdline.quote"),
        (b"liveagent.wipe.disks=a liveagent.wipe.disks=b", "plan.option.twice"),
        (b"liveagent.keep-going=0 liveagent.keep_going", "plan.option.twice"),
        (b"liveagent.site=\xff", "plan.cmdline.bytes"),
        (b"SPEEDISO=wipe\xff", "plan.cmdline.bytes"),
        (b"systemd.setenv=SPEEDISO=\xff", "plan.cmdline.bytes"),
        (b"liveagent.=a", "plan.cmdline.name"),
        (b"liveagent.wipe.=a", "plan.cmdline.name"),
    ],
)
def test_a_wrong_cmdline_is_a_fault(ask: Ask, cmdline: bytes, code: str) -> None:
    """A quote left open, an option with two values, bytes that are no text, a name that is none."""
    assert codes(ask(cmdline)) == [code]


def test_what_is_not_ours_may_be_odd(ask: Ask) -> None:
    """Other people's words on the cmdline are none of our faults; the same thing said twice is no contradiction."""
    assert codes(ask(b"x=\xff live.agent= liveagent liveagent.site=a liveagent.site=a")) == []


@pytest.mark.parametrize(("length", "cut"), [(2046, False), (2047, True)])
def test_a_cmdline_that_may_be_cut(ask: Ask, length: int, cut: bool) -> None:
    """The request knows that the kernel may have dropped what came behind."""
    assert ask(b"SPEEDISO=wipe ".ljust(length, b"x") + b"\n").cut is cut


@pytest.mark.corpus
def test_real_cmdlines_ask_for_nothing(corpus: Path) -> None:
    """No machine of the corpus was booted with one of our words: none is found, and none is faulty."""
    for path in sorted((corpus / "cmdline").glob("*.txt")):
        source = parse_words(parse_cmdline(path.read_bytes()))
        assert (source.word, source.sections, source.faults) == (None, {}, ()), path.name


# -- files ------------------------------------------------------------------------------------------


def test_values_of_a_file_are_taken_as_they_stand(ask: Ask) -> None:
    """No interpolation, no quotes, no comments behind a value."""
    request = ask("", '[agent]\nsite = 100% "sure" ; # %(x)s ${y}\ncallback.DC-1 = http://a/\n[wipe]\nDisks=sda\n')
    assert values(request) == {"site": '100% "sure" ; # %(x)s ${y}', "callback.dc_1": "http://a/"}
    assert values(request, "wipe") == {"disks": "sda"}


def test_a_file_from_another_system_is_read(ask: Ask) -> None:
    """A byte order mark and CR LF are what an editor leaves."""
    assert values(ask("", b"\xef\xbb\xbf[agent]\r\nsite = a\r\n")) == {"site": "a"}


@pytest.mark.parametrize(
    ("conf", "code", "words"),
    [
        ("site = a\n", "plan.file.syntax", "line 1: stands before"),
        ("[agent]\nhunter2\n", "plan.file.syntax", "line 2: neither"),
        ("[agent]\n[wipe]\n[agent]\n", "plan.file.syntax", "line 3: [agent] stands there twice"),
        (b"[agent]\nsite = \xff\n", "plan.file.syntax", "utf-8"),
        ("[agent]\nsite = a\nsite = b\n", "plan.option.twice", "[agent] site"),
        ("[agent]\nkeep-going = 1\nkeep_going = 0\n", "plan.option.twice", "[agent] keep_going"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_fault(ask: Ask, conf: bytes | str, code: str, words: str) -> None:
    """A file with an error counts for nothing and lets nothing run; the line itself may hold a secret."""
    (fault,) = ask("", conf).faults
    assert fault.code == code and words in str(fault) and "/etc/liveagent/liveagent.conf" in fault.origin
    assert "hunter2" not in str(fault)


def test_a_file_that_is_not_there(ask: Ask, tmp_path: Path) -> None:
    """No file at all is fine; one that was named and cannot be had is a fault, also behind a link to nowhere."""
    assert codes(ask()) == []
    host = Host(str(tmp_path / "tree"))
    _, given, _, _ = read_sources(host, str(tmp_path / "nowhere.conf"))
    assert [fault.code for fault in given.faults] == ["plan.file.unreadable"]
    for name in ("liveagent.conf", "conf.d/a.conf"):
        link = tmp_path / "tree" / "etc/liveagent" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to("/nowhere")
    _, files, _, _ = read_sources(host, "")
    assert [(fault.code, fault.origin) for fault in files.faults] == [
        ("plan.file.unreadable", "/etc/liveagent/liveagent.conf"),
        ("plan.file.unreadable", "/etc/liveagent/conf.d/a.conf"),
    ]


def test_no_cmdline_at_all(tmp_path: Path) -> None:
    """A tree without /proc is a machine that was asked for nothing."""
    request = make_request({}, *read_sources(Host(str(tmp_path)), ""))
    assert (request.word, request.sections.get("agent"), request.faults, request.cut) == (None, {}, (), False)


# -- what only /etc/liveagent may say ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("etc", "config", "policy"),
    [
        ("", None, "any"),
        ("destructive = serial", None, "serial"),
        ("destructive = Never", None, "never"),
        ("destructive = never", "", "never"),
        ("destructive = signed", "destructive = any", "signed"),
        ("destructive = serial", "destructive = signed", "signed"),
        ("", "destructive = serial", "serial"),
    ],
)
def test_the_strictest_policy_counts(ask: Ask, etc: str, config: str | None, policy: str) -> None:
    """--config stands in for the settings of /etc, and cannot loosen what it says about destructive tasks."""
    request = ask("", f"[agent]\n{etc}\n", config=None if config is None else f"[agent]\n{config}\n")
    assert (request.policy.destructive, codes(request)) == (policy, [])
    assert "destructive" not in values(request)


def test_conf_d_may_loosen_what_the_same_etc_said(ask: Ask) -> None:
    """Within /etc/liveagent the last file wins, as for every setting."""
    request = ask("", "[agent]\ndestructive = never\n", {"a.conf": "[agent]\ndestructive = serial\n"})
    assert request.policy == Policy("serial")


def test_an_order_that_cannot_be_read_is_no_permission(ask: Ask) -> None:
    """A misspelt policy, or a broken /etc beside --config, lets nothing destructive run."""
    request = ask("", "[agent]\ndestructive = nevr\n")
    assert (request.policy.destructive, codes(request)) == ("never", ["plan.option.value"])
    assert codes(ask("", "[agent]\ndestructive = never\ngarbage\n", config="[agent]\n")) == ["plan.file.syntax"]


EVERY = ["cmdline", "url", "hand"]


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize("key", ["destructive", "locked", "replace"])
def test_policy_from_elsewhere_is_a_fault(ask: Ask, source: str, key: str) -> None:
    """Nobody but /etc/liveagent says what destructive tasks need; saying so elsewhere is a fault, not ignored."""
    request = speak(ask, source, key, "any", "[agent]\ndestructive = never\n")
    assert (codes(request), request.policy.destructive) == (["plan.option.locked"], "never")
    assert key not in values(request)


def speak(ask: Ask, source: str, key: str, value: str, conf: str) -> Request:
    """The same setting, said by one of those who may not."""
    section, _, name = ("agent." + key if "." not in key else key).partition(".")
    return ask(
        f"liveagent.{key}={value}" if source == "cmdline" else "",
        conf,
        document=make_document({section: {name: value}}) if source == "url" else None,
        by_hand={section: {name: Setting(value, BY_HAND)}} if source == "hand" else None,
    )


@pytest.mark.parametrize("source", EVERY)
@pytest.mark.parametrize(
    ("conf", "key", "value", "held"),
    [
        ("[agent]\nlocked = then, site\nthen = stay\n", "then", "reboot", "stay"),
        ("[agent]\nlocked = Expect-Serial\n", "expect_serial", "S1", None),
        ("[agent]\nlocked = wipe.disks\n[wipe]\ndisks = sda\n", "wipe.disks", "all", "sda"),
        ("[agent]\nlocked = my-task.x\n[my-task]\nx = 1\n", "my-task.x", "2", "1"),
        ("[agent]\nlocked = then\nthen = poweroff\n", "then", "", "poweroff"),
    ],
)
def test_a_locked_key_holds(ask: Ask, source: str, conf: str, key: str, value: str, held: str | None) -> None:
    """What /etc locks stays as /etc has it, and whoever says otherwise is told so."""
    request = speak(ask, source, key, value, conf)
    section, _, name = ("agent." + key if "." not in key else key).partition(".")
    assert codes(request) == ["plan.option.locked"]
    assert values(request, section).get(name) == held


def test_the_same_value_is_no_quarrel(ask: Ask) -> None:
    """Repeating a locked value is harmless."""
    assert codes(ask("liveagent.then=stay", "[agent]\nlocked = then\nthen = stay\n")) == []


def test_a_lock_holds_against_the_file_that_stands_in(ask: Ask) -> None:
    """--config cannot override a key that /etc/liveagent locks, and may lock more."""
    etc = "[agent]\nlocked = then\nthen = stay\n"
    request = ask("", etc, config="[agent]\nthen = reboot\n")
    assert (values(request), codes(request)) == ({"then": "stay"}, ["plan.option.locked"])
    request = ask("liveagent.site=b", etc, config="[agent]\nlocked = site\nsite = a\n")
    assert (values(request), codes(request)) == ({"then": "stay", "site": "a"}, ["plan.option.locked"])


# -- the config document ----------------------------------------------------------------------------


def test_values_of_a_document_are_words(ask: Ask) -> None:
    """JSON says numbers, booleans and lists; they become what one would have typed."""
    content = {
        "agent": {"keep-going": True, "drain": 0.5, "site": None, "consoles": ["tty0", "ttyS0"]},
        "wipe": {"passes": 2, "disks": []},
    }
    request = ask(document=make_document(content))
    assert values(request) == {"keep_going": "1", "drain": "0.5", "site": "", "consoles": "tty0,ttyS0"}
    assert (values(request, "wipe"), codes(request)) == ({"passes": "2", "disks": ""}, [])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"speediso": {"a": 1}}, "plan.config.value"),
        ({"wipe": "all"}, "plan.config.value"),
        ({"SPEEDISO": "wipe"}, "plan.config.value"),
        ({"wipe": {"disks": {"a": 1}}}, "plan.config.value"),
        ({"wipe": {"disks": ["a,b"]}}, "plan.config.value"),
        ({"wipe": {"disks": [["a"], {}]}}, "plan.config.value"),
        ({"wipe": {"also-overwrite": 1, "also_overwrite": 0}}, "plan.option.twice"),
    ],
)
def test_a_document_of_another_shape_is_a_fault(ask: Ask, content: Mapping[str, Any], code: str) -> None:
    """What has no meaning as a setting is said, never guessed."""
    assert codes(ask(document=make_document(content))) == [code]


def test_who_signed_is_known(ask: Ask) -> None:
    """The policy `signed` looks at this alone."""
    assert ask(document=make_document({}, False, "ops")).signed
    assert not ask(document=make_document({})).signed


# -- secrets ----------------------------------------------------------------------------------------


def test_secrets_of_a_request(ask: Ask) -> None:
    """Everything that opens something is known to the scrubber; what names the machine is not."""
    request = ask(
        "liveagent.config=https://h/cfg?serial=S1,2&token=hunter2 liveagent.callback=https://a/,https://me:pass4711@b/",
        "[agent]\ncallback_secret = whsec_abc\ncallback_token = t0ken\nsite = x\n",
    )
    assert {"hunter2", "me:pass4711", "pass4711", "whsec_abc", "t0ken"} <= set(request.secrets)
    assert not {"S1,2", "x", "h", ""} & set(request.secrets)


@pytest.mark.parametrize("key", ["callback_secret", "callback-token"])
def test_a_secret_on_the_cmdline_is_pointed_out(ask: Ask, key: str) -> None:
    """Every user of the machine can read the cmdline; the notice says so without the secret."""
    (notice,) = ask(f"liveagent.{key}=hunter2").notices
    assert key.replace("-", "_") in notice and "hunter2" not in notice
    assert ask("", f"[agent]\n{key} = hunter2\n").notices == ()
