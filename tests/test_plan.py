"""Requests into plans: all that keeps a boot from doing harm, and every fault at once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest

from liveagent.boot import make_request, read_sources
from liveagent.document import Document
from liveagent.host import Host
from liveagent.options import LIST, TEXT, Fault, choice, integer, option
from liveagent.plan import Plan, make_plan
from liveagent.tasks import Context, Outcome, Registry, Task, Unusable

Make = Callable[..., Plan]
RECEIVER = "liveagent.callback=http://127.0.0.1/"


@dataclasses.dataclass(frozen=True)
class LookOptions:
    parts: tuple[str, ...] = option(LIST, ("all",), "which")
    times: int = option(integer(1, 9), 1, "how often")
    depth: str = option(choice("quick", "full"), "quick", "how deep")
    pin: str = option(TEXT, "", "opens it", secret=True)


class Look(Task):
    """A task that destroys nothing, and one rule about its options together."""

    name = "look"
    summary = "looks at the machine"
    Options = LookOptions

    def faults(self, options: LookOptions) -> Sequence[str]:
        return ["liveagent.look.times only goes together with depth=full"] if options.times > 1 else ()

    def run(self, context: Context, options: LookOptions) -> Outcome:
        raise AssertionError("a plan runs nothing")


class Desk(Registry):
    """The tasks that there are, and two that a package could have brought."""

    def find(self, name: str) -> Task | Unusable | None:
        if name == "broken":
            return Unusable(name, "its package cannot be loaded")
        return Look() if name == "look" else super().find(name)

    def names(self) -> tuple[str, ...]:
        return (*super().names(), "broken", "look")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A plan from a tree: `make("SPEEDISO=…", "[agent] …")`."""
    root = tmp_path / "tree"
    (root / "proc").mkdir(parents=True)
    (root / "etc/liveagent").mkdir(parents=True)

    def make(
        cmdline: bytes | str,
        conf: str = "",
        config: str | None = None,
        environment: Mapping[str, str] | None = None,
        document: Document | None = None,
        at_boot: bool = True,
    ) -> Plan:
        line = cmdline if isinstance(cmdline, bytes) else cmdline.encode()
        (root / "proc/cmdline").write_bytes(line + b"\n")
        (root / "etc/liveagent/liveagent.conf").write_text(conf)
        given = tmp_path / "given.conf"
        given.write_text(config or "")
        host = Host(str(root))
        sources = read_sources(host, "" if config is None else str(given))
        return make_plan(make_request(environment or {}, *sources, document), Desk(host), at_boot)

    return make


def codes(plan: Plan) -> list[str]:
    return [fault.code for fault in plan.faults]


def sign(content: Mapping[str, Any], signed_by: str = "ops") -> Document:
    return Document(content, "config http://h/cfg", False, signed_by)


# -- what is planned --------------------------------------------------------------------------------


@pytest.mark.parametrize("cmdline", ["", "ro quiet", "SPEEDISO=", "systemd.setenv=SPEEDISO= SPEEDISO=wipe"])
def test_without_a_word_there_is_nothing_to_do(make: Make, cmdline: str) -> None:
    """No word is a plain live system: no step, no fault."""
    plan = make(cmdline)
    assert plan.is_idle and not plan.is_destructive and plan.word == ""


def test_a_plan_has_its_steps_in_order(make: Make) -> None:
    """Each word is a step with its own options, typed, from whichever source."""
    line = "SPEEDISO=look,wipe liveagent.look.parts=a,b liveagent.wipe.passes=2 liveagent.then=poweroff " + RECEIVER
    plan = make(line, "[wipe]\nverify = 10%\n")
    assert codes(plan) == [] and not plan.is_idle and plan.is_destructive
    assert [step.task.name for step in plan.steps] == ["look", "wipe"]
    assert plan.steps[0].options == LookOptions(parts=("a", "b"))
    assert (plan.steps[1].options.passes, plan.steps[1].options.verify) == (2, "10%")
    assert (plan.settings.then, plan.settings.callback) == ("poweroff", ("http://127.0.0.1/",))


