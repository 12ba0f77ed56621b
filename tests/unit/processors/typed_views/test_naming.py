"""Names of views and columns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.typed_views.naming import (
    MAX_COLUMN_CHARACTERS,
    MAX_FILE_CHARACTERS,
    column_name,
    database_name,
    snake_case,
    view_name,
    views_of,
)


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Order Completed", "order_completed"),
        ("orderCompleted", "order_completed"),
        ("ORDER COMPLETED", "order_completed"),
        ("HTTPRequest", "http_request"),
        ("utm.source", "utm_source"),
        ("address.zipCode", "address_zip_code"),
        ("--Price (EUR)--", "price_eur"),
        ("2nd visit", "_2nd_visit"),
        ("Größe", "größe"),
        ("注文 完了", "注文_完了"),
        ("v2Beta", "v2_beta"),
        ("🎉", ""),
        ("", ""),
    ],
)
def test_name_in_snake_case(name: str, snake: str) -> None:
    assert snake_case(name) == snake


@given(st.text(max_size=40))
def test_snake_case_of_a_name_in_snake_case_is_the_name(name: str) -> None:
    once = snake_case(name)
    assert snake_case(once) == once


def test_events_with_one_name_in_snake_case_share_a_view() -> None:
    assert views_of(["orderCompleted", "Order Completed", "Signed Up"]) == {
        "order_completed": ["Order Completed", "orderCompleted"],
        "signed_up": ["Signed Up"],
    }


@pytest.mark.parametrize(
    ("event", "view"),
    [("Tracks", "event_tracks"), ("users", "event_users"), ("Person History", "event_person_history")],
)
def test_view_that_every_project_has_keeps_its_name(event: str, view: str) -> None:
    assert view_name(event) == view


def test_event_without_letters_has_a_name_of_its_own() -> None:
    assert re.fullmatch(r"event_[0-9a-f]{8}", view_name("🎉"))
    assert view_name("🎉") != view_name("🎈")


def test_column_of_the_item_keeps_its_name() -> None:
    assert column_name("timestamp", {"timestamp"}, "property") == "property_timestamp"
    assert column_name("Timestamp", {"timestamp"}, "property") == "property_timestamp"
    assert column_name("a%2Eb", (), "property") == column_name("a.b", (), "property") == "a_b"


@pytest.mark.parametrize("character", ["x", "é", "注", "x y"])
def test_long_names_stay_different_and_within_the_limits_of_files(character: str) -> None:
    names = [character * 255 + ending for ending in ("a", "b")]
    views = [view_name(name) for name in names]
    assert views[0] != views[1]
    for view in views:
        escaped = re.sub(r"[^a-z0-9_]", lambda found: "%xx" * len(found[0].encode()), view)
        assert len(escaped) <= MAX_FILE_CHARACTERS
    columns = [column_name(name, (), "property") for name in names]
    assert columns[0] != columns[1]
    assert max(map(len, columns)) <= MAX_COLUMN_CHARACTERS


def test_each_project_has_a_database_of_its_own() -> None:
    projects = ["shop", "Shop", "my-shop", "my_shop", "My-Shop", "-"]
    names = [database_name("sequence", project) for project in projects]
    assert names[0] == "sequence_shop"
    assert names[3] == "sequence_my_shop"
    assert len(set(names)) == len(projects)
