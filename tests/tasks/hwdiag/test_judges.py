"""Expectations, policies and other inventories as a run has them: by path and over real sockets, whatever comes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from liveagent.command.run import Given, make_order
from liveagent.events import Finding, Verdict
from liveagent.host import Cancelled, Host
from liveagent.machine import probe_machine
from liveagent.options import BadValue
from liveagent.tasks import Context, Outcome, Registry
from liveagent.tasks.hwdiag import source, work
from liveagent.tasks.hwdiag.codes import CODES, LIMITS
from liveagent.tasks.hwdiag.expectation import parse_expectation
from liveagent.tasks.hwdiag.inventories import FILE, SIZE_LIMIT
from liveagent.tasks.hwdiag.options import HwdiagOptions, parse_source
from liveagent.tasks.hwdiag.ordered import render_expectation
from liveagent.tasks.hwdiag.policy import parse_policy
from tests.conftest import REPOSITORY
from tests.tasks.hwdiag.servers import FORM, change
from tests.test_document import Server, answer, drop

RECORDED = Path(__file__).parents[2] / "machines" / "lab-pxe"


class Run:
    """A diagnosis of what was recorded of a machine's files; its directory is that of a run among others."""

    def __init__(self, place: Path) -> None:
        self.host = Host(str(RECORDED))
        self.machine = probe_machine(self.host)
        self.runs = place / "runs"
        self.said: list[str] = []
        self.number = 0
        self.judges = work.JUDGES

    def __call__(self, **options: str) -> tuple[Outcome, list[Finding]]:
        self.number += 1
        directory = self.runs / f"2026010{self.number}T000000Z-000000"
        directory.mkdir(parents=True)
        context = Context(self.host, self.machine, "hwdiag", self._emit, directory=directory)
        return work.run(context, HwdiagOptions(**options), self.judges), context.findings

    def _emit(self, type: object, data: Mapping[str, Any], subject: str = "") -> None:
        self.said += [str(data["line"])] if "line" in data else []

    @property
    def document(self) -> dict[str, Any]:
        """The inventory of the last run."""
        found: dict[str, Any] = json.loads(max(self.runs.glob(f"*/{FILE}")).read_text())
        return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def find(findings: list[Finding], code: str) -> list[Finding]:
    return [finding for finding in findings if finding.code == code]


# -- expectations -----------------------------------------------------------------------------------


def test_a_machine_is_what_its_own_expectation_says(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "good.yaml").write_text(render_expectation(run.document))
    outcome, findings = run(expect=str(tmp_path / "good.yaml"))
    assert not [finding for finding in findings if finding.code.startswith(("expect.", "hwdiag.expect"))]
    assert outcome.data["differences"] == [] and outcome.data["expectation"]["held"] > 2
    text = (tmp_path / "good.yaml").read_text()
    assert not [disk["serial"] for disk in run.document["disks"] if disk["serial"] and disk["serial"] in text]


def test_an_expectation_over_http(run: Run, server: Server) -> None:
    server.pages["/order"] = [answer("identity.product: Another Lab\ndisks: {count: 1}")]
    outcome, findings = run(expect=f"{server.url}/order?token=hunter2")
    [found] = find(findings, "expect.differs")
    assert (found.verdict, found.measured["ordered"]) == (Verdict.FAIL, "Another Lab")
    assert outcome.verdict is Verdict.FAIL
    assert [row["verdict"] for row in outcome.data["differences"]] == ["fail", "warn"]
    assert any("identity.product" in line for line in run.said)
    assert "hunter2" not in json.dumps([finding.encode() for finding in findings]) + json.dumps(outcome.data)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (answer("<!DOCTYPE html><html>log in</html>"), "is HTML or XML"),
        (answer("gone", 404), "answered HTTP 404"),
        (answer("no", 403), "answered HTTP 403"),
        (answer(""), "is empty"),
        (answer(b"a: \xff"), "is not UTF-8"),
        (answer(" " * (source.SIZE_LIMIT + 1)), "is larger than"),
        (answer("a: &a [x]\nb: [*a, *a]"), "an alias"),
        (answer("cpu.sockets: [unclosed"), "is not YAML"),
        (drop, "could not be had within 0 s: no answer"),
    ],
)
def test_a_bad_expectation_is_an_error_and_the_rest_goes_on(
    run: Run, server: Server, page: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "WAIT", 0.0)
    server.pages["/order"] = [page]
    outcome, findings = run(expect=f"{server.url}/order")
    [found] = find(findings, "hwdiag.expect")
    assert found.verdict is Verdict.ERROR and said in found.summary and found.part == f"{server.url}/order"
    assert outcome.verdict is Verdict.ERROR and outcome.data["inventory"]["disks"]
    assert "differences" not in outcome.data


