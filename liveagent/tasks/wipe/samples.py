"""Which places of a disk are read back. Pure, and repeatable by its seed."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

from liveagent.tasks.wipe.flow import Span, spans

MIB = 1024 * 1024
SAMPLE = 64 * 1024
# How many places a plain `sample` looks at, beside the first and the last megabyte.
SAMPLES = 512
# Before a record is believed: so much at both ends of what it claims, and as many places between.
CLAIM_ENDS = 4 * MIB
# More places than this are no better evidence, and a certificate names each.
PLACES = 4096


def choose_samples(size: int, verify: str, block: int, seed: int) -> tuple[Span, ...]:
    """Stretches in order and without overlap.

    `full` is all of the disk, as one. `sample` is the first and the last megabyte and 512 places of 64 KiB, one in
    each of as many equal strata; `N%` is so many strata that their places make up N percent of the disk, at most 4,096
    of them: on a large disk the places become longer.
    """
    if verify == "none" or not size:
        return ()
    if verify in ("full", "100%") or size <= 2 * MIB + SAMPLES * SAMPLE:
        return (Span(0, size),)
    share = 0.0 if verify == "sample" else float(verify.rstrip("%")) / 100
    length = SAMPLE * max(1, math.ceil(size * share / PLACES / SAMPLE))
    strata = (size - 2 * MIB) // length
    count = SAMPLES if verify == "sample" else max(1, round(strata * share))
    generator = random.Random(seed)
    places = []
    for index in range(min(count, strata)):
        first, beyond = strata * index // count, strata * (index + 1) // count
        slot = generator.randrange(first, max(beyond, first + 1))
        places.append(Span(MIB + slot * length, length))
    last = (size - MIB) // block * block
    return (Span(0, MIB), *places, Span(last, size - last))


def choose_claims(claim: Span, seed: int) -> list[Span]:
    """Where to look at a stretch that is said to be done: both ends and places between, on whole pages."""
    if claim.length <= 2 * CLAIM_ENDS:
        return list(spans(claim.offset, claim.end))
    between = choose_samples(claim.length - 2 * CLAIM_ENDS, "sample", 4096, seed)
    places = [Span(claim.offset + CLAIM_ENDS + span.offset, span.length) for span in between]
    return [Span(claim.offset, CLAIM_ENDS), *places, Span(claim.end - CLAIM_ENDS, CLAIM_ENDS)]


def describe_places(samples: Iterable[Span]) -> list[list[int]]:
    """Places as [offset, length], those that touch as one."""
    merged: list[list[int]] = []
    for span in samples:
        if merged and merged[-1][0] + merged[-1][1] == span.offset:
            merged[-1][1] += span.length
        else:
            merged.append([span.offset, span.length])
    return merged
