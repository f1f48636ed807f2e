"""The published schema is made of the dataclasses: it has to be one, and what machines say has to fit it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from liveagent.host import Host
from liveagent.machine.inventory import Inventory, probe_inventory
from liveagent.machine.schema import make_schema
from liveagent.recording import Replay

SCHEMA = make_schema()


def validate(document: object) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document)))


def test_it_is_a_schema_that_says_what_each_part_means() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert all(part["description"] for part in SCHEMA["$defs"].values())
    assert set(SCHEMA["required"]) == {"form", "agent", *Inventory.__dataclass_fields__}


def test_this_machine_and_nothing_at_all_fit() -> None:
    validate(probe_inventory(Host()).encode())
    validate(Inventory().encode())


def test_the_recorded_machine_fits() -> None:
    validate(probe_inventory(Replay(Path(__file__).parent.parent / "machines" / "lab-pxe")).encode())


@pytest.mark.parametrize(
    "change",
    [{"form": 2}, {"disks": None}, {"disks": [{"name": "sda"}]}, {"unheard_of": 1}, {"missing": [{"part": "x"}]}],
)
def test_what_is_no_inventory_does_not(change: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate({**Inventory().encode(), **change})