def test_blanks_around_words(make: Make) -> None:
    """`SPEEDISO="look, wipe"` means both."""
    assert [step.task.name for step in make('SPEEDISO="look, wipe"').steps] == ["look", "wipe"]


# -- words that are none ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("wpie", "there is no task wpie; did you mean wipe?; known: hwdiag, wipe, broken, look"),
        ("Wipe", "there is no task Wipe; did you mean wipe?"),
        ("xyzzy", "there is no task xyzzy; known: hwdiag, wipe"),
        ("../../etc/passwd", "there is no task '../../etc/passwd'; known:"),
        ("/bin/sh", "there is no task '/bin/sh'; known:"),
        ("..", "there is no task '..'; known:"),
        ("größe", r"there is no task 'gr\xf6\xdfe'; known:"),
        ("wipe,", "there is no task ''; known:"),
    ],
)
def test_an_unknown_word_runs_nothing(make: Make, word: str, said: str) -> None:
    """It is said with the known words; a path stays a word, whatever lies there."""
    plan = make(f"SPEEDISO={word}")
    assert codes(plan) == ["plan.word.unknown"]
    assert said in plan.faults[0].message and plan.faults[0].origin == "kernel cmdline"


def test_one_unknown_word_stops_all(make: Make) -> None:
    """`look,wpie`: the first one does not run either, since a plan with a fault runs nothing."""
    plan = make("SPEEDISO=look,wpie,xyzzy")
    assert codes(plan) == ["plan.word.unknown", "plan.word.unknown"] and not plan.is_idle


def test_where_the_word_came_from(make: Make) -> None:
    """The fault says which of the sources has to be corrected."""
    assert make("", environment={"SPEEDISO": "x"}).faults[0].origin == "environment"
    assert make("systemd.setenv=SPEEDISO=x").faults[0].origin == "kernel cmdline, systemd.setenv"


def test_a_task_that_must_not_be_run(make: Make) -> None:
    """It is known, and the fault says what is wrong with it."""
    plan = make("SPEEDISO=broken")
    assert codes(plan) == ["plan.task.unusable"] and "cannot be loaded" in plan.faults[0].message


@pytest.mark.parametrize(
    ("directory", "text", "is_left"),
    [
        ("etc/systemd/system", "[Service]\nExecCondition=/bin/sh -c '[ \"$SPEEDISO\" = mine ]'\n", True),
        ("run/systemd/system", "[Unit]\nConditionEnvironment=SPEEDISO=mine\n", True),
        ("usr/lib/systemd/system", "[Unit]\nConditionEnvironment=SPEEDISO=mine\n", True),
        ("etc/systemd/system", "[Service]\nExecStart=/bin/true\n", False),
        ("etc/other", "[Unit]\nConditionEnvironment=SPEEDISO=mine\n", False),
    ],
)
def test_the_operators_own_unit(make: Make, tmp_path: Path, directory: str, text: str, is_left: bool) -> None:
    """A unit gated by SPEEDISO makes its name known, and the work is left to it; any other unit does not."""
    place = tmp_path / "tree" / directory
    place.mkdir(parents=True)
    (place / "mine.service").write_text(text)
    plan = make("SPEEDISO=mine liveagent.mine.x=1" if is_left else "SPEEDISO=mine")
    assert (plan.units, codes(plan)) == ((("mine",), []) if is_left else ((), ["plan.word.unknown"]))
    assert plan.is_idle is is_left and not plan.steps


