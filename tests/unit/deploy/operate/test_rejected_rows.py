"""Rows on `rejected.v1`: which table, partition and source offset they have."""

from __future__ import annotations

import json

import pytest

from deploy.operate.offsets import Input
from deploy.operate.rejected_rows import row_of

ROW = {"message_id": "m", "properties": {"a": 1}, "_log": 1, "_partition": 3, "_origin": 17}


def record(content: object, code: str = "row_rejected") -> bytes:
    return json.dumps({"code": code, "content": content if isinstance(content, str) else json.dumps(content)}).encode()


@pytest.mark.parametrize("code", ["row_rejected", "engine_cannot_store"])
def test_row_of_a_rejection_is_found(code: str) -> None:
    assert row_of(record(ROW, code), 1) == ("events", 3, 17)


def test_row_of_an_identify_is_of_its_table() -> None:
    row = {name: value for name, value in ROW.items() if name != "properties"} | {"traits": {}}

    assert row_of(record(row), 1) == ("identifies", 3, 17)


def test_row_of_a_duplicate_is_of_its_table() -> None:
    row = {name: value for name, value in ROW.items() if name != "properties"} | {"first_origin": 1}

    assert row_of(record(row), 1) == ("duplicates", 3, 17)


def test_row_that_was_cut_is_found_by_its_source() -> None:
    cut = {"code": "row_rejected", "content": '{"message_id":"m', "table": "identifies", "sourcePartition": 2}

    assert row_of(json.dumps(cut | {"sourceOffset": 40}).encode(), 1) == ("identifies", 2, 40)
    assert row_of(json.dumps(cut).encode(), 1) is None
    assert row_of(json.dumps(cut | {"sourceOffset": 40, "table": "person_states"}).encode(), 1) is None


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"no JSON",
        record(ROW, "not_an_item"),
        record(ROW | {"_log": 2}),
        record({name: value for name, value in ROW.items() if name != "message_id"}),
        record(json.dumps(ROW)[:20]),
        record("[]"),
        record({name: value for name, value in ROW.items() if name != "properties"}),
        json.dumps({"code": "row_rejected", "content": None}).encode(),
    ],
)
def test_other_records_have_no_row(value: bytes | None) -> None:
    assert row_of(value, 1) is None


@pytest.mark.parametrize(
    ("metadata", "positions"),
    [
        ('{"log":1,"positions":{"events":5}}', {"events": 5}),
        ("", {}),
        ("null", {}),
        ('{"positions":[1]}', {}),
        ('{"positions":{"events":"x"}}', {}),
    ],
)
def test_positions_at_a_commit_are_read_from_its_metadata(metadata: str, positions: dict[str, int]) -> None:
    assert Input("t", 0, 0, 9, 5, metadata).noted_positions() == positions


def test_lag_counts_what_is_left_in_the_log() -> None:
    assert Input("t", 0, 10, 30).lag == 20
    assert Input("t", 0, 10, 30, 5).lag == 20
    assert Input("t", 0, 10, 30, 25).lag == 5
