"""The reader of smartctl's JSON: what a page is, what its exit status means, and that nothing in it raises."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveagent.machine.device import Answer, Device, add_page, make_hidden
from liveagent.machine.encoding import encode_fields
from liveagent.machine.hidden import Target
from liveagent.machine.smartctl import BadPage, Page, describe_status, parse_page

TARGET = Target("/dev/bus/0", "megaraid,0", "0000:01:00.0")


def read_devices(corpus: Path) -> dict[str, Device]:
    """Every page of the corpus in which a drive was asked, as the drive that comes of it."""
    found = {}
    for file in sorted((corpus / "smartctl").iterdir()):
        try:
            page = parse_page(file.read_text(encoding="utf-8", errors="replace"))
        except BadPage:
            continue
        if page.was_asked:
            found[file.name] = add_page(make_hidden(TARGET, page), page)
    return found


@pytest.mark.corpus
def test_every_file_of_the_corpus(corpus: Path) -> None:
    """What is no JSON of smartctl is refused with a reason; of the rest each is asked, or says why not."""
    outcomes: Counter[str] = Counter()
    for file in sorted((corpus / "smartctl").iterdir()):
        try:
            page = parse_page(file.read_text(encoding="utf-8", errors="replace"))
            outcomes["asked" if page.was_asked else "not asked"] += 1
        except BadPage as error:
            outcomes["bad" if file.suffix == ".json" else "text"] += 1
            assert str(error), file.name
    assert outcomes == {"asked": 150, "not asked": 4, "bad": 2, "text": 63}


@pytest.mark.corpus
def test_numbers_are_ones_that_a_drive_can_have(corpus: Path) -> None:
    """No negative count, no 2^64-1, no temperature of 255 °C, in none of some 150 drives."""
    devices = read_devices(corpus)
    assert len(devices) == 150
    for name, device in devices.items():
        for path, value in walk(encode_fields(device)):
            if isinstance(value, int) and not isinstance(value, bool):
                assert -60 <= value < 1 << 63, (name, path)
                if "temperature" in path or "sensors" in path:
                    assert value <= 126, (name, path)
        assert device.size is None or 10**7 < device.size < 10**14, name
        assert device.rotation in (None, 0) or 5400 <= device.rotation <= 15015, name
        assert device.link is None or device.link.speed in (None, 15 * 10**8, 3 * 10**9, 6 * 10**9), name
        assert not device.self_tests or all(
            0 < seconds < 3 * 86400
            for seconds in (device.self_tests.short, device.self_tests.long)
            if seconds is not None
        ), name


def walk(value: Any, path: str = "") -> Any:
    """All leaves of a document with where they are; counts of bytes may be large, and are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from walk(item, f"{path}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, path)
    else:
        yield path, value


@pytest.mark.corpus
def test_what_drives_of_the_corpus_are(corpus: Path) -> None:
    """Counts over the whole folder, so that a reader that loses a kind of drive is found out."""
    devices = read_devices(corpus)
    assert Counter(device.kind for device in devices.values()) == {
        "hdd": 60, "nvme": 44, "ssd": 33, "scsi": 9, "sata": 3, "sas": 1
    }  # fmt: skip
    assert Counter(device.answer for device in devices.values()) == {Answer.GIVEN: 138, Answer.NONE: 12}
    attributes = [one for device in devices.values() if device.ata for one in device.ata.attributes]
    assert len(attributes) == 1925
    # Two counts of bad blocks in one attribute, which no number stands for.
    assert [one.raw_text for one in attributes if one.raw is None] == ["0/6", "1/1162"]


@pytest.mark.parametrize(
    ("status", "was_asked"),
    [(0, True), (1, False), (2, False), (3, False), (4, True), (8, True), (64, True), (216, True), (None, True)],
)
def test_which_bits_mean_not_asked(status: int | None, was_asked: bool) -> None:
    """A command line that was not understood and a device that was not opened; all else is an answer."""
    assert Page({"smartctl": {"exit_status": status}}).was_asked is was_asked


def test_bits_in_words() -> None:
    """Each of the eight has words, and several are told apart."""
    assert len(describe_status(255)) == len(set(describe_status(255))) == 8
    assert describe_status(0b11000) == (
        "the drive says that it is failing",
        "a prefail attribute is at or below its threshold",
    )
    assert describe_status(0) == ()


@pytest.mark.parametrize(
    "text",
    ["", " \n", "<html>", "{", "[]", "null", "3", '{"smartctl": []}', '{"device": {}}', "[" * 100_000, "{}{}"],
    ids=lambda text: text[:10],
)
def test_what_is_no_page(text: str) -> None:
    """Garbage is refused with a reason, and never read as a drive that has nothing to say."""
    with pytest.raises(BadPage, match="."):
        parse_page(text)


@pytest.mark.parametrize("value", [-1, 1 << 64, (1 << 64) - 1, True, "5", 1.5, None, [], {}])
def test_what_is_no_count(value: Any) -> None:
    """2^64-1 is what a broken page has for none."""
    assert Page({"a": {"b": value}}).number("a", "b") is None


def test_rows_that_are_numbered_in_their_names() -> None:
    """By number and not by spelling; anything that only looks like one is left out."""
    page = Page({"r_10": {"n": 10}, "r_2": {"n": 2}, "r_x": {"n": 0}, "r_3": 7, "r_²": {}, "r_" + "9" * 5000: {}})
    assert [row["n"] for row in page.numbered("r_")] == [2, 10]


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def spoil(value: Any, draw: st.DrawFn) -> Any:
    """A document with one place of it put out of shape."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: spoil(value[key], draw)}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], spoil(value[place], draw), *value[place + 1 :]]
    return draw(JUNK)


@pytest.mark.corpus
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_page_out_of_shape_raises_nothing(corpus: Path, data: st.DataObject) -> None:
    """Whatever stands where a number or a list ought to: the rest of the page is read, and it can be encoded."""
    names = (
        "scrutiny-smart-fail2.json", "telegraf-scsi-extended.json", "telegraf-nvme.json", "vm-smartctl-ata-x.json",
        "exporter-seagate-st373453lc-26.json",
    )  # fmt: skip
    document = json.loads((corpus / "smartctl" / data.draw(st.sampled_from(names))).read_text())
    page = Page(spoil_several(document, data))
    json.dumps(encode_fields(add_page(make_hidden(TARGET, page), page)))


def spoil_several(document: dict[str, Any], data: st.DataObject) -> dict[str, Any]:
    for _ in range(data.draw(st.integers(1, 4))):
        key = data.draw(st.sampled_from(sorted(document)))
        document = {**document, key: spoil(document[key], data.draw)}
    return document