# -- options that are wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("liveagent.wipe.passes=many", "plan.option.value", "liveagent.wipe.passes: 'many' is not a whole number"),
        ("liveagent.wipe.passes=36", "plan.option.value", "between 1 and 35"),
        ("liveagent.wipe.pattern=xyz", "plan.option.value", "liveagent.wipe.pattern"),
        ("liveagent.wipe.verify=0%", "plan.option.value", "liveagent.wipe.verify"),
        ("liveagent.wipe.method=over-write", "plan.option.value", "did you mean overwrite?"),
        ("liveagent.wipe.diks=sda", "plan.option.unknown", "liveagent.wipe.diks is no option; did you mean disks?"),
        ("liveagent.wpie.disks=sda", "plan.option.task", "there is no task wpie; did you mean wipe?"),
        ("liveagent.wipe.disks=a liveagent.wipe.disks=b", "plan.option.twice", "liveagent.wipe.disks is given twice"),
        ("liveagent.wipe.release=usb", "plan.option.conflict", "named by serial or WWN"),
        ("liveagent.then=halt", "plan.option.value", "liveagent.then: 'halt' is none of stay, reboot, poweroff"),
        ("liveagent.thne=stay", "plan.option.unknown", "liveagent.thne is no option; did you mean then?"),
        ("liveagent.callback=receiver/cb", "plan.option.value", "liveagent.callback: 'receiver/cb' is not a URL"),
        ("liveagent.callback.x=receiver/cb", "plan.option.value", "liveagent.callback.x: 'receiver/cb' is not a URL"),
        ("liveagent.config=h/cfg", "plan.option.value", "liveagent.config: 'h/cfg' is not a URL"),
        ("liveagent.config-wait=soon", "plan.option.value", "liveagent.config_wait"),
        ('liveagent.wipe.disks="a', "plan.cmdline.quote", "is never closed"),
        (b"liveagent.wipe.disks=\xff", "plan.cmdline.bytes", "not UTF-8"),
        ("liveagent.callback_secret= liveagent.destructive=any", "plan.option.locked", "in /etc/liveagent only"),
    ],
)
def test_a_wrong_option_is_a_fault(make: Make, line: bytes | str, code: str, said: str) -> None:
    """Nothing runs with an option that could not be read as it was meant; the fault names it and its place."""
    text = line.encode() if isinstance(line, str) else line
    plan = make(b"SPEEDISO=wipe " + text)
    assert codes(plan) == [code]
    assert said in plan.faults[0].message and plan.faults[0].origin == "kernel cmdline"


def test_options_that_do_not_go_together(make: Make) -> None:
    """A task's own rule is a fault of the plan, and only asked where each option is right by itself."""
    plan = make("SPEEDISO=look liveagent.look.times=2")
    assert codes(plan) == ["plan.option.conflict"] and plan.faults[0].origin == "kernel cmdline"
    assert codes(make("SPEEDISO=look liveagent.look.times=2 liveagent.look.depth=x")) == ["plan.option.value"]


def test_every_fault_is_listed_at_once(make: Make) -> None:
    """Who has to walk to the rack walks once: faults of all sources and kinds stand together."""
    plan = make(
        b"SPEEDISO=wipe,wpie liveagent.wipe.passes=x liveagent.look.a=1 liveagent.thne=1 liveagent.then=reboot "
        b"liveagent.nope.b=1 liveagent.site=\xff",
        "[agent]\ndestructive = serial\ncallback = receiver\n[wipe]\ndiks = a\n",
        document=Document({"speediso": "wipe", "wipe": 5}, "config http://h/cfg"),
    )
    assert sorted(codes(plan)) == sorted(
        [
            "plan.word.unknown",
            "plan.option.value",  # wipe.passes
            "plan.option.value",  # agent.callback
            "plan.option.unknown",  # agent.thne
            "plan.option.unknown",  # wipe.diks
            "plan.option.task",  # nope
            "plan.cmdline.bytes",
            "plan.config.value",
            "plan.then.reboot",
            "plan.policy.serial",
        ]
    )


def test_empty_values_are_unset(make: Make) -> None:
    """What a template renders for absent parameters leaves the defaults."""
    plan = make("SPEEDISO=wipe liveagent.wipe.disks= liveagent.wipe.passes= liveagent.then= liveagent.callback=")
    assert codes(plan) == []
    assert (plan.steps[0].options.disks, plan.steps[0].options.passes) == (("all",), 1)
    assert (plan.settings.then, plan.settings.callbacks) == ("stay", {})


def test_options_of_tasks_that_are_not_asked_for(make: Make) -> None:
    """A file may hold the options of every task there is; those of a task that is not there are a misspelling."""
    assert codes(make("SPEEDISO=look", "[wipe]\npasses = 3\n")) == []
    plan = make("SPEEDISO=look", "[lok]\nparts = a\n")
    assert codes(plan) == ["plan.option.task"] and "did you mean look?" in plan.faults[0].message


