"""What became of a machine since its last inventory: what was added, taken, changed, and which counters have grown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from liveagent.events import JSON, Finding, Verdict
from liveagent.tasks.hwdiag.check import Code
from liveagent.tasks.hwdiag.facts import PCI_LINK, PORT_LINK, SINGLE, Field, How, render
from liveagent.tasks.hwdiag.notes import Notes
from liveagent.tasks.hwdiag.parts import Item, dig, list_parts, make_label
from liveagent.tasks.hwdiag.quantity import is_number
from liveagent.tasks.hwdiag.versions import compare_versions

_RULE = "this machine's own last inventory"
GONE = Code("compare.earlier.gone", Verdict.WARN, "a part that was there before is not there any more", _RULE)
LESS = Code("compare.earlier.less", Verdict.WARN, "there is less of it than before, or it is slower", _RULE)
OLDER = Code("compare.earlier.older", Verdict.WARN, "its firmware is older than before", _RULE)
GROWN = Code("compare.earlier.grown", Verdict.WARN, "a counter of errors has grown since", _RULE)
NEW = Code("compare.earlier.new", Verdict.PASS, "a part is there that was not there before", _RULE)
SWAPPED = Code("compare.earlier.swapped", Verdict.PASS, "another part stands in the same place", _RULE)
CHANGED = Code(
    "compare.earlier.changed", Verdict.PASS, "it is set otherwise, or has newer firmware, than before", _RULE
)
CODES = (GONE, LESS, OLDER, GROWN, NEW, SWAPPED, CHANGED)

# Lists whose parts are told apart by `id`, what people call one, and what of it is watched.
WATCHED: Mapping[str, tuple[str, tuple[Field, ...]]] = {
    "cpu.packages": ("CPU", (Field("model", "model"), Field("cores", "cores", How.AMOUNT))),
    "memory.dimms": (
        "DIMM",
        (
            Field("serial", "serial"),
            Field("size", "size", How.AMOUNT),
            Field("configured", "MT/s", How.SPEED),
        ),
    ),
    "disks": (
        "disk",
        (
            Field("firmware", "firmware", How.VERSION),
            Field("slot", "slot"),
            Field("link.speed", "link speed", How.SPEED),
        ),
    ),
    "nics": ("NIC", (Field("firmware", "firmware", How.VERSION), Field("speed_mbit", "Mbit/s", How.SPEED))),
    "infiniband": ("InfiniBand port", (Field("firmware", "firmware", How.VERSION), *PORT_LINK)),
    "pci": ("PCI device", PCI_LINK),
    "gpus": (
        "GPU",
        (
            Field("serial", "serial"),
            Field("uuid", "UUID"),
            Field("model", "model"),
            Field("vbios", "VBIOS", How.VERSION),
            Field("memory", "memory", How.AMOUNT),
        ),
    ),
    "raid": ("RAID controller", (Field("firmware", "firmware", How.VERSION),)),
    "power_supplies": ("power supply", (Field("serial", "serial"),)),
}
# Counters that only ever grow, and what is counted. Those that begin anew with each boot (of PCIe, of ports) are none.
COUNTERS: Mapping[str, tuple[Field, ...]] = {
    "disks": (
        Field("health.reallocated", "reallocated sectors"),
        Field("health.pending", "pending sectors"),
        Field("health.uncorrectable", "uncorrectable sectors"),
        Field("health.reported_uncorrectable", "reported uncorrectable errors"),
        Field("health.crc_errors", "errors of the cable"),
        Field("health.media_errors", "media errors"),
        Field("health.grown_defects", "grown defects"),
    ),
    "gpus": (
        Field("ecc.aggregate.corrected", "corrected errors"),
        Field("ecc.aggregate.uncorrected", "uncorrected errors"),
        Field("remapped.corrected", "rows remapped for corrected errors"),
        Field("remapped.uncorrected", "rows remapped for uncorrected errors"),
        Field("retired.corrected", "pages retired for corrected errors"),
        Field("retired.uncorrected", "pages retired for uncorrected errors"),
    ),
}


def find(document: Mapping[str, JSON], before: Mapping[str, JSON]) -> list[Finding]:
    """What has changed since. Pure. What was not measured at one of the two times is not compared."""
    since = f"since {before.get('taken')}"
    found = [*_compare_single(document, before, since)]
    for path, (noun, fields) in WATCHED.items():
        if Notes(document).is_seen(path) and Notes(before).is_seen(path):
            now, then = (_by_id(path, one) for one in (document, before))
            found += _compare_parts(noun, now, then, since)
            for key in now:
                if key in then:
                    found += _compare_part(noun, fields, COUNTERS.get(path, ()), now[key], then[key], since)
    return found


def _compare_single(document: Mapping[str, JSON], before: Mapping[str, JSON], since: str) -> Iterator[Finding]:
    for field in SINGLE:
        now, then = field.read(document), field.read(before)
        yield from _compare_values(field, "", field.name, now, then, since)


def _compare_parts(noun: str, now: Mapping[str, Item], then: Mapping[str, Item], since: str) -> Iterator[Finding]:
    """Which parts came and went; one that went out of the place where another one is was swapped for it."""
    came = {key: item for key, item in now.items() if key not in then}
    for key, item in then.items():
        if key in now:
            continue
        slot = item.get("slot")
        other = next((key for key, one in came.items() if slot and one.get("slot") == slot), None)
        if other is None:
            yield GONE.found(make_label(item), f"{noun} {make_label(item)} is not there any more, {since}", id=key)
        else:
            new = make_label(came.pop(other))
            summary = f"{noun} {new} is in slot {slot}, and was {make_label(item)} before, {since}"
            yield SWAPPED.found(new, summary, slot=slot, before=key, now=other)
    for key, item in came.items():
        yield NEW.found(make_label(item), f"{noun} {make_label(item)} is new {since}", id=key)


def _compare_part(
    noun: str, fields: Sequence[Field], counters: Sequence[Field], now: Item, then: Item, since: str
) -> Iterator[Finding]:
    label = make_label(now)
    for field in fields:
        yield from _compare_values(field, f"{noun} {label}: ", label, field.read(now), field.read(then), since)
    for field in counters:
        count, earlier = dig(now, field.path), dig(then, field.path)
        # One that is smaller was set to nothing in between: what it would have shown is not known.
        if is_number(count) and is_number(earlier) and count > earlier:
            summary = f"{noun} {label}: {field.name} grew from {earlier} to {count} {since}"
            yield GROWN.found(label, summary, path=field.path, before=earlier, now=count)


def _compare_values(field: Field, prefix: str, part: str, now: JSON, then: JSON, since: str) -> Iterator[Finding]:
    if now is None or then is None or now == then:
        return
    code = CHANGED
    if field.how is How.VERSION and compare_versions(str(now), str(then)) == -1:
        code = OLDER
    elif field.how in (How.AMOUNT, How.SPEED) and is_number(now) and is_number(then) and now < then:
        code = LESS
    summary = f"{prefix}{field.name} is {render(now, field.name)}, was {render(then, field.name)}, {since}"
    yield code.found(part, summary, path=field.path, before=then, now=now)


def _by_id(path: str, document: Mapping[str, JSON]) -> dict[str, Item]:
    """Parts by what tells them from all others; two with the same are none that could be followed."""
    items = [(str(item["id"]), item) for item in list_parts(path, dig(document, path)) if item.get("id")]
    keys = [key for key, _ in items]
    return {key: item for key, item in items if keys.count(key) == 1}
