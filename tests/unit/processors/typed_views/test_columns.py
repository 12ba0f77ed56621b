"""Which columns a view has, and of which type."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from processors.typed_views.columns import MAX_COLUMNS, Column, InvalidTypeError, Seen, check_type, columns
from processors.typed_views.statements import EVENT_COLUMNS


def chosen(
    *seen: tuple[str, str, int], earlier: Mapping[str, str] | None = None, declared: Mapping[str, str] | None = None
) -> list[Column]:
    return columns(
        [Seen(*each) for each in seen],
        reserved=EVENT_COLUMNS, prefix="property", earlier=earlier or {}, declared=declared or {},
    )  # fmt: skip


def types(*seen: tuple[str, str, int], earlier: Mapping[str, str] | None = None) -> dict[str, str]:
    return {each.name: each.type for each in chosen(*seen, earlier=earlier)}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"integer": 10}, "integer"),
        ({"integer": 9, "float": 1}, "float"),
        ({"integer": 89, "float": 1, "text": 10}, "float"),
        ({"integer": 89, "text": 11}, "text"),
        ({"boolean": 9, "text": 1}, "boolean"),
        ({"boolean": 5, "integer": 5}, "text"),
        ({"text": 90, "integer": 10}, "text"),
        ({"array": 10}, "text"),
        ({"array of objects": 10}, "text"),
        ({"integer": 1, "null": 99}, "integer"),
    ],
)
def test_column_has_the_type_of_nine_values_in_ten(counts: Mapping[str, int], expected: str) -> None:
    assert types(*(("price", kind, count) for kind, count in counts.items())) == {"price": expected}


@pytest.mark.parametrize(
    ("earlier", "now", "kept"),
    [
        ("integer", "text", "integer"),
        ("integer", "float", "float"),
        ("float", "integer", "float"),
        ("text", "integer", "text"),
        ("boolean", "text", "boolean"),
    ],
)
def test_type_changes_by_itself_only_from_integer_to_float(earlier: str, now: str, kept: str) -> None:
    assert types(("price", earlier, 1), ("price", now, 1_000_000), earlier={"price": earlier}) == {"price": kept}


def test_declared_type_counts_before_any_other() -> None:
    (column,) = chosen(("price", "text", 5), earlier={"price": "text"}, declared={"price": "decimal(18, 2)"})
    assert (column.type, column.declared) == ("decimal(18, 2)", True)


def test_paths_with_one_name_share_a_column_with_the_frequent_path_first() -> None:
    (column,) = chosen(
        ("Price", "integer", 3), ("price", "float", 70), ("pr%2Eice", "integer", 1), ("pr.ice", "null", 1)
    )[:1]
    assert (column.name, column.paths, column.type) == ("pr_ice", ["pr%2Eice", "pr.ice"], "integer")
    prices = {each.name: each for each in chosen(("Price", "integer", 3), ("price", "float", 70))}
    assert (prices["price"].paths, prices["price"].type) == (["price", "Price"], "float")


def test_property_that_was_always_null_has_no_column() -> None:
    assert types(("gone", "null", 5), ("plan", "text", 1)) == {"plan": "text"}


def test_the_most_frequent_properties_have_columns() -> None:
    seen = [(f"p{number}", "text", number) for number in range(MAX_COLUMNS + 5)]
    found = types(*seen, ("rare", "text", 1))
    assert len(found) == MAX_COLUMNS
    assert {"p5", f"p{MAX_COLUMNS + 4}"} <= found.keys()
    assert not {"p3", "rare"} & found.keys()
    assert "rare" in {each.name for each in chosen(*seen, ("rare", "text", 1), declared={"rare": "text"})}


def test_name_of_a_column_of_the_item_is_preceded() -> None:
    assert types(("id", "text", 1), ("context_ip", "text", 1)) == {"property_id": "text", "property_context_ip": "text"}


def test_path_that_no_identifier_can_be_is_left_in_properties() -> None:
    assert types(("a..b", "text", 1), ("", "", 9)) == {}


@pytest.mark.parametrize(
    ("said", "kind"), [("Integer", "integer"), ("decimal(18,2)", "decimal(18, 2)"), (" DATE ", "date")]
)
def test_type_is_read_as_people_write_it(said: str, kind: str) -> None:
    assert check_type(said) == kind


@pytest.mark.parametrize("said", ["int", "decimal", "decimal(0, 0)", "decimal(5, 6)", "decimal(77, 2)", ""])
def test_wrong_type_names_those_that_exist(said: str) -> None:
    with pytest.raises(InvalidTypeError, match=r"Types are integer|precision"):
        check_type(said)