# -- what keeps a boot from doing harm --------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "length", "faults"),
    [
        ("wipe", 2046, []),
        ("wipe", 2047, ["plan.cmdline.cut"]),
        ("wipe", 4095, ["plan.cmdline.cut"]),
        ("look,wipe", 2047, ["plan.cmdline.cut"]),
        ("look", 2047, []),
    ],
)
def test_a_cmdline_that_may_be_cut(make: Make, word: str, length: int, faults: list[str]) -> None:
    """Where the kernel may have dropped `liveagent.wipe.disks=`, nothing destructive runs."""
    assert codes(make(f"SPEEDISO={word} ".encode().ljust(length, b"x"))) == faults


@pytest.mark.parametrize("source", ["environment", "document"])
def test_a_cut_cmdline_counts_whoever_gave_the_word(make: Make, source: str) -> None:
    """The options on the cmdline may be cut even where the word came another way."""
    line = b"ro ".ljust(2047, b"x")
    if source == "environment":
        plan = make(line, environment={"SPEEDISO": "wipe"})
    else:
        plan = make(line, document=sign({"speediso": "wipe"}))
    assert codes(plan) == ["plan.cmdline.cut"]


@pytest.mark.parametrize(
    ("line", "at_boot", "faults"),
    [
        ("SPEEDISO=wipe liveagent.then=reboot " + RECEIVER, True, ["plan.then.reboot"]),
        ("SPEEDISO=wipe,look liveagent.then=reboot " + RECEIVER, True, ["plan.then.reboot"]),
        ("SPEEDISO=wipe liveagent.then=reboot " + RECEIVER, False, []),
        ("SPEEDISO=look liveagent.then=reboot", True, []),
        ("SPEEDISO=wipe liveagent.then=poweroff", True, ["plan.then.poweroff"]),
        ("SPEEDISO=wipe liveagent.then=poweroff", False, ["plan.then.poweroff"]),
        ("SPEEDISO=wipe liveagent.then=poweroff " + RECEIVER, True, []),
        ("SPEEDISO=wipe liveagent.then=poweroff liveagent.callback.dc=http://a/", True, []),
        ("SPEEDISO=look liveagent.then=poweroff", True, []),
        ("SPEEDISO=wipe liveagent.then=stay", True, []),
    ],
)
def test_what_may_follow_a_wipe(make: Make, line: str, at_boot: bool, faults: list[str]) -> None:
    """A reboot would wipe again, and a poweroff without a receiver would lose the evidence."""
    plan = make(line, at_boot=at_boot)
    assert codes(plan) == faults
    assert all(fault.origin == "kernel cmdline" for fault in plan.faults)


SERIAL = "liveagent.expect_serial=S1"


@pytest.mark.parametrize(
    ("policy", "line", "document", "at_boot", "faults"),
    [
        ("any", "SPEEDISO=wipe", None, True, []),
        ("serial", "SPEEDISO=wipe", None, True, ["plan.policy.serial"]),
        ("serial", "SPEEDISO=wipe liveagent.expect_serial=", None, True, ["plan.policy.serial"]),
        ("serial", f"SPEEDISO=wipe {SERIAL}", None, True, []),
        ("serial", "SPEEDISO=wipe", sign({"agent": {"expect_serial": "S1"}}, ""), True, []),
        ("serial", "SPEEDISO=wipe", None, False, []),
        ("serial", "SPEEDISO=look", None, True, []),
        ("signed", "SPEEDISO=wipe", None, True, ["plan.policy.signed"]),
        ("signed", f"SPEEDISO=wipe {SERIAL}", sign({}, ""), True, ["plan.policy.signed"]),
        ("signed", "SPEEDISO=wipe", sign({}), True, []),
        ("signed", "ro", sign({"speediso": "wipe"}), True, []),
        ("signed", "SPEEDISO=wipe", None, False, []),
        ("signed", "SPEEDISO=look", None, True, []),
        ("never", f"SPEEDISO=wipe {SERIAL}", sign({}), True, ["plan.policy.never"]),
        ("never", "SPEEDISO=wipe", None, False, ["plan.policy.never"]),
        ("never", "SPEEDISO=look", None, True, []),
    ],
)
def test_the_policy_of_etc(
    make: Make, policy: str, line: str, document: Document | None, at_boot: bool, faults: list[str]
) -> None:
    """`serial` and `signed` ask more of a destructive boot, `never` forbids it by hand as well."""
    plan = make(line, f"[agent]\ndestructive = {policy}\n", document=document, at_boot=at_boot)
    assert codes(plan) == faults