def test_every_fault_of_an_expectation_is_a_finding(run: Run, tmp_path: Path) -> None:
    (tmp_path / "order").write_text("identity.prodcut: X\ndisks: [{cuont: 2}]\n")
    _, findings = run(expect=str(tmp_path / "order"))
    assert len(find(findings, "hwdiag.expect")) == 2


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_path_that_is_no_file(run: Run, tmp_path: Path, name: str) -> None:
    _, findings = run(expect=str(tmp_path / name), policy=str(tmp_path / name))
    assert [find(findings, code)[0].verdict for code in ("hwdiag.expect", "hwdiag.policy")] == [Verdict.ERROR] * 2


def test_a_url_that_is_none_is_a_fault_of_the_plan() -> None:
    assert parse_source("orders/r650.yaml") == "orders/r650.yaml"
    for word in ("ftp://host/order", "http://", "https://host/a b"):
        with pytest.raises(BadValue):
            parse_source(word)


def test_a_path_is_meant_from_where_it_was_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The service, which may be given the order, works in another directory."""
    monkeypatch.chdir(tmp_path)
    words = ("--expect", "orders/r650.yaml", "--policy", "https://host/policy", "--compare=.", "--selftest", "none")
    order, faults = make_order(Given("hwdiag", False, words, "", ""), Registry(Host()))
    assert not faults and order.settings["hwdiag"] == {
        "expect": f"{tmp_path}/orders/r650.yaml",
        "policy": "https://host/policy",
        "compare": str(tmp_path),
        "selftest": "none",
    }


def test_a_cancelled_run_does_not_wait_for_a_server(run: Run, server: Server) -> None:
    server.pages["/order"] = [server.drip]
    threading.Timer(0.3, run.host.cancel.set).start()
    with pytest.raises(Cancelled):
        run(policy=f"{server.url}/order")


# -- policies ---------------------------------------------------------------------------------------


def test_a_policy_sets_verdicts_of_checks_and_comparisons(run: Run, tmp_path: Path) -> None:
    (tmp_path / "order").write_text("identity.product: X\ndisks: {count: 1}")
    (tmp_path / "policy").write_text("verdicts: {expect.differs: warn, expect.extra: skipped}\nrequired: []\n")
    outcome, findings = run(expect=str(tmp_path / "order"), policy=str(tmp_path / "policy"))
    assert [finding.verdict for finding in find(findings, "expect.differs")] == [Verdict.WARN]
    assert not find(findings, "expect.extra") and outcome.verdict is Verdict.WARN


def test_the_examples_of_the_documentation() -> None:
    """Somebody begins with a copy of them."""
    text = (REPOSITORY / "docs" / "hwdiag.md").read_text()
    order, policy = (source.parse_document(body.encode()) for body in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    assert len(parse_expectation(order, FORM).nodes) == 10
    assert parse_policy(policy, [limit.name for limit in LIMITS], [code.code for code in CODES]).special
    rooms = "hwdiag|expect|compare|infiniband|bond|usb|pci.errors|cpu.node|gpu"
    named = set(re.findall(rf"`((?:{rooms})\.[a-z_]+(?:\.[a-z]+)*)`", text))
    assert named <= {code.code for code in CODES} | {limit.name for limit in LIMITS}


def test_a_bad_policy_is_never_a_pass(run: Run, tmp_path: Path) -> None:
    """Its thresholds were not applied: what the defaults let through is shown, and the run is an error."""
    (tmp_path / "policy").write_text("limits: {compare.sibling: 3}\nverdicts: {expect.difers: warn}\nrequired: []")
    outcome, findings = run(policy=str(tmp_path / "policy"))
    said = [finding.summary for finding in find(findings, "hwdiag.policy")]
    assert len(said) == 2 and "did you mean compare.siblings?" in said[0] and "expect.differs?" in said[1]
    assert outcome.verdict is Verdict.ERROR and outcome.data["inventory"]["disks"]


# -- inventories ------------------------------------------------------------------------------------


def make_copies(document: dict[str, Any], number: int) -> list[dict[str, Any]]:
    copies = [change(document, "identity.serial", f"COPY{index}") for index in range(number)]
    return [change(copy, "identity.uuid", None) for copy in copies]


def test_siblings_in_a_directory(run: Run, tmp_path: Path) -> None:
    run()
    place = tmp_path / "fleet"
    (place / "run").mkdir(parents=True)
    one, other, third = make_copies(change(run.document, "disks", run.document["disks"][:-1]), 3)
    (place / "one.json").write_text(json.dumps(one))
    (place / "run" / "result.json").write_text(json.dumps({"tasks": [{"data": {"inventory": other}}]}))
    (place / "list.json").write_text(json.dumps([third, 5]))
    (place / "page.json").write_text("<html>")
    (place / "foreign.json").write_text('{"lshw": true}')
    (place / "form.json").write_text(json.dumps({**one, "form": 99}))
    (place / "large.json").write_bytes(b" " * (SIZE_LIMIT + 1))
    outcome, findings = run(compare=str(place))
    [more] = find(findings, "compare.sibling.more")
    assert "3 of 4 have" in more.summary and outcome.data["compared"]["siblings"] == 3
    [passed] = find(findings, "compare.passed_over")
    said = "\n".join(passed.measured["passed_over"])
    for part in (
        "page.json: is HTML",
        "foreign.json: is no inv",
        "list.json [1]: is no",
        "another form",
        "larger than",
    ):
        assert part in said
    assert passed.verdict is Verdict.PASS


def test_siblings_at_a_url(run: Run, server: Server) -> None:
    """A list of inventories, or of where they are."""
    run()
    one, other = make_copies(change(run.document, "identity.vendor", run.document["identity"]["vendor"]), 2)
    server.pages["/all"] = [answer([one, "one.json", f"{server.url}/gone.json", "file:///etc/passwd"])]
    server.pages["/one.json"] = [answer(other)]
    outcome, findings = run(compare=f"{server.url}/all")
    assert outcome.data["compared"]["siblings"] == 2 and not find(findings, "hwdiag.compare")
    [passed] = find(findings, "compare.passed_over")
    said = passed.measured["passed_over"]
    assert len(said) == 2 and "HTTP 404" in said[0] and "not a URL" in said[1]


@pytest.mark.parametrize("page", [answer("<html>"), answer([]), answer({}), answer("no", 404), answer("a: 1")])
def test_no_inventory_at_a_url(run: Run, server: Server, page: Any) -> None:
    server.pages["/all"] = [page]
    outcome, findings = run(compare=f"{server.url}/all")
    assert len(find(findings, "hwdiag.compare")) == 1 and outcome.verdict is Verdict.ERROR


def test_an_empty_directory_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "nowhere"):
        _, findings = run(compare=str(tmp_path / name))
        assert len(find(findings, "hwdiag.compare")) == 1


def test_too_few_like_machines_are_a_remark(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "fleet.json").write_text(json.dumps(make_copies(run.document, 1)))
    _, findings = run(compare=str(tmp_path / "fleet.json"))
    [few] = find(findings, "compare.few")
    assert few.verdict is Verdict.PASS and "only 1 of 1" in few.summary


def test_a_run_is_compared_with_the_one_before(run: Run) -> None:
    """Without anything being asked for: the last inventory lies in the state directory."""
    first, _ = run()
    assert first.data["compared"]["before"] is None
    before = run.document
    path = max(run.runs.glob(f"*/{FILE}"))
    path.write_text(json.dumps({**before, "taken": "2026-01-01", "disks": before["disks"][:-1]}))
    (run.runs / "20260109T000000Z-000000").mkdir()
    (run.runs / "20260109T000000Z-000000" / FILE).write_text("{broken")
    outcome, findings = run()
    assert outcome.data["compared"]["before"]["taken"] == "2026-01-01"
    assert find(findings, "compare.passed_over")
    assert find(findings, "compare.earlier.new")


def test_a_judge_that_fails_costs_the_others_nothing(run: Run) -> None:
    def fail(case: object) -> Any:
        raise KeyError("nobody thought of it")

    run.judges = (fail, *work.JUDGES)
    outcome, findings = run()
    assert find(findings, "hwdiag.check") and "compared" in outcome.data and outcome.verdict is Verdict.ERROR
