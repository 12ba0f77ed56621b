"""What the comment of a column says."""

from __future__ import annotations

import pytest

from processors.typed_views import comments, statements
from processors.typed_views.columns import Column
from processors.typed_views.naming import IDENTIFIES, PERSON_HISTORY, TRACKS, USERS, VIEWS


def _column(name: str, kind: str, paths: list[str], *kinds: str) -> Column:
    return Column(name, kind, paths, kinds=frozenset(kinds))


NOT_SENT = "NULL where it was not sent"
ELEMENTS = "Elements: ARRAY JOIN JSONExtract"


@pytest.mark.parametrize(
    ("column", "comment"),
    [
        (
            _column("order_id", "integer", ["order_id", "Order ID"], "integer"),
            (
                f'properties.order_id and properties."Order ID". Integer. {NOT_SENT} or is no integer of 64 bits.'
                " In a join write str(order_id), because other views may have another type."
            ),
        ),
        (
            _column("utm_source", "text", ["utm%2Esource"], "text"),
            f'properties."utm%2Esource" (sent as utm.source). Text. {NOT_SENT}.',
        ),
        (
            _column("price", "float", ["price"], "integer", "float", "text"),
            (
                f"properties.price. Number. {NOT_SENT} or is no number. Values were sent as number and text."
                " Text that is no number, such as '12,50', is NULL here: str(properties.price) has it."
            ),
        ),
        (
            _column("cart_total", "decimal(10, 2)", ["cart%2Etotal"], "integer", "text"),
            (
                f'properties."cart%2Etotal" (sent as cart.total). Decimal(10, 2). {NOT_SENT} or is no number.'
                " Values were sent as number and text."
                " Text that is no number, such as '12,50', is NULL here: str(properties.\"cart%2Etotal\") has it."
            ),
        ),
        (
            _column("n", "integer", ["n" * 200], "integer", "text"),
            (
                f"properties.{'n' * 200}. Integer. {NOT_SENT} or is no integer of 64 bits."
                " Values were sent as number and text. Text that is no number, such as '12,50', is NULL here,"
                " and properties has it."
            ),
        ),
        (
            _column("list", "text", ["list"], "array", "array of objects"),
            (
                f"properties.list. JSON text of an array. {NOT_SENT}."
                f" {ELEMENTS}(ifNull(list, ''), 'Array(String)') AS element."
            ),
        ),
        (
            _column("_2nd_größe", "text", ["2nd.größe"], "array", "text"),
            (
                f'properties."2nd".größe. Text, of an array its JSON. {NOT_SENT}. Values were sent as array and text.'
                f" {ELEMENTS}(ifNull(_2nd_größe, ''), 'Array(String)') AS element."
            ),
        ),
    ],
)
def test_comment_has_paths_as_sent_type_and_meaning_of_null(column: Column, comment: str) -> None:
    assert comments.of_column(column, "order_completed") == comment


@pytest.mark.parametrize(
    ("view", "null"),
    [(USERS, "the user does not have it or is no"), (IDENTIFIES, "it was not sent, was removed or is no")],
)
def test_comment_of_a_trait_says_what_null_means_there(view: str, null: str) -> None:
    day = comments.of_column(Column("day", "date", ["day"], declared=True), view)
    paid = comments.of_column(Column("paid", "decimal(18, 2)", ["paid"], declared=True), view)

    assert day == f"traits.day. Date. NULL where {null} date in ISO 8601."
    assert paid == f"traits.paid. Decimal(18, 2). NULL where {null} number."


def test_comment_names_the_most_frequent_paths_and_stays_short() -> None:
    many = comments.of_column(Column("a", "text", [f"path{at}" for at in range(9)]), TRACKS)
    long = comments.of_column(Column("a", "text", ["x" * 2_000]), TRACKS)

    assert "properties.path4 and 4 other spellings. Text." in many
    assert "path5" not in many
    assert len(long) == comments.MAX_CHARACTERS
    assert long.endswith("x…. Text. NULL where it was not sent.")


def test_paths_of_a_comment_leave_room_for_type_and_elements() -> None:
    paths = [letter * 300 for letter in "abc"]
    two = comments.of_column(Column("a", "text", [paths[0], "b"]), USERS)
    three = comments.of_column(_column("a", "text", paths, "array", "text"), TRACKS)

    assert two == f"traits.{paths[0]} and traits.b. Text. NULL where the user does not have it."
    assert three.startswith(f"properties.{paths[0]} and 2 other spellings. Text, of an array its JSON. {NOT_SENT}.")
    assert three.endswith("'Array(String)') AS element.")
    assert len(three) <= comments.MAX_CHARACTERS


def test_comment_of_a_trait_of_events_says_what_null_means() -> None:
    traits = [Column(kind[0], kind, [kind[0]], declared=True) for kind in ("integer", "text", "date", "decimal(9, 2)")]
    said = comments.of_traits([*traits, Column("x", "time", ["x" * 2_000], declared=True)])

    then = "of the user at the time of the event."
    assert said["person_i"] == (
        f"traits.i {then} Integer. NULL where the user did not have it then or is no integer of 64 bits."
    )
    assert said["person_t"] == f"traits.t {then} Text. NULL where the user did not have it then."
    assert len(said["person_x"]) == comments.MAX_CHARACTERS
    assert said["person_x"].endswith("or is no time in ISO 8601 or since 1970.")


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (TRACKS, statements.EVENT_COLUMNS),
        (IDENTIFIES, statements.IDENTIFY_COLUMNS),
        (USERS, statements.USER_COLUMNS),
        (PERSON_HISTORY, statements.HISTORY_COLUMNS),
    ],
)
def test_every_column_of_an_item_has_a_comment(view: str, names: tuple[str, ...]) -> None:
    assert set(names) <= comments.of_fields(view).keys()


def test_version_of_a_view_depends_on_its_comments() -> None:
    versions = {statements.version("SELECT 1", comment) for comment in ({}, {"a": "x"}, {"a": "y"}, {"b": "y"})}

    assert len(versions) == 4
    assert statements.version("SELECT 1", {"a": "x", "b": "y"}) == statements.version("SELECT 1", {"b": "y", "a": "x"})


def test_comment_of_event_says_what_a_condition_compares_with() -> None:
    assert comments.of_fields("order_completed")["event"].startswith(
        "order_completed, the name of the view, in every row."
    )
    assert "such as order_completed" in comments.of_fields(TRACKS)["event"]


def test_every_view_says_what_its_rows_are() -> None:
    texts = {view: comments.of_view(view) for view in (*VIEWS, "order_completed")}

    assert len(set(texts.values())) == len(texts)
    assert all(text.startswith("A row for each ") for text in texts.values())