@pytest.mark.parametrize(
    ("etc", "config", "fault"),
    [
        ("never", "any", "plan.policy.never"),
        ("any", "never", "plan.policy.never"),
        ("signed", "serial", "plan.policy.signed"),
        ("serial", "any", "plan.policy.serial"),
    ],
)
def test_the_stricter_of_etc_and_config_counts(make: Make, etc: str, config: str, fault: str) -> None:
    """A file given with --config cannot allow what /etc/liveagent forbids."""
    plan = make("SPEEDISO=wipe", f"[agent]\ndestructive = {etc}\n", f"[agent]\ndestructive = {config}\n")
    assert codes(plan) == [fault]


def test_a_broken_etc_stops_a_boot_that_was_given_another_file(make: Make) -> None:
    """What /etc forbids is not known where it cannot be read."""
    assert codes(make("SPEEDISO=wipe", "destructive = never\n", "[agent]\nsite = a\n")) == ["plan.file.syntax"]


@pytest.mark.parametrize("key", ["then=stay", "callback=http://b/", "wipe.disks=all"])
def test_a_locked_key_lets_nothing_run(make: Make, key: str) -> None:
    """A boot that says otherwise than /etc locked is not run with half of what it said."""
    conf = "[agent]\nlocked = then, callback, wipe.disks\nthen = poweroff\ncallback = http://a/\n[wipe]\ndisks = sda\n"
    plan = make(f"SPEEDISO=wipe liveagent.{key}", conf)
    assert codes(plan) == ["plan.option.locked"]
    assert (plan.settings.then, plan.settings.callback) == ("poweroff", ("http://a/",))
    assert plan.steps[0].options.disks == ("sda",)


def test_a_document_over_plain_http_asks_for_nothing(make: Make) -> None:
    """An unverified word is a fault and no step."""
    plan = make("ro", document=sign({"speediso": "wipe"}, ""))
    assert codes(plan) == ["plan.config.unverified"] and not plan.steps


# -- how it is shown --------------------------------------------------------------------------------


def test_a_plan_as_json(make: Make) -> None:
    """`plan --json` and the first event: tasks with their options, faults, what follows."""
    plan = make("SPEEDISO=look,wpie liveagent.look.parts=a,b")
    document = json.loads(json.dumps(plan.encode()))
    assert document["speediso"] == "look,wpie" and document["then"] == "stay"
    assert document["tasks"] == [{"task": "look", "options": {"parts": ["a", "b"], "times": 1, "depth": "quick"}}]
    (fault,) = document["faults"]
    assert Fault(**fault) == plan.faults[0]


def test_no_secret_is_in_it(make: Make) -> None:
    """Options that are secret, tokens of URLs and values of secret keys do not leave with the plan."""
    plan = make(
        "SPEEDISO=look liveagent.look.pin=hunter2 liveagent.callback_secret=hunter2 liveagent.callback_token=hunter2 "
        "liveagent.config=boot/cfg?token=hunter2 liveagent.callback=me:hunter2@h/ liveagent.callback.b=h/?k=hunter2",
        "[agent]\norder = 1\nhunter2\n",
        document=Document({"agent": {"callback_secret": "hunter2"}}, "config http://h/cfg"),
    )
    assert "hunter2" not in json.dumps(plan.encode())
    assert "hunter2" not in "".join(map(str, plan.faults))
    assert len(plan.notices) == 2 and plan.settings.callback_secret == "hunter2"
