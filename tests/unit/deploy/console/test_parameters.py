"""Parameters of the API."""

from __future__ import annotations

import pytest
from multidict import MultiDict

from deploy.console import parameters
from deploy.console.errors import ParameterError
from schemas.times import SECOND, parse_time

NOW = parse_time("2026-01-31T12:00:00Z")


def test_parameters_with_a_value_are_read() -> None:
    query = MultiDict(project="dev", search="", limit="5")

    assert parameters.read(query, ("project", "search", "limit")) == {"project": "dev", "limit": "5"}


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (MultiDict(projekt="dev"), "Unknown parameter 'projekt'. Use project, userId."),
        (MultiDict([("project", "dev"), ("project", "other")]), "project is given more than once"),
        (MultiDict([("project", ""), ("project", "other")]), "project is given more than once"),
        (MultiDict(userId="a\0b"), "userId: must be at most 512 characters of Unicode, without"),
        (MultiDict(userId="a\ud800"), "userId: must be at most 512 characters of Unicode, without"),
        (MultiDict(userId="x" * 513), "userId: must be at most 512 characters of Unicode, without"),
    ],
)
def test_invalid_parameters_are_named(query: MultiDict[str], reason: str) -> None:
    with pytest.raises(ParameterError, match=reason):
        parameters.read(query, ("project", "userId"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", NOW - 3600 * SECOND),
        ("30s", NOW - 30 * SECOND),
        ("7d", NOW - 7 * 86_400 * SECOND),
        ("999999d", 0),
        ("2026-01-31T11:00:00Z", NOW - 3600 * SECOND),
        ("2026-01-31T13:00:00+02:00", NOW - 3600 * SECOND),
        ("2026-01-31T13:00:00 02:00", NOW - 3600 * SECOND),
        ("2026-01-31", parse_time("2026-01-31")),
    ],
)
def test_time_is_a_duration_before_now_or_a_time(text: str, expected: int) -> None:
    assert parameters.read_time({"since": text}, "since", NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "1w", "-1h", "1.5h", "h", "2026-13-01", "1_0h", "\u0661h"])
def test_other_time_is_named(text: str) -> None:
    with pytest.raises(ParameterError, match=r"since: .* is no time"):
        parameters.read_time({"since": text}, "since", NOW)


@pytest.mark.parametrize("value", ["\u202egnp.exe", "\U0001f469\u200d\U0001f467", "a\tb\nc", "h/../?#&", "x" * 512])
def test_value_has_any_characters_that_an_item_can_have(value: str) -> None:
    assert parameters.read(MultiDict(userId=value), ("userId",)) == {"userId": value}


def test_absent_parameters_have_defaults() -> None:
    assert parameters.read_time({}, "since", NOW) is None
    assert parameters.read_limit({}, 100, 500) == 100
    assert parameters.read_verdict({}) is None


@pytest.mark.parametrize("text", ["0", "501", "-1", "1e2", "a", "1000000000", "\u0661", "1.0"])
def test_limit_is_within_its_range(text: str) -> None:
    with pytest.raises(ParameterError, match="limit: must be between 1 and 500"):
        parameters.read_limit({"limit": text}, 100, 500)


def test_verdict_is_one_of_three() -> None:
    assert parameters.read_verdict({"verdict": "duplicate"}) == "duplicate"
    with pytest.raises(ParameterError, match="verdict: must be one of accepted, duplicate, rejected, got 'bad'"):
        parameters.read_verdict({"verdict": "bad"})
