"""Generated load: items in the form that the gateway writes."""

from __future__ import annotations

import json

from gateway.ingest.envelope import parse_envelope
from gateway.ingest.validate import validate_items
from processors.engine.producer import Output
from schemas.items import Identify, Track
from schemas.records import decode_item, item_key, person_key
from tests.benchmarks.datagen import ItemGenerator, distinct


def items(outputs: list[Output]) -> list[Track | Identify]:
    return [decode_item(output.value) for output in outputs]


def test_every_record_has_the_key_of_its_item() -> None:
    tracks, identifies = ItemGenerator().tracks(50), ItemGenerator().identifies(50)

    assert [output.key for output in tracks] == [item_key(item.project_id, item.message_id) for item in items(tracks)]
    assert [output.key for output in identifies] == [
        person_key(item.project_id, item.user_id) for item in items(identifies)
    ]
    assert distinct([*tracks, *identifies]) == 100


def test_duplicates_sets_the_share_of_repeated_tracks() -> None:
    outputs = ItemGenerator().tracks(2_000, duplicates=0.5)

    assert 900 < distinct(outputs) < 1_100


def test_identifies_rotate_over_given_users_or_use_new_ones() -> None:
    generator = ItemGenerator()
    users = generator.users(3)

    assert {item.user_id for item in items(generator.identifies(9, users))} == set(users)
    assert len({item.user_id for item in items(generator.identifies(9))}) == 9


def test_gateway_accepts_every_generated_item_and_made_counts_distinct_ones() -> None:
    generator = ItemGenerator()
    bodies = generator.bodies(20, 100, duplicates=0.1, identifies=0.05)
    accepted = []
    for body in bodies:
        result = validate_items(parse_envelope(body), project_id="p", received_at=1_800_000_000_000_000)
        assert result.rejected == []
        accepted += result.accepted

    assert len(accepted) == sum(len(json.loads(body)["batch"]) for body in bodies) == 2_000
    assert len({item.message_id for item in accepted}) == generator.made
    assert 0 < sum(isinstance(item, Identify) for item in accepted) < 200
