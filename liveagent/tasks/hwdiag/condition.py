"""One condition of an expectation: what was ordered of one value, in the words of a person."""

from __future__ import annotations

import dataclasses
import fractions
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable

from liveagent.events import JSON
from liveagent.machine.form import Form
from liveagent.options import BadValue, parse_flag, suggest
from liveagent.tasks.hwdiag.quantity import (
    SIZE,
    BadQuantity,
    Quantity,
    find_field_unit,
    is_number,
    parse_quantity,
    render_number,
)
from liveagent.tasks.hwdiag.versions import compare_versions

# A size with a unit means that to a hundredth: drives have a little more than their names say (IDEMA LBA1-03: 3.84 TB
# are 3,840,755,982,336 bytes), and no two sizes that are sold lie so near to each other.
SIZE_TOLERANCE = fractions.Fraction(1, 100)
LONGEST_PATTERN = 200

ORDER: Mapping[str, Callable[[JSON, JSON], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_OPERATOR = re.compile(r"(>=|<=|!=|>|<|=)\s*(.*)", re.DOTALL)
_RANGE = re.compile(r"(.*?)\s*\.\.\s*(.*)")
_VERSIONS = re.compile(r"(\d\S*?)\s*\.\.\s*(\d\S*)")
_TOLERANCE = re.compile(r"(.*?)\s*(?:±|\+/?-)\s*(.*)")
_DECIMAL = re.compile(r"([kmgtp])b", re.IGNORECASE)
_REGEX = re.compile(r"/(.*)/(i?)", re.DOTALL)
NUMERIC = frozenset(("integer", "number"))


class BadCondition(ValueError):
    """What is no condition of the value it is meant for; the message says what is expected."""


@dataclasses.dataclass(frozen=True)
class Condition:
    """`text` is what was ordered, as it was written. `holds`: whether a value is that; None where it cannot be told.

    `unit`: how a number is shown beside it, so that a person can compare the two. `twin`: what a person may have meant,
    where a size is written in decimal units: memory is sold by the "GB", and counted in GiB.
    """

    text: str
    holds: Callable[[JSON], bool | None]
    unit: str = ""
    per_unit: float = 1
    twin: Condition | None = None

    def render(self, value: JSON) -> str:
        """A value that was found, in the units of what was ordered."""
        return render_number(value * self.per_unit, self.unit) if is_number(value) else render_value(value)

    def hint(self, value: JSON) -> str:
        """What to write where a value only fails for its unit; "" for any other."""
        return f" (it is {self.twin.text})" if self.twin and self.twin.holds(value) else ""


def render_value(value: JSON) -> str:
    """A value of the inventory in words."""
    if value is None or value == "":
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(render_value(item) for item in value) or "none"
    return str(value)


def parse_condition(ordered: JSON, form: Form, path: str) -> Condition:
    """A condition of the value at a path, of this form. Raises BadCondition."""
    if isinstance(ordered, list):
        return _parse_choice(ordered, form, path)
    if isinstance(ordered, dict):
        raise BadCondition("a value is expected, and not a mapping")
    kinds = form.kinds
    if isinstance(ordered, bool):
        if kinds and "boolean" not in kinds:
            raise BadCondition(f"{render_value(ordered)} is expected in quotes: YAML makes yes, no, on and off of it")
        return Condition(render_value(ordered), lambda value: value is ordered)
    if isinstance(ordered, (int, float)):
        if kinds and not kinds & NUMERIC:
            raise BadCondition(f"{ordered} is a number, and what is found here is text: put it into quotes")
        return Condition(str(ordered), lambda value: is_number(value) and _are_equal(value, ordered))
    return _parse_text(str(ordered), form, path)


def _parse_choice(ordered: Sequence[JSON], form: Form, path: str) -> Condition:
    if not ordered:
        raise BadCondition("a list of nothing: null says that it must not be there")
    if any(word is None for word in ordered):
        raise BadCondition("null cannot be one of several")
    parts = [parse_condition(word, form, path) for word in ordered]

    def holds(value: JSON) -> bool | None:
        found = [part.holds(value) for part in parts]
        return True if True in found else None if None in found else False

    text = f"one of {', '.join(part.text for part in parts)}"
    units = [part for part in parts if part.unit]
    return Condition(text, holds, *((units[0].unit, units[0].per_unit) if units else ()))


def _parse_text(text: str, form: Form, path: str) -> Condition:
    word = text.strip()
    if not word:
        raise BadCondition("nothing is ordered: null says that it must not be there")
    match = _OPERATOR.fullmatch(word)
    sign, rest = (match.group(1), match.group(2)) if match else ("", word)
    if match and not rest:
        raise BadCondition(f"{sign} of what?")
    if sign == "!=":
        return _negate(parse_condition(rest, form, path))
    kinds = form.kinds
    if word == "*":
        return Condition(word, lambda value: True)
    if kinds == {"boolean"}:
        return _parse_flag(word)
    is_numeric = kinds and kinds <= NUMERIC
    if is_numeric or (_starts_as_number(rest) and (not kinds or kinds & NUMERIC)):
        return _parse_numeric(word, sign, rest, path)
    if kinds and "string" not in kinds:
        raise BadCondition(f"{word!r} is a value, and what is found here is made of several")
    if sign in ORDER:
        return _parse_version_order(word, sign, rest)
    if sign == "=":
        return _parse_literal(rest, form.words)
    return _parse_wording(word, form.words)


def _negate(condition: Condition) -> Condition:
    def holds(value: JSON) -> bool | None:
        found = condition.holds(value)
        return None if found is None else not found

    return dataclasses.replace(condition, text=f"!= {condition.text}", holds=holds)


def _parse_flag(word: str) -> Condition:
    try:
        wanted = parse_flag(word)
    except BadValue as error:
        raise BadCondition(str(error)) from None
    return Condition(render_value(wanted), lambda value: value is wanted)


# -- numbers ----------------------------------------------------------------------------------------


def _parse_numeric(word: str, sign: str, rest: str, path: str) -> Condition:
    scale = _Scale(path)
    if sign in ORDER:
        bound, compare = scale.parse(rest), ORDER[sign]
        return scale.condition(word, bound, lambda value: compare(value, bound.number))
    match = _RANGE.fullmatch(rest)
    if match:
        # `16..32 GiB`: the unit of the second stands for both.
        high = scale.parse(match.group(2))
        low = scale.parse(match.group(1), high.unit)
        if low.number > high.number:
            raise BadCondition(f"{word!r} ends before it begins")
        return scale.condition(word, high, lambda value: low.number <= value <= high.number)
    match = _TOLERANCE.fullmatch(rest)
    wanted = scale.parse(match.group(1) if match else rest)
    margin = _parse_margin(match.group(2), wanted, scale) if match else _default_margin(wanted)
    made = scale.condition(word, wanted, lambda value: _is_near(value, wanted.number, margin))
    binary = _DECIMAL.fullmatch(wanted.unit)
    if wanted.measures != SIZE or not binary:
        return made
    other = f"{binary.group(1).upper()}iB"
    twin = _parse_numeric(word.replace(wanted.unit, other), sign, rest.replace(wanted.unit, other), path)
    return dataclasses.replace(made, twin=twin)


def _parse_margin(text: str, wanted: Quantity, scale: _Scale) -> fractions.Fraction:
    margin = scale.parse(text, "" if text.endswith("%") else wanted.unit)
    return abs(wanted.number) * margin.number / 100 if margin.measures == "share" else margin.number


def _default_margin(wanted: Quantity) -> fractions.Fraction:
    return wanted.number * SIZE_TOLERANCE if wanted.measures == SIZE and wanted.unit.lower() != "b" else _EXACT


_EXACT = fractions.Fraction(0)


@dataclasses.dataclass(frozen=True)
class _Scale:
    """What the numbers of a field are counted in: base units, unless its name says otherwise."""

    path: str

    def parse(self, text: str, unit: str = "") -> Quantity:
        """A quantity in the field's own unit."""
        measures, factor = find_field_unit(self.path)
        try:
            found = parse_quantity(text, unit)
        except BadQuantity as error:
            raise BadCondition(str(error)) from None
        if not measures or not found.measures or found.measures == "share":
            return found
        if found.measures != measures:
            raise BadCondition(f"{text.strip()!r} is no {measures}, which this is")
        return dataclasses.replace(found, number=found.number / factor)

    def condition(self, word: str, bound: Quantity, holds: Callable[[JSON], bool]) -> Condition:
        _, factor = find_field_unit(self.path)
        return Condition(
            word,
            lambda value: is_number(value) and holds(value),
            bound.unit,
            float(factor) if bound.measures else 1,
        )


def _are_equal(value: float, wanted: float) -> bool:
    return _is_near(value, wanted, _EXACT)


def _is_near(value: float, wanted: float | fractions.Fraction, margin: fractions.Fraction) -> bool:
    distance = abs(fractions.Fraction(value) - fractions.Fraction(wanted))
    # A float is seldom exactly what is written: 0.1 is not.
    return distance <= margin or (isinstance(value, float) and distance <= abs(fractions.Fraction(wanted)) / 10**9)


def _starts_as_number(text: str) -> bool:
    return bool(re.match(r"[+-]?\d", text))


# -- texts ------------------------------------------------------------------------------------------


def _parse_version_order(word: str, sign: str, rest: str) -> Condition:
    """Texts are compared in order as versions of firmware are."""
    compare = ORDER[sign]

    def holds(value: JSON) -> bool | None:
        found = compare_versions(str(value), rest)
        return None if found is None else compare(found, 0)

    return Condition(word, holds)


def _parse_wording(word: str, words: Sequence[str]) -> Condition:
    match = _REGEX.fullmatch(word)
    if match:
        return _parse_regex(word, match.group(1), match.group(2))
    match = _VERSIONS.fullmatch(word)
    if match:
        ends = [_parse_version_order(word, sign, end) for sign, end in zip((">=", "<="), match.groups())]
        return Condition(word, lambda value: _all(end.holds(value) for end in ends))
    if "*" in word or "?" in word:
        pattern = re.compile("".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in _fold(word)), re.DOTALL)
        return Condition(word, lambda value: bool(pattern.fullmatch(_fold(str(value)))))
    return _parse_literal(word, words)


def _parse_literal(word: str, words: Sequence[str]) -> Condition:
    plain = _fold(word)
    known = [_fold(known) for known in words]
    if known and plain not in known:
        raise BadCondition(f"{word!r} is none of {', '.join(words)}{suggest(plain, known)}")
    return Condition(word, lambda value: _fold(str(value)) == plain)


def _all(found: Iterable[bool | None]) -> bool | None:
    """Whether all hold: False as soon as one does not, None where one cannot be told."""
    answers = list(found)
    return False if False in answers else None if None in answers else True


def _parse_regex(word: str, pattern: str, flags: str) -> Condition:
    if len(pattern) > LONGEST_PATTERN:
        raise BadCondition(f"a regular expression of more than {LONGEST_PATTERN} characters")
    try:
        compiled = re.compile(pattern, re.IGNORECASE if flags else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise BadCondition(f"{word!r} is not a regular expression: {error}") from None
    return Condition(word, lambda value: bool(compiled.search(str(value))))


def _fold(text: str) -> str:
    """Makers write their names as they like: in any case, with one blank or two."""
    return " ".join(text.casefold().split())


def make_literal(text: str) -> str:
    """The condition that a text is met by, and no other: an operator or a wildcard in it is none."""
    shapes = (_OPERATOR, _REGEX, _VERSIONS)
    is_plain = not any(shape.fullmatch(text) for shape in shapes) and "*" not in text and "?" not in text
    return text if is_plain and text == text.strip() else f"= {text}"
