"""What a script says of itself: the YAML that it leaves at RESULT_PATH, its exit status, and the verdict of both."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from liveagent.events import JSON, Verdict
from liveagent.host import describe
from liveagent.plain_yaml import BadYAML, parse_yaml

# A result is a status and some figures; what is longer is something else.
RESULT_LIMIT = 256 * 1024
STATUS: Mapping[str, Verdict] = {
    "passed": Verdict.PASS,
    "failed": Verdict.FAIL,
    "degraded": Verdict.WARN,
    "timedout": Verdict.FAIL,
    "skipped": Verdict.SKIPPED,
}


class BadResult(ValueError):
    """Something lies at RESULT_PATH that is no result."""


@dataclasses.dataclass(frozen=True)
class Said:
    """A result as it was written; `status` is "" where it says none, and so is all of it where there is none."""

    status: str = ""
    results: Mapping[str, JSON] = dataclasses.field(default_factory=dict)


def read_result(path: Path) -> Said:
    """What a script left there. Raises BadResult."""
    try:
        # The script may have put anything there: a link, a pipe that nobody writes.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return Said()
    except OSError as error:
        raise BadResult(f"it cannot be opened: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise BadResult("it is no file")
        data = os.read(file, RESULT_LIMIT + 1)
    finally:
        os.close(file)
    if len(data) > RESULT_LIMIT:
        raise BadResult(f"it is longer than {RESULT_LIMIT} bytes")
    try:
        return parse_result(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise BadResult("it is not UTF-8") from None


def parse_result(text: str) -> Said:
    """The result of a YAML text; an empty one says nothing. Raises BadResult."""
    try:
        document = parse_yaml(text)
    except BadYAML as error:
        raise BadResult(f"it is no YAML: {error}") from None
    if document is None:
        return Said()
    if not isinstance(document, dict):
        raise BadResult("it is no mapping with `status` and `results`")
    status, results = document.get("status"), document.get("results") or {}
    status = "" if status is None else status
    if status != "" and (not isinstance(status, str) or status not in STATUS):
        # Said whole or not at all: of half a password, or one with its quotes changed, the rest is not known again.
        shown = f" {status}" if re.fullmatch(r"[\w .-]{1,40}", str(status)) else ""
        raise BadResult(f"its status{shown} is none of {', '.join(STATUS)}")
    if not isinstance(results, dict):
        raise BadResult("its `results` are no mapping of names to values")
    for name, value in results.items():
        if any(isinstance(item, (dict, list)) for item in (value if isinstance(value, list) else [value])):
            raise BadResult(f"its result {name} is neither a value nor a list of values")
    return Said(status, results)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """The verdict of one run, in words; `odd` where exit status and result contradict each other."""

    verdict: Verdict
    words: str
    odd: bool = False


def judge(status: int, said: Said) -> Judgement:
    """The result's status counts, else the exit status. Whoever was killed has not passed, whatever it wrote before."""
    if not said.status:
        return Judgement(Verdict.FAIL if status else Verdict.PASS, describe(status))
    words = f"{said.status}, {describe(status)}"
    verdict = STATUS[said.status]
    if status < 0:
        return Judgement(Verdict.FAIL, words, odd=verdict is not Verdict.FAIL)
    return Judgement(verdict, words, odd=status != 0 and verdict is not Verdict.FAIL)


def name_results(declared: Mapping[str, Mapping[str, str]], results: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """Each result with its title and description, in the header's order; those that no header declares come last."""
    names = [*(name for name in declared if name in results), *(name for name in results if name not in declared)]
    return [
        {"name": name, "title": name, "description": "", **declared.get(name, {}), "value": results[name]}
        for name in names
    ]
