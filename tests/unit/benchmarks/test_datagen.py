"""What stages are fed with in the benchmark: items as the gateway writes them."""

from __future__ import annotations

import json

from gateway.ingest.validate import check_items, read_request
from processors.engine.producer import Output
from schemas.items import Identify, Track
from schemas.records import decode_item, item_key, person_key
from tests.benchmarks.datagen import Feed, distinct


def items(outputs: list[Output]) -> list[Track | Identify]:
    return [decode_item(output.value) for output in outputs]


def test_every_record_is_an_item_under_its_own_key() -> None:
    tracks, identifies = Feed().tracks(50), Feed().identifies(50)

    assert [output.key for output in tracks] == [item_key(item.project_id, item.message_id) for item in items(tracks)]
    assert [output.key for output in identifies] == [
        person_key(item.project_id, item.user_id) for item in items(identifies)
    ]
    assert distinct([*tracks, *identifies]) == 100


def test_a_share_of_the_tracks_repeats_others() -> None:
    outputs = Feed().tracks(2_000, duplicates=0.5)

    assert 900 < distinct(outputs) < 1_100


def test_known_users_come_again_and_others_do_not() -> None:
    feed = Feed()
    users = feed.users(3)

    assert {item.user_id for item in items(feed.identifies(9, users))} == set(users)
    assert len({item.user_id for item in items(feed.identifies(9))}) == 9


def test_the_gateway_accepts_every_item_of_a_body_and_the_feed_knows_how_many_differ() -> None:
    feed = Feed()
    bodies = feed.bodies(20, 100, duplicates=0.1, identifies=0.05)
    accepted = []
    for body in bodies:
        verdicts = check_items(read_request(body), project_id="p", received_at=1_800_000_000_000_000)
        assert verdicts.refused == []
        accepted += [item for _, item in verdicts.accepted]

    assert len(accepted) == sum(len(json.loads(body)["batch"]) for body in bodies) == 2_000
    assert len({item.message_id for item in accepted}) == feed.made
    assert 0 < sum(isinstance(item, Identify) for item in accepted) < 200
